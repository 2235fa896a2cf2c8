/* Epochs and generations: whatever becomes of the store, none is given twice, and none that the agents would refuse. */
#include "common/base/cleanup.h"
#include "common/base/loop.h"
#include "common/base/memory.h"
#include "coordinator/io/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sqlite3.h>
#include <unistd.h>

#define GUEST "4dea22b3-1d52-4d8f-a1c3-0d1f3a5b7c9e"

struct fixture {
    char dir[64], path[128], backup[128];
};

static int setup(void **state)
{
    struct fixture *f = new0(struct fixture);
    snprintf(f->dir, sizeof(f->dir), "/tmp/store-test-XXXXXX");
    if (!mkdtemp(f->dir))
        return -1;
    snprintf(f->path, sizeof(f->path), "%s/coordinator.db", f->dir);
    snprintf(f->backup, sizeof(f->backup), "%s/backup.db", f->dir);
    *state = f;
    return 0;
}

static void remove_store(const char *path)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-ballast", "-journal"};
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        _cleanup_free_ char *file = xasprintf("%s%s", path, suffixes[i]);
        unlink(file);
    }
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    remove_store(f->path);
    remove_store(f->backup);
    int r = rmdir(f->dir);
    free(f);
    return r;
}

static struct store *open_store(const char *path)
{
    struct store *s = NULL;
    struct error err = {0};
    if (store_open(path, &s, &err))
        fail_msg("%s", err.text);
    return s;
}

static uint64_t next(struct store *s)
{
    uint64_t generation = 0;
    assert_int_equal(store_next_generation(s, GUEST, &generation, NULL), 0);
    return generation;
}

static void each_opening_takes_an_epoch_and_no_generation_comes_twice(void **state)
{
    struct fixture *f = *state;
    uint64_t epoch = 0, generation = 0;
    for (int life = 0; life < 5; life++) {
        _cleanup_(store_freep) struct store *s = open_store(f->path);
        assert_true(store_epoch(s) > epoch);
        epoch = store_epoch(s);
        for (int i = 0; i < 3; i++) {
            uint64_t value = next(s);
            assert_true(value > generation);
            generation = value;
        }
    }
}

/* A store that was lost must not give numbers that the agents have seen already. */
static void a_new_store_begins_above_what_an_older_one_gave(void **state)
{
    struct fixture *f = *state;
    _cleanup_(store_freep) struct store *s = open_store(f->path);
    assert_true(next(s) > 1700000000000);
    assert_true(store_epoch(s) > 1700000000000);
}

static void copy_file(const char *from, const char *to)
{
    char bytes[65536];
    FILE *in = fopen(from, "r"), *out = fopen(to, "w");
    assert_true(in && out);
    for (size_t n; (n = fread(bytes, 1, sizeof(bytes), in)) > 0;)
        assert_int_equal(fwrite(bytes, 1, n, out), n);
    fclose(in);
    assert_int_equal(fclose(out), 0);
}

/* Its coordinator would be refused everywhere, or be of the same epoch as one that goes on with the original. */
static void a_backup_gives_no_number_that_was_given(void **state)
{
    struct fixture *f = *state;
    struct store *s = open_store(f->path);
    next(s);
    store_free(s);
    copy_file(f->path, f->backup);
    uint64_t epoch = 0, generation = 0;
    for (int life = 0; life < 5; life++) {
        s = open_store(f->path);
        epoch = store_epoch(s);
        for (int i = 0; i < 3; i++)
            generation = next(s);
        store_free(s);
    }
    while ((uint64_t)clock_realtime_ms() <= (epoch > generation ? epoch : generation))
        ; /* a few ms, of a machine that is faster than its clock */
    s = open_store(f->backup);
    assert_true(store_epoch(s) > epoch);
    assert_true(next(s) > generation);
    store_free(s);
}

/* The store is ahead of the clock: it only counts. */
static void a_clock_that_is_set_back_gives_no_number_again(void **state)
{
    struct fixture *f = *state;
    store_free(open_store(f->path));
    sqlite3 *db;
    assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db,
                                  "UPDATE counter SET value = 9000000000000 WHERE name = 'epoch';"
                                  "INSERT INTO generation VALUES ('" GUEST "', 9000000000000)",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(db);
    _cleanup_(store_freep) struct store *s = open_store(f->path);
    assert_int_equal(store_epoch(s), 9000000000001);
    assert_int_equal(next(s), 9000000000001);
}

int main(void)
{
#define story(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        story(each_opening_takes_an_epoch_and_no_generation_comes_twice),
        story(a_new_store_begins_above_what_an_older_one_gave),
        story(a_backup_gives_no_number_that_was_given),
        story(a_clock_that_is_set_back_gives_no_number_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
