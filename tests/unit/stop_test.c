/* Who stopped the guest: event by event, as libvirt 9.0 and QEMU 7.2 were seen to send them. */
#include "agent/core/stop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define MEMORY (64 << 20)

static void a_switch_over_has_one_pass(void **state)
{
    (void)state;
    struct stop s = {0};
    stop_pass(&s); /* of the guest that runs */
    stop_sample(&s, false, MEMORY, 1 << 20);
    assert_int_equal(s.state, STOP_NONE);
    stop_begins(&s);
    stop_pass(&s);
    stop_sample(&s, true, MEMORY, 2 << 20); /* the rest is sent, which may take a while */
    stop_sample(&s, true, MEMORY, 9 << 20);
    assert_int_equal(s.state, STOP_SWITCH_OVER);
}

static void an_operators_pause_has_two(void **state)
{
    (void)state;
    struct stop s = {0};
    stop_begins(&s);
    stop_pass(&s);
    stop_pass(&s);
    assert_int_equal(s.state, STOP_OTHER);
}

static void what_is_sent_before_a_pass_tells_sooner(void **state)
{
    (void)state;
    struct stop s = {0};
    stop_pass(&s);
    stop_begins(&s);
    stop_sample(&s, false, MEMORY, 1 << 20); /* taken before the stop */
    stop_sample(&s, true, MEMORY, 2 << 20);
    stop_sample(&s, true, MEMORY, (2 << 20) + 16);
    assert_int_equal(s.state, STOP_OPEN);
    for (int mib = 3; mib < 5; mib++) { /* a pass may be behind these */
        stop_sample(&s, true, MEMORY, mib << 20);
        assert_int_equal(s.state, STOP_OPEN);
    }
    stop_sample(&s, true, MEMORY, 5 << 20);
    assert_int_equal(s.state, STOP_OTHER);
    stop_pass(&s);
    assert_int_equal(s.state, STOP_OTHER);
}

static void a_pause_that_no_event_told_of_is_seen(void **state)
{
    (void)state;
    struct stop s = {0};
    stop_sample(&s, true, MEMORY, 1 << 20);
    assert_int_equal(s.state, STOP_OPEN);
    stop_pass(&s);   /* this one was before the stop... */
    stop_begins(&s); /* ...whose event comes now */
    stop_pass(&s);
    assert_int_equal(s.state, STOP_SWITCH_OVER);
}

static void while_disks_are_copied_nothing_switches_over(void **state)
{
    (void)state;
    struct stop s = {0};
    stop_begins(&s);
    stop_sample(&s, true, 0, 0);
    assert_int_equal(s.state, STOP_OTHER);
    stop_ends(&s);
    assert_int_equal(s.state, STOP_NONE);
}

static void without_passes_nothing_is_concluded(void **state)
{
    (void)state;
    struct stop s = {0};
    stop_begins(&s);
    stop_sample(&s, true, MEMORY, 1 << 20);
    stop_sample(&s, true, MEMORY, 9 << 20);
    assert_int_equal(s.state, STOP_OPEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_switch_over_has_one_pass),
        cmocka_unit_test(an_operators_pause_has_two),
        cmocka_unit_test(what_is_sent_before_a_pass_tells_sooner),
        cmocka_unit_test(a_pause_that_no_event_told_of_is_seen),
        cmocka_unit_test(while_disks_are_copied_nothing_switches_over),
        cmocka_unit_test(without_passes_nothing_is_concluded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
