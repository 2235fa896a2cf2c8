/* Rewrites libvirt's XML for another host (proto/types.proto, Relocation). Pure but for libxml2. */
#pragma once

#include "common/base/error.h"
#include "proto/types.pb-c.h"

/* A <domain>, or a <domainsnapshot> with the domains in it. Mapped are the places of disks and of what they are backed by, storage pools,
 * bridges, networks, and the files of a directly booted kernel and of the firmware's variables; a disk that is copied gets its new path
 * and loses its <backingStore>, which libvirt then reads from the new image. Everything else stays as it is. *ret is the caller's.
 * INVALID_ARGUMENT if it is neither. */
int relocate_xml(const char *xml, const Drover__V1__Relocation *relocation, char **ret, struct error *err);
