#include "agent/io/guests.h"

#include "agent/io/xml.h"
#include "common/base/memory.h"
#include "common/message/message.h"

#include <string.h>

enum {
    JOB_MS = 3000,   /* libvirt tells the end of a job before it has ended: a guest with one is read again */
    LIST_MS = 60000, /* libvirt has no event for autostart and snapshots: all are read anew, once a minute */
    /* A libvirtd that comes up answers while it still connects with its QEMUs, and has no event for those that it ends then (what a
     * migration had left half done): so many lists more, JOB_MS apart. */
    EARLY_LISTS = 3,
};

struct entry {
    char uuid[VIR_UUID_STRING_BUFLEN];
    Drover__V1__Guest *guest; /* NULL while it has not been read yet */
    bool reading, again;
    bool listed; /* while a list is applied */
};

struct guests {
    unsigned refs; /* the owner's, and one for each read in progress */
    bool freed;
    struct guests_config config;
    struct libvirt_subscription *events;
    struct entry **entries;
    size_t n;
    bool listing, list_again, synced;
    unsigned early;
    struct loop_timer *job_timer, *list_timer;
};

static void unref(struct guests *g)
{
    if (--g->refs)
        return;
    free(g->entries);
    free(g);
}

static void entry_free(struct entry *e)
{
    if (e->guest)
        drover__v1__guest__free_unpacked(e->guest, NULL);
    free(e);
}

static struct entry *find(const struct guests *g, const char *uuid)
{
    for (size_t i = 0; i < g->n; i++)
        if (strcmp(g->entries[i]->uuid, uuid) == 0)
            return g->entries[i];
    return NULL;
}

static struct entry *find_or_add(struct guests *g, const char *uuid)
{
    struct entry *e = find(g, uuid);
    if (e)
        return e;
    e = new0(struct entry);
    snprintf(e->uuid, sizeof(e->uuid), "%s", uuid);
    g->entries = xrealloc(g->entries, g->n + 1, sizeof(*g->entries));
    g->entries[g->n++] = e;
    return e;
}

/* ---- applying, on the loop ---- */

static void gone(struct guests *g, struct entry *e)
{
    for (size_t i = 0; i < g->n; i++) {
        if (g->entries[i] != e)
            continue;
        g->entries[i] = g->entries[--g->n];
        break;
    }
    if (e->guest)
        g->config.changed(g->config.arg, NULL, e->uuid, false);
    entry_free(e);
}

static void on_job_timer(void *arg);

static void apply(struct guests *g, struct entry *e, Drover__V1__Guest *guest)
{
    const char *transaction =
        g->config.transaction_of ? g->config.transaction_of(g->config.arg, e->uuid) : NULL;
    xml_set(&guest->transaction, xstrdup(transaction));
    if (guest->job && !g->job_timer)
        g->job_timer = loop_timer_start(g->config.loop, JOB_MS, on_job_timer, g);
    if (e->guest && message_same(&e->guest->base, &guest->base)) {
        drover__v1__guest__free_unpacked(guest, NULL);
        return;
    }
    if (e->guest)
        drover__v1__guest__free_unpacked(e->guest, NULL);
    e->guest = guest;
    g->config.changed(g->config.arg, guest, NULL, false);
}

/* ---- one guest ---- */

struct reading {
    struct guests *guests;
    char uuid[VIR_UUID_STRING_BUFLEN];
    Drover__V1__Guest *guest;
    struct error err;
};

static void read_on_worker(void *arg)
{
    struct reading *r = arg;
    _cleanup_connect_ virConnectPtr conn = libvirt_ref(r->guests->config.libvirt, &r->err);
    if (conn)
        guests_get(conn, r->uuid, &r->guest, NULL, &r->err);
}

static void read_done(void *arg);

static void read_start(struct guests *g, struct entry *e)
{
    e->reading = true;
    struct reading *r = new0(struct reading);
    r->guests = g;
    g->refs++;
    memcpy(r->uuid, e->uuid, sizeof(r->uuid));
    workers_submit(g->config.workers, read_on_worker, read_done, r);
}

static void read_done(void *arg)
{
    struct reading *r = arg;
    struct guests *g = r->guests;
    struct entry *e = g->freed ? NULL : find(g, r->uuid);
    if (e) {
        bool again = e->again;
        e->reading = e->again = false;
        if (again)
            read_start(g, e);
        if (r->guest)
            apply(g, e, steal(&r->guest));
        else if (!again && (r->err.code == STATUS_NOT_FOUND || !e->guest))
            gone(g, e);
    }
    if (r->guest)
        drover__v1__guest__free_unpacked(r->guest, NULL);
    free(r);
    unref(g);
}

/* Without libvirt only the transaction can have changed. */
static void refresh_transaction(struct guests *g, struct entry *e)
{
    Drover__V1__Guest *copy = (Drover__V1__Guest *)message_copy(&e->guest->base);
    xml_set(&copy->transaction, xstrdup(""));
    apply(g, e, copy);
}

void guests_refresh(struct guests *g, const char *uuid)
{
    if (strlen(uuid) >= VIR_UUID_STRING_BUFLEN)
        return;
    struct entry *e = find(g, uuid);
    if (!libvirt_up(g->config.libvirt, NULL, NULL)) {
        if (e && e->guest)
            refresh_transaction(g, e);
        return;
    }
    if (!e)
        e = find_or_add(g, uuid);
    /* What a list in progress has read may be older than this: it starts the read when it is applied. */
    if (e->reading || g->listing)
        e->again = true;
    else
        read_start(g, e);
}

static void on_job_timer(void *arg)
{
    struct guests *g = arg;
    g->job_timer = NULL;
    for (size_t i = 0; i < g->n; i++)
        if (g->entries[i]->guest && g->entries[i]->guest->job)
            guests_refresh(g, g->entries[i]->uuid);
}

/* ---- all of them ---- */

struct listing {
    struct guests *guests;
    bool ok;
    struct found {
        char uuid[VIR_UUID_STRING_BUFLEN];
        Drover__V1__Guest *guest; /* NULL: it is there, but could not be read */
    } * found;
    size_t n;
};

static void list_on_worker(void *arg)
{
    struct listing *l = arg;
    virDomainPtr *domains = NULL;
    _cleanup_connect_ virConnectPtr conn = libvirt_ref(l->guests->config.libvirt, NULL);
    int n = conn ? virConnectListAllDomains(conn, &domains, 0) : -1;
    if (n < 0)
        return;
    l->ok = true;
    l->found = xcalloc((size_t)n, sizeof(*l->found));
    for (int i = 0; i < n; i++) {
        struct error err = {0};
        struct found *f = &l->found[l->n];
        if (guests_read(domains[i], &f->guest, NULL, &err) == 0 || err.code != STATUS_NOT_FOUND)
            l->n++;
        if (err.code == STATUS_UNAVAILABLE)
            l->ok = false;
        virDomainGetUUIDString(domains[i], f->uuid);
        virDomainFree(domains[i]);
    }
    free(domains);
}

static void list_start(struct guests *g);

static void list_apply(struct guests *g, struct listing *l)
{
    for (size_t i = 0; i < g->n; i++)
        g->entries[i]->listed = false;
    for (size_t i = 0; i < l->n; i++) {
        struct entry *e = find_or_add(g, l->found[i].uuid);
        e->listed = true;
        /* A read under way began after an event, and so after what the list saw or at the same time: it has the last word. */
        if (l->found[i].guest && !e->reading)
            apply(g, e, steal(&l->found[i].guest));
    }
    for (size_t i = g->n; i-- > 0;)
        if (!g->entries[i]->listed && !g->entries[i]->reading && !g->entries[i]->again)
            gone(g, g->entries[i]);
    if (!g->synced) {
        g->synced = true;
        g->config.changed(g->config.arg, NULL, NULL, true);
    }
}

static void list_soon(void *arg)
{
    struct guests *g = arg;
    g->list_timer = NULL;
    list_start(g);
}

static int64_t next_list_ms(struct guests *g, bool ok)
{
    if (!ok)
        return JOB_MS;
    return g->early && g->early-- ? JOB_MS : LIST_MS;
}

static void list_done(void *arg)
{
    struct listing *l = arg;
    struct guests *g = l->guests;
    if (!g->freed) {
        bool again = g->list_again, up = libvirt_up(g->config.libvirt, NULL, NULL);
        g->listing = g->list_again = false;
        if (l->ok && up && !again)
            list_apply(g, l);
        if (up && again)
            list_start(g);
        else if (up)
            g->list_timer = loop_timer_start(g->config.loop, next_list_ms(g, l->ok), list_soon, g);
        for (size_t i = 0; i < g->n && !g->listing; i++) {
            struct entry *e = g->entries[i];
            if (!e->again || e->reading)
                continue;
            e->again = false;
            read_start(g, e);
        }
    }
    for (size_t i = 0; i < l->n; i++)
        if (l->found[i].guest)
            drover__v1__guest__free_unpacked(l->found[i].guest, NULL);
    free(l->found);
    free(l);
    unref(g);
}

static void list_start(struct guests *g)
{
    g->list_timer = loop_timer_cancel(g->list_timer);
    if (g->listing) {
        g->list_again = true;
        return;
    }
    g->listing = true;
    struct listing *l = new0(struct listing);
    l->guests = g;
    g->refs++;
    workers_submit(g->config.workers, list_on_worker, list_done, l);
}

/* ---- events ---- */

static void on_event(void *arg, const struct libvirt_event *event)
{
    struct guests *g = arg;
    const Drover__V1__Guest *known;
    switch (event->kind) {
    case LIBVIRT_UP:
        g->early = EARLY_LISTS;
        list_start(g);
        break;
    case LIBVIRT_DOWN:
        g->synced = false;
        g->list_timer = loop_timer_cancel(g->list_timer);
        break;
    case LIBVIRT_LIFECYCLE:
    case LIBVIRT_CHANGED:
    case LIBVIRT_JOB_COMPLETED: guests_refresh(g, event->uuid); break;
    case LIBVIRT_ITERATION: /* libvirt has no event for the beginning of a job: this is the nearest */
        known = guests_find(g, event->uuid);
        if (!known || !known->job)
            guests_refresh(g, event->uuid);
        break;
    case LIBVIRT_HOST_CHANGED: break;
    }
}

/* ---- made, asked and freed ---- */

struct guests *guests_new(const struct guests_config *config)
{
    struct guests *g = new0(struct guests);
    g->refs = 1;
    g->config = *config;
    g->events = libvirt_subscribe(config->libvirt, on_event, g);
    g->early = EARLY_LISTS;
    if (libvirt_up(config->libvirt, NULL, NULL))
        list_start(g);
    return g;
}

void guests_free(struct guests *g)
{
    if (!g)
        return;
    g->freed = true;
    g->events = libvirt_unsubscribe(g->events);
    g->job_timer = loop_timer_cancel(g->job_timer);
    g->list_timer = loop_timer_cancel(g->list_timer);
    for (size_t i = 0; i < g->n; i++)
        entry_free(g->entries[i]);
    g->n = 0;
    unref(g);
}

const Drover__V1__Guest *guests_find(const struct guests *g, const char *uuid)
{
    const struct entry *e = find(g, uuid);
    return e ? e->guest : NULL;
}

size_t guests_count(const struct guests *g)
{
    size_t n = 0;
    for (size_t i = 0; i < g->n; i++)
        n += g->entries[i]->guest != NULL;
    return n;
}

const Drover__V1__Guest *guests_at(const struct guests *g, size_t at)
{
    for (size_t i = 0; i < g->n; i++)
        if (g->entries[i]->guest && at-- == 0)
            return g->entries[i]->guest;
    return NULL;
}

bool guests_synced(const struct guests *g)
{
    return g->synced;
}
