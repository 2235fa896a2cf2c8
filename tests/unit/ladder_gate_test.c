/* Which samples the ladder gets, and what holds before the memory's part. */
#include "agent/core/ladder_gate.h"
#include "ladder_job.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct ladder_policy minute = {.max_pause = 2000, .deadline = 60000, .offline = true};

static void the_memorys_part_begins_the_deadline_where_disks_were_copied(void **state)
{
    (void)state;
    struct ladder_gate g = {0};
    struct ladder_gate_sample s = {.elapsed = 500};
    assert_int_equal(ladder_gate(&g, &minute, &s), LADDER_GATE_WAIT);
    s.memory = s.memory_left = 100 * MiB;
    s.elapsed = 1200;
    assert_int_equal(ladder_gate(&g, &minute, &s), LADDER_GATE_BEGIN);
    assert_int_equal(g.before, 0);
    s.elapsed = 1500;
    assert_int_equal(ladder_gate(&g, &minute, &s), LADDER_GATE_PASS);

    g = (struct ladder_gate){0};
    s.disks = true;
    s.elapsed = 90000;
    assert_int_equal(ladder_gate(&g, &minute, &s), LADDER_GATE_BEGIN);
    assert_int_equal(g.before, 90000);
    s.elapsed = 140000; /* all is sent, and the deadline is not over */
    s.memory_left = 0;
    s.paused = true;
    assert_int_equal(ladder_gate(&g, &minute, &s), LADDER_GATE_WAIT);
    s.elapsed = 150000;
    assert_int_equal(ladder_gate(&g, &minute, &s), LADDER_GATE_PASS);
}

static void what_does_not_move_is_given_up(void **state)
{
    (void)state;
    struct ladder_gate g = {0};
    struct ladder_gate_sample s = {.disks = true};
    for (; s.elapsed < 200000; s.elapsed += 1000) { /* slow, but it gets on */
        s.done += s.elapsed % 50000 == 0;
        assert_int_equal(ladder_gate(&g, &minute, &s), LADDER_GATE_WAIT);
    }
    s.elapsed = 209999;
    assert_int_equal(ladder_gate(&g, &minute, &s), LADDER_GATE_WAIT);
    s.elapsed = 210000;
    assert_int_equal(ladder_gate(&g, &minute, &s), LADDER_GATE_STUCK);
    s.elapsed += 500;
    assert_int_equal(ladder_gate(&g, &minute, &s), LADDER_GATE_WAIT);
    s.elapsed += 1500;
    assert_int_equal(ladder_gate(&g, &minute, &s), LADDER_GATE_STUCK);
    /* Nothing of the kind where there is no deadline. */
    const struct ladder_policy none = {.offline = true};
    s.elapsed = 1 << 30;
    assert_int_equal(ladder_gate(&g, &none, &s), LADDER_GATE_WAIT);
}

static void what_was_given_up_before_is_asked_for_again(void **state)
{
    (void)state;
    struct job j;
    struct model_input guest = guest_of(256);
    job_start(&j, &minute, &guest);
    ladder_give_up(&j.ladder);
    sends(&j, 1500);
    assert_string_equal(j.log, "");
    sends(&j, 1000);
    assert_int_equal(j.last.action, LADDER_CANCEL);
}

static void max_pause_holds_when_all_is_sent(void **state)
{
    (void)state;
    struct ladder_gate g = {.begun = true};
    struct ladder_gate_sample s = {.elapsed = 9000, .memory = MiB, .paused = true, .paused_for = 4000};
    assert_int_equal(ladder_gate(&g, &minute, &s), LADDER_GATE_WAIT);
    s.paused_for = 4001;
    assert_int_equal(ladder_gate(&g, &minute, &s), LADDER_GATE_PASS);
    s.committed = true;
    assert_int_equal(ladder_gate(&g, &minute, &s), LADDER_GATE_WAIT);
    s.elapsed = 70000;
    assert_int_equal(ladder_gate(&g, &minute, &s), LADDER_GATE_WAIT);
    s.committed = false;
    s.elapsed = 9000;
    s.others = true; /* an operator's pause may be of any length */
    assert_int_equal(ladder_gate(&g, &minute, &s), LADDER_GATE_WAIT);
    s.others = false;
    const struct ladder_policy offline = {.mode = LADDER_OFFLINE, .max_pause = 2000};
    assert_int_equal(ladder_gate(&g, &offline, &s), LADDER_GATE_WAIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_memorys_part_begins_the_deadline_where_disks_were_copied),
        cmocka_unit_test(what_does_not_move_is_given_up),
        cmocka_unit_test(what_was_given_up_before_is_asked_for_again),
        cmocka_unit_test(max_pause_holds_when_all_is_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
