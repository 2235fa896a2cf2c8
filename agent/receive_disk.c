/* At the destination: qemu-nbd takes in one image of a guest that is shut off, on a port of the migration range, for one connection. It ends
 * with that, with its transaction's PREPARED, or with the agent. */
#include "agent/copies.h"

#include "agent/io/limit.h"
#include "agent/io/listening.h"
#include "agent/io/ports.h"
#include "agent/io/run.h"
#include "agent/io/tcp_table.h"
#include "common/base/failpoint.h"
#include "common/base/memory.h"

#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { START_MS = 5000, POLL_MS = 20, LONGEST_MS = 7 * 24 * 3600 * 1000 };

struct receiver {
    struct receiver *next;
    struct transactions *all;
    char id[37];        /* the transaction's */
    struct limit limit; /* of qemu-nbd */
    char *path, *format, *name, *address;
    uint32_t port;
    struct error err;
};

struct receive { /* the call */
    struct operation op;
    const Drover__V1__ReceiveDiskRequest *request;
    Drover__V1__ReceiveDiskReply_Closure reply;
    struct rpc_call *call;
    struct receiver *receiver; /* NULL: failed with err */
    struct error err;
};

static void receiver_free(struct receiver *r)
{
    if (r->limit.cancel_fd >= 0)
        close(r->limit.cancel_fd);
    free(r->path);
    free(r->format);
    free(r->name);
    free(r->address);
    free(r);
}

void receivers_stop(struct transactions *all, const char *id)
{
    for (struct receiver *r = all->receivers; r; r = r->next)
        if (!id || streq(r->id, id))
            eventfd_write(r->limit.cancel_fd, 1);
}

/* ---- qemu-nbd: a worker of its own ------------------------------------------------------------------------------- */

static void receiver_work(void *arg)
{
    struct receiver *r = arg;
    char port[16];
    _cleanup_free_ char *output = NULL;
    snprintf(port, sizeof(port), "%u", r->port);
    const char *const argv[] = {"setpriv", "--pdeathsig", "KILL", "qemu-nbd", "-f", r->format,
                                "-b",      r->address,    "-p",   port,       "-e", "1",
                                "-x",      r->name,       "--",   r->path,    NULL};
    run_program(&r->limit, argv, &output, &r->err);
}

static void receiver_done(void *arg)
{
    struct receiver *r = arg;
    for (struct receiver **p = &r->all->receivers; *p; p = &(*p)->next)
        if (*p == r) {
            *p = r->next;
            break;
        }
    if (r->err.code && r->err.code != STATUS_CANCELLED)
        log_warn("transaction %s: taking in %s: %s", r->id, r->path, r->err.text);
    transactions_unref(r->all);
    receiver_free(r);
}

/* ---- the call ---------------------------------------------------------------------------------------------------- */

/* A port that is free now; qemu-nbd says when it is not any more. */
static uint32_t free_port(const char *address, struct error *err)
{
    Drover__V1__Listening *l = listening_read("/etc/libvirt", "/run", "/proc");
    Drover__V1__ProbeResult result = DROVER__V1__PROBE_RESULT__INIT;
    int fd = port_open("/proc", address, l->migration_port_min, l->migration_port_max, &result);
    uint32_t port = fd >= 0 ? result.port : 0;
    if (fd >= 0)
        close(fd);
    else
        error_set(err, STATUS_UNAVAILABLE, "no port can be opened for the disk: %s", result.seen);
    drover__v1__listening__free_unpacked(l, NULL);
    if (result.seen != protobuf_c_empty_string)
        free(result.seen);
    if (result.reason != protobuf_c_empty_string)
        free(result.reason);
    if (result.address != protobuf_c_empty_string)
        free(result.address);
    return port;
}

static void work(struct operation *op)
{
    struct receive *c = (struct receive *)op;
    const struct transaction *txn = op->txn;
    const char *address = op->all->agent->config->migration_address;
    if (drive_admit(op, c->request->step, PARTICIPANT_DESTINATION, ADMIT_KNOWN, &c->err) < 0 ||
        peers_check_source(txn, rpc_call_peer(c->call), &c->err) < 0)
        return;
    const Drover__V1__DiskCopy *copy = copies_of(txn, c->request->target);
    if (transaction_state(txn) != PARTICIPANT_PREPARED || !copy || !address ||
        txn->record->mode != DROVER__V1__MODE__MODE_DEFINITION) {
        error_set(&c->err, STATUS_FAILED_PRECONDITION, "transaction %s takes in no disk '%.32s' here",
                  txn->id, c->request->target);
        return;
    }
    uint32_t port = free_port(address, &c->err);
    if (!port)
        return;
    struct receiver *r = c->receiver = new0(struct receiver);
    *r = (struct receiver){.all = op->all, .port = port};
    r->limit = (struct limit){clock_monotonic_ms() + LONGEST_MS, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    memcpy(r->id, txn->id, sizeof(r->id));
    r->path = xstrdup(copy->to);
    r->format = xstrdup(copy->format);
    r->address = xstrdup(address);
    r->name = xasprintf("%s-%s", txn->id, copy->target);
}

static void done(struct operation *op)
{
    struct receive *c = (struct receive *)op;
    struct receiver *r = c->receiver;
    if (r && !op->all->closing) {
        r->next = op->all->receivers;
        op->all->receivers = r;
        op->all->refs++;
        workers_submit(op->all->copiers, receiver_work, receiver_done, r);
        bool v6 = strchr(r->address, ':');
        _cleanup_free_ char *url =
            xasprintf(v6 ? "nbd://[%s]:%u/%s" : "nbd://%s:%u/%s", r->address, r->port, r->name);
        Drover__V1__ReceiveDiskReply reply = DROVER__V1__RECEIVE_DISK_REPLY__INIT;
        reply.url = url;
        failpoint("agent.receive_disk.before_answer");
        c->reply(&reply, c->call);
        failpoint("agent.receive_disk.after_answer");
    } else {
        if (r)
            receiver_free(r);
        if (!c->err.code)
            error_set(&c->err, STATUS_UNAVAILABLE, "the agent is stopping");
        rpc_call_fail(c->call, &c->err);
    }
    free(c);
}

void rpc_peer_receive_disk(Drover__V1__Peer_Service *service, const Drover__V1__ReceiveDiskRequest *request,
                           Drover__V1__ReceiveDiskReply_Closure reply, void *call)
{
    struct transactions *all =
        (struct transactions *)((char *)service - offsetof(struct transactions, peer_service));
    struct receive *c = new0(struct receive);
    *c = (struct receive){.request = request, .reply = reply, .call = call};
    c->op.work = work;
    c->op.done = done;
    if (operation_init(&c->op, all, request->step, &c->err) < 0) {
        rpc_call_fail(call, &c->err);
        free(c);
        return;
    }
    turn_take(&c->op);
}
