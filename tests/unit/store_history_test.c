/* The history forgets what is too old, and nothing else. */
#include "common/base/cleanup.h"
#include "common/base/memory.h"
#include "coordinator/io/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <unistd.h>

#define OPEN DROVER__V1__JOB_STATE__JOB_RUNNING
#define DONE DROVER__V1__JOB_STATE__JOB_DONE
#define DOUBT DROVER__V1__JOB_STATE__JOB_IN_DOUBT
#define FAILED DROVER__V1__JOB_STATE__JOB_FAILED

struct fixture {
    char dir[64], path[128];
    struct store *store;
};

static int setup(void **state)
{
    struct fixture *f = new0(struct fixture);
    snprintf(f->dir, sizeof(f->dir), "/tmp/store-test-XXXXXX");
    if (!mkdtemp(f->dir))
        return -1;
    snprintf(f->path, sizeof(f->path), "%s/coordinator.db", f->dir);
    struct error err = {0};
    if (store_open(f->path, &f->store, &err))
        fail_msg("%s", err.text);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    store_free(f->store);
    static const char *const suffixes[] = {"", "-wal", "-shm", "-ballast", "-journal"};
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        _cleanup_free_ char *file = xasprintf("%s%s", f->path, suffixes[i]);
        unlink(file);
    }
    int r = rmdir(f->dir);
    free(f);
    return r;
}

static void put(struct fixture *f, Drover__V1__JobState how, uint64_t ended)
{
    Drover__V1__Job job = DROVER__V1__JOB__INIT;
    job.guest = (char *)"web1";
    job.state = how;
    job.ended = ended;
    assert_int_equal(store_put_job(f->store, &job, NULL, 0, NULL), 0);
}

/* The ids that are left, the oldest first: "1 3 4". */
static void expect(struct fixture *f, unsigned last, const char *ids)
{
    char left[64] = "";
    for (uint64_t id = 1; id <= last; id++) {
        Drover__V1__Job *job = NULL;
        if (store_get_job(f->store, id, &job, NULL) < 0)
            continue;
        size_t n = strlen(left);
        snprintf(left + n, sizeof(left) - n, "%s%d", n ? " " : "", (int)id);
        drover__v1__job__free_unpacked(job, NULL);
    }
    assert_string_equal(left, ids);
}

static void what_ended_before_is_forgotten_and_what_is_open_stays(void **state)
{
    struct fixture *f = *state;
    put(f, DONE, 100);
    put(f, OPEN, 0);
    put(f, DOUBT, 0);
    put(f, FAILED, 199);
    put(f, DONE, 200);
    put(f, DONE, 300);
    assert_int_equal(store_prune(f->store, 1200, 1000, 0, 10, NULL), 2);
    expect(f, 6, "2 3 5 6");
    assert_int_equal(store_prune(f->store, 1200, 1000, 0, 10, NULL), 0);
    expect(f, 6, "2 3 5 6");
}

static void a_few_at_a_time(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 5; i++)
        put(f, DONE, 100);
    assert_int_equal(store_prune(f->store, 1200, 1000, 0, 2, NULL), 2);
    expect(f, 5, "3 4 5");
    assert_int_equal(store_prune(f->store, 1200, 1000, 0, 2, NULL), 2);
    assert_int_equal(store_prune(f->store, 1200, 1000, 0, 2, NULL), 1);
    expect(f, 5, "");
}

static void a_clock_that_is_far_ahead_leaves_the_newest(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(store_prune(f->store, INT64_MAX, 1000, 3, 10, NULL), 0); /* none at all */
    for (int i = 0; i < 5; i++)
        put(f, DONE, 100);
    assert_int_equal(store_prune(f->store, INT64_MAX, 1000, 3, 10, NULL), 2);
    expect(f, 5, "3 4 5");
}

static void a_job_of_a_clock_that_was_ahead_holds_up_nothing(void **state)
{
    struct fixture *f = *state;
    put(f, DONE, 100);
    put(f, DONE, 9000);
    put(f, DONE, 150);
    put(f, DONE, 300);
    assert_int_equal(store_prune(f->store, 1200, 1000, 0, 10, NULL), 3);
    expect(f, 4, "4");
}

static void no_number_is_given_again(void **state)
{
    struct fixture *f = *state;
    put(f, DONE, 100);
    assert_int_equal(store_prune(f->store, 1200, 1000, 0, 10, NULL), 1);
    put(f, DONE, 300);
    expect(f, 2, "2");
}

int main(void)
{
#define story(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        story(what_ended_before_is_forgotten_and_what_is_open_stays),
        story(a_few_at_a_time),
        story(a_clock_that_is_far_ahead_leaves_the_newest),
        story(a_job_of_a_clock_that_was_ahead_holds_up_nothing),
        story(no_number_is_given_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
