/* Bytes that are appended at the end and taken from the start. */
#pragma once

#include "common/rpc/block.h"

#include <stdint.h>
#include <string.h>

struct buffer {
    uint8_t *data;
    size_t start, end, size; /* [start, end) holds bytes */
};

static inline size_t buffer_len(const struct buffer *b)
{
    return b->end - b->start;
}

/* Makes room for n more bytes after `end`, and returns where they go. */
static inline uint8_t *buffer_room(struct buffer *b, size_t n)
{
    if (b->size - b->end < n) {
        size_t len = buffer_len(b);
        if (b->start >= n && b->start >= len && b->size >= len + n) {
            memcpy(b->data, b->data + b->start, len);
        } else {
            size_t size = b->size ? b->size : 4096;
            while (size < len + n)
                size *= 2;
            uint8_t *data = block_alloc(size);
            if (!data)
                abort(); /* out of memory */
            if (len)
                memcpy(data, b->data + b->start, len);
            block_free(b->data, b->size);
            b->data = data;
            b->size = size;
        }
        b->start = 0;
        b->end = len;
    }
    return b->data + b->end;
}

/* Forgets the first n bytes. An empty buffer that has grown large gives its memory back. */
static inline void buffer_take(struct buffer *b, size_t n)
{
    b->start += n;
    if (b->start == b->end) {
        b->start = b->end = 0;
        if (b->size > 4 * BLOCK_LARGE) {
            block_free(b->data, b->size);
            *b = (struct buffer){0};
        }
    }
}

static inline void buffer_free(struct buffer *b)
{
    block_free(b->data, b->size);
    *b = (struct buffer){0};
}
