/* What the commands that run an operator's command for a host have in common. */
#pragma once

#include "cli/args.h"

#include <stdint.h>

#define EXEC_TIMEOUT "30m"

/* A time of more than nothing; `fallback` if it was not given. */
int option_time(const struct args *args, const char *name, const char *fallback, int64_t *ret,
                struct error *err);

/* Of the machine that this runs on; NULL: not known. The caller's. */
char *own_boot_id(void);
