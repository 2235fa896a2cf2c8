/* Targets of tgtd: who may use them, who does, and closing one to everybody but some addresses. Blocks: workers only. */
#pragma once

#include "agent/io/limit.h"
#include "common/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tgt_connection {
    unsigned long long session, connection;
    char *address;
};

struct tgt_target {
    unsigned long long id;
    char *iqn;
    struct tgt_connection *connections;
    size_t n_connections;
    unsigned long long *units; /* but for the controller, unit 0 */
    size_t n_units;
    char **acl; /* addresses, networks, initiators' names, "ALL" */
    size_t n_acl;
};

struct tgt_targets {
    struct tgt_target *list;
    size_t n;
};

void tgt_deinit(struct tgt_targets *targets);
const struct tgt_target *tgt_find(const struct tgt_targets *targets, const char *iqn);

/* What "tgtadm --mode target --op show" prints. */
void tgt_parse(const char *text, struct tgt_targets *ret);
int tgt_read(const struct limit *limit, struct tgt_targets *ret, struct error *err);

/* May the target be closed to all but `keep`? Writes to *ret_used those of `keep` that use it now, which are the ones to be let in.
 * FAILED_PRECONDITION and why not: it has other units than `units`, nobody of `keep` uses it, or more than one other does. */
int tgt_may_close(const struct tgt_target *target, const unsigned long long *units, size_t n_units,
                  char *const *keep, size_t n_keep, char ***ret_used, size_t *ret_n, struct error *err);

/* Lets only `only` in, and ends what others have open; success when it was read back so. May be done twice. */
int tgt_close(const struct limit *limit, const char *iqn, char *const *only, size_t n, struct error *err);

/* Success if the target is closed so, and nobody else is connected. */
int tgt_is_closed(const struct tgt_target *target, char *const *only, size_t n, struct error *err);

/* The list as it was. NOT_FOUND if there is no such target any more. */
int tgt_open(const struct limit *limit, const char *iqn, char *const *was, size_t n, struct error *err);
