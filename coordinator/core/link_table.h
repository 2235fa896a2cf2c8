/* The links that moves go over, with the share of each that moves may use: out of a host, into one, between two sites. */
#pragma once

#include "coordinator/core/fleet.h"
#include "coordinator/core/schedule.h"

struct link_table {
    struct schedule_link *list; /* names owned */
    uint32_t n;
};

/* Fills `move`'s links, adding to the table those that are new. Links without a known capacity are there, too: few moves run
 * on each at a time. */
void link_table_take(struct link_table *table, const struct fleet *fleet, const char *from, const char *to,
                     struct schedule_move *move);
void link_table_deinit(struct link_table *table);

/* Bytes per second that moves may use from one host to another, all links together; 0: no limit is known. */
uint64_t link_between(const struct fleet *fleet, const char *from, const char *to);

/* ms that the line between their sites takes, one way (`delay:` of `links:`); 0: none is configured. */
int64_t link_delay(const struct fleet *fleet, const char *from, const char *to);

/* The same of one host's network. */
uint64_t link_of_host(const struct fleet *fleet, const struct fleet_host *host);

/* What a move from one host to another may use: its policy's limit (0: none), and no more than link_between says. */
uint64_t link_limit(const struct fleet *fleet, const char *from, const char *to, uint64_t limit);
