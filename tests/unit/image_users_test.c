/* Images that a guest of a third host names: neither end of a move can see that. */
#include "coordinator/core/image_users.h"

#include "common/base/memory.h"
#include "coordinator_made.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HERE "/srv/vms/web1.qcow2"
#define THERE "/data/web1.qcow2"

struct world {
    struct fleet fleet;
    Drover__V1__DiskCopy copy, *copies[1];
    Drover__V1__Relocation relocation;
};

static void init(struct world *w)
{
    *w = (struct world){0};
    fleet_init(&w->fleet);
    made_host(&w->fleet, "kvm1");
    made_host(&w->fleet, "kvm2");
    made_host(&w->fleet, "kvm3");
    drover__v1__disk_copy__init(&w->copy);
    drover__v1__relocation__init(&w->relocation);
    w->copy.from = (char *)HERE;
    w->copy.to = (char *)THERE;
    w->copies[0] = &w->copy;
    w->relocation.copies = w->copies;
    w->relocation.n_copies = 1;
}

static size_t found(const struct world *w, bool at_source)
{
    char **list;
    size_t n = image_users_find(&w->fleet, "kvm1", "kvm2", UUID_A, &w->relocation, at_source, &list);
    if (n)
        assert_string_equal(list[0], at_source ? HERE : THERE);
    free(list);
    return n;
}

static void a_disk_a_volume_and_a_backing_file_of_a_third_host_count(void **state)
{
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        struct world w;
        init(&w);
        struct fleet_host *third = fleet_host(&w.fleet, "kvm3");
        Drover__V1__Guest *g = made_guest(third, "other", UUID_B)->guest;
        assert_int_equal(found(&w, true), 0);
        if (kind == 0) {
            made_disk(g, "file", HERE);
        } else if (kind == 1) {
            made_pool(third->report, "vms", "dir", "/srv/vms");
            made_disk(g, "volume", "vms/web1.qcow2");
        } else {
            Drover__V1__Disk *d = made_disk(g, "file", "/srv/vms/clone.qcow2");
            d->backing = xcalloc(1, sizeof(*d->backing));
            d->backing[d->n_backing++] = xstrdup(HERE);
        }
        assert_int_equal(found(&w, true), 1);
        assert_int_equal(found(&w, false), 0);
        fleet_session(third, false, 2000, "gone"); /* it may use it all the same */
        assert_int_equal(found(&w, true), 1);
        fleet_deinit(&w.fleet);
    }
}

static void the_guest_itself_and_both_ends_do_not(void **state)
{
    (void)state;
    struct world w;
    init(&w);
    made_disk(made_guest(fleet_host(&w.fleet, "kvm3"), "web1", UUID_A)->guest, "file", HERE);
    made_disk(made_guest(fleet_host(&w.fleet, "kvm1"), "other", UUID_B)->guest, "file", HERE);
    made_disk(made_guest(fleet_host(&w.fleet, "kvm2"), "other", UUID_B)->guest, "file", THERE);
    assert_int_equal(found(&w, true), 0);
    assert_int_equal(found(&w, false), 0);
    made_disk(made_guest(fleet_host(&w.fleet, "kvm3"), "other", UUID_B)->guest, "file", THERE);
    assert_int_equal(found(&w, false), 1);
    fleet_deinit(&w.fleet);
}

static void nothing_is_free_while_a_third_host_has_told_nothing(void **state)
{
    (void)state;
    struct world w;
    init(&w);
    struct fleet_host *third = fleet_host(&w.fleet, "kvm3");
    fleet_host(&w.fleet, "kvm1")->told = fleet_host(&w.fleet, "kvm2")->told =
        false; /* they look themselves */
    assert_null(image_users_unknown(&w.fleet, "kvm1", "kvm2"));
    assert_int_equal(found(&w, true), 0);
    third->told = third->synced = false;
    assert_ptr_equal(image_users_unknown(&w.fleet, "kvm1", "kvm2"), third);
    assert_int_equal(found(&w, true), 1);
    assert_int_equal(found(&w, false), 1);
    Drover__V1__AgentEvent synced = DROVER__V1__AGENT_EVENT__INIT;
    synced.synced = true;
    fleet_event(third, &synced);
    assert_int_equal(found(&w, true), 0);
    fleet_session(third, false, 2000, "gone"); /* what it said last holds */
    assert_null(image_users_unknown(&w.fleet, "kvm1", "kvm2"));
    assert_int_equal(found(&w, true), 0);
    fleet_deinit(&w.fleet);
}

static void the_guest_itself_counts_where_it_is_not_named(void **state)
{
    (void)state;
    struct world w;
    init(&w);
    made_disk(made_guest(fleet_host(&w.fleet, "kvm3"), "web1", UUID_A)->guest, "file", THERE);
    char *images[] = {(char *)HERE, (char *)THERE}, **list;
    assert_int_equal(image_users_of(&w.fleet, "kvm1", "kvm2", "", images, 2, &list), 1);
    assert_string_equal(list[0], THERE);
    free(list);
    fleet_deinit(&w.fleet);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_disk_a_volume_and_a_backing_file_of_a_third_host_count),
        cmocka_unit_test(the_guest_itself_and_both_ends_do_not),
        cmocka_unit_test(nothing_is_free_while_a_third_host_has_told_nothing),
        cmocka_unit_test(the_guest_itself_counts_where_it_is_not_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
