#include "coordinator/io/store_fleet.h"

#include "coordinator/io/store_internal.h"

/* A write with up to three texts. */
static int write_texts(struct store *s, const char *sql, const char *a, const char *b, const char *c,
                       struct error *err)
{
    const char *const texts[] = {a, b, c};
    for (;;) {
        _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
        if (sqlite3_prepare_v2(s->db, sql, -1, &stmt, NULL) != SQLITE_OK)
            return store_fail(s, err);
        for (int i = 0; i < 3; i++)
            if (texts[i])
                sqlite3_bind_text(stmt, i + 1, texts[i], -1, SQLITE_STATIC);
        int code = sqlite3_step(stmt);
        if (code == SQLITE_DONE)
            return 0;
        if (!store_make_room(code, s))
            return store_fail(s, err);
    }
}

int store_set_maintenance(struct store *s, const char *host, bool on, struct error *err)
{
    return write_texts(
        s, on ? "INSERT OR IGNORE INTO maintenance VALUES (?1)" : "DELETE FROM maintenance WHERE host = ?1",
        host, NULL, NULL, err);
}

int store_each_maintenance(struct store *s, void (*fn)(void *arg, const char *host), void *arg,
                           struct error *err)
{
    _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
    if (sqlite3_prepare_v2(s->db, "SELECT host FROM maintenance ORDER BY host", -1, &stmt, NULL) != SQLITE_OK)
        return store_fail(s, err);
    int code;
    while ((code = sqlite3_step(stmt)) == SQLITE_ROW)
        fn(arg, (const char *)sqlite3_column_text(stmt, 0));
    return code == SQLITE_DONE ? 0 : store_fail(s, err);
}

int store_set_away(struct store *s, const char *host, const char *guest_uuid, const char *name, bool gone,
                   struct error *err)
{
    if (gone)
        return write_texts(s, "INSERT OR REPLACE INTO away (host, guest, name) VALUES (?1, ?2, ?3)", host,
                           guest_uuid, name, err);
    bool was_away;
    return store_came_home(s, host, guest_uuid, &was_away, err);
}

int store_is_home(struct store *s, const char *host, const char *guest_uuid)
{
    _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
    int code = sqlite3_prepare_v2(s->db,
                                  "DELETE FROM away WHERE guest = ?2 AND number >= (SELECT number FROM away "
                                  "WHERE host = ?1 AND guest = ?2)",
                                  -1, &stmt, NULL);
    if (code != SQLITE_OK)
        return code;
    sqlite3_bind_text(stmt, 1, host, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 2, guest_uuid, -1, SQLITE_STATIC);
    return sqlite3_step(stmt);
}

int store_came_home(struct store *s, const char *host, const char *guest_uuid, bool *ret_was_away,
                    struct error *err)
{
    int code;
    while ((code = store_is_home(s, host, guest_uuid)) != SQLITE_DONE)
        if (!store_make_room(code, s))
            return store_fail(s, err);
    *ret_was_away = sqlite3_changes(s->db) > 0;
    return 0;
}

int store_each_away(struct store *s, const char *host,
                    void (*fn)(void *arg, const char *guest_uuid, const char *name), void *arg,
                    struct error *err)
{
    _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
    if (sqlite3_prepare_v2(s->db, "SELECT guest, name FROM away WHERE host = ? ORDER BY name", -1, &stmt,
                           NULL) != SQLITE_OK)
        return store_fail(s, err);
    sqlite3_bind_text(stmt, 1, host, -1, SQLITE_STATIC);
    int code;
    while ((code = sqlite3_step(stmt)) == SQLITE_ROW)
        fn(arg, (const char *)sqlite3_column_text(stmt, 0), (const char *)sqlite3_column_text(stmt, 1));
    return code == SQLITE_DONE ? 0 : store_fail(s, err);
}

int store_each_moved(struct store *s, int64_t since_ms, void (*fn)(void *arg, const char *guest_uuid),
                     void *arg, struct error *err)
{
    _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
    if (sqlite3_prepare_v2(
            s->db, "SELECT DISTINCT guest_uuid FROM job WHERE moved > 0 AND moved >= ? ORDER BY guest_uuid",
            -1, &stmt, NULL) != SQLITE_OK)
        return store_fail(s, err);
    sqlite3_bind_int64(stmt, 1, since_ms);
    int code;
    while ((code = sqlite3_step(stmt)) == SQLITE_ROW)
        fn(arg, (const char *)sqlite3_column_text(stmt, 0));
    return code == SQLITE_DONE ? 0 : store_fail(s, err);
}
