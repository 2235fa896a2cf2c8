#include "coordinator/driver_internal.h"

#include "common/base/memory.h"

#include <string.h>

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

char *finding_sentence(const Drover__V1__Finding *f)
{
    char *text = xasprintf("%s%s%s", f->subject, f->subject[0] && f->seen[0] ? ": " : "", f->seen);
    if (!f->expected[0])
        return text;
    char *longer = xasprintf("%s (expected: %s)", text, f->expected);
    free(text);
    return longer;
}

void say_ms(int64_t ms, char text[32])
{
    if (ms < 1000)
        snprintf(text, 32, "%lld ms", (long long)ms);
    else if (ms < 120000)
        snprintf(text, 32, "%lld.%lld s", (long long)ms / 1000, (long long)ms % 1000 / 100);
    else
        snprintf(text, 32, "%lld min %lld s", (long long)ms / 60000, (long long)ms % 60000 / 1000);
}

void say_bytes(uint64_t bytes, char text[32])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    unsigned u = 0;
    while (value >= 1024 && u < 4) {
        value /= 1024;
        u++;
    }
    snprintf(text, 32, u > 0 && value < 10 ? "%.1f %s" : "%.0f %s", value, units[u]);
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
