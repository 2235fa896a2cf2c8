/* libvirt's domain capabilities: what guests of one accelerator may have on this host. */
#pragma once

#include "common/base/error.h"
#include "proto/types.pb-c.h"

#include <stddef.h>

/* Fills cpu and features. INVALID_ARGUMENT if it is no such document. */
int domain_capabilities_parse(const char *xml, size_t length, Drover__V1__Accelerated *to, struct error *err);
