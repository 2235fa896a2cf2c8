#include "coordinator/io/store_internal.h"

#include "common/base/memory.h"

static void forget_log(Drover__V1__Job *job)
{
    for (size_t i = 0; i < job->n_log; i++)
        drover__v1__job_entry__free_unpacked(job->log[i], NULL);
    job->n_log = 0;
}

int store_list_ended(struct store *s, uint32_t limit, const char *guest, Drover__V1__ListJobsReply **ret,
                     struct error *err)
{
    if (limit == 0)
        limit = 100;
    if (guest && !guest[0])
        guest = NULL;
    _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
    if (sqlite3_prepare_v2(
            s->db,
            "SELECT id, job FROM job WHERE NOT open AND (?1 IS NULL OR guest = ?1 OR guest_uuid = ?1)"
            " ORDER BY id DESC LIMIT ?2",
            -1, &stmt, NULL) != SQLITE_OK)
        return store_fail(s, err);
    sqlite3_bind_text(stmt, 1, guest, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 2, limit);
    Drover__V1__ListJobsReply *reply = new0(Drover__V1__ListJobsReply);
    drover__v1__list_jobs_reply__init(reply);
    int code, r = 0;
    size_t room = 0;
    while ((code = sqlite3_step(stmt)) == SQLITE_ROW) {
        Drover__V1__Job *job;
        r = store_unpack_job(s, stmt, &job, err);
        if (r)
            break;
        forget_log(job);
        if (reply->n_jobs == room) {
            room = room ? room * 2 : 16;
            reply->jobs = xrealloc(reply->jobs, room, sizeof(*reply->jobs));
        }
        reply->jobs[reply->n_jobs++] = job;
    }
    if (!r && code != SQLITE_DONE)
        r = store_fail(s, err);
    if (r) {
        drover__v1__list_jobs_reply__free_unpacked(reply, NULL);
        return r;
    }
    *ret = reply;
    return 0;
}

int store_get_job(struct store *s, uint64_t id, Drover__V1__Job **ret, struct error *err)
{
    _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
    if (sqlite3_prepare_v2(s->db, "SELECT id, job FROM job WHERE id = ?", -1, &stmt, NULL) != SQLITE_OK)
        return store_fail(s, err);
    sqlite3_bind_int64(stmt, 1, (int64_t)id);
    int code = sqlite3_step(stmt);
    if (code == SQLITE_DONE)
        return error_set(err, STATUS_NOT_FOUND,
                         "there is no job %llu: see `drover jobs` and `drover history`",
                         (unsigned long long)id);
    return code == SQLITE_ROW ? store_unpack_job(s, stmt, ret, err) : store_fail(s, err);
}

static int delete_job(struct store *s, int64_t id, struct error *err)
{
    _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
    if (sqlite3_prepare_v2(s->db, "DELETE FROM job WHERE id = ?", -1, &stmt, NULL) != SQLITE_OK)
        return store_fail(s, err);
    sqlite3_bind_int64(stmt, 1, id);
    return sqlite3_step(stmt) == SQLITE_DONE ? 0 : store_fail(s, err);
}

int store_prune(struct store *s, int64_t now_ms, int64_t keep_ms, unsigned newest, unsigned max,
                struct error *err)
{
    _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
    if (sqlite3_prepare_v2(s->db,
                           "SELECT id, job FROM job WHERE NOT open AND id <= (SELECT max(id) FROM job) - ?1"
                           " ORDER BY id LIMIT ?2",
                           -1, &stmt, NULL) != SQLITE_OK)
        return store_fail(s, err);
    sqlite3_bind_int64(stmt, 1, newest);
    sqlite3_bind_int64(stmt, 2, max);
    _cleanup_free_ int64_t *ids = xcalloc(max, sizeof(*ids));
    int n = 0, code;
    for (bool old = true; old && (code = sqlite3_step(stmt)) == SQLITE_ROW;) {
        Drover__V1__Job *job;
        int r = store_unpack_job(s, stmt, &job, err);
        if (r)
            return r;
        old = (int64_t)job->ended < now_ms - keep_ms || (int64_t)job->ended > now_ms;
        if (old)
            ids[n++] = sqlite3_column_int64(stmt, 0);
        drover__v1__job__free_unpacked(job, NULL);
    }
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        return store_fail(s, err);
    sqlite3_reset(stmt);
    for (int i = 0; i < n; i++) {
        int r = delete_job(s, ids[i], err);
        if (r)
            return r;
    }
    return n;
}
