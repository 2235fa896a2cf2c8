/* drover maintenance --rolling, against the hosts of cli_fake_fleet.c: what is run for whom, what stops it, and how to go on.
 * Scripts of the tests are the operator's commands. */
#include "cli/exits.h"
#include "common/base/cleanup.h"
#include "common/base/loop.h"
#include "common/base/memory.h"
#include "tests/unit/cli_operator.h"
#include "tests/unit/cli_run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>

static char *rolling(const char *hosts, const char *more)
{
    return xasprintf("maintenance --rolling %s --exec %s/reboot%s%s", hosts, dir, *more ? " " : "", more);
}

#define REBOOT "echo booting; echo second-boot-$$ >$DROVER_HOST.boot"

static void hosts_one_after_the_other(void **state)
{
    (void)state;
    struct cli_run r;
    script("reboot", REBOOT);
    _cleanup_free_ char *line = rolling("hv1,hv2 hv3", "--reboots");
    run(&r, line);
    assert_int_equal(r.exit, EXIT_DONE);
    assert_in_order(r.out,
                    (const char *const[]){"hv1: hv1 is empty: libvirt there has no guest",
                                          "hv1: is in maintenance and empty; runs: ", "hv1 | booting",
                                          "hv1: is back, and ready: its boot id is another one than before",
                                          "hv1: hv1 is filled", "hv1: done", "hv2 | booting", "hv2: done",
                                          "hv3 | booting", "hv3: done",
                                          "hv1: out of maintenance; the command has been run.", NULL});
    assert_null(strstr(r.out, "To go on"));
    assert_noted("hv1 10.0.0.11 tokyo\nhv2 10.0.0.11 tokyo\nhv3 10.0.0.11 tokyo\n");
}

static void usage(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"maintenance --rolling hv1", "--exec CMD is missing"},
        {"maintenance --rolling hv1,hv1 --exec x", "hv1 is named twice"},
        {"maintenance --rolling hv1,,hv2 --exec x", "is no list of hosts"},
        {"maintenance --rolling hv1,hv2 --exec x --to hv2", "it is to be emptied itself"},
        {"maintenance --rolling hv1 --exec x --parallel 0", "--parallel"},
        {"maintenance --rolling hv1 --exec x --back-timeout soon", "--back-timeout"},
        {"maintenance --roling hv1 --exec x", "Usage: drover maintenance"},
        {"consolidate --power-off-hook x --detach", "which --detach ends"},
        {"consolidate --power-off-hook x --exec-timeout 0s", "more than nothing"},
        {"consolidate --exec-timeout 1m", "--exec-timeout goes with --power-off-hook"},
        {"consolidate --headroom 100", "0% to 99%"},
        {"consolidate --headroom much", "0% to 99%"},
        {"consolidate --headroom -5", "0% to 99%"},
        {"evacuate hv1 --window 30m", "--window goes with --dry-run"},
        {"move --from a --to b --window 2h --detach", "--window goes with --dry-run"},
        {"check web1 --to hv2 --markdown", "--markdown goes with --explain all"},
        {"check --explain memory-free --markdown", "--markdown goes with --explain all"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cli_run r;
        run(&r, cases[i][0]);
        assert_int_equal(r.exit, EXIT_USAGE);
        assert_string_equal(r.out, "");
        assert_has(r.err, i == 6 ? "maintenance" : cases[i][1]);
    }
    struct cli_run r;
    run(&r, "maintenance --rolling --help");
    assert_int_equal(r.exit, EXIT_DONE);
    assert_has(r.out, "--exec CMD");
}

static void nothing_moves_when_a_host_is_not_as_it_must_be(void **state)
{
    (void)state;
    struct cli_run r;
    script("reboot", REBOOT);
    _cleanup_free_ char *unknown = rolling("hv1,hvx", ""), *down = rolling("hv1,hv2", ""),
                        *old = rolling("hv1,hv3", "--reboots");
    run(&r, unknown);
    assert_int_equal(r.exit, EXIT_REFUSED);
    assert_has(r.err, "there is no host 'hvx'; near: hv1");
    put("hv2.down", "", 0644);
    run(&r, down);
    assert_int_equal(r.exit, EXIT_REFUSED);
    assert_has(r.err, "hv2: its agent has no session (connection refused)");
    put("hv3.boot", "\n", 0644);
    run(&r, old);
    assert_int_equal(r.exit, EXIT_REFUSED);
    assert_has(r.err, "does not tell the kernel's boot id");
    assert_noted("");
}

/* Such a host would be emptied, and then be waited for in vain. */
static void nothing_begins_while_the_doctor_has_something_against_a_host(void **state)
{
    (void)state;
    struct cli_run r;
    script("reboot", REBOOT);
    put("hv2.blocked", "", 0644);
    _cleanup_free_ char *line = rolling("hv1,hv2", "--reboots"),
                        *json = rolling("hv1,hv2", "--reboots --json");
    const char *const lines[] = {line, "maintenance --rolling hv1,hv2 --dry-run"};
    for (size_t i = 0; i < 2; i++) {
        run(&r, lines[i]);
        assert_int_equal(r.exit, EXIT_REFUSED);
        assert_string_equal(r.out, "");
        assert_has(r.err, "mount-hangs");
        assert_has(r.err, "Do: mend it");
        assert_has(r.err, "hv2 would not count as back afterwards: the doctor has mount-hangs against it");
    }
    run(&r, json);
    assert_int_equal(r.exit, EXIT_REFUSED);
    json_t *document = json_of(&r);
    assert_has(json_string_value(json_object_get(json_object_get(document, "error"), "text")), "mount-hangs");
    json_decref(document);
    drop("hv2.blocked");
    put("hv2.silent", "", 0644);
    run(&r, line);
    assert_int_equal(r.exit, EXIT_UNREACHABLE);
    assert_has(r.err, "hv2: the doctor can't be asked whether it would count as back");
    assert_noted("");
}

static void a_dry_run_says_the_order_and_who_is_stuck(void **state)
{
    (void)state;
    struct cli_run r;
    put("hv2.stuck", "", 0644);
    run(&r, "maintenance --rolling hv1,hv2 --dry-run");
    assert_int_equal(r.exit, EXIT_REFUSED);
    assert_in_order(r.out, (const char *const[]){"1. hv1 can be emptied",
                                                 "2. hv2 can't be emptied: 1 of 1 guests would stay",
                                                 "web1 stays on hv2: a host device", "Do: detach it", NULL});
}

static void a_drill_refuses_what_it_does_not_know(void **state)
{
    (void)state;
    struct cli_run r;
    run(&r, "drill hv1");
    assert_int_equal(r.exit, EXIT_DONE);
    assert_has(r.out, "hv1 can be emptied");
    put("hv1.leaving", "", 0644);
    run(&r, "drill hv1");
    assert_has(r.out, "note: job 7 is under way\n");
    run(&r, "drill hv1x");
    assert_int_equal(r.exit, EXIT_REFUSED);
    assert_has(r.err, "there is no host 'hv1x'; near: hv1");
    assert_string_equal(r.out, "");
    put("hv1.lost", "", 0644);
    put("hv2.stuck", "", 0644);
    run(&r, "drill hv1");
    assert_int_equal(r.exit, EXIT_UNREACHABLE);
    run(&r, "maintenance --rolling hv2,hv1,hv3 --dry-run");
    assert_int_equal(r.exit, EXIT_UNREACHABLE);
    assert_null(strstr(r.out, "hv3"));
    /* One document, whatever becomes of the hosts. */
    run(&r, "maintenance --rolling hv2,hv1 --dry-run --json");
    assert_int_equal(r.exit, EXIT_UNREACHABLE);
    json_t *document = json_of(&r), *hosts = json_object_get(document, "hosts"),
           *lost = json_array_get(hosts, 1);
    assert_int_equal(json_array_size(hosts), 2);
    assert_string_equal(json_string_value(json_object_get(lost, "source")), "hv1");
    assert_string_equal(json_string_value(json_object_get(json_object_get(lost, "error"), "code")),
                        "UNAVAILABLE");
    json_decref(document);
    run(&r, "drill --json --coordinator ipc:///nowhere");
    assert_int_equal(r.exit, EXIT_UNREACHABLE);
    document = json_of(&r);
    assert_non_null(json_object_get(document, "error"));
    json_decref(document);
}

static void a_host_that_cannot_be_emptied_stops_it_before_the_command(void **state)
{
    (void)state;
    struct cli_run r;
    script("reboot", REBOOT);
    put("hv2.stuck", "", 0644);
    _cleanup_free_ char *line = rolling("hv1,hv2,hv3", "--reboots --exec-timeout 1m");
    _cleanup_free_ char *go_on =
        xasprintf("To go on: drover maintenance --rolling hv2,hv3 --exec %s/reboot --reboots "
                  "--exec-timeout 1m\n",
                  dir);
    run(&r, line);
    assert_int_equal(r.exit, EXIT_PARTLY);
    assert_has(r.out, "hv2: STOPPED: it can't be emptied: 1 of 1 guests would stay");
    assert_has(r.out, "hv3: as it was; the command was not run.");
    assert_has(r.out, go_on);
    assert_noted("hv1 10.0.0.11 tokyo\n");
    drop("hv2.stuck");
    /* Says a dry run that they can, and one stays all the same: not proven empty. */
    put("hv2.stays", "", 0644);
    _cleanup_free_ char *again = rolling("hv2,hv3", "--reboots");
    run(&r, again);
    assert_int_equal(r.exit, EXIT_PARTLY);
    assert_has(r.out, "hv2: in maintenance, and not proven empty; the command was not run.");
    assert_has(r.out, "drover return hv2");
    assert_noted("hv1 10.0.0.11 tokyo\n");
    drop("hv2.stays");
    run(&r, again);
    assert_int_equal(r.exit, EXIT_DONE);
    assert_noted("hv1 10.0.0.11 tokyo\nhv2 10.0.0.11 tokyo\nhv3 10.0.0.11 tokyo\n");
}

static void a_guest_that_is_not_well_stops_it(void **state)
{
    (void)state;
    struct cli_run r;
    script("reboot", REBOOT);
    put("hv1.ill", "", 0644);
    _cleanup_free_ char *line = rolling("hv1,hv2", "");
    run(&r, line);
    assert_int_equal(r.exit, EXIT_PARTLY);
    assert_has(r.out, "hv1:   web1 is not well on hv4: disk vda: no space");
    assert_has(r.out, "hv1: STOPPED: web1 is not well on hv4: disk vda: no space");
    assert_noted("");
    run(&r, "maintenance off hv1");
}

static void a_command_that_fails_stops_it(void **state)
{
    (void)state;
    struct cli_run r;
    script("reboot", "[ $DROVER_HOST = hv1 ] || exit 0\necho 'no space left' >&2; exit 3");
    _cleanup_free_ char *line = rolling("hv1,hv2", "--steady 1ms");
    run(&r, line);
    assert_int_equal(r.exit, EXIT_FAILED);
    assert_in_order(r.out, (const char *const[]){
                               "hv1 | no space left", "hv1: STOPPED: the command ended with status 3",
                               "hv1: in maintenance and empty; the command was begun, and did not succeed.",
                               "to leave it: drover return hv1", "hv2: as it was",
                               "To go on: drover maintenance --rolling hv1,hv2 --exec ", NULL});
    assert_noted("hv1 10.0.0.11 tokyo\n");
    /* The same again: it is empty already, and libvirt is asked all the same. */
    script("reboot", "");
    run(&r, line);
    assert_int_equal(r.exit, EXIT_DONE);
    assert_has(r.out, "its boot id is the same as before: IT WAS NOT REBOOTED");
}

static void a_command_that_does_not_end_is_ended(void **state)
{
    (void)state;
    struct cli_run r;
    script("reboot", "while :; do sleep 0.1; done");
    _cleanup_free_ char *line = rolling("hv1", "--exec-timeout 300ms"),
                        *back = rolling("hv1", "--steady 1ms");
    run(&r, line);
    assert_int_equal(r.exit, EXIT_FAILED);
    assert_has(r.out, "the command had not ended after 300 ms, and was ended");
    script("reboot", "");
    run(&r, back);
    assert_int_equal(r.exit, EXIT_DONE);
}

static void a_host_that_does_not_come_back_stops_it(void **state)
{
    (void)state;
    struct cli_run r;
    script("reboot", ""); /* returns at once, and the old system goes on answering */
    _cleanup_free_ char *line = rolling("hv1,hv2", "--reboots --back-timeout 3s");
    run(&r, line);
    assert_int_equal(r.exit, EXIT_FAILED);
    assert_in_order(
        r.out, (const char *const[]){"hv1: not back yet: it still has the boot id that it had before",
                                     "hv1: STOPPED: it is not back after 3.0 s: it still has the boot id",
                                     "once it is back (drover doctor hv1): drover return hv1",
                                     "To go on: drover maintenance --rolling hv2 --exec", NULL});
    assert_noted("hv1 10.0.0.11 tokyo\n");
    script("reboot", REBOOT "; touch $DROVER_HOST.blocked");
    run(&r, line);
    assert_int_equal(r.exit, EXIT_FAILED);
    assert_has(r.out, "it is not back after 3.0 s: mount-hangs: seen /srv/nfs does not answer. Do: mend it");
    drop("hv1.blocked");
    run(&r, "maintenance off hv1");
}

/* What was ordered is asked for again; and it has been done. */
static void a_return_that_has_ended_unheard_is_one(void **state)
{
    (void)state;
    struct cli_run r;
    script("reboot", REBOOT);
    put("hv1.unheard", "", 0644);
    _cleanup_free_ char *line = rolling("hv1,hv2", "--reboots");
    run(&r, line);
    assert_in_order(r.out, (const char *const[]){"hv1: is back, and ready", "hv1: done", "hv2: done",
                                                 "hv1: out of maintenance; the command has been run.", NULL});
}

static void hosts_in_parallel_where_there_is_room(void **state)
{
    (void)state;
    struct cli_run r;
    /* hv1's command ends only when hv2's has begun; hv3 can't be emptied before both are done. */
    script("reboot", "echo x >$DROVER_HOST.boot\n"
                     "[ $DROVER_HOST = hv1 ] || exit 0\n"
                     "until grep -q hv2 noted; do sleep 0.02; done\n");
    put("hv3.crowded", "", 0644);
    _cleanup_free_ char *line = rolling("hv1,hv2,hv3", "--reboots --parallel 2 --exec-timeout 10s");
    run(&r, line);
    assert_int_equal(r.exit, EXIT_DONE);
    char noted[4096]; /* the first two begin together: on a busy machine, either is first */
    read_noted(noted);
    if (!streq(noted, "hv2 10.0.0.11 tokyo\nhv1 10.0.0.11 tokyo\nhv3 10.0.0.11 tokyo\n"))
        assert_string_equal(noted, "hv1 10.0.0.11 tokyo\nhv2 10.0.0.11 tokyo\nhv3 10.0.0.11 tokyo\n");
}

static void an_interrupt_leaves_everything_as_it_is(void **state)
{
    (void)state;
    struct cli_run r;
    script("reboot", "until [ -e go ]; do sleep 0.02; done; echo well done");
    _cleanup_free_ char *line = rolling("hv1,hv2", "--reboots");
    /* While guests move: the job goes on, and the same command joins it. */
    put("hv1.slow", "", 0644);
    start(&r, line);
    assert_true(wait_for(&r, "hv1: web1 moves"));
    kill(r.pid, SIGINT);
    end(&r);
    assert_int_equal(r.exit, EXIT_INTERRUPTED);
    assert_has(r.out, "hv1: in maintenance; it is being emptied; the command was not run.");
    assert_has(r.out, "its evacuation, which goes on, is job ");
    assert_has(r.out, "To go on: drover maintenance --rolling hv1,hv2 ");
    start(&r, line);
    assert_true(wait_for(&r, "hv1: is emptied by job "));
    drop("hv1.slow");
    /* While the command runs: it is waited for. */
    assert_true(wait_for(&r, "runs: "));
    kill(r.pid, SIGINT);
    assert_true(wait_for(&r, "interrupt once more to end it"));
    put("go", "", 0644);
    end(&r);
    assert_int_equal(r.exit, EXIT_INTERRUPTED);
    assert_in_order(r.out, (const char *const[]){
                               "hv1 | well done", "the command has ended well",
                               "hv1: in maintenance, its guests run elsewhere; the command has been run.",
                               "hv2: as it was", "To go on: drover maintenance --rolling hv2 ", NULL});
    drop("go");
    script("reboot", "trap 'echo asked to end; exit 0' TERM\necho begun\nwhile :; do sleep 0.1; done");
    start(&r, line);
    assert_true(wait_for(&r, "hv1 | begun"));
    kill(r.pid, SIGINT);
    assert_true(wait_for(&r, "interrupt once more to end it"));
    kill(r.pid, SIGINT);
    end(&r);
    assert_int_equal(r.exit, EXIT_INTERRUPTED);
    assert_in_order(r.out, (const char *const[]){"hv1 | asked to end",
                                                 "the command was ended by a second interrupt", NULL});
    run(&r, "maintenance off hv1");
}

static void events_as_json(void **state)
{
    (void)state;
    struct cli_run r;
    script("reboot", "echo booting; exit 3");
    _cleanup_free_ char *line = rolling("hv1,hv2", "--json");
    run(&r, line);
    assert_int_equal(r.exit, EXIT_FAILED);
    json_t *last = NULL;
    char *rest = NULL;
    bool output = false;
    for (char *one = strtok_r(r.out, "\n", &rest); one; one = strtok_r(NULL, "\n", &rest)) {
        json_decref(last);
        last = json_loads(one, 0, NULL);
        assert_non_null(last);
        const char *event = json_string_value(json_object_get(last, "event"));
        assert_non_null(event);
        output = output || (streq(event, "output") &&
                            streq(json_string_value(json_object_get(last, "text")), "booting"));
    }
    assert_true(output);
    assert_string_equal(json_string_value(json_object_get(last, "event")), "end");
    assert_int_equal(json_integer_value(json_object_get(last, "exit")), EXIT_FAILED);
    assert_int_equal(json_array_size(json_object_get(last, "hosts")), 2);
    json_t *first = json_array_get(json_object_get(last, "hosts"), 0);
    assert_string_equal(json_string_value(json_object_get(first, "phase")), "runs");
    assert_true(json_is_true(json_object_get(first, "stopped")));
    assert_has(json_string_value(json_object_get(last, "again")),
               "drover maintenance --rolling hv1,hv2 --exec ");
    json_decref(last);
    run(&r, "maintenance off hv1");
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(usage, clean),
        cmocka_unit_test_setup(hosts_one_after_the_other, clean),
        cmocka_unit_test_setup(nothing_moves_when_a_host_is_not_as_it_must_be, clean),
        cmocka_unit_test_setup(nothing_begins_while_the_doctor_has_something_against_a_host, clean),
        cmocka_unit_test_setup(a_dry_run_says_the_order_and_who_is_stuck, clean),
        cmocka_unit_test_setup(a_drill_refuses_what_it_does_not_know, clean),
        cmocka_unit_test_setup(a_host_that_cannot_be_emptied_stops_it_before_the_command, clean),
        cmocka_unit_test_setup(a_guest_that_is_not_well_stops_it, clean),
        cmocka_unit_test_setup(a_command_that_fails_stops_it, clean),
        cmocka_unit_test_setup(a_command_that_does_not_end_is_ended, clean),
        cmocka_unit_test_setup(a_host_that_does_not_come_back_stops_it, clean),
        cmocka_unit_test_setup(a_return_that_has_ended_unheard_is_one, clean),
        cmocka_unit_test_setup(hosts_in_parallel_where_there_is_room, clean),
        cmocka_unit_test_setup(an_interrupt_leaves_everything_as_it_is, clean),
        cmocka_unit_test_setup(events_as_json, clean),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
