/* What findings mean, from the coordinator's own table; no coordinator is asked. */
#pragma once

#include "cli/command.h"

/* `id`: one finding, or "all". */
int explain(struct cli *cli, const char *id, bool markdown);
