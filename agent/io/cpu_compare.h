/* May a guest with this CPU run on this host? libvirt's own judgement. */
#pragma once

#include "proto/probe.pb-c.h"

#include <libvirt/libvirt.h>

/* `xml` is a <cpu>; `type` "kvm" or "qemu". REFUTED says which features are missing here. */
void cpu_compare(virConnectPtr conn, const char *xml, const char *arch, const char *type,
                 Drover__V1__ProbeResult *result);
