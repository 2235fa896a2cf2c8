#include "tests/unit/made_tree.h"

#include "common/base/cleanup.h"
#include "common/base/memory.h"

#include <errno.h>
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>

static void must(int good, const char *what, const char *path)
{
    if (good)
        return;
    fprintf(stderr, "made_tree: cannot %s %s: %s\n", what, path, strerror(errno));
    abort();
}

void made_tree_init(struct made_tree *t)
{
    snprintf(t->root, sizeof(t->root), "/tmp/drover-test-XXXXXX");
    must(mkdtemp(t->root) != NULL, "make", t->root);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st;
    (void)kind;
    (void)where;
    return remove(path);
}

void made_tree_deinit(struct made_tree *t)
{
    nftw(t->root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void make_parents(char *path)
{
    for (char *slash = path + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = 0;
        must(mkdir(path, 0755) == 0 || errno == EEXIST, "make", path);
    }
}

void made_tree_add(const struct made_tree *t, const char *name, const char *text)
{
    _cleanup_free_ char *path = xasprintf("%s/%s", t->root, name);
    make_parents(path);
    if (!text) {
        must(mkdir(path, 0755) == 0 || errno == EEXIST, "make", path);
        return;
    }
    FILE *f = fopen(path, "we");
    must(f && fputs(text, f) >= 0 && fclose(f) == 0, "write", path);
}

void made_tree_link(const struct made_tree *t, const char *name, const char *target)
{
    _cleanup_free_ char *path = xasprintf("%s/%s", t->root, name);
    make_parents(path);
    must(symlink(target, path) == 0, "link", path);
}
