/* Frames: proto/envelope.proto with a length of 4 bytes (big-endian) in front. */
#pragma once

#include "common/base/error.h"
#include "common/rpc/arena.h"
#include "common/rpc/buffer.h"
#include "proto/envelope.pb-c.h"

#define FRAME_VERSION 1
#define FRAME_LENGTH_BYTES 4

#define FRAME(kind_, ...)                                                                                    \
    ((Drover__V1__Frame){PROTOBUF_C_MESSAGE_INIT(&drover__v1__frame__descriptor),                            \
                         .kind = DROVER__V1__FRAME__KIND__##kind_, ##__VA_ARGS__})

/* Appends the frame; `body` (may be NULL) is packed in place as its payload, without a copy in between.
 * RESOURCE_EXHAUSTED, with nothing appended, when it is larger than `max` bytes. */
int frame_append(struct buffer *out, const Drover__V1__Frame *frame, const ProtobufCMessage *body, size_t max,
                 struct error *err);

/* How many bytes the first frame in `in` has, without its length; -RESOURCE_EXHAUSTED when it says more than `max`,
 * -OUT_OF_RANGE when even the length is not there yet. */
int64_t frame_length(const struct buffer *in, size_t max);

/* Checks and unpacks a frame of `len` bytes. It lives in the arena. */
int frame_parse(const uint8_t *data, size_t len, struct arena *arena, const Drover__V1__Frame **ret,
                struct error *err);
