/* The drover program itself, against the coordinator of cli_fake.c: output, exit codes, and what it does when it is
 * interrupted, on a terminal and elsewhere. */
#include "cli/exits.h"
#include "common/base/cleanup.h"
#include "common/base/memory.h"
#include "tests/unit/cli_run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>

static void usage_is_checked_before_anything_is_asked(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"migrat web1", "did you mean 'drover migrate'?"},
        {"migrate", "expected: drover migrate VM..."},
        {"migrate web1 web1", "named twice"},
        {"migrate web1 --mode fast", "expected auto, live, post-copy or offline"},
        {"migrate web1 --mode postcopy", "expected auto, live, post-copy or offline"},
        {"migrate web1 --max-pause 3", "--max-pause"},
        {"migrate web1 --bandwidth 0B/s", "more than nothing"},
        {"migrate web1 --bandwidth soon", "--bandwidth"},
        {"migrate web1 --allow anything", "expected offline, post-copy and auto-converge"},
        {"migrate web1 --dryrun", "did you mean --dry-run?"},
        {"check web1", "--to HOST is missing"},
        {"job web1", "'web1' is no job"},
        {"watch 1 2", "one word too many"},
        {"history --limit 0", "a number from 1 to 1000"},
        {"hosts --timeout soon", "--timeout"},
        {"pki issu agent/x", "did you mean 'drover pki issue'?"},
        {"pki issue boss/x", "is no role"},
        {"hosts --coordinator http://x", "a URL starts with"},
        {"", "Usage: drover COMMAND"},
        {"pki", "Usage: drover pki COMMAND"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cli_run r;
        run(&r, cases[i][0]);
        assert_has(r.err, cases[i][1]);
        assert_string_equal(r.out, "");
        assert_int_equal(r.exit, EXIT_USAGE);
    }
}

static void every_command_has_help(void **state)
{
    (void)state;
    static const char *const names[] = {"hosts",    "vms",         "doctor",
                                        "storage",  "networks",    "check",
                                        "migrate",  "jobs",        "job",
                                        "watch",    "cancel",      "history",
                                        "free",     "fence list",  "fence release",
                                        "pki init", "pki issue",   "pki list",
                                        "evacuate", "consolidate", "maintenance --rolling"};
    struct cli_run all;
    run(&all, "hosts --version");
    assert_int_equal(all.exit, EXIT_DONE);
    assert_has(all.out, "drover 0.");
    run(&all, "--help");
    assert_int_equal(all.exit, EXIT_DONE);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct cli_run r;
        _cleanup_free_ char *line = xasprintf("%s --help", names[i]), *entry = xasprintf("\n  %s ", names[i]);
        assert_has(all.out, entry);
        run(&r, line);
        assert_int_equal(r.exit, EXIT_DONE);
        assert_has(r.out, "Usage: drover ");
        assert_has(r.out, "Examples:");
        assert_has(r.out, "Exit codes:");
    }
}

static void plans(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        int exit;
        const char *out;
    } cases[] = {
        {"evacuate kvm1 --dry-run", EXIT_PARTLY,
         "1 of 2 guests can move.\n  pinned1 stays on kvm1: a host device\n    Do: detach it"},
        {"evacuate kvm2 --dry-run --window 1m", EXIT_DONE, "It fits a window of "},
        {"evacuate kvm2 --dry-run --window 30s", EXIT_PARTLY, "IT DOES NOT FIT a window of "},
        {"evacuate kvm1", EXIT_PARTLY, "Partly done: kvm1 is not empty.\n  pinned1 stays on kvm1"},
        {"evacuate kvm2 --detach", EXIT_DONE, "evacuate kvm2: 1 guest: job 77"},
        {"balance", EXIT_DONE, "job 77\nnote: nothing to gain\n"},
        {"balance --dry-run", EXIT_DONE, "note: nothing to gain\n"},
        {"return kvm2 --dry-run", EXIT_DONE, "web1"},
        {"pause 77", EXIT_DONE, "Job 77 is paused: nothing new starts."},
        {"resume 77", EXIT_DONE, "Job 77 is resumed: 2 waiting moves may start."},
        {"pause 5", EXIT_REFUSED, ""},
        {"maintenance on kvm1", EXIT_DONE,
         "kvm1 is in maintenance; it has 4 guests, 3 running: `drover evacuate kvm1`"},
        {"maintenance off kvm1", EXIT_DONE,
         "kvm1 was already out of maintenance; 2 guests that moved away are not back: `drover return kvm1`."},
        {"evacuate ill1", EXIT_PARTLY,
         "paused, for web1 is not well on kvm2 (it is shut off): nothing new starts.\n"
         "Do: `drover resume` lets it go on, `drover cancel` ends it\n"
         "evacuate ill1: job 78 waits. To see it: drover watch 78; to end it: drover cancel 78\n"},
        {"move --from tokyo", EXIT_USAGE, ""},
        {"evacuate kvm1 --dry-run --window soon", EXIT_USAGE, ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cli_run r;
        run(&r, cases[i].line);
        assert_int_equal(r.exit, cases[i].exit);
        assert_has(r.out, cases[i].out);
    }
}

/* The manual page is kept by hand; it must not forget anything that help tells. */
static void the_manual_page_has_every_option(void **state)
{
    (void)state;
    static const char *const helps[] = {
        "--help",          "vms --help",         "storage --help",
        "check --help",    "migrate --help",     "history --help",
        "pki init --help", "pki issue --help",   "pki list --help",
        "evacuate --help", "return --help",      "move --help",
        "cancel --help",   "consolidate --help", "maintenance --rolling --help"};
    char page[32768] = "";
    FILE *f = fopen(file_of("DROVER_MAN"), "re");
    assert_non_null(f);
    page[fread(page, 1, sizeof(page) - 1, f)] = 0;
    fclose(f);
    for (size_t i = 0; i < sizeof(helps) / sizeof(helps[0]); i++) {
        struct cli_run r;
        int found = 0;
        run(&r, helps[i]);
        for (const char *p = r.out; (p = strstr(p, "\n  --")); found++) {
            p += 5;
            _cleanup_free_ char *option = xasprintf("\\-\\-%.*s", (int)strcspn(p, " \n"), p);
            assert_has(page, option);
        }
        assert_true(found > 0);
    }
}

static void a_coordinator_that_is_not_there(void **state)
{
    (void)state;
    struct cli_run r;
    run(&r, "hosts --coordinator ipc:///nonexistent/socket");
    assert_int_equal(r.exit, EXIT_UNREACHABLE);
    assert_has(r.err, "ipc:///nonexistent/socket can't be reached: there is no such socket. Is it running");
    run(&r, "migrate web1 --coordinator tcp://127.0.0.1:1 --json");
    assert_int_equal(r.exit, EXIT_UNREACHABLE);
    json_t *document = json_of(&r);
    assert_string_equal(json_string_value(json_object_get(json_object_get(document, "error"), "code")),
                        "UNAVAILABLE");
    json_decref(document);
    run(&r, "hosts --coordinator tls+tcp://127.0.0.1:1");
    assert_int_equal(r.exit, EXIT_UNREACHABLE);
    assert_has(r.err, "drover pki issue operator/YOU");
}

static void lists(void **state)
{
    (void)state;
    struct cli_run r;
    run(&r, "hosts");
    assert_int_equal(r.exit, EXIT_DONE);
    assert_has(r.out, "kvm1  tokyo  up      3 / 4  12 GiB / 64 GiB");
    assert_has(r.out, "connection refused");
    run(&r, "vms --json");
    json_t *document = json_of(&r);
    json_t *guest = json_object_get(json_array_get(json_object_get(document, "guests"), 0), "guest");
    assert_string_equal(json_string_value(json_object_get(guest, "state")), "running");
    json_decref(document);
    run(&r, "vms");
    assert_has(r.out, "web\\x1b[31m1");
    run(&r, "vms --host nowhere");
    assert_int_equal(r.exit, EXIT_FAILED);
    assert_has(r.err, "known are kvm1, kvm2");
    run(&r, "job 63");
    assert_int_equal(r.exit, EXIT_FAILED);
    run(&r, "cancel 63");
    assert_int_equal(r.exit, EXIT_REFUSED);
}

static void migrate_says_where_the_guest_now_runs(void **state)
{
    (void)state;
    struct cli_run r;
    run(&r, "migrate web1 --to kvm2");
    assert_int_equal(r.exit, EXIT_DONE);
    assert_string_equal(r.err, "");
    assert_has(r.out, "12:00:03 web1: the transfer has begun\n");
    assert_has(
        r.out,
        "web1 now runs on kvm2. 3.1 s in all, paused 61 ms (libvirt 52 ms + handover 9 ms), 312 MiB.\n");
    run(&r, "migrate web2 --json");
    assert_int_equal(r.exit, EXIT_DONE);
    json_t *document = json_of(&r);
    json_t *job = json_array_get(json_object_get(document, "jobs"), 0);
    assert_string_equal(json_string_value(json_object_get(job, "state")), "done");
    assert_string_equal(json_string_value(json_object_get(job, "runs_on")), "kvm2");
    json_decref(document);
}

static void doctor_tells_what_to_change(void **state)
{
    (void)state;
    struct cli_run r;
    run(&r, "doctor");
    assert_int_equal(r.exit, EXIT_REFUSED);
    assert_has(r.out, "kvm1 is ready.\nblock libvirt-listening (host kvm2): seen no TLS; expected a "
                      "listening TLS port. Do: "
                      "listen_tls = 1.\nkvm2 is not ready: 1 finding blocks.\n");
    run(&r, "doctor kvm1");
    assert_int_equal(r.exit, EXIT_DONE);
    assert_string_equal(r.out, "kvm1 is ready.\n");
}

static void storage_and_networks_say_what_there_is(void **state)
{
    (void)state;
    struct cli_run r;
    run(&r, "storage");
    assert_int_equal(r.exit, EXIT_DONE);
    assert_has(r.out, "HOST ");
    assert_has(r.out, "nfs4          export1:/srv/nfs");
    assert_has(r.out, "multipath     naa.6001405aa");
    assert_has(r.out, "dir pool      images");
    assert_has(r.out, "fcoe adapter  0x2100");
    assert_has(r.out, "host3 on eno1");
    assert_has(r.out, "Online, to 0x500a 0x500b");
    assert_has(r.out, "2 volumes");
    assert_has(r.out, "kvm2 did not tell: no route to host");
    assert_null(strstr(r.out, "/dev/vda1"));
    run(&r, "storage --all");
    assert_has(r.out, "/dev/vda1");
    assert_has(r.out, "images/web1.qcow2");
    run(&r, "storage --json");
    json_t *document = json_of(&r);
    json_t *host = json_array_get(json_object_get(document, "hosts"), 0);
    assert_int_equal(json_array_size(json_object_get(json_object_get(host, "inspection"), "mounts")), 2);
    json_decref(document);
    run(&r, "networks");
    assert_int_equal(r.exit, EXIT_DONE);
    assert_string_equal(r.out, "No bridges and no libvirt networks.\n");
}

static void findings_are_explained_and_accepted(void **state)
{
    (void)state;
    struct cli_run r;
    run(&r, "check --explain mtu-smaller --coordinator ipc:///nonexistent");
    assert_int_equal(r.exit, EXIT_DONE);
    assert_has(r.out, "mtu-smaller (block)\n");
    run(&r, "check --explain mtu-small");
    assert_int_equal(r.exit, EXIT_USAGE);
    assert_has(r.err, "did you mean 'mtu-smaller'?");
    run(&r, "check blocked1 --to kvm2 --accept memory-free");
    assert_int_equal(r.exit, EXIT_DONE);
    assert_has(r.out, "warn memory-free (host kvm2), accepted: seen 1.2 GiB free");
}

static void refusals_print_every_finding(void **state)
{
    (void)state;
    struct cli_run r;
    static const char *const lines[] = {"migrate blocked1", "migrate blocked1 --dry-run",
                                        "check blocked1 --to kvm2"};
    for (size_t i = 0; i < 3; i++) {
        run(&r, lines[i]);
        assert_int_equal(r.exit, EXIT_REFUSED);
        assert_has(r.out, "block memory-free (host kvm2): seen 1.2 GiB free; expected at least 4 GiB. Do: ");
        assert_has(r.out, "warn cache-mode (disk vda): seen cache=writeback.\n");
    }
    run(&r, "migrate gone1");
    assert_int_equal(r.exit, EXIT_REFUSED);
    assert_has(r.err, "gone1: there is no guest gone1");
    run(&r, "check web1 --to kvm2");
    assert_has(r.out,
               "forecast: pause, 5.8 s in all, pause 2.3 s, 446 MiB (90 % sure), WHICH THE POLICY DOES NOT "
               "ALLOW");
    assert_has(r.out, "link 94 MiB/s (measured 3.0 s ago); sampled 1 min 1 s ago.");
    run(&r, "check web1 --to kvm2 --json");
    assert_int_equal(r.exit, EXIT_DONE);
    json_t *document = json_of(&r);
    assert_true(json_is_false(json_object_get(document, "refused")));
    json_decref(document);
    run(&r, "check web1 --to kvm2 --max-pause 3s --allow offline --deadline 5m --bandwidth 1gbit --json");
    document = json_of(&r);
    assert_true(json_is_true(json_object_get(json_object_get(document, "forecast"), "allowed")));
    json_decref(document);
    run(&r, "migrate web1 blocked1 --to kvm2 --max-pause 1s --dry-run --json");
    assert_int_equal(r.exit, EXIT_PARTLY);
    document = json_of(&r);
    json_t *forecast = json_object_get(json_array_get(json_object_get(document, "possible"), 0), "forecast");
    assert_string_equal(json_string_value(json_object_get(forecast, "way")), "pause");
    assert_true(json_is_false(json_object_get(forecast, "allowed")));
    assert_null(json_object_get(json_array_get(json_object_get(document, "refused"), 0), "forecast"));
    json_decref(document);
}

static void what_is_closed_or_held_is_given_back(void **state)
{
    (void)state;
    struct cli_run r;
    run(&r, "fence list");
    assert_int_equal(r.exit, EXIT_DONE);
    assert_has(r.out, "kvm1");
    assert_has(r.out, "iqn.2026-01.lab:web1");
    run(&r, "fence release kvm1");
    assert_int_equal(r.exit, EXIT_REFUSED);
    run(&r, "fence release kvm1 --source-is-off");
    assert_int_equal(r.exit, EXIT_DONE);
    assert_has(r.out, "1 target is open to kvm1 again.");
    run(&r, "free web1 --on kvm2");
    assert_has(r.out, "kvm2 holds nothing for web1 any more.");
    run(&r, "free web1");
    assert_int_equal(r.exit, EXIT_USAGE);
    run(&r, "job 1 --resolve source --fence");
    assert_int_equal(r.exit, EXIT_USAGE);
    run(&r, "job 1 --resolve destination --destination-is-off");
    assert_int_equal(r.exit, EXIT_USAGE);
    run(&r, "job 1 --destination-is-off");
    assert_int_equal(r.exit, EXIT_USAGE);
}

static void several_guests(void **state)
{
    (void)state;
    struct cli_run r;
    run(&r, "migrate web1 fails1 gone1");
    assert_int_equal(r.exit, EXIT_PARTLY);
    assert_has(r.out, "web1 now runs on kvm2");
    assert_has(r.out, "Failed: fails1 is safe on kvm1: no route to host.\nDo: check");
    run(&r, "migrate fails1 fails2");
    assert_int_equal(r.exit, EXIT_FAILED);
    run(&r, "migrate blocked1 gone1 --json");
    assert_int_equal(r.exit, EXIT_REFUSED);
    json_t *document = json_of(&r);
    assert_int_equal(json_array_size(json_object_get(document, "jobs")), 0);
    assert_int_equal(json_array_size(json_object_get(document, "refused")), 2);
    json_decref(document);
}

static int detach(const char *guest)
{
    struct cli_run r;
    _cleanup_free_ char *line = xasprintf("migrate %s --detach --json", guest);
    run(&r, line);
    assert_int_equal(r.exit, EXIT_DONE);
    json_t *document = json_of(&r);
    int id =
        (int)json_integer_value(json_object_get(json_array_get(json_object_get(document, "jobs"), 0), "id"));
    json_decref(document);
    assert_true(id > 0);
    return id;
}

static void an_interrupted_watch_leaves_the_job_running(void **state)
{
    (void)state;
    _cleanup_free_ char *line = xasprintf("watch %d", detach("slow1"));
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < 3; i++) {
        struct cli_run r;
        start(&r, line);
        assert_true(wait_for(&r, "asks kvm1 to prepare"));
        kill(r.pid, signals[i]);
        end(&r);
        assert_int_equal(r.exit, EXIT_INTERRUPTED);
        assert_has(r.out, "goes on. To see it: drover watch");
    }
}

static void a_reader_that_leaves_does_not_end_the_watch(void **state)
{
    (void)state;
    struct cli_run r;
    _cleanup_free_ char *line = xasprintf("watch %d", detach("fails1"));
    start(&r, line);
    assert_true(wait_for(&r, "asks kvm1 to prepare"));
    close(r.fd);
    r.fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    end(&r);
    assert_int_equal(r.exit, EXIT_FAILED); /* the job's own end, not SIGPIPE's */
}

static void ctrl_c_on_a_terminal_asks(void **state)
{
    (void)state;
    int id = detach("slow1");
    _cleanup_free_ char *line = xasprintf("watch %d", id), *cancelled = xasprintf("cancel %d\n", id);
    struct cli_run r;
    start_on_terminal(&r, line);
    assert_true(wait_for(&r, "MiB/s"));
    type(&r, "\003");
    assert_true(wait_for(&r, "[l]eave it running, [c]ancel"));
    type(&r, "l");
    end(&r);
    assert_int_equal(r.exit, EXIT_INTERRUPTED);
    assert_has(r.out, "\033[?25l"); /* the cursor was hidden, and is shown again */
    assert_has(strstr(r.out, "goes on. To see it: drover watch"), "\033[?25h");

    start_on_terminal(&r, line);
    assert_true(wait_for(&r, "MiB/s"));
    type(&r, "\003");
    assert_true(wait_for(&r, "[c]ancel"));
    type(&r, "c");
    end(&r);
    assert_int_equal(r.exit, EXIT_FAILED);
    assert_has(r.out, "Cancelled: slow1 is safe on kvm1: cancelled by oncall.");
    char said[64] = "";
    assert_true(fake_said(said, sizeof(said)));
    assert_string_equal(said, cancelled);
}

static void any_other_key_goes_on(void **state)
{
    (void)state;
    struct cli_run r;
    start_on_terminal(&r, "migrate web9");
    assert_true(wait_for(&r, "MiB/s"));
    type(&r, "\003");
    assert_true(wait_for(&r, "[c]ancel"));
    type(&r, " ");
    end(&r);
    assert_int_equal(r.exit, EXIT_DONE);
    assert_has(r.out, "web9 now runs on kvm2.");
}

static void in_doubt_is_an_exit_code_of_its_own(void **state)
{
    (void)state;
    struct cli_run r;
    _cleanup_free_ char *line = xasprintf("watch %d", detach("doubt1"));
    start_on_terminal(&r, line);
    assert_true(wait_for(&r, "IN DOUBT"));
    type(&r, "\003");
    assert_true(wait_for(&r, "[c]ancel"));
    type(&r, "\003");
    end(&r);
    assert_int_equal(r.exit, EXIT_IN_DOUBT);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usage_is_checked_before_anything_is_asked),
        cmocka_unit_test(every_command_has_help),
        cmocka_unit_test(plans),
        cmocka_unit_test(the_manual_page_has_every_option),
        cmocka_unit_test(a_coordinator_that_is_not_there),
        cmocka_unit_test(lists),
        cmocka_unit_test(migrate_says_where_the_guest_now_runs),
        cmocka_unit_test(doctor_tells_what_to_change),
        cmocka_unit_test(storage_and_networks_say_what_there_is),
        cmocka_unit_test(findings_are_explained_and_accepted),
        cmocka_unit_test(refusals_print_every_finding),
        cmocka_unit_test(what_is_closed_or_held_is_given_back),
        cmocka_unit_test(several_guests),
        cmocka_unit_test(an_interrupted_watch_leaves_the_job_running),
        cmocka_unit_test(a_reader_that_leaves_does_not_end_the_watch),
        cmocka_unit_test(ctrl_c_on_a_terminal_asks),
        cmocka_unit_test(any_other_key_goes_on),
        cmocka_unit_test(in_doubt_is_an_exit_code_of_its_own),
    };
    return cmocka_run_group_tests(tests, start_fake, stop_fake);
}
