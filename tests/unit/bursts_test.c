/* A link is measured in bursts: on made links of any rate the figure is right, and the others have most of the time. */
#include "agent/core/bursts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { TICK_US = 100 };

struct measured {
    int64_t us, busy_us, longest_us, rate;
};

/* A link of `rate` bytes per second, of which a rate limit lets `credit` bytes through at once and saves up again in each rest. */
static struct measured measure(int64_t rate, int64_t credit)
{
    struct bursts b;
    struct measured m = {0};
    double saved = (double)credit, arrived = 0;
    int64_t stretch = 0;
    bursts_begin(&b, 0);
    for (; bursts_step(&b, m.us, (int64_t)arrived) != BURSTS_OVER && m.us < 10000000; m.us += TICK_US) {
        double share = (double)rate * TICK_US / 1e6, fast = share * 20 < saved ? share * 20 : saved;
        assert_true(bursts_left_us(&b, m.us) <= BURST_REST_US);
        if (b.phase == BURSTS_REST) {
            saved = saved + share < (double)credit ? saved + share : (double)credit;
            stretch = 0;
            continue;
        }
        arrived += share + fast;
        saved -= fast;
        m.busy_us += TICK_US;
        stretch += TICK_US;
        m.longest_us = stretch > m.longest_us ? stretch : m.longest_us;
    }
    m.rate = bursts_rate(&b);
    return m;
}

static void the_rate_is_right_at_any_speed(void **state)
{
    (void)state;
    static const int64_t rates[] = {1 << 20, 12500000, 125000000, 1250000000, INT64_C(12500000000)};
    for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        struct measured m = measure(rates[i], rates[i] / 20);
        if (m.rate < rates[i] * 98 / 100 || m.rate > rates[i] * 102 / 100)
            fail_msg("%lld for %lld", (long long)m.rate, (long long)rates[i]);
    }
}

static void others_have_more_than_half_of_the_time(void **state)
{
    (void)state;
    struct measured m = measure(12500000, 0);
    assert_true(m.busy_us * 2 < m.us);
    assert_true(m.longest_us <= 200000);
    assert_true(m.us < 1500000);
    /* The faster the link, the shorter. */
    struct measured fast = measure(1250000000, 0);
    assert_true(fast.us < m.us && fast.busy_us * 5 < fast.us * 2);
}

static void nothing_arrived_is_no_rate(void **state)
{
    (void)state;
    assert_int_equal(measure(0, 0).rate, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rate_is_right_at_any_speed),
        cmocka_unit_test(others_have_more_than_half_of_the_time),
        cmocka_unit_test(nothing_arrived_is_no_rate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
