#include "coordinator/core/doctor.h"
#include "coordinator/core/fleet.h"

#include "coordinator_made.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static Drover__V1__Guest told_guest(const char *name, const char *uuid)
{
    Drover__V1__Guest g = DROVER__V1__GUEST__INIT;
    g.name = (char *)name;
    g.uuid = (char *)uuid;
    g.state = DROVER__V1__GUEST_STATE__GUEST_RUNNING;
    return g;
}

static void tell(struct fleet_host *host, const char *name, const char *uuid)
{
    Drover__V1__Guest g = told_guest(name, uuid);
    Drover__V1__AgentEvent event = DROVER__V1__AGENT_EVENT__INIT;
    event.guest = &g;
    fleet_event(host, &event);
}

static void tell_gone(struct fleet_host *host, const char *uuid)
{
    Drover__V1__AgentEvent event = DROVER__V1__AGENT_EVENT__INIT;
    event.guest_gone = (char *)uuid;
    fleet_event(host, &event);
}

static void tell_synced(struct fleet_host *host)
{
    Drover__V1__AgentEvent event = DROVER__V1__AGENT_EVENT__INIT;
    event.synced = true;
    fleet_event(host, &event);
}

static void a_session_tells_changes_and_ends(void **state)
{
    (void)state;
    struct fleet fleet;
    fleet_init(&fleet);
    struct fleet_host *h = fleet_add_host(&fleet, "kvm1", "tokyo", "tcp://kvm1:1");
    fleet_session(h, false, 100, "connection refused");
    assert_false(h->up);
    assert_int_equal(h->since_ms, 100);
    fleet_session(h, false, 200, h->why);
    assert_string_equal(h->why, "connection refused");
    assert_int_equal(h->since_ms, 100);

    fleet_session(h, true, 300, NULL);
    assert_int_equal(h->since_ms, 300);
    assert_null(h->why);
    tell(h, "a", UUID_A);
    tell(h, "b", UUID_B);
    assert_false(h->synced);
    tell_synced(h);
    assert_true(h->synced);
    assert_int_equal(h->n_guests, 2);
    tell(h, "renamed", UUID_A);
    assert_int_equal(h->n_guests, 2);
    assert_string_equal(fleet_guest_on(h, UUID_A)->guest->name, "renamed");
    tell_gone(h, UUID_B);
    tell_gone(h, UUID_B);
    assert_null(fleet_guest_on(h, UUID_B));

    fleet_session(h, false, 400, "lost");
    assert_false(h->synced);
    assert_int_equal(h->n_guests, 1);
    fleet_deinit(&fleet);
}

static void what_a_new_session_does_not_tell_is_gone(void **state)
{
    (void)state;
    struct fleet fleet;
    fleet_init(&fleet);
    struct fleet_host *h = fleet_add_host(&fleet, "kvm1", NULL, NULL);
    fleet_session(h, true, 1, NULL);
    tell(h, "a", UUID_A);
    tell(h, "b", UUID_B);
    tell_synced(h);
    fleet_session(h, false, 2, "lost");
    fleet_session(h, true, 3, NULL);
    tell(h, "b", UUID_B);
    assert_non_null(fleet_guest_on(h, UUID_A));
    tell_synced(h);
    assert_null(fleet_guest_on(h, UUID_A));
    assert_non_null(fleet_guest_on(h, UUID_B));
    fleet_deinit(&fleet);
}

static void tell_measured(struct fleet_host *host, const char *uuid, uint32_t cpu)
{
    Drover__V1__AgentEvent event = DROVER__V1__AGENT_EVENT__INIT;
    Drover__V1__Measured measured = DROVER__V1__MEASURED__INIT;
    Drover__V1__Usage of_host = DROVER__V1__USAGE__INIT, of_guest = DROVER__V1__USAGE__INIT;
    Drover__V1__GuestUsage guest = DROVER__V1__GUEST_USAGE__INIT, *list[] = {&guest};
    event.measured = &measured;
    if (cpu) {
        measured.host = &of_host;
        of_host.cpu = cpu + 100;
        of_host.cpu_other = 100;
        guest.guest = (char *)uuid;
        guest.usage = &of_guest;
        of_guest.cpu = cpu;
        of_guest.memory = GIB;
        measured.guests = list;
        measured.n_guests = 1;
    }
    fleet_event(host, &event);
}

static void what_was_measured_of_a_guest_goes_with_it(void **state)
{
    (void)state;
    struct fleet fleet;
    fleet_init(&fleet);
    struct fleet_host *kvm1 = made_host(&fleet, "kvm1");
    made_host(&fleet, "kvm2");
    kvm1 = fleet_host(&fleet, "kvm1");
    struct fleet_host *kvm2 = fleet_host(&fleet, "kvm2");
    tell(kvm1, "web1", UUID_A);
    assert_false(fleet_guest_on(kvm1, UUID_A)->usage.known);
    tell_measured(kvm1, UUID_A, 1500);
    assert_int_equal(kvm1->usage.cpu, 1600);
    assert_int_equal(kvm1->usage.cpu_other, 100);
    assert_int_equal(fleet_guest_on(kvm1, UUID_A)->usage.cpu, 1500);
    tell(kvm1, "web1", UUID_A); /* something else of it has changed */
    assert_int_equal(fleet_guest_on(kvm1, UUID_A)->usage.memory, GIB);

    Drover__V1__Guest g = told_guest("web1", UUID_A);
    Drover__V1__AgentEvent event = DROVER__V1__AGENT_EVENT__INIT;
    event.guest = &g;
    fleet_event(kvm2, &event);
    tell_gone(kvm1, UUID_A);
    tell_measured(kvm2, UUID_B, 200); /* not yet this one, which has just arrived */
    assert_int_equal(fleet_guest_on(kvm2, UUID_A)->usage.cpu, 1500);
    tell_measured(kvm2, UUID_A, 900);
    assert_int_equal(fleet_guest_on(kvm2, UUID_A)->usage.cpu, 900);
    tell_measured(kvm2, NULL, 0); /* libvirt has not answered for long */
    assert_false(fleet_guest_on(kvm2, UUID_A)->usage.known);
    assert_false(kvm2->usage.known);
    fleet_deinit(&fleet);
}

static void messages_are_copied(void **state)
{
    (void)state;
    struct fleet fleet;
    fleet_init(&fleet);
    struct fleet_host *h = fleet_add_host(&fleet, "kvm1", NULL, NULL);
    char name[] = "kvm1";
    Drover__V1__HostReport report = DROVER__V1__HOST_REPORT__INIT;
    report.name = name;
    report.memory_total = 7;
    Drover__V1__AgentEvent event = DROVER__V1__AGENT_EVENT__INIT;
    event.host = &report;
    fleet_event(h, &event);
    fleet_event(h, &event);
    name[0] = 'X';
    report.memory_total = 8;
    assert_string_equal(h->report->name, "kvm1");
    assert_int_equal(h->report->memory_total, 7);
    fleet_deinit(&fleet);
}

static void a_guest_is_found_by_name_uuid_and_place(void **state)
{
    (void)state;
    struct fleet fleet;
    fleet_init(&fleet);
    made_guest(made_host(&fleet, "kvm1"), "web1", UUID_A);
    made_guest(made_host(&fleet, "kvm2"), "db1", UUID_B);
    const struct fleet_guest *g;
    assert_int_equal(fleet_find_guest(&fleet, "web1", &g, NULL), 0);
    assert_string_equal(g->host->name, "kvm1");
    assert_int_equal(fleet_find_guest(&fleet, "22222222-2222-4222-8222-22222222BBBB", &g, NULL), 0);
    assert_string_equal(g->guest->name, "db1");
    assert_int_equal(fleet_find_guest(&fleet, "kvm2/db1", &g, NULL), 0);

    struct error err = {0};
    assert_int_equal(fleet_find_guest(&fleet, "kvm1/db1", &g, &err), -STATUS_NOT_FOUND);
    assert_int_equal(fleet_find_guest(&fleet, "kmv1/web1", &g, &err), -STATUS_NOT_FOUND);
    assert_non_null(strstr(err.text, "near: kvm1"));
    assert_int_equal(fleet_find_guest(&fleet, "wbe1", &g, &err), -STATUS_NOT_FOUND);
    assert_non_null(strstr(err.text, "near: web1"));
    assert_null(strstr(err.text, "may have it"));
    fleet_session(fleet_host(&fleet, "kvm2"), false, 5, "lost");
    assert_int_equal(fleet_find_guest(&fleet, "nothing-like-it", &g, &err), -STATUS_NOT_FOUND);
    assert_non_null(strstr(err.text, "may have it: kvm2 (down)"));
    assert_int_equal(fleet_find_guest(&fleet, "", &g, &err), -STATUS_INVALID_ARGUMENT);
    assert_int_equal(fleet_find_guest(&fleet, "/", &g, &err), -STATUS_NOT_FOUND);
    fleet_deinit(&fleet);
}

static void a_name_of_several_guests_is_refused(void **state)
{
    (void)state;
    struct fleet fleet;
    fleet_init(&fleet);
    made_guest(made_host(&fleet, "kvm1"), "web1", UUID_A);
    made_guest(made_host(&fleet, "kvm2"), "web1", UUID_B);
    const struct fleet_guest *g;
    struct error err = {0};
    assert_int_equal(fleet_find_guest(&fleet, "web1", &g, &err), -STATUS_FAILED_PRECONDITION);
    assert_non_null(strstr(err.text, "kvm1/web1, kvm2/web1"));
    assert_int_equal(fleet_find_guest(&fleet, "kvm2/web1", &g, &err), 0);
    assert_string_equal(g->guest->uuid, UUID_B);
    fleet_deinit(&fleet);
}

static void the_running_copy_comes_first(void **state)
{
    (void)state;
    /* State and session of two copies of one guest, and the host that is expected. */
    static const struct {
        Drover__V1__GuestState one, two;
        bool up_one, up_two;
        const char *expected;
    } cases[] = {
        {DROVER__V1__GUEST_STATE__GUEST_SHUTOFF, DROVER__V1__GUEST_STATE__GUEST_RUNNING, true, true, "kvm2"},
        {DROVER__V1__GUEST_STATE__GUEST_RUNNING, DROVER__V1__GUEST_STATE__GUEST_SHUTOFF, true, true, "kvm1"},
        {DROVER__V1__GUEST_STATE__GUEST_RUNNING, DROVER__V1__GUEST_STATE__GUEST_PAUSED, true, true, "kvm1"},
        {DROVER__V1__GUEST_STATE__GUEST_SHUTOFF, DROVER__V1__GUEST_STATE__GUEST_PAUSED, true, true, "kvm2"},
        {DROVER__V1__GUEST_STATE__GUEST_RUNNING, DROVER__V1__GUEST_STATE__GUEST_RUNNING, false, true, "kvm2"},
        {DROVER__V1__GUEST_STATE__GUEST_RUNNING, DROVER__V1__GUEST_STATE__GUEST_SHUTOFF, false, true, "kvm1"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fleet fleet;
        fleet_init(&fleet);
        made_guest(made_host(&fleet, "kvm1"), "web1", UUID_A)->guest->state = cases[i].one;
        made_guest(made_host(&fleet, "kvm2"), "web1", UUID_A)->guest->state = cases[i].two;
        if (!cases[i].up_one)
            fleet_session(fleet_host(&fleet, "kvm1"), false, 9, "lost");
        if (!cases[i].up_two)
            fleet_session(fleet_host(&fleet, "kvm2"), false, 9, "lost");
        const struct fleet_guest *g;
        assert_int_equal(fleet_find_guest(&fleet, "web1", &g, NULL), 0);
        assert_string_equal(g->host->name, cases[i].expected);
        fleet_deinit(&fleet);
    }
}

static void who_is_on_two_hosts_is_known_without_a_search(void **state)
{
    (void)state;
    struct fleet fleet;
    char name[16], uuid[37];
    fleet_init(&fleet);
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "kvm%d", i);
        fleet_add_host(&fleet, name, NULL, NULL);
    }
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof(name), "kvm%d", i % 100);
        snprintf(uuid, sizeof(uuid), "%08d-0000-4000-8000-00000000000a", i);
        struct fleet_host *h = fleet_host(&fleet, name);
        assert_string_equal(h->name, name);
        tell(h, "x", uuid);
        assert_false(fleet_has_copies(&fleet, fleet_guest_on(h, uuid)));
    }
    assert_null(fleet_host(&fleet, "kvm100"));
    /* The last one is on kvm99; a UUID is the same in capital letters. */
    struct fleet_host *other = fleet_host(&fleet, "kvm7");
    uuid[35] = 'A';
    tell(other, "x", uuid);
    assert_true(fleet_has_copies(&fleet, fleet_guest_on(other, uuid)));
    tell(other, "x", uuid); /* told again */
    tell_gone(fleet_host(&fleet, "kvm99"), uuid);
    assert_false(fleet_has_copies(&fleet, fleet_guest_on(other, uuid)));
    fleet_deinit(&fleet);
}

/* Random events against a set of flags: after `synced`, the host has exactly what this session told and did not take back. */
static void the_snapshot_follows_any_stream(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 200; seed++) {
        unsigned rng = seed;
        bool known[8] = {0}, told[8] = {0}, synced = false;
        char uuid[8][37];
        struct fleet fleet;
        fleet_init(&fleet);
        struct fleet_host *h = fleet_add_host(&fleet, "kvm1", NULL, NULL);
        fleet_session(h, true, 1, NULL);
        for (int i = 0; i < 8; i++)
            snprintf(uuid[i], sizeof(uuid[i]), "%08d-0000-4000-8000-000000000000", i);
        for (int step = 0; step < 60; step++) {
            int g = rand_r(&rng) % 8, what = rand_r(&rng) % 12;
            if (what < 6) {
                tell(h, "x", uuid[g]);
                known[g] = told[g] = true;
            } else if (what < 9) {
                tell_gone(h, uuid[g]);
                known[g] = false;
            } else if (what < 11) {
                tell_synced(h);
                for (int i = 0; i < 8 && !synced; i++)
                    known[i] = known[i] && told[i];
                synced = true;
            } else {
                fleet_session(h, false, step, "lost");
                fleet_session(h, true, step, NULL);
                memset(told, 0, sizeof(told));
                synced = false;
            }
            for (int i = 0; i < 8; i++)
                if ((fleet_guest_on(h, uuid[i]) != NULL) != known[i])
                    fail_msg("seed %u, step %d: guest %d should be %s", seed, step, i,
                             known[i] ? "there" : "gone");
        }
        fleet_deinit(&fleet);
    }
}

/* From which a doctor tries the ports. */
static void the_peer_is_the_next_hypervisor_that_is_up(void **state)
{
    (void)state;
    struct fleet fleet;
    fleet_init(&fleet);
    made_host(&fleet, "kvm1");
    made_host(&fleet, "export1")->report->hypervisor = false;
    fleet_session(made_host(&fleet, "kvm2"), false, 5, "lost");
    made_host(&fleet, "kvm3");
    assert_string_equal(doctor_peer(&fleet, &fleet.hosts[0])->name, "kvm3");
    assert_string_equal(doctor_peer(&fleet, &fleet.hosts[3])->name, "kvm1");
    fleet_session(&fleet.hosts[3], false, 5, "lost");
    assert_null(doctor_peer(&fleet, &fleet.hosts[0]));
    fleet_deinit(&fleet);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_tells_changes_and_ends),
        cmocka_unit_test(what_a_new_session_does_not_tell_is_gone),
        cmocka_unit_test(what_was_measured_of_a_guest_goes_with_it),
        cmocka_unit_test(messages_are_copied),
        cmocka_unit_test(a_guest_is_found_by_name_uuid_and_place),
        cmocka_unit_test(a_name_of_several_guests_is_refused),
        cmocka_unit_test(the_running_copy_comes_first),
        cmocka_unit_test(who_is_on_two_hosts_is_known_without_a_search),
        cmocka_unit_test(the_snapshot_follows_any_stream),
        cmocka_unit_test(the_peer_is_the_next_hypervisor_that_is_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
