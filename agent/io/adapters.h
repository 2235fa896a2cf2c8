/* Ports to storage networks, from sysfs: FC and FCoE (fc_host, fc_remote_ports), iSCSI (iscsi_host, iscsi_session), SRP (srp_host,
 * srp_remote_ports). */
#pragma once

#include "proto/facts.pb-c.h"

#include <stdbool.h>
#include <stddef.h>

/* Messages are the caller's. */
size_t adapters_read(const char *sysfs, Drover__V1__Adapter ***ret);

/* The FC host ("host3") speaks over Ethernet. */
bool adapters_is_fcoe(const char *sysfs, const char *host);
