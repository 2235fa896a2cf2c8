/* What one host calls otherwise than another: the rules of a Mapping (proto/types.proto), applied to a name. Pure; the coordinator and
 * the agents rewrite by the same rules. */
#pragma once

#include "proto/types.pb-c.h"

#include <stdbool.h>

/* `path` is `directory`, or below it. */
bool mapping_is_below(const char *path, const char *directory);

/* The destination's name of what the source calls `name`: by the first rule of that kind that fits, else the name itself. NULL for the
 * mapping is none. Owned by the caller. */
char *mapping_name(const Drover__V1__Mapping *mapping, Drover__V1__MappingKind kind, const char *name);

/* The same of "POOL/VOLUME". */
char *mapping_volume(const Drover__V1__Mapping *mapping, const char *volume);
