#include "agent/samples.h"

#include "agent/core/correction.h"
#include "agent/core/sampled.h"
#include "agent/io/dirty_rate.h"
#include "agent/io/guests.h"
#include "agent/io/known.h"
#include "agent/transactions.h"
#include "common/base/memory.h"
#include "common/message/message.h"

#include <string.h>

enum {
    EVERY_MS = 15 * 1000, /* at most one guest */
    FRESH_MS = 10 * 60 * 1000,
    SHORT_S = 1,
    LONG_S = 3,
    SETUP_MS = 1000, /* until it is known */
};

struct known {
    struct known *next;
    char guest[37];
    struct sampled dirty;
};

struct link {
    struct link *next;
    char *host;
    int64_t bandwidth, at_ms; /* 0: only corrected */
    const char *source;
    struct correction correction;
};

struct wish {
    struct wish *next;
    char guest[37];
    void (*fn)(void *arg, const struct error *why);
    void *arg;
};

struct taking {
    struct samples *samples; /* NULL: freed meanwhile */
    struct libvirt *libvirt;
    char guest[37];
    int64_t memory; /* bytes, at most */
    atomic_bool stop;
    struct sampled got;
    struct error err;
};

struct samples {
    struct agent *agent;
    struct workers *workers; /* one thread: one guest at a time */
    struct loop_timer *timer;
    struct taking *taking;
    struct known *guests;
    struct link *links;
    struct wish *wishes;
    int64_t setup_ms; /* a moving mean */
    bool changed;     /* since it was written */
};

static struct known *find(const struct samples *s, const char *guest)
{
    for (struct known *g = s->guests; g; g = g->next)
        if (streq(g->guest, guest))
            return g;
    return NULL;
}

static struct link *link_to(const struct samples *s, const char *host)
{
    for (struct link *l = s->links; l; l = l->next)
        if (streq(l->host, host))
            return l;
    return NULL;
}

static struct link *link_made(struct samples *s, const char *host)
{
    struct link *l = link_to(s, host);
    if (l)
        return l;
    l = new0(struct link);
    *l = (struct link){.next = s->links, .host = xstrdup(host), .source = ""};
    s->links = l;
    return l;
}

/* ---- taking ---- */

static void take(void *arg)
{
    static const int seconds[SAMPLED_WINDOWS] = {SHORT_S, LONG_S};
    struct taking *t = arg;
    _cleanup_connect_ virConnectPtr conn = libvirt_ref(t->libvirt, &t->err);
    for (unsigned i = 0; conn && i < SAMPLED_WINDOWS; i++) {
        if (dirty_rate_sample(conn, t->guest, seconds[i], &t->stop, &t->got.windows[i], &t->err) < 0)
            return;
        t->got.n++;
    }
    t->got.resident = conn ? dirty_rate_touched(conn, t->guest, t->memory) : 0;
}

static void next(struct samples *s);

static void fulfil(struct samples *s, const char *guest, const struct error *why)
{
    for (struct wish **p = &s->wishes, *w; (w = *p);) {
        if (!streq(w->guest, guest)) {
            p = &w->next;
            continue;
        }
        *p = w->next;
        w->fn(w->arg, why);
        free(w);
    }
}

static void fail_first(struct samples *s, const struct error *why)
{
    char guest[37];
    memcpy(guest, s->wishes->guest, sizeof(guest));
    fulfil(s, guest, why);
}

static void taken(void *arg)
{
    struct taking *t = arg;
    struct samples *s = t->samples;
    if (s) {
        struct known *g = find(s, t->guest);
        if (!g) {
            g = new0(struct known);
            memcpy(g->guest, t->guest, sizeof(g->guest));
            g->dirty.tried_ms = INT64_MIN;
            g->next = s->guests;
            s->guests = g;
        }
        bool learnt = sampled_learn(&g->dirty, &t->got, t->stop, clock_monotonic_ms());
        s->changed |= learnt;
        s->taking = NULL;
        fulfil(s, t->guest, learnt ? NULL : &t->err);
        next(s);
    }
    free(t);
}

static void begin(struct samples *s, const char *guest)
{
    struct taking *t = s->taking = new0(struct taking);
    t->samples = s;
    t->libvirt = s->agent->libvirt;
    snprintf(t->guest, sizeof(t->guest), "%s", guest);
    const Drover__V1__Guest *known = guests_find(s->agent->guests, guest);
    t->memory = known ? (int64_t)known->memory_max : 0;
    workers_submit(s->workers, take, taken, t);
}

static void next(struct samples *s)
{
    if (s->taking)
        return;
    struct error why = {0};
    error_set(&why, STATUS_UNAVAILABLE, "a migration is on at this host");
    while (s->wishes && transactions_moving(s->agent->transactions))
        fail_first(s, &why);
    if (s->wishes)
        begin(s, s->wishes->guest);
}

static void forget_gone(struct samples *s)
{
    for (struct known **p = &s->guests, *g; (g = *p);) {
        if (guests_find(s->agent->guests, g->guest)) {
            p = &g->next;
            continue;
        }
        *p = g->next;
        free(g);
    }
}

/* ---- kept over a restart ---- */

static Drover__V1__KnownGuest *known_guest(const struct known *known)
{
    const struct sampled *g = &known->dirty;
    Drover__V1__KnownGuest *k = new0(Drover__V1__KnownGuest);
    drover__v1__known_guest__init(k);
    k->guest = xstrdup(known->guest);
    k->at = clock_realtime_of(g->at_ms);
    k->resident = g->resident;
    for (unsigned i = 0; i < g->n; i++) {
        Drover__V1__KnownWindow *w = new0(Drover__V1__KnownWindow);
        drover__v1__known_window__init(w);
        w->length = g->windows[i].length;
        w->dirtied = g->windows[i].dirtied;
        message_append(&k->windows, &k->n_windows, w);
    }
    return k;
}

static Drover__V1__KnownLink *known_link(const struct link *l)
{
    Drover__V1__KnownLink *k = new0(Drover__V1__KnownLink);
    drover__v1__known_link__init(k);
    k->host = xstrdup(l->host);
    k->at = clock_realtime_of(l->at_ms);
    k->bandwidth = l->bandwidth;
    k->source = xstrdup(l->source);
    k->correct_time = l->correction.time;
    k->correct_pause = l->correction.pause;
    k->delay = l->correction.delay;
    return k;
}

struct keeping {
    const char *dir;
    Drover__V1__Known *known;
    struct error err;
};

static void keep_work(void *arg)
{
    struct keeping *k = arg;
    known_write(k->dir, k->known, &k->err);
}

static void keep_done(void *arg)
{
    struct keeping *k = arg;
    if (k->err.code)
        log_warn("%s; measurements are lost with a restart", k->err.text);
    drover__v1__known__free_unpacked(k->known, NULL);
    free(k);
}

static struct keeping *keeping_new(struct samples *s)
{
    struct keeping *k = new0(struct keeping);
    Drover__V1__Known *known = k->known = new0(Drover__V1__Known);
    k->dir = s->agent->config->state_dir;
    drover__v1__known__init(known);
    known->setup = s->setup_ms;
    for (const struct known *g = s->guests; g && known->n_guests < KNOWN_GUESTS_MAX; g = g->next)
        if (g->dirty.n)
            message_append(&known->guests, &known->n_guests, known_guest(g));
    for (const struct link *l = s->links; l && known->n_links < KNOWN_LINKS_MAX; l = l->next)
        message_append(&known->links, &known->n_links, known_link(l));
    s->changed = false;
    return k;
}

static void keep(struct samples *s)
{
    if (s->changed && !s->taking)
        workers_submit(s->workers, keep_work, keep_done, keeping_new(s));
}

static void recall(struct samples *s)
{
    static const char *const sources[] = {"measured", "migration"};
    struct error err = {0};
    Drover__V1__Known *known = NULL;
    if (known_read(s->agent->config->state_dir, &known, &err) < 0) {
        if (err.code != STATUS_NOT_FOUND)
            log_warn("%s", err.text);
        return;
    }
    if (known->setup > 0)
        s->setup_ms = known->setup;
    for (size_t i = 0; i < known->n_guests && i < KNOWN_GUESTS_MAX; i++) {
        const Drover__V1__KnownGuest *k = known->guests[i];
        struct known *g = new0(struct known);
        struct sampled *d = &g->dirty;
        snprintf(g->guest, sizeof(g->guest), "%s", k->guest);
        d->at_ms = d->tried_ms = clock_monotonic_of(k->at);
        d->resident = k->resident;
        for (; d->n < k->n_windows && d->n < SAMPLED_WINDOWS; d->n++)
            d->windows[d->n] = (struct model_window){.length = k->windows[d->n]->length,
                                                     .dirtied = k->windows[d->n]->dirtied};
        g->next = s->guests;
        s->guests = g;
    }
    for (size_t i = 0; i < known->n_links && i < KNOWN_LINKS_MAX; i++) {
        const Drover__V1__KnownLink *k = known->links[i];
        struct link *l = link_made(s, k->host);
        l->bandwidth = k->bandwidth;
        l->at_ms = clock_monotonic_of(k->at);
        l->source = sources[streq(k->source, sources[1])];
        l->correction = (struct correction){k->correct_time, k->correct_pause, k->delay};
    }
    drover__v1__known__free_unpacked(known, NULL);
}

/* The guest whose sample is oldest, if that is old. */
static void on_timer(void *arg)
{
    struct samples *s = arg;
    s->timer = loop_timer_start(s->agent->loop, EVERY_MS, on_timer, s);
    keep(s);
    if (s->taking || !guests_synced(s->agent->guests) || transactions_moving(s->agent->transactions))
        return;
    forget_gone(s);
    const Drover__V1__Guest *oldest = NULL;
    int64_t at = clock_monotonic_ms() - FRESH_MS;
    for (size_t i = 0; i < guests_count(s->agent->guests); i++) {
        const Drover__V1__Guest *g = guests_at(s->agent->guests, i);
        const struct known *known = find(s, g->uuid);
        int64_t tried = known ? known->dirty.tried_ms : INT64_MIN;
        if (g->state != DROVER__V1__GUEST_STATE__GUEST_RUNNING || g->job || tried >= at)
            continue;
        oldest = g;
        at = tried;
    }
    if (oldest)
        begin(s, oldest->uuid);
}

void samples_give_up(struct samples *s)
{
    if (s && s->taking)
        s->taking->stop = true;
}

void samples_refresh(struct samples *s, const char *guest, void (*fn)(void *arg, const struct error *why),
                     void *arg)
{
    struct wish *w = new0(struct wish);
    *w = (struct wish){.fn = fn, .arg = arg};
    snprintf(w->guest, sizeof(w->guest), "%s", guest);
    struct wish **last = &s->wishes;
    while (*last)
        last = &(*last)->next;
    *last = w;
    next(s);
}

/* ---- what is known ---- */

int64_t samples_guest(const struct samples *s, const char *guest, struct model_input *in)
{
    const struct known *known = find(s, guest);
    const struct sampled *g = known ? &known->dirty : NULL;
    in->n_windows = 0;
    if (!g || !g->n)
        return -1;
    memcpy(in->windows, g->windows, g->n * sizeof(g->windows[0]));
    in->n_windows = g->n;
    /* What its QEMU doesn't hold was never touched. */
    if (g->resident && g->resident < in->memory)
        in->zero = in->memory - g->resident;
    in->age = clock_monotonic_ms() - g->at_ms;
    return in->age;
}

int64_t samples_link(const struct samples *s, const char *host, const char **ret_source, int64_t *ret_age)
{
    const struct link *l = link_to(s, host);
    *ret_source = l ? l->source : "";
    *ret_age = l ? clock_monotonic_ms() - l->at_ms : 0;
    return l ? l->bandwidth : 0;
}

void samples_learn_setup(struct samples *s, int64_t ms)
{
    s->setup_ms += (ms - s->setup_ms) / 2;
    s->changed = true;
}

void samples_learn_fact(struct samples *s, const char *host, const Drover__V1__Forecast *forecast,
                        const Drover__V1__Result *fact)
{
    correction_learn(&link_made(s, host)->correction,
                     &(struct correction_case){forecast->time, forecast->pause},
                     &(struct correction_case){fact->transfer + fact->handover, fact->pause});
    s->changed = true;
}

struct correction samples_correction(const struct samples *s, const char *host)
{
    const struct link *l = link_to(s, host);
    return l ? l->correction : (struct correction){0};
}

int64_t samples_overhead(const struct samples *s, const char *host)
{
    const struct correction c = samples_correction(s, host);
    return correction_safe(&c);
}

int64_t samples_setup(const struct samples *s)
{
    return s->setup_ms;
}

void samples_line(struct samples *s, const char *host, int64_t delay_ms)
{
    if (samples_correction(s, host).delay == delay_ms)
        return;
    link_made(s, host)->correction.delay = delay_ms;
    s->changed = true;
}

void samples_learn_link(struct samples *s, const char *host, int64_t bandwidth, const char *source)
{
    struct link *l = link_made(s, host);
    s->changed = true;
    l->bandwidth = bandwidth;
    l->source = source;
    l->at_ms = clock_monotonic_ms();
}

/* ---- made and freed ---- */

struct samples *samples_new(struct agent *agent)
{
    struct samples *s = new0(struct samples);
    s->agent = agent;
    s->setup_ms = SETUP_MS;
    s->workers = workers_new(agent->loop, 1);
    recall(s);
    if (agent->guests)
        s->timer = loop_timer_start(agent->loop, EVERY_MS, on_timer, s);
    return s;
}

struct samples *samples_free(struct samples *s)
{
    if (!s)
        return NULL;
    struct error why = {0};
    error_set(&why, STATUS_UNAVAILABLE, "the agent is stopping");
    while (s->wishes)
        fail_first(s, &why);
    loop_timer_cancel(s->timer);
    if (s->taking) {
        s->taking->stop = true;
        s->taking->samples = NULL;
    }
    workers_free(s->workers);
    if (s->changed) {
        struct keeping *k = keeping_new(s);
        keep_work(k);
        keep_done(k);
    }
    while (s->guests) {
        struct known *g = s->guests;
        s->guests = g->next;
        free(g);
    }
    while (s->links) {
        struct link *l = s->links;
        s->links = l->next;
        free(l->host);
        free(l);
    }
    free(s);
    return NULL;
}
