#include "agent/io/hooks.h"

#include "agent/io/run.h"
#include "agent/io/tree.h"
#include "common/base/cleanup.h"
#include "common/base/memory.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_hook(const char *dir, const char *phase, const char *name)
{
    _cleanup_free_ char *path = xasprintf("%s/%s/%s", dir, phase, name);
    struct stat st;
    size_t length = strlen(name);
    /* A symbolic link is none to run, but one to complain of. */
    return length && name[length - 1] != '~' && lstat(path, &st) == 0 && !S_ISDIR(st.st_mode) &&
           st.st_mode & (S_IXUSR | S_IXGRP | S_IXOTH);
}

int hooks_list(const char *dir, const char *phase, char ***ret, size_t *ret_n, struct error *err)
{
    _cleanup_free_ char *path = xasprintf("%s/%s", dir, phase);
    char **names = NULL;
    size_t n = 0, kept = 0;
    if (access(path, R_OK | X_OK) < 0) {
        if (errno != ENOENT && errno != ENOTDIR)
            return error_errno(err, errno, "cannot look for hooks in %s", path);
    } else {
        n = tree_list(&names, "%s", path);
    }
    for (size_t i = 0; i < n; i++) {
        if (is_hook(dir, phase, names[i]))
            names[kept++] = names[i];
        else
            free(names[i]);
    }
    *ret = names;
    *ret_n = kept;
    return 0;
}

/* One component of the path. A sticky directory lets others add names, not replace these. */
static int check(const char *path, bool file, bool above, uid_t owner, struct error *err)
{
    struct stat st;
    if (lstat(path, &st) < 0)
        return error_errno(err, errno, "cannot look at %s", path);
    const char *todo = "only what nobody but root can change is run";
    if (file ? !S_ISREG(st.st_mode) : !S_ISDIR(st.st_mode))
        return error_set(err, STATUS_PERMISSION_DENIED, "%s is %s; expected a %s itself: %s", path,
                         S_ISLNK(st.st_mode) ? "a symbolic link" : "something else",
                         file ? "file" : "directory", todo);
    if (st.st_uid != owner && st.st_uid != 0)
        return error_set(err, STATUS_PERMISSION_DENIED,
                         "%s belongs to user %u; expected root: %s (chown root %s)", path,
                         (unsigned)st.st_uid, todo, path);
    if (st.st_mode & (S_IWGRP | S_IWOTH) && !(above && st.st_mode & S_ISVTX))
        return error_set(err, STATUS_PERMISSION_DENIED,
                         "%s can be written by others (mode %04o): %s (chmod "
                         "go-w %s)",
                         path, (unsigned)st.st_mode & 07777, todo, path);
    return 0;
}

/* `above`: of so many characters the directories are not the hooks' own. */
static int check_path(const char *path, size_t above, uid_t owner, struct error *err)
{
    char part[PATH_MAX];
    size_t length = strlen(path);
    if (path[0] != '/' || length >= sizeof(part))
        return error_set(err, STATUS_PERMISSION_DENIED, "%s is no absolute path", path);
    for (size_t i = 1; i <= length; i++)
        if (path[i] == '/' || i == length) {
            snprintf(part, sizeof(part), "%.*s", (int)i, path);
            int r = check(part, i == length, i < above, owner, err);
            if (r < 0)
                return r;
        }
    return 0;
}

int hooks_run(const char *dir, const char *phase, const char *name, uid_t owner, const char *input,
              const struct limit *limit, char **ret_output, struct error *err)
{
    _cleanup_free_ char *path = xasprintf("%s/%s/%s", dir, phase, name);
    int r = check_path(path, strlen(dir), owner, err);
    if (r < 0)
        return r;
    const char *const argv[] = {path, NULL};
    return run_with_input(limit, argv, input, ret_output, err);
}

char *hooks_input(const struct hook_facts *f)
{
    json_t *prepared = json_array();
    for (size_t i = 0; i < f->n_prepared; i++)
        json_array_append_new(prepared, json_string(f->prepared[i]));
    json_t *json = json_pack("{s:i, s:s, s:s, s:s, s:I, s:{s:s, s:s}, s:s, s:s, s:s, s:s, s:o}", "version", 1,
                             "phase", f->phase, "role", f->role, "transaction", f->transaction, "generation",
                             (json_int_t)f->generation, "guest", "name", f->guest_name, "uuid", f->guest_uuid,
                             "source", f->source, "destination", f->destination, "mode", f->mode, "xml",
                             f->xml, "prepared", prepared);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    return text;
}
