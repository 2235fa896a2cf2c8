/* What is read of the host and of QEMUs, from trees that the test makes. */
#include "agent/io/measure.h"
#include "common/base/memory.h"
#include "made_tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

static void busy_time_is_without_waiting_and_guests_count_once(void **state)
{
    (void)state;
    struct made_tree t;
    uint64_t ns = 0;
    made_tree_init(&t);
    assert_false(measure_busy_ns(t.root, &ns));
    made_tree_add(&t, "stat", "cpu  100 20 300 9000 700 4 6 50 80 10\ncpu0 1 2 3 4 5 6 7 8 9 10\n");
    assert_true(measure_busy_ns(t.root, &ns));
    assert_int_equal(ns, 430 * (1000000000 / (uint64_t)sysconf(_SC_CLK_TCK)));
    made_tree_add(&t, "stat", "cpu0 1 2 3 4\n");
    assert_false(measure_busy_ns(t.root, &ns));
    made_tree_deinit(&t);
}

static void resident_memory_is_that_of_the_guests_process(void **state)
{
    (void)state;
    struct made_tree t;
    made_tree_init(&t);
    made_tree_add(&t, "web1.pid", "4711\n");
    assert_int_equal(measure_resident(t.root, t.root, "web1"), 0);
    made_tree_add(&t, "4711/statm", "500000 12345 700 1 0 30000 0\n");
    assert_int_equal(measure_resident(t.root, t.root, "web1"), 12345 * sysconf(_SC_PAGESIZE));
    assert_int_equal(measure_resident(t.root, t.root, "web2"), 0);
    made_tree_deinit(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(busy_time_is_without_waiting_and_guests_count_once),
        cmocka_unit_test(resident_memory_is_that_of_the_guests_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
