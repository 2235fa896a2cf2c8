/* The file `samples` in the state directory: what was measured of guests and links, kept over a restart. Nothing rests on it, so
 * it is written without waiting for the disk; a torn, foreign or oversized one is refused by its hash or size. */
#pragma once

#include "common/base/error.h"
#include "proto/record.pb-c.h"

enum { KNOWN_GUESTS_MAX = 4096, KNOWN_LINKS_MAX = 1024 };

/* NOT_FOUND: there is none; DATA_LOSS: it is none. Freed with drover__v1__known__free_unpacked. */
int known_read(const char *dir, Drover__V1__Known **ret, struct error *err);
int known_write(const char *dir, const Drover__V1__Known *known, struct error *err);
