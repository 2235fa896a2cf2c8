/* One step of a transaction (agent/drive.c), on a libvirt and a disk that the test plays. */
#include "agent/transaction.h"

#include "agent/copies.h"
#include "agent/io/domain.h"
#include "common/base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define GUEST "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"

static enum participant_guest seen; /* by libvirt */
static bool disk_is_full;

/* ---- what drive.c calls ---- */

virConnectPtr libvirt_ref(struct libvirt *libvirt, struct error *err)
{
    (void)err;
    return (virConnectPtr)libvirt;
}

void libvirt_unref(virConnectPtr conn)
{
    (void)conn;
}

int domain_look(virConnectPtr conn, const char *uuid, enum participant_role role,
                struct participant_facts *facts, char *text, size_t size, struct error *err)
{
    (void)conn, (void)uuid, (void)role, (void)err;
    facts->guest = seen;
    snprintf(text, size, "as the test plays it");
    return 0;
}

int domain_stop_job(virConnectPtr conn, const char *uuid, struct error *err)
{
    (void)conn, (void)uuid, (void)err;
    return 0;
}

int domain_set_autostart(virConnectPtr conn, const char *uuid, bool on, struct error *err)
{
    (void)conn, (void)uuid, (void)on, (void)err;
    return 0;
}

int deeds_do(struct transaction *txn, virConnectPtr conn, enum participant_action action, char *text,
             size_t size, struct error *err)
{
    (void)txn, (void)conn, (void)action, (void)text, (void)size, (void)err;
    return 0;
}

enum participant_state transaction_state(const struct transaction *txn)
{
    return participant_state_of(txn->record->state);
}

int transaction_write(struct transaction *txn, enum participant_state state, struct error *err)
{
    if (disk_is_full)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "the disk is full");
    txn->record->state = (char *)participant_state_name(state);
    return 0;
}

bool transaction_is_superseded(const struct transaction *txn)
{
    (void)txn;
    return false;
}

bool copies_incomplete(const struct transaction *txn)
{
    (void)txn;
    return false;
}

uint64_t records_generation(struct records *records, const char *guest)
{
    (void)records, (void)guest;
    return 0;
}

int transactions_admit_epoch(struct transactions *all, uint64_t epoch, struct error *err)
{
    (void)all, (void)epoch, (void)err;
    return 0;
}

void turn_take(struct operation *op)
{
    (void)op;
}

void transfer_start(struct transaction *txn, bool adopt)
{
    (void)txn, (void)adopt;
}

void transfer_stepped(struct transaction *txn)
{
    (void)txn;
}

void handover_start(struct transaction *txn)
{
    (void)txn;
}

void receivers_stop(struct transactions *all, const char *id)
{
    (void)all, (void)id;
}

struct disk_sender *disk_sender_free(struct disk_sender *sender)
{
    return sender;
}

/* ---- tests ---- */

struct fixture {
    struct agent agent;
    struct transactions all;
    struct transaction txn;
    struct operation op;
    Drover__V1__Definition definition;
};

static int setup(void **state)
{
    struct fixture *f = new0(struct fixture);
    f->agent.libvirt = (struct libvirt *)f; /* it is only handed through */
    f->all.agent = &f->agent;
    pthread_mutex_init(&f->all.memory_lock, NULL);
    f->txn.all = f->op.all = &f->all;
    f->txn.role = PARTICIPANT_DESTINATION;
    strcpy(f->txn.guest, GUEST);
    f->txn.record = new0(Drover__V1__Record);
    drover__v1__record__init(f->txn.record);
    f->op.txn = &f->txn;
    disk_is_full = false;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    f->txn.record->state = NULL; /* a static text */
    f->txn.record->definition = NULL;
    drover__v1__record__free_unpacked(f->txn.record, NULL);
    free(f);
    return 0;
}

static bool owes(const struct fixture *f, Drover__V1__Made__Kind kind)
{
    return transaction_has_made(&f->txn, kind);
}

/* What a failed write was to say holds for no later one: the image dies, and its copied disks are to be removed. */
static void a_write_that_fails_leaves_the_manifest_as_it_was(void **state)
{
    struct fixture *f = *state;
    struct outcome out;
    struct error err = {0};
    f->txn.record->state = (char *)"PREPARED";
    transaction_made(&f->txn, DROVER__V1__MADE__KIND__RESERVATION, "memory");
    transaction_made(&f->txn, DROVER__V1__MADE__KIND__IMAGE, "/srv/web1.qcow2");
    drover__v1__definition__init(&f->definition);
    f->definition.persistent = true;
    f->txn.record->definition = &f->definition;
    seen = PARTICIPANT_PAUSED;
    disk_is_full = true;
    assert_int_equal(drive_step(&f->op, PARTICIPANT_ACTIVATE, 0, &out, &err),
                     -(int)STATUS_RESOURCE_EXHAUSTED);
    assert_true(owes(f, DROVER__V1__MADE__KIND__IMAGE));
    assert_false(transaction_had_made(&f->txn, DROVER__V1__MADE__KIND__DEFINITION));
    disk_is_full = false;
    seen = PARTICIPANT_ABSENT;
    assert_int_equal(drive_step(&f->op, PARTICIPANT_ACTIVATE, 0, &out, &err), 0);
    assert_int_equal(transaction_state(&f->txn), PARTICIPANT_TOMBSTONE);
    assert_int_equal(out.answer, PARTICIPANT_IS_LOST);
    assert_true(owes(f, DROVER__V1__MADE__KIND__IMAGE));
}

/* As long as it is open: others would be given the room, else. */
static void a_write_that_fails_leaves_the_memory_reserved(void **state)
{
    struct fixture *f = *state;
    struct outcome out;
    struct error err = {0};
    f->txn.record->state = (char *)"PREPARED";
    assert_int_equal(transaction_reserve(&f->txn, 1000, 1000), 0);
    assert_int_equal(transaction_reserve_hugepages(&f->txn, 500, 500), 0);
    seen = PARTICIPANT_ABSENT;
    disk_is_full = true;
    assert_true(drive_step(&f->op, PARTICIPANT_ABORT, 0, &out, &err) < 0);
    assert_int_equal(f->all.memory_reserved, 1000);
    assert_int_equal(f->all.hugepages_reserved, 500);
    disk_is_full = false;
    assert_int_equal(drive_step(&f->op, PARTICIPANT_ABORT, 0, &out, &err), 0);
    assert_int_equal(f->all.memory_reserved, 0);
    assert_int_equal(f->all.hugepages_reserved, 0);
}

static void an_owners_disks_are_its_guests(void **state)
{
    struct fixture *f = *state;
    struct outcome out;
    f->txn.record->state = (char *)"PREPARED";
    transaction_made(&f->txn, DROVER__V1__MADE__KIND__IMAGE, "/srv/web1.qcow2");
    seen = PARTICIPANT_PAUSED;
    assert_int_equal(drive_step(&f->op, PARTICIPANT_ACTIVATE, 0, &out, NULL), 0);
    assert_int_equal(transaction_state(&f->txn), PARTICIPANT_ACTIVATED);
    assert_false(owes(f, DROVER__V1__MADE__KIND__IMAGE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_write_that_fails_leaves_the_manifest_as_it_was, setup, teardown),
        cmocka_unit_test_setup_teardown(a_write_that_fails_leaves_the_memory_reserved, setup, teardown),
        cmocka_unit_test_setup_teardown(an_owners_disks_are_its_guests, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
