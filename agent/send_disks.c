/* At the source: the disks of a guest that is shut off go to the destination before its definition does, one after the other, by qemu-img
 * over NBD. The transaction stays PREPARED meanwhile, so that whatever ends the copying, nothing has moved: SETTLE keeps the guest here.
 *
 *     MIGRATE --> for each disk: Peer.ReceiveDisk, qemu-img convert, Peer.DiskReceived until it is whole --> unchanged? --> the step
 *     MIGRATE: FENCED
 *
 * While qemu-img reads an image it holds QEMU's lock on it, so the guest can't be started; that none was changed between two disks is
 * looked at in the end. */
#include "agent/copies.h"

#include "agent/io/limit.h"
#include "agent/io/run.h"
#include "common/base/memory.h"
#include "common/message/message.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    TELL_MS = 1000,
    ASK_MS = 10 * 1000,
    CONNECT_MS = 5000,
    AGAIN_MS = 100,
    WHOLE_MS = 200, /* between two questions whether the destination has all of it */
    LONGEST_MS = 7 * 24 * 3600 * 1000
};

struct disk_sender {
    unsigned refs;           /* the transaction's, and one of the work or the call that is under way */
    struct transaction *txn; /* NULL: it is not wanted any more */
    struct transactions *all;
    Drover__V1__Relocation *relocation; /* owned, like the next two */
    Drover__V1__Endpoint *peer;
    Drover__V1__Step *step;
    uint64_t bandwidth;        /* bytes per second; 0: no limit */
    struct rpc_call *listener; /* NULL: nobody */
    struct loop_timer *timer, *whole_timer;
    struct limit limit;
    struct stat *seen; /* of each image, when it was begun */
    size_t next;
    uint64_t done_bytes;
    int64_t begun_ms;
    char *url;
    bool empty; /* the image there, still */
    struct error err;
};

static void unref(struct disk_sender *s)
{
    if (--s->refs)
        return;
    close(s->limit.cancel_fd);
    drover__v1__relocation__free_unpacked(s->relocation, NULL);
    drover__v1__endpoint__free_unpacked(s->peer, NULL);
    drover__v1__step__free_unpacked(s->step, NULL);
    free(s->seen);
    free(s->url);
    free(s);
}

static void tell_end(struct disk_sender *s, const struct error *why)
{
    struct rpc_call *call = steal(&s->listener);
    if (!call)
        return;
    Drover__V1__TransferEvent event = DROVER__V1__TRANSFER_EVENT__INIT;
    event.ended = true;
    event.error = (char *)why->text;
    rpc_call_item(call, &event.base);
    rpc_call_end(call);
}

struct disk_sender *disk_sender_free(struct disk_sender *s)
{
    static const struct error over = {.code = STATUS_CANCELLED, .text = "the copying of the disks was ended"};
    if (!s)
        return NULL;
    s->timer = loop_timer_cancel(s->timer);
    s->whole_timer = loop_timer_cancel(s->whole_timer);
    s->txn = NULL;
    tell_end(s, s->err.code ? &s->err : &over);
    eventfd_write(s->limit.cancel_fd, 1);
    unref(s);
    return NULL;
}

static void fail(struct disk_sender *s)
{
    log_warn("transaction %s: its disks were not copied: %s", s->step->transaction, s->err.text);
    s->txn->sender = NULL;
    disk_sender_free(s);
}

/* ---- who listens ------------------------------------------------------------------------------------------------- */

static void tell(void *arg)
{
    struct disk_sender *s = arg;
    s->timer = loop_timer_start(s->all->agent->loop, TELL_MS, tell, s);
    if (!s->listener)
        return;
    s->txn->heard_ms = clock_monotonic_ms(); /* the lease of who listens goes on */
    Drover__V1__Progress p = DROVER__V1__PROGRESS__INIT;
    p.phase = (char *)"transfer";
    p.disk_done = s->done_bytes;
    for (size_t i = 0; i < s->relocation->n_copies; i++)
        p.disk_total += s->relocation->copies[i]->bytes;
    p.elapsed = clock_monotonic_ms() - s->begun_ms;
    p.remaining = -1;
    Drover__V1__TransferEvent event = DROVER__V1__TRANSFER_EVENT__INIT;
    event.progress = &p;
    rpc_call_item(s->listener, &event.base);
}

static void on_cancel(void *arg)
{
    struct disk_sender *s = arg;
    rpc_call_end(steal(&s->listener)); /* the copying goes on as long as the lease */
}

void disk_sender_listen(struct disk_sender *s, struct rpc_call *call)
{
    if (s->listener) /* the coordinator has connected anew */
        rpc_call_end(steal(&s->listener));
    s->listener = call;
    rpc_call_on_cancel(call, on_cancel, s);
}

/* ---- when all are there: the definition moves -------------------------------------------------------------------- */

struct give {
    struct operation op;
    struct disk_sender *sender;
    struct outcome out;
    bool stepped;
    char id[37];
};

static bool unchanged(const struct disk_sender *s, struct error *err)
{
    for (size_t i = 0; i < s->relocation->n_copies; i++) {
        struct stat now;
        const char *path = s->relocation->copies[i]->from;
        if (stat(path, &now) < 0 || now.st_ino != s->seen[i].st_ino || now.st_size != s->seen[i].st_size ||
            now.st_mtim.tv_sec != s->seen[i].st_mtim.tv_sec ||
            now.st_mtim.tv_nsec != s->seen[i].st_mtim.tv_nsec) {
            error_set(err, STATUS_ABORTED, "%s was written while it was copied; was the guest started?",
                      path);
            return false;
        }
    }
    return true;
}

static void give_work(struct operation *op)
{ /* model: S3, of a guest that is shut off */
    struct give *g = (struct give *)op;
    struct disk_sender *s = g->sender;
    if (op->txn && unchanged(s, &s->err))
        g->stepped = drive_step(op, PARTICIPANT_MIGRATE, 0, &g->out, &s->err) == 0;
}

static void give_done(struct operation *op)
{
    struct give *g = (struct give *)op;
    struct disk_sender *s = g->sender;
    if (s->txn && !op->all->closing) {
        struct transaction *txn = s->txn;
        if (g->stepped && g->out.answer == PARTICIPANT_DONE) {
            struct rpc_call *call = steal(&s->listener);
            txn->sender = NULL;
            disk_sender_free(s);
            drive_done(txn, g->out.actions);
            if (call)
                transfer_listen(txn, call);
        } else {
            if (!s->err.code)
                error_set(&s->err, STATUS_FAILED_PRECONDITION, "%s", g->out.text);
            fail(s);
        }
    }
    unref(s);
    free(g);
}

static void give_definition(struct disk_sender *s)
{
    struct give *g = new0(struct give);
    g->sender = s;
    s->refs++;
    memcpy(g->id, s->txn->id, sizeof(g->id));
    memcpy(g->op.guest, s->txn->guest, sizeof(g->op.guest));
    g->op.all = s->all;
    g->op.id = g->id;
    g->op.work = give_work;
    g->op.done = give_done;
    turn_take(&g->op);
}

/* ---- one disk after the other ------------------------------------------------------------------------------------ */

static void ask(struct disk_sender *s);

/* The other end's qemu-nbd is just starting. */
static void convert(void *arg)
{
    struct disk_sender *s = arg;
    const Drover__V1__DiskCopy *c = s->relocation->copies[s->next];
    char rate[32];
    /* It flushes in the end, and does not tell whether that has failed: the destination does. */
    const char *argv[24] = {"setpriv", "--pdeathsig", "KILL",    "qemu-img", "convert",
                            "-n",      "-f",          c->format, "-O",       "raw"};
    size_t n = 10;
    if (s->empty)
        argv[n++] = "--target-is-zero";
    if (s->bandwidth) { /* for all of the disk: qemu-img can't be told another rate later */
        snprintf(rate, sizeof(rate), "%" PRIu64, s->bandwidth);
        argv[n++] = "-r";
        argv[n++] = rate;
    }
    argv[n++] = "--";
    argv[n++] = c->from;
    argv[n] = s->url;
    int64_t until = clock_monotonic_ms() + CONNECT_MS;
    if (stat(c->from, &s->seen[s->next]) < 0) {
        error_errno(&s->err, errno, "cannot look at %s", c->from);
        return;
    }
    for (;;) {
        _cleanup_free_ char *output = NULL;
        s->err = (struct error){0};
        if (run_program(&s->limit, argv, &output, &s->err) == 0 || limit_over(&s->limit) ||
            !strstr(s->err.text, "refused") || clock_monotonic_ms() >= until)
            return;
        limit_poll(&s->limit, -1, 0, AGAIN_MS);
    }
}

static struct rpc_stub peer_stub(struct disk_sender *s, struct error *err)
{
    struct rpc_client *client = peers_client(s->all->peers, s->peer, err);
    return rpc_stub(client, &drover__v1__peer__descriptor, .timeout_ms = ASK_MS, .once = true, .wait = true);
}

static Drover__V1__ReceiveDiskRequest request_of(const struct disk_sender *s)
{
    Drover__V1__ReceiveDiskRequest request = DROVER__V1__RECEIVE_DISK_REQUEST__INIT;
    request.step = s->step;
    request.target = s->relocation->copies[s->next]->target;
    return request;
}

static void ask_whole(void *arg);

static void on_whole(const Drover__V1__DiskReceivedReply *reply, void *arg)
{
    struct disk_sender *s = arg;
    enum status_code code = reply ? STATUS_OK : rpc_status()->code;
    bool unanswered = code == STATUS_UNAVAILABLE || code == STATUS_DEADLINE_EXCEEDED;
    if (s->txn && !reply && (!unanswered || limit_over(&s->limit))) {
        s->err = *rpc_status();
        fail(s);
    } else if (s->txn && reply && reply->whole) {
        s->done_bytes += s->relocation->copies[s->next]->bytes;
        s->next++;
        ask(s);
    } else if (s->txn) {
        s->whole_timer = loop_timer_start(s->all->agent->loop, WHOLE_MS, ask_whole, s);
    }
    unref(s);
}

/* qemu-img has sent all, and the other end may still be writing it. Unanswered it is asked again, for as long as the transaction lasts: an
 * agent that has lost the disk says so. */
static void ask_whole(void *arg)
{
    struct disk_sender *s = arg;
    s->whole_timer = NULL;
    struct rpc_stub stub = peer_stub(s, &s->err);
    if (!stub.client) {
        fail(s);
        return;
    }
    Drover__V1__ReceiveDiskRequest request = request_of(s);
    s->refs++;
    drover__v1__peer__disk_received(&stub.base, &request, on_whole, s);
}

static void converted(void *arg)
{
    struct disk_sender *s = arg;
    if (s->txn && s->err.code)
        fail(s);
    else if (s->txn)
        ask_whole(s);
    unref(s);
}

static void on_url(const Drover__V1__ReceiveDiskReply *reply, void *arg)
{
    struct disk_sender *s = arg;
    if (s->txn && reply) {
        free(s->url);
        s->url = xstrdup(reply->url);
        s->empty = reply->empty;
        s->refs++;
        workers_submit(s->all->copiers, convert, converted, s);
    } else if (s->txn) {
        s->err = *rpc_status();
        fail(s);
    }
    unref(s);
}

static void ask(struct disk_sender *s)
{
    if (s->next == s->relocation->n_copies) {
        give_definition(s);
        return;
    }
    struct rpc_stub stub = peer_stub(s, &s->err);
    if (!stub.client) {
        fail(s);
        return;
    }
    Drover__V1__ReceiveDiskRequest request = request_of(s);
    s->refs++;
    drover__v1__peer__receive_disk(&stub.base, &request, on_url, s);
}

void disk_sender_start(struct transaction *txn)
{
    const Drover__V1__Record *r = txn->record;
    struct disk_sender *s = txn->sender = new0(struct disk_sender);
    *s = (struct disk_sender){.refs = 1, .txn = txn, .all = txn->all, .begun_ms = clock_monotonic_ms()};
    s->relocation = (Drover__V1__Relocation *)message_copy(&r->relocation->base);
    s->peer = (Drover__V1__Endpoint *)message_copy(&r->peer->base);
    s->step = (Drover__V1__Step *)message_copy(&r->step->base);
    s->bandwidth = txn->begin_bandwidth ? txn->begin_bandwidth : r->policy ? r->policy->bandwidth : 0;
    s->seen = xcalloc(s->relocation->n_copies, sizeof(*s->seen));
    s->limit = (struct limit){clock_monotonic_ms() + LONGEST_MS, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    s->timer = loop_timer_start(s->all->agent->loop, TELL_MS, tell, s);
    s->refs++; /* ask may fail at once */
    ask(s);
    unref(s);
}
