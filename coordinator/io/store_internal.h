/* What the store's files share. */
#pragma once

#include "common/base/ballast.h"
#include "coordinator/io/store.h"

#include <sqlite3.h>

struct store {
    sqlite3 *db;
    char *path;
    uint64_t epoch;
    struct ballast ballast;
};

/* SQLite's last error as one for an operator. */
int store_fail(const struct store *store, struct error *err);

/* The job of a row whose columns are id and job. DATA_LOSS. */
int store_unpack_job(const struct store *store, sqlite3_stmt *stmt, Drover__V1__Job **ret, struct error *err);

/* The guest is at that host: it is not away from there any more, nor from hosts that it was taken from since. SQLite's code. */
int store_is_home(struct store *store, const char *host, const char *guest_uuid);

/* A write is done again once, when giving up the ballast can help. */
bool store_make_room(int code, struct store *store);

static inline void finalize_p(sqlite3_stmt **s)
{
    sqlite3_finalize(*s);
}
#define _cleanup_stmt_ _cleanup_(finalize_p)
