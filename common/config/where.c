#include "common/config/where.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

/* The value of a key; in a list written by name, where `name` is no key of its own, the entry's key. */
static yaml_node_t *by_key(yaml_document_t *doc, yaml_node_t *node, const char *key, size_t n,
                           yaml_node_t *entry_key)
{
    if (node->type != YAML_MAPPING_NODE)
        return NULL;
    for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top; p++) {
        yaml_node_t *k = yaml_document_get_node(doc, p->key);
        if (k->type == YAML_SCALAR_NODE && k->data.scalar.length == n &&
            memcmp(k->data.scalar.value, key, n) == 0)
            return yaml_document_get_node(doc, p->value);
    }
    return entry_key && n == 4 && memcmp(key, "name", 4) == 0 ? entry_key : NULL;
}

static yaml_node_t *by_index(yaml_document_t *doc, yaml_node_t *node, size_t index, yaml_node_t **ret_key)
{
    if (node->type == YAML_SEQUENCE_NODE) {
        yaml_node_item_t *item = node->data.sequence.items.start + index;
        return item < node->data.sequence.items.top ? yaml_document_get_node(doc, *item) : NULL;
    }
    if (node->type == YAML_MAPPING_NODE) {
        yaml_node_pair_t *pair = node->data.mapping.pairs.start + index;
        if (pair >= node->data.mapping.pairs.top)
            return NULL;
        *ret_key = yaml_document_get_node(doc, pair->key);
        return yaml_document_get_node(doc, pair->value);
    }
    return NULL;
}

static yaml_node_t *walk(yaml_document_t *doc, const char *path)
{
    yaml_node_t *node = yaml_document_get_root_node(doc), *entry_key = NULL;
    while (node && *path) {
        if (*path == '[') {
            char *end;
            node = by_index(doc, node, strtoul(path + 1, &end, 10), &entry_key);
            path = *end == ']' ? end + 1 : end;
        } else {
            path += *path == '.';
            size_t n = strcspn(path, ".[");
            node = by_key(doc, node, path, n, entry_key);
            entry_key = NULL;
            path += n;
        }
    }
    return node;
}

int yaml_where(const char *text, size_t length, const char *path, size_t *ret_line, size_t *ret_column)
{
    yaml_parser_t parser;
    yaml_document_t doc;
    int r = -1;
    if (!yaml_parser_initialize(&parser))
        return -1;
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, length);
    if (yaml_parser_load(&parser, &doc)) {
        yaml_node_t *node = walk(&doc, path);
        if (node) {
            *ret_line = node->start_mark.line + 1;
            *ret_column = node->start_mark.column + 1;
            r = 0;
        }
        yaml_document_delete(&doc);
    }
    yaml_parser_delete(&parser);
    return r;
}
