/* Opens an image as QEMU would, by qemu-img: read-only and without taking its lock, so also while a guest uses it. */
#pragma once

#include "agent/io/limit.h"
#include "proto/probe.pb-c.h"

#include <stddef.h>

/* `name`: a path, or what qemu-img takes: nfs://HOST/PATH, iscsi://PORTAL/IQN/LUN, nbd://, gluster://, rbd:. `format`: empty: probed. */
void image_open(const struct limit *limit, const char *name, const char *format,
                Drover__V1__ProbeResult *result);

/* An iscsi:// URL for image_open, opened with this initiator's IQN, which no URL can name (QEMU's qapi/block-core.json,
 * BlockdevOptionsIscsi). NULL: it is no such URL, or has no unit. The caller's. */
char *image_of_initiator(const char *url, const char *initiator);

/* The output of "qemu-img info --output=json --backing-chain". False if it is none. */
bool image_parse(const char *json, Drover__V1__ProbeResult *result);
