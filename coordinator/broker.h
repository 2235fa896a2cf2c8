/* Gives each running transfer its share of the links (core/broker), and shares anew when one begins or ends. On the loop. */
#pragma once

#include "coordinator/driver.h"

struct broker;

/* Hooks itself into the driver; freed before it. */
struct broker *broker_new(struct loop *loop, const struct fleet *fleet, struct driver *driver,
                          const struct agents *agents, const struct store *store);
void broker_free(struct broker *broker);
