/* The broker: shares of links never add up to more than the links have. */
#include "common/base/memory.h"
#include "coordinator/core/broker.h"
#include "coordinator/core/link_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MIB 1048576ULL

static void setup(struct fleet *fleet)
{
    fleet_init(fleet);
    fleet_add_host(fleet, "kvm1", "tokyo", "");
    fleet_add_host(fleet, "kvm2", "tokyo", "");
    fleet_add_host(fleet, "kvm3", "osaka", "");
    fleet->bandwidth = 100 * MIB;
}

static void without_a_capacity_there_is_no_limit(void **state)
{
    (void)state;
    struct fleet fleet;
    setup(&fleet);
    fleet.bandwidth = 0;
    const struct broker_move moves[] = {{"kvm1", "kvm2", true, 500 * MIB, 0},
                                        {"kvm1", "kvm3", true, 500 * MIB, 7 * MIB}};
    struct broker_part shares[2];
    broker_share(&fleet, moves, 2, shares);
    assert_int_equal(shares[0].rate, 0);
    assert_int_equal(shares[1].rate, 7 * MIB);
    assert_false(shares[0].waits || shares[1].waits);
    fleet_deinit(&fleet);
}

static void a_policys_limit_does_not_lift_that_of_the_link(void **state)
{
    (void)state;
    struct fleet fleet;
    setup(&fleet);
    fleet_host(&fleet, "kvm2")->bandwidth = 30 * MIB;
    assert_int_equal(link_limit(&fleet, "kvm1", "kvm3", 0), 100 * MIB);
    assert_int_equal(link_limit(&fleet, "kvm1", "kvm2", 0), 30 * MIB);
    assert_int_equal(link_limit(&fleet, "kvm1", "kvm2", 50 * MIB), 30 * MIB);
    assert_int_equal(link_limit(&fleet, "kvm1", "kvm2", 20 * MIB), 20 * MIB);
    fleet.bandwidth = 0;
    assert_int_equal(link_limit(&fleet, "kvm1", "kvm3", 7 * MIB), 7 * MIB);
    assert_int_equal(link_limit(&fleet, "kvm1", "kvm3", 0), 0);
    fleet_deinit(&fleet);
}

static void links_are_never_given_more_than_they_have(void **state)
{
    (void)state;
    struct fleet fleet;
    setup(&fleet);
    fleet_host(&fleet, "kvm3")->bandwidth = 30 * MIB;
    fleet.site_links = calloc(1, sizeof(*fleet.site_links));
    fleet.site_links[fleet.n_site_links++] = (struct fleet_site_link){{"osaka", "tokyo"}, 10 * MIB};
    /* Two out of kvm1, one of them over the line between the sites; a third into kvm2; one that only prepares. */
    const struct broker_move moves[] = {
        {"kvm1", "kvm2", true, 50 * MIB, 0},
        {"kvm1", "kvm3", true, 500 * MIB, 0},
        {"kvm3", "kvm2", true, 900 * MIB, 0},
        {"kvm1", "kvm2", false, 0, 0},
    };
    struct broker_part shares[4];
    broker_share(&fleet, moves, 4, shares);
    for (int i = 0; i < 4; i++)
        assert_true(shares[i].rate > 0);
    assert_true(shares[0].rate + shares[1].rate + shares[3].rate <= 100 * MIB);
    assert_true(shares[0].rate + shares[2].rate + shares[3].rate <= 100 * MIB);
    assert_true(shares[1].rate + shares[2].rate <= 10 * MIB);
    /* What is nearest to its end has nearly all; the others wait for their turn. */
    assert_true(shares[0].rate >= 80 * MIB);
    assert_true(!shares[0].waits && shares[1].waits && shares[2].waits);
    fleet_deinit(&fleet);
}

static void a_guest_that_stands_still_has_the_link(void **state)
{
    (void)state;
    struct fleet fleet;
    setup(&fleet);
    const struct broker_move moves[] = {{"kvm1", "kvm2", true, 5 * MIB, 0},
                                        {"kvm1", "kvm2", true, 500 * MIB, 0, .paused = true}};
    struct broker_part shares[2];
    broker_share(&fleet, moves, 2, shares);
    assert_true(shares[1].rate >= 90 * MIB && !shares[1].waits);
    assert_true(shares[0].rate > 0 && shares[0].waits);
    fleet_deinit(&fleet);
}

static void one_that_has_only_begun_waits_for_one_near_its_end(void **state)
{
    (void)state;
    struct fleet fleet;
    setup(&fleet);
    const struct broker_move moves[] = {{"kvm1", "kvm2", true, UINT64_MAX, 0},
                                        {"kvm1", "kvm2", true, 5 * MIB, 0}};
    struct broker_part shares[2];
    broker_share(&fleet, moves, 2, shares);
    assert_true(shares[1].rate >= 90 * MIB && !shares[1].waits);
    assert_true(shares[0].rate > 0 && shares[0].waits);
    fleet_deinit(&fleet);
}

static void one_alone_has_it_all_again(void **state)
{
    (void)state;
    struct fleet fleet;
    setup(&fleet);
    const struct broker_move moves[] = {{"kvm1", "kvm2", true, 50 * MIB, 0}};
    struct broker_part share = {0};
    broker_share(&fleet, moves, 1, &share);
    assert_int_equal(share.rate, 100 * MIB);
    assert_false(share.waits);
    fleet_deinit(&fleet);
}

/* One shrinks so that another may grow: that one is told when the first has answered, and not if it hasn't. */
static void who_may_use_more_waits_for_those_that_use_less(void **state)
{
    (void)state;
    struct fleet fleet;
    setup(&fleet);
    const struct broker_move moves[] = {
        {"kvm1", "kvm2", true, 50 * MIB, 0},
        {"kvm1", "kvm3", true, 500 * MIB, 0},
        {"kvm2", "kvm1", true, 500 * MIB, 0}, /* has nothing to do with them */
    };
    const struct broker_part parts[] = {{.rate = 90 * MIB}, {.rate = 10 * MIB}, {.rate = 100 * MIB}};
    struct broker_told told[] = {
        {.part = {.rate = 10 * MIB}}, {.part = {.rate = 90 * MIB}}, {.part = {.rate = 50 * MIB}}};
    bool news[3];
    broker_news(&fleet, moves, parts, told, 3, news);
    assert_true(!news[0] && news[1] && news[2]);
    told[1].is_asked = true;
    told[1].asked.rate = 10 * MIB;
    broker_news(&fleet, moves, parts, told, 3, news);
    assert_true(!news[0] && !news[1]);
    /* It did not answer: nobody knows what it uses. */
    told[1].is_asked = false;
    told[1].unsure = true;
    broker_news(&fleet, moves, parts, told, 3, news);
    assert_true(!news[0] && news[1]);
    told[1] = (struct broker_told){.part = {.rate = 10 * MIB}};
    broker_news(&fleet, moves, parts, told, 3, news);
    assert_true(news[0] && !news[1]);
    /* A word that it may use more, which is out of date and not answered, counts. */
    told[1].is_asked = true;
    told[1].asked.rate = 50 * MIB;
    broker_news(&fleet, moves, parts, told, 3, news);
    assert_false(news[0]);
    fleet_deinit(&fleet);
}

/* qemu-img copies disks at the rate that it was begun with. */
static void what_keeps_its_rate_has_an_even_part_and_the_others_the_rest(void **state)
{
    (void)state;
    struct fleet fleet;
    setup(&fleet);
    struct broker_move moves[] = {{"kvm1", "kvm2", true, 5 * MIB, 0},
                                  {"kvm1", "kvm2", true, UINT64_MAX, 0, .once = true}};
    struct broker_part shares[2];
    broker_share(&fleet, moves, 2, shares);
    assert_int_equal(shares[1].rate, 50 * MIB);
    assert_int_equal(shares[0].rate, 50 * MIB);
    assert_false(shares[1].waits);
    moves[1].keeps = 80 * MIB; /* it was alone when it began */
    broker_share(&fleet, moves, 2, shares);
    assert_int_equal(shares[1].rate, 80 * MIB);
    assert_int_equal(shares[0].rate, 20 * MIB);
    /* It can't be told, nor waited for. */
    const struct broker_told told[] = {{.part = {.rate = 10 * MIB}}, {.unsure = true}};
    bool news[2];
    broker_news(&fleet, moves, shares, told, 2, news);
    assert_true(news[0] && !news[1]);
    moves[1].keeps = 200 * MIB; /* the link has become smaller since: not one without a limit */
    broker_share(&fleet, moves, 2, shares);
    assert_int_equal(shares[0].rate, SCHEDULE_FLOOR);
    assert_true(shares[0].waits); /* for the copy's end, of the link as it is */
    moves[1] = (struct broker_move){"kvm1", "kvm2", true, UINT64_MAX, 7 * MIB, .once = true};
    broker_share(&fleet, moves, 2, shares);
    assert_int_equal(shares[1].rate, 7 * MIB);
    fleet.bandwidth = 0;
    moves[1].rate_max = 0;
    broker_share(&fleet, moves, 2, shares);
    assert_int_equal(shares[1].rate, 0);
    fleet_deinit(&fleet);
}

static void a_running_guests_copy_keeps_its_rate_until_its_memory_flows(void **state)
{
    (void)state;
    Drover__V1__Job job = DROVER__V1__JOB__INIT;
    Drover__V1__Progress progress = DROVER__V1__PROGRESS__INIT;
    assert_true(broker_keeps(&job, true) && !broker_keeps(&job, false));
    job.progress = &progress;
    progress.disk_total = progress.disk_done = 500 * MIB;
    assert_true(broker_keeps(&job, true));
    progress.bytes_total = 100 * MIB;
    assert_false(broker_keeps(&job, true));
    job.mode = DROVER__V1__MODE__MODE_DEFINITION;
    assert_true(broker_keeps(&job, true) && !broker_keeps(&job, false));
}

/* What one begins with is for good, so that no later one may be left with nothing. */
static void one_that_begins_alone_leaves_half_of_the_link(void **state)
{
    (void)state;
    struct fleet fleet;
    setup(&fleet);
    struct broker_move moves[12];
    struct broker_part shares[12];
    for (size_t i = 0; i < 12; i++)
        moves[i] = (struct broker_move){"kvm1", "kvm2", true, UINT64_MAX, 0, .once = true};
    broker_share(&fleet, moves, 1, shares);
    assert_int_equal(shares[0].rate, 50 * MIB);
    moves[0].keeps = shares[0].rate;
    broker_share(&fleet, moves, 2, shares);
    assert_int_equal(shares[1].rate, 25 * MIB);
    moves[1].keeps = shares[1].rate;
    for (size_t n = 3; n <= 12; n++) {
        broker_share(&fleet, moves, n, shares);
        moves[n - 1].keeps = shares[n - 1].rate;
        assert_true(shares[n - 1].rate >= SCHEDULE_FLOOR);
    }
    /* Two at once, not known since a restart: alike. */
    moves[0].keeps = moves[1].keeps = 0;
    broker_share(&fleet, moves, 2, shares);
    assert_int_equal(shares[0].rate, 50 * MIB);
    assert_int_equal(shares[1].rate, 50 * MIB);
    fleet_deinit(&fleet);
}

static void what_is_told_beside_copies_that_have_it_all_is_a_limit(void **state)
{
    (void)state;
    struct fleet fleet;
    setup(&fleet);
    const struct broker_move moves[] = {
        {"kvm1", "kvm2", true, UINT64_MAX, 0, .once = true, .keeps = 100 * MIB},
        {"kvm1", "kvm2", true, 5 * MIB, 0},
        {"kvm1", "kvm2", true, 500 * MIB, 0},
    };
    struct broker_part shares[3];
    broker_share(&fleet, moves, 3, shares);
    for (int i = 1; i < 3; i++) {
        assert_int_equal(shares[i].rate, SCHEDULE_FLOOR);
        assert_true(shares[i].waits);
    }
    fleet.bandwidth = 2; /* not even a byte for each */
    broker_share(&fleet, moves, 3, shares);
    assert_true(shares[1].rate > 0 && shares[2].rate > 0);
    fleet_deinit(&fleet);
}

static void a_lines_delay_is_that_between_two_sites(void **state)
{
    (void)state;
    struct fleet fleet;
    setup(&fleet);
    assert_int_equal(link_delay(&fleet, "kvm1", "kvm3"), 0);
    fleet.site_links = calloc(1, sizeof(*fleet.site_links));
    fleet.site_links[fleet.n_site_links++] =
        (struct fleet_site_link){{"osaka", "tokyo"}, 10 * MIB, .delay_ms = 40};
    assert_int_equal(link_delay(&fleet, "kvm1", "kvm3"), 40);
    assert_int_equal(link_delay(&fleet, "kvm3", "kvm1"), 40);
    assert_int_equal(link_delay(&fleet, "kvm1", "kvm2"), 0); /* one site */
    assert_int_equal(link_delay(&fleet, "kvm1", "gone"), 0);
    fleet_deinit(&fleet);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_capacity_there_is_no_limit),
        cmocka_unit_test(a_policys_limit_does_not_lift_that_of_the_link),
        cmocka_unit_test(links_are_never_given_more_than_they_have),
        cmocka_unit_test(a_guest_that_stands_still_has_the_link),
        cmocka_unit_test(one_that_has_only_begun_waits_for_one_near_its_end),
        cmocka_unit_test(one_alone_has_it_all_again),
        cmocka_unit_test(who_may_use_more_waits_for_those_that_use_less),
        cmocka_unit_test(what_keeps_its_rate_has_an_even_part_and_the_others_the_rest),
        cmocka_unit_test(a_running_guests_copy_keeps_its_rate_until_its_memory_flows),
        cmocka_unit_test(one_that_begins_alone_leaves_half_of_the_link),
        cmocka_unit_test(what_is_told_beside_copies_that_have_it_all_is_a_limit),
        cmocka_unit_test(a_lines_delay_is_that_between_two_sites),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
