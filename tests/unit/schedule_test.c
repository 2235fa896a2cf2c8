#include "coordinator/core/schedule.h"

#include "common/base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define MIB (1ULL << 20)

/* Link 0 leaves the host 0; links 1 and 2 arrive at the hosts 1 and 2. 100 MiB/s each. */
static const struct schedule_link links[] = {
    {"kvm1 out", 100 * MIB}, {"kvm2 in", 100 * MIB}, {"kvm3 in", 100 * MIB}};

static struct schedule_move move_to(uint32_t host, uint64_t mib)
{
    return (struct schedule_move){
        .links = {0, host},
        .n_links = 2,
        .to = host,
        .bytes = mib * MIB,
        .start_ms = 1000,
        .end_ms = 500,
        .after = SCHEDULE_NONE,
    };
}

static struct schedule of(const struct schedule_move *moves, uint32_t n)
{
    return (struct schedule){.links = links, .n_links = 3, .moves = moves, .n_moves = n};
}

static void the_longest_start_first_and_two_on_a_link(void **state)
{
    (void)state;
    const struct schedule_move moves[] = {move_to(1, 100), move_to(2, 300), move_to(1, 200)};
    struct schedule s = of(moves, 3);
    uint32_t next[3];
    assert_int_equal(schedule_next(&s, next), 2);
    assert_int_equal(next[0], 1);
    assert_int_equal(next[1], 2);
}

static void the_one_nearest_its_end_has_the_link(void **state)
{
    (void)state;
    struct schedule_move moves[] = {move_to(1, 100), move_to(2, 300)};
    moves[0].state = moves[1].state = SCHEDULE_TRANSFER;
    moves[0].bytes_left = 90 * MIB;
    moves[1].bytes_left = 80 * MIB;
    struct schedule s = of(moves, 2);
    uint64_t shares[2];
    schedule_shares(&s, shares);
    assert_int_equal(shares[0], SCHEDULE_FLOOR);
    assert_int_equal(shares[1], 99 * MIB);
}

static void the_forecast_is_near_the_bound(void **state)
{
    (void)state;
    struct schedule_move moves[8];
    for (int i = 0; i < 8; i++)
        moves[i] = move_to(1 + i % 2, 1000);
    struct schedule s = of(moves, 8);
    struct schedule_slot slots[8];
    struct schedule_forecast f;
    schedule_forecast(&s, slots, &f);
    assert_int_equal(f.bound_ms, 80000);
    assert_int_equal(f.never, 0);
    /* Only the first start and the last end are not hidden behind transfers. */
    assert_in_range(f.finish_ms, 81000, 82000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_start_first_and_two_on_a_link),
        cmocka_unit_test(the_one_nearest_its_end_has_the_link),
        cmocka_unit_test(the_forecast_is_near_the_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
