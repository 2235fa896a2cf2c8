/* The fleet's snapshot: what each agent said last. Pure: facts come in by fleet_* calls, nobody is asked.
 * The fleet owns deep copies of the messages; pointers that it returns are good until the next change. */
#pragma once

#include "common/base/error.h"
#include "coordinator/core/copies.h"
#include "proto/agent.pb-c.h"
#include "proto/coordinator.pb-c.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fleet_usage { /* as Drover__V1__Usage */
    bool known;
    uint32_t cpu, cpu_other;
    uint64_t memory;
};

struct fleet_guest {
    Drover__V1__Guest *guest; /* owned */
    const struct fleet_host *host;
    uint64_t key;             /* of its UUID */
    bool told;                /* in this session; the others are dropped at `synced` */
    struct fleet_usage usage; /* of one that has just arrived: what was measured where it was */
};

struct fleet;

struct fleet_host {
    struct fleet *fleet; /* that it is in, and which stays where it is */
    char *name, *site, *agent_url;
    bool up;     /* the session is there */
    bool synced; /* and all guests have been told */
    bool told;   /* they were once, since the start: what was said last stays known of a host that is down */
    bool maintenance; /* it gets no guests */
    int64_t since_ms;
    char *why;                      /* why it is down */
    Drover__V1__HostReport *report; /* NULL before the first one */
    struct fleet_guest *guests;
    size_t n_guests;
    struct fleet_usage usage;
    uint64_t bandwidth; /* bytes per second of its network that moves may use; 0: as of the fleet */
};

struct fleet_site_link {
    const char *sites[2]; /* borrowed */
    uint64_t bandwidth;
    int64_t delay_ms; /* one way; 0: not known */
};

struct mappings;
struct guest_rules;

struct fleet {
    struct fleet_host *hosts;
    size_t n_hosts;
    uint32_t *by_name; /* index of a host + 1, by the key of its name; a power of two of them, never full */
    size_t n_by_name;
    const struct mappings *mappings;    /* what sites and hosts name otherwise; borrowed, NULL: nothing */
    const struct guest_rules *rules;    /* what the operator wishes of guests; borrowed, NULL: nothing */
    uint64_t bandwidth;                 /* of hosts that say nothing else; 0: no limit */
    struct copies copies;               /* of guests, by their keys */
    struct fleet_site_link *site_links; /* owned */
    size_t n_site_links;
};

void fleet_init(struct fleet *fleet);
void fleet_deinit(struct fleet *fleet);

struct fleet_host *fleet_add_host(struct fleet *fleet, const char *name, const char *site,
                                  const char *agent_url);
struct fleet_host *fleet_host(const struct fleet *fleet, const char *name); /* NULL if unknown */

void fleet_session(struct fleet_host *host, bool up, int64_t now_ms, const char *why);

/* One event of the stream of a host of the fleet. Guests that were not told again by `synced` after a new session are dropped. */
void fleet_event(struct fleet_host *host, const Drover__V1__AgentEvent *event);

/* The running copy if there is one, else the definition. A guest may be on two hosts: during a handover, or as a stale
 * definition. `spec` is a name, a UUID or HOST/NAME. Errors: NOT_FOUND (says which hosts are down and so unknown),
 * FAILED_PRECONDITION when a name fits several guests (lists them as HOST/NAME). */
int fleet_find_guest(const struct fleet *fleet, const char *spec, const struct fleet_guest **ret,
                     struct error *err);
const struct fleet_guest *fleet_guest_on(const struct fleet_host *host, const char *uuid);
/* The guest is on more than one host. */
bool fleet_has_copies(const struct fleet *fleet, const struct fleet_guest *guest);

/* As fleet_host, with a text for the operator. Errors: NOT_FOUND, which lists near names. */
int fleet_find_host(const struct fleet *fleet, const char *name, struct fleet_host **ret, struct error *err);

/* What is said of its guests holds now: of a libvirt that is down the agent keeps telling what it saw last. */
bool fleet_host_tells(const struct fleet_host *host);

/* A guest that has a process: not shut off, not crashed. */
bool fleet_guest_active(const Drover__V1__Guest *guest);
