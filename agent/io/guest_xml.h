/* A domain's XML, as libvirt gives it, as a message. Pure but for libxml2: no network, no entities, at most 4 MiB. */
#pragma once

#include "common/base/error.h"
#include "proto/types.pb-c.h"

#include <stddef.h>

/* Fills what the XML says; state, persistence, autostart, snapshots and jobs are not in it. The guest is freed with
 * drover__v1__guest__free_unpacked(guest, NULL). INVALID_ARGUMENT if it is no domain with a name and a UUID. */
int guest_xml_parse(const char *xml, size_t length, Drover__V1__Guest **ret, struct error *err);
