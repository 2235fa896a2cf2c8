/* The defaults of struct rpc_limits. */
#pragma once

#include "common/rpc/rpc.h"

static inline void limits_fill(struct rpc_limits *l)
{
    const struct {
        uint32_t *field, value;
    } defaults[] = {
        {&l->frame_bytes, 4 << 20},   {&l->unpack_bytes, 16 << 20}, {&l->calls, 256},
        {&l->queued_bytes, 16 << 20}, {&l->connections, 1024},      {&l->handshake_ms, 3000},
        {&l->keepalive_ms, 5000},     {&l->stream_items, 64},       {&l->stored_answers, 4096},
    };
    for (unsigned i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++)
        if (!*defaults[i].field)
            *defaults[i].field = defaults[i].value;
}
