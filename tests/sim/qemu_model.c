#include "tests/sim/qemu_model.h"

#include <math.h>
#include <string.h>

/* splitmix64 */
static uint64_t next_random(struct qemu *q)
{
    uint64_t z = q->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static double unit_random(struct qemu *q)
{
    return (double)(next_random(q) >> 11) * 0x1p-53;
}

static bool has(const uint64_t *bits, uint32_t i)
{
    return bits[i / 64] >> (i % 64) & 1;
}

static const struct qemu_phase *phase_of(const struct qemu *q)
{
    const struct qemu_phase *p = &q->setup.phases[0];
    for (unsigned i = 1; i < QEMU_PHASES; i++)
        if (q->setup.phases[i].hot_rate >= 0 && q->now >= q->setup.phases[i].from)
            p = &q->setup.phases[i];
    return p;
}

void qemu_init(struct qemu *q, const struct qemu_setup *setup)
{
    *q = (struct qemu){.setup = *setup, .random = setup->seed, .iteration = 1, .downtime = setup->downtime};
    memset(q->pending, 0xff, sizeof(q->pending));
    q->n_pending = QEMU_PAGES;
    for (uint32_t i = 0; i < QEMU_PAGES - setup->zero; i++)
        q->nonzero[i / 64] |= UINT64_C(1) << (i % 64);
    q->device_left = setup->device;
}

static void write_page(struct qemu *q, uint32_t page, uint32_t hot)
{
    uint64_t bit = UINT64_C(1) << (page % 64);
    q->nonzero[page / 64] |= bit;
    if (!(q->log[page / 64] & bit)) {
        q->log[page / 64] |= bit;
        q->n_log_hot += page < hot;
    }
}

/* Writes at random to the working set. When far more than it holds is due at once, all of it is dirty. */
static void write_hot(struct qemu *q, uint32_t hot)
{
    if (q->writes_due_hot > 8.0 * hot) {
        for (uint32_t i = 0; i < hot; i++)
            write_page(q, i, hot);
        q->writes_due_hot = 0;
    }
    for (; q->writes_due_hot >= 1 && q->n_log_hot < hot; q->writes_due_hot -= 1)
        write_page(q, (uint32_t)(next_random(q) % hot), hot);
    if (q->n_log_hot == hot)
        q->writes_due_hot = 0;
}

static void run_guest(struct qemu *q)
{
    const struct qemu_phase *p = phase_of(q);
    double share = (100 - q->throttle) / 100.0 * QEMU_STEP / 1e3;
    q->writes_due_hot += p->hot_rate * share;
    if (p->hot && p->sweep) {
        for (q->writes_due_hot = fmin(q->writes_due_hot, p->hot); q->writes_due_hot >= 1;
             q->writes_due_hot -= 1)
            write_page(q, q->sweep_at++ % p->hot, p->hot);
    } else if (p->hot) {
        write_hot(q, p->hot);
    }
    for (q->writes_due_cold += p->cold_rate * share; q->writes_due_cold >= 1; q->writes_due_cold -= 1)
        write_page(q, (uint32_t)(next_random(q) % QEMU_PAGES), p->hot);
    q->throttled += q->throttle / 100.0 * QEMU_STEP;
}

static void send_pages(struct qemu *q, double bytes)
{
    enum { ZERO_BYTES = 9, QEMU_PAGE_BYTES = 4096, SCAN = 20 };
    q->send_due += bytes;
    double scan = bytes * SCAN; /* zero pages are found at memory's speed, not the link's */
    while (q->n_pending > 0 && q->send_due > 0 && scan > 0) {
        uint32_t i = q->cursor++ % QEMU_PAGES;
        if (!q->pending[i / 64]) {
            q->cursor = (i / 64 + 1) * 64;
            continue;
        }
        if (!has(q->pending, i))
            continue;
        q->pending[i / 64] &= ~(UINT64_C(1) << (i % 64));
        q->n_pending--;
        double cost = has(q->nonzero, i) ? q->setup.page : q->setup.page * ZERO_BYTES / QEMU_PAGE_BYTES;
        q->send_due -= cost;
        scan -= q->setup.page;
    }
    /* By what went over the wire, not by these large pages: QEMU's own are of 4 KiB. */
    double idle = fmax(q->send_due, 0), wire = bytes - idle;
    q->send_due -= idle;
    q->sent += wire;
    q->slice_sent += wire;
    q->period_sent += wire;
}

static void sync_bitmap(struct qemu *q)
{
    uint32_t before = q->n_pending;
    q->n_pending = 0;
    for (unsigned i = 0; i < QEMU_PAGES / 64; i++) {
        q->pending[i] |= q->log[i];
        q->log[i] = 0;
        q->n_pending += (uint32_t)__builtin_popcountll(q->pending[i]);
    }
    q->n_log_hot = 0;
    q->iteration++;
    q->period_dirtied += q->n_pending - before;
    if (q->now < q->period_at + 1000)
        return;
    if (q->setup.auto_converge && q->period_dirtied * q->setup.page > q->period_sent / 2 && ++q->high >= 2) {
        q->high = 0;
        q->throttle = q->throttle == 0 ? 20 : q->throttle + 10 > 99 ? 99 : q->throttle + 10;
    }
    q->period_at = q->now;
    q->period_sent = 0;
    q->period_dirtied = 0;
}

double qemu_remaining(const struct qemu *q)
{
    return q->n_pending * q->setup.page;
}

bool qemu_stopped(const struct qemu *q)
{
    return q->state == QEMU_COMPLETING || (q->state == QEMU_ACTIVE && q->paused) ||
           (q->state == QEMU_POST_COPY && q->device_left > 0);
}

bool qemu_over(const struct qemu *q)
{
    return q->state == QEMU_DONE || q->state == QEMU_CANCELLED;
}

/* QEMU's migration_iteration_run, once per slice and when the bitmap is empty. */
static bool look(struct qemu *q, double threshold)
{
    if (q->state != QEMU_ACTIVE || (q->n_pending > 0 && qemu_remaining(q) >= threshold))
        return false;
    sync_bitmap(q);
    if (q->n_pending == 0 || qemu_remaining(q) < threshold) {
        sync_bitmap(q);
        q->state = QEMU_COMPLETING;
    }
    return true;
}

bool qemu_step(struct qemu *q)
{
    bool synced = false;
    bool stopped = qemu_stopped(q);
    double noise = 1 + q->setup.noise * (2 * unit_random(q) - 1);
    double bytes = phase_of(q)->bandwidth * noise * QEMU_STEP / 1e3;
    if (q->state == QEMU_POST_COPY)
        q->post_copied += stopped ? 0 : QEMU_STEP;
    else if (!stopped)
        run_guest(q);
    q->pause += stopped ? QEMU_STEP : 0;
    q->now += QEMU_STEP;

    bool device_first = q->state == QEMU_POST_COPY && q->device_left > 0;
    if (!device_first)
        send_pages(q, bytes);
    if (q->state == QEMU_COMPLETING || q->state == QEMU_POST_COPY) {
        if (q->device_left > 0 && (device_first || q->n_pending == 0))
            q->device_left -= QEMU_STEP;
        if (q->n_pending == 0 && q->device_left <= 0)
            q->state = QEMU_DONE;
        return false;
    }
    if (q->n_pending == 0)
        synced = look(q, q->slice_bandwidth * (double)q->downtime / 1e3);
    if (q->now % QEMU_SLICE == 0) {
        q->slice_bandwidth = q->slice_sent / QEMU_SLICE * 1e3;
        q->slice_sent = 0;
        if (!synced)
            synced = look(q, q->slice_bandwidth * (double)q->downtime / 1e3);
    }
    return synced;
}

void qemu_pause(struct qemu *q)
{
    if (q->state == QEMU_ACTIVE && !q->paused) {
        q->paused = true;
        q->paused_at = q->now;
    }
}

void qemu_post_copy(struct qemu *q)
{
    if (q->state != QEMU_ACTIVE)
        return;
    sync_bitmap(q);
    q->state = QEMU_POST_COPY;
    q->post_copy_at = q->now;
    uint32_t data = 0;
    for (unsigned i = 0; i < QEMU_PAGES / 64; i++)
        data += (uint32_t)__builtin_popcountll(q->pending[i] & q->nonzero[i]);
    q->post_copy_left = data * q->setup.page;
}

void qemu_cancel(struct qemu *q)
{
    if (q->state == QEMU_ACTIVE || q->state == QEMU_COMPLETING)
        q->state = QEMU_CANCELLED;
}
