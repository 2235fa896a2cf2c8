/* Made hosts and guests for the tests of the coordinator's core: everything fits, until a test changes one thing. */
#pragma once

#include "coordinator/core/preflight.h"

#define GIB (1ULL << 30)
#define UUID_A "11111111-1111-4111-8111-11111111aaaa"
#define UUID_B "22222222-2222-4222-8222-22222222bbbb"

/* A host with 64 GiB, 48 free, KVM, bridge br0, network default, QEMU 7.2; up and told. Freed by fleet_deinit. */
struct fleet_host *made_host(struct fleet *fleet, const char *name);

/* What the host says of guests of "kvm" or "tcg". features: NULL at the end, or NULL for none. */
void made_accelerated(Drover__V1__HostReport *report, const char *accelerator, const char *cpu,
                      const char *const *features);

/* A running guest of 4 GiB and 2 vCPUs on br0 with an NFS disk. Good until the next guest of that host. */
struct fleet_guest *made_guest(struct fleet_host *host, const char *name, const char *uuid);

/* Replaces an owned string of a message. */
void made_string(char **field, const char *value);

Drover__V1__Disk *made_disk(Drover__V1__Guest *guest, const char *type, const char *source);
Drover__V1__StoragePool *made_pool(Drover__V1__HostReport *report, const char *name, const char *type,
                                   const char *path);
