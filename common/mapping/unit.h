/* Who a unit of storage is: by what it says of itself, if that is its own, or by where it is reached. Pure; the coordinator and the
 * agents tell units apart by the same rules. */
#pragma once

#include "proto/facts.pb-c.h"

#include <stdbool.h>

/* "serial beaf11", "designator IET     00010001": what tgt calls the unit with that number, at every server (usr/spc.c). */
bool unit_is_unnamed(const char *identity);

/* "" if it has none, or one that others have, too: a local disk's model and serial, or tgt's default. */
const char *unit_wwid(const Drover__V1__Lun *lun);

/* "iqn.2026-01.lab:one 1 at 10.0.0.20:3260": target, unit and, of iSCSI, the portal: servers may be copies of each other. NULL: not
 * told, or each host's own. Owned by the caller. */
char *unit_place(const Drover__V1__Lun *lun);
