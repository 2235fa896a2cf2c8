#include "agent/throughput.h"

#include "agent/io/bandwidth.h"
#include "agent/io/listening.h"
#include "agent/io/ports.h"
#include "agent/transaction.h"
#include "common/base/memory.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <uuid/uuid.h>

enum {
    CONNECT_MS = 3000,
    SEND_MS = 3000, /* at most, connected */
    SWALLOW_MS = CONNECT_MS + SEND_MS,
    AGAIN_MS = 100,
    BUSY_MS = 8000, /* for those before it, of a second or two each; a forecast has 20 s */
    NONCE_BYTES = BANDWIDTH_NONCE,
};

static const char moving[] = "a migration is on at this host";

static Drover__V1__ProbeResult *probe_result_new(void)
{
    Drover__V1__ProbeResult *r = new0(Drover__V1__ProbeResult);
    drover__v1__probe_result__init(r);
    return r;
}

/* ---- the destination: opens a port and swallows ---- */

struct swallow {
    struct swallow *next;
    struct transactions *all;
    struct agent *agent;
    Drover__V1__ThroughputReply_Closure reply;
    void *call;
    char nonce[NONCE_BYTES + 1];
    int fd, cancel_fd;
    Drover__V1__ProbeResult *result; /* owned */
};

static void open_port(void *arg)
{
    struct swallow *s = arg;
    Drover__V1__Listening *l = listening_read("/etc/libvirt", "/run", "/proc", NULL);
    s->fd = port_open("/proc", s->agent->config->migration_address, l->migration_port_min,
                      l->migration_port_max, s->result);
    drover__v1__listening__free_unpacked(l, NULL);
}

static void swallow(void *arg)
{
    struct swallow *s = arg;
    const struct limit limit = {clock_monotonic_ms() + SWALLOW_MS, s->cancel_fd};
    bandwidth_swallow(&limit, s->fd, s->nonce);
}

static void swallowed(void *arg)
{
    struct swallow *s = arg;
    struct swallow **at = &s->all->swallows;
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    close(s->cancel_fd);
    transactions_unref(s->all);
    drover__v1__probe_result__free_unpacked(s->result, NULL);
    free(s);
}

static void port_opened(void *arg)
{
    struct swallow *s = arg;
    bool unwanted = s->fd >= 0 && (s->all->closing || transactions_moving(s->all));
    if (unwanted)
        close(s->fd);
    if (s->fd < 0 || unwanted) {
        struct error err;
        error_set(&err, STATUS_UNAVAILABLE, "no port can be opened for the measurement: %s",
                  unwanted ? moving : s->result->seen);
        rpc_call_fail(s->call, &err);
        swallowed(s);
        return;
    }
    Drover__V1__ThroughputReply reply = DROVER__V1__THROUGHPUT_REPLY__INIT;
    reply.address = s->agent->config->migration_address;
    reply.port = s->result->port;
    s->reply(&reply, s->call);
    workers_submit(s->agent->workers, swallow, swallowed, s);
}

void rpc_peer_throughput(Drover__V1__Peer_Service *service, const Drover__V1__ThroughputRequest *request,
                         Drover__V1__ThroughputReply_Closure reply, void *call)
{
    struct transactions *all =
        (struct transactions *)((char *)service - offsetof(struct transactions, peer_service));
    struct error err;
    const char *address = all->agent->config->migration_address;
    if (strlen(request->nonce) != NONCE_BYTES || !address || transactions_moving(all)) {
        error_set(&err, STATUS_UNAVAILABLE,
                  !address ? "this agent has no migration_address in its configuration"
                           : "a migration is on at this host, or the nonce is none");
        rpc_call_fail(call, &err);
        return;
    }
    if (all->swallows) { /* each would see its part of the link */
        error_set(&err, STATUS_RESOURCE_EXHAUSTED, "another host's throughput to this one is being measured");
        rpc_call_fail(call, &err);
        return;
    }
    int cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (cancel_fd < 0) {
        error_errno(&err, errno, "cannot measure");
        rpc_call_fail(call, &err);
        return;
    }
    struct swallow *s = new0(struct swallow);
    *s = (struct swallow){.next = all->swallows,
                          .all = all,
                          .agent = all->agent,
                          .reply = reply,
                          .call = call,
                          .fd = -1,
                          .cancel_fd = cancel_fd};
    all->swallows = s;
    all->refs++;
    s->result = probe_result_new();
    memcpy(s->nonce, request->nonce, NONCE_BYTES);
    workers_submit(all->agent->workers, open_port, port_opened, s);
}

/* ---- the source: asks, sends ---- */

struct measure {
    struct measure *next;
    struct transactions *all;
    void (*fn)(void *arg, int64_t bandwidth, const struct error *why);
    void *arg;
    char nonce[NONCE_BYTES + 1];
    char *address;
    uint32_t port;
    int cancel_fd; /* -1: nothing is sent yet */
    Drover__V1__Endpoint destination;
    int64_t asked_ms; /* first */
    int64_t bandwidth;
    struct error err;
};

static void send_paced(void *arg)
{
    struct measure *m = arg;
    Drover__V1__ProbeResult *result = probe_result_new();
    struct limit limit = {clock_monotonic_ms() + CONNECT_MS, m->cancel_fd};
    struct error why;
    _cleanup_close_ int fd = port_dial(&limit, "", m->address, m->port, result);
    if (fd < 0)
        error_set(&m->err, STATUS_UNAVAILABLE, "throughput to %s: %s", m->address, result->seen);
    drover__v1__probe_result__free_unpacked(result, NULL);
    limit.deadline_ms = clock_monotonic_ms() + SEND_MS;
    if (fd >= 0 && bandwidth_send(&limit, fd, m->nonce, &m->bandwidth, &why) < 0)
        error_set(&m->err, why.code, "throughput to %s: %s", m->address, why.text);
}

static void measure_end(struct measure *m, int64_t bandwidth, const struct error *why)
{
    m->fn(m->arg, bandwidth, bandwidth ? NULL : why);
    if (m->cancel_fd >= 0)
        close(m->cancel_fd);
    transactions_unref(m->all);
    free(m->address);
    free(m->destination.host);
    free(m->destination.agent_url);
    free(m);
}

static void ask(void *arg);

/* For all that wait for that link; then the next one begins. */
static void measured(void *arg)
{
    struct measure *m = arg, *same = NULL;
    struct transactions *all = m->all;
    all->measures = m->next;
    for (struct measure **p = &all->measures, *w; (w = *p);) {
        if (!all->closing && !streq(w->destination.host, m->destination.host)) {
            p = &w->next;
            continue;
        }
        *p = w->next;
        w->next = same;
        same = w;
    }
    if (all->measures)
        loop_post(all->agent->loop, ask, all->measures);
    int64_t bandwidth = m->bandwidth;
    struct error why = m->err;
    m->next = same;
    for (struct measure *w = m, *next; w; w = next) {
        next = w->next;
        measure_end(w, bandwidth, &why);
    }
}

static void on_port(const Drover__V1__ThroughputReply *reply, void *arg)
{
    struct measure *m = arg;
    enum status_code code = reply ? STATUS_OK : rpc_status()->code;
    int64_t patience = code == STATUS_UNAVAILABLE          ? CONNECT_MS /* the mesh connects on first use */
                       : code == STATUS_RESOURCE_EXHAUSTED ? BUSY_MS
                                                           : 0;
    if (!m->all->closing && clock_monotonic_ms() - m->asked_ms < patience) {
        loop_timer_start(m->all->agent->loop, AGAIN_MS, ask, m);
        return;
    }
    if (!reply) {
        m->err = *rpc_status();
        measured(m);
        return;
    }
    m->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (m->cancel_fd < 0 || m->all->closing || transactions_moving(m->all)) {
        error_set(&m->err, STATUS_UNAVAILABLE, "%s",
                  m->cancel_fd < 0 ? "no file descriptor is left" : moving);
        measured(m);
        return;
    }
    m->address = xstrdup(reply->address);
    m->port = reply->port;
    workers_submit(m->all->agent->workers, send_paced, measured, m);
}

static void ask(void *arg)
{
    struct measure *m = arg;
    struct rpc_client *client = NULL;
    if (!m->asked_ms)
        m->asked_ms = clock_monotonic_ms();
    if (m->all->closing || transactions_moving(m->all))
        error_set(&m->err, STATUS_UNAVAILABLE, "%s", moving);
    else
        client = peers_client(m->all->peers, &m->destination, &m->err);
    if (!client) {
        measured(m);
        return;
    }
    Drover__V1__ThroughputRequest request = DROVER__V1__THROUGHPUT_REQUEST__INIT;
    request.nonce = m->nonce;
    struct rpc_stub stub = rpc_stub(client, &drover__v1__peer__descriptor, .timeout_ms = CONNECT_MS);
    drover__v1__peer__throughput(&stub.base, &request, on_port, m);
}

void throughput_measure(struct transactions *all, const Drover__V1__Endpoint *destination,
                        void (*fn)(void *arg, int64_t bandwidth, const struct error *why), void *arg)
{
    struct measure *m = new0(struct measure);
    *m = (struct measure){.all = all, .fn = fn, .arg = arg, .cancel_fd = -1};
    all->refs++;
    drover__v1__endpoint__init(&m->destination);
    m->destination.host = xstrdup(destination->host);
    m->destination.agent_url = xstrdup(destination->agent_url);
    uuid_t nonce;
    uuid_generate_random(nonce);
    uuid_unparse_lower(nonce, m->nonce);
    bool first = !all->measures;
    struct measure **last = &all->measures;
    while (*last)
        last = &(*last)->next;
    *last = m;
    if (first)
        ask(m);
}

void throughput_give_up(struct transactions *all)
{
    if (all->measures && all->measures->cancel_fd >= 0)
        eventfd_write(all->measures->cancel_fd, 1);
    for (struct swallow *s = all->swallows; s; s = s->next)
        eventfd_write(s->cancel_fd, 1);
}
