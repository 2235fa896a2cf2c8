/* agent.yaml, checked and with its defaults filled in. */
#pragma once

#include "common/base/cleanup.h"
#include "common/base/error.h"
#include "common/base/log.h"

#include <stdbool.h>
#include <stdint.h>

struct agent_config {
    char *file;               /* where it came from */
    char *name;               /* as the coordinator's inventory calls it */
    bool hypervisor, storage; /* roles; at least one */
    char *listen;             /* tls+tcp://, tcp:// or ipc:// */
    char *agent_url;          /* where other agents reach this one; default: listen */
    bool agent_url_given;
    char *libvirt;           /* this host's; default qemu:///system */
    char *libvirt_remote;    /* by which other hosts' libvirt reaches it; default
                                qemu+tls://MIGRATION_ADDRESS/system */
    char *migration_address; /* where migration data comes in; default: the address of agent_url. NULL for
                                ipc:// alone */
    char *state_dir;         /* default /var/lib/drover-agent */
    char *hooks_dir;         /* default /etc/drover/hooks.d */
    int64_t hook_timeout_ms; /* of all hooks of one phase together; default 10 s */
    char *tls_ca, *tls_cert; /* NULL without TLS; relative names are next to the file */
    enum log_level log;
};

/* INVALID_ARGUMENT with "FILE:LINE:COLUMN: KEY: ..." or "FILE: KEY: ..." */
int agent_config_load(const char *file, struct agent_config **ret, struct error *err);
int agent_config_parse(const char *file, const char *text, size_t length, struct agent_config **ret,
                       struct error *err);
void agent_config_free(struct agent_config *config);
DEFINE_CLEANUP(struct agent_config *, agent_config_free);

/* True for plain tcp:// on anything but loopback: anyone who reaches the port commands this host. */
bool agent_config_exposed(const struct agent_config *config);
