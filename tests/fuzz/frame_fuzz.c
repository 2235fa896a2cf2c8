/* Bytes as they come from a peer: frames, and a payload in each. What is taken must survive being packed again. */
#include "common/rpc/frame.h"
#include "common/rpc/wire.h"
#include "proto/agent.pb-c.h"

#define BUDGET (256 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_again(const Drover__V1__Frame *f)
{
    struct buffer b = {0};
    struct arena arena;
    const Drover__V1__Frame *again = NULL;
    arena_init(&arena, NULL, 0, BUDGET * 4);
    if (frame_append(&b, f, NULL, BUDGET, NULL) == 0) {
        int64_t len = frame_length(&b, BUDGET);
        if (len < 0 || (size_t)len + FRAME_LENGTH_BYTES != buffer_len(&b) ||
            frame_parse(b.data + FRAME_LENGTH_BYTES, (size_t)len, &arena, &again, NULL) < 0 ||
            again->payload.len != f->payload.len || again->n_metadata != f->n_metadata)
            abort();
    }
    arena_clear(&arena, 0);
    buffer_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buffer in = {0};
    struct arena arena;
    char memory[512];
    memcpy(buffer_room(&in, size + 1), data, size);
    in.end = size;
    for (;;) {
        int64_t len = frame_length(&in, BUDGET);
        if (len < 0 || buffer_len(&in) < (size_t)len + FRAME_LENGTH_BYTES)
            break;
        const Drover__V1__Frame *f = NULL;
        struct error err;
        arena_init(&arena, memory, sizeof(memory), BUDGET);
        if (frame_parse(in.data + in.start + FRAME_LENGTH_BYTES, (size_t)len, &arena, &f, &err) == 0) {
            ProtobufCMessage *m = NULL;
            check_again(f);
            wire_unpack(&drover__v1__frame__descriptor, f->payload.data, f->payload.len, &arena, &m, &err);
            for (unsigned i = 0; i < drover__v1__agent__descriptor.n_methods; i++)
                wire_unpack(drover__v1__agent__descriptor.methods[i].input, f->payload.data, f->payload.len,
                            &arena, &m, &err);
        }
        arena_clear(&arena, 0);
        buffer_take(&in, (size_t)len + FRAME_LENGTH_BYTES);
    }
    buffer_free(&in);
    return 0;
}
