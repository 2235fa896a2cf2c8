#include "common/base/cleanup.h"
#include "common/base/memory.h"
#include "coordinator/io/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define GUEST "4dea22b3-1d52-4d8f-a1c3-0d1f3a5b7c9e"

struct fixture {
    char dir[64], path[128];
};

static int setup(void **state)
{
    struct fixture *f = new0(struct fixture);
    snprintf(f->dir, sizeof(f->dir), "/tmp/store-test-XXXXXX");
    if (!mkdtemp(f->dir))
        return -1;
    snprintf(f->path, sizeof(f->path), "%s/coordinator.db", f->dir);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    static const char *const suffixes[] = {"", "-wal", "-shm", "-ballast", "-journal"};
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        char path[160];
        snprintf(path, sizeof(path), "%s%s", f->path, suffixes[i]);
        unlink(path);
    }
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

static Drover__V1__Job a_job(const char *guest, Drover__V1__JobState state)
{
    Drover__V1__Job job = DROVER__V1__JOB__INIT;
    job.guest = (char *)guest;
    job.guest_uuid = (char *)GUEST;
    job.state = state;
    return job;
}

static uint64_t put(struct store *s, const char *guest, Drover__V1__JobState state, const char *txn)
{
    Drover__V1__Job job = a_job(guest, state);
    struct error err = {0};
    if (store_put_job(s, &job, txn, txn ? strlen(txn) : 0, &err))
        fail_msg("%s", err.text);
    return job.id;
}

struct opened {
    unsigned n;
    uint64_t ids[8];
    char txn[8][32];
};

static int note_open(void *arg, const Drover__V1__Job *job, const void *txn, size_t size)
{
    struct opened *o = arg;
    o->ids[o->n] = job->id;
    snprintf(o->txn[o->n++], 32, "%.*s", (int)size, (const char *)txn);
    return 0;
}

static void a_job_survives_reopening(void **state)
{
    struct fixture *f = *state;
    struct store *s = open_store(f->path);
    uint64_t first = put(s, "web1", DROVER__V1__JOB_STATE__JOB_RUNNING, "state-a");
    uint64_t second = put(s, "web2", DROVER__V1__JOB_STATE__JOB_IN_DOUBT, "state-b");
    uint64_t third = put(s, "web3", DROVER__V1__JOB_STATE__JOB_QUEUED, NULL);
    assert_true(first < second && second < third);
    store_free(s);

    s = open_store(f->path);
    struct opened o = {0};
    assert_int_equal(store_each_open(s, note_open, &o, NULL), 0);
    assert_int_equal(o.n, 3);
    assert_int_equal(o.ids[0], first);
    assert_string_equal(o.txn[1], "state-b");
    assert_string_equal(o.txn[2], "");

    Drover__V1__Job job = a_job("web1", DROVER__V1__JOB_STATE__JOB_DONE);
    job.id = first;
    job.text = (char *)"web1 runs on kvm2";
    assert_int_equal(store_put_job(s, &job, "secret", 6, NULL), 0);
    memset(&o, 0, sizeof(o));
    assert_int_equal(store_each_open(s, note_open, &o, NULL), 0);
    assert_int_equal(o.n, 2);

    Drover__V1__Job *got = NULL;
    assert_int_equal(store_get_job(s, first, &got, NULL), 0);
    assert_string_equal(got->text, "web1 runs on kvm2");
    assert_int_equal(got->id, first);
    drover__v1__job__free_unpacked(got, NULL);
    struct error err = {0};
    assert_int_equal(store_get_job(s, 4711, &got, &err), -STATUS_NOT_FOUND);
    store_free(s);

    struct stat st;
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static int contains(const char *path, const char *text)
{
    _cleanup_fclose_ FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    static char bytes[4 << 20];
    size_t n = fread(bytes, 1, sizeof(bytes), file);
    return memmem(bytes, n, text, strlen(text)) != NULL;
}

static void an_ended_job_leaves_no_definition_behind(void **state)
{
    struct fixture *f = *state;
    struct store *s = open_store(f->path);
    Drover__V1__Job job = a_job("web1", DROVER__V1__JOB_STATE__JOB_RUNNING);
    assert_int_equal(store_put_job(s, &job, "passwd='geheim'", 15, NULL), 0);
    store_free(s);
    assert_true(contains(f->path, "geheim"));
    s = open_store(f->path);
    job.state = DROVER__V1__JOB_STATE__JOB_DONE;
    assert_int_equal(store_put_job(s, &job, "passwd='geheim'", 15, NULL), 0);
    store_free(s);
    assert_false(contains(f->path, "geheim"));
}

static void history_is_newest_first_and_filtered(void **state)
{
    struct fixture *f = *state;
    _cleanup_(store_freep) struct store *s = open_store(f->path);
    for (int i = 0; i < 40; i++) {
        char name[16];
        snprintf(name, sizeof(name), "web%d", i % 4);
        Drover__V1__JobEntry entry = DROVER__V1__JOB_ENTRY__INIT, *log[] = {&entry};
        Drover__V1__Job job = a_job(name, DROVER__V1__JOB_STATE__JOB_FAILED);
        job.log = log;
        job.n_log = 1;
        assert_int_equal(store_put_job(s, &job, NULL, 0, NULL), 0);
    }
    put(s, "web1", DROVER__V1__JOB_STATE__JOB_RUNNING, NULL);
    Drover__V1__ListJobsReply *list;
    assert_int_equal(store_list_ended(s, 0, NULL, &list, NULL), 0);
    assert_int_equal(list->n_jobs, 40);
    assert_true(list->jobs[0]->id > list->jobs[1]->id);
    assert_int_equal(list->jobs[0]->n_log, 0);
    drover__v1__list_jobs_reply__free_unpacked(list, NULL);
    assert_int_equal(store_list_ended(s, 3, "web1", &list, NULL), 0);
    assert_int_equal(list->n_jobs, 3);
    assert_string_equal(list->jobs[2]->guest, "web1");
    drover__v1__list_jobs_reply__free_unpacked(list, NULL);
    assert_int_equal(store_list_ended(s, 0, GUEST, &list, NULL), 0);
    assert_int_equal(list->n_jobs, 40);
    drover__v1__list_jobs_reply__free_unpacked(list, NULL);
    assert_int_equal(store_list_ended(s, 0, "no such", &list, NULL), 0);
    assert_int_equal(list->n_jobs, 0);
    drover__v1__list_jobs_reply__free_unpacked(list, NULL);
}

static void two_coordinators_cannot_share_a_store(void **state)
{
    struct fixture *f = *state;
    struct store *s = open_store(f->path), *other = NULL;
    struct error err = {0};
    assert_int_equal(store_open(f->path, &other, &err), -STATUS_FAILED_PRECONDITION);
    assert_non_null(strstr(err.text, "in use by another process"));
    assert_null(other);

    /* And neither can another process, also after the refusal here. */
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        _exit(store_open(f->path, &other, &err) == -STATUS_FAILED_PRECONDITION ? 0 : 1);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    store_free(s);
    store_free(open_store(f->path));
}

static void exec_sql(const char *path, const char *sql)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void an_older_schema_is_migrated(void **state)
{
    struct fixture *f = *state;
    struct store *s = open_store(f->path);
    uint64_t epoch = store_epoch(s), id = put(s, "web1", DROVER__V1__JOB_STATE__JOB_RUNNING, "txn");
    store_free(s);
    /* Back to what the first version left. */
    exec_sql(
        f->path,
        "DROP INDEX job_open; DROP INDEX job_guest; DROP INDEX job_guest_uuid; DROP TABLE maintenance;"
        "DROP TABLE away; DROP INDEX job_moved; ALTER TABLE job DROP COLUMN moved; PRAGMA user_version = 1");
    s = open_store(f->path);
    assert_true(store_epoch(s) > epoch);
    struct opened o = {0};
    assert_int_equal(store_each_open(s, note_open, &o, NULL), 0);
    assert_int_equal(o.n, 1);
    assert_int_equal(o.ids[0], id);
    store_free(s);
    /* The migration has made the indexes again: making them by hand now would fail. */
    sqlite3 *db;
    assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "CREATE INDEX job_open ON job (id)", NULL, NULL, NULL), SQLITE_ERROR);
    sqlite3_close(db);
}

static void expect_refused(const char *path, int code, const char *text)
{
    struct store *s = NULL;
    struct error err = {0};
    assert_int_equal(store_open(path, &s, &err), code);
    assert_null(s);
    if (!strstr(err.text, text))
        fail_msg("expected \"%s\" in: %s", text, err.text);
}

static void a_newer_schema_is_refused_and_left_alone(void **state)
{
    struct fixture *f = *state;
    store_free(open_store(f->path));
    exec_sql(f->path, "PRAGMA user_version = 99");
    expect_refused(f->path, -STATUS_FAILED_PRECONDITION, "newer coordinator (schema 99");
    exec_sql(f->path, "PRAGMA user_version = 4");
    store_free(open_store(f->path));
}

static void write_file(const char *path, const void *bytes, size_t n, off_t at)
{
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(pwrite(fd, bytes, n, at), n);
}

static void foreign_and_damaged_files_are_refused(void **state)
{
    struct fixture *f = *state;
    char text[8192];
    memset(text, 'x', sizeof(text));
    write_file(f->path, text, sizeof(text), 0);
    expect_refused(f->path, -STATUS_DATA_LOSS, "not a coordinator's store");
    assert_true(contains(f->path, "xxxxxxxx")); /* untouched */
    unlink(f->path);

    exec_sql(f->path, "CREATE TABLE bookmarks (url TEXT)");
    expect_refused(f->path, -STATUS_DATA_LOSS, "another program's");
    unlink(f->path);

    struct store *s = open_store(f->path);
    for (int i = 0; i < 200; i++)
        put(s, "web1", DROVER__V1__JOB_STATE__JOB_FAILED, NULL);
    store_free(s);
    struct stat st;
    assert_int_equal(stat(f->path, &st), 0);
    for (off_t at = 4096; at + 4096 <= st.st_size; at += 4096)
        write_file(f->path, text, 3000, at + 100);
    expect_refused(f->path, -STATUS_DATA_LOSS, "is damaged");

    expect_refused("/nonexistent/coordinator.db", -STATUS_NOT_FOUND, "/nonexistent/coordinator.db");
}

/* kill -9 between two commits: what was acknowledged is there. */
static void what_was_stored_survives_a_crash(void **state)
{
    struct fixture *f = *state;
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        struct store *s = NULL;
        if (store_open(f->path, &s, NULL))
            _exit(1);
        for (;;) {
            Drover__V1__Job job = a_job("web1", DROVER__V1__JOB_STATE__JOB_RUNNING);
            if (store_put_job(s, &job, NULL, 0, NULL) || write(pipes[1], &job.id, sizeof(job.id)) < 0)
                _exit(1);
        }
    }
    close(pipes[1]);
    uint64_t id = 0, last = 0;
    for (int i = 0; i < 50; i++)
        if (read(pipes[0], &id, sizeof(id)) == sizeof(id))
            last = id;
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    while (read(pipes[0], &id, sizeof(id)) == sizeof(id))
        last = id;
    close(pipes[0]);
    assert_true(last >= 50);
    _cleanup_(store_freep) struct store *s = open_store(f->path);
    for (id = 1; id <= last; id++) {
        Drover__V1__Job *job;
        assert_int_equal(store_get_job(s, id, &job, NULL), 0);
        drover__v1__job__free_unpacked(job, NULL);
    }
}

/* Fills the rest of the disk that `path` is on. */
static void fill_disk(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    static char block[65536];
    for (size_t size = sizeof(block); size >= 1;) {
        if (write(fd, block, size) < (ssize_t)size)
            size /= 2;
    }
    close(fd);
}

/* In a process with a small disk of its own. Exit codes name the line that failed. */
static int full_disk_story(const char *dir)
{
#define MUST(x)                                                                                              \
    if (!(x))                                                                                                \
    return __LINE__ % 200 + 1
    char path[128], filler[128], ballast[160];
    snprintf(path, sizeof(path), "%s/coordinator.db", dir);
    snprintf(filler, sizeof(filler), "%s/filler", dir);
    snprintf(ballast, sizeof(ballast), "%s-ballast", path);
    struct store *s = NULL;
    struct error err = {0};
    MUST(store_open(path, &s, NULL) == 0);
    MUST(store_ready(s, NULL) == 0);
    Drover__V1__Job job = a_job("web1", DROVER__V1__JOB_STATE__JOB_RUNNING);
    MUST(store_put_job(s, &job, "txn", 3, NULL) == 0);
    fill_disk(filler);
    /* What runs is still recorded, by giving up the ballast. */
    static char txn[60000];
    unsigned written = 0;
    while (access(ballast, F_OK) == 0 && written < 1000) {
        MUST(store_put_job(s, &job, txn, sizeof(txn), &err) == 0);
        written++;
    }
    MUST(access(ballast, F_OK) != 0);
    MUST(store_ready(s, &err) == -STATUS_RESOURCE_EXHAUSTED);
    MUST(strstr(err.text, "is full") && strstr(err.text, "free at least"));
    job.state = DROVER__V1__JOB_STATE__JOB_FAILED;
    MUST(store_put_job(s, &job, NULL, 0, &err) == 0);
    /* Then nothing more can be: the error says so, and nothing is half written. */
    fill_disk(filler);
    int r = 0;
    uint64_t last = 0;
    for (unsigned i = 0; i < 1000 && !r; i++) {
        Drover__V1__Job more = a_job("web2", DROVER__V1__JOB_STATE__JOB_RUNNING);
        r = store_put_job(s, &more, txn, sizeof(txn), &err);
        MUST(r == 0 || more.id == 0);
        if (!r)
            last = more.id;
    }
    MUST(r == -STATUS_RESOURCE_EXHAUSTED && strstr(err.text, "is full"));
    MUST(unlink(filler) == 0);
    MUST(store_ready(s, &err) == 0 && access(ballast, F_OK) == 0);
    Drover__V1__Job more = a_job("web2", DROVER__V1__JOB_STATE__JOB_RUNNING);
    MUST(store_put_job(s, &more, txn, sizeof(txn), &err) == 0 && more.id > last);
    store_free(s);
    MUST(store_open(path, &s, NULL) == 0);
    Drover__V1__Job *got;
    MUST(store_get_job(s, job.id, &got, NULL) == 0 && got->state == DROVER__V1__JOB_STATE__JOB_FAILED);
    drover__v1__job__free_unpacked(got, NULL);
    store_free(s);
    /* Started on a full disk, it gives up the ballast, and what is open is recorded to its end. */
    fill_disk(filler);
    MUST(access(ballast, F_OK) == 0);
    MUST(store_open(path, &s, &err) == 0);
    MUST(access(ballast, F_OK) != 0 && store_ready(s, &err) == -STATUS_RESOURCE_EXHAUSTED);
    more.state = DROVER__V1__JOB_STATE__JOB_DONE;
    MUST(store_put_job(s, &more, NULL, 0, &err) == 0);
    store_free(s);
    return 0;
#undef MUST
}

static void a_full_disk_gives_up_the_ballast(void **state)
{
    struct fixture *f = *state;
    if (geteuid() != 0) {
        print_message("needs root, to mount a small disk\n");
        skip();
    }
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
            mount("disk", f->dir, "tmpfs", 0, "size=4m"))
            _exit(255);
        _exit(full_disk_story(f->dir));
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 255) {
        print_message("can't mount a small disk here\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_job_survives_reopening, setup, teardown),
        cmocka_unit_test_setup_teardown(an_ended_job_leaves_no_definition_behind, setup, teardown),
        cmocka_unit_test_setup_teardown(history_is_newest_first_and_filtered, setup, teardown),
        cmocka_unit_test_setup_teardown(two_coordinators_cannot_share_a_store, setup, teardown),
        cmocka_unit_test_setup_teardown(an_older_schema_is_migrated, setup, teardown),
        cmocka_unit_test_setup_teardown(a_newer_schema_is_refused_and_left_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(foreign_and_damaged_files_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_stored_survives_a_crash, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_disk_gives_up_the_ballast, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
