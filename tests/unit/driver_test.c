#include "driver_fixture.h"

#include "common/base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* The disk under the journal: so many writes fail. */
static unsigned disk_failures;
int __real_store_put_job(struct store *store, Drover__V1__Job *job, const void *txn, size_t size,
                         struct error *err);
int __wrap_store_put_job(struct store *store, Drover__V1__Job *job, const void *txn, size_t size,
                         struct error *err);

int __wrap_store_put_job(struct store *store, Drover__V1__Job *job, const void *txn, size_t size,
                         struct error *err)
{
    if (disk_failures) {
        disk_failures--;
        return error_set(err, STATUS_UNAVAILABLE, "the disk is out of order");
    }
    return __real_store_put_job(store, job, txn, size, err);
}

static struct agent *kvm1(struct fixture *f)
{
    return &f->agents[0];
}

static struct agent *kvm2(struct fixture *f)
{
    return &f->agents[1];
}

static void the_source_keeps_it(struct fixture *f)
{
    for (unsigned i = 0; i < 3; i++)
        kvm1(f)->outcome[i] = DROVER__V1__OUTCOME__KEPT;
    kvm1(f)->has_guest = true;
    kvm1(f)->guest_state = DROVER__V1__GUEST_STATE__GUEST_RUNNING;
    kvm2(f)->has_guest = false;
}

static void expect(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("expected \"%s\" in: %s", part, text);
}

static unsigned times_logged(const Drover__V1__Job *job, const char *part)
{
    unsigned n = 0;
    for (size_t i = 0; i < job->n_log; i++)
        n += strstr(job->log[i]->text, part) != NULL;
    return n;
}

static bool logged(const Drover__V1__Job *job, const char *part)
{
    return times_logged(job, part) > 0;
}

#define GOOD                                                                                                 \
    "kvm1 PREPARE +0;kvm2 PREPARE +0;kvm1 MIGRATE +0;kvm1 SETTLE +0;kvm2 ACTIVATE +0;kvm1 RELEASE +0;kvm2 "  \
    "RELEASE +0;"

static void a_guest_moves(void **state)
{
    struct fixture *f = *state;
    uint64_t id = fixture_order(f, DROVER__V1__MODE__MODE_LIVE);
    assert_int_equal(driver_job(f->driver, id)->state, DROVER__V1__JOB_STATE__JOB_RUNNING);
    assert_string_equal(driver_job_of_guest(f->driver, GUEST_UUID)->guest, "web1");
    fixture_run(f, fixture_ended);
    if (strcmp(f->trace, GOOD) != 0)
        expect(f->trace, "kvm2 ACTIVATE +0;kvm2 RELEASE +0;kvm1 RELEASE +0;");
    assert_string_equal(kvm2(f)->definition, "<domain/>");
    assert_string_equal(kvm2(f)->peer, "kvm1");
    assert_string_equal(kvm1(f)->peer, "tcp://10.0.1.12"); /* as the destination voted */
    const Drover__V1__Job *job = f->end;
    assert_int_equal(job->state, DROVER__V1__JOB_STATE__JOB_DONE);
    assert_string_equal(job->phase, "done");
    assert_string_equal(job->runs_on, "kvm2");
    expect(job->text, "web1 runs on kvm2 (moved from kvm1 in ");
    expect(job->text, ", paused 61 ms, 312 MiB)");
    assert_string_equal(job->todo, "");
    assert_int_equal(job->result->handover, 14);
    assert_true(job->result->total >= 0);
    assert_true(logged(job, "waits: 12 MiB left, shrinking"));
    assert_int_equal(job->progress->bytes_done, 4711);
    Drover__V1__Job *stored;
    assert_int_equal(store_get_job(f->store, id, &stored, NULL), 0);
    assert_string_equal(stored->text, job->text);
    drover__v1__job__free_unpacked(stored, NULL);
    assert_int_equal(driver_jobs(f->driver, NULL, 0), 0);
    char *text = NULL;
    struct error err = {0};
    assert_int_equal(driver_cancel(f->driver, id, "oncall", &text, &err), -STATUS_NOT_FOUND);
    assert_null(driver_watch(f->driver, id, NULL, NULL));
}

static void a_hook_that_failed_is_told_and_changes_nothing(void **state)
{
    struct fixture *f = *state;
    kvm1(f)->hooks_run = 3;
    kvm1(f)->hook_note = "done hook 10-dns on kvm1 failed, which changes nothing: status 1";
    fixture_order(f, DROVER__V1__MODE__MODE_LIVE);
    fixture_run(f, fixture_ended);
    assert_int_equal(f->end->state, DROVER__V1__JOB_STATE__JOB_DONE);
    assert_int_equal(kvm1(f)->hooks_run, 0);
    assert_true(logged(f->end, "done hook 10-dns on kvm1"));
    assert_int_equal(f->end->n_findings, 1);
    assert_string_equal(f->end->findings[0]->id, "hook");
    assert_int_equal(f->end->findings[0]->severity, DROVER__V1__SEVERITY__WARN);
}

static void a_shut_off_guest_moves(void **state)
{
    struct fixture *f = *state;
    kvm2(f)->guest_state = DROVER__V1__GUEST_STATE__GUEST_SHUTOFF;
    fixture_order(f, DROVER__V1__MODE__MODE_DEFINITION);
    fixture_run(f, fixture_ended);
    expect(f->end->text, "web1 is shut off on kvm2 (moved from kvm1");
    assert_string_equal(f->end->runs_on, "kvm2");
}

static void a_guest_that_died_after_the_handover_is_not_said_to_run(void **state)
{
    struct fixture *f = *state;
    kvm2(f)->guest_state = DROVER__V1__GUEST_STATE__GUEST_SHUTOFF;
    fixture_order(f, DROVER__V1__MODE__MODE_LIVE);
    fixture_run(f, fixture_ended);
    expect(f->end->text, "web1 is shut off on kvm2 (moved from kvm1");
    expect(f->end->text, "it ran there, and has ended since");
    expect(f->end->todo, "/var/log/libvirt/qemu/web1.log on kvm2");
    assert_string_equal(f->end->runs_on, "kvm2");
}

static bool transfer_is_on(struct fixture *f)
{
    return kvm1(f)->asked[MIGRATE] > 0;
}

static void one_open_job_per_guest(void **state)
{
    struct fixture *f = *state;
    kvm1(f)->silent[MIGRATE] = true;
    uint64_t id = fixture_order(f, DROVER__V1__MODE__MODE_LIVE);
    struct migration_order order = {
        .guest_uuid = GUEST_UUID, .guest_name = "web1", .source = "kvm1", .destination = "kvm3"};
    struct error err = {0};
    uint64_t other = 0;
    assert_int_equal(driver_migrate(f->driver, &order, &other, &err), -STATUS_FAILED_PRECONDITION);
    char want[64];
    snprintf(want, sizeof(want), "wait for job %llu", (unsigned long long)id);
    expect(err.text, want);
    assert_int_equal(other, 0);
    order.guest_uuid = "another";
    order.destination = "kvm1";
    assert_int_equal(driver_migrate(f->driver, &order, &other, &err), -STATUS_INVALID_ARGUMENT);
    fixture_run(f, transfer_is_on);
}

static bool destination_was_asked_to_abort(struct fixture *f)
{
    return kvm2(f)->asked[ABORT] > 0;
}

static bool is_prepared_anew(struct fixture *f)
{
    return kvm1(f)->asked[PREPARE] == 2;
}

/* A destination that is gone for good: the source has kept the guest, which is not to wait for it. */
static void a_guest_that_was_kept_goes_elsewhere_meanwhile(void **state)
{
    struct fixture *f = *state;
    the_source_keeps_it(f);
    kvm1(f)->transfer_error = "connection reset";
    kvm2(f)->silent[ABORT] = true;
    uint64_t old = fixture_order(f, DROVER__V1__MODE__MODE_LIVE), other = 0;
    fixture_run(f, destination_was_asked_to_abort);
    struct migration_order order = {
        .guest_uuid = GUEST_UUID, .guest_name = "web1", .source = "kvm1", .destination = "kvm2"};
    struct error err = {0};
    assert_int_equal(driver_in_the_way(f->driver, GUEST_UUID, "kvm1", "kvm2")->id, old);
    assert_int_equal(driver_migrate(f->driver, &order, &other, &err), -STATUS_FAILED_PRECONDITION);
    expect(err.text, "kvm2 has still to clear away what job 1 left of web1 there");
    assert_non_null(driver_in_the_way(f->driver, GUEST_UUID, "kvm2", "kvm3"));
    assert_null(driver_in_the_way(f->driver, GUEST_UUID, "kvm1", "kvm3"));
    assert_null(driver_in_the_way(f->driver, GUEST_UUID, "kvm1", NULL));
    assert_int_equal(driver_outcome(f->driver, old),
                     DROVER__V1__JOB_STATE__JOB_UNSET); /* it may end any moment */
    order.destination = "kvm3";
    assert_int_equal(driver_migrate(f->driver, &order, &other, &err), 0);
    assert_int_equal(driver_job_of_guest(f->driver, GUEST_UUID)->id, other);
    assert_int_equal(driver_migrate(f->driver, &order, &other, &err), -STATUS_FAILED_PRECONDITION);
    expect(err.text, "web1 is being migrated already, from kvm1 to kvm3");
    fixture_run(f, is_prepared_anew);
    /* Each is taken up again, and the old one ends when its host is back. */
    kvm2(f)->silent[ABORT] = false;
    fixture_restart(f);
    assert_int_equal(driver_jobs(f->driver, NULL, 0), 2);
    fixture_run(f, fixture_ended);
    assert_int_equal(f->end->id, old);
    assert_int_equal(f->end->state, DROVER__V1__JOB_STATE__JOB_FAILED);
    assert_int_equal(driver_job_of_guest(f->driver, GUEST_UUID)->id, other);
}

static void a_no_keeps_all_findings(void **state)
{
    struct fixture *f = *state;
    the_source_keeps_it(f);
    kvm2(f)->votes_no = true;
    fixture_order(f, DROVER__V1__MODE__MODE_LIVE);
    fixture_run(f, fixture_ended);
    assert_string_equal(f->trace, "kvm1 PREPARE +0;kvm2 PREPARE +0;kvm1 SETTLE +0;kvm2 ABORT +0;");
    assert_int_equal(f->end->state, DROVER__V1__JOB_STATE__JOB_FAILED);
    assert_int_equal(f->end->n_findings, 2);
    assert_string_equal(f->end->text,
                        "web1 is safe on kvm1: kvm2 can't take part: memory: 1 GiB free (expected: 2 GiB) "
                        "(and 1 more)");
    assert_string_equal(f->end->todo, "free memory");
    assert_string_equal(f->end->runs_on, "kvm1");
}

static void a_failed_transfer_is_settled(void **state)
{
    struct fixture *f = *state;
    the_source_keeps_it(f);
    kvm1(f)->transfer_error = "unable to connect to 10.0.1.12";
    fixture_order(f, DROVER__V1__MODE__MODE_LIVE);
    fixture_run(f, fixture_ended);
    assert_string_equal(f->end->text,
                        "web1 is safe on kvm1: the transfer ended: unable to connect to 10.0.1.12");
    assert_int_equal(kvm2(f)->asked[ABORT], 1);
    assert_int_equal(kvm2(f)->asked[ACTIVATE], 0);
}

static void cancel_in_the_transfer(void **state)
{
    struct fixture *f = *state;
    the_source_keeps_it(f);
    kvm1(f)->silent[MIGRATE] = true;
    uint64_t id = fixture_order(f, DROVER__V1__MODE__MODE_LIVE);
    fixture_run(f, transfer_is_on);
    _cleanup_free_ char *text = NULL;
    char *untouched = NULL;
    struct error err = {0};
    assert_int_equal(driver_cancel(f->driver, id, "oncall", &text, &err), 0);
    expect(text, "the transfer is stopped and web1 stays on kvm1");
    assert_int_equal(driver_cancel(f->driver, id, "oncall", &untouched, &err), -STATUS_FAILED_PRECONDITION);
    expect(err.text, "too late to cancel");
    assert_null(untouched);
    fixture_run(f, fixture_ended);
    assert_int_equal(f->end->state, DROVER__V1__JOB_STATE__JOB_CANCELLED);
    assert_string_equal(f->end->text, "web1 is safe on kvm1: cancelled by oncall");
}

static void settle_is_asked_until_answered(void **state)
{
    struct fixture *f = *state;
    kvm1(f)->refuse[SETTLE] = 1;
    kvm1(f)->outcome[0] = kvm1(f)->outcome[1] = DROVER__V1__OUTCOME__OUTCOME_UNKNOWN;
    kvm2(f)->refuse[ACTIVATE] = 1;
    kvm2(f)->refuse[RELEASE] = 1;
    kvm1(f)->activated_by_mesh = false;
    fixture_order(f, DROVER__V1__MODE__MODE_LIVE);
    fixture_run(f, fixture_ended);
    assert_int_equal(kvm1(f)->asked[SETTLE], 3);
    assert_int_equal(kvm2(f)->asked[ACTIVATE], 2);
    assert_int_equal(kvm1(f)->asked[RELEASE], 1);
    assert_int_equal(kvm2(f)->asked[RELEASE], 2);
    assert_int_equal(f->end->state, DROVER__V1__JOB_STATE__JOB_DONE);
    assert_true(f->end->result->handover >=
                200); /* nobody but the coordinator woke it, and that was refused once */
    assert_true(f->end->result->pause >= 247);
}

static void a_lost_image_is_started_anew(void **state)
{
    struct fixture *f = *state;
    kvm2(f)->activation = DROVER__V1__ACTIVATION__LOST;
    kvm2(f)->has_guest = false;
    kvm1(f)->has_guest = true;
    kvm1(f)->guest_state = DROVER__V1__GUEST_STATE__GUEST_RUNNING;
    fixture_order(f, DROVER__V1__MODE__MODE_LIVE);
    fixture_run(f, fixture_ended);
    expect(f->trace, "kvm2 ACTIVATE +0;kvm1 COLD_START +1;kvm2 ABORT +0;");
    assert_int_equal(f->end->state, DROVER__V1__JOB_STATE__JOB_FAILED);
    assert_string_equal(f->end->runs_on, "kvm1");
    expect(
        f->end->text,
        "web1 runs on kvm1 (started anew there from its disks: kvm2 lost web1's memory: the image is gone)");
    expect(f->end->todo, "check the guest");
}

static void a_restart_settles_the_transfer(void **state)
{
    struct fixture *f = *state;
    kvm1(f)->silent[MIGRATE] = true;
    fixture_order(f, DROVER__V1__MODE__MODE_LIVE);
    fixture_run(f, transfer_is_on);
    uint64_t epoch = kvm1(f)->last.epoch;
    fixture_restart(f);
    fixture_run(f, fixture_ended);
    assert_int_equal(kvm1(f)->asked[MIGRATE], 1);
    assert_true(kvm1(f)->last.epoch > epoch);
    assert_int_equal(f->end->state, DROVER__V1__JOB_STATE__JOB_DONE);
    assert_true(logged(f->end, "restarted in the transfer phase: settles"));
    assert_true(logged(f->end, "asks kvm1 to prepare")); /* the log goes on where it was */
    assert_int_equal(times_logged(f->end, FIRST_DECISION), 1);
    assert_int_equal(times_logged(f->end, SECOND_DECISION), 1);
    assert_int_equal(f->end->forecast->pause, 61);
}

static bool destination_was_asked_to_release(struct fixture *f)
{
    return kvm2(f)->asked[RELEASE] > 0;
}

static void a_restart_goes_on_with_the_release(void **state)
{
    struct fixture *f = *state;
    kvm2(f)->silent[RELEASE] = true;
    fixture_order(f, DROVER__V1__MODE__MODE_LIVE);
    fixture_run(f, destination_was_asked_to_release);
    kvm2(f)->silent[RELEASE] = false;
    fixture_restart(f);
    fixture_run(f, fixture_ended);
    assert_int_equal(kvm1(f)->asked[SETTLE], 1); /* nothing that is done is done again */
    assert_int_equal(kvm2(f)->asked[ACTIVATE], 1);
    assert_string_equal(f->end->runs_on, "kvm2");
    /* And once it has ended, a restart finds nothing. */
    fixture_restart(f);
    assert_int_equal(driver_jobs(f->driver, NULL, 0), 0);
}

static void a_new_order_needs_the_journal(void **state)
{
    struct fixture *f = *state;
    disk_failures = 1;
    struct migration_order order = {.guest_uuid = GUEST_UUID,
                                    .guest_name = "web1",
                                    .source = "kvm1",
                                    .destination = "kvm2",
                                    .mode = DROVER__V1__MODE__MODE_LIVE};
    struct error err = {0};
    uint64_t job = 0;
    assert_int_equal(driver_migrate(f->driver, &order, &job, &err), -STATUS_UNAVAILABLE);
    assert_string_equal(err.text, "the disk is out of order");
    assert_int_equal(driver_jobs(f->driver, NULL, 0), 0);
    fixture_order(f, DROVER__V1__MODE__MODE_LIVE);
    fixture_run(f, fixture_ended);
    assert_int_equal(kvm1(f)->asked[PREPARE], 1);
}

static bool waits_for_the_disk(struct fixture *f)
{
    return f->end && strstr(f->end->text, "waits for the coordinator's disk: the disk is out of order");
}

static void nothing_is_sent_before_it_is_durable(void **state)
{
    struct fixture *f = *state;
    kvm1(f)->silent[MIGRATE] = true;
    uint64_t id = fixture_order(f, DROVER__V1__MODE__MODE_LIVE);
    fixture_run(f, transfer_is_on);
    disk_failures = 2;
    the_source_keeps_it(f);
    _cleanup_free_ char *text = NULL;
    assert_int_equal(driver_cancel(f->driver, id, "oncall", &text, NULL), 0);
    fixture_run(f, waits_for_the_disk);
    assert_int_equal(kvm1(f)->asked[SETTLE], 0);
    assert_int_equal(disk_failures, 1);
    fixture_run(f, fixture_ended); /* the disk comes back */
    assert_int_equal(disk_failures, 0);
    assert_int_equal(kvm1(f)->asked[SETTLE], 1);
    assert_int_equal(f->end->state, DROVER__V1__JOB_STATE__JOB_CANCELLED);
}

static void both_running_is_said_aloud(void **state)
{
    struct fixture *f = *state;
    kvm1(f)->has_guest = true;
    kvm1(f)->guest_state = DROVER__V1__GUEST_STATE__GUEST_RUNNING;
    fixture_order(f, DROVER__V1__MODE__MODE_LIVE);
    fixture_run(f, fixture_ended);
    expect(f->end->text, "web1 is active on kvm1 AND on kvm2");
    assert_int_equal(f->end->state, DROVER__V1__JOB_STATE__JOB_FAILED);
    assert_string_equal(f->end->runs_on, "");
}

static void a_host_that_cannot_be_asked_at_the_end_is_named(void **state)
{
    struct fixture *f = *state;
    kvm2(f)->refuse[GET_GUEST] = 1;
    kvm1(f)->has_guest = true;
    kvm1(f)->guest_state = DROVER__V1__GUEST_STATE__GUEST_SHUTOFF;
    fixture_order(f, DROVER__V1__MODE__MODE_LIVE);
    fixture_run(f, fixture_ended);
    expect(f->end->text, "kvm2 could not be asked at the end: kvm2 is busy with something else; a definition "
                         "of it is still on "
                         "kvm1");
}

static bool kvm2_is_released(struct fixture *f)
{
    return kvm2(f)->asked[RELEASE] > 0;
}

/* Until every host has told its guests, nobody knows who else uses the images. */
static void copied_images_wait_for_the_fleet_after_the_start(void **state)
{
    struct fixture *f = *state;
    Drover__V1__DiskCopy copy = DROVER__V1__DISK_COPY__INIT, *copies[] = {&copy};
    Drover__V1__Relocation relocation = DROVER__V1__RELOCATION__INIT;
    copy.target = (char *)"vda";
    copy.from = copy.to = (char *)"/srv/vms/web1.qcow2";
    relocation.copies = copies;
    relocation.n_copies = 1;
    f->relocation = &relocation;
    fleet_add_host(&f->fleet, "kvm3", "tokyo", "tcp://127.0.0.1:1");
    fixture_order(f, DROVER__V1__MODE__MODE_LIVE);
    fixture_run(f, kvm2_is_released);
    assert_int_equal(kvm1(f)->asked[RELEASE], 0);
    fleet_host(&f->fleet, "kvm3")->told = true;
    fixture_run(f, fixture_ended);
    assert_int_equal(kvm1(f)->asked[RELEASE], 1);
    assert_int_equal(f->end->state, DROVER__V1__JOB_STATE__JOB_DONE);
}

int main(void)
{
#define story(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        story(a_guest_moves),
        story(a_hook_that_failed_is_told_and_changes_nothing),
        story(a_shut_off_guest_moves),
        story(a_guest_that_died_after_the_handover_is_not_said_to_run),
        story(one_open_job_per_guest),
        story(a_guest_that_was_kept_goes_elsewhere_meanwhile),
        story(a_no_keeps_all_findings),
        story(a_failed_transfer_is_settled),
        story(cancel_in_the_transfer),
        story(settle_is_asked_until_answered),
        story(a_lost_image_is_started_anew),
        story(copied_images_wait_for_the_fleet_after_the_start),
        story(a_restart_settles_the_transfer),
        story(a_restart_goes_on_with_the_release),
        story(a_new_order_needs_the_journal),
        story(nothing_is_sent_before_it_is_durable),
        story(both_running_is_said_aloud),
        story(a_host_that_cannot_be_asked_at_the_end_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
