/* coordinator.yaml's `groups:`, `guests:`, and the labels of hosts: what the operator wishes of guests. */
#pragma once

#include "coordinator/config_internal.h"

#include <cyaml/cyaml.h>

struct raw_group {
    char *name;
    char **guests;
    unsigned guests_count;
    unsigned keep;
};

struct raw_guest {
    char *name; /* a pattern */
    bool pinned;
    char **hosts, **require, **prefer;
    unsigned hosts_count, require_count, prefer_count;
};

extern const cyaml_schema_value_t config_group_value, config_guest_value;

/* Labels of one host. */
int config_take_labels(const struct config_source *source, const char *path, const char *host,
                       char *const *labels, unsigned n, struct guest_rules *rules);

/* When the hosts and their labels are known. */
int config_take_rules(const struct config_source *source, const struct raw_group *groups, unsigned n_groups,
                      const struct raw_guest *guests, unsigned n_guests, struct coordinator_config *config);
