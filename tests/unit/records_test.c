#include "agent/io/records.h"
#include "common/base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define TXN "11111111-2222-4333-8444-555555555555"
#define GUEST "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"

struct fixture {
    char dir[64];
    unsigned n, damaged;
    Drover__V1__Record *last;
    struct error why;
};

static int setup(void **state)
{
    struct fixture *f = new0(struct fixture);
    strcpy(f->dir, "/tmp/records_test.XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    *state = f;
    return 0;
}

static int rm(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void forget(struct fixture *f)
{
    if (f->last)
        drover__v1__record__free_unpacked(f->last, NULL);
    f->last = NULL;
    f->n = f->damaged = 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    forget(f);
    nftw(f->dir, rm, 8, FTW_DEPTH | FTW_PHYS);
    free(f);
    return 0;
}

static void on_record(void *arg, Drover__V1__Record *record)
{
    struct fixture *f = arg;
    if (f->last)
        drover__v1__record__free_unpacked(f->last, NULL);
    f->last = record;
    f->n++;
}

static void on_damaged(void *arg, const struct error *why)
{
    struct fixture *f = arg;
    f->why = *why;
    f->damaged++;
}

static struct records *opened(struct fixture *f)
{
    struct records *r = NULL;
    struct error err = {0};
    int e = records_open(f->dir, &r, NULL, &err);
    if (e)
        print_message("%s\n", err.text);
    assert_int_equal(e, 0);
    return r;
}

static void read_all(struct fixture *f, struct records *r)
{
    forget(f);
    assert_int_equal(records_read(r, on_record, on_damaged, f, NULL), 0);
}

static void put(struct records *r, const char *word)
{
    Drover__V1__Step step = DROVER__V1__STEP__INIT;
    step.transaction = (char *)TXN;
    step.guest = (char *)GUEST;
    step.generation = 7;
    Drover__V1__Record record = DROVER__V1__RECORD__INIT;
    record.step = &step;
    record.state = (char *)word;
    record.memory = 1u << 30;
    assert_int_equal(records_put(r, &record, NULL), 0);
}

static void a_record_survives_a_restart(void **state)
{
    struct fixture *f = *state;
    struct records *r = opened(f);
    put(r, "PREPARED");
    put(r, "MIGRATING");
    records_free(r);
    r = opened(f);
    read_all(f, r);
    assert_int_equal(f->n, 1);
    assert_int_equal(f->damaged, 0);
    assert_string_equal(f->last->state, "MIGRATING");
    assert_int_equal(f->last->step->generation, 7);
    assert_int_equal(f->last->memory, 1u << 30);
    assert_int_equal(records_remove(r, TXN, NULL), 0);
    assert_int_equal(records_remove(r, TXN, NULL), 0);
    read_all(f, r);
    assert_int_equal(f->n, 0);
    records_free(r);
}

static bool directories_fail;

/* In libc's place. */
int fsync(int fd)
{
    struct stat st;
    if (directories_fail && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
        errno = EIO;
        return -1;
    }
    return fdatasync(fd);
}

static void a_write_that_may_not_survive_is_told_from_one_that_failed(void **state)
{
    struct fixture *f = *state;
    struct records *r = opened(f);
    Drover__V1__Step step = DROVER__V1__STEP__INIT;
    step.transaction = (char *)TXN;
    step.guest = (char *)GUEST;
    Drover__V1__Record record = DROVER__V1__RECORD__INIT;
    record.step = &step;
    record.state = (char *)"KEPT";
    struct error err = {0};
    directories_fail = true;
    int e = records_put(r, &record, &err);
    int raised = records_raise(r, 5, NULL, 0, NULL);
    int again = records_raise(r, 5, NULL, 0, NULL); /* not "it is there already" */
    const Drover__V1__Closures closures = DROVER__V1__CLOSURES__INIT;
    int closed = records_put_closures(r, &closures, NULL);
    records_free(r);
    assert_int_not_equal(records_open(f->dir, &r, NULL, NULL), 0); /* until it can be known */
    directories_fail = false;
    assert_int_equal(e, -(int)STATUS_DATA_LOSS);
    assert_non_null(strstr(err.text, "transactions/" TXN " is written"));
    assert_int_equal(raised, -(int)STATUS_DATA_LOSS);
    assert_int_equal(again, -(int)STATUS_DATA_LOSS);
    assert_int_equal(closed, -(int)STATUS_DATA_LOSS);
    r = opened(f);
    read_all(f, r);
    assert_int_equal(f->n, 1);
    assert_int_equal(records_epoch(r), 5);
    records_free(r);
}

static enum { ROOM, FULL, FULLER } disk; /* full: but for the ballast */
static char ballast[100];

/* In libc's place. */
ssize_t write(int fd, const void *data, size_t size)
{
    if (disk == FULLER || (disk == FULL && access(ballast, F_OK) == 0)) {
        errno = ENOSPC;
        return -1;
    }
    return syscall(SYS_write, fd, data, size);
}

static void a_full_disk_gives_up_the_ballast(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    const Drover__V1__Closures closures = DROVER__V1__CLOSURES__INIT;
    snprintf(ballast, sizeof(ballast), "%s/records-ballast", f->dir);
    struct records *r = opened(f);
    assert_int_equal(access(ballast, F_OK), 0);
    disk = FULL;
    put(r, "FENCED");
    assert_int_not_equal(access(ballast, F_OK), 0);
    put(r, "RELEASED");
    disk = FULLER;
    bool room = records_has_room(r);
    int e = records_put_closures(r, &closures, &err);
    disk = ROOM;
    assert_false(room);
    assert_int_equal(e, -(int)STATUS_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(err.text, "closures"));
    assert_true(records_has_room(r));
    assert_int_equal(access(ballast, F_OK), 0);
    read_all(f, r);
    assert_string_equal(f->last->state, "RELEASED");
    records_free(r);
}

static void the_fence_only_grows(void **state)
{
    struct fixture *f = *state;
    struct records *r = opened(f);
    assert_int_equal(records_raise(r, 5, GUEST, 3, NULL), 0);
    assert_int_equal(records_raise(r, 4, GUEST, 9, NULL), 0);
    assert_int_equal(records_raise(r, 6, NULL, 0, NULL), 0);
    assert_int_equal(records_raise(r, 1, TXN, 1, NULL), 0);
    assert_int_equal(records_raise(r, 1, GUEST, 2, NULL), 0);
    records_free(r);
    r = opened(f);
    assert_int_equal(records_epoch(r), 6);
    assert_int_equal(records_generation(r, GUEST), 9);
    assert_int_equal(records_generation(r, TXN), 1);
    assert_int_equal(records_generation(r, "none"), 0);
    records_free(r);
}

static void flip(const char *dir, const char *name, long at, int how)
{
    _cleanup_free_ char *path = xasprintf("%s/%s", dir, name);
    _cleanup_fclose_ FILE *file = fopen(path, "r+");
    assert_non_null(file);
    fseek(file, at, SEEK_SET);
    int c = fgetc(file);
    fseek(file, at, SEEK_SET);
    fputc(c ^ how, file);
}

/* Every byte of a record, damaged in two ways, and every length it may be torn to. */
static void a_damaged_record_is_put_aside(void **state)
{
    struct fixture *f = *state;
    struct records *r = opened(f);
    put(r, "PREPARED");
    struct stat st;
    _cleanup_free_ char *path = xasprintf("%s/transactions/" TXN, f->dir);
    assert_int_equal(stat(path, &st), 0);
    for (long at = 0; at < st.st_size; at++)
        for (int how = 1; how <= 0x80; how *= 0x80) {
            put(r, "PREPARED");
            flip(f->dir, "transactions/" TXN, at, how);
            read_all(f, r);
            assert_int_equal(f->n, 0);
            assert_int_equal(f->damaged, 1);
            assert_int_equal(f->why.code, STATUS_DATA_LOSS);
            assert_non_null(strstr(f->why.text, "damaged/" TXN));
        }
    for (long size = 0; size < st.st_size; size++) {
        put(r, "PREPARED");
        assert_int_equal(truncate(path, size), 0);
        read_all(f, r);
        assert_int_equal(f->n, 0);
        assert_int_equal(f->damaged, 1);
    }
    read_all(f, r);
    assert_int_equal(f->damaged, 0);
    records_free(r);
}

static void a_record_under_another_name_is_put_aside(void **state)
{
    struct fixture *f = *state;
    struct records *r = opened(f);
    put(r, "PREPARED");
    _cleanup_free_ char *from = xasprintf("%s/transactions/" TXN, f->dir);
    _cleanup_free_ char *to = xasprintf("%s/transactions/" GUEST, f->dir);
    assert_int_equal(rename(from, to), 0);
    read_all(f, r);
    assert_int_equal(f->n, 0);
    assert_int_equal(f->damaged, 1);
    records_free(r);
}

static void a_damaged_fence_is_said_and_put_aside(void **state)
{
    struct fixture *f = *state;
    struct records *r = opened(f);
    assert_int_equal(records_raise(r, 5, GUEST, 3, NULL), 0);
    records_free(r);
    flip(f->dir, "fence", 33, 1);
    struct error warning = {0};
    assert_int_equal(records_open(f->dir, &r, &warning, NULL), 0);
    assert_int_equal(warning.code, STATUS_DATA_LOSS);
    assert_int_equal(records_epoch(r), 0);
    records_free(r);
    assert_int_equal(records_open(f->dir, &r, &warning, NULL), 0);
    assert_int_equal(warning.code, STATUS_OK);
    records_free(r);
}

static void a_half_written_file_is_no_record(void **state)
{
    struct fixture *f = *state;
    struct records *r = opened(f);
    _cleanup_free_ char *path = xasprintf("%s/transactions/.new", f->dir);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    read_all(f, r);
    assert_int_equal(f->n + f->damaged, 0);
    put(r, "KEPT");
    read_all(f, r);
    assert_int_equal(f->n, 1);
    records_free(r);
}

static void one_agent_per_directory(void **state)
{
    struct fixture *f = *state;
    struct records *r = opened(f), *other = NULL;
    struct error err = {0};
    assert_int_equal(records_open(f->dir, &other, NULL, &err), -STATUS_FAILED_PRECONDITION);
    assert_non_null(strstr(err.text, f->dir));
    assert_null(other);
    records_free(r);
    records_free(opened(f));
}

static void a_directory_that_cannot_be_made_is_said(void **state)
{
    (void)state;
    struct records *r = NULL;
    struct error err = {0};
    assert_int_not_equal(records_open("/proc/nothing/here", &r, NULL, &err), 0);
    assert_non_null(strstr(err.text, "/proc/nothing/here"));
}

static void an_archived_definition_stays_in_the_archive(void **state)
{
    struct fixture *f = *state;
    struct records *r = opened(f);
    assert_int_equal(records_archive(r, "../../evil/name", GUEST, 3, "<domain/>", NULL), 0);
    _cleanup_free_ char *path = xasprintf("%s/archive/______evil_name-" GUEST "-g3.xml", f->dir);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 9);
    records_free(r);
}

static void only_uuids_become_file_names(void **state)
{
    (void)state;
    assert_true(records_is_uuid(TXN));
    assert_false(records_is_uuid(NULL));
    assert_false(records_is_uuid(""));
    assert_false(records_is_uuid("../../../../../../../../../../etc/passwd"));
    assert_false(records_is_uuid(TXN "x"));
    assert_false(records_is_uuid("11111111-2222-4333-8444-55555555555g"));
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_record_survives_a_restart),
        TEST(a_write_that_may_not_survive_is_told_from_one_that_failed),
        TEST(a_full_disk_gives_up_the_ballast),
        TEST(the_fence_only_grows),
        TEST(a_damaged_record_is_put_aside),
        TEST(a_record_under_another_name_is_put_aside),
        TEST(a_damaged_fence_is_said_and_put_aside),
        TEST(a_half_written_file_is_no_record),
        TEST(one_agent_per_directory),
        TEST(a_directory_that_cannot_be_made_is_said),
        TEST(an_archived_definition_stays_in_the_archive),
        TEST(only_uuids_become_file_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
