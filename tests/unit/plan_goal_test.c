/* Balance and consolidate by what was measured, and what they say of it. */
#include "common/base/memory.h"
#include "coordinator/core/message.h"
#include "coordinator/core/plan_make.h"
#include "coordinator/core/plan_size.h"
#include "coordinator_made.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const Drover__V1__Policy policy = DROVER__V1__POLICY__INIT;

/* Two hosts of 16 CPUs; on kvm1 two busy guests and four idle ones, on kvm2 six idle ones. */
static void make_fleet(struct fleet *fleet, bool measured)
{
    fleet_init(fleet);
    made_host(fleet, "kvm1");
    made_host(fleet, "kvm2");
    for (uint32_t i = 0; i < 12; i++) {
        char name[16], uuid[40];
        struct fleet_host *h = &fleet->hosts[i / 6];
        snprintf(name, sizeof(name), i < 2 ? "busy%u" : "idle%u", i);
        snprintf(uuid, sizeof(uuid), "11111111-1111-4111-8111-1111111111%02u", i);
        struct fleet_guest *g = made_guest(h, name, uuid);
        g->guest->vcpus = 8;
        made_string(&g->guest->interfaces[0]->mac, uuid);
        if (measured)
            g->usage = (struct fleet_usage){.known = true, .cpu = i < 2 ? 7000 : 20, .memory = 2 * GIB};
    }
    for (uint32_t h = 0; h < 2 && measured; h++)
        fleet->hosts[h].usage = (struct fleet_usage){.known = true, .cpu = 14300, .cpu_other = 200};
}

static Drover__V1__Job *planned_with(const struct fleet *fleet, const char *kind, int32_t headroom,
                                     bool (*recent)(void *arg, const char *uuid))
{
    Drover__V1__PlanRequest request = DROVER__V1__PLAN_REQUEST__INIT;
    struct error err = {0};
    request.kind = (char *)kind;
    request.headroom = headroom;
    const struct plan_making making = {
        .fleet = fleet, .request = &request, .policy = &policy, .recent = recent};
    Drover__V1__Job *job = new0(Drover__V1__Job);
    drover__v1__job__init(job);
    if (plan_make(&making, job, &err) < 0)
        fail_msg("%s", err.text);
    return job;
}

static Drover__V1__Job *planned(const struct fleet *fleet, const char *kind,
                                bool (*recent)(void *arg, const char *uuid))
{
    return planned_with(fleet, kind, 0, recent);
}

/* Whatever tells of a plan tells it in one message. */
static void a_plan_fits_a_message(void **state)
{
    (void)state;
    Drover__V1__Guest guest = DROVER__V1__GUEST__INIT;
    Drover__V1__Finding finding = DROVER__V1__FINDING__INIT, *one[] = {&finding};
    struct error err = {0};
    char text[301] = "";
    memset(text, 'x', 300);
    guest.name = (char *)"web1";
    guest.uuid = (char *)UUID_A;
    finding.seen = text;
    Drover__V1__Job *job = new0(Drover__V1__Job);
    drover__v1__job__init(job);
    for (int i = 0; i < 1000; i++) {
        Drover__V1__PlanStep *s = plan_add(job, &guest, "kvm1");
        for (int f = 0; f < 20; f++)
            findings_add(&s->n_findings, &s->findings, one, 1);
    }
    assert_true(drover__v1__job__get_packed_size(job) > 4 << 20);
    assert_int_equal(plan_fit(job, &err), 0);
    assert_true(drover__v1__job__get_packed_size(job) < 3 << 20);
    assert_int_equal(job->steps[0]->n_findings, 20);
    assert_int_equal(job->steps[999]->n_findings, 1);
    for (int i = 0; i < 10000; i++)
        plan_add(job, &guest, "kvm1");
    assert_int_equal(plan_fit(job, &err), -STATUS_FAILED_PRECONDITION);
    assert_non_null(strstr(err.text, "11000 guests in one plan"));
    /* As many hosts as refuse its guests. */
    assert_true(plan_may_avoid(job));
    size_t before = drover__v1__job__get_packed_size(job);
    for (size_t i = 0; plan_may_avoid(job); i = (i + 1) % job->n_steps)
        for (int k = 0; k < 100; k++)
            plan_avoid(job->steps[i], "kvm-0123456789.example.net");
    size_t grown = drover__v1__job__get_packed_size(job) - before;
    assert_true(grown > 500 << 10 && grown < 600 << 10);
    drover__v1__job__free_unpacked(job, NULL);
}

static void assert_remarks(const Drover__V1__Job *job, ...)
{
    va_list ap;
    va_start(ap, job);
    for (size_t i = 0; i < job->n_remarks; i++) {
        const char *expected = va_arg(ap, const char *);
        assert_string_equal(job->remarks[i], expected ? expected : "no further one");
    }
    assert_null(va_arg(ap, const char *));
    va_end(ap);
}

static bool first_guest(void *arg, const char *uuid)
{
    (void)arg;
    return strcmp(uuid + 34, "00") == 0;
}

static bool both_busy(void *arg, const char *uuid)
{
    return first_guest(arg, uuid) || strcmp(uuid + 34, "01") == 0;
}

static void the_busy_are_spread_by_what_they_use(void **state)
{
    (void)state;
    struct fleet fleet;
    make_fleet(&fleet, true);
    Drover__V1__Job *job = planned(&fleet, "balance", NULL);
    assert_true(job->n_steps >= 1);
    assert_memory_equal(job->steps[0]->guest, "busy", 4);
    assert_remarks(job,
                   "CPU time in use, by host: 2 % to 89 %, then 46 % to 46 %; memory in use, by host: 25 % "
                   "to 25 %, then 25 % to 25 %",
                   NULL);
    drover__v1__job__free_unpacked(job, NULL);

    /* One that moved a short while ago is not sent on; with both, there is nothing left that pays. */
    job = planned(&fleet, "balance", first_guest);
    assert_string_equal(job->steps[0]->guest, "busy1");
    drover__v1__job__free_unpacked(job, NULL);
    job = planned(&fleet, "balance", both_busy);
    assert_int_equal(job->n_steps, 0);
    assert_remarks(job, "nothing to gain: no move would make the load enough more even",
                   "CPU time in use, by host: 2 % to 89 %, then 2 % to 89 %; memory in use, by host: 25 % to "
                   "25 %, then 25 % to 25 %",
                   "left where they are, because they moved within the last 30 min: busy0, busy1", NULL);
    drover__v1__job__free_unpacked(job, NULL);
    fleet_deinit(&fleet);
}

static void without_a_measure_it_says_so(void **state)
{
    (void)state;
    struct fleet fleet;
    make_fleet(&fleet, false);
    Drover__V1__Job *job = planned(&fleet, "balance", NULL);
    assert_int_equal(job->n_steps, 0); /* as many guests and vCPUs on either */
    assert_string_equal(
        job->remarks[1],
        "no agent has measured its host's load yet (that takes half a minute from its start): "
        "planned by memory and vCPUs");
    drover__v1__job__free_unpacked(job, NULL);
    fleet_deinit(&fleet);

    make_fleet(&fleet, true);
    fleet.hosts[1].usage.known = false;
    job = planned(&fleet, "balance", NULL);
    assert_string_equal(job->remarks[0],
                        "kvm2: the load is not measured yet, and taken to be like the other hosts'");
    drover__v1__job__free_unpacked(job, NULL);
    fleet_deinit(&fleet);
}

static void hosts_are_not_emptied_onto_busy_ones(void **state)
{
    (void)state;
    struct fleet fleet;
    make_fleet(&fleet, true);
    Drover__V1__Job *job = planned(&fleet, "consolidate", both_busy);
    assert_string_equal(job->emptied, "kvm2"); /* 14.3 of 16 CPUs, and a tenth stays free */
    drover__v1__job__free_unpacked(job, NULL);
    job = planned_with(&fleet, "consolidate", 20, both_busy);
    assert_string_equal(job->emptied, "");
    drover__v1__job__free_unpacked(job, NULL);
    fleet.hosts[0].usage.cpu_other = fleet.hosts[1].usage.cpu_other = 400;
    job = planned(&fleet, "consolidate", NULL);
    assert_string_equal(job->emptied, "");
    drover__v1__job__free_unpacked(job, NULL);
    job = planned_with(&fleet, "consolidate", -1, NULL);
    assert_string_equal(job->emptied, "kvm2");
    drover__v1__job__free_unpacked(job, NULL);
    fleet_deinit(&fleet);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plan_fits_a_message),
        cmocka_unit_test(the_busy_are_spread_by_what_they_use),
        cmocka_unit_test(without_a_measure_it_says_so),
        cmocka_unit_test(hosts_are_not_emptied_onto_busy_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
