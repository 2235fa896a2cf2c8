#include "common/rpc/wire.h"

#include <stdbool.h>

#define MAX_DEPTH 16

/* Unicode 15, table 3-7: no overlong forms, no surrogates, nothing above U+10FFFF; and no NUL. */
static bool text_valid(const uint8_t *p, size_t len)
{
    const uint8_t *end = p + len;
    while (p < end) {
        uint8_t b = *p++;
        if (b - 1u < 0x7f)
            continue;
        unsigned more;
        uint8_t low = 0x80, high = 0xbf;
        if (b >= 0xc2 && b <= 0xdf) {
            more = 1;
        } else if (b >= 0xe0 && b <= 0xef) {
            more = 2;
            if (b == 0xe0)
                low = 0xa0;
            else if (b == 0xed)
                high = 0x9f;
        } else if (b >= 0xf0 && b <= 0xf4) {
            more = 3;
            if (b == 0xf0)
                low = 0x90;
            else if (b == 0xf4)
                high = 0x8f;
        } else {
            return false;
        }
        if ((size_t)(end - p) < more || *p < low || *p > high)
            return false;
        for (p++; --more; p++)
            if (*p < 0x80 || *p > 0xbf)
                return false;
    }
    return true;
}

static bool read_varint(const uint8_t **p, const uint8_t *end, uint64_t *ret)
{
    uint64_t v = 0;
    for (unsigned shift = 0; *p < end && shift < 70; shift += 7) {
        uint8_t b = *(*p)++;
        v |= shift < 64 ? (uint64_t)(b & 0x7f) << shift : 0;
        if (!(b & 0x80)) {
            *ret = v;
            return true;
        }
    }
    return false;
}

static int malformed(const ProtobufCMessageDescriptor *desc, const char *what, struct error *err)
{
    return error_set(err, STATUS_INVALID_ARGUMENT,
                     "not a valid %s: %s; is the other side of the same version?", desc->name, what);
}

static int check(const ProtobufCMessageDescriptor *desc, const uint8_t *p, size_t len, unsigned depth,
                 struct error *err)
{
    const uint8_t *end = p + len;
    if (depth > MAX_DEPTH)
        return malformed(desc, "messages nest deeper than 16", err);
    while (p < end) {
        uint64_t tag, n = 0;
        if (!read_varint(&p, end, &tag) || tag > UINT32_MAX || tag >> 3 == 0)
            return malformed(desc, "a bad tag", err);
        switch (tag & 7) {
        case PROTOBUF_C_WIRE_TYPE_VARINT:
            if (!read_varint(&p, end, &n))
                return malformed(desc, "a cut number", err);
            continue;
        case PROTOBUF_C_WIRE_TYPE_64BIT: n = 8; break;
        case PROTOBUF_C_WIRE_TYPE_32BIT: n = 4; break;
        case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
            if (!read_varint(&p, end, &n))
                return malformed(desc, "a cut length", err);
            break;
        default: return malformed(desc, "an unknown wire type", err);
        }
        if (n > (uint64_t)(end - p))
            return malformed(desc, "it ends in the middle of a field", err);
        if ((tag & 7) == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED) {
            const ProtobufCFieldDescriptor *f =
                protobuf_c_message_descriptor_get_field(desc, (unsigned)(tag >> 3));
            if (f && f->type == PROTOBUF_C_TYPE_STRING && !text_valid(p, n))
                return error_set(err, STATUS_INVALID_ARGUMENT,
                                 "not a valid %s: field '%s' is not UTF-8 text without a NUL", desc->name,
                                 f->name);
            if (f && f->type == PROTOBUF_C_TYPE_MESSAGE) {
                int r = check(f->descriptor, p, n, depth + 1, err);
                if (r < 0)
                    return r;
            }
        }
        p += n;
    }
    return 0;
}

int wire_check(const ProtobufCMessageDescriptor *desc, const uint8_t *data, size_t len, struct error *err)
{
    return len ? check(desc, data, len, 1, err) : 0; /* `data` may be NULL then */
}

int wire_unpack(const ProtobufCMessageDescriptor *desc, const uint8_t *data, size_t len, struct arena *arena,
                ProtobufCMessage **ret, struct error *err)
{
    int r = wire_check(desc, data, len, err);
    if (r < 0)
        return r;
    size_t budget = arena->budget;
    ProtobufCMessage *m = protobuf_c_message_unpack(desc, &arena->allocator, len, data);
    if (!m && arena->exhausted)
        return error_set(
            err, STATUS_RESOURCE_EXHAUSTED,
            "a %s of %zu bytes needs more than the %zu bytes of memory that a message may take; send less",
            desc->name, len, budget);
    if (!m)
        return malformed(desc, "protobuf-c cannot unpack it", err);
    *ret = m;
    return 0;
}
