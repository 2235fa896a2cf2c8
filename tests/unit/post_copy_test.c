/* Whether the destination can take a guest in by post-copy, as far as its report tells. */
#include "coordinator/core/post_copy.h"
#include "coordinator_made.h"

#include "common/base/cleanup.h"
#include "common/base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define AUTO DROVER__V1__MODE__MODE_AUTO
#define POST_COPY DROVER__V1__MODE__MODE_POST_COPY

static bool is_left(const char *setting, const char *user, Drover__V1__Mode mode)
{
    struct fleet fleet = {0};
    Drover__V1__HostReport *r = made_host(&fleet, "kvm2")->report;
    Drover__V1__Policy policy = DROVER__V1__POLICY__INIT;
    policy.post_copy = true;
    made_string(&r->userfaultfd, setting);
    made_string(&r->qemu_user, user);
    _cleanup_free_ char *missing = post_copy_missing(r);
    post_copy_fit(&policy, mode, r);
    assert_true(!missing || strstr(missing, "kvm2"));
    assert_int_equal(policy.post_copy, !missing || mode == POST_COPY);
    fleet_deinit(&fleet);
    return !missing;
}

static void userfaultfd_is_needed_there(void **state)
{
    (void)state;
    assert_true(is_left("1", "libvirt-qemu", AUTO));
    assert_true(is_left("0", "root", AUTO));
    assert_true(is_left("0", "+0", AUTO));
    assert_false(is_left("0", "libvirt-qemu", AUTO));
    assert_false(is_left("0", "", AUTO)); /* no distribution's default is root */
    assert_false(is_left("none", "root", AUTO));
}

static void where_nothing_is_known_nothing_is_left_out(void **state)
{
    (void)state;
    assert_true(is_left("", "libvirt-qemu", AUTO));
    assert_null(post_copy_missing(NULL));
}

/* There the finding blocks; one that was accepted is tried. */
static void what_was_asked_for_stays_asked_for(void **state)
{
    (void)state;
    assert_false(is_left("none", "", POST_COPY));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(userfaultfd_is_needed_there),
        cmocka_unit_test(where_nothing_is_known_nothing_is_left_out),
        cmocka_unit_test(what_was_asked_for_stays_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
