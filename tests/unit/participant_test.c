/* The agent's half of a migration: every state with every event and every fact. Both halves together: participants_test.c. */
#include "agent/core/participant.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- one half, everything -------------------------------------------------------------------------------------- */

typedef void (*visit)(const struct participant *p, enum participant_event e,
                      const struct participant_facts *f, const struct participant_step *s);

static void each(visit fn)
{
    for (unsigned role = 0; role < 2; role++)
        for (unsigned state = 0; state < PARTICIPANT_STATES; state++)
            for (unsigned event = 0; event < PARTICIPANT_EVENTS; event++)
                for (unsigned guest = PARTICIPANT_UNASKED; guest <= PARTICIPANT_RUNNING; guest++)
                    for (unsigned bits = 0; bits < 16384; bits++) {
                        if (!participant_can_be(role, state))
                            continue;
                        struct participant p = {role,
                                                state,
                                                bits & 1,
                                                bits & 2,
                                                .post_copy = bits & 512,
                                                .may_post_copy = bits & 1024,
                                                .transferred = bits & 128,
                                                .owes_resume = bits & 256,
                                                .others_pause = bits & 8192,
                                                .from_disks =
                                                    bits & 2, /* of a destination, those of a source */
                                                .image_ended = bits & 256,
                                                .autostart = bits & 4096,
                                                .owes_autostart = bits & 256,
                                                .copies = bits & 512,
                                                .copied = bits & 512};
                        struct participant_facts f = {guest,       bits & 4,    bits & 8,
                                                      bits & 16,   bits & 32,   bits & 64,
                                                      bits & 2048, bits & 4096, bits & 1024};
                        struct participant_step s = participant_step(&p, event, &f);
                        fn(&p, event, &f, &s);
                    }
}

static void check_table(const struct participant *p, enum participant_event e,
                        const struct participant_facts *f, const struct participant_step *s)
{
    (void)e;
    (void)f;
    assert_true(participant_may_move(p->role, p->state, s->first));
    assert_true(participant_may_move(p->role, s->first, s->then));
    if (s->answer == PARTICIPANT_REFUSED) {
        assert_int_equal(s->first, p->state);
        assert_int_equal(s->actions, 0);
        assert_non_null(s->why);
    }
    if (s->answer == PARTICIPANT_IN_DOUBT)
        assert_non_null(s->why);
}

static void moves_are_in_the_table(void **state)
{
    (void)state;
    each(check_table);
}

static bool is_lost(const struct participant *p)
{
    return p->state == PARTICIPANT_NONE && p->transferred;
}

static void check_words(const struct participant *p, enum participant_event e,
                        const struct participant_facts *f, const struct participant_step *s)
{
    switch (s->answer) {
    case PARTICIPANT_IS_KEPT: assert_int_equal(s->first, PARTICIPANT_KEPT); break;
    case PARTICIPANT_IS_GONE:
        assert_true(s->then == PARTICIPANT_FENCED || s->then == PARTICIPANT_RELEASED ||
                    p->state == PARTICIPANT_COLD);
        break;
    case PARTICIPANT_RUNS:
        assert_true(s->then == PARTICIPANT_ACTIVATED || s->then == PARTICIPANT_RELEASED);
        break;
    case PARTICIPANT_IS_LOST: assert_int_equal(s->first, PARTICIPANT_TOMBSTONE); break;
    default: break;
    }
    if (s->actions & PARTICIPANT_RESUME_SOURCE)
        assert_int_equal(s->first, PARTICIPANT_KEPT);
    if (s->actions & PARTICIPANT_PAUSE)
        assert_true(p->others_pause &&
                    s->first == (p->role == PARTICIPANT_SOURCE ? PARTICIPANT_KEPT : PARTICIPANT_OWNER));
    if (p->others_pause) /* who paused it wants it so */
        assert_false(s->actions & (PARTICIPANT_RESUME_SOURCE | PARTICIPANT_RESUME));
    if (s->actions & (PARTICIPANT_RESUME | PARTICIPANT_DEFINE))
        assert_int_equal(s->first, PARTICIPANT_OWNER);
    if (s->actions & PARTICIPANT_RESUME) /* the word was for the disks */
        assert_false(p->state == PARTICIPANT_OWNER ? p->from_disks : e == PARTICIPANT_ACTIVATE_COLD);
    if (s->by_word)
        assert_true(e == PARTICIPANT_SETTLE_GONE && s->first == PARTICIPANT_FENCED &&
                    p->state != PARTICIPANT_FENCED);
    if (s->actions & PARTICIPANT_UNDO)
        assert_int_equal(s->first, PARTICIPANT_TOMBSTONE);
    if (p->state == PARTICIPANT_OWNER && p->copied &&
        e !=
            PARTICIPANT_ABORT_TAKEN) /* else the source would start from older disks, without an operator's word */
        assert_int_not_equal(s->first, PARTICIPANT_TOMBSTONE);
    if (s->actions & PARTICIPANT_RETIRE)
        assert_int_equal(s->first, PARTICIPANT_FENCED);
    if (s->actions & PARTICIPANT_TELL_PEER)
        assert_int_equal(s->then, PARTICIPANT_FENCED);
    bool source = p->role == PARTICIPANT_SOURCE;
    if (s->actions & PARTICIPANT_START)
        assert_int_equal(s->first, source ? PARTICIPANT_COLD : PARTICIPANT_OWNER);
    if (s->actions & PARTICIPANT_END && !source) /* never what runs, and never what was started */
        assert_true(s->first == PARTICIPANT_OWNER && f->guest != PARTICIPANT_RUNNING && !p->image_ended);
    if (s->actions & PARTICIPANT_END &&
        source) /* only what was settled as gone, and only if nobody paused it */
        assert_true(p->state == PARTICIPANT_FENCED && f->guest == PARTICIPANT_PAUSED && !f->job &&
                    (p->paused_by_us || p->others_pause || !f->operators_pause) && !p->superseded);
    if (s->actions & (PARTICIPANT_START_JOB | PARTICIPANT_STOP_JOB))
        assert_int_equal(s->then, PARTICIPANT_MIGRATING);
    if (is_lost(p) && e == PARTICIPANT_SETTLE && s->first == PARTICIPANT_KEPT)
        assert_true(f->guest == PARTICIPANT_RUNNING && !f->job && !f->post_copy);
    if (is_lost(p) && e == PARTICIPANT_SETTLE && s->first == PARTICIPANT_FENCED)
        assert_true(f->guest != PARTICIPANT_RUNNING &&
                    (f->committed || f->call_succeeded || f->guest == PARTICIPANT_OFF_MIGRATED));
    if (is_lost(p)) /* an image that is gone may have run here */
        assert_int_not_equal(s->answer, PARTICIPANT_IS_LOST);
    if (p->state == PARTICIPANT_MIGRATING && s->first == PARTICIPANT_FENCED &&
        (e == PARTICIPANT_SETTLE_GONE || e == PARTICIPANT_SETTLE_GRANTED))
        assert_true(f->guest != PARTICIPANT_RUNNING && f->guest != PARTICIPANT_UNASKED);
    else if (p->state == PARTICIPANT_MIGRATING && s->first == PARTICIPANT_FENCED)
        assert_true(f->guest != PARTICIPANT_RUNNING &&
                    (f->committed || f->call_succeeded || f->guest == PARTICIPANT_OFF_MIGRATED));
    if (p->state == PARTICIPANT_KEPT && s->first == PARTICIPANT_FENCED)
        assert_true(e == PARTICIPANT_SETTLE_GRANTED && !f->job &&
                    (f->guest == PARTICIPANT_ABSENT || f->guest == PARTICIPANT_OFF ||
                     f->guest == PARTICIPANT_OFF_MIGRATED));
    if (p->role == PARTICIPANT_DESTINATION)
        assert_false(s->actions & (PARTICIPANT_RETIRE | PARTICIPANT_RESUME_SOURCE));
    if (p->role == PARTICIPANT_DESTINATION && f->by_hand && f->guest == PARTICIPANT_RUNNING)
        assert_false(s->actions &
                     (PARTICIPANT_PAUSE | PARTICIPANT_END)); /* the last word is the operator's */
}

/* A host that starts again starts nothing that may run elsewhere: the guest's autostart is off before the step is durable. */
static void check_autostart(const struct participant *p, enum participant_event e,
                            const struct participant_facts *f, const struct participant_step *s)
{
    (void)e;
    bool on = p->state == PARTICIPANT_PREPARED || p->state == PARTICIPANT_KEPT;
    bool leaves = s->then == PARTICIPANT_MIGRATING || s->then == PARTICIPANT_FENCED;
    bool source = p->role == PARTICIPANT_SOURCE;
    assert_int_equal(!!(s->actions & PARTICIPANT_AUTOSTART_OFF), source && p->autostart && on && leaves);
    if (s->actions & PARTICIPANT_AUTOSTART_OFF)
        assert_int_equal(s->first, p->state);
    bool back = source && p->owes_autostart && (p->state != PARTICIPANT_NONE || p->transferred) &&
                f->guest != PARTICIPANT_UNASKED &&
                (s->then == PARTICIPANT_KEPT || s->then == PARTICIPANT_COLD);
    if (s->actions & PARTICIPANT_AUTOSTART_ON)
        assert_true(back);
    if (back && (s->answer == PARTICIPANT_IS_KEPT || e == PARTICIPANT_LOOK))
        assert_true(s->actions & PARTICIPANT_AUTOSTART_ON);
}

static void autostart_is_off_before_the_guest_may_leave(void **state)
{
    (void)state;
    each(check_autostart);
}

static void words_and_deeds_rest_on_what_is_durable(void **state)
{
    (void)state;
    each(check_words);
}

static void check_harm(const struct participant *p, enum participant_event e,
                       const struct participant_facts *f, const struct participant_step *s)
{
    if (f->guest == PARTICIPANT_UNASKED) /* nothing is done to a guest that was not looked at */
        assert_false(s->actions & ~(unsigned)PARTICIPANT_TELL_PEER);
    if (f->post_copy && !f->committed && p->role == PARTICIPANT_SOURCE && p->state == PARTICIPANT_MIGRATING &&
        f->guest >= PARTICIPANT_INCOMING) {
        assert_false(s->actions & PARTICIPANT_STOP_JOB);
        assert_int_equal(s->first, PARTICIPANT_MIGRATING);
    }
    if (f->operators_pause && !p->paused_by_us)
        assert_false(s->actions & PARTICIPANT_RESUME_SOURCE);
    if (p->post_copy && p->state == PARTICIPANT_MIGRATING) /* it may switch over any moment */
        assert_false(s->actions & PARTICIPANT_STOP_JOB);
    if ((p->post_copy || p->may_post_copy) && p->state == PARTICIPANT_MIGRATING && /* or have switched over */
        e != PARTICIPANT_SETTLE_KEPT)
        assert_false(s->actions & PARTICIPANT_RESUME_SOURCE);
    if (f->post_copy && p->role == PARTICIPANT_DESTINATION && e == PARTICIPANT_ABORT)
        assert_false(s->actions & PARTICIPANT_UNDO);
}

static void nothing_is_harmed_in_the_dark(void **state)
{
    (void)state;
    each(check_harm);
}

static void check_repeat(const struct participant *p, enum participant_event e,
                         const struct participant_facts *f, const struct participant_step *s)
{
    if (s->answer != PARTICIPANT_DONE && s->answer != PARTICIPANT_IS_KEPT &&
        s->answer != PARTICIPANT_IS_GONE && s->answer != PARTICIPANT_RUNS && s->answer != PARTICIPANT_IS_LOST)
        return;
    struct participant after = *p;
    after.state = s->then;
    struct participant_step again = participant_step(&after, e, f);
    if (p->role == PARTICIPANT_SOURCE && e == PARTICIPANT_MIGRATE && s->then == PARTICIPANT_FENCED)
        return; /* settled by itself: a repeated MIGRATE is refused, SETTLE tells */
    if (again.answer == PARTICIPANT_IN_DOUBT && f->guest == PARTICIPANT_UNASKED)
        return;
    assert_int_equal(again.answer, s->answer);
    assert_int_equal(again.then, s->then);
}

static void a_repeated_message_gets_the_same_answer(void **state)
{
    (void)state;
    each(check_repeat);
}

static void names_go_both_ways(void **state)
{
    (void)state;
    for (unsigned i = 0; i < PARTICIPANT_STATES; i++)
        assert_int_equal(participant_state_of(participant_state_name(i)), i);
    assert_int_equal(participant_state_of("nonsense"), PARTICIPANT_STATES);
}

static void the_settle_table(void **state)
{
    (void)state;
    static const struct {
        enum participant_state state;
        struct participant_facts facts;
        enum participant_answer answer;
        unsigned actions;
    } rows[] = {
        {PARTICIPANT_NONE, {PARTICIPANT_RUNNING}, PARTICIPANT_IS_KEPT, 0},
        {PARTICIPANT_NONE, {PARTICIPANT_UNASKED}, PARTICIPANT_IS_KEPT, 0},
        {PARTICIPANT_NONE, {PARTICIPANT_OFF_MIGRATED}, PARTICIPANT_IS_KEPT, 0},
        {PARTICIPANT_PREPARED, {PARTICIPANT_UNASKED}, PARTICIPANT_IS_KEPT, 0},
        {PARTICIPANT_MIGRATING, {PARTICIPANT_UNASKED}, PARTICIPANT_IN_DOUBT, 0},
        {PARTICIPANT_MIGRATING,
         {PARTICIPANT_RUNNING, .job = true},
         PARTICIPANT_NO_ANSWER,
         PARTICIPANT_STOP_JOB},
        {PARTICIPANT_MIGRATING, {PARTICIPANT_RUNNING}, PARTICIPANT_IS_KEPT, 0},
        {PARTICIPANT_MIGRATING, {PARTICIPANT_PAUSED}, PARTICIPANT_IS_KEPT, PARTICIPANT_RESUME_SOURCE},
        {PARTICIPANT_MIGRATING, {PARTICIPANT_PAUSED, .operators_pause = true}, PARTICIPANT_IS_KEPT, 0},
        {PARTICIPANT_MIGRATING,
         {PARTICIPANT_PAUSED, .call_succeeded = true},
         PARTICIPANT_IS_KEPT,
         PARTICIPANT_RESUME_SOURCE},
        {PARTICIPANT_MIGRATING, {PARTICIPANT_PAUSED, true, true}, PARTICIPANT_IN_DOUBT, 0},
        {PARTICIPANT_MIGRATING, {PARTICIPANT_PAUSED, true, .committed = true}, PARTICIPANT_IS_GONE, 0},
        {PARTICIPANT_MIGRATING, {PARTICIPANT_RUNNING, .committed = true}, PARTICIPANT_IS_KEPT, 0},
        {PARTICIPANT_MIGRATING, {PARTICIPANT_OFF_MIGRATED}, PARTICIPANT_IS_GONE, 0},
        {PARTICIPANT_MIGRATING, {PARTICIPANT_OFF, .call_succeeded = true}, PARTICIPANT_IS_GONE, 0},
        {PARTICIPANT_MIGRATING, {PARTICIPANT_ABSENT, .call_succeeded = true}, PARTICIPANT_IS_GONE, 0},
        {PARTICIPANT_MIGRATING, {PARTICIPANT_OFF}, PARTICIPANT_IN_DOUBT, 0},
        {PARTICIPANT_MIGRATING, {PARTICIPANT_ABSENT}, PARTICIPANT_IN_DOUBT, 0},
        {PARTICIPANT_MIGRATING, {PARTICIPANT_OFF, .ran_to_the_end = true}, PARTICIPANT_IS_KEPT, 0},
        {PARTICIPANT_MIGRATING, {PARTICIPANT_OFF, true, .ran_to_the_end = true}, PARTICIPANT_IN_DOUBT, 0},
        {PARTICIPANT_MIGRATING, {PARTICIPANT_OFF_MIGRATED, .ran_to_the_end = true}, PARTICIPANT_IS_GONE, 0},
        {PARTICIPANT_MIGRATING, {PARTICIPANT_ABSENT, .job = true}, PARTICIPANT_IN_DOUBT, 0},
        {PARTICIPANT_KEPT, {PARTICIPANT_UNASKED}, PARTICIPANT_IS_KEPT, 0},
        {PARTICIPANT_FENCED, {PARTICIPANT_UNASKED}, PARTICIPANT_IS_GONE, 0},
        {PARTICIPANT_RELEASED, {PARTICIPANT_ABSENT}, PARTICIPANT_IS_GONE, 0},
        {PARTICIPANT_COLD, {PARTICIPANT_RUNNING}, PARTICIPANT_IS_GONE, 0},
    };
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct participant p = {PARTICIPANT_SOURCE, rows[i].state, false, false};
        struct participant_step s = participant_step(&p, PARTICIPANT_SETTLE, &rows[i].facts);
        assert_int_equal(s.answer, rows[i].answer);
        assert_int_equal(s.actions, rows[i].actions);
    }
}

/* Found by tests/model (HELD_IS_FOREIGN): paused by the ladder, committed, and libvirtd killed before it ended the QEMU. */
static void what_libvirt_left_behind_is_ended_unless_an_operator_paused_it(void **state)
{
    (void)state;
    const struct participant_facts f = {.guest = PARTICIPANT_PAUSED, .operators_pause = true};
    struct participant p = {.role = PARTICIPANT_SOURCE, .state = PARTICIPANT_FENCED, .paused_by_us = true};
    assert_int_equal(participant_step(&p, PARTICIPANT_RELEASE, &f).actions,
                     PARTICIPANT_END | PARTICIPANT_RETIRE);
    assert_int_equal(participant_step(&p, PARTICIPANT_COLD_START, &f).actions,
                     PARTICIPANT_END | PARTICIPANT_START);
    p.paused_by_us = false;
    assert_int_equal(participant_step(&p, PARTICIPANT_RELEASE, &f).answer, PARTICIPANT_REFUSED);
    assert_int_equal(participant_step(&p, PARTICIPANT_COLD_START, &f).answer, PARTICIPANT_REFUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moves_are_in_the_table),
        cmocka_unit_test(words_and_deeds_rest_on_what_is_durable),
        cmocka_unit_test(autostart_is_off_before_the_guest_may_leave),
        cmocka_unit_test(nothing_is_harmed_in_the_dark),
        cmocka_unit_test(a_repeated_message_gets_the_same_answer),
        cmocka_unit_test(names_go_both_ways),
        cmocka_unit_test(the_settle_table),
        cmocka_unit_test(what_libvirt_left_behind_is_ended_unless_an_operator_paused_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
