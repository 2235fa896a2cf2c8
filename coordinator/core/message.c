#include "coordinator/core/message.h"

#include "common/base/cleanup.h"
#include "common/base/memory.h"

#include <stdlib.h>

static const char *or_empty(const char *s)
{
    return s ? s : "";
}

void set_text(char **field, const char *text)
{
    char *old = *field;
    *field = xstrdup(or_empty(text));
    if (old && old != protobuf_c_empty_string)
        free(old);
}

ProtobufCMessage *message_clone(const ProtobufCMessage *message)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    _cleanup_free_ uint8_t *packed = xcalloc(size, 1);
    protobuf_c_message_pack(message, packed);
    ProtobufCMessage *copy = protobuf_c_message_unpack(message->descriptor, NULL, size, packed);
    if (!copy)
        abort(); /* only out of memory gets here */
    return copy;
}

void findings_add(size_t *n, Drover__V1__Finding ***list, Drover__V1__Finding *const *more, size_t n_more)
{
    if (n_more == 0)
        return;
    *list = xrealloc(*list, *n + n_more, sizeof(**list));
    for (size_t i = 0; i < n_more; i++)
        (*list)[(*n)++] = (Drover__V1__Finding *)message_clone(&more[i]->base);
}
