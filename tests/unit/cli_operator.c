#include "tests/unit/cli_operator.h"

#include "common/base/cleanup.h"
#include "common/base/memory.h"
#include "tests/unit/cli_run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

char dir[128];

void put(const char *name, const char *text, mode_t mode)
{
    _cleanup_free_ char *path = xasprintf("%s/%s", dir, name);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(chmod(path, mode), 0);
}

void drop(const char *name)
{
    _cleanup_free_ char *path = xasprintf("%s/%s", dir, name);
    unlink(path);
}

bool there(const char *name)
{
    _cleanup_free_ char *path = xasprintf("%s/%s", dir, name);
    return access(path, F_OK) == 0;
}

void read_noted(char noted[4096])
{
    noted[0] = 0;
    _cleanup_free_ char *path = xasprintf("%s/noted", dir);
    FILE *f = fopen(path, "re");
    if (f) {
        noted[fread(noted, 1, 4095, f)] = 0;
        fclose(f);
    }
}

void assert_noted(const char *text)
{
    char noted[4096];
    read_noted(noted);
    assert_string_equal(noted, text);
}

void script(const char *name, const char *text)
{
    _cleanup_free_ char *whole = xasprintf(
        "#!/bin/sh\ncd %s\necho \"$DROVER_HOST $DROVER_ADDRESS $DROVER_SITE\" >>noted\n%s\n", dir, text);
    put(name, whole, 0755);
}

int clean(void **state)
{
    (void)state;
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.' && !streq(e->d_name, "socket"))
            drop(e->d_name);
    if (d)
        closedir(d);
    return 0;
}

int set_up(void **state)
{
    int r = start_fake(state);
    const char *url = getenv("DROVER_COORDINATOR");
    if (r == 0 && url)
        snprintf(dir, sizeof(dir), "%.*s", (int)(strlen(url) - strlen("ipc:///socket")),
                 url + strlen("ipc://"));
    return r;
}

int tear_down(void **state)
{
    clean(state);
    return stop_fake(state);
}

void assert_in_order(const char *text, const char *const *parts)
{
    const char *at = text;
    for (; *parts; parts++) {
        const char *found = strstr(at, *parts);
        if (!found)
            fail_msg("'%s' is not (in its place) in:\n%s", *parts, text);
        at = found + strlen(*parts);
    }
}
