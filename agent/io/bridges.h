/* Bridges, from sysfs and procfs. */
#pragma once

#include "proto/types.pb-c.h"

/* `sysfs` and `run` are "/sys" and "/run", or trees that a test made. Finds Linux bridges, with their ports, and
 * those of Open vSwitch by the sockets that ovs-vswitchd has for each (RUN/openvswitch/NAME.mgmt); their ports are
 * in its database only and left empty. Sorted by kind and name; one that vanishes meanwhile is left out. Freed by
 * the message it is put into. */
size_t bridges_read(const char *sysfs, const char *run, Drover__V1__Bridge ***ret);
