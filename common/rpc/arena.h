/* Memory for one unpacked message, with a byte budget: what a peer sends can't take more, however it is made (empty
 * repeated items amplify 72 times). An allocation over the budget gives NULL, and protobuf-c then gives up the message.
 * All is freed at once by arena_clear. Must not be moved. */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>

struct arena {
    ProtobufCAllocator allocator;
    size_t budget;  /* bytes that may still be taken from the system */
    bool exhausted; /* an allocation was refused */
    struct arena_chunk *chunks;
    char *pos, *end;
    char *first; /* memory of the owner, used before malloc is */
    size_t first_size;
};

void arena_init(struct arena *a, void *first, size_t first_size, size_t budget);

/* Frees everything; the arena may be used again, with the budget given. */
void arena_clear(struct arena *a, size_t budget);
