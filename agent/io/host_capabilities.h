/* What libvirt says of the host that changes only with libvirt's restart. */
#pragma once

#include "common/base/error.h"
#include "proto/types.pb-c.h"

#include <libvirt/libvirt.h>

/* Blocks. Fills versions, UUID, host name, CPU, machine types, accelerators. */
int host_capabilities_read(virConnectPtr conn, Drover__V1__HostReport *report, struct error *err);

/* The part of it that is in virConnectGetCapabilities' XML: UUID, CPU, and the machine types of the host's architecture. */
int host_capabilities_parse(const char *xml, size_t length, Drover__V1__HostReport *report,
                            struct error *err);
