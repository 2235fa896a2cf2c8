#include "agent/core/meter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SECOND UINT64_C(1000000000)

static void a_mean_settles_and_old_times_fade(void **state)
{
    (void)state;
    struct meter m = {0};
    meter_add(&m, 5 * SECOND, 10000);
    assert_false(meter_settled(&m));
    meter_add(&m, 15 * SECOND, 10000);
    assert_int_equal(meter_thousandths(&m), 1000); /* the plain mean, while the window fills */
    meter_add(&m, 10 * SECOND, 10000);
    assert_true(meter_settled(&m));
    for (int i = 0; i < 30; i++)
        meter_add(&m, 0, 10000);
    /* Idle for a whole window: most of it is gone. */
    assert_in_range(meter_thousandths(&m), 50, 400);
    meter_add(&m, 2 * SECOND * 3600, 3600 * 1000); /* a gap longer than the window is all that counts */
    assert_int_equal(meter_thousandths(&m), 2000);
    meter_add(&m, SECOND, 0);
    assert_int_equal(meter_thousandths(&m), 2000);
}

/* Readings ten seconds apart. */
struct clock {
    int64_t now;
    uint64_t busy;
    struct meters meters;
};

static void read(struct clock *c, double busy, bool guests_read, struct meters_guest *guests, size_t n)
{
    c->now += 10000;
    c->busy += (uint64_t)(busy * 10 * (double)SECOND);
    meters_feed(&c->meters, &(struct meters_reading){c->now, c->busy, guests_read, guests, n});
}

static void use(struct meters_guest *g, double cpus)
{
    g->cpu_ns += (uint64_t)(cpus * 10 * (double)SECOND);
}

static void what_no_guest_uses_is_told_apart(void **state)
{
    (void)state;
    struct clock c = {0};
    struct meters_guest guests[2] = {{.uuid = "a", .running = true, .cpu_ns = 77 * SECOND},
                                     {.uuid = "b", .running = true}};
    for (int i = 0; i < 4; i++) {
        read(&c, 1.5, true, guests, 2);
        use(&guests[0], 1);
        use(&guests[1], 0.25);
        assert_int_equal(meters_tell(&c.meters), i == 3);
    }
    assert_true(c.meters.told);
    assert_int_equal(c.meters.told_cpu, 1500);
    assert_int_equal(c.meters.told_other, 250);
    assert_int_equal(c.meters.guests[0].told_cpu, 1000);
    assert_int_equal(c.meters.guests[1].told_cpu, 250);

    /* One leaves: what it had used is not taken for the host's own. */
    for (int i = 0; i < 3; i++)
        read(&c, 1.25, true, guests, 1), use(&guests[0], 1);
    assert_int_equal(c.meters.n_guests, 1);
    assert_int_equal(meter_thousandths(&c.meters.other), 250);
    meters_deinit(&c.meters);
}

static void a_guest_that_comes_in_is_measured_once_it_runs(void **state)
{
    (void)state;
    struct clock c = {0};
    struct meters_guest guest = {.uuid = "a"};
    read(&c, 1, true, NULL, 0);
    for (int i = 0; i < 5; i++) { /* a transfer of 50 s, which is work for its QEMU */
        use(&guest, 1);
        read(&c, 1, true, &guest, 1);
    }
    assert_int_equal(c.meters.guests[0].meter.over_ms, 0);
    assert_int_equal(meter_thousandths(&c.meters.other), 0);
    guest.running = true;
    for (int i = 0; i < 3; i++) {
        use(&guest, 0.5);
        read(&c, 0.5, true, &guest, 1);
    }
    assert_true(meters_tell(&c.meters));
    assert_int_equal(c.meters.guests[0].told_cpu, 500);

    /* Started anew: another process, another counter. */
    guest.cpu_ns = 0;
    read(&c, 0, true, &guest, 1);
    assert_true(meters_tell(&c.meters));
    assert_false(c.meters.guests[0].told);
    meters_deinit(&c.meters);
}

static void small_changes_are_not_told_and_what_is_too_old_is_forgotten(void **state)
{
    (void)state;
    struct clock c = {0};
    struct meters_guest guest = {.uuid = "a", .running = true, .resident = 64 << 20};
    for (int i = 0; i < 8; i++) {
        read(&c, 1, true, &guest, 1);
        use(&guest, i < 6 ? 1 : 1.04);
    }
    assert_true(meters_tell(&c.meters));
    read(&c, 1, true, &guest, 1);
    assert_false(meters_tell(&c.meters));
    guest.resident = 80 << 20;
    read(&c, 1, true, &guest, 1);
    assert_true(meters_tell(&c.meters));
    read(&c, 1, false, NULL, 0); /* libvirt is down: what was measured stays */
    assert_false(meters_tell(&c.meters));
    assert_int_equal(c.meters.n_guests, 1);
    meters_forget_guests(&c.meters);
    assert_true(meters_tell(&c.meters));
    assert_false(c.meters.told);
    meters_deinit(&c.meters);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mean_settles_and_old_times_fade),
        cmocka_unit_test(what_no_guest_uses_is_told_apart),
        cmocka_unit_test(a_guest_that_comes_in_is_measured_once_it_runs),
        cmocka_unit_test(small_changes_are_not_told_and_what_is_too_old_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
