/* The agent's half of a migration, and a guest that an operator pauses, resumes or ends in the midst of it. */
#include "agent/core/participant.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* libvirt lets it run when the transfer has failed, and what an operator wanted is made good, once. */
static void a_pause_stays_where_the_guest_is_kept(void **state)
{
    (void)state;
    struct participant p = {.role = PARTICIPANT_SOURCE,
                            .state = PARTICIPANT_MIGRATING,
                            .others_pause = true,
                            .paused_by_us = true};
    struct participant_facts f = {.guest = PARTICIPANT_RUNNING};
    struct participant_step s = participant_step(&p, PARTICIPANT_SETTLE, &f);
    assert_int_equal(s.first, PARTICIPANT_KEPT);
    assert_int_equal(s.actions, PARTICIPANT_PAUSE);
    assert_int_equal(s.answer, PARTICIPANT_IS_KEPT);
    p.state = PARTICIPANT_KEPT; /* the agent was restarted in between */
    assert_int_equal(participant_step(&p, PARTICIPANT_LOOK, &f).actions, PARTICIPANT_PAUSE);
    f.guest = PARTICIPANT_PAUSED; /* struck off */
    assert_int_equal(participant_step(&p, PARTICIPANT_LOOK, &f).actions, PARTICIPANT_PAUSE);
    f.job = true; /* a later transaction's */
    assert_int_equal(participant_step(&p, PARTICIPANT_LOOK, &f).actions, 0);
    f.job = false;
    p.superseded = true;
    assert_int_equal(participant_step(&p, PARTICIPANT_LOOK, &f).actions, 0);
    p.superseded = p.others_pause = false; /* the operator has resumed it since */
    f.guest = PARTICIPANT_RUNNING;
    assert_int_equal(participant_step(&p, PARTICIPANT_LOOK, &f).actions, 0);
}

static void a_pause_stays_where_the_guest_comes_to(void **state)
{
    (void)state;
    struct participant p = {
        .role = PARTICIPANT_DESTINATION, .state = PARTICIPANT_PREPARED, .others_pause = true};
    struct participant_facts f = {.guest = PARTICIPANT_PAUSED, .operators_pause = true};
    struct participant_step s = participant_step(&p, PARTICIPANT_ACTIVATE, &f);
    assert_int_equal(s.first, PARTICIPANT_OWNER);
    assert_int_equal(s.then, PARTICIPANT_ACTIVATED);
    assert_int_equal(s.actions, PARTICIPANT_DEFINE);
    assert_int_equal(s.answer, PARTICIPANT_RUNS);
    p.state = PARTICIPANT_OWNER; /* it was restarted in between */
    assert_int_equal(participant_step(&p, PARTICIPANT_LOOK, &f).actions, PARTICIPANT_DEFINE);
}

/* Found by tests/sim: where post-copy was allowed libvirt itself lets it run at the destination, whoever had paused it. */
static void a_pause_is_made_good_where_libvirt_lets_it_run(void **state)
{
    (void)state;
    struct participant p = {
        .role = PARTICIPANT_DESTINATION, .state = PARTICIPANT_PREPARED, .others_pause = true};
    struct participant_facts f = {.guest = PARTICIPANT_RUNNING};
    assert_int_equal(participant_step(&p, PARTICIPANT_ACTIVATE, &f).actions,
                     PARTICIPANT_DEFINE | PARTICIPANT_PAUSE);
    f.by_hand = true; /* the operator has resumed it there */
    assert_int_equal(participant_step(&p, PARTICIPANT_ACTIVATE, &f).actions, PARTICIPANT_DEFINE);
}

/* Found by tests/sim: and if its answer was lost, the source is left paused as the operator had it, and is not kept. */
static void a_pause_does_not_say_that_it_does_not_run_there(void **state)
{
    (void)state;
    const struct participant p = {.role = PARTICIPANT_SOURCE,
                                  .state = PARTICIPANT_MIGRATING,
                                  .may_post_copy = true,
                                  .others_pause = true};
    const struct participant_facts f = {.guest = PARTICIPANT_PAUSED, .operators_pause = true};
    assert_int_equal(participant_step(&p, PARTICIPANT_SETTLE, &f).answer, PARTICIPANT_IN_DOUBT);
    struct participant_step s = participant_step(&p, PARTICIPANT_SETTLE_KEPT, &f);
    assert_int_equal(s.then, PARTICIPANT_KEPT);
    assert_int_equal(s.actions & PARTICIPANT_RESUME_SOURCE, 0);
}

/* virsh resume, then virsh suspend, before ACTIVATE: the last word is the operator's. */
static void what_has_run_here_is_not_resumed_again(void **state)
{
    (void)state;
    const struct participant p = {.role = PARTICIPANT_DESTINATION, .state = PARTICIPANT_PREPARED};
    struct participant_facts f = {.guest = PARTICIPANT_PAUSED, .ran_here = true};
    assert_int_equal(participant_step(&p, PARTICIPANT_ACTIVATE, &f).actions, PARTICIPANT_DEFINE);
    f.guest = PARTICIPANT_RUNNING;
    assert_int_equal(participant_step(&p, PARTICIPANT_ACTIVATE, &f).actions, PARTICIPANT_DEFINE);
}

/* virsh destroy, a shutdown from inside, a crash: it was not stopped to switch over, so nothing newer is elsewhere. */
static void what_ran_until_it_ended_was_never_gone(void **state)
{
    (void)state;
    struct participant p = {.role = PARTICIPANT_SOURCE, .state = PARTICIPANT_MIGRATING};
    struct participant_facts f = {.guest = PARTICIPANT_OFF, .ran_to_the_end = true};
    assert_int_equal(participant_step(&p, PARTICIPANT_SETTLE, &f).answer, PARTICIPANT_IS_KEPT);
    f.guest = PARTICIPANT_ABSENT; /* a transient one */
    assert_int_equal(participant_step(&p, PARTICIPANT_SETTLE, &f).answer, PARTICIPANT_IS_KEPT);
    f.ran_to_the_end = false;
    assert_int_equal(participant_step(&p, PARTICIPANT_SETTLE, &f).answer, PARTICIPANT_IN_DOUBT);
    f.committed = f.ran_to_the_end = true;
    assert_int_equal(participant_step(&p, PARTICIPANT_SETTLE, &f).answer, PARTICIPANT_IS_GONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pause_stays_where_the_guest_is_kept),
        cmocka_unit_test(a_pause_stays_where_the_guest_comes_to),
        cmocka_unit_test(a_pause_is_made_good_where_libvirt_lets_it_run),
        cmocka_unit_test(a_pause_does_not_say_that_it_does_not_run_there),
        cmocka_unit_test(what_has_run_here_is_not_resumed_again),
        cmocka_unit_test(what_ran_until_it_ended_was_never_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
