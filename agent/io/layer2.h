/* Are two bridges one network? An Ethernet frame (EtherType 0x88B5, IEEE 802's for experiments) with a nonce, broadcast on one bridge,
 * heard on the other. */
#pragma once

#include "agent/io/limit.h"
#include "proto/probe.pb-c.h"

#include <stddef.h>

enum { LAYER2_TYPE = 0x88B5, LAYER2_FRAME_MAX = 128, LAYER2_FRAME_MIN = 60, LAYER2_EVERY_MS = 50 };

/* The frame; returns its length. The parser is for whatever comes along: true if it is one with this nonce. */
size_t layer2_make(const unsigned char mac[6], const char *nonce, unsigned char frame[LAYER2_FRAME_MAX]);
bool layer2_is(const unsigned char *frame, size_t n, const char *nonce);

/* Hears the first one, or nothing until the limit. */
void layer2_listen(const struct limit *limit, const char *bridge, const char *nonce,
                   Drover__V1__ProbeResult *result);

/* Sends one every LAYER2_EVERY_MS until the limit. */
void layer2_send(const struct limit *limit, const char *bridge, const char *nonce,
                 Drover__V1__ProbeResult *result);
