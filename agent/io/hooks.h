/* An operator's hooks: the executables of DIR/PHASE/ in lexical order. They are run without a shell, with JSON on standard
 * input, and only if nobody but `owner` (root) could have put them there: the files, their directories, and those above. Everything
 * blocks: workers only. */
#pragma once

#include "agent/io/limit.h"
#include "common/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Names of the executables; hidden ones, backups (~) and what isn't executable are not hooks. A directory that isn't there has
 * none; one that can't be read fails. Freed with tree_list_free. */
int hooks_list(const char *dir, const char *phase, char ***ret, size_t *ret_n, struct error *err);

/* PERMISSION_DENIED with what makes it unsafe, or as run_program. The output is the caller's. */
int hooks_run(const char *dir, const char *phase, const char *name, uid_t owner, const char *input,
              const struct limit *limit, char **ret_output, struct error *err);

struct hook_facts {
    const char *phase, *role, *transaction, *guest_name, *guest_uuid, *source, *destination, *mode, *xml;
    uint64_t generation;
    const char *const *prepared; /* paths of prepare hooks that had begun */
    size_t n_prepared;
};

/* The JSON, one object on one line. The caller's. */
char *hooks_input(const struct hook_facts *facts);
