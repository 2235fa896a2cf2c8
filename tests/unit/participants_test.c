/* Both agents' halves of a migration together with a libvirt: messages in any order, lost and repeated, and crashes between any
 * two steps. Each half alone: participant_test.c. */
#include "agent/core/participant.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

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
    uint8_t
        pc; /* post-copy: 1 asked for, in the manifest; 2 switched over, the memory is on both; 3 broken */
    uint8_t wrong; /* which planted mistake */
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
        return (struct participant_facts){.guest = w->dvm, .post_copy = w->pc >= 2};
    return (struct participant_facts){.guest = w->svm,
                                      .job = w->job,
                                      .post_copy = w->pc >= 2 && w->svm == PARTICIPANT_PAUSED,
                                      .call_succeeded = w->ok,
                                      .committed = w->confirm};
}

static void act(struct world *w, unsigned action)
{
    switch (action) {
    case PARTICIPANT_START_JOB: w->job = 1; break;
    case PARTICIPANT_STOP_JOB: /* too late once the image is complete */
        if (w->pc == 1) {      /* libvirt may not know yet that QEMU has switched over: both are lost */
            w->svm = PARTICIPANT_OFF;
            w->dvm = PARTICIPANT_ABSENT;
            break;
        }
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
        if (w->dvm != PARTICIPANT_RUNNING) /* io/domain.c never ends one that runs */
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
    struct participant p = {
        .role = role, .state = *state, .post_copy = w.pc > 0 && w.wrong != 4, .owes_resume = true};
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
    MOVE(out && from->dvm == PARTICIPANT_INCOMING && from->pc < 2, w.svm = w.dvm = PARTICIPANT_PAUSED)
    MOVE(out2 && from->dvm == PARTICIPANT_PAUSED, w.confirm = 1)
    MOVE(from->confirm && from->svm == PARTICIPANT_PAUSED, w.job = 0; w.ok = 1;
         w.svm = PARTICIPANT_OFF_MIGRATED)
    /* Confirm(cancelled) after a lost Finish reply, or an aborted or broken transfer */
    MOVE(from->job && !from->confirm && from->pc < 2, w.job = 0;
         if (w.svm == PARTICIPANT_PAUSED) w.svm = PARTICIPANT_RUNNING)
    MOVE(out2 && from->pc < 2, w.job = 0) /* libvirtd killed before Confirm: left paused */
    /* The ladder writes, then asks; QEMU switches over later, the stream breaks and heals, then all has left. */
    MOVE(out && from->dvm == PARTICIPANT_INCOMING && from->s == PARTICIPANT_MIGRATING && from->pc == 0,
         w.pc = 1)
    MOVE(out && from->dvm == PARTICIPANT_INCOMING && from->pc == 1, w.pc = 2; w.svm = PARTICIPANT_PAUSED;
         w.dvm = PARTICIPANT_RUNNING)
    MOVE(from->pc == 2 && out2, w.pc = 3)
    MOVE(from->pc == 3, w.pc = 2)
    MOVE(from->pc == 2 && out2 && from->dvm == PARTICIPANT_RUNNING, w.confirm = 1; w.pc = 1)
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
    if (w->pc >= 2 && (!w->died) && (w->svm != PARTICIPANT_PAUSED || w->dvm != PARTICIPANT_RUNNING))
        return 7; /* either end alone is useless */
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
    bool handed_over = false, kept = false, cold = false, post_copy = false;
    for (unsigned i = 0; i < n_queue && !found; i++) {
        struct world w = queue[i];
        found = violation(&w);
        handed_over |= w.s == PARTICIPANT_RELEASED && w.dvm == PARTICIPANT_RUNNING && w.ddef && !w.sdef;
        post_copy |= handed_over && w.pc == 1 && w.gone;
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
        assert_true(post_copy);
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
    assert_int_not_equal(explore(4), 0); /* stops a job of which post-copy was asked */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_halves_keep_the_invariants),
        cmocka_unit_test(planted_mistakes_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
