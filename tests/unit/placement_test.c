#include "coordinator/core/placement.h"

#include "common/base/memory.h"
#include "coordinator_made.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct preflight move_of(const struct fleet *fleet, const char *guest,
                                const Drover__V1__Policy *policy)
{
    const struct fleet_guest *g;
    assert_int_equal(fleet_find_guest(fleet, guest, &g, NULL), 0);
    return (struct preflight){
        .fleet = fleet,
        .source = g->host,
        .guest = g,
        .mode = DROVER__V1__MODE__MODE_LIVE,
        .policy = policy,
    };
}

static void the_roomiest_host_is_chosen_and_explained(void **state)
{
    (void)state;
    struct fleet fleet;
    fleet_init(&fleet);
    made_guest(made_host(&fleet, "kvm1"), "web1", UUID_A);
    made_host(&fleet, "kvm2");
    made_host(&fleet, "kvm3")->report->memory_free = 50 * GIB;
    made_host(&fleet, "kvm4")->report->n_bridges = 0;
    made_host(&fleet, "export1")->report->hypervisor = false;
    Drover__V1__Policy policy = DROVER__V1__POLICY__INIT;
    struct preflight in = move_of(&fleet, "web1", &policy);
    struct placement p;
    placement_choose(&in, NULL, NULL, 0, &p);
    assert_string_equal(p.host->name, "kvm3");
    assert_string_equal(p.why,
                        "kvm3 has the most memory left after the move, 46899 MiB (kvm2 would have 44851 MiB; "
                        "kvm4 can't: bridge)");
    placement_deinit(&p);

    struct promised promised[5] = {[2] = {.memory = 3 * GIB}};
    placement_choose(&in, promised, NULL, 0, &p);
    assert_string_equal(p.host->name, "kvm2");
    placement_deinit(&p);
    /* What made_host put there is freed with the list's real length. */
    fleet_host(&fleet, "kvm4")->report->n_bridges = 1;
    fleet_deinit(&fleet);
}

static void a_refusal_says_why_host_by_host(void **state)
{
    (void)state;
    struct fleet fleet;
    fleet_init(&fleet);
    made_guest(made_host(&fleet, "kvm1"), "web1", UUID_A)->guest->snapshots = 1;
    made_host(&fleet, "kvm2")->report->memory_free = GIB;
    fleet_session(made_host(&fleet, "kvm3"), false, 5, "no route to host");
    Drover__V1__Policy policy = DROVER__V1__POLICY__INIT;
    struct preflight in = move_of(&fleet, "web1", &policy);
    struct placement p;
    placement_choose(&in, NULL, NULL, 0, &p);
    assert_null(p.host);
    assert_string_equal(p.why, "kvm2: snapshots, memory-free; kvm3: host-up, snapshots");
    /* The snapshots once, the memory of kvm2, the session of kvm3. */
    assert_int_equal(p.refusals.n, 3);
    for (size_t i = 0; i < p.refusals.n; i++)
        assert_int_equal(p.refusals.list[i]->severity, DROVER__V1__SEVERITY__BLOCK);
    placement_deinit(&p);
    fleet_deinit(&fleet);
}

static void of_a_thousand_hosts_the_first_few_are_told_in_full(void **state)
{
    (void)state;
    struct fleet fleet;
    fleet_init(&fleet);
    made_host(&fleet, "kvm0000");
    for (int i = 1; i <= 1000; i++) {
        char name[16];
        snprintf(name, sizeof(name), "kvm%04d", i);
        made_host(&fleet, name)->report->memory_free = (uint64_t)i << 20;
    }
    made_guest(fleet_host(&fleet, "kvm0000"), "web1", UUID_A);
    fleet_session(fleet_host(&fleet, "kvm0007"), false, 5, "no route to host");
    Drover__V1__Policy policy = DROVER__V1__POLICY__INIT;
    struct preflight in = move_of(&fleet, "web1", &policy);
    struct placement p;
    placement_choose(&in, NULL, NULL, 0, &p);
    assert_null(p.host);
    size_t bytes = 0;
    for (size_t i = 0; i < p.refusals.n; i++)
        bytes += drover__v1__finding__get_packed_size(p.refusals.list[i]);
    assert_true(p.refusals.n <= 2 * PLACEMENT_REFUSALS && bytes < 10000);
    const Drover__V1__Finding *last = p.refusals.list[p.refusals.n - 1];
    assert_string_equal(last->id, "memory-free");
    assert_string_equal(last->subject, "996 more hosts");
    assert_string_equal(last->seen, "the same there; of one: drover check web1 --to HOST");
    placement_deinit(&p);
    fleet_deinit(&fleet);
}

static void without_another_host_it_says_so(void **state)
{
    (void)state;
    struct fleet fleet;
    fleet_init(&fleet);
    made_guest(made_host(&fleet, "kvm1"), "web1", UUID_A);
    Drover__V1__Policy policy = DROVER__V1__POLICY__INIT;
    struct preflight in = move_of(&fleet, "web1", &policy);
    struct placement p;
    placement_choose(&in, NULL, NULL, 0, &p);
    assert_null(p.host);
    assert_int_equal(p.refusals.n, 1);
    assert_string_equal(p.refusals.list[0]->id, "no-host");
    placement_deinit(&p);
    fleet_deinit(&fleet);
}

static void spoil(struct fleet_host *h, unsigned *rng)
{
    h->report->memory_free = (uint64_t)(rand_r(rng) % 12) * GIB; /* few values, so that equals occur */
    h->report->memory_reserved = (uint64_t)(rand_r(rng) % 3) * GIB;
    if (rand_r(rng) % 5 == 0)
        fleet_session(h, false, 5, "lost");
    if (rand_r(rng) % 6 == 0)
        h->report->libvirt_up = false;
    if (rand_r(rng) % 6 == 0)
        made_string(&h->report->bridges[0]->name, "br9");
}

/* Random fleets: the choice is not blocked, no host that isn't blocked has more room (or as much and an earlier name), and
 * it does not depend on the inventory's order; a refusal comes only when every other host is blocked, with findings. */
static void the_choice_holds_for_any_fleet(void **state)
{
    (void)state;
    int chosen = 0, refused = 0;
    for (unsigned seed = 1; seed <= 300; seed++) {
        char first[24] = "";
        size_t n = 2 + seed % 6;
        for (int turn = 0; turn < 2; turn++) {
            struct fleet fleet;
            fleet_init(&fleet);
            struct promised promised[8] = {0};
            for (size_t i = 0; i < n; i++) {
                size_t id = turn ? n - 1 - i : i;
                unsigned rng = seed * 100 + (unsigned)id;
                char host_name[24];
                snprintf(host_name, sizeof(host_name), "kvm%zu", id);
                struct fleet_host *h = made_host(&fleet, host_name);
                if (id == 0)
                    made_guest(h, "web1", UUID_A);
                else
                    spoil(h, &rng);
                promised[i].memory = (uint64_t)(rand_r(&rng) % 3) * GIB;
            }
            Drover__V1__Policy policy = DROVER__V1__POLICY__INIT;
            struct preflight in = move_of(&fleet, "web1", &policy);
            struct placement p;
            placement_choose(&in, promised, NULL, 0, &p);
            size_t free_hosts = 0;
            int64_t room =
                p.host ? preflight_room(p.host, &promised[p.host - fleet.hosts], in.guest->guest) : 0;
            for (size_t i = 0; i < n; i++) {
                struct findings f = {0};
                in.destination = &fleet.hosts[i];
                in.promised = promised[i];
                preflight_run(&in, &f);
                bool blocked = findings_block(&f) != NULL;
                findings_deinit(&f);
                if (in.destination == p.host)
                    assert_false(blocked);
                if (blocked)
                    continue;
                free_hosts++;
                if (!p.host) {
                    fail_msg("seed %u: refused, though %s would do", seed, fleet.hosts[i].name);
                    return;
                }
                int64_t other = preflight_room(in.destination, &in.promised, in.guest->guest);
                if (other > room || (other == room && strcmp(in.destination->name, p.host->name) < 0))
                    fail_msg("seed %u: chose %s, though %s is better", seed, p.host->name,
                             in.destination->name);
            }
            assert_int_equal(p.host != NULL, free_hosts > 0);
            assert_int_equal(p.host == NULL, p.refusals.n > 0);
            assert_non_null(p.why);
            const char *name = p.host ? p.host->name : "";
            if (turn)
                assert_string_equal(name, first);
            snprintf(first, sizeof(first), "%s", name);
            p.host ? chosen++ : refused++;
            placement_deinit(&p);
            fleet_deinit(&fleet);
        }
    }
    /* Both outcomes were tried. */
    assert_true(chosen > 50);
    assert_true(refused > 50);
}

static void add_block(struct findings *findings, const char *id)
{
    finding_add(findings, id, DROVER__V1__SEVERITY__BLOCK, xstrdup("disk vda"), xstrdup("nothing there"),
                xstrdup("it"), xstrdup("mount it"));
}

/* What was tried is not chosen again; when all were, or enough were, everything that was found is told. */
static void the_next_best_is_chosen_after_one_was_tried(void **state)
{
    (void)state;
    struct fleet fleet;
    fleet_init(&fleet);
    made_guest(made_host(&fleet, "kvm1"), "web1", UUID_A);
    static const char *const names[] = {"kvm2", "kvm3", "kvm4", "kvm5"};
    for (size_t i = 0; i < 4; i++)
        made_host(&fleet, names[i]);
    Drover__V1__Policy policy = DROVER__V1__POLICY__INIT;
    struct preflight in = move_of(&fleet, "web1", &policy);
    struct findings found[PLACEMENT_TRIES] = {0};
    struct placement_tried tried[PLACEMENT_TRIES];
    for (size_t i = 0; i < PLACEMENT_TRIES; i++) {
        struct placement p;
        placement_choose(&in, NULL, tried, i, &p);
        assert_string_equal(p.host->name, names[i]);
        if (i)
            assert_non_null(strstr(p.why, "kvm2 can't: storage-missing"));
        add_block(&found[i], i == 1 ? "mtu-smaller" : "storage-missing");
        tried[i] = (struct placement_tried){p.host, &found[i]};
        placement_deinit(&p);
    }
    struct placement p;
    placement_choose(&in, NULL, tried, PLACEMENT_TRIES, &p);
    assert_null(p.host);
    assert_string_equal(p.why, "kvm2: storage-missing; kvm3: mtu-smaller; kvm4: storage-missing");
    assert_int_equal(p.refusals.n, 3);
    placement_deinit(&p);
    for (size_t i = 0; i < PLACEMENT_TRIES; i++)
        findings_deinit(&found[i]);
    fleet_deinit(&fleet);
}

/* A share that is mounted on the last of many hosts only is found there. */
static void hosts_that_lack_the_storage_are_no_tries(void **state)
{
    (void)state;
    struct fleet fleet;
    fleet_init(&fleet);
    made_guest(made_host(&fleet, "kvm1"), "web1", UUID_A);
    for (int i = 2; i <= 9; i++) {
        char name[8];
        snprintf(name, sizeof(name), "kvm%d", i);
        made_host(&fleet, name);
    }
    Drover__V1__Policy policy = DROVER__V1__POLICY__INIT;
    struct preflight in = move_of(&fleet, "web1", &policy);
    struct findings lacks = {0}, other = {0};
    add_block(&lacks, "storage-missing");
    lacks.list[0]->elsewhere = true;
    add_block(&other, "mtu-smaller");
    struct placement_tried tried[8];
    for (size_t i = 0; i < 8; i++) {
        struct placement p;
        placement_choose(&in, NULL, tried, i, &p);
        if (i < 7)
            assert_int_equal(p.host->name[3], '2' + (int)i);
        else
            assert_null(p.host); /* three that do count */
        tried[i] = (struct placement_tried){p.host, i < 4 ? &lacks : &other};
        placement_deinit(&p);
    }
    /* Time is up after two: what was found there is told, and that there are others. */
    struct placement p;
    in.enough = true;
    placement_choose(&in, NULL, tried, 2, &p);
    assert_null(p.host);
    assert_string_equal(p.why, "kvm2: storage-missing; kvm3: storage-missing; 6 not asked, for want of time");
    assert_int_equal(p.refusals.n, 2);
    assert_string_equal(p.refusals.list[1]->id, "no-host");
    assert_string_equal(p.refusals.list[1]->seen,
                        "6 hosts were not asked: those that were took too long together");
    placement_deinit(&p);
    placement_choose(&in, NULL, tried, 8, &p);
    assert_null(strstr(p.why, "not asked"));
    placement_deinit(&p);
    findings_deinit(&lacks);
    findings_deinit(&other);
    fleet_deinit(&fleet);
}

static void what_is_accepted_bars_no_host(void **state)
{
    (void)state;
    struct fleet fleet;
    fleet_init(&fleet);
    made_guest(made_host(&fleet, "kvm1"), "web1", UUID_A);
    made_host(&fleet, "kvm2")->report->vcpus_guests = 15;
    Drover__V1__Policy policy = DROVER__V1__POLICY__INIT;
    policy.vcpu_percent = 100;
    struct preflight in = move_of(&fleet, "web1", &policy);
    struct placement p;
    placement_choose(&in, NULL, NULL, 0, &p);
    assert_null(p.host);
    placement_deinit(&p);
    char *accept[] = {(char *)"vcpu-limit"};
    in.accept = accept;
    in.n_accept = 1;
    placement_choose(&in, NULL, NULL, 0, &p);
    assert_string_equal(p.host->name, "kvm2");
    placement_deinit(&p);
    fleet_deinit(&fleet);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_roomiest_host_is_chosen_and_explained),
        cmocka_unit_test(a_refusal_says_why_host_by_host),
        cmocka_unit_test(the_next_best_is_chosen_after_one_was_tried),
        cmocka_unit_test(hosts_that_lack_the_storage_are_no_tries),
        cmocka_unit_test(what_is_accepted_bars_no_host),
        cmocka_unit_test(of_a_thousand_hosts_the_first_few_are_told_in_full),
        cmocka_unit_test(without_another_host_it_says_so),
        cmocka_unit_test(the_choice_holds_for_any_fleet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
