/* The agent's half of a migration: every state with every event and every fact, then both halves together with a libvirt,
 * messages in any order, lost and repeated, and crashes between any two steps. */
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
                    for (unsigned bits = 0; bits < 512; bits++) {
                        if (!participant_can_be(role, state))
                            continue;
                        struct participant p = {role,
                                                state,
                                                bits & 1,
                                                bits & 2,
                                                .transferred = bits & 128,
                                                .owes_resume = bits & 256};
                        struct participant_facts f = {guest,     bits & 4,  bits & 8,
                                                      bits & 16, bits & 32, bits & 64};
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
        assert_true(s->first == PARTICIPANT_FENCED || s->first == PARTICIPANT_RELEASED ||
                    (e == PARTICIPANT_SETTLE_GRANTED && s->first == PARTICIPANT_KEPT &&
                     f->guest < PARTICIPANT_INCOMING && f->guest != PARTICIPANT_UNASKED));
        break;
    case PARTICIPANT_RUNS:
        assert_true(s->then == PARTICIPANT_ACTIVATED || s->then == PARTICIPANT_RELEASED);
        break;
    case PARTICIPANT_IS_LOST: assert_int_equal(s->first, PARTICIPANT_TOMBSTONE); break;
    default: break;
    }
    if (s->actions & PARTICIPANT_RESUME_SOURCE)
        assert_int_equal(s->first, PARTICIPANT_KEPT);
    if (s->actions & (PARTICIPANT_RESUME | PARTICIPANT_DEFINE))
        assert_int_equal(s->first, PARTICIPANT_OWNER);
    if (s->actions & PARTICIPANT_UNDO)
        assert_int_equal(s->first, PARTICIPANT_TOMBSTONE);
    if (s->actions & (PARTICIPANT_RETIRE | PARTICIPANT_TELL_PEER))
        assert_int_equal(s->first, PARTICIPANT_FENCED);
    if (s->actions & PARTICIPANT_START)
        assert_int_equal(s->first, PARTICIPANT_COLD);
    if (s->actions & PARTICIPANT_END) /* only what was settled as gone, and only if nobody paused it */
        assert_true((p->state == PARTICIPANT_FENCED || is_lost(p)) && f->guest == PARTICIPANT_PAUSED &&
                    !f->job && (p->paused_by_us || !f->operators_pause) && !p->superseded);
    if (s->actions & PARTICIPANT_START_JOB)
        assert_int_equal(s->first, PARTICIPANT_MIGRATING);
    if (s->actions & PARTICIPANT_STOP_JOB)
        assert_true(s->first == PARTICIPANT_MIGRATING || (is_lost(p) && s->first == PARTICIPANT_NONE));
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
    if (p->role == PARTICIPANT_DESTINATION)
        assert_false(s->actions & (PARTICIPANT_RETIRE | PARTICIPANT_RESUME_SOURCE | PARTICIPANT_START));
}

static void words_and_deeds_rest_on_what_is_durable(void **state)
{
    (void)state;
    each(check_words);
}

static void check_harm(const struct participant *p, enum participant_event e,
                       const struct participant_facts *f, const struct participant_step *s)
{
    (void)e;
    if (f->guest == PARTICIPANT_UNASKED) /* nothing is done to a guest that was not looked at */
        assert_false(s->actions & ~(unsigned)PARTICIPANT_TELL_PEER);
    if (f->post_copy && !f->committed && p->role == PARTICIPANT_SOURCE && p->state == PARTICIPANT_MIGRATING &&
        f->guest >= PARTICIPANT_INCOMING) {
        assert_false(s->actions & PARTICIPANT_STOP_JOB);
        assert_int_equal(s->first, PARTICIPANT_MIGRATING);
    }
    if (f->operators_pause && !p->paused_by_us)
        assert_false(s->actions & PARTICIPANT_RESUME_SOURCE);
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
        {PARTICIPANT_MIGRATING, {PARTICIPANT_ABSENT, .job = true}, PARTICIPANT_IN_DOUBT, 0},
        {PARTICIPANT_KEPT, {PARTICIPANT_UNASKED}, PARTICIPANT_IS_KEPT, 0},
        {PARTICIPANT_FENCED, {PARTICIPANT_UNASKED}, PARTICIPANT_IS_GONE, 0},
        {PARTICIPANT_RELEASED, {PARTICIPANT_ABSENT}, PARTICIPANT_IS_GONE, 0},
        {PARTICIPANT_COLD, {PARTICIPANT_RUNNING}, PARTICIPANT_REFUSED, 0},
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

/* ---- both halves, and libvirt ---------------------------------------------------------------------------------- */

/* handover.pml with the real code in the agents' places. Durable: source, destination, what the coordinator was told.
 * A message that the coordinator may have sent may arrive now, later, again or never, so each step of the exploration is
 * "some message that may exist arrives". A crash is an action list that is cut short. */
struct world {
    uint8_t s, d;     /* participant states */
    uint8_t svm, dvm; /* enum participant_guest */
    uint8_t job;      /* the source libvirt's */
    uint8_t yes_s, yes_d, kept, gone, runs, lost;
    uint8_t sdef, ddef; /* definitions */
    uint8_t confirm;    /* the source libvirt's durable decision to end its QEMU */
    uint8_t ok;         /* the agent knows that the call succeeded; forgotten in a restart */
    uint8_t died;       /* the destination's QEMU or host */
    uint8_t restarts;   /* of the source's libvirtd */
    uint8_t wrong;      /* which planted mistake */
};

enum { SPACE = 1 << 20 };
static struct world *queue;
static unsigned n_queue;
static uint32_t *table; /* index + 1 into queue */

static void push(const struct world *w)
{
    uint64_t h = 1469598103934665603u;
    for (unsigned i = 0; i < sizeof(*w); i++)
        h = (h ^ ((const uint8_t *)w)[i]) * 1099511628211u;
    for (unsigned i = (unsigned)(h % SPACE);; i = (i + 1) % SPACE) {
        if (!table[i]) {
            assert_true(n_queue < SPACE / 2);
            queue[n_queue] = *w;
            table[i] = ++n_queue;
            return;
        }
        if (memcmp(&queue[table[i] - 1], w, sizeof(*w)) == 0)
            return;
    }
}

static struct participant_facts look(const struct world *w, enum participant_role role)
{
    if (role == PARTICIPANT_DESTINATION)
        return (struct participant_facts){.guest = w->dvm};
    return (struct participant_facts){
        .guest = w->svm, .job = w->job, .call_succeeded = w->ok, .committed = w->confirm};
}

static void act(struct world *w, unsigned action)
{
    switch (action) {
    case PARTICIPANT_START_JOB: w->job = 1; break;
    case PARTICIPANT_STOP_JOB: /* too late once the image is complete */
        if (w->svm == PARTICIPANT_RUNNING) {
            w->job = 0;
            if (w->dvm == PARTICIPANT_INCOMING)
                w->dvm = PARTICIPANT_ABSENT;
        }
        break;
    case PARTICIPANT_RESUME_SOURCE:
        if (w->svm == PARTICIPANT_PAUSED && !w->job)
            w->svm = PARTICIPANT_RUNNING;
        break;
    case PARTICIPANT_DEFINE: w->ddef = 1; break;
    case PARTICIPANT_RESUME:
        if (w->dvm == PARTICIPANT_PAUSED)
            w->dvm = PARTICIPANT_RUNNING;
        break;
    case PARTICIPANT_UNDO:
        w->ddef = 0;
        w->dvm = PARTICIPANT_ABSENT;
        break;
    case PARTICIPANT_END:
        assert_int_not_equal(w->svm, PARTICIPANT_RUNNING);
        w->svm = PARTICIPANT_OFF;
        break;
    case PARTICIPANT_RETIRE: w->sdef = 0; break;
    case PARTICIPANT_START: w->svm = PARTICIPANT_RUNNING; break;
    default: break;
    }
}

static void tell(struct world *w, enum participant_role role, enum participant_event e,
                 enum participant_answer a)
{
    switch (a) {
    case PARTICIPANT_DONE:
        if (e == PARTICIPANT_PREPARE_YES && role == PARTICIPANT_SOURCE)
            w->yes_s = w->s == PARTICIPANT_PREPARED || w->yes_s;
        if (e == PARTICIPANT_PREPARE_YES && role == PARTICIPANT_DESTINATION)
            w->yes_d = w->d == PARTICIPANT_PREPARED || w->yes_d;
        break;
    case PARTICIPANT_IS_KEPT: w->kept = 1; break;
    case PARTICIPANT_IS_GONE: w->gone = 1; break;
    case PARTICIPANT_RUNS: w->runs = 1; break;
    case PARTICIPANT_IS_LOST: w->lost = 1; break;
    default: break;
    }
}

/* The message arrives; every prefix of what follows is a world. */
static void deliver(const struct world *from, enum participant_role role, enum participant_event e)
{
    struct world w = *from;
    uint8_t *state = role == PARTICIPANT_SOURCE ? &w.s : &w.d;
    struct participant p = {role, *state, .owes_resume = true};
    struct participant_facts f = look(&w, role);
    struct participant_step s = participant_step(&p, e, &f);
    assert_true(participant_may_move(role, *state, s.first));
    if (from->wrong == 1 && e == PARTICIPANT_SETTLE && s.actions & PARTICIPANT_STOP_JOB)
        s = (struct participant_step){PARTICIPANT_KEPT, PARTICIPANT_KEPT, 0, PARTICIPANT_IS_KEPT, NULL};
    if (from->wrong == 3 && e == PARTICIPANT_SETTLE && f.committed) /* resumes what libvirt is about to end */
        s = (struct participant_step){PARTICIPANT_KEPT, PARTICIPANT_KEPT, 0, PARTICIPANT_IS_KEPT, NULL};
    if (from->wrong == 2 && e == PARTICIPANT_ACTIVATE && s.answer == PARTICIPANT_IS_LOST)
        s.first = s.then = *state; /* says LOST without the tombstone */
    *state = s.first;
    push(&w);
    for (unsigned bit = 1; bit <= PARTICIPANT_START; bit <<= 1)
        if (s.actions & bit) {
            act(&w, bit);
            push(&w);
        }
    *state = s.then;
    push(&w);
    tell(&w, role, e, s.answer);
    push(&w);
}

static void libvirt_moves(const struct world *from)
{
    struct world w;
#define MOVE(condition, ...)                                                                                 \
    if (condition) {                                                                                         \
        w = *from;                                                                                           \
        __VA_ARGS__;                                                                                         \
        push(&w);                                                                                            \
    }
    bool out = from->job && from->svm == PARTICIPANT_RUNNING;
    bool out2 = from->job && from->svm == PARTICIPANT_PAUSED && !from->confirm;
    MOVE(out && from->dvm == PARTICIPANT_ABSENT, w.dvm = PARTICIPANT_INCOMING)
    MOVE(from->dvm == PARTICIPANT_INCOMING && !out, w.dvm = PARTICIPANT_ABSENT)
    MOVE(out && from->dvm == PARTICIPANT_INCOMING, w.svm = w.dvm = PARTICIPANT_PAUSED)
    MOVE(out2 && from->dvm == PARTICIPANT_PAUSED, w.confirm = 1)
    MOVE(from->confirm && from->svm == PARTICIPANT_PAUSED, w.job = 0; w.ok = 1;
         w.svm = PARTICIPANT_OFF_MIGRATED)
    /* Confirm(cancelled) after a lost Finish reply, or an aborted or broken transfer */
    MOVE(from->job && !from->confirm, w.job = 0; if (w.svm == PARTICIPANT_PAUSED) w.svm = PARTICIPANT_RUNNING)
    MOVE(out2, w.job = 0)                       /* libvirtd killed before Confirm: left paused */
    MOVE(from->confirm && from->job, w.job = 0) /* or after it had decided */
    MOVE(from->svm == PARTICIPANT_OFF_MIGRATED && !from->restarts, w.svm = PARTICIPANT_OFF; w.restarts = 1)
    MOVE(from->ok, w.ok = 0) /* the agent restarts */
    MOVE(!from->died && (from->dvm == PARTICIPANT_PAUSED || from->dvm == PARTICIPANT_INCOMING), w.died = 1;
         w.dvm = PARTICIPANT_ABSENT)
#undef MOVE
}

static int violation(const struct world *w)
{
    if (w->svm == PARTICIPANT_RUNNING && w->dvm == PARTICIPANT_RUNNING)
        return 1;
    if (!w->sdef && !w->ddef)
        return 2;
    if (w->kept && w->gone)
        return 3;
    /* The memory image is never lost by the protocol itself. */
    if (!w->died && w->svm < PARTICIPANT_INCOMING && w->dvm != PARTICIPANT_PAUSED &&
        w->dvm != PARTICIPANT_RUNNING)
        return 4;
    if (w->s == PARTICIPANT_KEPT && (w->d == PARTICIPANT_OWNER || w->d == PARTICIPANT_ACTIVATED))
        return 5;
    if (w->lost && w->d != PARTICIPANT_TOMBSTONE)
        return 6;
    return 0;
}

static int explore(unsigned wrong)
{
    queue = calloc(SPACE / 2, sizeof(*queue));
    table = calloc(SPACE, sizeof(*table));
    n_queue = 0;
    struct world start = {
        .svm = PARTICIPANT_RUNNING, .dvm = PARTICIPANT_ABSENT, .sdef = 1, .wrong = (uint8_t)wrong};
    push(&start);
    int found = 0;
    bool handed_over = false, kept = false, cold = false;
    for (unsigned i = 0; i < n_queue && !found; i++) {
        struct world w = queue[i];
        found = violation(&w);
        handed_over |= w.s == PARTICIPANT_RELEASED && w.dvm == PARTICIPANT_RUNNING && w.ddef && !w.sdef;
        kept |= w.kept && w.d == PARTICIPANT_TOMBSTONE && w.svm == PARTICIPANT_RUNNING && !w.ddef;
        cold |= w.s == PARTICIPANT_COLD && w.svm == PARTICIPANT_RUNNING;
        libvirt_moves(&w);
        deliver(&w, PARTICIPANT_SOURCE, PARTICIPANT_PREPARE_YES);
        deliver(&w, PARTICIPANT_SOURCE, PARTICIPANT_PREPARE_NO);
        deliver(&w, PARTICIPANT_DESTINATION, PARTICIPANT_PREPARE_YES);
        deliver(&w, PARTICIPANT_DESTINATION, PARTICIPANT_PREPARE_NO);
        deliver(&w, PARTICIPANT_SOURCE, PARTICIPANT_SETTLE);
        deliver(&w, PARTICIPANT_SOURCE, PARTICIPANT_LOOK);
        deliver(&w, PARTICIPANT_DESTINATION, PARTICIPANT_LOOK);
        if (w.yes_s && w.yes_d)
            deliver(&w, PARTICIPANT_SOURCE, PARTICIPANT_MIGRATE);
        if (w.kept) {
            deliver(&w, PARTICIPANT_DESTINATION, PARTICIPANT_ABORT);
            deliver(&w, PARTICIPANT_SOURCE, PARTICIPANT_ABORT);
        }
        if (w.gone || w.s == PARTICIPANT_FENCED)
            deliver(&w, PARTICIPANT_DESTINATION, PARTICIPANT_ACTIVATE);
        if (w.runs) {
            deliver(&w, PARTICIPANT_SOURCE, PARTICIPANT_RELEASE);
            deliver(&w, PARTICIPANT_DESTINATION, PARTICIPANT_RELEASE);
        }
        if (w.lost && w.gone)
            deliver(&w, PARTICIPANT_SOURCE, PARTICIPANT_COLD_START);
    }
    if (!wrong) { /* an exploration that never gets anywhere would prove nothing */
        assert_true(handed_over);
        assert_true(kept);
        assert_true(cold);
        print_message("%u worlds\n", n_queue);
    }
    free(queue);
    free(table);
    return found;
}

static void both_halves_keep_the_invariants(void **state)
{
    (void)state;
    assert_int_equal(explore(0), 0);
}

static void planted_mistakes_are_found(void **state)
{
    (void)state;
    assert_int_not_equal(explore(1), 0);
    assert_int_not_equal(explore(2), 0);
    assert_int_not_equal(explore(3), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moves_are_in_the_table),
        cmocka_unit_test(words_and_deeds_rest_on_what_is_durable),
        cmocka_unit_test(nothing_is_harmed_in_the_dark),
        cmocka_unit_test(a_repeated_message_gets_the_same_answer),
        cmocka_unit_test(names_go_both_ways),
        cmocka_unit_test(the_settle_table),
        cmocka_unit_test(what_libvirt_left_behind_is_ended_unless_an_operator_paused_it),
        cmocka_unit_test(both_halves_keep_the_invariants),
        cmocka_unit_test(planted_mistakes_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
