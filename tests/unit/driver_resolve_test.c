/* What an operator may say of a job in doubt: each word as the fleet is seen, and where it is refused. */
#include "driver_fixture.h"

#include "common/base/memory.h"
#include "coordinator/driver_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct agent *kvm1(struct fixture *f)
{
    return &f->agents[0];
}

static struct agent *kvm2(struct fixture *f)
{
    return &f->agents[1];
}

static void expect(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("expected \"%s\" in: %s", part, text);
}

static struct fleet_host *host(struct fixture *f, const char *name)
{
    return fleet_host(&f->fleet, name);
}

static void libvirt_is(struct fixture *f, const char *name, bool up)
{
    Drover__V1__HostReport report = DROVER__V1__HOST_REPORT__INIT;
    report.hypervisor = true;
    report.libvirt_up = up;
    Drover__V1__AgentEvent event = DROVER__V1__AGENT_EVENT__INIT;
    event.host = &report;
    fleet_event(host(f, name), &event);
}

/* All that it has. */
static void is_up(struct fixture *f, const char *name, Drover__V1__GuestState state)
{
    Drover__V1__Guest g = DROVER__V1__GUEST__INIT;
    g.name = (char *)"web1";
    g.uuid = (char *)GUEST_UUID;
    g.state = state;
    Drover__V1__AgentEvent guest = DROVER__V1__AGENT_EVENT__INIT, synced = DROVER__V1__AGENT_EVENT__INIT;
    guest.guest = &g;
    synced.synced = true;
    fleet_session(host(f, name), true, 1000, NULL);
    fleet_event(host(f, name), &guest);
    fleet_event(host(f, name), &synced);
    libvirt_is(f, name, true);
}

static void is_down(struct fixture *f, const char *name)
{
    fleet_session(host(f, name), false, 1000, "no route to host");
}

static void refused(struct fixture *f, enum resolution how, const char *why)
{
    struct error err = {0};
    assert_null(driver_may_resolve(f->driver, 1, how, false, &err));
    expect(err.text, why);
    assert_int_equal(err.code, STATUS_FAILED_PRECONDITION);
}

static void say(struct fixture *f, enum resolution how, const char *answer)
{
    _cleanup_free_ char *text = NULL;
    struct error err = {0};
    if (driver_resolve(f->driver, 1, how, false, "oncall", &text, &err) < 0)
        fail_msg("%s", err.text);
    expect(text, answer);
}

static void is_in_doubt(struct fixture *f)
{
    f->driver->migrations->txn.in_doubt = true; /* without its ten seconds */
}

static bool settles(struct fixture *f)
{
    return f->driver->migrations && f->driver->migrations->txn.state == TXN_SETTLING;
}

static bool activates(struct fixture *f)
{
    return f->driver->migrations && f->driver->migrations->txn.state == TXN_ACTIVATING &&
           kvm2(f)->asked[ACTIVATE];
}

static bool clears_away(struct fixture *f)
{
    return kvm2(f)->asked[ABORT] > 0;
}

static bool releases(struct fixture *f)
{
    return kvm1(f)->asked[RELEASE] && (f->driver->migrations->txn.answered & TXN_BIT(TXN_DESTINATION));
}

static void in_settling(struct fixture *f)
{
    kvm1(f)->outcome[0] = kvm1(f)->outcome[1] = kvm1(f)->outcome[2] = DROVER__V1__OUTCOME__OUTCOME_UNKNOWN;
    fixture_order(f, DROVER__V1__MODE__MODE_LIVE);
    fixture_run(f, settles);
    is_in_doubt(f);
}

/* What is paused at the source would run again, beside one that may run at the destination. */
static void nothing_is_resumed_beside_a_destination_that_cannot_be_asked(void **state)
{
    struct fixture *f = *state;
    in_settling(f);
    is_up(f, "kvm1", DROVER__V1__GUEST_STATE__GUEST_PAUSED);
    is_down(f, "kvm2");
    refused(f, RESOLVE_SOURCE, "whether web1 runs on kvm2 is not known, as its agent can't be asked");
    refused(f, RESOLVE_SOURCE, "add --destination-is-off");
    is_down(f, "kvm1"); /* what is there when it comes back? */
    refused(f, RESOLVE_SOURCE, "add --destination-is-off");
    is_up(f, "kvm1", DROVER__V1__GUEST_STATE__GUEST_SHUTOFF); /* that word starts nothing */
    assert_non_null(driver_may_resolve(f->driver, 1, RESOLVE_SOURCE, false, NULL));
    is_up(f, "kvm1", DROVER__V1__GUEST_STATE__GUEST_PAUSED);
    assert_non_null(driver_may_resolve(f->driver, 1, RESOLVE_DESTINATION_OFF, false, NULL));
    is_up(f, "kvm2", DROVER__V1__GUEST_STATE__GUEST_PAUSED);
    assert_non_null(driver_may_resolve(f->driver, 1, RESOLVE_SOURCE, false, NULL));
    refused(f, RESOLVE_DESTINATION_OFF, "kvm2's agent answers");
    is_up(f, "kvm2", DROVER__V1__GUEST_STATE__GUEST_RUNNING);
    refused(f, RESOLVE_SOURCE, "libvirt on kvm2 says that web1 is there");
    is_down(f, "kvm2");
    say(f, RESOLVE_DESTINATION_OFF, "kvm1 is asked to keep web1");
    assert_int_equal(f->driver->migrations->txn.resolve, TXN_KEPT);
}

/* Its agent answers, and keeps telling what libvirt said last. */
static void a_libvirt_that_is_down_says_nothing_of_a_guest(void **state)
{
    struct fixture *f = *state;
    in_settling(f);
    is_up(f, "kvm1", DROVER__V1__GUEST_STATE__GUEST_PAUSED);
    is_up(f, "kvm2", DROVER__V1__GUEST_STATE__GUEST_PAUSED); /* it may run by now */
    libvirt_is(f, "kvm2", false);
    refused(f, RESOLVE_SOURCE, "whether web1 runs on kvm2 is not known, as its libvirt can't be asked");
    refused(f, RESOLVE_DESTINATION_OFF, "kvm2's agent answers");
    libvirt_is(f, "kvm2", true);
    assert_non_null(driver_may_resolve(f->driver, 1, RESOLVE_SOURCE, false, NULL));
    is_up(f, "kvm1", DROVER__V1__GUEST_STATE__GUEST_RUNNING); /* it may be paused by now */
    is_down(f, "kvm2");
    assert_non_null(driver_may_resolve(f->driver, 1, RESOLVE_SOURCE, false, NULL));
    libvirt_is(f, "kvm1", false);
    refused(f, RESOLVE_SOURCE, "add --destination-is-off");
    refused(f, RESOLVE_DESTINATION, "libvirt on kvm1 says that web1 is there");
    is_down(f, "kvm1");
    is_up(f, "kvm2", DROVER__V1__GUEST_STATE__GUEST_SHUTOFF);
    libvirt_is(f, "kvm2", false);
    refused(f, RESOLVE_SOURCE_OFF, "kvm2's libvirt can't be asked whether it has a complete image of web1");
    libvirt_is(f, "kvm2", true);
    refused(f, RESOLVE_SOURCE_OFF, "kvm2 has no complete image of web1");
}

static void in_activating(struct fixture *f)
{
    kvm2(f)->silent[ACTIVATE] = true;
    fixture_order(f, DROVER__V1__MODE__MODE_LIVE);
    fixture_run(f, activates);
    is_up(f, "kvm1", DROVER__V1__GUEST_STATE__GUEST_SHUTOFF);
    is_down(f, "kvm2");
}

static void a_guest_is_taken_back_from_a_destination_that_is_off(void **state)
{
    struct fixture *f = *state;
    in_activating(f);
    refused(f, RESOLVE_DESTINATION_OFF, "is not in doubt");
    is_in_doubt(f);
    refused(f, RESOLVE_SOURCE, "is not in doubt about whose web1 is");
    refused(f, RESOLVE_SOURCE_OFF, "is not in doubt about whose web1 is");
    is_up(f, "kvm2", DROVER__V1__GUEST_STATE__GUEST_PAUSED);
    refused(f, RESOLVE_DESTINATION_OFF, "kvm2's agent answers");
    is_down(f, "kvm2");
    is_down(f, "kvm1");
    refused(f, RESOLVE_DESTINATION_OFF, "neither kvm1 nor kvm2 can be asked");
    is_up(f, "kvm1", DROVER__V1__GUEST_STATE__GUEST_SHUTOFF);
    f->driver->migrations->txn.said_cold = true;
    refused(f, RESOLVE_DESTINATION_OFF, "kvm2 may have been told to start web1 from its disks");
    f->driver->migrations->txn.said_cold = false;
    f->driver->migrations->txn.granted = true;
    refused(f, RESOLVE_DESTINATION_OFF, "web1 was given to kvm2 without kvm1's word");
    f->driver->migrations->txn.granted = false;
    kvm2(f)->silent[ABORT] = true;
    kvm2(f)->has_guest = false;
    kvm1(f)->has_guest = true;
    kvm1(f)->guest_state = DROVER__V1__GUEST_STATE__GUEST_RUNNING;
    say(f, RESOLVE_DESTINATION_OFF,
        "web1 is started from its disks on kvm1; before kvm2 is started again, see that it can't start web1");
    fixture_run(f, clears_away);
    expect(f->trace, "kvm1 COLD_START +1;kvm2 ABORT +0;");
    assert_true(kvm2(f)->taken_back);
    /* It is told also by one that was started again. */
    kvm2(f)->taken_back = false;
    kvm2(f)->asked[ABORT] = 0;
    fixture_restart(f);
    fixture_run(f, clears_away);
    assert_true(kvm2(f)->taken_back);
    say(f, RESOLVE_DESTINATION_OFF, "kvm2 is waited for no longer");
    fixture_run(f, fixture_ended);
    assert_string_equal(f->end->runs_on, "kvm1");
    assert_int_equal(f->end->state, DROVER__V1__JOB_STATE__JOB_FAILED);
    expect(f->end->text,
           "web1 runs on kvm1 (started anew there from its disks: kvm2 was said to be off for good)");
}

static void a_host_that_never_comes_back_is_waited_for_no_longer(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < 3; i++)
        kvm1(f)->outcome[i] = DROVER__V1__OUTCOME__KEPT;
    kvm2(f)->silent[ABORT] = true;
    kvm2(f)->has_guest = false;
    kvm1(f)->has_guest = true;
    kvm1(f)->guest_state = DROVER__V1__GUEST_STATE__GUEST_RUNNING;
    fixture_order(f, DROVER__V1__MODE__MODE_LIVE);
    fixture_run(f, clears_away);
    refused(f, RESOLVE_SOURCE_OFF, "is not in doubt about whose web1 is");
    is_up(f, "kvm2", DROVER__V1__GUEST_STATE__GUEST_PAUSED);
    refused(f, RESOLVE_DESTINATION_OFF, "kvm2's agent answers: it is asked to clear away");
    is_down(f, "kvm2");
    say(f, RESOLVE_DESTINATION_OFF, "kvm2 is waited for no longer");
    fixture_run(f, fixture_ended);
    expect(f->end->text, "web1 is safe on kvm1");
}

static void nor_is_a_source_whose_guest_has_arrived(void **state)
{
    struct fixture *f = *state;
    kvm1(f)->silent[RELEASE] = true;
    fixture_order(f, DROVER__V1__MODE__MODE_LIVE);
    fixture_run(f, releases);
    is_up(f, "kvm1", DROVER__V1__GUEST_STATE__GUEST_SHUTOFF);
    refused(f, RESOLVE_SOURCE_OFF, "kvm1's agent answers: it is asked to clear away");
    is_down(f, "kvm1");
    refused(f, RESOLVE_DESTINATION_OFF, "is not in doubt"); /* that one has answered */
    say(f, RESOLVE_SOURCE_OFF, "kvm1 is waited for no longer");
    fixture_run(f, fixture_ended);
    assert_int_equal(f->end->state, DROVER__V1__JOB_STATE__JOB_DONE);
    assert_string_equal(f->end->runs_on, "kvm2");
}

int main(void)
{
#define story(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        story(nothing_is_resumed_beside_a_destination_that_cannot_be_asked),
        story(a_libvirt_that_is_down_says_nothing_of_a_guest),
        story(a_guest_is_taken_back_from_a_destination_that_is_off),
        story(a_host_that_never_comes_back_is_waited_for_no_longer),
        story(nor_is_a_source_whose_guest_has_arrived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
