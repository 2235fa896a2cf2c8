/* Block devices and the ports by which they are reached, from sysfs (its root is an argument). Nothing is opened but sysfs. */
#pragma once

#include "proto/facts.pb-c.h"

#include <stddef.h>

/* Disks, multipath maps and other dm devices; not loop devices, CD-ROMs and RAM disks. Messages are the caller's. */
size_t luns_read(const char *sysfs, Drover__V1__Lun ***ret);

/* The one with the number "8:16" (a partition: as its disk, with its own number and size); NULL if there is none. */
Drover__V1__Lun *luns_by_number(const char *sysfs, const char *number);
