/* Ports of Open vSwitch's bridges. sysfs does not tell them: Open vSwitch's own database does (RFC 7047), to whoever may open its
 * socket. */
#pragma once

#include "proto/types.pb-c.h"

#include <stdbool.h>
#include <stddef.h>

/* Fills the ports of those of the bridges that are Open vSwitch's, without the bridge's own, sorted. What does not answer within half a
 * second is left out. */
void openvswitch_ports(const char *run, Drover__V1__Bridge **bridges, size_t n);

/* The same from the database's answer. False if it is none. */
bool openvswitch_parse(const char *json, Drover__V1__Bridge **bridges, size_t n);
