/* Memory of a size that peers choose. Large blocks come from the system and go back to it: malloc would keep them, for each
 * of nng's threads, so that a burst of large frames would stay with the program for ever. NULL when there is none. */
#pragma once

#include <stdlib.h>
#include <sys/mman.h>

#define BLOCK_LARGE (64u * 1024)

static inline void *block_alloc(size_t size)
{
    if (size < BLOCK_LARGE)
        return malloc(size);
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static inline void block_free(void *p, size_t size)
{
    if (p && size >= BLOCK_LARGE)
        munmap(p, size);
    else
        free(p);
}
