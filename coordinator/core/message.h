/* Messages that are owned and changed in place, as if they had been unpacked. */
#pragma once

#include "proto/types.pb-c.h"

#include <stddef.h>

/* Replaces a text; NULL is "". */
void set_text(char **field, const char *text);

/* A deep copy, freed as if it had been unpacked. */
ProtobufCMessage *message_clone(const ProtobufCMessage *message);

/* Copies of findings, added to an owned array. */
void findings_add(size_t *n, Drover__V1__Finding ***list, Drover__V1__Finding *const *more, size_t n_more);
