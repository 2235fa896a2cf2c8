/* Who listens on TCP here, by /proc/net/tcp and tcp6. */
#pragma once

#include <stdbool.h>

/* Calls fn for each listener, on whatever address. False if neither table can be read. */
bool tcp_listeners(const char *proc, void (*fn)(void *arg, unsigned port), void *arg);
