/* A hash table of things that carry a call id: calls in flight, stored answers. Intrusive; not locked. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct call_id {
    uint8_t bytes[16]; /* 8 random ones of the client, and its counter (big-endian) */
};

struct idmap_node {
    struct idmap_node *next;
    struct call_id id;
};

struct idmap {
    struct idmap_node **slots;
    size_t slot_count, count;
};

void idmap_put(struct idmap *map, struct idmap_node *node); /* node->id is set and not in the map */
struct idmap_node *idmap_get(const struct idmap *map, const struct call_id *id);
void idmap_remove(struct idmap *map, struct idmap_node *node);
void idmap_deinit(struct idmap *map); /* the nodes stay their owners' */

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
