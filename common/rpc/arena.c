#include "common/rpc/arena.h"

#include "common/rpc/block.h"

#include <stdint.h>

#define CHUNK_MIN 4096u
#define CHUNK_MAX (256u * 1024) /* they double up to here */
#define ALIGN 16

struct arena_chunk {
    struct arena_chunk *next;
    size_t size;
};
_Static_assert(sizeof(struct arena_chunk) % ALIGN == 0, "what follows a chunk's head is aligned");

static void *arena_alloc(void *data, size_t size)
{
    struct arena *a = data;
    a->exhausted = true; /* until it has turned out well */
    if (size > SIZE_MAX - 2 * CHUNK_MAX)
        return NULL;
    size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (!size)
        size = ALIGN;
    if ((size_t)(a->end - a->pos) < size) {
        size_t need = size + sizeof(struct arena_chunk);
        size_t take = a->chunks && a->chunks->size < CHUNK_MAX ? 2 * a->chunks->size
                      : a->chunks                              ? CHUNK_MAX
                                                               : CHUNK_MIN;
        if (take < need || take > a->budget)
            take = need < CHUNK_MIN && CHUNK_MIN <= a->budget ? CHUNK_MIN : need;
        if (take > a->budget)
            return NULL;
        struct arena_chunk *c = block_alloc(take);
        if (!c)
            return NULL;
        a->budget -= take;
        *c = (struct arena_chunk){a->chunks, take};
        a->chunks = c;
        a->exhausted = false;
        if (take == need)
            return c + 1; /* a large one of its own: what is left of the current chunk stays in use */
        a->pos = (char *)(c + 1);
        a->end = (char *)c + take;
    }
    void *p = a->pos;
    a->pos += size;
    a->exhausted = false;
    return p;
}

static void arena_ignore_free(void *data, void *p)
{
    (void)data;
    (void)p;
}

void arena_init(struct arena *a, void *first, size_t first_size, size_t budget)
{
    uintptr_t skip = -(uintptr_t)first & (ALIGN - 1);
    *a = (struct arena){.allocator = {arena_alloc, arena_ignore_free, a}, .budget = budget};
    if (first_size > skip) {
        a->first = (char *)first + skip;
        a->first_size = (first_size - skip) & ~(size_t)(ALIGN - 1);
    }
    a->pos = a->first;
    a->end = a->first ? a->first + a->first_size : NULL;
}

void arena_clear(struct arena *a, size_t budget)
{
    while (a->chunks) {
        struct arena_chunk *next = a->chunks->next;
        block_free(a->chunks, a->chunks->size);
        a->chunks = next;
    }
    a->budget = budget;
    a->exhausted = false;
    a->pos = a->first;
    a->end = a->first ? a->first + a->first_size : NULL;
}
