/* Protobuf messages as values. */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

/* Freed with protobuf_c_message_free_unpacked, as the type's own function does. */
ProtobufCMessage *message_copy(const ProtobufCMessage *message);

/* Of one type; NULL is the same as NULL only. */
bool message_same(const ProtobufCMessage *a, const ProtobufCMessage *b);

/* Appends to a repeated field; the item becomes the message's. `list` is the address of the field. */
void message_append(void *list, size_t *n, void *item);
void message_append_text(char ***list, size_t *n, const char *text);

/* What hosts' files say may be no text: bytes that are not UTF-8 become '?', because a receiver refuses a message with them. */
void message_clean(ProtobufCMessage *message);
