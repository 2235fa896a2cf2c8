#include "agent/io/host_report.h"

#include "agent/io/bridges.h"
#include "agent/io/guests.h"
#include "agent/io/host_capabilities.h"
#include "agent/io/host_facts.h"
#include "agent/io/host_pools.h"
#include "agent/io/libvirt.h"
#include "agent/io/links.h"
#include "agent/io/listening.h"
#include "agent/io/xml.h"
#include "agent/transactions.h"
#include "common/base/memory.h"
#include "common/message/message.h"

#include <stdio.h>
#include <string.h>

enum {
    GATHER_MS = 1000,  /* changes within this time make one report */
    MEMORY_MS = 30000, /* nobody tells that memory has become scarce: looked at so often */
};

/* Free memory that differs by less than 1/64 of all is told with the next other change. */
enum { MEMORY_PARTS = 64 };

struct waiter {
    struct waiter *next;
    void (*fn)(void *arg, const Drover__V1__HostReport *report);
    void *arg;
};

struct host_report {
    unsigned refs; /* the owner's, and that of a reading in progress */
    bool freed;
    struct agent *agent;
    void (*changed)(void *arg, const Drover__V1__HostReport *report);
    void *arg;
    struct libvirt_subscription *events;
    struct links *links;
    struct loop_timer *soon, *memory_timer;
    bool reading, again;
    bool capabilities; /* `last` has those of the libvirt that is up */
    Drover__V1__HostReport *last;
    struct waiter *waiting; /* for the next reading that starts */
};

/* ---- memory: /proc, because libvirt tells free pages, and most of the page cache is as good as free ---- */

static void read_memory(Drover__V1__HostReport *r)
{
    static const char total[] = "MemTotal:", available[] = "MemAvailable:"; /* in "kB", which are KiB */
    _cleanup_fclose_ FILE *f = fopen("/proc/meminfo", "re");
    char line[128];
    while (f && fgets(line, sizeof(line), f)) {
        if (strncmp(line, total, sizeof(total) - 1) == 0)
            r->memory_total = strtoull(line + sizeof(total) - 1, NULL, 10) * 1024;
        else if (strncmp(line, available, sizeof(available) - 1) == 0)
            r->memory_free = strtoull(line + sizeof(available) - 1, NULL, 10) * 1024;
    }
}

/* Of the whole host; its NUMA nodes' are a probe's to tell. */
static void read_hugepages(Drover__V1__HostReport *r)
{
    Drover__V1__HostFacts *f = new0(Drover__V1__HostFacts);
    drover__v1__host_facts__init(f);
    hugepages_read("/sys", "/proc", f);
    r->hugepage_default = f->hugepage_default;
    for (size_t i = 0; i < f->n_hugepages; i++)
        if (f->hugepages[i]->node < 0)
            message_append(&r->hugepages, &r->n_hugepages, steal(&f->hugepages[i]));
    drover__v1__host_facts__free_unpacked(f, NULL);
}

/* ---- what blocks: on a worker ---- */

struct reading {
    struct host_report *owner;
    struct waiter *waiters;
    bool want_capabilities, got_capabilities, got_libvirt;
    Drover__V1__HostReport
        *report; /* holds the read parts only, with `cpu` when capabilities are among them */
    struct error err;
};

/* A list that libvirt went away from may be half there: it is told as it was read last. */
static void forget_libvirt(Drover__V1__HostReport *r)
{
    for (size_t i = 0; i < r->n_networks; i++)
        drover__v1__network__free_unpacked(r->networks[i], NULL);
    for (size_t i = 0; i < r->n_pools; i++)
        drover__v1__storage_pool__free_unpacked(r->pools[i], NULL);
    free(steal(&r->networks));
    free(steal(&r->pools));
    r->n_networks = r->n_pools = 0;
}

static void read_libvirt(struct reading *rd)
{
    _cleanup_connect_ virConnectPtr conn = libvirt_ref(rd->owner->agent->libvirt, &rd->err);
    if (!conn)
        return;
    if (rd->want_capabilities)
        rd->got_capabilities = host_capabilities_read(conn, rd->report, &rd->err) == 0;
    host_networks_read(conn, rd->report);
    host_pools_read(conn, rd->report);
    rd->got_libvirt = virConnectIsAlive(conn) == 1;
    if (!rd->got_libvirt)
        forget_libvirt(rd->report);
}

static void read_listening(struct reading *rd)
{
    struct libvirt_url remote;
    bool known = libvirt_url_parse(rd->owner->agent->config->libvirt_remote, &remote);
    rd->report->listening = listening_read("/etc/libvirt", "/run", "/proc", known ? &remote : NULL);
}

static void read_on_worker(void *arg)
{
    struct reading *rd = arg;
    rd->report = new0(Drover__V1__HostReport);
    drover__v1__host_report__init(rd->report);
    rd->report->n_bridges = bridges_read("/sys", "/run", &rd->report->bridges);
    read_memory(rd->report);
    if (!rd->owner->agent->libvirt)
        return;
    read_hugepages(rd->report);
    read_listening(rd);
    xml_set(&rd->report->userfaultfd, userfaultfd_read("/proc"));
    xml_set(&rd->report->qemu_user, setting_read("/etc/libvirt", "qemu.conf", "user"));
    read_libvirt(rd);
}

/* ---- put together: on the loop ---- */

static void take_list(void *to_list, size_t *to_n, void *from_list, size_t *from_n)
{
    *(void **)to_list = *(void **)from_list;
    *to_n = *from_n;
    *(void **)from_list = NULL;
    *from_n = 0;
}

static void take_text(char **to, char **from)
{
    *to = *from;
    *from = (char *)protobuf_c_empty_string;
}

/* What could not be read now is told as it was read last: `last` is about to be replaced, so its parts are moved. */
static void keep_capabilities(Drover__V1__HostReport *r, Drover__V1__HostReport *last)
{
    r->cpu = steal(&last->cpu);
    r->libvirt_version = last->libvirt_version;
    r->qemu_version = last->qemu_version;
    take_text(&r->host_uuid, &last->host_uuid);
    take_text(&r->hostname, &last->hostname);
    take_list(&r->machines, &r->n_machines, &last->machines, &last->n_machines);
    take_list(&r->accelerated, &r->n_accelerated, &last->accelerated, &last->n_accelerated);
    take_list(&r->accelerators, &r->n_accelerators, &last->accelerators, &last->n_accelerators);
}

static void put_identity(const struct agent *a, Drover__V1__HostReport *r)
{
    const struct agent_config *c = a->config;
    r->name = xstrdup(c->name);
    r->hypervisor = c->hypervisor;
    r->storage = c->storage;
    r->agent_version = xstrdup(DROVER_VERSION);
    r->instance = xstrdup(a->instance);
    if (a->boot_id)
        r->boot_id = xstrdup(a->boot_id);
    r->started = (uint64_t)a->started_ms;
    r->agent_url = xstrdup(c->agent_url);
    if (!c->hypervisor)
        return;
    r->libvirt_uri = xstrdup(c->libvirt);
    r->migration_address = xstrdup(c->migration_address);
    r->libvirt_remote = xstrdup(c->libvirt_remote);
}

static void put_state(const struct agent *a, Drover__V1__HostReport *r, const struct error *err)
{
    int64_t since;
    struct error why = {0};
    r->libvirt_up = libvirt_up(a->libvirt, &since, &why);
    r->libvirt_since = (uint64_t)since;
    /* What is told of guests is of before: nobody may take it for what libvirt says now. */
    if (r->libvirt_up && a->guests && !guests_synced(a->guests)) {
        r->libvirt_up = false;
        error_set(&why, STATUS_UNAVAILABLE, "libvirt has come up, and its guests are being read");
    }
    if (!why.code && err->code)
        why = *err; /* it is up, but does not tell its capabilities */
    if (why.code)
        r->libvirt_error = xstrdup(why.text);
    for (size_t i = 0; a->guests && i < guests_count(a->guests); i++) {
        const Drover__V1__Guest *g = guests_at(a->guests, i);
        if (g->state == DROVER__V1__GUEST_STATE__GUEST_SHUTOFF ||
            g->state == DROVER__V1__GUEST_STATE__GUEST_UNKNOWN)
            continue;
        r->memory_guests += g->memory_max;
        r->vcpus_guests += g->vcpus;
    }
    if (a->transactions) {
        r->memory_reserved = transactions_reserved_bytes(a->transactions);
        r->hugepages_reserved = transactions_reserved_hugepages(a->transactions);
    }
}

static bool says_the_same(const Drover__V1__HostReport *a, Drover__V1__HostReport *b)
{
    uint64_t free_now = b->memory_free;
    uint64_t moved = a->memory_free > free_now ? a->memory_free - free_now : free_now - a->memory_free;
    if (moved > b->memory_total / MEMORY_PARTS)
        return false;
    b->memory_free = a->memory_free;
    bool same = message_same(&a->base, &b->base);
    b->memory_free = free_now;
    return same;
}

static void replace(struct host_report *h, Drover__V1__HostReport *r)
{
    drover__v1__host_report__free_unpacked(h->last, NULL);
    h->last = r;
}

static void put_together(struct host_report *h, struct reading *rd)
{
    Drover__V1__HostReport *r = steal(&rd->report);
    Drover__V1__HostReport *old = (Drover__V1__HostReport *)message_copy(&h->last->base);
    put_identity(h->agent, r);
    if (h->agent->libvirt) {
        put_state(h->agent, r, &rd->err);
        if (!rd->got_capabilities)
            keep_capabilities(r, h->last);
        if (!rd->got_libvirt) {
            take_list(&r->networks, &r->n_networks, &h->last->networks, &h->last->n_networks);
            take_list(&r->pools, &r->n_pools, &h->last->pools, &h->last->n_pools);
        }
    }
    bool same = says_the_same(old, r);
    drover__v1__host_report__free_unpacked(old, NULL);
    replace(h, r);
    if (!same)
        h->changed(h->arg, h->last);
}

/* ---- readings ---- */

static void unref(struct host_report *h)
{
    if (--h->refs == 0)
        free(h);
}

static void drop_waiters(struct waiter *w, const Drover__V1__HostReport *report)
{
    while (w) {
        struct waiter *next = w->next;
        w->fn(w->arg, report);
        free(w);
        w = next;
    }
}

static void read_now(struct host_report *h);

static void read_done(void *arg)
{
    struct reading *rd = arg;
    struct host_report *h = rd->owner;
    h->reading = false;
    if (!h->freed) {
        if (rd->got_capabilities && libvirt_up(h->agent->libvirt, NULL, NULL))
            h->capabilities = !h->again; /* `again` may be for a libvirt that has come up since */
        put_together(h, rd);
        if (h->again || h->waiting)
            read_now(h);
    }
    drop_waiters(rd->waiters, h->freed ? NULL : h->last);
    if (rd->report)
        drover__v1__host_report__free_unpacked(rd->report, NULL);
    free(rd);
    unref(h);
}

static void read_now(struct host_report *h)
{
    h->soon = loop_timer_cancel(h->soon);
    if (h->reading) {
        h->again = true;
        return;
    }
    h->reading = true;
    h->again = false;
    struct reading *rd = new0(struct reading);
    rd->owner = h;
    rd->waiters = steal(&h->waiting);
    rd->want_capabilities = !h->capabilities;
    h->refs++;
    workers_submit(h->agent->workers, read_on_worker, read_done, rd);
}

static void on_soon(void *arg)
{
    struct host_report *h = arg;
    h->soon = NULL;
    read_now(h);
}

void host_report_changed(struct host_report *h)
{
    if (!h->soon)
        h->soon = loop_timer_start(h->agent->loop, GATHER_MS, on_soon, h);
}

void host_report_fresh(struct host_report *h, void (*fn)(void *arg, const Drover__V1__HostReport *report),
                       void *arg)
{
    struct waiter *w = new0(struct waiter);
    *w = (struct waiter){h->waiting, fn, arg};
    h->waiting = w;
    if (!h->reading)
        read_now(h);
}

/* ---- what may have changed ---- */

static void on_links(void *arg)
{
    host_report_changed(arg);
}

/* An operator reserves them while the host runs. */
static bool pages_changed(const struct host_report *h)
{
    Drover__V1__HostReport *now = new0(Drover__V1__HostReport);
    drover__v1__host_report__init(now);
    if (h->agent->libvirt)
        read_hugepages(now);
    bool changed = now->n_hugepages != h->last->n_hugepages;
    for (size_t i = 0; i < now->n_hugepages && !changed; i++)
        changed = !message_same(&now->hugepages[i]->base, &h->last->hugepages[i]->base);
    drover__v1__host_report__free_unpacked(now, NULL);
    return changed;
}

static void on_memory_timer(void *arg)
{
    struct host_report *h = arg;
    h->memory_timer = loop_timer_start(h->agent->loop, MEMORY_MS, on_memory_timer, h);
    Drover__V1__HostReport now = DROVER__V1__HOST_REPORT__INIT;
    read_memory(&now);
    bool pages = pages_changed(h);
    uint64_t told = h->last->memory_free;
    if (pages || (told > now.memory_free ? told - now.memory_free : now.memory_free - told) >
                     now.memory_total / MEMORY_PARTS)
        host_report_changed(h);
}

static void on_event(void *arg, const struct libvirt_event *event)
{
    struct host_report *h = arg;
    switch (event->kind) {
    case LIBVIRT_UP:
    case LIBVIRT_DOWN:
        h->capabilities = false;
        read_now(h);
        break;
    case LIBVIRT_HOST_CHANGED: host_report_changed(h); break;
    case LIBVIRT_LIFECYCLE:
    case LIBVIRT_CHANGED:
    case LIBVIRT_ITERATION:
    case LIBVIRT_JOB_COMPLETED: break; /* of guests: they tell when they have been read */
    }
}

/* ---- made, asked and freed ---- */

int host_report_new(struct agent *agent, void (*changed)(void *arg, const Drover__V1__HostReport *report),
                    void *arg, struct host_report **ret, struct error *err)
{
    _cleanup_(host_report_freep) struct host_report *h = new0(struct host_report);
    h->refs = 1;
    h->agent = agent;
    h->changed = changed;
    h->arg = arg;
    h->last = new0(Drover__V1__HostReport);
    drover__v1__host_report__init(h->last);
    put_identity(agent, h->last);
    read_memory(h->last);
    if (agent->libvirt) {
        put_state(agent, h->last, &(struct error){0});
        h->events = libvirt_subscribe(agent->libvirt, on_event, h);
    }
    int r = links_new(agent->loop, on_links, h, &h->links, err);
    if (r < 0)
        return r;
    h->memory_timer = loop_timer_start(agent->loop, MEMORY_MS, on_memory_timer, h);
    read_now(h);
    *ret = steal(&h);
    return 0;
}

void host_report_free(struct host_report *h)
{
    if (!h)
        return;
    h->freed = true;
    h->events = libvirt_unsubscribe(h->events);
    links_free(steal(&h->links));
    h->soon = loop_timer_cancel(h->soon);
    h->memory_timer = loop_timer_cancel(h->memory_timer);
    drop_waiters(steal(&h->waiting), NULL);
    drover__v1__host_report__free_unpacked(h->last, NULL);
    unref(h);
}

const Drover__V1__HostReport *host_report_last(const struct host_report *h)
{
    return h->last;
}
