/* What libvirt's own configuration on a host has against migrations: for the rules of a move, and for the doctor's. */
#pragma once

#include "proto/facts.pb-c.h"
#include "proto/types.pb-c.h"

#include <stdbool.h>

/* qemu.conf's migrate_tls_force, if it is set; NULL: not, or not told. */
const Drover__V1__Setting *setting_tls_forced(const Drover__V1__Inspection *seen);

/* qemu.conf's migration_address, if QEMU listens on another address than that of agent.yaml. NULL too where one of them is a name. */
const Drover__V1__Setting *setting_listens_elsewhere(const Drover__V1__Inspection *seen,
                                                     const Drover__V1__HostReport *report);

/* The setting that names another address than agent.yaml's for other hosts to use, and does not stand in the way; NULL: none. */
const Drover__V1__Setting *setting_names_another(const Drover__V1__Inspection *seen,
                                                 const Drover__V1__HostReport *report);

/* libvirt_remote is for TLS, as it is where it names no transport. */
bool remote_is_tls(const Drover__V1__HostReport *report);

/* How whoever connects by libvirt_remote has to authenticate, beside certificates: "sasl", "polkit"; NULL: not at all, or not told. */
const char *remote_auth(const Drover__V1__HostReport *report);
