/* A guest that an operator's word has given to the destination starts from its disks: whatever crashes in between, and however often it
 * is asked, the image that may be old never runs, and what was started is never ended. */
#include "agent/core/participant.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum qemu { NONE, IMAGE, GUEST, GUEST_PAUSED }; /* IMAGE: paused, and older than the disks */

struct world {
    uint8_t state, qemu, noted, ended; /* the record's, and what its manifest says of the image */
    uint8_t image_ran, guest_ended;
};

enum { SPACE = 4096 };
static struct world worlds[SPACE];
static unsigned n_worlds;

static void push(const struct world *w)
{
    for (unsigned i = 0; i < n_worlds; i++)
        if (memcmp(&worlds[i], w, sizeof(*w)) == 0)
            return;
    assert_true(n_worlds < SPACE);
    worlds[n_worlds++] = *w;
}

static void act(struct world *w, enum participant_action action)
{
    if (action == PARTICIPANT_RESUME) {
        w->image_ran |= w->qemu == IMAGE;
        w->qemu = w->qemu == NONE ? NONE : GUEST;
    } else if (action == PARTICIPANT_END) {
        w->guest_ended |= w->qemu == GUEST || w->qemu == GUEST_PAUSED;
        w->qemu = NONE;
    } else if (action == PARTICIPANT_START && w->qemu == NONE) {
        w->qemu = GUEST;
    }
}

/* Every prefix of what is done is a world: the agent may have crashed there. */
static void deliver(const struct world *from, enum participant_event e)
{
    static const enum participant_action order[] = {PARTICIPANT_DEFINE, PARTICIPANT_RESUME, PARTICIPANT_END,
                                                    PARTICIPANT_START};
    static const enum participant_guest seen[] = {PARTICIPANT_ABSENT, PARTICIPANT_PAUSED, PARTICIPANT_RUNNING,
                                                  PARTICIPANT_PAUSED};
    struct world w = *from;
    const struct participant p = {
        .role = PARTICIPANT_DESTINATION, .state = w.state, .from_disks = w.noted, .image_ended = w.ended};
    const struct participant_facts f = {.guest = seen[w.qemu]};
    struct participant_step s = participant_step(&p, e, &f);
    w.noted |= s.first == PARTICIPANT_OWNER && s.actions & PARTICIPANT_END;
    w.state = s.first;
    push(&w);
    for (unsigned i = 0; i < sizeof(order) / sizeof(order[0]); i++)
        if (s.actions & order[i]) {
            act(&w, order[i]);
            push(&w);
            if (order[i] == PARTICIPANT_END) {
                w.ended = 1;
                push(&w);
            }
        }
    w.state = s.then;
    push(&w);
}

static void it_starts_from_its_disks_whatever_crashes(void **state)
{
    (void)state;
    bool ended = false;
    push(&(struct world){.state = PARTICIPANT_PREPARED, .qemu = IMAGE});
    for (unsigned i = 0; i < n_worlds; i++) {
        const struct world w = worlds[i];
        assert_false(w.image_ran);
        assert_false(w.guest_ended);
        if (w.state == PARTICIPANT_ACTIVATED) {
            assert_true(w.qemu == GUEST || w.qemu == GUEST_PAUSED);
            ended = true;
        }
        deliver(&w, PARTICIPANT_ACTIVATE_COLD);
        deliver(&w, PARTICIPANT_LOOK);
        if (w.noted)
            deliver(
                &w,
                PARTICIPANT_ACTIVATE); /* the source is back, and says that its image is complete: too late */
        if (w.qemu == GUEST) {         /* somebody pauses what was started */
            struct world paused = w;
            paused.qemu = GUEST_PAUSED;
            push(&paused);
        }
    }
    assert_true(ended);
}

static struct participant_step given(enum participant_state state, enum participant_guest guest, bool copies)
{
    const struct participant p = {.role = PARTICIPANT_DESTINATION, .state = state, .copies = copies};
    const struct participant_facts f = {.guest = guest, .by_hand = guest == PARTICIPANT_RUNNING};
    return participant_step(&p, PARTICIPANT_ACTIVATE_COLD, &f);
}

static void what_is_here_decides_whether_it_can(void **state)
{
    (void)state;
    /* The source had said so itself, before it was lost: its image is as new as the disks, and runs. */
    assert_int_equal(given(PARTICIPANT_ACTIVATED, PARTICIPANT_RUNNING, false).answer, PARTICIPANT_RUNS);
    assert_int_equal(given(PARTICIPANT_OWNER, PARTICIPANT_PAUSED, false).actions,
                     PARTICIPANT_DEFINE | PARTICIPANT_RESUME);
    /* Somebody resumed the image by hand. */
    assert_int_equal(given(PARTICIPANT_PREPARED, PARTICIPANT_RUNNING, false).answer, PARTICIPANT_IN_DOUBT);
    /* It is being filled still. */
    assert_int_equal(given(PARTICIPANT_PREPARED, PARTICIPANT_INCOMING, false).answer, PARTICIPANT_IN_DOUBT);
    /* Disks that hosts share need no image; those that came with it were not complete without it. */
    assert_int_equal(given(PARTICIPANT_PREPARED, PARTICIPANT_ABSENT, false).then, PARTICIPANT_ACTIVATED);
    assert_int_equal(given(PARTICIPANT_PREPARED, PARTICIPANT_ABSENT, true).answer, PARTICIPANT_IS_LOST);
    assert_int_equal(given(PARTICIPANT_TOMBSTONE, PARTICIPANT_ABSENT, false).answer, PARTICIPANT_IS_LOST);
    assert_int_equal(given(PARTICIPANT_PREPARED, PARTICIPANT_UNASKED, false).answer, PARTICIPANT_IN_DOUBT);
}

/* Found by tests/sim: the fence was raised, and the agent died before its record was written. The image would have been run at the second
 * asking. What is started from the disks by now, and paused, must not be ended either. */
static void what_is_paused_without_a_record_is_left_alone(void **state)
{
    (void)state;
    const struct participant p = {
        .role = PARTICIPANT_DESTINATION, .state = PARTICIPANT_NONE, .transferred = true, .image_ended = true};
    const struct participant_facts f = {.guest = PARTICIPANT_PAUSED};
    struct participant_step s = participant_step(&p, PARTICIPANT_ACTIVATE_COLD, &f);
    assert_int_equal(s.answer, PARTICIPANT_IN_DOUBT);
    assert_int_equal(s.first, PARTICIPANT_NONE);
    assert_int_equal(s.actions, 0);
}

/* Found by tests/sim: post-copy was allowed, libvirt let the guest run here, and its libvirtd was killed at the source. To end
 * the only copy by hand, as the answer had asked for, would have been to lose the guest's memory for nothing. */
static void what_libvirt_itself_lets_run_is_the_guest(void **state)
{
    (void)state;
    const struct participant p = {.role = PARTICIPANT_DESTINATION, .state = PARTICIPANT_PREPARED};
    const struct participant_facts f = {.guest = PARTICIPANT_RUNNING};
    struct participant_step s = participant_step(&p, PARTICIPANT_ACTIVATE_COLD, &f);
    assert_int_equal(s.answer, PARTICIPANT_RUNS);
    assert_int_equal(s.then, PARTICIPANT_ACTIVATED);
    assert_int_equal(s.actions, PARTICIPANT_DEFINE);
}

/* ACTIVATED could not be written, and the guest's user has shut it down since: the source still has the disks that it left with. */
static void what_came_with_its_disks_and_is_off_stays(void **state)
{
    (void)state;
    struct participant p = {.role = PARTICIPANT_DESTINATION, .state = PARTICIPANT_OWNER, .copied = true};
    static const enum participant_event events[] = {PARTICIPANT_LOOK, PARTICIPANT_ACTIVATE,
                                                    PARTICIPANT_ACTIVATE_COLD};
    static const enum participant_guest guests[] = {PARTICIPANT_OFF, PARTICIPANT_ABSENT};
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
        for (size_t k = 0; k < sizeof(guests) / sizeof(guests[0]); k++) {
            const struct participant_facts f = {.guest = guests[k]};
            struct participant_step s = participant_step(&p, events[i], &f);
            assert_int_equal(s.then, PARTICIPANT_ACTIVATED);
            assert_int_equal(s.actions, PARTICIPANT_DEFINE);
            assert_non_null(s.why);
        }
    p.copied = false; /* disks that both hosts see are what they are, whoever has run */
    const struct participant_facts f = {.guest = PARTICIPANT_OFF};
    assert_int_equal(participant_step(&p, PARTICIPANT_ACTIVATE, &f).answer, PARTICIPANT_IS_LOST);
}

/* Whoever says that the guest is its own: half a disk is none. */
static void what_is_shut_off_is_taken_over_only_with_all_of_its_disks(void **state)
{
    (void)state;
    struct participant p = {.role = PARTICIPANT_DESTINATION,
                            .state = PARTICIPANT_PREPARED,
                            .definition_only = true,
                            .copies = true,
                            .incomplete = true};
    static const enum participant_event events[] = {PARTICIPANT_ACTIVATE, PARTICIPANT_ACTIVATE_COLD};
    const struct participant_facts f = {.guest = PARTICIPANT_ABSENT};
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
        p.incomplete = true;
        struct participant_step s = participant_step(&p, events[i], &f);
        assert_int_equal(s.answer, PARTICIPANT_IS_LOST);
        assert_int_equal(s.first, PARTICIPANT_TOMBSTONE);
        p.incomplete = false;
        assert_int_equal(participant_step(&p, events[i], &f).then, PARTICIPANT_ACTIVATED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_starts_from_its_disks_whatever_crashes),
        cmocka_unit_test(what_is_here_decides_whether_it_can),
        cmocka_unit_test(what_is_paused_without_a_record_is_left_alone),
        cmocka_unit_test(what_libvirt_itself_lets_run_is_the_guest),
        cmocka_unit_test(what_came_with_its_disks_and_is_off_stays),
        cmocka_unit_test(what_is_shut_off_is_taken_over_only_with_all_of_its_disks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
