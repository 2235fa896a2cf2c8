/* What the files that read coordinator.yaml share: the file at hand, for errors. */
#pragma once

#include "coordinator/config.h"

#include "common/config/yaml.h"

struct config_source { /* the file at hand, for errors */
    const char *file, *text;
    size_t length;
    struct error *err;
};

/* Sets INVALID_ARGUMENT "FILE:LINE:COLUMN: PATH: ..."; returns it. `path` is as yaml_where reads it. */
int config_bad(const struct config_source *source, const char *path, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* HOST/NAME names guests, and a host's name is part of its certificate's drover://agent/NAME. */
bool config_is_name(const char *text);

struct raw_rule {
    char *from, *to;
};

struct raw_mapping {
    char *from, *to;
    bool both;
    struct raw_rule *paths, *pools, *bridges, *networks;
    unsigned paths_count, pools_count, bridges_count, networks_count;
};

extern const cyaml_schema_value_t config_mapping_value; /* of struct raw_mapping */

/* The configuration has its hosts already. */
int config_take_mappings(const struct config_source *source, const struct raw_mapping *list, unsigned n,
                         struct coordinator_config *config);

struct raw_link {
    char **sites;
    unsigned sites_count;
    char *bandwidth, *delay;
};

extern const cyaml_schema_value_t config_link_value; /* of struct raw_link */
int config_take_links(const struct config_source *source, const struct raw_link *list, unsigned n,
                      struct coordinator_config *config);

/* A rate where one is given: *ret stays else. */
int config_take_rate(const struct config_source *source, const char *path, const char *text, uint64_t *ret);
