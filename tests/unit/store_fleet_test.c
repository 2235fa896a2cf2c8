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

static void maintenance_and_who_is_away_are_kept(void **state)
{
    (void)state;
    char directory[] = "/tmp/drover-store-XXXXXX";
    assert_non_null(mkdtemp(directory));
    _cleanup_free_ char *path = xasprintf("%s/coordinator.db", directory);
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
    static const char *const endings[] = {"", "-wal", "-shm", "-ballast", "-lock"};
    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
        _cleanup_free_ char *file = xasprintf("%s%s", path, endings[i]);
        unlink(file);
    }
    assert_int_equal(rmdir(directory), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(maintenance_and_who_is_away_are_kept)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
