#include "coordinator/io/store_internal.h"

#include "common/base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

#define APPLICATION_ID 0x44525652 /* "DRVR", in the file's header */

/* migrations[v] brings a store of version v to v + 1. They are never changed once released, only added to. */
static const char *const migrations[] = {
    "CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
    "INSERT INTO counter VALUES ('epoch', unixepoch());"
    "INSERT INTO counter VALUES ('first-generation', unixepoch());"
    "CREATE TABLE generation (guest TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE job (id INTEGER PRIMARY KEY AUTOINCREMENT, open INTEGER NOT NULL, guest TEXT NOT NULL,"
    " guest_uuid TEXT NOT NULL, job BLOB NOT NULL, txn BLOB);",

    "CREATE INDEX job_open ON job (id) WHERE open;"
    "CREATE INDEX job_guest ON job (guest);"
    "CREATE INDEX job_guest_uuid ON job (guest_uuid);",

    "CREATE TABLE maintenance (host TEXT PRIMARY KEY) WITHOUT ROWID;"
    "CREATE TABLE away (host TEXT NOT NULL, guest TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (host, "
    "guest))"
    " WITHOUT ROWID;",

    "ALTER TABLE job ADD COLUMN moved INTEGER NOT NULL DEFAULT 0;" /* when its guest had moved, ms since 1970 */
    "CREATE INDEX job_moved ON job (moved) WHERE moved > 0;",

    /* Numbered in the order of the evacuations. */
    "CREATE TABLE numbered (number INTEGER PRIMARY KEY, host TEXT NOT NULL, guest TEXT NOT NULL,"
    " name TEXT NOT NULL, UNIQUE (host, guest));"
    "INSERT INTO numbered (host, guest, name) SELECT host, guest, name FROM away;"
    "DROP TABLE away;"
    "ALTER TABLE numbered RENAME TO away;",
};
#define VERSION ((int)(sizeof(migrations) / sizeof(migrations[0])))

/* ---- errors ------------------------------------------------------------------------------------------------------ */

int store_fail(const struct store *s, struct error *err)
{
    const char *text = sqlite3_errmsg(s->db);
    int code = sqlite3_errcode(s->db);
    switch (code & 0xff) {
    case SQLITE_FULL:
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "the disk of %s is full: free some space there",
                         s->path);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return error_set(
            err, STATUS_FAILED_PRECONDITION,
            "%s is in use by another process (`fuser %s` names it): two coordinators can't share a store",
            s->path, s->path);
    case SQLITE_NOTADB:
        return error_set(err, STATUS_DATA_LOSS,
                         "%s is not a coordinator's store (not an SQLite file): name another file in "
                         "`store:`, or move it away",
                         s->path);
    case SQLITE_CORRUPT:
        return error_set(err, STATUS_DATA_LOSS,
                         "%s is damaged (%s): put a backup in its place, or move it away and settle open "
                         "migrations by hand "
                         "(the agents know them)",
                         s->path, text);
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
        return error_set(err, STATUS_PERMISSION_DENIED,
                         "%s can't be opened for writing (%s): check the directory, its owner and its mode",
                         s->path, text);
    case SQLITE_IOERR:
        return error_set(err, STATUS_UNAVAILABLE, "%s can't be read or written (%s: %s): check the disk",
                         s->path, text, strerror(sqlite3_system_errno(s->db)));
    default: return error_set(err, STATUS_INTERNAL, "%s: %s", s->path, text);
    }
}

/* ---- statements -------------------------------------------------------------------------------------------------- */

static int run(struct store *s, const char *sql, struct error *err)
{
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : store_fail(s, err);
}

/* The only column of the only row; a write is committed when this returns. */
static int get(struct store *s, const char *sql, int64_t *ret, struct error *err)
{
    _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
    if (sqlite3_prepare_v2(s->db, sql, -1, &stmt, NULL) != SQLITE_OK || sqlite3_step(stmt) != SQLITE_ROW)
        return store_fail(s, err);
    int64_t value = sqlite3_column_int64(stmt, 0);
    if (sqlite3_step(stmt) != SQLITE_DONE)
        return store_fail(s, err);
    *ret = value;
    return 0;
}

static void rollback(struct store *s)
{
    if (!sqlite3_get_autocommit(s->db))
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
}

/* A write is done again once, when giving up the ballast can help. */
bool store_make_room(int code, struct store *s)
{
    int e = sqlite3_system_errno(s->db);
    bool full = (code & 0xff) == SQLITE_FULL ||
                ((code & 0xff) == SQLITE_IOERR && (e == ENOSPC || e == EDQUOT || e == EFBIG));
    return full && ballast_drop(&s->ballast);
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static int migrate(struct store *s, struct error *err)
{
    int64_t version = 0, tables = 0, application = 0;
    int r = get(s, "PRAGMA user_version", &version, err);
    if (!r)
        r = get(s, "PRAGMA application_id", &application, err);
    if (!r)
        r = get(s, "SELECT count(*) FROM sqlite_schema", &tables, err);
    if (r)
        return r;
    if (application != APPLICATION_ID && tables > 0)
        return error_set(
            err, STATUS_DATA_LOSS,
            "%s is another program's SQLite file: name another file in `store:`, or move it away", s->path);
    if (version > VERSION)
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "%s was written by a newer coordinator (schema %lld, this one knows up to %d): "
                         "install that version "
                         "again",
                         s->path, (long long)version, VERSION);
    for (; version < VERSION && !r; version++) {
        _cleanup_free_ char *sql =
            xasprintf("BEGIN IMMEDIATE;%s PRAGMA application_id = %d; PRAGMA user_version = %lld; COMMIT",
                      migrations[version], APPLICATION_ID, (long long)version + 1);
        r = run(s, sql, err);
        if (r)
            rollback(s);
    }
    return r;
}

/* Numbers only grow, and keep up with the clock: else two coordinators with copies of one store would take the same epoch, and one
 * with a restored backup would be refused everywhere until it had been started often enough. A clock that is set back does no harm. */
static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int take_epoch(struct store *s, struct error *err)
{
    int64_t epoch = 0;
    _cleanup_free_ char *sql =
        xasprintf("UPDATE counter SET value = max(value + 1, %lld) WHERE name = 'epoch' RETURNING value",
                  (long long)now_ms());
    int r = get(s, sql, &epoch, err);
    if (!r)
        s->epoch = (uint64_t)epoch;
    return r;
}

/* 0.3 s for 50,000 jobs of 8 KB, which is more than the history keeps of most fleets. */
static int check(struct store *s, struct error *err)
{
    _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
    if (sqlite3_prepare_v2(s->db, "PRAGMA quick_check(1)", -1, &stmt, NULL) != SQLITE_OK ||
        sqlite3_step(stmt) != SQLITE_ROW)
        return store_fail(s, err);
    const char *verdict = (const char *)sqlite3_column_text(stmt, 0);
    if (streq(verdict, "ok"))
        return 0;
    return error_set(err, STATUS_DATA_LOSS,
                     "%s is damaged (%s): put a backup in its place, or move it away and settle open "
                     "migrations by hand (the "
                     "agents know them)",
                     s->path, verdict);
}

/* SQLite would make it readable by all. Only a new file is opened here: closing a descriptor of an open one would drop
 * the locks that SQLite holds in this process (POSIX). */
static int make_file(const char *path, struct error *err)
{
    _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno != EEXIST)
        return error_errno(err, errno, "cannot make the store %s", path);
    return 0;
}

static int set_up(struct store *s, struct error *err)
{
    /* EXCLUSIVE, said before the journal is first touched, takes the lock for the connection's life. */
    int r = run(s,
                "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                "PRAGMA wal_autocheckpoint = 256; PRAGMA secure_delete = ON",
                err);
    if (!r)
        r = migrate(s, err);
    if (!r)
        r = check(s, err);
    return r ? r : take_epoch(s, err);
}

int store_open(const char *path, struct store **ret, struct error *err)
{
    _cleanup_(store_freep) struct store *s = new0(struct store);
    s->path = xstrdup(path);
    ballast_init(&s->ballast, path);
    int r = make_file(path, err);
    if (r)
        return r;
    if (sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX, NULL) != SQLITE_OK)
        return store_fail(s, err);
    sqlite3_extended_result_codes(s->db, 1);
    /* A coordinator that is started on a full disk still settles what it was doing. */
    r = set_up(s, err);
    if (r && store_make_room(sqlite3_extended_errcode(s->db), s))
        r = set_up(s, err);
    if (r)
        return r;
    ballast_lay(&s->ballast);
    *ret = steal(&s);
    return 0;
}

void store_free(struct store *s)
{
    if (!s)
        return;
    sqlite3_close(s->db);
    ballast_deinit(&s->ballast);
    free(s->path);
    free(s);
}

uint64_t store_epoch(const struct store *s)
{
    return s->epoch;
}

int store_ready(struct store *s, struct error *err)
{
    if (ballast_lay(&s->ballast))
        return 0;
    return error_set(
        err, STATUS_RESOURCE_EXHAUSTED,
        "the disk of %s is full: running migrations go on, new ones don't start; free at least 2 MiB there",
        s->path);
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

int store_next_generation(struct store *s, const char *guest, uint64_t *ret, struct error *err)
{
    for (;;) {
        _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
        if (sqlite3_prepare_v2(s->db,
                               "INSERT INTO generation VALUES (?1, ?2)"
                               " ON CONFLICT DO UPDATE SET value = max(value + 1, ?2) RETURNING value",
                               -1, &stmt, NULL) != SQLITE_OK)
            return store_fail(s, err);
        sqlite3_bind_text(stmt, 1, guest, -1, SQLITE_STATIC);
        sqlite3_bind_int64(stmt, 2, now_ms());
        int code = sqlite3_step(stmt);
        uint64_t value = code == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(stmt, 0) : 0;
        if (code == SQLITE_ROW)
            code = sqlite3_step(stmt); /* commits */
        if (code == SQLITE_DONE) {
            *ret = value;
            return 0;
        }
        if (!store_make_room(code, s))
            return store_fail(s, err);
    }
}

static bool job_is_open(const Drover__V1__Job *job)
{
    switch (job->state) {
    case DROVER__V1__JOB_STATE__JOB_DONE:
    case DROVER__V1__JOB_STATE__JOB_FAILED:
    case DROVER__V1__JOB_STATE__JOB_CANCELLED:
    case DROVER__V1__JOB_STATE__JOB_PARTLY: return false;
    default: return true;
    }
}

static int put(struct store *s, const Drover__V1__Job *job, const void *txn, size_t txn_size, int64_t *ret_id)
{
    size_t size = drover__v1__job__get_packed_size(job);
    _cleanup_free_ uint8_t *packed = xcalloc(size, 1);
    drover__v1__job__pack(job, packed);
    _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
    int code = sqlite3_prepare_v2(
        s->db,
        "INSERT INTO job (id, open, guest, guest_uuid, job, txn, moved) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
        " ON CONFLICT (id) DO UPDATE SET open = ?2, job = ?5, txn = ?6, moved = ?7",
        -1, &stmt, NULL);
    if (code != SQLITE_OK)
        return code;
    bool is_open = job_is_open(job);
    bool moved = job->state == DROVER__V1__JOB_STATE__JOB_DONE && job->guest_uuid[0];
    if (job->id)
        sqlite3_bind_int64(stmt, 1, (int64_t)job->id);
    sqlite3_bind_int(stmt, 2, is_open);
    sqlite3_bind_text(stmt, 3, job->guest, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 4, job->guest_uuid, -1, SQLITE_STATIC);
    sqlite3_bind_blob64(stmt, 5, packed, size, SQLITE_STATIC);
    if (is_open && txn)
        sqlite3_bind_blob64(stmt, 6, txn, txn_size, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 7, moved ? (int64_t)job->ended : 0);
    code = sqlite3_step(stmt);
    if (code == SQLITE_DONE)
        *ret_id = sqlite3_last_insert_rowid(s->db);
    /* A plan's own moves are told by the plan, which knows what it took from where. */
    if (code == SQLITE_DONE && moved && !job->plan)
        code = store_is_home(s, job->destination, job->guest_uuid);
    return code;
}

int store_put_job(struct store *s, Drover__V1__Job *job, const void *txn, size_t txn_size, struct error *err)
{
    /* A new row holds the id that the job has in itself, so it is made and filled in one transaction. */
    bool is_new = job->id == 0;
    for (;;) {
        int64_t id = 0;
        int code = is_new ? sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) : SQLITE_OK;
        if (code == SQLITE_OK)
            code = put(s, job, txn, txn_size, &id);
        if (code == SQLITE_DONE && is_new) {
            job->id = (uint64_t)id;
            code = put(s, job, txn, txn_size, &id);
            if (code == SQLITE_DONE)
                code = sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL);
        }
        if (code == SQLITE_OK || code == SQLITE_DONE)
            return 0;
        int r = store_fail(s, err);
        bool again = store_make_room(code, s);
        rollback(s);
        if (is_new)
            job->id = 0;
        if (!again)
            return r;
    }
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

int store_unpack_job(const struct store *s, sqlite3_stmt *stmt, Drover__V1__Job **ret, struct error *err)
{
    Drover__V1__Job *job =
        drover__v1__job__unpack(NULL, (size_t)sqlite3_column_bytes(stmt, 1), sqlite3_column_blob(stmt, 1));
    if (!job)
        return error_set(err, STATUS_DATA_LOSS,
                         "%s is damaged: job %lld can't be read; put a backup in its place", s->path,
                         (long long)sqlite3_column_int64(stmt, 0));
    *ret = job;
    return 0;
}

int store_each_open(struct store *s,
                    int (*fn)(void *arg, const Drover__V1__Job *job, const void *txn, size_t txn_size),
                    void *arg, struct error *err)
{
    _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
    if (sqlite3_prepare_v2(s->db, "SELECT id, job, txn FROM job WHERE open ORDER BY id", -1, &stmt, NULL) !=
        SQLITE_OK)
        return store_fail(s, err);
    int code;
    while ((code = sqlite3_step(stmt)) == SQLITE_ROW) {
        Drover__V1__Job *job;
        int r = store_unpack_job(s, stmt, &job, err);
        if (r)
            return r;
        r = fn(arg, job, sqlite3_column_blob(stmt, 2), (size_t)sqlite3_column_bytes(stmt, 2));
        drover__v1__job__free_unpacked(job, NULL);
        if (r)
            return r;
    }
    return code == SQLITE_DONE ? 0 : store_fail(s, err);
}
