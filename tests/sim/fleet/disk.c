/* An agent's state directory as io/records keeps it. A write is whole or not there, and durable when it returns. One that fails may
 * have come through all the same (the rename did, the directory's sync did not), and a removal that was not synced may be undone
 * by a cut of the power. A file that a disk has torn is put aside when it is read (its first line has a hash of the rest); the
 * fence is then what the records say. On a full disk a write fails before the rename. */
#include "world.h"

#include <string.h>

enum { REFUSED_PER_MILLE = 4, TORN_PER_MILLE = 60 };

static bool is_full(struct world *w, int host)
{
    if (w->now >= w->hosts[host].agent.full_until)
        return false;
    world_saw(w, SEEN_AGENT_DISK_FULL);
    world_trace(w, "%d: the disk is full", host);
    return true;
}

static bool refuses(struct world *w, int host)
{
    if (w->calm || !world_chance(w, REFUSED_PER_MILLE))
        return false;
    world_trace(w, "%d: the disk refuses", host);
    return true;
}

bool disk_write_fence(struct world *w, int host)
{
    struct agent *a = &w->hosts[host].agent;
    if (is_full(w, host) || refuses(w, host))
        return false;
    a->disk.epoch = a->epoch;
    a->disk.generation = a->generation;
    return true;
}

bool disk_write_record(struct world *w, int host, int txn)
{
    struct agent *a = &w->hosts[host].agent;
    if (is_full(w, host))
        return false;
    bool refused = refuses(w, host);
    if (refused && world_chance(w, 500)) {
        world_saw(w, SEEN_WRITE_REFUSED);
        return false;
    }
    if (refused)
        world_saw(w, SEEN_WRITE_UNSURE);
    a->older[txn] = a->disk.records[txn];
    a->disk.records[txn] = a->records[txn];
    a->unsure[txn] = refused;
    if (refused && w->mutation != GO_ON_UNSURE) /* the agent ends, to read what is there */
        agent_crash(w, host);
    return !refused;
}

void disk_remove_record(struct world *w, int host, int txn)
{
    struct agent *a = &w->hosts[host].agent;
    a->unsure[txn] = true;
    a->older[txn] = a->disk.records[txn];
    a->disk.records[txn] = (struct record){0};
}

/* Where two coordinators have driven, the fence is all that holds the older one back: without it an ABORT of what is over would end
 * the image of what came after. */
static bool may_lose_fence(const struct world *w)
{
    return !w->deposed.life;
}

void disk_power_cut(struct world *w, int host)
{
    struct agent *a = &w->hosts[host].agent;
    for (int t = 0; t < TXNS; t++) {
        if (a->unsure[t] && world_chance(w, 500)) {
            world_saw(w, SEEN_WRITE_UNDONE);
            world_trace(w, "%d: what was not synced of %d is undone", host, t);
            w->noted &= a->disk.records[t].others_pause == a->older[t].others_pause;
            a->disk.records[t] = a->older[t];
        }
        a->unsure[t] = false;
    }
    if (w->calm || w->blind)
        return;
    if (world_chance(w, TORN_PER_MILLE)) {
        int t = (int)world_random(w, TXNS);
        if (a->disk.records[t].exists)
            world_saw(w, SEEN_RECORD_TORN);
        world_trace(w, "%d: the record of %d is torn", host, t);
        w->spoilt |= a->disk.records[t].exists;
        a->disk.records[t] = (struct record){0};
    }
    if (may_lose_fence(w) && world_chance(w, TORN_PER_MILLE)) {
        world_saw(w, SEEN_FENCE_TORN);
        world_trace(w, "%d: the fence is torn", host);
        a->disk.epoch = a->disk.generation = 0;
        a->connection++; /* what was on its way to it was in connections that have died with it */
    }
}

/* As it was when no transaction was open at any host. */
void disk_restore(struct world *w, int host)
{
    struct agent *a = &w->hosts[host].agent;
    if (!may_lose_fence(w))
        return;
    world_saw(w, SEEN_RESTORED);
    world_trace(w, "%d: its directory is yesterday's", host);
    a->disk = a->yesterday;
    a->connection++;
    w->spoilt = true;
    memset(a->unsure, 0, sizeof(a->unsure));
}

void disk_keep_backup(struct world *w)
{
    for (int h = 0; h < HOSTS; h++)
        w->hosts[h].agent.yesterday = w->hosts[h].agent.disk;
}

void disk_read(struct world *w, int host)
{
    struct agent *a = &w->hosts[host].agent;
    a->epoch = a->disk.epoch;
    a->generation = a->disk.generation;
    for (int t = 0; t < TXNS; t++) {
        const struct record *r = &a->disk.records[t];
        a->records[t] = *r;
        a->others_pause[t] = r->exists && r->others_pause;
        a->unsure[t] &= !a->alive; /* it is synced when an agent starts */
        if (!r->exists)
            continue;
        bool begun = r->state != PARTICIPANT_KEPT || r->vote > 0;
        if (a->disk.epoch == 0 && begun && a->generation < r->generation)
            a->generation = r->generation;
        if (a->disk.epoch == 0 && a->epoch < r->epoch)
            a->epoch = r->epoch;
    }
}

/* ---- tidying up: agent/transactions.c ---------------------------------------------------------------------------- */

static bool owes(const struct record *r)
{
    if (r->state == PARTICIPANT_TOMBSTONE)
        return r->image || r->definition;
    return (r->state == PARTICIPANT_KEPT && (r->owed || r->others_pause || r->autostart_off)) ||
           (r->state == PARTICIPANT_COLD && r->autostart_off);
}

static bool guest_is_owed(const struct agent *a)
{
    for (int t = 0; t < TXNS; t++)
        if (a->records[t].exists && owes(&a->records[t]))
            return true;
    return false;
}

/* By the host's clock, which may jump, and by one that does not. */
static bool is_old(const struct world *w, int host, int txn)
{
    const struct agent *a = &w->hosts[host].agent;
    return clock_real(w, host) - a->records[txn].changed >= KEEP_MS &&
           (clock_up(w, host) - a->heard[txn] >= HOUR_MS || w->mutation == TIDY_BY_WALL);
}

void disk_tidy(struct world *w, int host)
{
    struct agent *a = &w->hosts[host].agent;
    if (!a->alive || a->n_ops > 0 || w->blind)
        return;
    for (int t = 0; t < TXNS; t++) {
        struct record *r = &a->records[t];
        if (!r->exists || participant_is_open(r->role, r->state) ||
            (guest_is_owed(a) && w->mutation != TIDY_OWED) || !is_old(w, host, t))
            continue;
        uint64_t old = a->generation;
        if (a->generation < r->generation)
            a->generation = r->generation;
        if (a->generation != old && !disk_write_fence(w, host)) {
            a->generation = old;
            continue;
        }
        /* The coordinator has slept as long. */
        w->spoilt |= w->coordinator.open && w->coordinator.current == t && w->mutation != TIDY_BY_WALL;
        world_saw(w, SEEN_TIDIED);
        *r = (struct record){0};
        disk_remove_record(w, host, t);
    }
}
