#include "agent/io/migration.h"

#include "agent/io/domain.h"
#include "agent/io/libvirt_port.h"
#include "agent/io/relocate_xml.h"
#include "common/base/memory.h"
#include "common/message/message.h"

#include <pthread.h>

enum {
    SAMPLE_MS = 250,
    KEEPALIVE_S = 5,
    KEEPALIVE_N = 5,
    CONNECT_MS = 5000,
    MIB = 1048576,
};

/* What the thread of the call needs, shared with the owner and freed by the last. */
struct call {
    pthread_mutex_t lock; /* guards `owner` and `refs` */
    unsigned refs;
    struct migration *owner; /* NULL when it does not care any more */
    struct loop *loop;
    pthread_t thread;
    bool joinable;
    char *libvirt_uri, *guest, *destination, *uri;
    unsigned flags;
    uint64_t bandwidth_mib;
    Drover__V1__Relocation *relocation; /* NULL: all is as here */
    struct error why;                   /* code 0: success */
};

struct migration {
    struct call *call; /* NULL: adopted */
    struct loop *loop;
    struct workers *workers;
    struct libvirt *libvirt;
    char *guest;
    int64_t downtime_ms; /* to be set once the job is on; 0: set */
    uint64_t speed; /* the same, once memory flows: what is said before, libvirt forgets; MiB/s, 0: set */
    bool post_copy; /* it may be asked for, and has a limit of its own */
    bool again;     /* a sample is wanted right after the one that is being taken */
    struct loop_timer *timer;
    struct sample *sampling;
    void (*sample)(void *arg, const Drover__V1__Progress *progress);
    void (*ended)(void *arg, const struct error *why);
    void *arg;
};

static void call_unref(struct call *c)
{
    pthread_mutex_lock(&c->lock);
    bool last = --c->refs == 0;
    pthread_mutex_unlock(&c->lock);
    if (!last)
        return;
    pthread_mutex_destroy(&c->lock);
    free(c->libvirt_uri);
    free(c->guest);
    free(c->destination);
    free(c->uri);
    drover__v1__relocation__free_unpacked(c->relocation, NULL);
    free(c);
}

/* libvirt gives up connecting to a host that is cut off only after 2 minutes, can't be stopped before that, and the guest can't
 * be settled meanwhile. */
static int try_destination(const struct call *c, struct error *err)
{
    Drover__V1__ProbeResult *result = new0(Drover__V1__ProbeResult);
    drover__v1__probe_result__init(result);
    struct limit limit = {clock_monotonic_ms() + CONNECT_MS, -1};
    libvirt_port_connect(&limit, LIBVIRT_PKI, "", c->destination, result);
    int r = 0;
    if (result->outcome == DROVER__V1__PROBE_OUTCOME__PROBE_REFUTED)
        r = error_set(err, STATUS_UNAVAILABLE, "the destination's libvirt can't be reached: %s",
                      result->seen);
    drover__v1__probe_result__free_unpacked(result, NULL);
    return r;
}

struct params {
    virTypedParameterPtr list;
    int n, max;
};

static void params_deinit(struct params *p)
{
    virTypedParamsFree(p->list, p->n);
}

/* The running guest's own XML, as the destination is to start it, and the disks that libvirt copies. */
static int add_relocation(const struct call *c, virDomainPtr domain, struct params *p, struct error *err)
{
    const Drover__V1__Relocation *r = c->relocation;
    if (!r)
        return 0;
    _cleanup_free_ char *xml = r->xml[0] ? xstrdup(r->xml) : NULL;
    _cleanup_free_ char *here =
        virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_SECURE | VIR_DOMAIN_XML_MIGRATABLE);
    if (!here)
        return error_libvirt(err, "cannot read the definition of guest %s", c->guest);
    int e = xml ? 0 : relocate_xml(here, r, &xml, err);
    if (e < 0)
        return e;
    e = virTypedParamsAddString(&p->list, &p->n, &p->max, VIR_MIGRATE_PARAM_DEST_XML, xml);
    for (size_t i = 0; e == 0 && i < r->n_copies; i++)
        e = virTypedParamsAddString(&p->list, &p->n, &p->max, VIR_MIGRATE_PARAM_MIGRATE_DISKS,
                                    r->copies[i]->target);
    return e < 0 ? error_libvirt(err, "cannot ask for the migration of guest %s", c->guest) : 0;
}

static int migrate(struct call *c, struct error *err)
{
    if (try_destination(c, err) < 0)
        return -(int)err->code;
    _cleanup_connect_ virConnectPtr conn = virConnectOpen(c->libvirt_uri);
    if (!conn)
        return error_libvirt(err, "cannot connect to libvirt");
    virConnectSetKeepAlive(conn, KEEPALIVE_S, KEEPALIVE_N);
    _cleanup_domain_ virDomainPtr domain = domain_find(conn, c->guest, err);
    if (!domain)
        return -(int)err->code;
    _cleanup_(params_deinit) struct params p = {0};
    if (virTypedParamsAddString(&p.list, &p.n, &p.max, VIR_MIGRATE_PARAM_URI, c->uri) < 0 ||
        (c->bandwidth_mib &&
         virTypedParamsAddULLong(&p.list, &p.n, &p.max, VIR_MIGRATE_PARAM_BANDWIDTH, c->bandwidth_mib) < 0) ||
        (c->bandwidth_mib && (c->flags & VIR_MIGRATE_POSTCOPY) &&
         virTypedParamsAddULLong(&p.list, &p.n, &p.max, VIR_MIGRATE_PARAM_BANDWIDTH_POSTCOPY,
                                 c->bandwidth_mib) < 0))
        return error_libvirt(err, "cannot ask for the migration of guest %s", c->guest);
    int r = add_relocation(c, domain, &p, err);
    if (r < 0)
        return r;
    r = virDomainMigrateToURI3(domain, c->destination, p.list, (unsigned)p.n, c->flags);
    return r < 0 ? error_libvirt(err, "libvirt's migration to %s failed", c->destination) : 0;
}

static void call_done(void *arg)
{
    struct call *c = arg;
    struct migration *m = c->owner; /* only changed on the loop, where this runs */
    if (c->joinable)
        pthread_join(c->thread, NULL); /* it is at its end */
    if (m)
        m->ended(m->arg, c->why.code ? &c->why : NULL);
    call_unref(c);
}

/* Threads of calls that nobody cares for any more, at their end. */
static pthread_mutex_t over_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_t *over;
static size_t n_over;

void migration_join_ended(void)
{
    pthread_mutex_lock(&over_lock);
    _cleanup_free_ pthread_t *threads = steal(&over);
    size_t n = n_over;
    n_over = 0;
    pthread_mutex_unlock(&over_lock);
    for (size_t i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
}

static void note_end(void)
{
    pthread_mutex_lock(&over_lock);
    over = xrealloc(over, n_over + 1, sizeof(*over));
    over[n_over++] = pthread_self();
    pthread_mutex_unlock(&over_lock);
}

static void *call_thread(void *arg)
{
    struct call *c = arg;
    struct error why = {0};
    if (migrate(c, &why) < 0)
        c->why = why;
    pthread_mutex_lock(&c->lock);
    if (c->owner) { /* else the loop may be gone */
        c->refs++;
        loop_post(c->loop, call_done, c);
    } else {
        note_end();
    }
    pthread_mutex_unlock(&c->lock);
    call_unref(c);
    return NULL;
}

/* ---- samples ----------------------------------------------------------------------------------------------------- */

struct sample {
    struct migration *owner; /* NULL when it was freed meanwhile; loop's */
    struct libvirt *libvirt;
    char *guest;
    int64_t downtime_ms;
    uint64_t speed;
    bool post_copy;      /* may be asked for */
    bool on, asked;      /* out: the job is on; libvirt answered */
    bool set, speed_set; /* out: the downtime is; the speed is */
    Drover__V1__Progress progress;
};

static void sample_later(struct migration *m);

/* Of a broken stream libvirt might keep the sample waiting. */
static bool set_speed(const struct sample *s, virDomainPtr domain)
{
    const unsigned later = VIR_DOMAIN_MIGRATE_MAX_SPEED_POSTCOPY;
    return !s->progress.broken &&
           (s->progress.post_copy || virDomainMigrateSetMaxSpeed(domain, s->speed, 0) == 0) &&
           (!s->post_copy || virDomainMigrateSetMaxSpeed(domain, s->speed, later) == 0);
}

static void sample_take(void *arg)
{
    struct sample *s = arg;
    _cleanup_connect_ virConnectPtr conn = libvirt_ref(s->libvirt, NULL);
    struct error why = {0};
    _cleanup_domain_ virDomainPtr domain = conn ? domain_find(conn, s->guest, &why) : NULL;
    s->asked = conn && (domain || why.code == STATUS_NOT_FOUND);
    if (!domain)
        return;
    /* The state first: a guest that the switch-over stops between the two answers must not look like one that stood still before its
     * memory flowed, which only an operator's does. */
    int state = 0, reason = 0, type = VIR_DOMAIN_JOB_NONE, n = 0;
    bool paused = virDomainGetState(domain, &state, &reason, 0) == 0 && state == VIR_DOMAIN_PAUSED;
    virTypedParameterPtr params = NULL;
    if (virDomainGetJobStats(domain, &type, &params, &n, 0) < 0) {
        s->asked = virDomainIsActive(domain) == 0; /* then it has no job */
        return;
    }
    s->on = type != VIR_DOMAIN_JOB_NONE;
    if (s->on) {
        migration_progress(params, n, &s->progress);
        s->progress.broken = paused && reason == VIR_DOMAIN_PAUSED_POSTCOPY_FAILED;
        s->progress.post_copy = s->progress.broken || (paused && reason == VIR_DOMAIN_PAUSED_POSTCOPY);
        s->progress.paused = paused && !s->progress.post_copy;
        s->set = s->downtime_ms &&
                 virDomainMigrateSetMaxDowntime(domain, (unsigned long long)s->downtime_ms, 0) == 0;
        s->speed_set = s->speed && s->progress.bytes_total && set_speed(s, domain);
    }
    virTypedParamsFree(params, n);
}

static void sample_done(void *arg)
{
    struct sample *s = arg;
    struct migration *m = s->owner;
    if (m) {
        m->sampling = NULL;
        if (s->set && m->downtime_ms == s->downtime_ms)
            m->downtime_ms = 0;
        if (s->speed_set && m->speed == s->speed)
            m->speed = 0;
        sample_later(m);
        if (m->again)
            migration_sample(m);
        if (s->on)
            m->sample(m->arg, &s->progress);
        else if (s->asked && !m->call) {
            m->timer = loop_timer_cancel(m->timer);
            m->ended(m->arg, NULL);
        }
    }
    free(s->guest);
    free(s);
}

static void sample_now(void *arg)
{
    struct migration *m = arg;
    m->timer = NULL;
    m->again = false;
    struct sample *s = m->sampling = new0(struct sample);
    *s = (struct sample){.owner = m,
                         .libvirt = m->libvirt,
                         .guest = xstrdup(m->guest),
                         .downtime_ms = m->downtime_ms,
                         .speed = m->speed,
                         .post_copy = m->post_copy};
    drover__v1__progress__init(&s->progress);
    workers_submit(m->workers, sample_take, sample_done, s);
}

static void sample_later(struct migration *m)
{
    m->timer = loop_timer_start(m->loop, SAMPLE_MS, sample_now, m);
}

void migration_sample(struct migration *m)
{
    m->again = m->sampling;
    if (!m->timer)
        return; /* quiet, or one is being taken */
    m->timer = loop_timer_cancel(m->timer);
    sample_now(m);
}

void migration_set_downtime(struct migration *m, int64_t ms)
{
    m->downtime_ms = ms;
    migration_sample(m);
}

/* libvirt counts in MiB/s and knows no fraction: below one it would be none. */
static uint64_t mib_of(uint64_t bytes)
{
    return bytes && bytes < MIB ? 1 : bytes / MIB;
}

void migration_set_bandwidth(struct migration *m, uint64_t bytes)
{
    m->speed = bytes ? mib_of(bytes)
                     : INT64_MAX / MIB; /* 0 is libvirt's word for no limit in a call, and not here */
    migration_sample(m);
}

/* To each disk that it copies, libvirt gives all that the call says. */
static uint64_t one_of(size_t n, uint64_t mib)
{
    uint64_t part = n > 1 ? mib / n : mib;
    return mib && !part ? 1 : part;
}

/* ---- the owner's ------------------------------------------------------------------------------------------------- */

static struct migration *watch(const struct migration_config *config)
{
    struct migration *m = new0(struct migration);
    m->loop = config->loop;
    m->workers = config->workers;
    m->libvirt = config->libvirt;
    m->guest = xstrdup(config->guest);
    m->post_copy = config->post_copy;
    m->sample = config->sample;
    m->ended = config->ended;
    m->arg = config->arg;
    m->speed = config->relocation && config->relocation->n_copies > 1 ? mib_of(config->bandwidth) : 0;
    sample_later(m);
    return m;
}

struct migration *migration_adopt(const struct migration_config *config)
{
    return watch(config);
}

static unsigned flags_of(const struct migration_config *config)
{
    /* CHANGE_PROTECTION: nobody else may undefine or change the domain meanwhile. ABORT_ON_ERROR: a disk error ends the
     * transfer, not the guest. PAUSED: the destination waits for our word, which post-copy can't. */
    unsigned flags = VIR_MIGRATE_PEER2PEER | VIR_MIGRATE_PAUSED | VIR_MIGRATE_CHANGE_PROTECTION |
                     VIR_MIGRATE_ABORT_ON_ERROR;
    if (config->live)
        flags |= VIR_MIGRATE_LIVE;
    bool backed = false;
    for (size_t i = 0; config->relocation && i < config->relocation->n_copies; i++)
        backed |= config->relocation->copies[i]->backing[0] != 0;
    if (config->relocation && config->relocation->n_copies)
        flags |= backed ? VIR_MIGRATE_NON_SHARED_INC : VIR_MIGRATE_NON_SHARED_DISK;
    if (config->post_copy)
        flags = (flags & ~(unsigned)VIR_MIGRATE_PAUSED) | VIR_MIGRATE_POSTCOPY;
    if (config->take_up)
        flags |= VIR_MIGRATE_POSTCOPY_RESUME;
    return config->auto_converge ? flags | VIR_MIGRATE_AUTO_CONVERGE : flags;
}

struct migration *migration_start(const struct migration_config *config)
{
    struct migration *m = watch(config);
    struct call *c = m->call = new0(struct call);
    pthread_mutex_init(&c->lock, NULL);
    c->refs = 2;
    c->owner = m;
    c->loop = config->loop;
    c->libvirt_uri = xstrdup(config->libvirt_uri);
    c->guest = xstrdup(config->guest);
    c->destination = xstrdup(config->destination);
    c->uri = xstrdup(config->uri);
    c->flags = flags_of(config);
    if (config->relocation)
        c->relocation = (Drover__V1__Relocation *)message_copy(&config->relocation->base);
    size_t copies = config->relocation ? config->relocation->n_copies : 0;
    c->bandwidth_mib = one_of(copies, mib_of(config->bandwidth));
    m->downtime_ms = config->live ? config->downtime_ms : 0;
    migration_join_ended();
    c->joinable = pthread_create(&c->thread, NULL, call_thread, c) == 0;
    if (!c->joinable) {
        error_set(&c->why, STATUS_RESOURCE_EXHAUSTED, "cannot start a thread for the migration");
        loop_post(c->loop, call_done, c);
    }
    return m;
}

void migration_quiet(struct migration *m)
{
    if (!m)
        return;
    m->timer = loop_timer_cancel(m->timer);
    if (m->sampling)
        m->sampling->owner = NULL;
    m->sampling = NULL;
}

struct migration *migration_free(struct migration *m)
{
    if (!m)
        return NULL;
    migration_quiet(m);
    if (m->call) {
        pthread_mutex_lock(&m->call->lock);
        m->call->owner = NULL;
        pthread_mutex_unlock(&m->call->lock);
        call_unref(m->call);
    }
    free(m->guest);
    free(m);
    return NULL;
}
