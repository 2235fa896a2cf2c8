#include "common/message/message.h"

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

void message_append(void *list, size_t *n, void *item)
{
    void ***field = list;
    *field = xrealloc(*field, *n + 1, sizeof(**field));
    (*field)[(*n)++] = item;
}

void message_append_text(char ***list, size_t *n, const char *text)
{
    message_append(list, n, xstrdup(text));
}

/* How many bytes from p on are one character of UTF-8 (RFC 3629); 0: none. */
static size_t utf8_character(const unsigned char *p)
{
    if (p[0] < 0x80)
        return 1;
    size_t n = p[0] >= 0xc2 && p[0] <= 0xdf   ? 2
               : (p[0] & 0xf0) == 0xe0        ? 3
               : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4
                                              : 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
    bool beyond = (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf4 && p[1] > 0x8f);
    return overlong || beyond ? 0 : n;
}

static void clean_text(char *text)
{
    for (unsigned char *p = (unsigned char *)text; p && *p;) {
        size_t n = utf8_character(p);
        if (n == 0)
            *p = '?';
        p += n ? n : 1;
    }
}

void message_clean(ProtobufCMessage *m)
{
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        void *at = (char *)m + f->offset;
        bool repeated = f->label == PROTOBUF_C_LABEL_REPEATED;
        size_t n = repeated ? *(const size_t *)((const char *)m + f->quantifier_offset) : 1;
        for (size_t k = 0; k < n; k++) {
            if (f->type == PROTOBUF_C_TYPE_STRING) {
                char *text = repeated ? (*(char ***)at)[k] : *(char **)at;
                if (text != protobuf_c_empty_string)
                    clean_text(text);
            } else if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
                ProtobufCMessage *below =
                    repeated ? (*(ProtobufCMessage ***)at)[k] : *(ProtobufCMessage **)at;
                if (below)
                    message_clean(below);
            }
        }
    }
}
