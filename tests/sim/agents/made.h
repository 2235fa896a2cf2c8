/* Made-up hosts and guests, about as large on the wire as real ones: 64 CPU features, 40 machine types, two disks a guest. */
#pragma once

#include "proto/agent.pb-c.h"

/* Freed with their free_unpacked. */
Drover__V1__HostReport *made_host(unsigned number, const char *url, unsigned guests);
Drover__V1__Guest *made_guest(unsigned host, unsigned number);
Drover__V1__Measured *made_measured(unsigned host, unsigned guests);

const char *made_site(unsigned host);
