#include "cli/exits.h"
#include "cli/rolling.h"
#include "common/base/cleanup.h"
#include "common/base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const char *const names[] = {"kvm1", "kvm2", "kvm3"};

/* Begins what may begin, as the driver does; "-": nothing, "end". */
static const char *begin(struct rolling *r)
{
    static char said[32];
    size_t i = 0;
    switch (rolling_next(r, &i)) {
    case ROLLING_EMPTY:
        r->hosts[i].phase = ROLLING_ASKED;
        snprintf(said, sizeof(said), "empty %s", r->hosts[i].name);
        return said;
    case ROLLING_FILL:
        r->hosts[i].phase = ROLLING_RETURNS;
        snprintf(said, sizeof(said), "fill %s", r->hosts[i].name);
        return said;
    case ROLLING_END: return "end";
    default: return "-";
    }
}

static void one_after_the_other(void **state)
{
    (void)state;
    struct rolling r;
    rolling_init(&r, names, 3);
    for (size_t i = 0; i < 3; i++) {
        _cleanup_free_ char *empty = xasprintf("empty %s", names[i]), *fill = xasprintf("fill %s", names[i]);
        assert_string_equal(begin(&r), empty);
        assert_string_equal(begin(&r), "-");
        r.hosts[i].phase = ROLLING_RUNS;
        assert_string_equal(begin(&r), "-");
        r.hosts[i].phase = ROLLING_BACK;
        assert_string_equal(begin(&r), fill);
        assert_string_equal(begin(&r), "-");
        r.hosts[i].phase = ROLLING_DONE;
    }
    assert_string_equal(begin(&r), "end");
    assert_int_equal(rolling_exit(&r), EXIT_DONE);
    assert_null(rolling_rest(&r));
    rolling_deinit(&r);
}

static void in_parallel_with_one_plan_at_a_time(void **state)
{
    (void)state;
    struct rolling r;
    rolling_init(&r, names, 3);
    r.parallel = 2;
    assert_string_equal(begin(&r), "empty kvm1");
    assert_string_equal(begin(&r),
                        "-"); /* the room for kvm2's guests is known when kvm1's have found theirs */
    r.hosts[0].phase = ROLLING_RUNS;
    assert_string_equal(begin(&r), "empty kvm2");
    r.hosts[1].phase = ROLLING_RUNS;
    assert_string_equal(begin(&r), "-");
    r.hosts[0].phase = ROLLING_BACK;
    assert_string_equal(begin(&r), "fill kvm1");
    r.hosts[0].phase = ROLLING_DONE;
    r.hosts[1].phase = ROLLING_BACK;
    assert_string_equal(begin(&r), "fill kvm2"); /* before kvm3 is emptied */
    rolling_deinit(&r);
}

static void without_room_it_waits_for_the_others(void **state)
{
    (void)state;
    struct rolling r;
    rolling_init(&r, names, 3);
    r.parallel = 2;
    begin(&r);
    r.hosts[0].phase = ROLLING_RUNS;
    assert_string_equal(begin(&r), "empty kvm2");
    assert_true(rolling_no_room(&r, 1));
    assert_string_equal(begin(&r), "-");
    r.hosts[0].phase = ROLLING_DONE;
    r.crowded = false;
    assert_string_equal(begin(&r), "empty kvm2");
    assert_false(rolling_no_room(&r, 1)); /* nobody to wait for */
    rolling_deinit(&r);
}

static void after_a_stop_none_begins_and_the_others_end(void **state)
{
    (void)state;
    struct rolling r;
    rolling_init(&r, names, 3);
    r.parallel = 2;
    begin(&r);
    r.hosts[0].phase = ROLLING_RUNS;
    begin(&r);
    r.hosts[1].phase = ROLLING_RUNS;
    rolling_stop(&r.hosts[0], EXIT_FAILED, "the command ended with status 3", NULL);
    assert_string_equal(begin(&r), "-");
    r.hosts[1].phase = ROLLING_BACK;
    assert_string_equal(begin(&r), "fill kvm2");
    r.hosts[1].phase = ROLLING_DONE;
    assert_string_equal(begin(&r), "end");
    assert_int_equal(rolling_exit(&r), EXIT_PARTLY);
    _cleanup_free_ char *rest = rolling_rest(&r);
    assert_string_equal(rest, "kvm1,kvm3");
    r.leaving = true;
    assert_string_equal(begin(&r), "-");
    rolling_deinit(&r);
}

static void exits(void **state)
{
    (void)state;
    static const struct {
        int stopped;
        bool one_done;
        int exit;
    } cases[] = {{EXIT_FAILED, false, EXIT_FAILED},    {EXIT_FAILED, true, EXIT_PARTLY},
                 {EXIT_REFUSED, false, EXIT_REFUSED},  {EXIT_PARTLY, false, EXIT_PARTLY},
                 {EXIT_IN_DOUBT, true, EXIT_IN_DOUBT}, {EXIT_UNREACHABLE, true, EXIT_UNREACHABLE}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rolling r;
        rolling_init(&r, names, 3);
        r.hosts[0].phase = cases[i].one_done ? ROLLING_DONE : ROLLING_WAITS;
        rolling_stop(&r.hosts[1], cases[i].stopped, "why", NULL);
        assert_int_equal(rolling_exit(&r), cases[i].exit);
        rolling_deinit(&r);
    }
}

/* ---- what a host says of itself ---------------------------------------------------------------------------------- */

struct made {
    struct rolling r;
    struct rolling_host *h;
    Drover__V1__HostStatus status;
    Drover__V1__HostReport report;
};

/* kvm1, emptied, in maintenance, about to have its command run. */
static void made_init(struct made *m)
{
    rolling_init(&m->r, names, 1);
    m->r.steady = 10000;
    m->h = &m->r.hosts[0];
    m->status = (Drover__V1__HostStatus)DROVER__V1__HOST_STATUS__INIT;
    m->report = (Drover__V1__HostReport)DROVER__V1__HOST_REPORT__INIT;
    m->status.name = (char *)"kvm1";
    m->status.up = m->status.synced = m->status.maintenance = true;
    m->status.report = &m->report;
    m->report.libvirt_up = true;
    m->report.boot_id = (char *)"first-boot";
    m->report.instance = (char *)"first-agent";
}

static void the_command_runs_only_on_an_empty_host(void **state)
{
    (void)state;
    struct made m;
    struct error err;
    made_init(&m);
    assert_int_equal(rolling_before(&m.r, m.h, &m.status, &err), 0);
    assert_string_equal(m.h->boot_id, "first-boot");
    m.status.guests_total = 1;
    assert_true(rolling_before(&m.r, m.h, &m.status, &err) < 0);
    assert_non_null(strstr(err.text, "has 1 guest again"));
    m.status.guests_total = 0;
    m.status.maintenance = false;
    assert_true(rolling_before(&m.r, m.h, &m.status, &err) < 0);
    assert_non_null(strstr(err.text, "ended its maintenance"));
    m.status.maintenance = true;
    m.status.synced = false;
    assert_true(rolling_before(&m.r, m.h, &m.status, &err) < 0);
    m.status.synced = true;
    m.report.libvirt_up = false;
    assert_true(rolling_before(&m.r, m.h, &m.status, &err) < 0);
    m.report.libvirt_up = true;
    m.status.up = false;
    assert_true(rolling_before(&m.r, m.h, &m.status, &err) < 0);
    m.status.up = true;
    m.r.here = "first-boot";
    assert_int_equal(rolling_before(&m.r, m.h, &m.status, &err), 0); /* an upgrade may be run on itself */
    m.r.reboots = true;
    assert_true(rolling_before(&m.r, m.h, &m.status, &err) < 0);
    m.r.reboots = false;
    m.r.power_off = true;
    assert_true(rolling_before(&m.r, m.h, &m.status, &err) < 0);
    m.r.power_off = false;
    m.r.reboots = true;
    m.report.boot_id = (char *)"";
    assert_true(rolling_before(&m.r, m.h, &m.status, &err) < 0);
    assert_non_null(strstr(err.text, "boot id"));
    rolling_deinit(&m.r);
}

static bool is_back(struct made *m, int64_t now, const char *expected)
{
    char *missing = NULL;
    bool back = rolling_look(&m->r, m->h, &m->status, now, &missing);
    if (!back) {
        assert_non_null(missing);
        assert_non_null(strstr(missing, expected));
    }
    free(missing);
    return back;
}

static void a_reboot_that_has_not_begun_is_none(void **state)
{
    (void)state;
    struct made m;
    made_init(&m);
    m.r.reboots = true;
    assert_int_equal(rolling_before(&m.r, m.h, &m.status, NULL), 0);
    assert_false(is_back(&m, 0, "was not rebooted yet"));
    assert_false(is_back(&m, 3600000, "was not rebooted yet"));
    m.status.up = m.status.synced = false;
    m.status.why = (char *)"connection refused";
    assert_false(is_back(&m, 3600500, "no session: connection refused"));
    m.status.up = true;
    m.report.boot_id = (char *)"second-boot";
    m.report.libvirt_up = false;
    m.report.libvirt_error = (char *)"no socket";
    assert_false(is_back(&m, 3601000, "libvirt does not answer: no socket"));
    m.report.libvirt_up = true;
    assert_false(is_back(&m, 3601500, "not told all its guests"));
    m.status.synced = true;
    assert_true(is_back(&m, 3602000, ""));
    m.report.instance = (char *)"second-agent";
    _cleanup_free_ char *seen = rolling_seen(m.h, &m.status);
    assert_string_equal(
        seen, "its boot id is another one than before: it was rebooted; its agent was started anew");
    rolling_deinit(&m.r);
}

static void without_reboots_a_host_must_stay(void **state)
{
    (void)state;
    struct made m;
    made_init(&m);
    assert_int_equal(rolling_before(&m.r, m.h, &m.status, NULL), 0);
    assert_false(is_back(&m, 1000, "to stay so for 10.0 s"));
    assert_false(is_back(&m, 10999, "to stay so"));
    /* A reboot that began late: away and back between two looks, too. */
    m.report.instance = (char *)"second-agent";
    m.report.boot_id = (char *)"second-boot";
    assert_false(is_back(&m, 11000, "to stay so"));
    m.status.up = false;
    assert_false(is_back(&m, 12000, "no session"));
    m.status.up = true;
    assert_false(is_back(&m, 20000, "to stay so"));
    assert_false(is_back(&m, 29999, "to stay so"));
    assert_true(is_back(&m, 30000, ""));
    rolling_deinit(&m.r);
    made_init(&m);
    assert_int_equal(rolling_before(&m.r, m.h, &m.status, NULL), 0);
    _cleanup_free_ char *seen = rolling_seen(m.h, &m.status);
    assert_string_equal(
        seen, "its boot id is the same as before: IT WAS NOT REBOOTED; its agent has run all the time");
    rolling_deinit(&m.r);
}

static void what_blocks_is_named(void **state)
{
    (void)state;
    Drover__V1__Finding warn = DROVER__V1__FINDING__INIT, block = DROVER__V1__FINDING__INIT,
                        *list[] = {&warn, &block, &block};
    Drover__V1__HostReadiness r = DROVER__V1__HOST_READINESS__INIT;
    warn.severity = DROVER__V1__SEVERITY__WARN;
    block.severity = DROVER__V1__SEVERITY__BLOCK;
    block.id = (char *)"mount-hangs";
    block.seen = (char *)"/srv/nfs does not answer";
    block.todo = (char *)"mend it";
    r.findings = list;
    r.n_findings = 1;
    assert_null(rolling_blocked(&r));
    r.n_findings = 3;
    _cleanup_free_ char *text = rolling_blocked(&r);
    assert_string_equal(
        text, "mount-hangs: seen /srv/nfs does not answer. Do: mend it (and 1 more: `drover doctor`)");
}

static void how_each_is_left(void **state)
{
    (void)state;
    static const struct {
        enum rolling_phase phase;
        bool stopped, power_off;
        uint64_t job;
        const char *state, *todo;
    } cases[] = {
        {ROLLING_WAITS, false, false, 0, "the command was not run", NULL},
        {ROLLING_ASKED, true, false, 0, "as it was", "see to web1"},
        {ROLLING_EMPTIES, true, false, 5, "not proven empty", "see to web1; to leave it: drover return kvm1"},
        {ROLLING_EMPTIES, false, false, 5, "is being emptied",
         "`drover watch 5`, `drover cancel 5`; to leave it"},
        {ROLLING_EMPTIES, false, false, 0, "is being emptied", "may have begun: see `drover jobs`"},
        {ROLLING_RUNS, true, false, 0, "did not succeed", "to run the command again, go on as below"},
        {ROLLING_COMES_BACK, true, false, 0, "run elsewhere", "drover doctor kvm1): drover return kvm1"},
        {ROLLING_RETURNS, true, false, 6, "not all of its guests are back", "drover return kvm1"},
        {ROLLING_RETURNS, false, false, 6, "its guests come back", "`drover watch 6`"},
        {ROLLING_DONE, false, false, 0, "out of maintenance", NULL},
        {ROLLING_DONE, false, true, 0, "in maintenance and empty", "drover maintenance off kvm1"},
        {ROLLING_WAITS, false, true, 0, "when the consolidation ended", "drover evacuate kvm1 proves"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rolling r;
        rolling_init(&r, names, 1);
        r.power_off = cases[i].power_off;
        r.hosts[0].phase = cases[i].phase;
        r.hosts[0].job = cases[i].job;
        if (cases[i].stopped)
            rolling_stop(&r.hosts[0], EXIT_FAILED, "why", "see to web1");
        _cleanup_free_ char *todo = NULL, *left = rolling_left(&r, &r.hosts[0], &todo);
        if (!strstr(left, cases[i].state) || !todo != !cases[i].todo ||
            (todo && !strstr(todo, cases[i].todo)))
            fail_msg("case %zu: %s; %s", i, left, todo ? todo : "(nothing to do)");
        rolling_deinit(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_after_the_other),
        cmocka_unit_test(in_parallel_with_one_plan_at_a_time),
        cmocka_unit_test(without_room_it_waits_for_the_others),
        cmocka_unit_test(after_a_stop_none_begins_and_the_others_end),
        cmocka_unit_test(exits),
        cmocka_unit_test(the_command_runs_only_on_an_empty_host),
        cmocka_unit_test(a_reboot_that_has_not_begun_is_none),
        cmocka_unit_test(without_reboots_a_host_must_stay),
        cmocka_unit_test(what_blocks_is_named),
        cmocka_unit_test(how_each_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
