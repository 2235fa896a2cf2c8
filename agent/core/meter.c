#include "agent/core/meter.h"

#include "common/base/cleanup.h"
#include "common/base/memory.h"

#include <stdlib.h>
#include <string.h>

void meter_add(struct meter *m, uint64_t used_ns, int64_t ms)
{
    if (ms <= 0)
        return;
    double cpus = (double)used_ns / 1e6 / (double)ms;
    m->over_ms += ms;
    int64_t over = m->over_ms < METER_WINDOW_MS ? m->over_ms : METER_WINDOW_MS;
    double weight = ms < over ? (double)ms / (double)over : 1;
    m->cpus += (cpus - m->cpus) * weight;
}

bool meter_settled(const struct meter *m)
{
    return m->over_ms >= METER_SETTLED_MS;
}

static struct meters_entry *find(const struct meters *m, const char *uuid)
{
    for (size_t i = 0; i < m->n_guests; i++)
        if (strcmp(m->guests[i].last.uuid, uuid) == 0)
            return &m->guests[i];
    return NULL;
}

/* What it has used since the last reading. */
static uint64_t feed_guest(struct meters *m, const struct meters_guest *g, int64_t ms)
{
    struct meters_entry *e = find(m, g->uuid);
    if (!e) {
        m->guests = xrealloc(m->guests, m->n_guests + 1, sizeof(*m->guests));
        e = &m->guests[m->n_guests++];
        *e = (struct meters_entry){0};
    } else if (g->cpu_ns < e->last.cpu_ns) { /* another process: it was started anew */
        e->meter = (struct meter){0};
        e->last.cpu_ns = 0;
    } else if (g->running || e->meter.over_ms) {
        meter_add(&e->meter, g->cpu_ns - e->last.cpu_ns, ms);
    }
    uint64_t used = g->cpu_ns - e->last.cpu_ns;
    e->last = *g;
    e->seen = true;
    return used;
}

static void drop_unseen(struct meters *m)
{
    size_t n = 0;
    for (size_t i = 0; i < m->n_guests; i++)
        if (m->guests[i].seen)
            m->guests[n++] = m->guests[i];
    m->n_guests = n;
}

static void feed_guests(struct meters *m, const struct meters_reading *r)
{
    int64_t ms = m->guests_begun ? r->at_ms - m->guests_at_ms : 0;
    uint64_t used = 0, busy = r->busy_ns > m->guests_busy_ns ? r->busy_ns - m->guests_busy_ns : 0;
    for (size_t i = 0; i < m->n_guests; i++)
        m->guests[i].seen = false;
    for (size_t i = 0; i < r->n_guests; i++)
        used += feed_guest(m, &r->guests[i], ms);
    drop_unseen(m);
    meter_add(&m->other, busy > used ? busy - used : 0, ms);
    m->guests_begun = true;
    m->guests_at_ms = r->at_ms;
    m->guests_busy_ns = r->busy_ns;
}

void meters_feed(struct meters *m, const struct meters_reading *r)
{
    if (m->begun && r->busy_ns >= m->busy_ns)
        meter_add(&m->host, r->busy_ns - m->busy_ns, r->at_ms - m->at_ms);
    m->begun = true;
    m->at_ms = r->at_ms;
    m->busy_ns = r->busy_ns;
    if (r->guests_read)
        feed_guests(m, r);
}

void meters_forget_guests(struct meters *m)
{
    free(steal(&m->guests));
    m->n_guests = 0;
    m->guests_begun = false;
    m->other = (struct meter){0};
}

void meters_deinit(struct meters *m)
{
    meters_forget_guests(m);
    *m = (struct meters){0};
}

static bool differs(uint32_t now, uint32_t told)
{
    uint32_t by = now > told ? now - told : told - now;
    return by >= 50 && by >= told / 10;
}

static bool differs_much(uint64_t now, uint64_t told)
{
    uint64_t by = now > told ? now - told : told - now;
    return by > told / 16;
}

static bool tell_guest(const struct meters_entry *e)
{
    if (meter_settled(&e->meter) != e->told)
        return true;
    return e->told && (differs(meter_thousandths(&e->meter), e->told_cpu) ||
                       differs_much(e->last.resident, e->told_resident));
}

bool meters_tell(struct meters *m)
{
    uint32_t cpu = meter_thousandths(&m->host), other = meter_thousandths(&m->other);
    bool tell = meter_settled(&m->host) && meter_settled(&m->other);
    bool any = tell != m->told || (tell && (differs(cpu, m->told_cpu) || differs(other, m->told_other)));
    for (size_t i = 0; i < m->n_guests && !any; i++)
        any = tell_guest(&m->guests[i]);
    if (!any)
        return false;
    m->told = tell;
    m->told_cpu = cpu;
    m->told_other = other;
    for (size_t i = 0; i < m->n_guests; i++) {
        struct meters_entry *e = &m->guests[i];
        e->told = meter_settled(&e->meter);
        e->told_cpu = meter_thousandths(&e->meter);
        e->told_resident = e->last.resident;
    }
    return true;
}
