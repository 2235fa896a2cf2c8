/* Messages as JSON: the proto's field names, enum values as lower-case words ("done", "post-copy"), all fields, except
 * messages that are absent. Text is made valid UTF-8; control characters in it are JSON's business and stay. */
#pragma once

#include <jansson.h>
#include <protobuf-c/protobuf-c.h>

json_t *json_of_message(const ProtobufCMessage *message);

/* "done" for JOB_DONE of JobState; "?" for a number this version does not know. The result is static per thread. */
const char *enum_word(const ProtobufCEnumDescriptor *descriptor, int value);
