/* What is said of findings, and what may be accepted. $DROVER_FINDINGS is doc/findings.md. */
#include "common/base/cleanup.h"
#include "common/base/memory.h"
#include "coordinator/core/explain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void every_finding_is_explained_once(void **state)
{
    (void)state;
    struct finding_about a, b;
    size_t n = 0;
    for (; explain_nth(n, &a); n++) {
        if (!a.about || strlen(a.about) < 40)
            fail_msg("%s is not explained", a.id);
        for (size_t k = 0; k < n && explain_nth(k, &b); k++)
            assert_string_not_equal(a.id, b.id);
        assert_true(explain_find(a.id, &b));
        _cleanup_free_ char *text = explain_text(&a);
        assert_non_null(strstr(text, a.about));
    }
    assert_true(n > 80);
    assert_false(explain_find("no-such-finding", &a));
}

static void the_page_is_current(void **state)
{
    (void)state;
    const char *name = getenv("DROVER_FINDINGS");
    if (!name)
        skip();
    _cleanup_fclose_ FILE *f = fopen(name, "re");
    assert_non_null(f);
    _cleanup_free_ char *page = explain_page();
    size_t length = strlen(page);
    _cleanup_free_ char *read = xcalloc(1, length + 2);
    size_t n = fread(read, 1, length + 1, f);
    if (n != length || memcmp(read, page, length) != 0)
        fail_msg("%s is old: drover check --explain all --markdown > doc/findings.md", name);
}

/* Where the guest's data could be lost, nothing can be accepted. */
static void what_risks_data_cant_be_accepted(void **state)
{
    (void)state;
    static const char *const never[] = {"storage-not-shared", "storage-unproven",   "block-device-differs",
                                        "cache-unsafe",       "guest-elsewhere",    "export-is-host",
                                        "uuid-free",          "image-differs",      "volume-unproven",
                                        "server-differs",     "server-unnamed",     "block-device-unproven",
                                        "names-untold",       "volume-units-untold"};
    struct error err = {0};
    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
        char *ids[] = {(char *)"mtu-smaller", (char *)never[i]};
        assert_int_equal(accept_check(ids, 2, &err), -STATUS_INVALID_ARGUMENT);
        assert_non_null(strstr(err.text, never[i]));
    }
    char *unknown[] = {(char *)"mtu-smalle"};
    assert_int_equal(accept_check(unknown, 1, &err), -STATUS_INVALID_ARGUMENT);
    char *fine[] = {(char *)"mtu-smaller", (char *)"cache-mode"};
    assert_int_equal(accept_check(fine, 2, &err), 0);
}

static void what_is_accepted_warns_and_is_marked(void **state)
{
    (void)state;
    struct findings found = {0};
    char *ids[] = {(char *)"mtu-smaller"};
    finding_add(&found, "mtu-smaller", DROVER__V1__SEVERITY__BLOCK, xstrdup("bridge br0"), xstrdup("a"),
                xstrdup("b"), xstrdup("c"));
    finding_add(&found, "bridge-segment", DROVER__V1__SEVERITY__BLOCK, xstrdup("bridge br0"), xstrdup("a"),
                xstrdup("b"), xstrdup("c"));
    accept_apply(&found, ids, 1);
    assert_int_equal(found.list[0]->severity, DROVER__V1__SEVERITY__WARN);
    assert_true(found.list[0]->accepted);
    assert_ptr_equal(findings_block(&found), found.list[1]);
    assert_false(found.list[1]->accepted);
    findings_deinit(&found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_finding_is_explained_once),
        cmocka_unit_test(the_page_is_current),
        cmocka_unit_test(what_risks_data_cant_be_accepted),
        cmocka_unit_test(what_is_accepted_warns_and_is_marked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
