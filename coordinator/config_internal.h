/* What the files that read coordinator.yaml share: the file at hand, for errors. */
#pragma once

#include "coordinator/config.h"

struct config_source {
    const char *file, *text;
    size_t length;
    struct error *err;
};

/* Sets INVALID_ARGUMENT "FILE:LINE:COLUMN: PATH: ..."; returns it. `path` is as yaml_where reads it. */
int config_bad(const struct config_source *source, const char *path, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* HOST/NAME names guests, and a host's name is part of its certificate's drover://agent/NAME. */
bool config_is_name(const char *text);
