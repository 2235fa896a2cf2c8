/* What a transaction makes of libvirt's answers (agent/io/domain.c), which the test plays. */
#include "agent/io/domain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <libvirt/virterror.h>

#define GUEST "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"

static struct {
    int state, reason;
    bool job_fails;
    int job;
} plays;

virDomainPtr __wrap_virDomainLookupByUUIDString(virConnectPtr conn, const char *uuid);
int __wrap_virDomainGetState(virDomainPtr domain, int *state, int *reason, unsigned int flags);
int __wrap_virDomainGetJobInfo(virDomainPtr domain, virDomainJobInfoPtr info);
int __wrap_virDomainFree(virDomainPtr domain);

virDomainPtr __wrap_virDomainLookupByUUIDString(virConnectPtr conn, const char *uuid)
{
    (void)uuid;
    return (virDomainPtr)conn;
}

int __wrap_virDomainGetState(virDomainPtr domain, int *state, int *reason, unsigned int flags)
{
    (void)domain, (void)flags;
    *state = plays.state;
    *reason = plays.reason;
    return 0;
}

int __wrap_virDomainGetJobInfo(virDomainPtr domain, virDomainJobInfoPtr info)
{
    (void)domain;
    if (plays.job_fails)
        return -1;
    info->type = plays.job;
    return 0;
}

int __wrap_virDomainFree(virDomainPtr domain)
{
    (void)domain;
    return 0;
}

static struct participant_facts look(enum participant_role role, int expected)
{
    struct participant_facts facts = {.job = true};
    char text[200];
    int dummy, r = domain_look((virConnectPtr)&dummy, GUEST, role, &facts, text, sizeof(text), NULL);
    assert_int_equal(r < 0 ? -1 : 0, expected);
    return facts;
}

static void a_job_is_seen(void **state)
{
    (void)state;
    plays.state = VIR_DOMAIN_RUNNING;
    plays.job_fails = false;
    plays.job = VIR_DOMAIN_JOB_UNBOUNDED;
    assert_true(look(PARTICIPANT_SOURCE, 0).job);
    plays.job = VIR_DOMAIN_JOB_NONE;
    struct participant_facts f = look(PARTICIPANT_SOURCE, 0);
    assert_false(f.job);
    assert_int_equal(f.guest, PARTICIPANT_RUNNING);
}

/* QEMU's monitor is busy, or the domain has ended since: KEPT would be said of a guest that libvirt goes on to migrate. */
static void an_unanswered_question_is_no_answer_at_the_source(void **state)
{
    (void)state;
    plays.job_fails = true;
    static const int active[] = {VIR_DOMAIN_RUNNING, VIR_DOMAIN_PAUSED};
    for (size_t i = 0; i < 2; i++) {
        plays.state = active[i];
        plays.reason = VIR_DOMAIN_PAUSED_UNKNOWN;
        assert_int_equal(look(PARTICIPANT_SOURCE, -1).guest, PARTICIPANT_UNASKED);
    }
}

/* libvirt refuses it for these by design. */
static void it_is_not_asked_of_what_is_off_or_came(void **state)
{
    (void)state;
    plays.job_fails = true;
    plays.state = VIR_DOMAIN_SHUTOFF;
    plays.reason = VIR_DOMAIN_SHUTOFF_MIGRATED;
    struct participant_facts f = look(PARTICIPANT_SOURCE, 0);
    assert_int_equal(f.guest, PARTICIPANT_OFF_MIGRATED);
    assert_false(f.job);
    plays.state = VIR_DOMAIN_PAUSED;
    plays.reason = VIR_DOMAIN_PAUSED_MIGRATION;
    f = look(PARTICIPANT_DESTINATION, 0);
    assert_int_equal(f.guest, PARTICIPANT_INCOMING);
    assert_false(f.job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_is_seen),
        cmocka_unit_test(an_unanswered_question_is_no_answer_at_the_source),
        cmocka_unit_test(it_is_not_asked_of_what_is_off_or_came),
    };
    if (virInitialize() < 0) /* what failed is asked for, too */
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
