/* A cut of the power in the middle of a commit: whatever of its part of the log has reached the disk, the row is as it was before or as
 * it is after, never half. tests/sim rests on that (tests/sim/fleet/coordinator.c). */
#include "common/base/cleanup.h"
#include "common/base/memory.h"
#include "coordinator/io/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <sys/stat.h>

enum { ROW = 10000 /* several pages */, SECTOR = 512 };

struct file {
    size_t size;
    char *data;
};

static struct file read_file(const char *path)
{
    struct file f = {0};
    _cleanup_fclose_ FILE *in = fopen(path, "r");
    assert_non_null(in);
    FILE *out = open_memstream(&f.data, &f.size);
    int c;
    while ((c = fgetc(in)) != EOF)
        fputc(c, out);
    fclose(out);
    return f;
}

static void write_file(const char *path, const char *data, size_t size)
{
    _cleanup_fclose_ FILE *out = fopen(path, "w");
    assert_non_null(out);
    assert_int_equal(fwrite(data, 1, size, out), size);
}

static void put(struct store *s, uint64_t *id, char fill)
{
    char txn[ROW];
    memset(txn, fill, sizeof(txn));
    Drover__V1__Job job = DROVER__V1__JOB__INIT;
    job.id = *id;
    job.guest = (char *)"web1";
    job.guest_uuid = (char *)"4dea22b3-1d52-4d8f-a1c3-0d1f3a5b7c9e";
    job.state = DROVER__V1__JOB_STATE__JOB_RUNNING;
    assert_int_equal(store_put_job(s, &job, txn, sizeof(txn), NULL), 0);
    *id = job.id;
}

static int note(void *arg, const Drover__V1__Job *job, const void *txn, size_t size)
{
    (void)job;
    const char *bytes = txn;
    assert_int_equal(size, ROW);
    for (size_t i = 1; i < size; i++)
        assert_int_equal(bytes[i], bytes[0]);
    *(char *)arg = bytes[0];
    return 0;
}

struct fixture {
    char dir[64], path[80], log[90], torn[80], torn_log[90];
};

static void clear(const char *path)
{
    static const char *const suffixes[] = {"", "-wal", "-ballast"};
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        char file[120];
        snprintf(file, sizeof(file), "%s%s", path, suffixes[i]);
        unlink(file);
    }
}

/* What the next coordinator finds. */
static char found(const struct fixture *f, const struct file *db, const char *log, size_t size)
{
    struct store *s = NULL;
    char row = 0;
    clear(f->torn);
    write_file(f->torn, db->data, db->size);
    write_file(f->torn_log, log, size);
    struct error err = {0};
    if (store_open(f->torn, &s, &err))
        fail_msg("%s", err.text);
    assert_int_equal(store_each_open(s, note, &row, NULL), 0);
    store_free(s);
    return row;
}

static void a_torn_commit_is_there_or_not(void **state)
{
    (void)state;
    struct fixture f = {.dir = "/tmp/store-torn-XXXXXX"};
    assert_non_null(mkdtemp(f.dir));
    snprintf(f.path, sizeof(f.path), "%s/db", f.dir);
    snprintf(f.log, sizeof(f.log), "%s-wal", f.path);
    snprintf(f.torn, sizeof(f.torn), "%s/torn", f.dir);
    snprintf(f.torn_log, sizeof(f.torn_log), "%s-wal", f.torn);
    struct error err = {0};
    struct store *s = NULL;
    if (store_open(f.path, &s, &err))
        fail_msg("%s", err.text);
    uint64_t id = 0;
    put(s, &id, 'a');
    struct file before = read_file(f.log);
    put(s, &id, 'b');
    struct file after = read_file(f.log), db = read_file(f.path);
    assert_true(after.size > before.size + ROW);

    _cleanup_free_ char *log = xcalloc(after.size, 1);
    for (size_t at = before.size; at < after.size; at += SECTOR) {
        size_t length = after.size - at < SECTOR ? after.size - at : SECTOR;
        memcpy(log, after.data, after.size);
        assert_int_equal(found(&f, &db, log, at), 'a'); /* it ends here */
        memset(log + at, 0, length);                    /* this sector is missing, later ones are there */
        bool same = memcmp(log, after.data, after.size) == 0;
        assert_int_equal(found(&f, &db, log, after.size), same ? 'b' : 'a');
        memcpy(log, after.data, after.size);
        log[at + length / 2] ^= 1;
        assert_int_equal(found(&f, &db, log, after.size), 'a');
    }
    assert_int_equal(found(&f, &db, after.data, after.size), 'b');
    store_free(s);
    clear(f.path);
    clear(f.torn);
    assert_int_equal(rmdir(f.dir), 0);
    free(before.data);
    free(after.data);
    free(db.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_torn_commit_is_there_or_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
