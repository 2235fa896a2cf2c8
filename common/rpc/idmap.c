#include "common/rpc/idmap.h"

#include "common/base/memory.h"

#include <stdlib.h>
#include <string.h>

/* Clients choose ids, so a peer can make its own ids collide; the bound on calls bounds what that costs. */
static struct idmap_node **slot_of(const struct idmap *map, const struct call_id *id)
{
    uint64_t a, b;
    memcpy(&a, id->bytes, 8);
    memcpy(&b, id->bytes + 8, 8);
    uint64_t h = (a ^ b * 0x9e3779b97f4a7c15u) * 0xd6e8feb86659fd93u;
    return &map->slots[(h >> 32) & (map->slot_count - 1)];
}

static void grow(struct idmap *map)
{
    struct idmap larger = {.slot_count = map->slot_count ? map->slot_count * 2 : 64};
    larger.slots = xcalloc(larger.slot_count, sizeof(struct idmap_node *));
    for (size_t i = 0; i < map->slot_count; i++) {
        struct idmap_node *n = map->slots[i];
        while (n) {
            struct idmap_node *next = n->next, **slot = slot_of(&larger, &n->id);
            n->next = *slot;
            *slot = n;
            n = next;
        }
    }
    free(map->slots);
    map->slots = larger.slots;
    map->slot_count = larger.slot_count;
}

void idmap_put(struct idmap *map, struct idmap_node *node)
{
    if (map->count >= map->slot_count)
        grow(map);
    struct idmap_node **slot = slot_of(map, &node->id);
    node->next = *slot;
    *slot = node;
    map->count++;
}

struct idmap_node *idmap_get(const struct idmap *map, const struct call_id *id)
{
    if (!map->count)
        return NULL;
    struct idmap_node *n = *slot_of(map, id);
    while (n && memcmp(&n->id, id, sizeof(*id)) != 0)
        n = n->next;
    return n;
}

void idmap_remove(struct idmap *map, struct idmap_node *node)
{
    struct idmap_node **p = slot_of(map, &node->id);
    while (*p != node)
        p = &(*p)->next;
    *p = node->next;
    map->count--;
}

void idmap_deinit(struct idmap *map)
{
    free(map->slots);
    *map = (struct idmap){0};
}
