/* A protobuf message as lines of text, for tests to compare with what they expect. */
#pragma once

#include <protobuf-c/protobuf-c.h>

/* "field: value" for each field that is set, one a line, messages indented by two. The caller's. */
char *message_text(const ProtobufCMessage *message);
