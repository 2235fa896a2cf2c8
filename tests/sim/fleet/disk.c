/* An agent's state directory as io/records keeps it. A write is whole or not there, and durable when it returns. One that fails may
 * have come through all the same (the rename did, the directory's sync did not), and a removal that was not synced may be undone
 * by a cut of the power. A file that a disk has spoilt is put aside when it is read; the fence is then what the records say. */
#include "world.h"

#include <string.h>

enum { REFUSED_PER_MILLE = 4, SPOILT_PER_MILLE = 60 };

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
    if (refuses(w, host))
        return false;
    a->disk.epoch = a->epoch;
    a->disk.generation = a->generation;
    return true;
}

bool disk_write_record(struct world *w, int host, int txn)
{
    struct agent *a = &w->hosts[host].agent;
    bool refused = refuses(w, host);
    if (refused && world_chance(w, 500))
        return false;
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

void disk_power_cut(struct world *w, int host)
{
    struct agent *a = &w->hosts[host].agent;
    for (int t = 0; t < TXNS; t++) {
        if (a->unsure[t] && world_chance(w, 500)) {
            world_trace(w, "%d: what was not synced of %d is undone", host, t);
            a->disk.records[t] = a->older[t];
        }
        a->unsure[t] = false;
    }
    if (!w->calm && world_chance(w, SPOILT_PER_MILLE)) {
        int t = (int)world_random(w, TXNS);
        world_trace(w, "%d: the record of %d is spoilt", host, t);
        w->spoilt |= a->disk.records[t].exists;
        a->disk.records[t] = (struct record){0};
    }
    if (!w->calm && world_chance(w, SPOILT_PER_MILLE)) {
        world_trace(w, "%d: the fence is spoilt", host);
        a->disk.epoch = a->disk.generation = 0;
    }
}

/* As it was when no transaction was open at any host. */
void disk_restore(struct world *w, int host)
{
    struct agent *a = &w->hosts[host].agent;
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
        a->unsure[t] &= !a->alive; /* it is synced when an agent starts */
        if (!r->exists)
            continue;
        if (a->disk.epoch == 0 && a->generation < r->generation)
            a->generation = r->generation;
        if (a->disk.epoch == 0 && a->epoch < r->epoch)
            a->epoch = r->epoch;
    }
}
