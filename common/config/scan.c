#include "common/config/scan.h"
#include "common/base/cleanup.h"
#include "common/base/memory.h"
#include "common/config/rewrite.h"
#include "common/config/scalar.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum { MAX_FIELDS = 256, MAX_NAMES = 1000 };

/* An open mapping or list. Its schema is NULL in what the schema ignores. */
struct frame {
    const cyaml_schema_value_t *schema;
    bool mapping;
    unsigned by_name; /* not 0: number of a list that is written as a mapping from names */
    bool key_seen;    /* a mapping's next node is the value of `key` */
    char key[64];     /* cut: for messages only */
    unsigned field;
    unsigned entries;
    uint64_t seen[MAX_FIELDS / 64];
    yaml_mark_t start;
};

struct scan {
    const char *file;
    struct error *err;
    const cyaml_schema_value_t *root;
    unsigned documents, depth;
    bool empty, rewritten;
    struct rewrite out;
    enum { COPY, SKIP, NAME, LIST_START, LIST_END } write; /* what the event at hand becomes */
    unsigned lists, names;
    struct {
        unsigned list;
        char *name;
    } name[MAX_NAMES];
    struct frame frames[YAML_MAX_DEPTH];
};

static const cyaml_schema_value_t ignored = {.type = CYAML_IGNORE};

/* "hosts[2].agent" */
static void path_of(const struct scan *s, char *path, size_t size)
{
    size_t n = 0;
    path[0] = 0;
    for (unsigned i = 0; i < s->depth && n < size; i++) {
        const struct frame *f = &s->frames[i];
        int len = 0;
        if (!f->mapping)
            len = snprintf(path + n, size - n, "[%u]", f->entries);
        else if (f->key_seen)
            len = snprintf(path + n, size - n, "%s%s", n ? "." : "", f->key);
        n += len > 0 ? (size_t)len : 0;
    }
}

static int fail(const struct scan *s, yaml_mark_t mark, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static int fail(const struct scan *s, yaml_mark_t mark, const char *fmt, ...)
{
    char path[256], text[400];
    path_of(s, path, sizeof(path));
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    return error_set(s->err, STATUS_INVALID_ARGUMENT, "%s:%zu:%zu: %s%s%s", s->file, mark.line + 1,
                     mark.column + 1, path, path[0] ? ": " : "", text);
}

static int fail_parse(const struct scan *s, const yaml_parser_t *parser, const char *text)
{
    yaml_mark_t mark = parser->problem_mark;
    const char *problem = parser->problem ? parser->problem : "not YAML";
    if (parser->error == YAML_MEMORY_ERROR)
        return error_set(s->err, STATUS_RESOURCE_EXHAUSTED, "%s: out of memory while parsing", s->file);
    if (parser->error == YAML_READER_ERROR) {
        mark = (yaml_mark_t){0};
        for (size_t i = 0; i < parser->problem_offset; i++) {
            mark.column = text[i] == '\n' ? 0 : mark.column + 1;
            mark.line += text[i] == '\n';
        }
    }
    return error_set(s->err, STATUS_INVALID_ARGUMENT, "%s:%zu:%zu: not valid YAML: %s%s%s", s->file,
                     mark.line + 1, mark.column + 1, problem, parser->context ? " " : "",
                     parser->context ? parser->context : "");
}

static const char *field_name(const cyaml_schema_value_t *schema, unsigned i)
{
    if (schema->type == CYAML_MAPPING)
        return schema->mapping.fields[i].key;
    return i < schema->bitfield.count ? schema->bitfield.bitdefs[i].name : NULL;
}

/* "listen, name, roles", in alphabetical order. */
static void known_keys(const cyaml_schema_value_t *schema, char *list, size_t size)
{
    const char *last = NULL;
    size_t n = 0;
    list[0] = 0;
    for (;;) {
        const char *next = NULL;
        for (unsigned i = 0; field_name(schema, i); i++) {
            const char *key = field_name(schema, i);
            if ((!last || strcmp(key, last) > 0) && (!next || strcmp(key, next) < 0))
                next = key;
        }
        if (!next || n >= size)
            return;
        int len = snprintf(list + n, size - n, "%s%s", last ? ", " : "", next);
        n += len > 0 ? (size_t)len : 0;
        last = next;
    }
}

static bool allows_names(const cyaml_schema_value_t *v)
{
    return v->type == CYAML_SEQUENCE && v->sequence.entry->type == CYAML_MAPPING &&
           v->sequence.entry->mapping.fields[0].key &&
           streq(v->sequence.entry->mapping.fields[0].key, "name");
}

static int on_name(struct scan *s, struct frame *f, const yaml_event_t *e)
{
    const char *key = (const char *)e->data.scalar.value;
    char why[300];
    if (strlen(key) != e->data.scalar.length)
        return fail(s, e->start_mark, "a key holds a NUL byte");
    snprintf(f->key, sizeof(f->key), "%s", key);
    f->key_seen = true;
    if (!scalar_fits(&f->schema->sequence.entry->mapping.fields[0].value, key, why, sizeof(why)))
        return fail(s, e->start_mark, "%s", why);
    for (unsigned i = 0; i < s->names; i++)
        if (s->name[i].list == f->by_name && streq(s->name[i].name, key))
            return fail(s, e->start_mark, "given twice; keep one of them");
    if (s->names == MAX_NAMES)
        return fail(s, e->start_mark, "more than %d names", MAX_NAMES);
    s->name[s->names].list = f->by_name;
    s->name[s->names++].name = xstrdup(key);
    s->write = NAME;
    return 0;
}

static int on_key(struct scan *s, struct frame *f, const yaml_event_t *e)
{
    const char *key = (const char *)e->data.scalar.value;
    if (f->by_name)
        return on_name(s, f, e);
    if (f->schema->type != CYAML_IGNORE) {
        if (strlen(key) != e->data.scalar.length)
            return fail(s, e->start_mark, "a key holds a NUL byte");
        unsigned i = 0;
        while (field_name(f->schema, i) && strcmp(field_name(f->schema, i), key) != 0)
            i++;
        if (i >= MAX_FIELDS)
            return error_set(s->err, STATUS_INTERNAL, "%s: the schema has more than %d keys", s->file,
                             MAX_FIELDS);
        bool known = field_name(f->schema, i) != NULL;
        bool twice = known && (f->seen[i / 64] >> (i % 64) & 1);
        snprintf(f->key, sizeof(f->key), "%s", key);
        f->key_seen = true;
        if (!known) {
            char list[300];
            known_keys(f->schema, list, sizeof(list));
            return fail(s, e->start_mark, "unknown key; known here: %s", list);
        }
        if (twice)
            return fail(s, e->start_mark, "given twice; keep one of them");
        f->field = i;
        f->seen[i / 64] |= UINT64_C(1) << (i % 64);
    }
    f->key_seen = true;
    return 0;
}

static const cyaml_schema_value_t *schema_of_next(const struct scan *s)
{
    static const cyaml_schema_value_t bits = {.type = CYAML_UINT, .data_size = sizeof(uint64_t)};
    if (s->depth == 0)
        return s->root;
    const struct frame *f = &s->frames[s->depth - 1];
    switch (f->schema->type) {
    case CYAML_MAPPING: return &f->schema->mapping.fields[f->field].value;
    case CYAML_SEQUENCE:
    case CYAML_SEQUENCE_FIXED: return f->schema->sequence.entry;
    case CYAML_BITFIELD: return &bits;
    case CYAML_FLAGS: return f->schema;
    default: return &ignored;
    }
}

static bool is_list(const cyaml_schema_value_t *v)
{
    return v->type == CYAML_SEQUENCE || v->type == CYAML_SEQUENCE_FIXED || v->type == CYAML_FLAGS;
}

static bool is_mapping(const cyaml_schema_value_t *v)
{
    return v->type == CYAML_MAPPING || v->type == CYAML_BITFIELD;
}

static int fail_kind(const struct scan *s, yaml_mark_t mark, const cyaml_schema_value_t *v, const char *found)
{
    char list[300];
    if (is_mapping(v)) {
        known_keys(v, list, sizeof(list));
        return fail(s, mark, "expected keys with values (known: %s), found %s", list, found);
    }
    if (is_list(v))
        return fail(s, mark, "expected a list, such as [a, b], found %s", found);
    return fail(s, mark, "expected %s, found %s", scalar_expected(v), found);
}

/* A value is complete: its parent goes on to the next. */
static void value_done(struct scan *s)
{
    if (s->depth == 0)
        return;
    struct frame *f = &s->frames[s->depth - 1];
    f->key_seen = false;
    f->entries++;
}

/* Whether the value at hand is one word of a CYAML_FLAGS list. */
static bool in_flags(const struct scan *s)
{
    return s->depth > 0 && s->frames[s->depth - 1].schema->type == CYAML_FLAGS;
}

static int on_scalar(struct scan *s, const yaml_event_t *e)
{
    struct frame *f = s->depth ? &s->frames[s->depth - 1] : NULL;
    if (f && f->mapping && !f->key_seen)
        return on_key(s, f, e);

    const cyaml_schema_value_t *v = schema_of_next(s);
    const char *text = (const char *)e->data.scalar.value;
    bool plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (v->type == CYAML_IGNORE) {
        value_done(s);
        return 0;
    }
    if (s->depth == 0 && plain && !text[0]) {
        s->empty = true; /* "---" alone is as empty as nothing */
        return 0;
    }
    if (strlen(text) != e->data.scalar.length)
        return fail(s, e->start_mark, "the value holds a NUL byte; expected text");
    if (plain && scalar_is_null(text)) {
        if (!scalar_may_be_null(v, text))
            return fail_kind(s, e->start_mark, v, "no value");
    } else if ((is_list(v) && !in_flags(s)) || is_mapping(v)) {
        char found[64];
        snprintf(found, sizeof(found), "\"%.40s\"%s", text, strlen(text) > 40 ? "..." : "");
        return fail_kind(s, e->start_mark, v, found);
    } else {
        char why[300];
        if (!scalar_fits(v, text, why, sizeof(why)))
            return fail(s, e->start_mark, "%s", why);
    }
    value_done(s);
    return 0;
}

static int on_start(struct scan *s, const yaml_event_t *e, bool mapping)
{
    const cyaml_schema_value_t *v = schema_of_next(s);
    const char *found = mapping ? "keys with values" : "a list";
    if (s->depth == YAML_MAX_DEPTH)
        return fail(s, e->start_mark, "nested deeper than %d", YAML_MAX_DEPTH);
    if (s->depth > 0 && s->frames[s->depth - 1].mapping && !s->frames[s->depth - 1].key_seen)
        return fail(s, e->start_mark, "a key must be a word, found %s", found);
    bool by_name = mapping && allows_names(v);
    if (v->type != CYAML_IGNORE && !by_name && (in_flags(s) || !(mapping ? is_mapping(v) : is_list(v)))) {
        if (in_flags(s))
            return fail(s, e->start_mark, "expected a word, found %s", found);
        return fail_kind(s, e->start_mark, v, found);
    }
    struct frame *parent = s->depth ? &s->frames[s->depth - 1] : NULL;
    struct frame *f = &s->frames[s->depth++];
    *f = (struct frame){.schema = v, .mapping = mapping, .start = e->start_mark};
    if (parent && parent->by_name) {
        f->seen[0] = 1;
        s->write = SKIP;
    } else if (by_name) {
        f->by_name = ++s->lists;
        s->write = LIST_START;
        s->rewritten = true;
    }
    return 0;
}

static int missing_key(struct scan *s, const struct frame *f, yaml_mark_t mark)
{
    const cyaml_schema_field_t *fields = f->schema->mapping.fields;
    for (unsigned i = 0; fields[i].key; i++)
        if (!(fields[i].value.flags & CYAML_FLAG_OPTIONAL) && fields[i].value.type != CYAML_IGNORE &&
            (i >= MAX_FIELDS || !(f->seen[i / 64] >> (i % 64) & 1))) {
            char where[256];
            path_of(s, where, sizeof(where));
            return error_set(s->err, STATUS_INVALID_ARGUMENT, "%s:%zu:%zu: %s%s%s: missing; expected %s",
                             s->file, mark.line + 1, mark.column + 1, where, where[0] ? "." : "",
                             fields[i].key,
                             is_list(&fields[i].value)      ? "a list"
                             : is_mapping(&fields[i].value) ? "keys with values"
                                                            : scalar_expected(&fields[i].value));
        }
    return 0;
}

static int on_end(struct scan *s)
{
    struct frame *f = &s->frames[s->depth - 1];
    const cyaml_schema_value_t *v = f->schema;
    s->depth--;
    s->write = f->by_name ? LIST_END : COPY;
    int r = v->type == CYAML_MAPPING ? missing_key(s, f, f->start) : 0;
    if (v->type == CYAML_SEQUENCE || v->type == CYAML_SEQUENCE_FIXED) {
        if (f->entries < v->sequence.min)
            r = fail(s, f->start, "expected %u or more entries, found %u", v->sequence.min, f->entries);
        else if (f->entries > v->sequence.max)
            r = fail(s, f->start, "expected %u entries at most, found %u", v->sequence.max, f->entries);
    }
    value_done(s);
    return r;
}

static int on_event(struct scan *s, const yaml_event_t *e)
{
    const yaml_char_t *anchor = NULL;
    if (e->type == YAML_SCALAR_EVENT)
        anchor = e->data.scalar.anchor;
    else if (e->type == YAML_SEQUENCE_START_EVENT)
        anchor = e->data.sequence_start.anchor;
    else if (e->type == YAML_MAPPING_START_EVENT)
        anchor = e->data.mapping_start.anchor;
    if (anchor)
        return fail(s, e->start_mark, "anchors (&%.32s) are not supported; write the value where it is used",
                    anchor);

    switch (e->type) {
    case YAML_DOCUMENT_START_EVENT:
        s->empty = false;
        if (++s->documents > 1)
            return fail(s, e->start_mark, "a second document; expected one, without \"---\" in the middle");
        return 0;
    case YAML_ALIAS_EVENT:
        return fail(s, e->start_mark, "aliases (*%.32s) are not supported; write the value out",
                    e->data.alias.anchor);
    case YAML_SCALAR_EVENT: return on_scalar(s, e);
    case YAML_SEQUENCE_START_EVENT: return on_start(s, e, false);
    case YAML_MAPPING_START_EVENT: return on_start(s, e, true);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT: return on_end(s);
    default: return 0;
    }
}

static void write_out(struct scan *s, yaml_event_t *e)
{
    switch (s->write) {
    case COPY: rewrite_event(&s->out, e); return;
    case LIST_START: rewrite_list_start(&s->out); break;
    case LIST_END: rewrite_list_end(&s->out); break;
    case NAME:
        rewrite_mapping_start(&s->out);
        rewrite_text(&s->out, "name");
        rewrite_text(&s->out, (const char *)e->data.scalar.value);
        break;
    case SKIP: break;
    }
    yaml_event_delete(e);
}

static int scan_all(struct scan *s, yaml_parser_t *parser, const char *text)
{
    for (bool end = false; !end;) {
        yaml_event_t event;
        if (!yaml_parser_parse(parser, &event))
            return fail_parse(s, parser, text);
        end = event.type == YAML_STREAM_END_EVENT;
        s->write = COPY;
        int r = on_event(s, &event);
        if (r < 0) {
            yaml_event_delete(&event);
            return r;
        }
        write_out(s, &event);
    }
    const struct frame nothing = {.schema = s->root};
    return s->empty && s->root->type == CYAML_MAPPING ? missing_key(s, &nothing, (yaml_mark_t){0}) : 0;
}

int yaml_scan(const char *name, const char *text, size_t length, const cyaml_schema_value_t *schema,
              struct yaml_scanned *ret, struct error *err)
{
    struct scan s = {.file = name, .err = err, .root = schema, .empty = true};
    if (length > YAML_MAX_BYTES)
        return error_set(err, STATUS_INVALID_ARGUMENT, "%s: longer than %u bytes; a configuration is shorter",
                         name, YAML_MAX_BYTES);
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "%s: out of memory", name);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, length);
    rewrite_init(&s.out);

    int r = scan_all(&s, &parser, text);
    if (r == 0 && s.rewritten && s.out.failed)
        r = error_set(err, STATUS_INTERNAL, "%s: can't rewrite the lists given by name", name);
    if (r == 0)
        *ret = (struct yaml_scanned){.empty = s.empty,
                                     .text = s.rewritten ? steal(&s.out.text) : NULL,
                                     .length = s.rewritten ? s.out.length : 0};
    for (unsigned i = 0; i < s.names; i++)
        free(s.name[i].name);
    rewrite_deinit(&s.out);
    yaml_parser_delete(&parser);
    return r;
}
