#include "coordinator/core/evidence.h"

#include "common/base/memory.h"
#include "coordinator/core/backing.h"

#include <stdlib.h>
#include <string.h>

void evidence_deinit(struct evidence *e)
{
    for (size_t i = 0; i < e->n; i++) {
        struct ask *a = &e->asks[i];
        free(a->key);
        free(a->why);
        if (a->probe)
            drover__v1__probe_request__free_unpacked(a->probe, NULL);
        if (a->inspect)
            drover__v1__inspect_request__free_unpacked(a->inspect, NULL);
        if (a->result)
            drover__v1__probe_result__free_unpacked(a->result, NULL);
        if (a->inspection)
            drover__v1__inspection__free_unpacked(a->inspection, NULL);
    }
    free(e->asks);
    *e = (struct evidence){0};
}

struct ask *evidence_add(struct evidence *e, const struct fleet_host *host, const char *key, unsigned group,
                         unsigned step, Drover__V1__ProbeRequest *probe, Drover__V1__InspectRequest *inspect)
{
    e->asks = xrealloc(e->asks, e->n + 1, sizeof(e->asks[0]));
    struct ask *a = &e->asks[e->n++];
    *a = (struct ask){
        .host = host, .key = xstrdup(key), .group = group, .step = step, .probe = probe, .inspect = inspect};
    if (group >= e->groups)
        e->groups = group + 1;
    return a;
}

const struct ask *evidence_probe(const struct evidence *e, const struct fleet_host *host,
                                 Drover__V1__ProbeKind kind, const char *key)
{
    for (size_t i = 0; e && i < e->n; i++) {
        const struct ask *a = &e->asks[i];
        if (a->host == host && a->probe && a->probe->kind == kind && (!key || streq(a->key, key)))
            return a;
    }
    return NULL;
}

const struct ask *evidence_inspect(const struct evidence *e, const struct fleet_host *host)
{
    for (size_t i = e ? e->n : 0; i-- > 0;)
        if (e->asks[i].host == host && e->asks[i].inspect && !streq(e->asks[i].key, BACKING))
            return &e->asks[i];
    return NULL;
}

const Drover__V1__Inspection *evidence_inspection(const struct evidence *e, const struct fleet_host *host)
{
    for (size_t i = e ? e->n : 0; i-- > 0;)
        if (e->asks[i].host == host && e->asks[i].inspection && !streq(e->asks[i].key, BACKING))
            return e->asks[i].inspection;
    return NULL;
}

const Drover__V1__GuestNow *evidence_guest(const struct evidence *e, const struct fleet_host *host)
{
    for (size_t i = 0; e && i < e->n; i++)
        if (e->asks[i].host == host && e->asks[i].inspection && e->asks[i].inspection->guest)
            return e->asks[i].inspection->guest;
    return NULL;
}

const Drover__V1__PathFacts *evidence_path(const struct evidence *e, const struct fleet_host *host,
                                           const char *path)
{
    for (size_t i = 0; e && i < e->n; i++) {
        const Drover__V1__Inspection *seen = e->asks[i].host == host ? e->asks[i].inspection : NULL;
        for (size_t p = 0; seen && p < seen->n_paths; p++)
            if (streq(seen->paths[p]->path, path))
                return seen->paths[p];
    }
    return NULL;
}

/* ---- what comes next --------------------------------------------------------------------------------------------- */

static bool is_over(const struct ask *a)
{
    return a->state != ASK_NEW && a->state != ASK_DUE && a->state != ASK_SENT;
}

/* Did the step do what the next one builds on? An inspection that failed only leaves the next one knowing less. */
static bool carries_on(const struct ask *a)
{
    return a->inspect ? true : ask_proven(a);
}

static void fill_string(char **field, const char *value)
{
    if (value && value[0]) {
        if (*field != protobuf_c_empty_string)
            free(*field);
        *field = xstrdup(value);
    }
}

/* Each name once. The kernel says "(null)" for a name that there is none of. */
static void add_initiator(Drover__V1__InspectClient *c, const char *name)
{
    if (!name[0] || name[0] == '(')
        return;
    for (size_t i = 0; i < c->n_initiators; i++)
        if (streq(c->initiators[i], name))
            return;
    c->initiators = xrealloc(c->initiators, c->n_initiators + 1, sizeof(c->initiators[0]));
    c->initiators[c->n_initiators++] = xstrdup(name);
}

/* open-iscsi's own, those of its interfaces and of adapters, and what QEMU logs in with. */
static void add_initiators(Drover__V1__InspectClient *c, const struct evidence *e, const struct ask *asked)
{
    const Drover__V1__Inspection *seen = asked->inspection;
    if (seen && seen->host)
        add_initiator(c, seen->host->initiator);
    for (size_t i = 0; seen && i < seen->n_luns; i++)
        if (streq(seen->luns[i]->transport, "iscsi"))
            add_initiator(c, seen->luns[i]->initiator);
    for (size_t i = 0; seen && i < seen->n_adapters; i++)
        if (streq(seen->adapters[i]->transport, "iscsi"))
            add_initiator(c, seen->adapters[i]->port_name);
    for (size_t i = 0; i < e->n; i++)
        if (e->asks[i].host == asked->host && e->asks[i].probe)
            add_initiator(c, e->asks[i].probe->initiator);
}

static void add_client(const struct evidence *e, Drover__V1__InspectRequest *q, const struct ask *asked)
{
    const Drover__V1__HostFacts *facts = asked->inspection ? asked->inspection->host : NULL;
    Drover__V1__InspectClient *c = new0(Drover__V1__InspectClient);
    drover__v1__inspect_client__init(c);
    c->host = xstrdup(asked->host->name);
    size_t n = facts ? facts->n_addresses : 0;
    c->addresses = xcalloc(n + 1, sizeof(char *));
    for (size_t i = 0; i < n; i++)
        c->addresses[c->n_addresses++] = xstrdup(facts->addresses[i]);
    const char *migration = asked->host->report ? asked->host->report->migration_address : "";
    if (!n && migration[0])
        c->addresses[c->n_addresses++] = xstrdup(migration);
    add_initiators(c, e, asked);
    q->clients = xrealloc(q->clients, q->n_clients + 1, sizeof(q->clients[0]));
    q->clients[q->n_clients++] = c;
}

/* A later step learns from an earlier one of its group. */
static void learn(const struct evidence *e, struct ask *a, const struct ask *earlier)
{
    if (a->inspect && earlier->inspect)
        add_client(e, a->inspect, earlier);
    if (!a->probe || !earlier->result)
        return;
    if (a->probe->kind == DROVER__V1__PROBE_KIND__PROBE_NONCE_FIND && earlier->result->path)
        fill_string(&a->probe->relative, earlier->result->path->relative);
    if (a->probe->kind == DROVER__V1__PROBE_KIND__PROBE_PORT_CONNECT) {
        a->probe->port = earlier->result->port;
        if (!a->probe->address[0])
            fill_string(&a->probe->address, earlier->result->address);
    }
}

static void look_at(struct evidence *e, struct ask *a)
{
    bool before_over = true, begun = false, carried = true;
    for (size_t i = 0; i < e->n; i++) {
        const struct ask *b = &e->asks[i];
        if (b->group != a->group || b->farewell || b->step >= a->step)
            continue;
        before_over = before_over && is_over(b);
        begun = begun || b->sent_us;
        carried = carried && carries_on(b);
    }
    if (!before_over)
        return;
    if (a->farewell ? !begun : a->step && !carried) {
        a->state = ASK_SKIPPED;
        return;
    }
    for (size_t i = 0; i < e->n; i++)
        if (e->asks[i].group == a->group && e->asks[i].step < a->step)
            learn(e, a, &e->asks[i]);
    a->state = ASK_DUE;
}

/* The listener's answer ends the sender. */
static void stop_senders(struct evidence *e, const struct ask *listener)
{
    for (size_t i = 0; i < e->n; i++) {
        struct ask *a = &e->asks[i];
        if (a->group == listener->group && a->probe &&
            a->probe->kind == DROVER__V1__PROBE_KIND__PROBE_LAYER2_SEND && !is_over(a))
            a->state = ASK_ENOUGH;
    }
}

bool evidence_advance(struct evidence *e)
{
    bool waiting = false;
    plan_backing_found(e);
    for (size_t i = 0; i < e->n; i++) {
        struct ask *a = &e->asks[i];
        if (a->probe && a->probe->kind == DROVER__V1__PROBE_KIND__PROBE_LAYER2_LISTEN && is_over(a))
            stop_senders(e, a);
    }
    /* A skipped step lets the next be looked at. */
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t i = 0; i < e->n; i++)
            if (e->asks[i].state == ASK_NEW) {
                look_at(e, &e->asks[i]);
                changed = changed || e->asks[i].state != ASK_NEW;
            }
    }
    for (size_t i = 0; i < e->n; i++)
        waiting = waiting || (!is_over(&e->asks[i]) && !e->asks[i].farewell);
    return waiting;
}

/* ---- what was said ----------------------------------------------------------------------------------------------- */

bool evidence_silent(const struct evidence *e, const struct fleet_host *host)
{
    bool asked = false;
    for (size_t i = 0; e && i < e->n; i++) {
        const struct ask *a = &e->asks[i];
        if (a->host != host || a->farewell)
            continue;
        if (a->state == ASK_ANSWERED ||
            (a->state == ASK_FAILED && a->code != STATUS_DEADLINE_EXCEEDED && a->code != STATUS_UNAVAILABLE))
            return false;
        asked = asked || a->state == ASK_FAILED;
    }
    return asked;
}

const char *ask_reason(const struct ask *a)
{
    return a && a->result ? a->result->reason : "";
}

const char *ask_words(const struct ask *a)
{
    if (!a)
        return "nobody was asked";
    if (a->result)
        return a->result->seen[0] ? a->result->seen : a->result->reason;
    if (a->state == ASK_SKIPPED)
        return "an earlier step did not work";
    return a->why ? a->why : "no answer yet";
}

bool evidence_clock(const struct evidence *e, const struct fleet_host *host, int64_t *ret_ahead_ms,
                    int64_t *ret_doubt_ms)
{
    const struct ask *a = evidence_probe(e, host, DROVER__V1__PROBE_KIND__PROBE_CLOCK, NULL);
    if (!a || !a->result || !a->result->realtime_us)
        return false;
    int64_t middle = a->sent_us + (a->answered_us - a->sent_us) / 2;
    *ret_ahead_ms = (a->result->realtime_us - middle) / 1000;
    *ret_doubt_ms = (a->answered_us - a->sent_us) / 2000 + 1;
    return true;
}

static bool is_one_of(const char *word, const char *const *words)
{
    for (; *words; words++)
        if (streq(*words, word))
            return true;
    return false;
}

bool pool_is_directory(const Drover__V1__StoragePool *pool)
{
    static const char *const types[] = {"dir", "netfs", "fs", NULL};
    return is_one_of(pool->type, types);
}

bool pool_has_devices(const Drover__V1__StoragePool *pool)
{
    static const char *const types[] = {"logical", "disk", "iscsi", "scsi", "mpath", "zfs", NULL};
    return is_one_of(pool->type, types);
}

const Drover__V1__StoragePool *disk_pool(const struct fleet_host *host, const Drover__V1__Disk *disk)
{
    const char *slash = strchr(disk->source, '/');
    size_t n = slash ? (size_t)(slash - disk->source) : 0;
    for (size_t i = 0; n && streq(disk->type, "volume") && host->report && i < host->report->n_pools; i++) {
        const Drover__V1__StoragePool *p = host->report->pools[i];
        if (strlen(p->name) == n && strncmp(p->name, disk->source, n) == 0)
            return p;
    }
    return NULL;
}

char *disk_path(const struct fleet_host *host, const Drover__V1__Disk *disk)
{
    if ((streq(disk->type, "file") || streq(disk->type, "dir")) && disk->source[0] == '/')
        return xstrdup(disk->source);
    const Drover__V1__StoragePool *p = disk_pool(host, disk);
    return p && pool_is_directory(p) ? xasprintf("%s%s", p->target_path, strchr(disk->source, '/')) : NULL;
}

bool host_exports(const struct fleet_host *host)
{
    return host->report && host->report->storage;
}
