/* What the store keeps of the fleet itself. */
#include "common/base/memory.h"
#include "coordinator/io/store_fleet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct store *open_store(const char *path)
{
    struct store *s = NULL;
    struct error err = {0};
    if (store_open(path, &s, &err) < 0)
        fail_msg("%s", err.text);
    return s;
}

static void note_host(void *arg, const char *host)
{
    strcat(arg, host);
    strcat(arg, " ");
}

static void note_away(void *arg, const char *guest_uuid, const char *name)
{
    strcat(arg, guest_uuid);
    strcat(arg, name);
    strcat(arg, " ");
}

static char directory[40], *path;

static int set_up(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/drover-store-XXXXXX");
    path = mkdtemp(directory) ? xasprintf("%s/coordinator.db", directory) : NULL;
    return path ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    static const char *const endings[] = {"", "-wal", "-shm", "-ballast", "-lock"};
    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
        _cleanup_free_ char *file = xasprintf("%s%s", path, endings[i]);
        unlink(file);
    }
    free(path);
    return rmdir(directory);
}

static void maintenance_and_who_is_away_are_kept(void **state)
{
    (void)state;
    struct store *s = open_store(path);
    for (int twice = 0; twice < 2; twice++) {
        assert_int_equal(store_set_maintenance(s, "kvm1", true, NULL), 0);
        assert_int_equal(store_set_away(s, "kvm1", "u1", "web1", true, NULL), 0);
    }
    assert_int_equal(store_set_maintenance(s, "kvm2", true, NULL), 0);
    assert_int_equal(store_set_maintenance(s, "kvm2", false, NULL), 0);
    assert_int_equal(store_set_away(s, "kvm1", "u2", "db1", true, NULL), 0);
    assert_int_equal(store_set_away(s, "kvm2", "u3", "x1", true, NULL), 0);
    store_free(s);
    s = open_store(path);
    char hosts[100] = "", away[100] = "";
    assert_int_equal(store_each_maintenance(s, note_host, hosts, NULL), 0);
    assert_string_equal(hosts, "kvm1 ");
    assert_int_equal(store_set_away(s, "kvm1", "u1", "web1", false, NULL), 0);
    assert_int_equal(store_each_away(s, "kvm1", note_away, away, NULL), 0);
    assert_string_equal(away, "u2db1 ");
    store_free(s);
}

/* web1 went from kvm1 to kvm2, and kvm2 was emptied, too: who brings it back to kvm1 first has it there. */
static void who_is_home_again_is_nobodys_guest_any_more(void **state)
{
    (void)state;
    struct error err = {0};
    struct store *s = open_store(path);
    char first[100] = "", second[100] = "";
    assert_int_equal(store_set_away(s, "kvm1", "u1", "web1", true, &err), 0);
    assert_int_equal(store_set_away(s, "kvm2", "u1", "web1", true, &err), 0);
    assert_int_equal(store_set_away(s, "kvm2", "u2", "db1", true, &err), 0);
    assert_int_equal(store_set_away(s, "kvm2", "u1", "web1", false, &err), 0);
    assert_int_equal(store_each_away(s, "kvm1", note_away, first, &err), 0);
    assert_string_equal(first, "u1web1 ");
    assert_int_equal(store_set_away(s, "kvm2", "u1", "web1", true, &err), 0);
    assert_int_equal(store_set_away(s, "kvm1", "u1", "web1", false, &err), 0);
    assert_int_equal(store_each_away(s, "kvm2", note_away, second, &err), 0);
    assert_string_equal(second, "u2db1 ");
    store_free(s);
}

/* By `drover migrate`, or by another plan. */
static void who_came_home_by_any_move_is_not_away(void **state)
{
    (void)state;
    struct error err = {0};
    struct store *s = open_store(path);
    char away[100] = "";
    bool was_away = false;
    Drover__V1__Job *job = new0(Drover__V1__Job);
    drover__v1__job__init(job);
    job->kind = xstrdup("migrate");
    job->guest_uuid = xstrdup("u1");
    job->destination = xstrdup("kvm1");
    assert_int_equal(store_set_away(s, "kvm1", "u1", "web1", true, &err), 0);
    assert_int_equal(store_set_away(s, "kvm1", "u2", "db1", true, &err), 0);
    job->state = DROVER__V1__JOB_STATE__JOB_RUNNING;
    assert_int_equal(store_put_job(s, job, NULL, 0, &err), 0);
    job->state = DROVER__V1__JOB_STATE__JOB_FAILED;
    assert_int_equal(store_put_job(s, job, NULL, 0, &err), 0);
    assert_int_equal(store_each_away(s, "kvm1", note_away, away, &err), 0);
    assert_string_equal(away, "u2db1 u1web1 ");
    away[0] = 0;
    job->state = DROVER__V1__JOB_STATE__JOB_DONE;
    assert_int_equal(store_put_job(s, job, NULL, 0, &err), 0);
    assert_int_equal(store_each_away(s, "kvm1", note_away, away, &err), 0);
    assert_string_equal(away, "u2db1 ");
    assert_int_equal(store_came_home(s, "kvm1", "u2", &was_away, &err), 0);
    assert_true(was_away);
    assert_int_equal(store_came_home(s, "kvm1", "u2", &was_away, &err), 0);
    assert_false(was_away);
    drover__v1__job__free_unpacked(job, NULL);
    store_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(maintenance_and_who_is_away_are_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_is_home_again_is_nobodys_guest_any_more, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_came_home_by_any_move_is_not_away, set_up, tear_down)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
