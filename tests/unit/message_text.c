#include "tests/unit/message_text.h"

#include "common/base/cleanup.h"

#include <inttypes.h>
#include <stdbool.h>

static void put_message(FILE *f, const ProtobufCMessage *m, int depth);

static bool is_set(const ProtobufCFieldDescriptor *field, const void *at)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING: return **(char *const *)at;
    case PROTOBUF_C_TYPE_MESSAGE: return *(void *const *)at;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_INT64: return *(const uint64_t *)at;
    default: return *(const uint32_t *)at;
    }
}

static void put_value(FILE *f, const ProtobufCFieldDescriptor *field, const void *at, int depth)
{
    fprintf(f, "%*s%s:", depth * 2, "", field->name);
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING: fprintf(f, " %s\n", *(char *const *)at); break;
    case PROTOBUF_C_TYPE_MESSAGE:
        fputc('\n', f);
        put_message(f, *(ProtobufCMessage *const *)at, depth + 1);
        break;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_INT64: fprintf(f, " %" PRId64 "\n", *(const int64_t *)at); break;
    case PROTOBUF_C_TYPE_ENUM:
        fprintf(f, " %s\n", protobuf_c_enum_descriptor_get_value(field->descriptor, *(const int *)at)->name);
        break;
    case PROTOBUF_C_TYPE_BOOL: fprintf(f, " yes\n"); break;
    default: fprintf(f, " %" PRIu32 "\n", *(const uint32_t *)at); break;
    }
}

static size_t size_of(const ProtobufCFieldDescriptor *field)
{
    bool pointer = field->type == PROTOBUF_C_TYPE_STRING || field->type == PROTOBUF_C_TYPE_MESSAGE;
    bool wide = field->type == PROTOBUF_C_TYPE_UINT64 || field->type == PROTOBUF_C_TYPE_INT64;
    return pointer ? sizeof(void *) : wide ? sizeof(uint64_t) : sizeof(uint32_t);
}

static void put_message(FILE *f, const ProtobufCMessage *m, int depth)
{
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &m->descriptor->fields[i];
        const char *at = (const char *)m + field->offset;
        if (field->label != PROTOBUF_C_LABEL_REPEATED) {
            if (is_set(field, at))
                put_value(f, field, at, depth);
            continue;
        }
        size_t n = *(const size_t *)((const char *)m + field->quantifier_offset);
        for (size_t k = 0; k < n; k++)
            put_value(f, field, *(char *const *)at + k * size_of(field), depth);
    }
}

char *message_text(const ProtobufCMessage *m)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    put_message(f, m, 0);
    fclose(f);
    return text;
}
