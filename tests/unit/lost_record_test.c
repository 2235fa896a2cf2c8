/* An agent whose records are not what they were: lost, or yesterday's. */
#include "agent/core/participant.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Its state directory was restored, or the record's file is spoilt: MIGRATE may have come. */
static void without_its_record_libvirt_is_the_truth(void **state)
{
    (void)state;
    const struct {
        enum participant_role role;
        enum participant_event event;
        struct participant_facts facts;
        enum participant_state then;
        enum participant_answer answer;
        unsigned actions;
    } rows[] = {
#define S PARTICIPANT_SOURCE
#define D PARTICIPANT_DESTINATION
#define P(x) PARTICIPANT_##x
        {S, P(SETTLE), {P(RUNNING)}, P(KEPT), P(IS_KEPT), 0},
        {S, P(SETTLE), {P(RUNNING), .job = true}, P(NONE), P(IN_DOUBT), 0},
        {S, P(SETTLE), {P(PAUSED)}, P(NONE), P(IN_DOUBT), 0},
        {S, P(SETTLE), {P(OFF_MIGRATED)}, P(FENCED), P(IS_GONE), 0},
        {S, P(SETTLE), {P(OFF)}, P(NONE), P(IN_DOUBT), 0},
        {S, P(SETTLE), {P(UNASKED)}, P(NONE), P(IN_DOUBT), 0},
        {S, P(SETTLE_KEPT), {P(OFF)}, P(KEPT), P(IS_KEPT), 0},
        {S, P(SETTLE_KEPT), {P(PAUSED)}, P(KEPT), P(IS_KEPT), P(RESUME_SOURCE)},
        {S, P(SETTLE_GONE), {P(PAUSED)}, P(FENCED), P(IS_GONE), 0},
        {S, P(SETTLE_GONE), {P(RUNNING)}, P(KEPT), P(IS_KEPT), 0},
        {S, P(RELEASE), {P(OFF)}, P(RELEASED), P(DONE), P(RETIRE)},
        {S, P(RELEASE), {P(RUNNING)}, P(NONE), P(REFUSED), 0},
        /* Found by tests/sim: the paused QEMU was a later migration's image, and was ended. */
        {S, P(RELEASE), {P(PAUSED)}, P(NONE), P(IN_DOUBT), 0},
        {S, P(COLD_START), {P(OFF)}, P(COLD), P(DONE), P(START)},
        {S, P(COLD_START), {P(RUNNING)}, P(COLD), P(DONE), 0},
        {S, P(COLD_START), {P(PAUSED)}, P(NONE), P(IN_DOUBT), 0},
        {D, P(ACTIVATE), {P(PAUSED)}, P(ACTIVATED), P(RUNS), P(DEFINE) | P(RESUME)},
        {D, P(ACTIVATE), {P(RUNNING)}, P(ACTIVATED), P(RUNS), P(DEFINE)},
        {D, P(ACTIVATE), {P(INCOMING)}, P(NONE), P(IN_DOUBT), 0},
        {D, P(ACTIVATE), {P(OFF)}, P(NONE), P(IN_DOUBT), 0},
        {D, P(ABORT), {P(PAUSED)}, P(TOMBSTONE), P(DONE), P(UNDO)},
        {D, P(RELEASE), {P(RUNNING)}, P(RELEASED), P(DONE), 0},
#undef S
#undef D
#undef P
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct participant p = {.role = rows[i].role, .transferred = true};
        struct participant_step s = participant_step(&p, rows[i].event, &rows[i].facts);
        assert_int_equal(s.then, rows[i].then);
        assert_int_equal(s.answer, rows[i].answer);
        assert_int_equal(s.actions, rows[i].actions);
    }
}

/* Found by tests/sim: yesterday's KEPT, beside a QEMU of today's migration that libvirt had left behind, paused. */
static void what_was_kept_is_resumed_only_while_that_is_owed(void **state)
{
    (void)state;
    struct participant p = {.role = PARTICIPANT_SOURCE, .state = PARTICIPANT_KEPT};
    struct participant_facts f = {.guest = PARTICIPANT_PAUSED};
    assert_int_equal(participant_step(&p, PARTICIPANT_LOOK, &f).actions, 0);
    p.owes_resume = true;
    assert_int_equal(participant_step(&p, PARTICIPANT_LOOK, &f).actions, PARTICIPANT_RESUME_SOURCE);
    f.job = true;
    assert_int_equal(participant_step(&p, PARTICIPANT_LOOK, &f).actions, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_its_record_libvirt_is_the_truth),
        cmocka_unit_test(what_was_kept_is_resumed_only_while_that_is_owed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
