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

static void the_longest_starts_first_and_the_next_when_it_is_near_its_end(void **state)
{
    (void)state;
    struct schedule_move moves[] = {move_to(1, 100), move_to(2, 900), move_to(1, 500), move_to(1, 100)};
    struct schedule s = of(moves, 4);
    uint32_t next[4];
    assert_int_equal(schedule_next(&s, next), 1);
    assert_int_equal(next[0], 1);
    moves[1].state = SCHEDULE_TRANSFER;
    moves[1].bytes_left = 401 * MIB;
    assert_int_equal(schedule_next(&s, next), 0);
    moves[1].bytes_left = 399 * MIB; /* four seconds */
    assert_int_equal(schedule_next(&s, next), 1);
    assert_int_equal(next[0], 2);
    moves[2].state = SCHEDULE_STARTING;
    moves[1].state = SCHEDULE_ENDING;
    assert_int_equal(schedule_next(&s, next), 0);
    /* Short ones: two at a time. */
    moves[2].state = SCHEDULE_DONE;
    assert_int_equal(schedule_next(&s, next), 2);
}

static void what_a_transfer_can_not_use_of_a_link_is_another_s(void **state)
{
    (void)state;
    static const struct schedule_link slow[] = {{"out", 100 * MIB}, {"in", 20 * MIB}, {"in too", 100 * MIB}};
    struct schedule_move moves[] = {move_to(1, 900), move_to(2, 900), move_to(2, 900)};
    moves[0].state = SCHEDULE_TRANSFER;
    moves[0].bytes_left = 800 * MIB;
    struct schedule s = of(moves, 3);
    uint32_t next[3];
    s.links = slow;
    assert_int_equal(schedule_next(&s, next), 1);
    assert_int_equal(next[0], 1);
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

static void a_dirty_guest_has_the_link_to_itself(void **state)
{
    (void)state;
    struct schedule_move moves[] = {move_to(1, 100), move_to(2, 300), move_to(1, 50)};
    moves[1].dirty_rate = 40 * MIB;
    struct schedule s = of(moves, 3);
    uint32_t next[3];
    assert_int_equal(schedule_next(&s, next), 1);
    assert_int_equal(next[0], 1);

    /* While another one still flows it waits, and no third one begins. */
    moves[0].state = SCHEDULE_TRANSFER;
    moves[0].bytes_left = 10 * MIB;
    assert_int_equal(schedule_next(&s, next), 0);
    char *why = schedule_blocked(&s, 1);
    assert_string_equal(why, "a guest that changes its memory fast has the link to itself (kvm1 out)");
    free(why);
    assert_null(schedule_blocked(&s, 0));
}

static void links_with_nothing_in_common_work_in_parallel(void **state)
{
    (void)state;
    struct schedule_move moves[] = {move_to(1, 1000), move_to(2, 1000)};
    moves[0].links[0] = 1;
    moves[1].links[0] = 2;
    moves[0].n_links = moves[1].n_links = 1;
    struct schedule s = of(moves, 2);
    struct schedule_slot slots[2];
    struct schedule_forecast f;
    schedule_forecast(&s, slots, &f);
    assert_int_equal(f.finish_ms, 11500);
    assert_int_equal(f.bound_ms, 11500);
    assert_int_equal(slots[1].start_ms, 0);
    assert_int_equal(slots[1].rate, 100 * MIB);
}

static void of_one_group_one_moves_at_a_time(void **state)
{
    (void)state;
    static const uint32_t group[] = {3};
    struct schedule_move moves[] = {move_to(1, 100), move_to(2, 100)};
    moves[0].apart = moves[1].apart = group;
    moves[0].n_apart = moves[1].n_apart = 1;
    struct schedule s = of(moves, 2);
    uint32_t next[2];
    assert_int_equal(schedule_next(&s, next), 1);
    moves[0].state = SCHEDULE_ENDING;
    assert_int_equal(schedule_next(&s, next), 0);
    char *why = schedule_blocked(&s, 1);
    assert_string_equal(why, "another guest of its anti-affinity group moves");
    free(why);
    moves[0].state = SCHEDULE_DROPPED;
    assert_int_equal(schedule_next(&s, next), 1);
}

static void room_comes_before_the_move_that_needs_it(void **state)
{
    (void)state;
    static const int64_t room[] = {0, 0, 1000 * (int64_t)MIB};
    struct schedule_move moves[] = {move_to(2, 100), move_to(1, 100)};
    moves[0].from = 1;
    moves[0].memory = moves[0].frees = moves[1].memory = moves[1].frees = 500 * MIB;
    moves[1].waits = true;
    struct schedule s = of(moves, 2);
    s.room = room;
    s.n_room = 3;
    uint32_t next[2];
    assert_int_equal(schedule_next(&s, next), 1);
    assert_int_equal(next[0], 0);
    moves[0].state = SCHEDULE_ENDING;
    assert_int_equal(schedule_next(&s, next), 0);
    moves[0].state = SCHEDULE_DONE;
    assert_int_equal(schedule_next(&s, next), 1);
    assert_int_equal(next[0], 1);

    /* It was given up: nothing will ever leave, and the forecast says so. */
    moves[0].state = SCHEDULE_DROPPED;
    struct schedule_slot slots[2];
    struct schedule_forecast f;
    schedule_forecast(&s, slots, &f);
    assert_int_equal(f.never, 1);
    assert_int_equal(slots[1].start_ms, -1);
    char *why = schedule_blocked(&s, 1);
    assert_string_equal(why, "guests must have left its destination first");
    free(why);
}

static void what_is_held_back_or_follows_another_waits(void **state)
{
    (void)state;
    struct schedule_move moves[] = {move_to(1, 100), move_to(2, 100), move_to(2, 100)};
    moves[1].after = 0;
    moves[2].state = SCHEDULE_HELD;
    struct schedule s = of(moves, 3);
    uint32_t next[3];
    assert_int_equal(schedule_next(&s, next), 1);
    assert_int_equal(next[0], 0);
    char *why = schedule_blocked(&s, 2);
    assert_string_equal(why, "it is held back");
    free(why);
    /* A forecast counts on it all the same. */
    struct schedule_slot slots[3];
    struct schedule_forecast f;
    schedule_forecast(&s, slots, &f);
    assert_int_equal(f.never, 0);
    assert_true(slots[1].start_ms >= slots[0].end_ms);
}

static void of_a_pair_one_goes_first(void **state)
{
    (void)state;
    struct schedule_move moves[] = {move_to(1, 100), move_to(1, 200), move_to(2, 50)};
    moves[0].pair = moves[1].pair = 1;
    moves[2].pair = 2;
    struct schedule s = of(moves, 3);
    uint32_t next[3];
    assert_int_equal(schedule_next(&s, next), 2);
    assert_true(next[0] == 1 && next[1] == 2);
    moves[1].state = SCHEDULE_ENDING;
    moves[2].state = SCHEDULE_DONE;
    assert_int_equal(schedule_next(&s, next), 0);
    char *why = schedule_blocked(&s, 0);
    assert_string_equal(why, "the first guest between its two hosts must be seen well first");
    free(why);
    /* One that fails proves nothing: the next one is the first. */
    moves[1].state = SCHEDULE_DROPPED;
    assert_int_equal(schedule_next(&s, next), 1);
    moves[1].state = SCHEDULE_WAITING;
    moves[2].state = SCHEDULE_WAITING;
    struct schedule_slot slots[3];
    struct schedule_forecast f;
    schedule_forecast(&s, slots, &f);
    assert_true(slots[0].start_ms >= slots[1].end_ms);
    assert_int_equal(f.never, 0);
}

static void turns_follow_each_other(void **state)
{
    (void)state;
    struct schedule_move moves[] = {move_to(1, 100), move_to(2, 900), move_to(2, 50)};
    moves[1].turn = 1;
    moves[2].turn = 5;
    struct schedule s = of(moves, 3);
    uint32_t next[3];
    assert_int_equal(schedule_next(&s, next), 1);
    assert_int_equal(next[0], 0);
    struct schedule_slot slots[3];
    struct schedule_forecast f;
    schedule_forecast(&s, slots, &f);
    assert_true(slots[1].start_ms >= slots[0].end_ms && slots[2].start_ms >= slots[1].end_ms);
    moves[0].state = SCHEDULE_DROPPED;
    moves[1].state = SCHEDULE_DONE;
    assert_int_equal(schedule_next(&s, next), 1);
    assert_int_equal(next[0], 2);
}

static void without_limits_nothing_is_split(void **state)
{
    (void)state;
    static const struct schedule_link open[] = {{"a", 0}, {"b", 0}, {"c", 0}};
    struct schedule_move moves[] = {move_to(1, 100), move_to(2, 100)};
    moves[0].state = moves[1].state = SCHEDULE_TRANSFER;
    moves[1].rate_max = 5 * MIB;
    struct schedule s = of(moves, 2);
    s.links = open;
    uint64_t shares[2];
    schedule_shares(&s, shares);
    assert_true(shares[0] == SCHEDULE_UNLIMITED);
    assert_int_equal(shares[1], 5 * MIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_starts_first_and_the_next_when_it_is_near_its_end),
        cmocka_unit_test(what_a_transfer_can_not_use_of_a_link_is_another_s),
        cmocka_unit_test(the_one_nearest_its_end_has_the_link),
        cmocka_unit_test(the_forecast_is_near_the_bound),
        cmocka_unit_test(a_dirty_guest_has_the_link_to_itself),
        cmocka_unit_test(links_with_nothing_in_common_work_in_parallel),
        cmocka_unit_test(of_one_group_one_moves_at_a_time),
        cmocka_unit_test(room_comes_before_the_move_that_needs_it),
        cmocka_unit_test(what_is_held_back_or_follows_another_waits),
        cmocka_unit_test(of_a_pair_one_goes_first),
        cmocka_unit_test(turns_follow_each_other),
        cmocka_unit_test(without_limits_nothing_is_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
