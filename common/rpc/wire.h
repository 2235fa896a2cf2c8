/* Checks that protobuf-c doesn't make, on the packed bytes, before it sees them. */
#pragma once

#include "common/base/error.h"
#include "common/rpc/arena.h"

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

/* Strings must be UTF-8 without an embedded NUL (protobuf-c would cut them there), and messages at most 16 deep
 * (protobuf-c recurses without a limit). INVALID_ARGUMENT names the field. */
int wire_check(const ProtobufCMessageDescriptor *desc, const uint8_t *data, size_t len, struct error *err);

/* Checks and unpacks into the arena. INVALID_ARGUMENT, or RESOURCE_EXHAUSTED when the arena's budget is used up. */
int wire_unpack(const ProtobufCMessageDescriptor *desc, const uint8_t *data, size_t len, struct arena *arena,
                ProtobufCMessage **ret, struct error *err);
