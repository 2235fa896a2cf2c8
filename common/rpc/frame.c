#include "common/rpc/frame.h"

#include "common/rpc/wire.h"

#define PAYLOAD_TAG (6 << 3 | PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED)

static size_t varint_put(uint8_t *p, uint64_t v)
{
    size_t n = 0;
    for (; v >= 0x80; v >>= 7)
        p[n++] = (uint8_t)(v | 0x80);
    p[n++] = (uint8_t)v;
    return n;
}

int frame_append(struct buffer *out, const Drover__V1__Frame *frame, const ProtobufCMessage *body, size_t max,
                 struct error *err)
{
    uint8_t prefix[11] = {PAYLOAD_TAG};
    size_t body_len = body ? protobuf_c_message_get_packed_size(body) : 0;
    size_t prefix_len = body_len ? 1 + varint_put(prefix + 1, body_len) : 0;
    size_t head_len = protobuf_c_message_get_packed_size(&frame->base);
    size_t len = head_len + prefix_len + body_len;
    if (len > max)
        return error_set(
            err, STATUS_RESOURCE_EXHAUSTED,
            "a message of %zu bytes is larger than a frame may be (%zu bytes): ask for less at a time", len,
            max);
    uint8_t *p = buffer_room(out, FRAME_LENGTH_BYTES + len);
    for (unsigned i = 0; i < FRAME_LENGTH_BYTES; i++)
        *p++ = (uint8_t)(len >> (24 - 8 * i));
    p += protobuf_c_message_pack(&frame->base, p);
    if (body_len) {
        memcpy(p, prefix, prefix_len);
        protobuf_c_message_pack(body, p + prefix_len);
    }
    out->end += FRAME_LENGTH_BYTES + len;
    return 0;
}

int64_t frame_length(const struct buffer *in, size_t max)
{
    if (buffer_len(in) < FRAME_LENGTH_BYTES)
        return -STATUS_OUT_OF_RANGE;
    const uint8_t *p = in->data + in->start;
    size_t len = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
    return len > max ? -STATUS_RESOURCE_EXHAUSTED : (int64_t)len;
}

int frame_parse(const uint8_t *data, size_t len, struct arena *arena, const Drover__V1__Frame **ret,
                struct error *err)
{
    ProtobufCMessage *m = NULL;
    int r = wire_unpack(&drover__v1__frame__descriptor, data, len, arena, &m, err);
    if (r < 0)
        return r;
    *ret = (const Drover__V1__Frame *)m;
    return 0;
}
