/* The commit point on made status files. */
#include "agent/io/commit_point.h"
#include "common/base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define UUID "6c7a4f0e-9d5e-4b1a-8a52-0d6f1f3f6a01"
#define OTHER "00000000-0000-0000-0000-000000000001"

struct scene {
    struct loop *loop;
    char dir[64];
    struct commit_point *watch;
    int told;
};

static void write_status(const struct scene *s, const char *name, const char *uuid, const char *phase)
{
    char path[128], fresh[128];
    snprintf(path, sizeof(path), "%s/%s.xml", s->dir, name);
    snprintf(fresh, sizeof(fresh), "%s/%s.xml.new", s->dir, name);
    FILE *f = fopen(fresh, "we");
    assert_non_null(f);
    fprintf(f,
            "<!-- generated -->\n<domstatus state='paused' reason='migration' pid='4711'>\n"
            "  <job type='none' async='migration out' phase='%s' flags='0x0'/>\n"
            "  <domain type='qemu' id='1'><name>%s</name><uuid>%s</uuid></domain>\n</domstatus>\n",
            phase, name, uuid);
    fclose(f);
    assert_int_equal(rename(fresh, path), 0);
}

static int set_up(void **state)
{
    struct scene *s = new0(struct scene);
    assert_int_equal(loop_new(&s->loop, NULL), 0);
    strcpy(s->dir, "/tmp/drover-commit-point-XXXXXX");
    assert_non_null(mkdtemp(s->dir));
    write_status(s, "web1", UUID, "perform3");
    *state = s;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *s = *state;
    char path[128];
    commit_point_free(s->watch);
    loop_free(s->loop);
    for (int i = 1; i <= 2; i++) {
        snprintf(path, sizeof(path), "%s/web%d.xml", s->dir, i);
        unlink(path);
    }
    rmdir(s->dir);
    free(s);
    return 0;
}

static void on_commit(void *arg)
{
    struct scene *s = arg;
    s->told++;
    loop_stop(s->loop, 0);
}

static void give_up(void *arg)
{
    struct scene *s = arg;
    loop_stop(s->loop, 1);
}

static void watch(struct scene *s)
{
    struct error err;
    assert_int_equal(commit_point_watch(s->loop, s->dir, "web1", UUID, on_commit, s, &s->watch, &err), 0);
}

static int run(struct scene *s)
{
    struct loop_timer *deadline = loop_timer_start(s->loop, 10000, give_up, s);
    int code = loop_run(s->loop);
    if (code != 1)
        loop_timer_cancel(deadline);
    return code;
}

static void confirm3_is_the_commit_point(void **state)
{
    struct scene *s = *state;
    watch(s);
    write_status(s, "web1", UUID, "perform3_done");
    write_status(s, "web1", UUID, "confirm3");
    write_status(s, "web1", UUID, "confirm3");
    assert_int_equal(run(s), 0);
    assert_int_equal(s->told, 1);
}

static void stop_2(void *arg)
{
    struct scene *s = arg;
    loop_stop(s->loop, 2);
}

/* An agent that was started again may find it there. */
static void one_that_is_over_is_told_once(void **state)
{
    struct scene *s = *state;
    write_status(s, "web1", UUID, "confirm3");
    watch(s);
    assert_int_equal(s->told, 0);
    write_status(s, "web1", UUID, "confirm3");
    assert_int_equal(run(s), 0);
    assert_int_equal(s->told, 1);
    s->watch = commit_point_free(s->watch);
    watch(s);
    s->watch = commit_point_free(s->watch); /* before it could be told */
}

/* By the time that this post runs, the first watch has seen what came before. */
static void on_marker(void *arg)
{
    struct scene *s = arg;
    loop_post(s->loop, stop_2, s);
}

static void expect_not_told(struct scene *s, const char *uuid, const char *phase)
{
    struct commit_point *marker = NULL;
    watch(s);
    write_status(s, "web2", OTHER, "perform3");
    assert_int_equal(commit_point_watch(s->loop, s->dir, "web2", OTHER, on_marker, s, &marker, NULL), 0);
    write_status(s, "web1", uuid, phase);
    write_status(s, "web2", OTHER, "confirm3");
    assert_int_equal(run(s), 2);
    assert_int_equal(s->told, 0);
    commit_point_free(marker);
}

static void a_finished_transfer_is_not(void **state)
{
    expect_not_told(*state, UUID, "perform3_done");
}

static void a_cancelled_confirm_is_not(void **state)
{
    expect_not_told(*state, UUID, "confirm3_cancelled");
}

static void another_domain_of_that_name_is_not(void **state)
{
    expect_not_told(*state, OTHER, "confirm3");
}

static void another_domains_file_is_refused(void **state)
{
    struct scene *s = *state;
    struct error err;
    write_status(s, "web1", OTHER, "perform3");
    assert_int_equal(commit_point_watch(s->loop, s->dir, "web1", UUID, on_commit, s, &s->watch, &err),
                     -STATUS_FAILED_PRECONDITION);
    assert_non_null(strstr(err.text, "not of " UUID));
}

static void no_status_file_is_told(void **state)
{
    struct scene *s = *state;
    struct error err;
    assert_int_equal(commit_point_watch(s->loop, s->dir, "web2", UUID, on_commit, s, &s->watch, &err),
                     -STATUS_NOT_FOUND);
    assert_int_equal(commit_point_watch(s->loop, "/nowhere", "web2", UUID, on_commit, s, &s->watch, &err),
                     -STATUS_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(confirm3_is_the_commit_point, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_that_is_over_is_told_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_finished_transfer_is_not, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_cancelled_confirm_is_not, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_domain_of_that_name_is_not, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_domains_file_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_status_file_is_told, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
