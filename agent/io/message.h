/* Protobuf messages as values. */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

/* Freed with protobuf_c_message_free_unpacked, as the type's own function does. */
ProtobufCMessage *message_copy(const ProtobufCMessage *message);

/* Of one type; NULL is the same as NULL only. */
bool message_same(const ProtobufCMessage *a, const ProtobufCMessage *b);
