/* Configuration text of any kind: no crash, no leak, and an error has a text that names the file. What loads by name lists
 * must load after the rewrite, too (INTERNAL is a defect). */
#include "common/config/where.h"
#include "common/config/yaml.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct item {
    char *name, *agent;
    bool spare;
};

struct conf {
    char *name;
    int32_t workers;
    uint8_t level;
    bool loud;
    double share;
    int role;
    uint32_t allow;
    char **listen;
    unsigned listen_count;
    struct item *hosts;
    unsigned hosts_count;
    char *note;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const cyaml_strval_t roles[] = {{"hypervisor", 1}, {"storage", 2}};
static const cyaml_schema_value_t text = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, 64)};
static const cyaml_schema_field_t item_fields[] = {
    CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct item, name, 0, 64),
    CYAML_FIELD_STRING_PTR("agent", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct item, agent, 0, 64),
    CYAML_FIELD_BOOL("spare", CYAML_FLAG_OPTIONAL, struct item, spare),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t item = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct item, item_fields)};
static const cyaml_schema_field_t fields[] = {
    CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct conf, name, 0, 64),
    CYAML_FIELD_INT("workers", CYAML_FLAG_OPTIONAL, struct conf, workers),
    CYAML_FIELD_UINT("level", CYAML_FLAG_OPTIONAL, struct conf, level),
    CYAML_FIELD_BOOL("loud", CYAML_FLAG_OPTIONAL, struct conf, loud),
    CYAML_FIELD_FLOAT("share", CYAML_FLAG_OPTIONAL, struct conf, share),
    CYAML_FIELD_ENUM("role", CYAML_FLAG_OPTIONAL, struct conf, role, roles, 2),
    CYAML_FIELD_FLAGS("allow", CYAML_FLAG_OPTIONAL, struct conf, allow, roles, 2),
    CYAML_FIELD_SEQUENCE("listen", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct conf, listen, &text, 0,
                         3),
    CYAML_FIELD_SEQUENCE("hosts", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct conf, hosts, &item, 0,
                         CYAML_UNLIMITED),
    CYAML_FIELD_STRING_PTR("note", CYAML_FLAG_POINTER_NULL_STR | CYAML_FLAG_OPTIONAL, struct conf, note, 0,
                           64),
    CYAML_FIELD_IGNORE("comment", CYAML_FLAG_OPTIONAL),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t schema = {CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct conf, fields)};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* A copy without a byte after its end, so that reading on is seen. */
    char *copy = malloc(size ? size : 1);
    memcpy(copy, data, size);
    void *conf = NULL;
    struct error err = {0};
    int r = yaml_load_text("f.yaml", copy, size, &schema, &conf, &err);
    if (r < 0 && (conf || r == -STATUS_INTERNAL || strncmp(err.text, "f.yaml:", 7) != 0))
        abort();
    /* Whatever passes the check must be fine for libcyaml; its errors are in parentheses. */
    if (r < 0 && err.text[strlen(err.text) - 1] == ')' && strstr(err.text, "(Load: "))
        abort();
    if (r == 0 && !conf)
        abort();
    yaml_unload(&schema, conf);
    size_t line, column;
    if (r == 0 && yaml_where(copy, size, "hosts[0].agent", &line, &column) == 0 && (line == 0 || column == 0))
        abort();

    /* The same bytes as a word. */
    char word[80] = "";
    memcpy(word, copy, size < sizeof(word) - 1 ? size : sizeof(word) - 1);
    int64_t n = 0;
    if ((parse_duration_ms(word, &n, NULL) == 0 && n < 0) || (parse_rate(word, &n, NULL) == 0 && n < 0) ||
        (parse_size(word, &n, NULL) == 0 && n < 0))
        abort();
    free(copy);
    return 0;
}
