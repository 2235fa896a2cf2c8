/* At the source: the disks of a guest that is shut off go to the destination before its definition does, one after the other, by qemu-img
 * over NBD. The transaction stays PREPARED meanwhile, so that whatever ends the copying, nothing has moved: SETTLE keeps the guest here.
 *
 *     MIGRATE --> for each disk: Peer.ReceiveDisk, qemu-img convert, Peer.DiskReceived until it is whole --> unchanged? --> the step
 *     MIGRATE: FENCED
 *
 * qemu-nbd ends with the agent there, and a connection may break: a disk is begun anew a few times. It is given up when nothing has been
 * copied for as long as the policy's deadline, by what qemu-img has read: it reads on only as the destination takes in what was sent, and
 * of what needs no sending, such as zeroes, it reads all the same.
 *
 * While qemu-img reads an image it holds QEMU's lock on it, so the guest can't be started; that none was changed between two disks is
 * looked at in the end. */
#include "agent/copies.h"

#include "agent/io/limit.h"
#include "agent/io/run.h"
#include "common/base/memory.h"
#include "common/message/message.h"
#include "common/story/story.h"

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
    ANEW_MIN_MS = 500,
    ANEW_MAX_MS = 10 * 1000, /* between two tries of a disk */
    TRIES_MAX = 3,           /* that got as far as qemu-img */
    LONGEST_MS = 7 * 24 * 3600 * 1000
};

struct disk_sender {
    unsigned refs;           /* the transaction's, and one of the work or the call that is under way */
    struct transaction *txn; /* NULL: it is not wanted any more */
    struct transactions *all;
    Drover__V1__Relocation *relocation; /* owned, like the next two */
    Drover__V1__Endpoint *peer;
    Drover__V1__Step *step;
    uint64_t bandwidth;                    /* bytes per second; 0: no limit */
    struct rpc_call *listener;             /* NULL: nobody */
    struct loop_timer *timer, *next_timer; /* what is asked next */
    struct limit limit;
    struct stat *seen; /* of each image, when it was begun */
    size_t next;
    uint64_t done_bytes, read_bytes; /* of the disks before; of this one, by the qemu-img that is at it */
    int64_t begun_ms, moved_ms;      /* monotonic; since when nothing has been copied */
    int64_t deadline;                /* of that */
    bool sends;                      /* has a place among those that send */
    unsigned tries;                  /* of this disk */
    int64_t anew_ms;
    char said[512]; /* why it waits */
    char *url;
    bool empty;            /* the image there, still */
    atomic_int pid;        /* qemu-img's; 0: it does not run */
    struct error ran, err; /* how that ended: the worker's until it is back */
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
    s->next_timer = loop_timer_cancel(s->next_timer);
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

static void fail_with(struct disk_sender *s, const struct error *why)
{
    s->err = *why;
    fail(s);
}

/* ---- who listens ------------------------------------------------------------------------------------------------- */

static void tell_decision(struct disk_sender *s, const Drover__V1__Decision *d)
{
    Drover__V1__TransferEvent event = DROVER__V1__TRANSFER_EVENT__INIT;
    event.decision = d->text;
    event.run = s->txn->story->run;
    event.number = d->number;
    if (s->listener)
        rpc_call_item(s->listener, &event.base);
}

/* Once, however often it is tried again. */
static void say(struct disk_sender *s, const char *what, const char *why)
{
    _cleanup_free_ char *text =
        xasprintf("disk %s %s: %s", s->relocation->copies[s->next]->target, what, why);
    if (streq(s->said, why))
        return;
    snprintf(s->said, sizeof(s->said), "%s", why);
    log_info("transaction %s: %s", s->txn->id, text);
    if (!s->txn->story)
        s->txn->story = story_new((uint64_t)clock_realtime_ms());
    tell_decision(s, story_decide(s->txn->story, (uint64_t)clock_realtime_ms(), text));
}

static void look_at_progress(struct disk_sender *s)
{
    uint64_t bytes = 0;
    int pid = s->pid;
    if (!pid)
        return;
    bool known = run_has_read(pid, &bytes);
    if (!known || bytes > s->read_bytes) /* where it can't be known, nothing is judged by it */
        s->moved_ms = clock_monotonic_ms();
    if (known && bytes > s->read_bytes)
        s->read_bytes = bytes;
}

static bool stands_still(struct disk_sender *s)
{
    int64_t still = clock_monotonic_ms() - s->moved_ms;
    if (s->next == s->relocation->n_copies || still < s->deadline)
        return false;
    error_set(&s->err, STATUS_DEADLINE_EXCEEDED,
              "nothing of disk %s was copied to %s within the deadline of %" PRId64
              " s%s%s; is that host up, and its storage?",
              s->relocation->copies[s->next]->target, s->peer->host, s->deadline / 1000,
              s->said[0] ? ": " : "", s->said);
    return true;
}

static void tell(void *arg)
{
    struct disk_sender *s = arg;
    s->timer = loop_timer_start(s->all->agent->loop, TELL_MS, tell, s);
    look_at_progress(s);
    if (stands_still(s)) {
        fail(s);
        return;
    }
    if (!s->listener)
        return;
    s->txn->heard_ms = clock_monotonic_ms(); /* the lease of who listens goes on */
    Drover__V1__Progress p = DROVER__V1__PROGRESS__INIT;
    p.phase = (char *)"transfer";
    p.disk_done = s->done_bytes;
    if (s->next < s->relocation->n_copies) {
        uint64_t all = s->relocation->copies[s->next]->bytes;
        p.disk_done += s->read_bytes < all ? s->read_bytes : all - (all > 0); /* it is not whole */
    }
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
    const Drover__V1__Story *told = s->txn->story; /* again to who has heard it: decisions are numbered */
    for (size_t i = 0; told && i < told->n_decisions; i++)
        tell_decision(s, told->decisions[i]);
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
    s->ran = (struct error){0};
    if (stat(c->from, &s->seen[s->next]) < 0) {
        error_errno(&s->ran, errno, "cannot look at %s", c->from);
        return;
    }
    for (;;) {
        s->ran = (struct error){0};
        if (run_watched(&s->limit, argv, &s->pid, &s->ran) == 0 || limit_over(&s->limit) ||
            !strstr(s->ran.text, "refused") || clock_monotonic_ms() >= until)
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

static bool is_unanswered(enum status_code code)
{
    return code == STATUS_UNAVAILABLE || code == STATUS_DEADLINE_EXCEEDED;
}

static void next_in(struct disk_sender *s, int64_t ms, void (*fn)(void *arg))
{
    s->next_timer = loop_timer_start(s->all->agent->loop, ms, fn, s);
}

static void ask_again(void *arg)
{
    struct disk_sender *s = arg;
    s->next_timer = NULL;
    ask(s);
}

/* From ReceiveDisk on. */
static void anew(struct disk_sender *s, const struct error *why)
{
    say(s, "is tried again", why->text);
    s->read_bytes = 0;
    next_in(s, s->anew_ms, ask_again);
    s->anew_ms = s->anew_ms < ANEW_MAX_MS / 2 ? 2 * s->anew_ms : ANEW_MAX_MS;
}

static void begin_disk(struct disk_sender *s)
{
    s->tries = 0;
    s->anew_ms = ANEW_MIN_MS;
    s->read_bytes = 0;
    s->moved_ms = clock_monotonic_ms();
    s->said[0] = 0;
    ask(s);
}

static void ask_whole(void *arg);

static void on_whole(const Drover__V1__DiskReceivedReply *reply, void *arg)
{
    struct disk_sender *s = arg;
    const struct error *no = reply ? NULL : rpc_status();
    if (s->txn && reply && reply->whole) {
        s->done_bytes += s->relocation->copies[s->next]->bytes;
        s->next++;
        begin_disk(s);
    } else if (s->txn && (!no || is_unanswered(no->code))) {
        next_in(s, WHOLE_MS, ask_whole);
    } else if (s->txn && no->code == STATUS_NOT_FOUND && s->tries < TRIES_MAX) {
        anew(s, no);
    } else if (s->txn) {
        fail_with(s, no);
    }
    unref(s);
}

/* qemu-img has sent all, and the other end may still be writing it. Unanswered it is asked again: an agent that has lost the disk says so. */
static void ask_whole(void *arg)
{
    struct disk_sender *s = arg;
    s->next_timer = NULL;
    struct rpc_stub stub = peer_stub(s, &s->err);
    if (!stub.client) {
        fail(s);
        return;
    }
    Drover__V1__ReceiveDiskRequest request = request_of(s);
    s->refs++;
    drover__v1__peer__disk_received(&stub.base, &request, on_whole, s);
}

static void give_place_back(struct disk_sender *s)
{
    s->all->sending -= s->sends;
    s->sends = false;
}

static void converted(void *arg)
{
    struct disk_sender *s = arg;
    struct transactions *all = s->all;
    give_place_back(s);
    s->tries++;
    if (s->txn && !s->ran.code) {
        s->moved_ms = clock_monotonic_ms();
        ask_whole(s);
    } else if (s->txn && s->tries < TRIES_MAX && !strstr(s->ran.text, "error while reading")) {
        /* Its "error while writing" is of a connection that broke and of the disk there alike. */
        anew(s, &s->ran);
    } else if (s->txn) {
        fail_with(s, &s->ran);
    }
    unref(s);
    transactions_unref(all);
}

static void on_url(const Drover__V1__ReceiveDiskReply *reply, void *arg)
{
    struct disk_sender *s = arg;
    if (s->txn && reply) {
        free(s->url);
        s->url = xstrdup(reply->url);
        s->empty = reply->empty;
        s->said[0] = 0;
        s->refs++;
        s->all->refs++;
        workers_submit(s->all->copiers, convert, converted, s);
    } else {
        give_place_back(s);
    }
    const struct error *no = s->txn && !reply ? rpc_status() : NULL;
    if (no && (is_unanswered(no->code) || no->code == STATUS_RESOURCE_EXHAUSTED))
        anew(s, no);
    else if (no)
        fail_with(s, no);
    unref(s);
}

static void ask(struct disk_sender *s)
{
    if (s->next == s->relocation->n_copies) {
        give_definition(s);
        return;
    }
    if (s->all->sending >= TRANSACTION_COPIERS) { /* the others get on, or are given up */
        s->moved_ms = clock_monotonic_ms();
        say(s, "waits", "as many as can be are being sent from here");
        next_in(s, TELL_MS, ask_again);
        return;
    }
    struct rpc_stub stub = peer_stub(s, &s->err);
    if (!stub.client) {
        fail(s);
        return;
    }
    Drover__V1__ReceiveDiskRequest request = request_of(s);
    s->refs++;
    s->sends = true;
    s->all->sending++;
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
    s->deadline = r->policy && r->policy->deadline ? r->policy->deadline : LONGEST_MS;
    s->bandwidth = txn->begin_bandwidth ? txn->begin_bandwidth : r->policy ? r->policy->bandwidth : 0;
    s->seen = xcalloc(s->relocation->n_copies, sizeof(*s->seen));
    s->limit = (struct limit){clock_monotonic_ms() + LONGEST_MS, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    s->timer = loop_timer_start(s->all->agent->loop, TELL_MS, tell, s);
    s->refs++; /* it may fail at once */
    begin_disk(s);
    unref(s);
}
