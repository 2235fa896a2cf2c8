#include "agent/io/measure.h"

#include "agent/core/meter.h"
#include "agent/io/libvirt.h"
#include "agent/io/tree.h"
#include "common/base/memory.h"
#include "common/message/message.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { POLL_MS = 10000 }; /* QEMU's time is told in hundredths of a second: exact enough over so long */

struct measure {
    unsigned refs; /* the owner's, and that of a reading in progress */
    bool freed, reading;
    struct agent *agent;
    void (*changed)(void *arg);
    void *arg;
    struct loop_timer *timer;
    int64_t asked_ms; /* when the reading in progress began */
    struct meters meters;
    Drover__V1__Measured *last;
};

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* Numbers from `text` on; how many there were. */
static size_t numbers(const char *text, uint64_t *ret, size_t max)
{
    size_t n = 0;
    for (char *end; n < max; text = end) {
        uint64_t value = strtoull(text, &end, 10);
        if (end == text)
            break;
        ret[n++] = value;
    }
    return n;
}

bool measure_busy_ns(const char *procfs, uint64_t *ret)
{
    /* proc(5). User time has guests' in it. */
    enum { USER, NICE, SYSTEM, IDLE, IOWAIT, IRQ, SOFTIRQ, FIELDS };
    uint64_t t[FIELDS] = {0};
    _cleanup_free_ char *text = tree_text("%s/stat", procfs);
    long ticks = sysconf(_SC_CLK_TCK);
    if (!text || ticks <= 0 || strncmp(text, "cpu ", 4) != 0 || numbers(text + 4, t, FIELDS) <= SYSTEM)
        return false;
    *ret = (t[USER] + t[NICE] + t[SYSTEM] + t[IRQ] + t[SOFTIRQ]) * (uint64_t)(1000000000 / ticks);
    return true;
}

uint64_t measure_resident(const char *run, const char *procfs, const char *guest)
{
    uint64_t pages[2]; /* in all, resident */
    _cleanup_free_ char *pid = tree_text("%s/%s.pid", run, guest);
    _cleanup_free_ char *statm = pid ? tree_text("%s/%s/statm", procfs, pid) : NULL;
    if (!statm || numbers(statm, pages, 2) != 2)
        return 0;
    return pages[1] * (uint64_t)sysconf(_SC_PAGESIZE);
}

struct reading {
    struct measure *owner;
    struct meters_reading meters;
    bool ok;
};

static void add_guest(struct meters_reading *r, virDomainStatsRecordPtr record)
{
    virTypedParameterPtr cpu = virTypedParamsGet(record->params, record->nparams, "cpu.time");
    virTypedParameterPtr state = virTypedParamsGet(record->params, record->nparams, "state.state");
    struct meters_guest *g = &r->guests[r->n_guests];
    if (!cpu || cpu->type != VIR_TYPED_PARAM_ULLONG || !state || state->type != VIR_TYPED_PARAM_INT ||
        virDomainGetUUIDString(record->dom, g->uuid) < 0)
        return;
    g->running = state->value.i == VIR_DOMAIN_RUNNING || state->value.i == VIR_DOMAIN_BLOCKED;
    g->cpu_ns = cpu->value.ul;
    g->resident = measure_resident("/run/libvirt/qemu", "/proc", virDomainGetName(record->dom));
    r->n_guests++;
}

static void read_guests(struct libvirt *libvirt, struct meters_reading *r)
{
    virDomainStatsRecordPtr *records = NULL;
    _cleanup_connect_ virConnectPtr conn = libvirt_ref(libvirt, NULL);
    int n = conn ? virConnectGetAllDomainStats(
                       conn, VIR_DOMAIN_STATS_STATE | VIR_DOMAIN_STATS_CPU_TOTAL, &records,
                       VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE | VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT)
                 : -1;
    if (n < 0)
        return;
    r->guests_read = true;
    r->guests = xcalloc((size_t)n + 1, sizeof(*r->guests));
    for (int i = 0; i < n; i++)
        add_guest(r, records[i]);
    virDomainStatsRecordListFree(records);
}

static void read_on_worker(void *arg)
{
    struct reading *rd = arg;
    struct libvirt *libvirt = rd->owner->agent->libvirt;
    if (libvirt)
        read_guests(libvirt, &rd->meters);
    else
        rd->meters.guests_read = true; /* it has none */
    rd->ok = measure_busy_ns("/proc", &rd->meters.busy_ns);
    rd->meters.at_ms = clock_monotonic_ms();
}

/* ---- told: on the loop ------------------------------------------------------------------------------------------- */

static Drover__V1__Usage *usage_of(const struct meter *meter, const struct meter *other, uint64_t resident)
{
    Drover__V1__Usage *u = new0(Drover__V1__Usage);
    drover__v1__usage__init(u);
    u->cpu = meter_thousandths(meter);
    u->cpu_other = other ? meter_thousandths(other) : 0;
    u->memory = resident;
    return u;
}

static void tell(struct measure *m)
{
    const struct meters *all = &m->meters;
    Drover__V1__Measured *out = new0(Drover__V1__Measured);
    drover__v1__measured__init(out);
    if (all->told)
        out->host = usage_of(&all->host, &all->other, 0);
    for (size_t i = 0; i < all->n_guests; i++) {
        const struct meters_entry *e = &all->guests[i];
        if (!e->told)
            continue;
        Drover__V1__GuestUsage *g = new0(Drover__V1__GuestUsage);
        drover__v1__guest_usage__init(g);
        g->guest = xstrdup(e->last.uuid);
        g->usage = usage_of(&e->meter, NULL, e->last.resident);
        message_append(&out->guests, &out->n_guests, g);
    }
    drover__v1__measured__free_unpacked(m->last, NULL);
    m->last = out;
    m->changed(m->arg);
}

static void unref(struct measure *m)
{
    if (--m->refs == 0)
        free(m);
}

static void read_done(void *arg)
{
    struct reading *rd = arg;
    struct measure *m = rd->owner;
    m->reading = false;
    if (!m->freed && rd->ok) {
        meters_feed(&m->meters, &rd->meters);
        if (meters_tell(&m->meters))
            tell(m);
    }
    free(rd->meters.guests);
    free(rd);
    unref(m);
}

static void on_timer(void *arg)
{
    struct measure *m = arg;
    int64_t now = clock_monotonic_ms();
    m->timer = loop_timer_start(m->agent->loop, POLL_MS, on_timer, m);
    if (m->reading) {
        if (now - m->asked_ms > METER_WINDOW_MS && m->meters.guests_begun) {
            meters_forget_guests(&m->meters);
            if (meters_tell(&m->meters))
                tell(m);
        }
        return;
    }
    struct reading *rd = new0(struct reading);
    rd->owner = m;
    m->reading = true;
    m->asked_ms = now;
    m->refs++;
    workers_submit(m->agent->workers, read_on_worker, read_done, rd);
}

/* ---- made and freed ---------------------------------------------------------------------------------------------- */

struct measure *measure_new(struct agent *agent, void (*changed)(void *arg), void *arg)
{
    struct measure *m = new0(struct measure);
    m->refs = 1;
    m->agent = agent;
    m->changed = changed;
    m->arg = arg;
    on_timer(m);
    return m;
}

void measure_free(struct measure *m)
{
    if (!m)
        return;
    m->freed = true;
    m->timer = loop_timer_cancel(m->timer);
    meters_deinit(&m->meters);
    drover__v1__measured__free_unpacked(steal(&m->last), NULL);
    unref(m);
}

const Drover__V1__Measured *measure_last(const struct measure *m)
{
    return m->last;
}
