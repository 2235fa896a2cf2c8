/* coordinator.yaml, checked and with its defaults filled in. */
#pragma once

#include "common/base/cleanup.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "coordinator/core/guest_rules.h"
#include "coordinator/core/mapping.h"
#include "coordinator/core/policies.h"
#include "proto/types.pb-c.h"

#include <stdbool.h>
#include <stddef.h>

struct config_host {
    char *name;         /* as its agent calls itself */
    char *agent;        /* URL */
    char *site;         /* "" if not given */
    uint64_t bandwidth; /* bytes per second of its network that moves may use; 0: not given */
};

struct config_link { /* between two sites */
    char *sites[2];
    uint64_t bandwidth;
    int64_t delay_ms; /* from one to the other: half of what ping shows; 0: not given */
};

struct coordinator_config {
    char *file;    /* where it came from */
    char **listen; /* ipc://, tls+tcp://, tcp://; default ipc:///run/drover/coordinator.sock */
    size_t n_listen;
    char *store;             /* default /var/lib/drover/coordinator.db */
    int64_t history_ms;      /* how long ended jobs are kept */
    char *tls_ca, *tls_cert; /* NULL without TLS; relative names are next to the file */
    struct config_host *hosts;
    size_t n_hosts;
    uint64_t bandwidth; /* of hosts that say nothing else; 0: no limit */
    struct config_link *links;
    size_t n_links;
    struct guest_rules rules;  /* groups, guests, and the labels of hosts */
    struct policies policies;  /* by guests and labels */
    Drover__V1__Policy policy; /* what holds where an operator says nothing */
    struct mappings mappings;  /* paths, pools, bridges and networks per pair of sites or hosts */
    char *group;               /* whose members may use ipc://; default drover */
    bool group_given;
    enum log_level log;
};

/* Errors: NOT_FOUND and the like for the file, INVALID_ARGUMENT with "FILE:LINE:COLUMN: KEY: ..." for what it says. */
int coordinator_config_load(const char *file, struct coordinator_config **ret, struct error *err);
int coordinator_config_parse(const char *file, const char *text, size_t length,
                             struct coordinator_config **ret, struct error *err);
void coordinator_config_free(struct coordinator_config *config);
DEFINE_CLEANUP(struct coordinator_config *, coordinator_config_free);

/* True for plain tcp:// on anything but loopback: anyone who reaches the port commands the fleet. */
bool coordinator_config_exposed(const char *url);
