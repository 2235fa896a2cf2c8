/* libvirt's networks and storage pools. */
#pragma once

#include "common/base/error.h"
#include "proto/facts.pb-c.h"
#include "proto/types.pb-c.h"

#include <libvirt/libvirt.h>

/* Block. Fill the report's lists; what can't be read is left out. Capacity is what libvirt knows: refreshing is not ours. */
void host_networks_read(virConnectPtr conn, Drover__V1__HostReport *report);
void host_pools_read(virConnectPtr conn, Drover__V1__HostReport *report);

/* Of it: the VLANs that a network's XML gives to guests. */
void host_network_parse(const char *xml, Drover__V1__Network *network);

/* Where "POOL/VOLUME" lies here. Owned by the caller; NULL: `err` says why not. Blocks. */
char *host_volume_path(virConnectPtr conn, const char *volume, struct error *err);

/* Volumes of the active pools, at most `max`. Returns their number; the list is the caller's. */
size_t host_volumes_read(virConnectPtr conn, size_t max, Drover__V1__Volume ***ret);
