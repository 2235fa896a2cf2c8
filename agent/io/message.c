#include "agent/io/message.h"

#include "common/base/cleanup.h"
#include "common/base/memory.h"

#include <string.h>

static uint8_t *pack(const ProtobufCMessage *m, size_t *ret_size)
{
    *ret_size = protobuf_c_message_get_packed_size(m);
    uint8_t *bytes = xcalloc(1, *ret_size);
    protobuf_c_message_pack(m, bytes);
    return bytes;
}

ProtobufCMessage *message_copy(const ProtobufCMessage *m)
{
    size_t size;
    _cleanup_free_ uint8_t *bytes = pack(m, &size);
    ProtobufCMessage *copy = protobuf_c_message_unpack(m->descriptor, NULL, size, bytes);
    if (!copy)
        abort(); /* what was just packed can be unpacked, unless memory is out */
    return copy;
}

bool message_same(const ProtobufCMessage *a, const ProtobufCMessage *b)
{
    if (!a || !b)
        return a == b;
    if (protobuf_c_message_get_packed_size(a) != protobuf_c_message_get_packed_size(b))
        return false;
    size_t size;
    _cleanup_free_ uint8_t *pa = pack(a, &size), *pb = pack(b, &size);
    return memcmp(pa, pb, size) == 0;
}
