/* The disks of a guest that is shut off, at the source: what breaks is begun anew, what stands still is given up. The test plays the
 * destination's agent, the rest of this one, and qemu-img, as a script in PATH. */
#include "agent/copies.h"
#include "common/base/memory.h"
#include "common/story/story.h"
#include "made_tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define BYTES (1ULL << 40)

static struct {
    struct made_tree tree;
    struct agent agent;
    struct transactions all;
    struct transaction txn;
    /* What the destination answers, one after the other, then OK. */
    enum status_code receives[4], received[4];
    struct error status;
    unsigned n_receives, n_received, n_decisions, n_items;
    char asked[64];            /* targets */
    uint64_t part;             /* told of a disk that was not all there */
    bool gave, ended, waiting; /* the definition has moved; it has failed with `why`; for qemu-img to end */
    char why[512];
} w;

/* ---- the world ---- */

struct rpc_client *peers_client(struct peers *peers, const Drover__V1__Endpoint *endpoint, struct error *err)
{
    (void)peers, (void)endpoint, (void)err;
    return (struct rpc_client *)&w;
}

void rpc_stub_invoke(ProtobufCService *service, unsigned method, const ProtobufCMessage *input,
                     ProtobufCClosure closure, void *arg)
{
    (void)service;
    const Drover__V1__ReceiveDiskRequest *q = (const Drover__V1__ReceiveDiskRequest *)input;
    bool receive = method == 0;
    unsigned *n = receive ? &w.n_receives : &w.n_received;
    enum status_code code = *n < 4 ? (receive ? w.receives : w.received)[*n] : STATUS_OK;
    ++*n;
    error_fill(&w.status, code, "as the test plays it");
    Drover__V1__ReceiveDiskReply taken = DROVER__V1__RECEIVE_DISK_REPLY__INIT;
    Drover__V1__DiskReceivedReply whole = DROVER__V1__DISK_RECEIVED_REPLY__INIT;
    taken.url = (char *)"nbd://127.0.0.1:1/x";
    whole.whole = true;
    if (receive)
        snprintf(w.asked + strlen(w.asked), sizeof(w.asked) - strlen(w.asked), "%s ", q->target);
    closure(code ? NULL : receive ? &taken.base : &whole.base, arg);
}

const struct error *rpc_status(void)
{
    return &w.status;
}

static void let_go_on(void)
{
    made_tree_add(&w.tree, "go", "");
}

int rpc_call_item(struct rpc_call *call, const ProtobufCMessage *item)
{
    (void)call;
    const Drover__V1__TransferEvent *e = (const Drover__V1__TransferEvent *)item;
    w.n_items++;
    w.n_decisions += e->decision[0] != 0;
    if (e->progress && (e->progress->disk_done || e->progress->disk_total < BYTES)) {
        w.part = e->progress->disk_done;
        let_go_on();
    }
    if (e->ended) {
        w.ended = true;
        snprintf(w.why, sizeof(w.why), "%s", e->error);
        loop_stop(w.agent.loop, 0);
    }
    return 0;
}

void rpc_call_end(struct rpc_call *call)
{
    (void)call;
}

void rpc_call_on_cancel(struct rpc_call *call, void (*fn)(void *arg), void *arg)
{
    (void)call, (void)fn, (void)arg;
}

void turn_take(struct operation *op)
{
    op->txn = &w.txn;
    op->work(op);
    op->done(op);
}

int drive_step(struct operation *op, enum participant_event event, int64_t deadline_ms, struct outcome *ret,
               struct error *err)
{
    (void)op, (void)event, (void)deadline_ms, (void)err;
    *ret = (struct outcome){.answer = PARTICIPANT_DONE};
    return 0;
}

void drive_done(struct transaction *txn, unsigned actions)
{
    (void)txn, (void)actions;
    w.gave = true;
    loop_stop(w.agent.loop, 0);
}

void transfer_listen(struct transaction *txn, struct rpc_call *call)
{
    (void)txn, (void)call;
}

void transactions_unref(struct transactions *all)
{
    all->refs--;
    if (w.waiting)
        loop_stop(w.agent.loop, 0);
}

/* ---- tests ---- */

static void play(const char *script)
{
    _cleanup_free_ char *text = xasprintf("#!/bin/sh\ncd ${0%%/*}\n%s\n", script);
    _cleanup_free_ char *path = xasprintf("%s/setpriv", w.tree.root);
    made_tree_add(&w.tree, "setpriv", text);
    assert_int_equal(chmod(path, 0755), 0);
}

static Drover__V1__DiskCopy *disk(const char *target)
{
    Drover__V1__DiskCopy *c = new0(Drover__V1__DiskCopy);
    drover__v1__disk_copy__init(c);
    c->target = xstrdup(target);
    c->format = xstrdup("raw");
    c->from = xasprintf("%s/%s.raw", w.tree.root, target);
    c->bytes = BYTES;
    _cleanup_free_ char *name = xasprintf("%s.raw", target);
    made_tree_add(&w.tree, name, "a disk");
    return c;
}

static int setup(void **state)
{
    (void)state;
    memset(&w, 0, sizeof(w));
    made_tree_init(&w.tree);
    assert_int_equal(loop_new(&w.agent.loop, NULL), 0);
    w.all.agent = &w.agent;
    w.all.refs = 1;
    w.all.copiers = workers_new(w.agent.loop, 2);
    w.txn.all = &w.all;
    Drover__V1__Record *r = w.txn.record = new0(Drover__V1__Record);
    drover__v1__record__init(r);
    r->step = new0(Drover__V1__Step);
    drover__v1__step__init(r->step);
    r->peer = new0(Drover__V1__Endpoint);
    drover__v1__endpoint__init(r->peer);
    r->peer->host = xstrdup("kvm2");
    r->relocation = new0(Drover__V1__Relocation);
    drover__v1__relocation__init(r->relocation);
    r->relocation->copies = xcalloc(2, sizeof(*r->relocation->copies));
    r->relocation->copies[r->relocation->n_copies++] = disk("vda");
    r->policy = new0(Drover__V1__Policy);
    drover__v1__policy__init(r->policy);
    r->policy->deadline = 600 * 1000;
    _cleanup_free_ char *path = xasprintf("%s:/usr/bin:/bin", w.tree.root);
    setenv("PATH", path, 1);
    play("exit 0");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    disk_sender_free(steal(&w.txn.sender));
    w.waiting = true;
    while (w.all.refs > 1) /* qemu-img is ended, too */
        loop_run(w.agent.loop);
    assert_int_equal(w.all.sending, 0);
    workers_free(w.all.copiers);
    story_free(w.txn.story);
    drover__v1__record__free_unpacked(w.txn.record, NULL);
    loop_free(w.agent.loop);
    made_tree_deinit(&w.tree);
    return 0;
}

static void start(void)
{
    disk_sender_start(&w.txn);
    if (w.txn.sender)
        disk_sender_listen(w.txn.sender, (struct rpc_call *)&w);
}

static void copy(void)
{
    start();
    if (w.txn.sender) /* else it has come to its end at once */
        loop_run(w.agent.loop);
}

static void what_is_copied_is_told_meanwhile(void **state)
{
    (void)state;
    made_tree_add(&w.tree, "image", "enough of it\n");
    play("read x <image; until [ -e go ]; do sleep 0.1; done");
    copy();
    assert_true(w.gave);
    assert_true(w.part > 0 && w.part < BYTES);
}

/* The plan takes what is left for what is still to be sent, and 0 for not known. */
static void nothing_is_told_to_be_whole_before_it_is(void **state)
{
    (void)state;
    w.txn.record->relocation->copies[0]->bytes = 10; /* the shell alone reads more */
    play("until [ -e go ]; do sleep 0.1; done");
    copy();
    assert_true(w.gave);
    assert_int_equal(w.part, 9);
}

static void what_stands_still_is_given_up_by_the_deadline(void **state)
{
    (void)state;
    w.txn.record->policy->deadline = 500;
    play("exec sleep 600");
    copy();
    assert_true(w.ended && !w.gave);
    assert_non_null(strstr(w.why, "nothing of disk vda was copied to kvm2 within the deadline"));
    assert_null(w.txn.sender);
}

static void a_destination_that_never_answers_is_given_up_by_the_deadline(void **state)
{
    (void)state;
    w.txn.record->policy->deadline = 500;
    for (unsigned i = 0; i < 4; i++)
        w.receives[i] = STATUS_UNAVAILABLE;
    copy();
    assert_true(w.ended && !w.gave);
    assert_non_null(strstr(w.why, "as the test plays it"));
    assert_int_equal(w.n_decisions, 1);
}

static void a_copy_that_broke_is_begun_anew_and_those_before_it_are_not(void **state)
{
    (void)state;
    Drover__V1__Relocation *r = w.txn.record->relocation;
    r->copies[r->n_copies++] = disk("vdb");
    play("case \"$*\" in *vdb*) [ -e once ] || { >once; echo 'error while writing at byte 0: Input/output "
         "error' >&2; exit 1; };; esac");
    copy();
    assert_true(w.gave);
    assert_string_equal(w.asked, "vda vdb vdb ");
    assert_int_equal(w.n_decisions, 1);
    assert_non_null(strstr(w.txn.story->decisions[0]->text, "disk vdb is tried again: "));
}

static void a_copy_that_breaks_each_time_fails(void **state)
{
    (void)state;
    play("echo 'error while writing at byte 0: No space left on device' >&2; exit 1");
    copy();
    assert_true(w.ended && !w.gave);
    assert_int_equal(w.n_receives, 3);
    assert_non_null(strstr(w.why, "No space left on device"));
}

static void an_image_that_can_not_be_read_here_fails_at_once(void **state)
{
    (void)state;
    play("echo 'error while reading at byte 0: Input/output error' >&2; exit 1");
    copy();
    assert_true(w.ended && !w.gave);
    assert_int_equal(w.n_receives, 1);
}

static void a_destination_that_is_busy_or_away_is_asked_again(void **state)
{
    (void)state;
    w.receives[0] = STATUS_UNAVAILABLE;
    w.receives[1] = STATUS_RESOURCE_EXHAUSTED;
    w.received[0] = STATUS_UNAVAILABLE;
    w.received[1] = STATUS_NOT_FOUND; /* the agent there was restarted before it was whole */
    copy();
    assert_true(w.gave);
    assert_int_equal(w.n_receives, 4);
    assert_int_equal(w.n_received, 3);
}

static void what_a_destination_refuses_fails(void **state)
{
    (void)state;
    w.receives[0] = STATUS_FAILED_PRECONDITION;
    copy();
    assert_true(!w.txn.sender && !w.gave);
    assert_int_equal(w.n_receives, 1);
}

static void a_disk_that_can_not_be_whole_fails(void **state)
{
    (void)state;
    w.received[0] = STATUS_FAILED_PRECONDITION;
    copy();
    assert_true(w.ended && !w.gave);
    assert_int_equal(w.n_received, 1);
}

static void one_ends(void *arg)
{
    (void)arg;
    w.all.sending--;
}

static void more_than_can_be_sent_wait_for_their_turn(void **state)
{
    (void)state;
    w.all.sending = TRANSACTION_COPIERS;
    loop_timer_start(w.agent.loop, 500, one_ends, NULL);
    start();
    assert_int_equal(w.n_receives, 0);
    assert_int_equal(w.txn.story->n_decisions, 1);
    loop_run(w.agent.loop);
    w.all.sending -= TRANSACTION_COPIERS - 1;
    assert_true(w.gave);
    assert_int_equal(w.n_decisions, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_is_copied_is_told_meanwhile),
        TEST(nothing_is_told_to_be_whole_before_it_is),
        TEST(what_stands_still_is_given_up_by_the_deadline),
        TEST(a_destination_that_never_answers_is_given_up_by_the_deadline),
        TEST(a_copy_that_broke_is_begun_anew_and_those_before_it_are_not),
        TEST(a_copy_that_breaks_each_time_fails),
        TEST(an_image_that_can_not_be_read_here_fails_at_once),
        TEST(a_destination_that_is_busy_or_away_is_asked_again),
        TEST(what_a_destination_refuses_fails),
        TEST(a_disk_that_can_not_be_whole_fails),
        TEST(more_than_can_be_sent_wait_for_their_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
