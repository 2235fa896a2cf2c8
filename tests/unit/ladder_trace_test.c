/* The time that the ladder says is left, on recorded migrations: it is right in the end, and gets better on the way. */
#include "agent/core/ladder.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MiB (INT64_C(1) << 20)
enum { SAMPLES = 500 };

static long long number(const char *line, const char *key)
{
    const char *at = strstr(line, key);
    if (!at)
        fail_msg("the trace has no %s", key);
    return strtoll(at + strlen(key), NULL, 10);
}

static void begin(struct ladder *l, const char *line)
{
    struct ladder_policy policy = {
        .mode = strstr(line, "mode=live") ? LADDER_LIVE : LADDER_AUTO,
        .max_pause = number(line, "max_pause="),
        .deadline = number(line, "deadline="),
        .auto_converge = number(line, "auto_converge="),
        .offline = number(line, "offline="),
    };
    struct model_input guest = {
        .memory = number(line, "memory=") * MiB,
        .zero = number(line, "zero=") * MiB,
        .windows = {{.length = 1000, .dirtied = number(line, "window1=") * MiB},
                    {.length = 3000, .dirtied = number(line, "window3=") * MiB}},
        .n_windows = 2,
        .bandwidth = number(line, "bandwidth=") * MiB,
        .overhead = number(line, "overhead="),
    };
    struct ladder_start start;
    ladder_init(l, &policy, &guest, &start);
}

/* How far off the time left was, in ms, at each sample. */
static unsigned play(const char *name, double *errors, double *ret_end)
{
    char path[512], line[512];
    struct ladder l;
    unsigned n = 0;
    long long end = 0;
    snprintf(path, sizeof(path), "%s/ladder/%s.trace", getenv("DROVER_TEST_DATA"), name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file)) {
        struct ladder_sample s = {0};
        struct ladder_actions a;
        long long f[8];
        if (line[0] == '#')
            continue;
        if (!end) {
            end = number(line, "end=");
            begin(&l, line);
            continue;
        }
        assert_int_equal(sscanf(line, "%lld %lld %lld %lld %lld %lld %lld %lld", &f[0], &f[1], &f[2], &f[3],
                                &f[4], &f[5], &f[6], &f[7]),
                         8);
        s.elapsed = f[0];
        s.iteration = (unsigned)f[1];
        s.remaining = f[2];
        s.sent = f[3];
        s.bandwidth = f[4];
        s.throttle = (unsigned)f[5];
        s.paused = f[6];
        s.paused_for = f[7];
        ladder_step(&l, &s, &a);
        int64_t left = ladder_time_left(&l);
        assert_true(n < SAMPLES);
        errors[n++] = left < 0 ? (double)(end - s.elapsed) : fabs((double)(left - (end - s.elapsed)));
    }
    fclose(file);
    *ret_end = (double)end;
    return n;
}

static double mean(const double *values, unsigned n)
{
    double sum = 0;
    for (unsigned i = 0; i < n; i++)
        sum += values[i];
    return sum / n;
}

static void gets_better(const char *name)
{
    double errors[SAMPLES], end;
    unsigned n = play(name, errors, &end), third = n / 3;
    double first = mean(errors, third), last = mean(errors + n - third, third);
    print_message("%s: off by %.0f ms in the first third, %.0f ms in the last, of %.0f ms\n", name, first,
                  last, end);
    assert_true(first <= 0.25 * end);
    assert_true(last <= fmax(first, 0.05 * end));
    assert_true(last <= 0.1 * end);
}

static void of_a_guest_that_converges(void **state)
{
    (void)state;
    gets_better("converges");
}

static void of_a_guest_that_is_paused_from_the_start(void **state)
{
    (void)state;
    gets_better("paused");
}

static void of_a_guest_that_is_slowed_down(void **state)
{
    (void)state;
    gets_better("slowed-down");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_a_guest_that_converges),
        cmocka_unit_test(of_a_guest_that_is_paused_from_the_start),
        cmocka_unit_test(of_a_guest_that_is_slowed_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
