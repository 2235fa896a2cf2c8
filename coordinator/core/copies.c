#include "coordinator/core/copies.h"

#include "common/base/memory.h"

#include <stdlib.h>

/* The key's slot, or the free one where it would be. A slot that was used once keeps its key: guests come back. */
static struct copies_slot *slot_of(const struct copies *c, uint64_t key)
{
    size_t i = (size_t)key & (c->size - 1);
    while (c->slots[i].key && c->slots[i].key != key)
        i = (i + 1) & (c->size - 1);
    return &c->slots[i];
}

static void grow(struct copies *c)
{
    struct copies bigger = {.size = c->size ? c->size : 64};
    size_t living = 0;
    for (size_t i = 0; i < c->size; i++)
        living += c->slots[i].n > 0;
    while (bigger.size < 4 * (living + 1))
        bigger.size *= 2;
    bigger.slots = xcalloc(bigger.size, sizeof(*bigger.slots));
    for (size_t i = 0; i < c->size; i++)
        if (c->slots[i].n) {
            *slot_of(&bigger, c->slots[i].key) = c->slots[i];
            bigger.used++;
        }
    free(c->slots);
    *c = bigger;
}

void copies_add(struct copies *c, uint64_t key)
{
    key = key ? key : 1;
    if (2 * (c->used + 1) > c->size)
        grow(c);
    struct copies_slot *s = slot_of(c, key);
    c->used += !s->key;
    s->key = key;
    s->n++;
}

void copies_remove(struct copies *c, uint64_t key)
{
    struct copies_slot *s = c->size ? slot_of(c, key ? key : 1) : NULL;
    if (s && s->n)
        s->n--;
}

uint32_t copies_count(const struct copies *c, uint64_t key)
{
    return c->size ? slot_of(c, key ? key : 1)->n : 0;
}

void copies_deinit(struct copies *c)
{
    free(c->slots);
    *c = (struct copies){0};
}
