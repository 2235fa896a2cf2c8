#include "agent/probe_job.h"

#include "agent/io/message.h"
#include "agent/io/nonce.h"
#include "agent/io/ports.h"
#include "agent/io/tree.h"
#include "common/base/log.h"
#include "common/base/memory.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>

enum {
    THREADS = 16,
    MAX_JOBS = 256,
    MAX_HELD = 128,
    GRACE_MS = 250, /* after the limit, for work that ends by it to answer */
    REPLY_MS = 200, /* of the call's time, kept for the answer's way back */
    SWEEP_MS = 30000,
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

static void cancel(struct probe_job *j)
{
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
    ProtobufCMessage *works = j->result;
    ProtobufCMessage *own = xcalloc(1, works->descriptor->sizeof_message);
    works->descriptor->message_init(own);
    j->result = own;
    j->late(j);
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
        j->work(j);
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
    if (j->skipped && !j->answered)
        j->late(j);
    else if (j->after && !j->skipped)
        j->after(j);
    answer(j);
    if (j->fd >= 0)
        close(j->fd);
    close(j->limit.cancel_fd);
    protobuf_c_message_free_unpacked(j->request, NULL);
    protobuf_c_message_free_unpacked(j->result, NULL);
    free(j);
    probes_unref(p);
}

void probe_job_start(struct probes *p, struct rpc_call *call, ProtobufCClosure reply,
                     ProtobufCMessage *request, ProtobufCMessage *result, int64_t wait_ms,
                     void (*work)(struct probe_job *job), void (*after)(struct probe_job *job),
                     void (*late)(struct probe_job *job))
{
    int cancel_fd = p->n_jobs < MAX_JOBS ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
    if (cancel_fd < 0) {
        struct error err;
        error_set(&err, STATUS_RESOURCE_EXHAUSTED,
                  "%u probes are at work: storage or peers don't answer; try again later", p->n_jobs);
        rpc_call_fail(call, &err);
        protobuf_c_message_free_unpacked(request, NULL);
        protobuf_c_message_free_unpacked(result, NULL);
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
                            .work = work,
                            .after = after,
                            .late = late};
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

/* ---- what a crash or a lease has left ---- */

struct sweep {
    struct probes *probes;
    char **names, **left;
    size_t n, n_left;
    struct error err;
};

static void sweep_work(void *arg)
{
    struct sweep *s = arg;
    for (size_t i = 0; i < s->n; i++)
        if (nonce_remove(s->probes->agent->config->state_dir, s->names[i], &s->err) < 0)
            message_append_text(&s->left, &s->n_left, s->names[i]);
}

static void sweep_start(struct probes *p);

static void on_sweep_timer(void *arg)
{
    struct probes *p = arg;
    p->sweep_timer = NULL;
    sweep_start(p);
}

static void sweep_done(void *arg)
{
    struct sweep *s = arg;
    struct probes *p = s->probes;
    bool more = p->n_stale > 0;
    p->sweeping = false;
    for (size_t i = 0; i < s->n_left; i++)
        message_append_text(&p->stale, &p->n_stale, s->left[i]);
    if (s->n_left)
        log_warn("%zu files of probes could not be removed yet, trying again: %s", s->n_left, s->err.text);
    if (!p->freed && more)
        sweep_start(p);
    else if (!p->freed && p->n_stale)
        p->sweep_timer = loop_timer_start(p->agent->loop, SWEEP_MS, on_sweep_timer, p);
    tree_list_free(s->names, s->n);
    tree_list_free(s->left, s->n_left);
    free(s);
    probes_unref(p);
}

static void sweep_start(struct probes *p)
{
    if (p->sweeping || !p->n_stale)
        return;
    struct sweep *s = new0(struct sweep);
    s->probes = p;
    s->names = steal(&p->stale);
    s->n = p->n_stale;
    p->n_stale = 0;
    p->sweeping = true;
    p->refs++;
    workers_submit(p->workers, sweep_work, sweep_done, s);
}

void probes_stale(struct probes *p, const char *nonce)
{
    message_append_text(&p->stale, &p->n_stale, nonce);
    if (!p->sweep_timer && !p->freed)
        sweep_start(p);
}

/* ---- made and freed ---- */

struct probes *probes_new(struct agent *agent)
{
    struct probes *p = new0(struct probes);
    p->refs = 1;
    p->agent = agent;
    p->workers = workers_new(agent->loop, THREADS);
    p->n_stale = nonces_recorded(agent->config->state_dir, &p->stale);
    sweep_start(p);
    return p;
}

void probes_free(struct probes *p)
{
    if (!p)
        return;
    char **names;
    p->freed = true;
    p->sweep_timer = loop_timer_cancel(p->sweep_timer);
    for (struct probe_job *j = p->jobs; j; j = j->next)
        cancel(j);
    while (p->held)
        probe_unhold(p->held);
    workers_free(steal(&p->workers));
    /* Only now: no job writes any more. What can't be removed stays recorded for the next start. */
    size_t n = nonces_recorded(p->agent->config->state_dir, &names);
    for (size_t i = 0; i < n; i++)
        nonce_remove(p->agent->config->state_dir, names[i], NULL);
    tree_list_free(names, n);
    tree_list_free(steal(&p->stale), p->n_stale);
    p->n_stale = 0;
    probes_unref(p);
}
