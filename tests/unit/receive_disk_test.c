/* The disks of a guest that is shut off, at the destination: how many at a time, and one writer for each. The test plays the rest of the
 * agent, and qemu-nbd, as a script in PATH. */
#include "agent/copies.h"
#include "common/base/memory.h"
#include "made_tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define ID "11111111-1111-4111-8111-11111111aaaa"

static struct {
    struct made_tree tree;
    struct agent_config config;
    struct agent agent;
    struct transactions all;
    struct transaction txn;
    Drover__V1__Record record;
    Drover__V1__Step step;
    Drover__V1__DiskCopy copies[TRANSACTION_COPIERS + 1];
    char targets[TRANSACTION_COPIERS + 1][8];
    char *path;
    bool stranger; /* who calls */
    unsigned n_begun;
    bool replied, whole;
    enum status_code code;
} w;

/* ---- the world ---- */

void turn_take(struct operation *op)
{
    op->txn = &w.txn;
    if (op->begin)
        op->begin(op);
    op->work(op);
    op->done(op);
}

int operation_init(struct operation *op, struct transactions *all, const Drover__V1__Step *step,
                   struct error *err)
{
    (void)err;
    op->all = all;
    op->id = step->transaction;
    return 0;
}

int drive_admit(struct operation *op, const Drover__V1__Step *step, enum participant_role role,
                enum admission how, struct error *err)
{
    (void)op, (void)step, (void)role, (void)how, (void)err;
    return 0;
}

int peers_check_source(const struct transaction *txn, const struct rpc_peer *peer, struct error *err)
{
    (void)txn, (void)peer;
    return w.stranger ? error_set(err, STATUS_PERMISSION_DENIED, "another") : 0;
}

enum participant_state transaction_state(const struct transaction *txn)
{
    return txn->state;
}

struct transaction *transactions_find(const struct transactions *all, const char *id)
{
    (void)all, (void)id;
    return &w.txn;
}

void transactions_unref(struct transactions *all)
{
    all->refs--;
    loop_stop(w.agent.loop, 0);
}

Drover__V1__DiskCopy *copies_of(const struct transaction *txn, const char *target)
{
    (void)txn;
    for (unsigned i = 0; i <= TRANSACTION_COPIERS; i++)
        if (streq(w.targets[i], target))
            return &w.copies[i];
    return NULL;
}

int copies_begin(struct transaction *txn, const Drover__V1__DiskCopy *copy, bool *ret_empty,
                 struct error *err)
{
    (void)txn, (void)copy, (void)err;
    w.n_begun++;
    *ret_empty = true;
    return 0;
}

int copies_end(struct transaction *txn, const Drover__V1__DiskCopy *copy, struct error *err)
{
    (void)txn, (void)copy, (void)err;
    return 0;
}

bool copies_is_whole(struct transaction *txn, const Drover__V1__DiskCopy *copy)
{
    (void)txn, (void)copy;
    return false;
}

const struct rpc_peer *rpc_call_peer(const struct rpc_call *call)
{
    (void)call;
    return NULL;
}

void rpc_call_fail(struct rpc_call *call, const struct error *why)
{
    (void)call;
    w.code = why->code;
}

static void taken(const Drover__V1__ReceiveDiskReply *reply, void *call)
{
    (void)reply, (void)call;
    w.replied = true;
}

static void told(const Drover__V1__DiskReceivedReply *reply, void *call)
{
    (void)call;
    w.replied = true;
    w.whole = reply->whole;
}

/* ---- tests ---- */

static int setup(void **state)
{
    (void)state;
    memset(&w, 0, sizeof(w));
    made_tree_init(&w.tree);
    made_tree_add(&w.tree, "image.raw", "");
    made_tree_add(&w.tree, "setpriv", "#!/bin/sh\nexec sleep 600\n");
    _cleanup_free_ char *path = xasprintf("%s:/usr/bin:/bin", w.tree.root);
    _cleanup_free_ char *script = xasprintf("%s/setpriv", w.tree.root);
    assert_int_equal(chmod(script, 0755), 0);
    setenv("PATH", path, 1);
    assert_int_equal(loop_new(&w.agent.loop, NULL), 0);
    w.config.migration_address = (char *)"127.0.0.1";
    w.agent.config = &w.config;
    w.all.agent = &w.agent;
    w.all.refs = 1;
    w.all.takers = workers_new(w.agent.loop, TRANSACTION_COPIERS);
    w.txn.all = &w.all;
    w.txn.state = PARTICIPANT_PREPARED;
    w.txn.record = &w.record;
    snprintf(w.txn.id, sizeof(w.txn.id), "%s", ID);
    drover__v1__record__init(&w.record);
    w.record.mode = DROVER__V1__MODE__MODE_DEFINITION;
    drover__v1__step__init(&w.step);
    w.step.transaction = w.txn.id;
    w.path = xasprintf("%s/image.raw", w.tree.root);
    for (unsigned i = 0; i <= TRANSACTION_COPIERS; i++) {
        drover__v1__disk_copy__init(&w.copies[i]);
        snprintf(w.targets[i], sizeof(w.targets[i]), "vd%c", 'a' + (char)i);
        w.copies[i].target = w.targets[i];
        w.copies[i].to = w.path;
        w.copies[i].format = (char *)"raw";
    }
    return 0;
}

static void all_have_ended(unsigned but)
{
    while (w.all.refs > 1 + but)
        loop_run(w.agent.loop);
}

static int teardown(void **state)
{
    (void)state;
    w.txn.state = PARTICIPANT_TOMBSTONE;
    receivers_stop(&w.all, NULL);
    all_have_ended(0);
    assert_null(w.all.receivers);
    assert_int_equal(w.all.receiving, 0);
    workers_free(w.all.takers);
    loop_free(w.agent.loop);
    free(w.path);
    made_tree_deinit(&w.tree);
    return 0;
}

static enum status_code receive(unsigned disk)
{
    Drover__V1__ReceiveDiskRequest q = DROVER__V1__RECEIVE_DISK_REQUEST__INIT;
    q.step = &w.step;
    q.target = w.targets[disk];
    w.replied = false;
    w.code = STATUS_OK;
    rpc_peer_receive_disk(&w.all.peer_service, &q, taken, NULL);
    assert_true(w.replied == (w.code == STATUS_OK));
    return w.code;
}

static enum status_code received(unsigned disk)
{
    Drover__V1__ReceiveDiskRequest q = DROVER__V1__RECEIVE_DISK_REQUEST__INIT;
    q.step = &w.step;
    q.target = w.targets[disk];
    w.replied = false;
    w.code = STATUS_OK;
    rpc_peer_disk_received(&w.all.peer_service, &q, told, NULL);
    assert_true(w.replied == (w.code == STATUS_OK));
    return w.code;
}

static void more_than_can_be_taken_in_are_refused_for_now(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TRANSACTION_COPIERS; i++)
        assert_int_equal(receive(i), STATUS_OK);
    assert_int_equal(receive(TRANSACTION_COPIERS), STATUS_RESOURCE_EXHAUSTED);
    assert_int_equal(w.n_begun, TRANSACTION_COPIERS);
    assert_int_equal(w.all.receiving, TRANSACTION_COPIERS);
    receivers_stop(&w.all, ID);
    all_have_ended(0);
    assert_int_equal(receive(TRANSACTION_COPIERS), STATUS_OK);
}

static void an_image_has_one_writer_at_a_time(void **state)
{
    (void)state;
    assert_int_equal(receive(0), STATUS_OK);
    assert_int_equal(receive(1), STATUS_OK);
    assert_int_equal(receive(0), STATUS_UNAVAILABLE);
    all_have_ended(1); /* the earlier one of that disk, and no other */
    assert_int_equal(w.all.receiving, 1);
    assert_int_equal(receive(0), STATUS_OK);
    assert_int_equal(w.n_begun, 3);
    assert_int_equal(received(0), STATUS_OK); /* of the newest */
    assert_false(w.whole);
    assert_int_equal(received(1), STATUS_OK);
}

static void who_may_not_begin_one_ends_none(void **state)
{
    (void)state;
    assert_int_equal(receive(0), STATUS_OK);
    w.stranger = true;
    assert_int_equal(receive(0), STATUS_PERMISSION_DENIED);
    assert_int_equal(receive(1), STATUS_PERMISSION_DENIED);
    assert_int_equal(w.all.receiving, 1);
    w.stranger = false;
    assert_int_equal(received(0), STATUS_OK);
    assert_int_equal(w.all.refs, 2);
}

static void a_disk_that_nobody_takes_in_is_to_be_begun_anew(void **state)
{
    (void)state;
    assert_int_equal(received(0), STATUS_NOT_FOUND);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(more_than_can_be_taken_in_are_refused_for_now),
        TEST(an_image_has_one_writer_at_a_time),
        TEST(who_may_not_begin_one_ends_none),
        TEST(a_disk_that_nobody_takes_in_is_to_be_begun_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
