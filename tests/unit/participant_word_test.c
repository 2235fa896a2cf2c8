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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_operator_decides_only_what_nobody_else_can),
        cmocka_unit_test(what_was_given_away_is_gone_only_without_a_qemu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
