/* What tgtadm prints of its targets, and whether one may be closed to all but a guest's new host. */
#include "agent/io/tgt.h"
#include "agent/io/tree.h"
#include "common/base/cleanup.h"
#include "common/base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* Of tgt 1.0.80, shortened. */
#define TARGET(connections, units, acl)                                                                      \
    "Target 1: iqn.2026-01.lab:other\n    I_T nexus information:\n    ACL information:\n        ALL\n"       \
    "Target 4: iqn.2026-01.lab:web1\n    System information:\n        Driver: iscsi\n        State: ready\n" \
    "    I_T nexus information:\n" connections                                                               \
    "    LUN information:\n        LUN: 0\n            Type: controller\n" units                             \
    "    Account information:\n    ACL information:\n" acl
#define NEXUS(n, address)                                                                                    \
    "        I_T nexus: " n "\n            Initiator: iqn.2008-11.org.linux-kvm:937352ca alias: none\n"      \
    "            Connection: 0\n                IP Address: " address "\n"
#define UNIT(n) "        LUN: " n "\n            Type: disk\n            SCSI SN: beaf41\n"
#define WHO(text) "        " text "\n"

static const unsigned long long unit_1[] = {1};
static char *const keep[] = {(char *)"127.0.0.1", (char *)"10.0.0.12"};

static int may_close(const char *text, char ***used, size_t *n, struct error *err)
{
    _cleanup_(tgt_deinit) struct tgt_targets all = {0};
    tgt_parse(text, &all);
    const struct tgt_target *t = tgt_find(&all, "iqn.2026-01.lab:web1");
    assert_non_null(t);
    return tgt_may_close(t, unit_1, 1, keep, 2, used, n, err);
}

static void a_target_is_read(void **state)
{
    (void)state;
    _cleanup_(tgt_deinit) struct tgt_targets all = {0};
    tgt_parse(TARGET(NEXUS("7", "10.0.0.11") NEXUS("9", "10.0.0.12"), UNIT("1") UNIT("2"),
                     WHO("10.0.0.0/24") WHO("iqn.1994-05.com.example:x")),
              &all);
    assert_int_equal(all.n, 2);
    const struct tgt_target *t = tgt_find(&all, "iqn.2026-01.lab:web1");
    assert_int_equal(t->id, 4);
    assert_int_equal(t->n_connections, 2);
    assert_int_equal(t->connections[1].session, 9);
    assert_string_equal(t->connections[1].address, "10.0.0.12");
    assert_int_equal(t->n_units, 2);
    assert_int_equal(t->n_acl, 2);
    assert_string_equal(t->acl[1], "iqn.1994-05.com.example:x");
    assert_null(tgt_find(&all, "iqn.2026-01.lab:web"));
}

static void the_destination_is_let_in_by_the_address_that_it_uses(void **state)
{
    (void)state;
    char **used = NULL;
    size_t n = 0;
    struct error err = {0};
    const char *text = TARGET(NEXUS("1", "10.0.0.11") NEXUS("2", "10.0.0.12") NEXUS("3", "10.0.0.11"),
                              UNIT("1"), WHO("ALL"));
    assert_int_equal(may_close(text, &used, &n, &err), 0);
    assert_int_equal(n, 1);
    assert_string_equal(used[0], "10.0.0.12");
    tree_list_free(used, n);
}

static void expect_no(const char *text, const char *why)
{
    char **used = NULL;
    size_t n = 0;
    struct error err = {0};
    assert_int_equal(may_close(text, &used, &n, &err), -STATUS_FAILED_PRECONDITION);
    assert_null(used);
    if (!strstr(err.text, why))
        fail_msg("expected \"%s\" in: %s", why, err.text);
}

static void what_others_use_is_not_closed(void **state)
{
    (void)state;
    expect_no(TARGET(NEXUS("1", "10.0.0.11") NEXUS("2", "10.0.0.12"), UNIT("1") UNIT("2"), WHO("ALL")),
              "also has unit 2");
    expect_no(TARGET(NEXUS("1", "10.0.0.11") NEXUS("2", "10.0.0.12") NEXUS("3", "10.0.0.13"), UNIT("1"),
                     WHO("ALL")),
              "is used from 10.0.0.11 and from 10.0.0.13");
    expect_no(TARGET(NEXUS("1", "10.0.0.11"), UNIT("1"), WHO("ALL")), "it is not known whom to let in");
}

static void closed_is_what_was_read_back(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why; /* NULL: closed */
    } cases[] = {
        {TARGET(NEXUS("2", "10.0.0.12"), UNIT("1"), WHO("10.0.0.12")), NULL},
        {TARGET("", UNIT("1"), WHO("10.0.0.12")), NULL},
        {TARGET(NEXUS("2", "10.0.0.12"), UNIT("1"), WHO("10.0.0.12") WHO("ALL")), "lets ALL in"},
        {TARGET(NEXUS("1", "10.0.0.11"), UNIT("1"), WHO("10.0.0.12")), "10.0.0.11 is still connected"},
        {TARGET("", UNIT("1"), ""), "does not let 10.0.0.12 in"},
    };
    static char *const only[] = {(char *)"10.0.0.12"};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        _cleanup_(tgt_deinit) struct tgt_targets all = {0};
        struct error err = {0};
        tgt_parse(cases[i].text, &all);
        int r = tgt_is_closed(tgt_find(&all, "iqn.2026-01.lab:web1"), only, 1, &err);
        assert_int_equal(r == 0, cases[i].why == NULL);
        if (cases[i].why && !strstr(err.text, cases[i].why))
            fail_msg("expected \"%s\" in: %s", cases[i].why, err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_target_is_read),
        cmocka_unit_test(the_destination_is_let_in_by_the_address_that_it_uses),
        cmocka_unit_test(what_others_use_is_not_closed),
        cmocka_unit_test(closed_is_what_was_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
