/* Hosts that are emptied, given to the operator's own command, and filled again: which may begin, whether one is truly back,
 * and how to go on after a stop. Pure; roll.c does what it says.
 *
 *            no room while others are empty
 *            .-------.
 *            v       |
 *   (made) WAITS -> ASKED -> EMPTIES -> RUNS -> COMES_BACK -> BACK -> RETURNS -> DONE
 *                   dry run  evacuation  |      looked at             return       ^
 *                                        '-- to be powered off --------------------'
 *
 * A host that stops stays in its phase, and after it none begins; those that are under way are brought to their end.
 * Invariants: one plan at a time, so that each is made of the room that there really is; the command runs only for a host
 * that is in maintenance and of which libvirt has just said that it is empty. */
#pragma once

#include "common/base/error.h"
#include "proto/coordinator.pb-c.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum rolling_phase {
    ROLLING_WAITS,
    ROLLING_ASKED,
    ROLLING_EMPTIES,
    ROLLING_RUNS,
    ROLLING_COMES_BACK,
    ROLLING_BACK,
    ROLLING_RETURNS,
    ROLLING_DONE,
};

struct rolling_host {
    const char *name; /* borrowed */
    enum rolling_phase phase;
    uint64_t job; /* its evacuation or its return; 0: not known yet */
    bool stopped;
    int exit;   /* then */
    char *why;  /* owned */
    char *todo; /* what the phase's own advice does not say; owned, may be NULL */
    /* Before the command. */
    char *boot_id, *instance; /* owned */
    /* As it was when it was looked at last, and since when that was well. */
    char *seen; /* owned */
    int64_t well_since;
};

struct rolling {
    struct rolling_host *hosts;
    size_t n;
    unsigned parallel; /* hosts under way at a time */
    bool reboots;      /* back is only who has another boot id than before */
    bool power_off;    /* nobody comes back */
    const char *here;  /* the boot id of the machine that this runs on; borrowed, may be NULL */
    int64_t steady;    /* ms that a host without `reboots` must have been well */
    bool leaving;      /* nothing more begins */
    bool crowded;      /* the next one could not be emptied while others are: not before one is done */
};

/* `names`: borrowed. */
void rolling_init(struct rolling *r, const char *const *names, size_t n);
void rolling_deinit(struct rolling *r);

enum rolling_deed { ROLLING_NOTHING, ROLLING_EMPTY, ROLLING_FILL, ROLLING_END };

/* What to begin now, and with which host. Nothing: something must end first. */
enum rolling_deed rolling_next(const struct rolling *r, size_t *ret_host);

/* The host's dry run says that guests would stay. True: it waits until another one is done; false: nothing would help. */
bool rolling_no_room(struct rolling *r, size_t host);

void rolling_stop(struct rolling_host *h, int exit, const char *why, const char *todo);

/* It is to be rebooted or powered off, and is the machine that this runs on. */
bool rolling_is_here(const struct rolling *r, const Drover__V1__HostStatus *status);

/* The host was just emptied: is it still, so that the command may run? Remembers who it was. FAILED_PRECONDITION says what is
 * otherwise. */
int rolling_before(const struct rolling *r, struct rolling_host *h, const Drover__V1__HostStatus *status,
                   struct error *err);

/* Is it back, as far as its own word goes? Otherwise *ret_missing (the caller's) says what is missing. */
bool rolling_look(const struct rolling *r, struct rolling_host *h, const Drover__V1__HostStatus *status,
                  int64_t now, char **ret_missing);

/* "its boot id is another one than before: it was rebooted; its agent was started anew". The caller's. */
char *rolling_seen(const struct rolling_host *h, const Drover__V1__HostStatus *status);

/* What holds a host up that answers: the first finding that blocks; NULL: nothing. The caller's. */
char *rolling_blocked(const Drover__V1__HostReadiness *readiness);

/* The exit code of all, unless it was interrupted. */
int rolling_exit(const struct rolling *r);

/* Hosts whose command has still to run, with commas between them; NULL: none. The caller's. */
char *rolling_rest(const struct rolling *r);

/* In what state a host is left, and what to do with it (NULL: nothing). Both the caller's. */
char *rolling_left(const struct rolling *r, const struct rolling_host *h, char **ret_todo);

/* "done", "stopped", "waits", ... */
const char *rolling_word(const struct rolling_host *h);
