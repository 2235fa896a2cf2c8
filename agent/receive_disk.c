/* At the destination: qemu-nbd takes in one image of a guest that is shut off, on a port of the migration range, for one connection. It ends
 * with that, or is ended with its transaction's PREPARED or the agent. The disk is whole only when qemu-nbd has ended by itself and the image
 * is synced: then the record says so, without which the guest is not activated here. */
#include "agent/copies.h"

#include "agent/io/disk_image.h"
#include "agent/io/limit.h"
#include "agent/io/listening.h"
#include "agent/io/ports.h"
#include "agent/io/tcp_table.h"
#include "common/base/failpoint.h"
#include "common/base/memory.h"

#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { LONGEST_MS = 7 * 24 * 3600 * 1000 };

struct receiver {
    struct receiver *next;
    struct transactions *all; /* a reference while the worker is at it */
    char id[37];              /* the transaction's */
    struct limit limit;       /* of qemu-nbd */
    char *target, *path, *format, *name, *address;
    uint32_t port;
    bool over; /* the worker is at its end */
    struct error err;
};

struct receive { /* the call */
    struct operation op;
    const Drover__V1__ReceiveDiskRequest *request;
    Drover__V1__ReceiveDiskReply_Closure reply;
    struct rpc_call *call;
    struct receiver *receiver; /* NULL: failed with err */
    bool counted;              /* has a place among those that are received */
    bool older;                /* one of this disk is under way; to be ended if this call may */
    bool empty;
    struct error err;
};

struct received { /* the call that asks for its end */
    struct operation op;
    const Drover__V1__ReceiveDiskRequest *request;
    Drover__V1__DiskReceivedReply_Closure reply;
    struct rpc_call *call;
    bool there, over, whole; /* a receiver is; its worker is at its end; the disk is */
    struct error why, err;   /* of the receiver; of the call */
};

static void receiver_free(struct receiver *r)
{
    if (r->limit.cancel_fd >= 0)
        close(r->limit.cancel_fd);
    free(r->target);
    free(r->path);
    free(r->format);
    free(r->name);
    free(r->address);
    free(r);
}

static void drop(struct receiver *r)
{
    for (struct receiver **p = &r->all->receivers; *p; p = &(*p)->next)
        if (*p == r) {
            *p = r->next;
            break;
        }
    receiver_free(r);
}

static bool is_of(const struct receiver *r, const char *id, const char *target)
{
    return id && streq(r->id, id) && streq(r->target, target);
}

void receivers_stop(struct transactions *all, const char *id)
{
    for (struct receiver *r = all->receivers, *next; r; r = next) {
        next = r->next;
        if (id && !streq(r->id, id))
            continue;
        if (r->over)
            drop(r);
        else
            eventfd_write(r->limit.cancel_fd, 1);
    }
}

/* ---- qemu-nbd: a worker of its own ------------------------------------------------------------------------------- */

static void receiver_work(void *arg)
{
    struct receiver *r = arg;
    disk_image_receive(&r->limit, r->path, r->format, r->address, r->port, r->name, &r->err);
}

/* It stays until its transaction goes on: DiskReceived asks how it has ended. */
static void receiver_done(void *arg)
{
    struct receiver *r = arg;
    struct transactions *all = r->all;
    const struct transaction *txn = transactions_find(all, r->id);
    r->over = true;
    all->receiving--;
    port_give_back(r->port);
    if (r->err.code && r->err.code != STATUS_CANCELLED)
        log_warn("transaction %s: taking in %s: %s", r->id, r->path, r->err.text);
    if (all->closing || !txn || txn->state != PARTICIPANT_PREPARED)
        drop(r);
    transactions_unref(all);
}

/* ---- the call ---------------------------------------------------------------------------------------------------- */

/* A port that is free now, and no other receiver's; qemu-nbd says when it is not any more. */
static uint32_t free_port(const char *address, struct error *err)
{
    Drover__V1__Listening *l = listening_read("/etc/libvirt", "/run", "/proc", NULL);
    Drover__V1__ProbeResult result = DROVER__V1__PROBE_RESULT__INIT;
    uint32_t port = port_reserve("/proc", address, l->migration_port_min, l->migration_port_max, &result);
    if (!port)
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

/* NULL: not of this transaction, or not now. */
static const Drover__V1__DiskCopy *copy_of(struct operation *op, struct rpc_call *call,
                                           const Drover__V1__ReceiveDiskRequest *q, struct error *err)
{
    const struct transaction *txn = op->txn;
    if (drive_admit(op, q->step, PARTICIPANT_DESTINATION, ADMIT_KNOWN, err) < 0 ||
        peers_check_source(txn, rpc_call_peer(call), err) < 0)
        return NULL;
    const Drover__V1__DiskCopy *copy = copies_of(txn, q->target);
    if (transaction_state(txn) == PARTICIPANT_PREPARED && copy &&
        txn->record->mode == DROVER__V1__MODE__MODE_DEFINITION)
        return copy;
    error_set(err, STATUS_FAILED_PRECONDITION, "transaction %s takes in no disk '%.32s' here", txn->id,
              q->target);
    return NULL;
}

static void begin(struct operation *op)
{
    struct receive *c = (struct receive *)op;
    for (const struct receiver *r = op->all->receivers; r; r = r->next)
        c->older |= !r->over && is_of(r, op->id, c->request->target);
    c->counted = !c->older && op->all->receiving < TRANSACTION_COPIERS;
    op->all->receiving += c->counted;
}

static void work(struct operation *op)
{
    struct receive *c = (struct receive *)op;
    struct transaction *txn = op->txn;
    const char *address = op->all->agent->config->migration_address;
    const Drover__V1__DiskCopy *copy = copy_of(op, c->call, c->request, &c->err);
    c->older &= copy != NULL;
    if (copy && !c->counted) {
        if (c->older) /* its connection may be lost and not know it; two must not write one image */
            error_set(&c->err, STATUS_UNAVAILABLE, "an earlier copy of disk %s is being ended", copy->target);
        else
            error_set(&c->err, STATUS_RESOURCE_EXHAUSTED,
                      "%d disks are being taken in there, as many as can be", TRANSACTION_COPIERS);
        return;
    }
    uint32_t port = copy && address ? free_port(address, &c->err) : 0;
    if (!port)
        return;
    if (copies_begin(txn, copy, &c->empty, &c->err) < 0) {
        port_give_back(port);
        return;
    }
    struct receiver *r = c->receiver = new0(struct receiver);
    *r = (struct receiver){.all = op->all, .port = port};
    r->limit = (struct limit){clock_monotonic_ms() + LONGEST_MS, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    memcpy(r->id, txn->id, sizeof(r->id));
    r->target = xstrdup(copy->target);
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
        workers_submit(op->all->takers, receiver_work, receiver_done, r);
        bool v6 = strchr(r->address, ':');
        _cleanup_free_ char *url =
            xasprintf(v6 ? "nbd://[%s]:%u/%s" : "nbd://%s:%u/%s", r->address, r->port, r->name);
        Drover__V1__ReceiveDiskReply reply = DROVER__V1__RECEIVE_DISK_REPLY__INIT;
        reply.url = url;
        reply.empty = c->empty;
        failpoint("agent.receive_disk.before_answer");
        c->reply(&reply, c->call);
        failpoint("agent.receive_disk.after_answer");
    } else {
        if (r) {
            port_give_back(r->port);
            receiver_free(r);
        }
        op->all->receiving -= c->counted;
        for (r = c->older ? op->all->receivers : NULL; r; r = r->next)
            if (!r->over && is_of(r, op->id, c->request->target))
                eventfd_write(r->limit.cancel_fd, 1);
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
    c->op.begin = begin;
    c->op.work = work;
    c->op.done = done;
    if (operation_init(&c->op, all, request->step, &c->err) < 0) {
        rpc_call_fail(call, &c->err);
        free(c);
        return;
    }
    turn_take(&c->op);
}

/* ---- how it has ended -------------------------------------------------------------------------------------------- */

static void received_begin(struct operation *op)
{
    struct received *c = (struct received *)op;
    for (const struct receiver *r = op->all->receivers; r && !c->there; r = r->next) /* the newest first */
        if (is_of(r, op->id, c->request->target)) {
            c->there = true;
            c->over = r->over;
            if (r->over) /* else its worker may be writing it */
                c->why = r->err;
        }
}

static void received_work(struct operation *op)
{
    struct received *c = (struct received *)op;
    const Drover__V1__DiskCopy *copy = copy_of(op, c->call, c->request, &c->err);
    if (!copy || copies_is_whole(op->txn, copy) || (c->there && !c->over)) {
        c->whole = copy && copies_is_whole(op->txn, copy);
        return;
    }
    if (!c->there)
        error_set(&c->err, STATUS_NOT_FOUND,
                  "disk %s is not whole: nobody takes it in any more; was the agent restarted?",
                  copy->target);
    else if (c->why.code)
        error_set(&c->err, STATUS_FAILED_PRECONDITION, "disk %s is not whole: %s", copy->target, c->why.text);
    else
        c->whole = copies_end(op->txn, copy, &c->err) == 0;
}

static void received_done(struct operation *op)
{
    struct received *c = (struct received *)op;
    if (c->err.code) {
        rpc_call_fail(c->call, &c->err);
    } else {
        Drover__V1__DiskReceivedReply reply = DROVER__V1__DISK_RECEIVED_REPLY__INIT;
        reply.whole = c->whole;
        c->reply(&reply, c->call);
    }
    free(c);
}

void rpc_peer_disk_received(Drover__V1__Peer_Service *service, const Drover__V1__ReceiveDiskRequest *request,
                            Drover__V1__DiskReceivedReply_Closure reply, void *call)
{
    struct transactions *all =
        (struct transactions *)((char *)service - offsetof(struct transactions, peer_service));
    struct received *c = new0(struct received);
    *c = (struct received){.request = request, .reply = reply, .call = call};
    c->op.begin = received_begin;
    c->op.work = received_work;
    c->op.done = received_done;
    if (operation_init(&c->op, all, request->step, &c->err) < 0) {
        rpc_call_fail(call, &c->err);
        free(c);
        return;
    }
    turn_take(&c->op);
}
