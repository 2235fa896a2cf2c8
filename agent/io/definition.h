/* A guest's definition, as it leaves one host and arrives at the other. Blocks: workers only. */
#pragma once

#include "agent/io/libvirt.h"
#include "proto/agent.pb-c.h"

/* The XML (inactive, secure, migratable), persistence, autostart, and of a guest that is shut off its snapshots, parents
 * first. Freed with drover__v1__definition__free_unpacked(definition, NULL). */
int definition_read(virDomainPtr domain, Drover__V1__Definition **ret, struct error *err);

/* Makes the domain persistent by the definition; a transient guest stays transient. Snapshots are told to libvirt again
 * (their data is in the disks). May be done twice. */
int definition_define(virConnectPtr conn, const Drover__V1__Definition *definition, struct error *err);
