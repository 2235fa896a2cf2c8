/* The agent's half of a migration, and what an operator's word may change of it. */
#include "agent/core/participant.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void an_operator_decides_only_what_nobody_else_can(void **state)
{
    (void)state;
    const struct {
        enum participant_guest guest;
        bool job;
        enum participant_answer kept, gone;
    } rows[] = {
        {PARTICIPANT_OFF, false, PARTICIPANT_IS_KEPT, PARTICIPANT_IS_GONE},
        {PARTICIPANT_ABSENT, false, PARTICIPANT_IS_KEPT, PARTICIPANT_IS_GONE},
        {PARTICIPANT_OFF, true, PARTICIPANT_IN_DOUBT, PARTICIPANT_IN_DOUBT},
        {PARTICIPANT_UNASKED, false, PARTICIPANT_IN_DOUBT, PARTICIPANT_IN_DOUBT},
        {PARTICIPANT_RUNNING, false, PARTICIPANT_IS_KEPT, PARTICIPANT_IS_KEPT},
        {PARTICIPANT_PAUSED, false, PARTICIPANT_IS_KEPT, PARTICIPANT_IS_KEPT},
        {PARTICIPANT_OFF_MIGRATED, false, PARTICIPANT_IS_GONE, PARTICIPANT_IS_GONE},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct participant p = {.role = PARTICIPANT_SOURCE, .state = PARTICIPANT_MIGRATING};
        const struct participant_facts f = {.guest = rows[i].guest, .job = rows[i].job};
        assert_int_equal(participant_step(&p, PARTICIPANT_SETTLE_KEPT, &f).answer, rows[i].kept);
        assert_int_equal(participant_step(&p, PARTICIPANT_SETTLE_GONE, &f).answer, rows[i].gone);
    }
}

/* It runs elsewhere: a copy that is here is not ended on somebody's word, and never said to be gone, nor kept. */
static void what_was_given_away_is_gone_only_without_a_qemu(void **state)
{
    (void)state;
    static const enum participant_state states[] = {PARTICIPANT_NONE, PARTICIPANT_PREPARED,
                                                    PARTICIPANT_MIGRATING, PARTICIPANT_KEPT};
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        const struct participant p = {.role = PARTICIPANT_SOURCE, .state = states[i]};
        struct participant_facts f = {.guest = PARTICIPANT_RUNNING};
        struct participant_step s = participant_step(&p, PARTICIPANT_SETTLE_GRANTED, &f);
        assert_int_equal(s.answer, PARTICIPANT_IN_DOUBT);
        assert_int_equal(s.actions, 0);
        assert_int_equal(s.first, states[i]);
        f.guest = PARTICIPANT_PAUSED;
        assert_int_equal(participant_step(&p, PARTICIPANT_SETTLE_GRANTED, &f).answer, PARTICIPANT_IN_DOUBT);
        f.guest = PARTICIPANT_UNASKED;
        assert_int_equal(participant_step(&p, PARTICIPANT_SETTLE_GRANTED, &f).answer, PARTICIPANT_IN_DOUBT);
        f.guest = PARTICIPANT_OFF;
        assert_int_equal(participant_step(&p, PARTICIPANT_SETTLE_GRANTED, &f).answer, PARTICIPANT_IS_GONE);
    }
}

/* It runs at the source again: as above, the other way round. */
static void what_was_taken_back_is_buried_only_without_a_qemu(void **state)
{
    (void)state;
    static const enum participant_state owned[] = {PARTICIPANT_OWNER, PARTICIPANT_ACTIVATED};
    for (size_t i = 0; i < 2; i++) {
        const struct participant p = {.role = PARTICIPANT_DESTINATION, .state = owned[i]};
        for (int guest = PARTICIPANT_INCOMING; guest <= PARTICIPANT_RUNNING; guest++) {
            const struct participant_facts f = {.guest = (enum participant_guest)guest};
            struct participant_step s = participant_step(&p, PARTICIPANT_ABORT_TAKEN, &f);
            assert_int_equal(s.answer, PARTICIPANT_IN_DOUBT);
            assert_int_equal(s.actions, 0);
            assert_int_equal(s.first, owned[i]);
        }
        struct participant_facts f = {.guest = PARTICIPANT_UNASKED};
        assert_int_equal(participant_step(&p, PARTICIPANT_ABORT_TAKEN, &f).answer, PARTICIPANT_IN_DOUBT);
        f.guest = PARTICIPANT_OFF;
        struct participant_step s = participant_step(&p, PARTICIPANT_ABORT_TAKEN, &f);
        assert_int_equal(s.answer, PARTICIPANT_DONE);
        assert_int_equal(s.first, PARTICIPANT_TOMBSTONE);
        assert_int_equal(s.actions, PARTICIPANT_UNDO);
        assert_int_equal(participant_step(&p, PARTICIPANT_ABORT, &f).answer, PARTICIPANT_REFUSED);
    }
    struct participant p = {.role = PARTICIPANT_DESTINATION, .state = PARTICIPANT_PREPARED};
    struct participant_facts f = {.guest = PARTICIPANT_PAUSED}; /* an image that waits is nobody's guest */
    assert_int_equal(participant_step(&p, PARTICIPANT_ABORT_TAKEN, &f).actions, PARTICIPANT_UNDO);
    f.guest = PARTICIPANT_RUNNING; /* libvirt has let it run: it is */
    assert_int_equal(participant_step(&p, PARTICIPANT_ABORT_TAKEN, &f).answer, PARTICIPANT_IN_DOUBT);
    /* Found by tests/sim: its record is lost, and nothing says that it was defined by it. */
    p = (struct participant){.role = PARTICIPANT_DESTINATION, .state = PARTICIPANT_NONE, .transferred = true};
    f.guest = PARTICIPANT_OFF;
    assert_int_equal(participant_step(&p, PARTICIPANT_ABORT_TAKEN, &f).answer, PARTICIPANT_IN_DOUBT);
    f.guest = PARTICIPANT_ABSENT;
    assert_int_equal(participant_step(&p, PARTICIPANT_ABORT_TAKEN, &f).answer, PARTICIPANT_DONE);
}

/* Two coordinators, and a record that was tidied away: the definition is the destination's. */
static void what_is_defined_nowhere_here_is_not_put_back(void **state)
{
    (void)state;
    const struct participant p = {.role = PARTICIPANT_SOURCE, .transferred = true, .definition_only = true};
    struct participant_facts f = {.guest = PARTICIPANT_ABSENT};
    assert_int_equal(participant_step(&p, PARTICIPANT_COLD_START, &f).answer, PARTICIPANT_IN_DOUBT);
    f.guest = PARTICIPANT_OFF;
    assert_int_equal(participant_step(&p, PARTICIPANT_COLD_START, &f).answer, PARTICIPANT_DONE);
}

/* Found by tests/model (KEPT_STAYS): it had said KEPT to nobody, its host was switched off, and the guest was given away. It stayed defined
 * at both hosts, and a destination that lost the image could not have it started here. */
static void what_was_kept_and_given_away_is_released_and_started_like_the_rest(void **state)
{
    (void)state;
    struct participant p = {.role = PARTICIPANT_SOURCE, .state = PARTICIPANT_KEPT};
    const struct participant_facts f = {.guest = PARTICIPANT_OFF};
    p.state = participant_step(&p, PARTICIPANT_SETTLE_GRANTED, &f).then;
    assert_int_equal(participant_step(&p, PARTICIPANT_RELEASE, &f).actions, PARTICIPANT_RETIRE);
    struct participant_step s = participant_step(&p, PARTICIPANT_COLD_START, &f);
    assert_int_equal(s.answer, PARTICIPANT_DONE);
    assert_int_equal(s.actions, PARTICIPANT_START);
    assert_false(participant_is_open(PARTICIPANT_SOURCE,
                                     PARTICIPANT_KEPT)); /* else it would lock the guest for ever */
}

/* Found by tests/model (LEFT_IS_KEPT): post-copy was allowed, pre-copy converged, and libvirtd was killed after Finish had let the guest
 * run at the destination: it leaves the guest paused here. */
static void what_libvirt_may_have_let_run_there_is_not_resumed_here(void **state)
{
    (void)state;
    struct participant p = {
        .role = PARTICIPANT_SOURCE, .state = PARTICIPANT_MIGRATING, .may_post_copy = true};
    struct participant_facts f = {.guest = PARTICIPANT_PAUSED};
    struct participant_step s = participant_step(&p, PARTICIPANT_SETTLE, &f);
    assert_int_equal(s.answer, PARTICIPANT_IN_DOUBT);
    assert_int_equal(s.then, PARTICIPANT_MIGRATING);
    assert_int_equal(s.actions, 0);
    s = participant_step(&p, PARTICIPANT_SETTLE_KEPT, &f); /* an operator has looked: it does not run there */
    assert_int_equal(s.then, PARTICIPANT_KEPT);
    assert_int_equal(s.actions, PARTICIPANT_RESUME_SOURCE);
    p.paused_by_us = f.operators_pause = true; /* the ladder's pause, which libvirt calls the operator's */
    assert_int_equal(participant_step(&p, PARTICIPANT_SETTLE, &f).answer, PARTICIPANT_IN_DOUBT);
    assert_int_equal(participant_step(&p, PARTICIPANT_SETTLE_KEPT, &f).actions, PARTICIPANT_RESUME_SOURCE);
    f.guest = PARTICIPANT_RUNNING; /* it failed before the switch-over */
    assert_int_equal(participant_step(&p, PARTICIPANT_SETTLE, &f).answer, PARTICIPANT_IS_KEPT);
}

/* LOST, and an operator has started the guest at the source before he was asked to: COLD START was refused for ever. */
static void what_was_started_by_hand_after_it_was_lost_is_the_guest(void **state)
{
    (void)state;
    const struct participant p = {.role = PARTICIPANT_SOURCE, .state = PARTICIPANT_FENCED};
    struct participant_facts f = {.guest = PARTICIPANT_RUNNING};
    struct participant_step s = participant_step(&p, PARTICIPANT_COLD_START, &f);
    assert_int_equal(s.answer, PARTICIPANT_DONE);
    assert_int_equal(s.then, PARTICIPANT_COLD);
    assert_int_equal(s.actions, 0);
    f.job = true; /* libvirt is about to end it */
    assert_int_equal(participant_step(&p, PARTICIPANT_COLD_START, &f).answer, PARTICIPANT_IN_DOUBT);
    f.job = false;
    f.post_copy = true; /* half of it */
    assert_int_equal(participant_step(&p, PARTICIPANT_COLD_START, &f).answer, PARTICIPANT_REFUSED);
    f = (struct participant_facts){
        .guest = PARTICIPANT_PAUSED}; /* left behind: it is ended, and another one started */
    assert_int_equal(participant_step(&p, PARTICIPANT_COLD_START, &f).actions,
                     PARTICIPANT_END | PARTICIPANT_START);
    f.operators_pause = true;
    assert_int_equal(participant_step(&p, PARTICIPANT_COLD_START, &f).answer, PARTICIPANT_REFUSED);
    f = (struct participant_facts){.guest = PARTICIPANT_RUNNING};
    assert_int_equal(participant_step(&p, PARTICIPANT_RELEASE, &f).answer,
                     PARTICIPANT_REFUSED); /* it has not been lost */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_operator_decides_only_what_nobody_else_can),
        cmocka_unit_test(what_was_given_away_is_gone_only_without_a_qemu),
        cmocka_unit_test(what_was_taken_back_is_buried_only_without_a_qemu),
        cmocka_unit_test(what_is_defined_nowhere_here_is_not_put_back),
        cmocka_unit_test(what_was_kept_and_given_away_is_released_and_started_like_the_rest),
        cmocka_unit_test(what_libvirt_may_have_let_run_there_is_not_resumed_here),
        cmocka_unit_test(what_was_started_by_hand_after_it_was_lost_is_the_guest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
