#include "agent/probe_job.h"

#include "agent/io/mounts.h"
#include "agent/io/nonce.h"
#include "agent/io/ports.h"
#include "agent/io/tree.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/message/message.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>

enum {
    MAX_JOBS = 256, /* each has a thread: behind those that hang on one file system nobody waits */
    MAX_HELD = 128,
    GRACE_MS = 250,  /* after the limit, for work that ends by it to answer */
    REPLY_MS = 200,  /* of the call's time, kept for the answer's way back */
    STUCK_MS = 1000, /* after the deadline: work on a busy host is back by then */
    SWEEP_MS = 30000,
    STOP_MS = 2000,   /* at the agent's end, for jobs to notice that they are cancelled */
    REMOVE_MS = 1000, /* and for their files to be removed */
    REMOVERS = 16,
};

int64_t probe_realtime_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* ---- jobs ---- */

void probes_unref(struct probes *p)
{
    if (--p->refs > 0)
        return;
    tree_list_free(p->stale, p->n_stale);
    free(p);
}

static void answer(struct probe_job *j)
{
    if (j->answered)
        return;
    j->answered = true;
    j->timer = loop_timer_cancel(j->timer);
    message_clean(j->result);
    j->reply(j->result, j->call);
    rpc_call_unref(j->call);
}

static void fail_late(struct probe_job *j)
{
    if (j->answered)
        return;
    struct error why;
    error_set(&why, STATUS_DEADLINE_EXCEEDED,
              "no answer in time: a file system or a program that was asked hangs");
    j->answered = true;
    j->timer = loop_timer_cancel(j->timer);
    rpc_call_fail(j->call, &why);
    rpc_call_unref(j->call);
}

static void cancel(struct probe_job *j)
{
    j->unwanted = true;
    if (eventfd_write(j->limit.cancel_fd, 1) < 0)
        log_warn("cannot cancel a probe: %s", strerror(errno));
}

static void on_cancel(void *arg)
{
    cancel(arg);
}

/* The work hangs: the loop answers with a result of its own, and leaves the work's alone until it has ended. */
static void on_late(void *arg)
{
    struct probe_job *j = arg;
    j->timer = NULL;
    j->overdue = clock_monotonic_ms();
    if (!j->does.late) {
        fail_late(j);
        cancel(j);
        return;
    }
    ProtobufCMessage *works = j->result;
    ProtobufCMessage *own = xcalloc(1, works->descriptor->sizeof_message);
    works->descriptor->message_init(own);
    j->result = own;
    j->does.late(j);
    answer(j);
    j->result = works;
    protobuf_c_message_free_unpacked(own, NULL);
    cancel(j);
}

static void job_work(void *arg)
{
    struct probe_job *j = arg;
    j->skipped = limit_over(&j->limit); /* it waited for a thread until now */
    if (!j->skipped)
        j->does.work(j);
}

static void job_done(void *arg)
{
    struct probe_job *j = arg;
    struct probes *p = j->probes;
    for (struct probe_job **at = &p->jobs; *at; at = &(*at)->next)
        if (*at == j) {
            *at = j->next;
            p->n_jobs--;
            break;
        }
    if (j->skipped && !j->does.late)
        fail_late(j);
    else if (j->skipped && !j->answered)
        j->does.late(j);
    else if (j->does.after && !j->skipped)
        j->does.after(j);
    answer(j);
    if (j->fd >= 0)
        close(j->fd);
    close(j->limit.cancel_fd);
    protobuf_c_message_free_unpacked(j->request, NULL);
    protobuf_c_message_free_unpacked(j->result, NULL);
    tree_list_free(j->does.places, j->does.n_places);
    free(j);
    probes_unref(p);
}

void probe_job_start(struct probes *p, struct rpc_call *call, ProtobufCClosure reply,
                     ProtobufCMessage *request, ProtobufCMessage *result, int64_t wait_ms,
                     const struct probe_work *work)
{
    int cancel_fd = p->n_jobs < MAX_JOBS ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
    if (cancel_fd < 0) {
        struct error err;
        error_set(&err, STATUS_RESOURCE_EXHAUSTED,
                  "%u probes are at work: storage or peers don't answer; try again later", p->n_jobs);
        rpc_call_fail(call, &err);
        protobuf_c_message_free_unpacked(request, NULL);
        protobuf_c_message_free_unpacked(result, NULL);
        tree_list_free(work->places, work->n_places);
        return;
    }
    struct probe_job *j = new0(struct probe_job);
    int64_t left = rpc_call_remaining_ms(call) - REPLY_MS - GRACE_MS;
    wait_ms = wait_ms > left ? left : wait_ms;
    wait_ms = wait_ms < 1 ? 1 : wait_ms;
    *j = (struct probe_job){.next = p->jobs,
                            .probes = p,
                            .call = rpc_call_ref(call),
                            .reply = reply,
                            .request = request,
                            .result = result,
                            .begun = clock_monotonic_ms(),
                            .fd = -1,
                            .does = *work,
                            .at = PROBE_NOWHERE};
    j->limit = (struct limit){j->begun + wait_ms, cancel_fd};
    p->jobs = j;
    p->n_jobs++;
    p->refs++;
    j->timer = loop_timer_start(p->agent->loop, wait_ms + GRACE_MS, on_late, j);
    rpc_call_on_cancel(call, on_cancel, j);
    workers_submit(p->workers, job_work, job_done, j);
}

/* ---- what is held ---- */

bool probes_full(const struct probes *p)
{
    unsigned n = 0;
    for (const struct probe_held *h = p->held; h; h = h->next)
        n++;
    return n >= MAX_HELD;
}

struct probe_held *probe_find(struct probes *p, const char *nonce, bool listener)
{
    for (struct probe_held *h = p->held; h; h = h->next)
        if (streq(h->nonce, nonce) && (h->fd >= 0) == listener)
            return h;
    return NULL;
}

void probe_unhold(struct probe_held *h)
{
    for (struct probe_held **at = &h->probes->held; *at; at = &(*at)->next)
        if (*at == h) {
            *at = h->next;
            break;
        }
    loop_timer_cancel(h->lease);
    loop_unwatch_fd(h->watch);
    if (h->fd >= 0)
        close(h->fd);
    free(h);
}

static void on_lease(void *arg)
{
    struct probe_held *h = arg;
    struct probes *p = h->probes;
    h->lease = NULL;
    if (h->fd < 0)
        probes_stale(p, h->nonce);
    probe_unhold(h);
}

static void on_connection(void *arg, int fd)
{
    struct probe_held *h = arg;
    char text[PORT_GREETING_MAX];
    int n = snprintf(text, sizeof(text), PORT_GREETING, h->nonce);
    for (int peer; (peer = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0; close(peer))
        if (send(peer, text, (size_t)n, MSG_NOSIGNAL) == n)
            shutdown(peer, SHUT_WR);
}

void probe_hold(struct probes *p, const char *nonce, int fd, int64_t lease_ms)
{
    struct probe_held *h = new0(struct probe_held);
    h->next = p->held;
    h->probes = p;
    h->fd = fd;
    snprintf(h->nonce, sizeof(h->nonce), "%s", nonce);
    h->lease = loop_timer_start(p->agent->loop, lease_ms, on_lease, h);
    if (fd >= 0)
        h->watch = loop_watch_fd(p->agent->loop, fd, on_connection, h);
    p->held = h;
}

/* ---- places ---- */

char **probes_places(char *const *paths, size_t n)
{
    _cleanup_(mounts_freep) struct mounts *mounts = NULL;
    char **places = xcalloc(n, sizeof(*places));
    if (mounts_read("/proc/self/mountinfo", &mounts, NULL) < 0)
        mounts = NULL;
    for (size_t i = 0; i < n; i++)
        places[i] = mounts && paths[i][0] == '/' ? mounts_place(mounts, paths[i]) : xstrdup(paths[i]);
    return places;
}

int64_t probes_stuck_ms(const struct probes *p, const char *place)
{
    int64_t now = clock_monotonic_ms();
    for (const struct probe_job *j = p->jobs; j && *place; j = j->next) {
        bool stuck = j->overdue && now - j->overdue >= STUCK_MS;
        size_t at = stuck ? atomic_load(&j->at) : PROBE_NOWHERE;
        if (at < j->does.n_places && streq(j->does.places[at], place))
            return now - j->begun;
    }
    return 0;
}

/* ---- what a crash or a lease has left ---- */

struct sweep { /* of one file; at one place one at a time */
    struct sweep *next;
    struct probes *probes;
    char *name, *place;
    int removed;
    struct error err;
};

static void sweep_work(void *arg)
{
    struct sweep *s = arg;
    s->removed = nonce_remove(s->probes->agent->config->state_dir, s->name, &s->err);
}

static void sweep_all(struct probes *p);

static void on_sweep_timer(void *arg)
{
    struct probes *p = arg;
    p->sweep_timer = NULL;
    sweep_all(p);
}

static void sweep_done(void *arg)
{
    struct sweep *s = arg;
    struct probes *p = s->probes;
    for (struct sweep **at = &p->sweeps; *at; at = &(*at)->next)
        if (*at == s) {
            *at = s->next;
            break;
        }
    if (s->removed < 0) {
        message_append_text(&p->stale, &p->n_stale, s->name);
        log_warn("a probe's file could not be removed yet, trying again: %s", s->err.text);
    }
    if (!p->freed && s->removed >= 0)
        sweep_all(p); /* the next of that place */
    else if (!p->freed && !p->sweep_timer)
        p->sweep_timer = loop_timer_start(p->agent->loop, SWEEP_MS, on_sweep_timer, p);
    free(s->name);
    free(s->place);
    free(s);
    probes_unref(p);
}

static bool is_swept(const struct probes *p, const char *place)
{
    for (const struct sweep *s = p->sweeps; s; s = s->next)
        if (streq(s->place, place))
            return true;
    return false;
}

static void sweep_all(struct probes *p)
{
    char **names = steal(&p->stale);
    size_t n = p->n_stale;
    p->n_stale = 0;
    for (size_t i = 0; i < n; i++) {
        _cleanup_free_ char *directory = nonce_directory(p->agent->config->state_dir, names[i]);
        char *path = directory ? xasprintf("%s/.", directory) : xstrdup("");
        char **places = probes_places(&path, 1);
        free(path);
        if (is_swept(p, places[0]) || probes_stuck_ms(p, places[0])) {
            message_append_text(&p->stale, &p->n_stale, names[i]);
        } else {
            struct sweep *s = new0(struct sweep);
            *s = (struct sweep){
                .next = p->sweeps, .probes = p, .name = xstrdup(names[i]), .place = steal(&places[0])};
            p->sweeps = s;
            p->refs++;
            workers_submit(p->workers, sweep_work, sweep_done, s);
        }
        tree_list_free(places, 1);
    }
    tree_list_free(names, n);
    if (p->n_stale && !p->sweep_timer)
        p->sweep_timer = loop_timer_start(p->agent->loop, SWEEP_MS, on_sweep_timer, p);
}

void probes_stale(struct probes *p, const char *nonce)
{
    message_append_text(&p->stale, &p->n_stale, nonce);
    if (!p->freed)
        sweep_all(p);
}

/* ---- made and freed ---- */

struct probes *probes_new(struct agent *agent)
{
    struct probes *p = new0(struct probes);
    p->refs = 1;
    p->agent = agent;
    p->workers = workers_new(agent->loop, MAX_JOBS);
    p->n_stale = nonces_recorded(agent->config->state_dir, &p->stale);
    sweep_all(p);
    return p;
}

struct removal {
    char *state_dir, *name;
};

static void removal_work(void *arg)
{
    struct removal *r = arg;
    nonce_remove(r->state_dir, r->name, NULL);
    free(r->state_dir);
    free(r->name);
    free(r);
}

/* What can't be removed stays recorded for the next start. */
static bool remove_all(struct probes *p)
{
    char **names;
    const char *state_dir = p->agent->config->state_dir;
    size_t n = nonces_recorded(state_dir, &names);
    struct workers *removers = workers_new(p->agent->loop, REMOVERS);
    for (size_t i = 0; i < n; i++) {
        struct removal *r = new0(struct removal);
        *r = (struct removal){xstrdup(state_dir), xstrdup(names[i])};
        workers_submit(removers, removal_work, NULL, r);
    }
    tree_list_free(names, n);
    return workers_free_within(removers, REMOVE_MS);
}

void probes_free(struct probes *p)
{
    if (!p)
        return;
    p->freed = true;
    p->sweep_timer = loop_timer_cancel(p->sweep_timer);
    for (struct probe_job *j = p->jobs; j; j = j->next)
        cancel(j);
    while (p->held)
        probe_unhold(p->held);
    bool ended = workers_free_within(steal(&p->workers), STOP_MS);
    /* Only now: no job writes any more, but those that hang. */
    bool removed = remove_all(p);
    p->agent->hangs = !ended || !removed;
    tree_list_free(steal(&p->stale), p->n_stale);
    p->n_stale = 0;
    probes_unref(p);
}
