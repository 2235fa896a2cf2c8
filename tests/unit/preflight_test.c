#include "common/base/memory.h"
#include "made_proof.h"
#include "preflight_cases.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const Drover__V1__Finding *finding(const struct findings *findings, const char *id)
{
    for (size_t i = 0; i < findings->n; i++)
        if (streq(findings->list[i]->id, id))
            return findings->list[i];
    return NULL;
}

static void a_fitting_move_has_no_findings(void **state)
{
    (void)state;
    struct move m;
    move_init(&m);
    preflight_run(&m.in, &m.out);
    for (size_t i = 0; i < m.out.n; i++)
        print_error("unexpected: %s %s: %s\n", m.out.list[i]->id, m.out.list[i]->subject,
                    m.out.list[i]->seen);
    assert_int_equal(m.out.n, 0);

    m.in.mode = DROVER__V1__MODE__MODE_DEFINITION;
    m.guest->state = DROVER__V1__GUEST_STATE__GUEST_SHUTOFF;
    preflight_run(&m.in, &m.out);
    assert_int_equal(m.out.n, 0);
    move_deinit(&m);
}

static void whole(const Drover__V1__Finding *f)
{
    if (!f->subject[0] || !f->seen[0] || !f->expected[0] || !f->todo[0])
        fail_msg("finding %s (%s) leaves something out", f->id, f->subject);
}

static void try_cases(const struct spoiled *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct move m;
        move_init(&m);
        cases[i].spoil(&m);
        preflight_run(&m.in, &m.out);
        const Drover__V1__Finding *f = finding(&m.out, cases[i].id);
        if (!f) {
            fail_msg("case %zu: no finding %s", i, cases[i].id);
            return;
        }
        if (!strstr(f->seen, cases[i].word) && !strstr(f->subject, cases[i].word))
            fail_msg("case %zu: %s saw '%s' of '%s', without '%s'", i, f->id, f->seen, f->subject,
                     cases[i].word);
        assert_int_equal(f->severity, cases[i].severity);
        whole(f);
        if (cases[i].how != MORE && m.out.n != 1)
            fail_msg("case %zu (%s): %zu findings, expected one; the first is %s: %s", i, cases[i].id,
                     m.out.n, m.out.list[0]->id, m.out.list[0]->seen);
        move_deinit(&m);
    }
}

static void each_spoiled_thing_is_found(void **state)
{
    (void)state;
    try_cases(preflight_cases, n_preflight_cases);
}

static void each_spoiled_proof_is_found(void **state)
{
    (void)state;
    try_cases(preflight_proofs, n_preflight_proofs);
    try_cases(preflight_links, n_preflight_links);
    try_cases(preflight_hardware, n_preflight_hardware);
    try_cases(preflight_storage, n_preflight_storage);
    try_cases(preflight_exports, n_preflight_exports);
}

/* A share that is not mounted here may be on another host; a local file system is not, and neither what the source lacks. */
static void another_destination_may_have_the_storage(void **state)
{
    (void)state;
    static const struct {
        Drover__V1__ProbeKind kind;
        const char *reason;
        bool local, elsewhere;
    } cases[] = {
        {DROVER__V1__PROBE_KIND__PROBE_NONCE_READ, "no-directory", false, true},
        {DROVER__V1__PROBE_KIND__PROBE_NONCE_READ, "absent", false, true},
        {DROVER__V1__PROBE_KIND__PROBE_NONCE_READ, "absent", true, false},
        {DROVER__V1__PROBE_KIND__PROBE_NONCE_WRITE, "read-only", false, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct move m;
        move_init(&m);
        bool there = cases[i].kind == DROVER__V1__PROBE_KIND__PROBE_NONCE_READ;
        if (cases[i].local)
            move_asked(&m, m.source, DROVER__V1__PROBE_KIND__PROBE_NONCE_WRITE)
                ->result->path->mount->network = false;
        made_answer(move_asked(&m, there ? m.destination : m.source, cases[i].kind),
                    DROVER__V1__PROBE_OUTCOME__PROBE_REFUTED, cases[i].reason, "not there");
        preflight_run(&m.in, &m.out);
        assert_non_null(findings_block(&m.out));
        assert_int_equal(findings_elsewhere(m.out.list, m.out.n), cases[i].elsewhere);
        move_deinit(&m);
    }
}

static void each_rule_has_a_case(void **state)
{
    (void)state;
    for (size_t r = 0; preflight_rule_id(r); r++) {
        bool tried = false;
        for (size_t i = 0; i < n_preflight_cases; i++)
            tried = tried || streq(preflight_cases[i].id, preflight_rule_id(r));
        for (size_t i = 0; i < n_preflight_proofs; i++)
            tried = tried || streq(preflight_proofs[i].id, preflight_rule_id(r));
        for (size_t i = 0; i < n_preflight_links; i++)
            tried = tried || streq(preflight_links[i].id, preflight_rule_id(r));
        for (size_t i = 0; i < n_preflight_hardware; i++)
            tried = tried || streq(preflight_hardware[i].id, preflight_rule_id(r));
        for (size_t i = 0; i < n_preflight_storage; i++)
            tried = tried || streq(preflight_storage[i].id, preflight_rule_id(r));
        if (!tried)
            fail_msg("rule %s has no case", preflight_rule_id(r));
        for (size_t other = 0; other < r; other++)
            assert_string_not_equal(preflight_rule_id(other), preflight_rule_id(r));
    }
}

/* Whatever is spoiled at the same time, everything is told, not just the first. */
static void findings_add_up(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 300; seed++) {
        unsigned rng = seed;
        struct move m;
        bool used[256] = {0};
        assert_true(n_preflight_cases <= 256);
        move_init(&m);
        for (size_t i = 0; i < n_preflight_cases; i++) {
            bool same_id = false;
            for (size_t j = 0; j < i; j++)
                same_id = same_id || (used[j] && streq(preflight_cases[i].id, preflight_cases[j].id));
            used[i] = preflight_cases[i].how == JOINED && !same_id && rand_r(&rng) % 3 == 0;
            if (used[i])
                preflight_cases[i].spoil(&m);
        }
        preflight_run(&m.in, &m.out);
        for (size_t i = 0; i < n_preflight_cases; i++)
            if (used[i] && !finding(&m.out, preflight_cases[i].id))
                fail_msg("seed %u: %s was lost among the others", seed, preflight_cases[i].id);
        for (size_t i = 0; i < m.out.n; i++)
            whole(m.out.list[i]);
        move_deinit(&m);
    }
}

static void hosts_without_a_report_break_nothing(void **state)
{
    (void)state;
    for (int which = 1; which <= 3; which++) {
        struct move m;
        move_init(&m);
        for (int h = 0; h < 2; h++) {
            if (!(which & 1 << h))
                continue;
            drover__v1__host_report__free_unpacked(m.fleet.hosts[h].report, NULL);
            m.fleet.hosts[h].report = NULL;
        }
        preflight_run(&m.in, &m.out);
        assert_non_null(findings_block(&m.out));
        move_deinit(&m);

        move_init(&m);
        drover__v1__cpu__free_unpacked(m.to->cpu, NULL);
        m.to->cpu = NULL;
        drover__v1__listening__free_unpacked(m.to->listening, NULL);
        m.to->listening = NULL;
        preflight_run(&m.in, &m.out);
        assert_int_equal(m.out.n, 0);
        move_deinit(&m);
    }
}

static void a_proven_move_has_no_findings(void **state)
{
    (void)state;
    struct move m;
    move_init(&m);
    move_with_proof(&m);
    preflight_run(&m.in, &m.out);
    for (size_t i = 0; i < m.out.n; i++)
        print_error("unexpected: %s %s: %s\n", m.out.list[i]->id, m.out.list[i]->subject,
                    m.out.list[i]->seen);
    assert_int_equal(m.out.n, 0);
    move_deinit(&m);
}

/* A backing file elsewhere that is proven there; one beside the image; where nobody may write, one file of one export. */
static void a_backing_file_that_is_shared_is_no_finding(void **state)
{
    (void)state;
    static const char *const files[] = {"/srv/golden/base.qcow2", "/srv/nfs/base.qcow2",
                                        "nfs://10.0.0.20/base"};
    for (unsigned i = 0; i < 4; i++) {
        struct move m;
        move_init(&m);
        move_with_proof(&m);
        move_backed_by(&m, files[i % 3], files[i % 3]);
        if (i == 3)
            made_answer(made_ask(&m.evidence, m.source, DROVER__V1__PROBE_KIND__PROBE_NONCE_WRITE,
                                 "vda: /srv/golden/base.qcow2, /srv/golden/base.qcow2"),
                        DROVER__V1__PROBE_OUTCOME__PROBE_UNDECIDED, "read-only", "read-only file system");
        preflight_run(&m.in, &m.out);
        assert_int_equal(m.out.n, 0);
        move_deinit(&m);
    }
}

static void a_logical_volume_on_the_same_unit_is_no_finding(void **state)
{
    (void)state;
    struct move m;
    move_init(&m);
    move_with_volume(&m, "naa.1", "naa.1");
    preflight_run(&m.in, &m.out);
    assert_int_equal(m.out.n, 0);
    move_deinit(&m);
}

/* By its target, number and portal, whatever it calls itself. */
static void a_unit_without_a_name_of_its_own_is_known_by_its_place(void **state)
{
    (void)state;
    static const char *const wwids[] = {"naa.60000000000000000e00000000010001", "t10.IET     00010001", ""};
    for (unsigned i = 0; i < 3; i++) {
        struct move m;
        move_init(&m);
        move_with_unnamed_unit(&m, wwids[i], "10.0.0.99:3260", "10.0.0.99:3260");
        preflight_run(&m.in, &m.out);
        assert_int_equal(m.out.n, 0);
        move_deinit(&m);
    }
}

static void what_serves_the_disk_well_is_no_finding(void **state)
{
    (void)state;
    static void (*const makes[])(struct move *) = {move_with_cluster_on_fc, move_with_outer_export_closed,
                                                   move_with_export_not_served};
    for (unsigned i = 0; i < 3; i++) {
        struct move m;
        move_init(&m);
        makes[i](&m);
        preflight_run(&m.in, &m.out);
        for (size_t k = 0; k < m.out.n; k++)
            print_error("unexpected, %u: %s %s: %s\n", i, m.out.list[k]->id, m.out.list[k]->subject,
                        m.out.list[k]->seen);
        assert_int_equal(m.out.n, 0);
        move_deinit(&m);
    }
}

/* A disk of another kind of storage would be the advice for others. */
static void media_in_a_hosts_own_drive_are_to_be_ejected(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_preflight_storage; i++) {
        if (!strstr(preflight_storage[i].word, "drive of the host"))
            continue;
        struct move m;
        move_init(&m);
        preflight_storage[i].spoil(&m);
        preflight_run(&m.in, &m.out);
        assert_non_null(
            strstr(finding(&m.out, "block-device-unproven")->todo, "eject it (virsh change-media web1 vdb"));
        move_deinit(&m);
    }
}

/* Its content counts, not where it lies; and of one export it is the same file. */
static void a_read_only_disk_with_the_same_content_is_no_finding(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct move m;
        move_init(&m);
        m.guest->disks[0]->readonly = true;
        move_with_proof(&m);
        made_answer(made_ask(&m.evidence, m.destination, DROVER__V1__PROBE_KIND__PROBE_NONCE_READ, NULL),
                    DROVER__V1__PROBE_OUTCOME__PROBE_REFUTED, "absent", "nothing there");
        if (i) {
            made_answer(made_ask(&m.evidence, m.source, DROVER__V1__PROBE_KIND__PROBE_NONCE_WRITE, NULL),
                        DROVER__V1__PROBE_OUTCOME__PROBE_UNDECIDED, "denied", "permission denied");
            made_answer(made_ask(&m.evidence, m.source, DROVER__V1__PROBE_KIND__PROBE_IMAGE_HASH, NULL),
                        DROVER__V1__PROBE_OUTCOME__PROBE_UNDECIDED, "timeout", "not in time");
        }
        preflight_run(&m.in, &m.out);
        assert_int_equal(m.out.n, 0);
        move_deinit(&m);
    }
}

/* Addresses of one host of the fleet are one server; and a unit that tells who it is needs no address. */
static void a_server_may_have_two_addresses(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct move m;
        move_init(&m);
        Drover__V1__Disk *d = made_disk(m.guest, "network", "iqn.2026-01.lab:one/1");
        made_string(&d->target, "vdb");
        made_string(&d->protocol, i ? "iscsi" : "nbd");
        made_string(&d->source_host, "store1");
        move_with_proof(&m);
        made_string(&made_inspection(&m.evidence, m.source)->names[0]->addresses[0], "10.1.0.20");
        made_string(&made_inspection(&m.evidence, m.destination)->names[0]->addresses[0], "10.2.0.20");
        Drover__V1__HostFacts *f = made_inspection(&m.evidence, m.third)->host;
        f->addresses = xcalloc(2, sizeof(f->addresses[0]));
        f->addresses[f->n_addresses++] = xstrdup("10.1.0.20");
        if (i == 0)
            f->addresses[f->n_addresses++] = xstrdup("10.2.0.20");
        preflight_run(&m.in, &m.out);
        assert_null(finding(&m.out, "server-differs"));
        move_deinit(&m);
    }
}

/* A retired monitor in the definition: QEMU takes the others, and they are compared. */
static void one_of_a_disks_servers_may_be_gone(void **state)
{
    (void)state;
    struct move m;
    move_init(&m);
    Drover__V1__Disk *d = made_disk(m.guest, "network", "images/web1");
    made_string(&d->target, "vdb");
    made_string(&d->protocol, "rbd");
    made_string(&d->source_host, "mon1");
    d->more_hosts = xcalloc(1, sizeof(d->more_hosts[0]));
    drover__v1__disk_host__init(d->more_hosts[d->n_more_hosts++] = new0(Drover__V1__DiskHost));
    made_string(&d->more_hosts[0]->name, "mon2");
    move_with_proof(&m);
    const struct fleet_host *hosts[2] = {m.source, m.destination};
    for (unsigned i = 0; i < 2; i++) {
        Drover__V1__ResolvedName *n = made_inspection(&m.evidence, hosts[i])->names[0];
        free(n->addresses[--n->n_addresses]);
        made_string(&n->error, "Name or service not known");
    }
    preflight_run(&m.in, &m.out);
    assert_null(finding(&m.out, "names-untold"));
    assert_null(findings_block(&m.out));
    move_deinit(&m);
}

static bool is_clock(const struct ask *a)
{
    return a->probe && a->probe->kind == DROVER__V1__PROBE_KIND__PROBE_CLOCK;
}

/* An agent that hangs is told as such, and nothing is made of what it did not say. */
static void a_silent_agent_is_told_alone(void **state)
{
    (void)state;
    for (unsigned who = 0; who < 3; who++) {
        struct move m;
        move_init(&m);
        move_with_proof(&m);
        const struct fleet_host *hosts[3] = {m.source, m.destination, m.third};
        for (size_t i = 0; i < m.evidence.n; i++)
            if (m.evidence.asks[i].host == hosts[who])
                made_silence(&m.evidence.asks[i], STATUS_DEADLINE_EXCEEDED, "no answer in 3 s");
        preflight_run(&m.in, &m.out);
        assert_int_equal(m.out.n, 1);
        whole(m.out.list[0]);
        assert_string_equal(m.out.list[0]->id, who == 2 ? "export-untraced" : "agent-silent");
        assert_non_null(strstr(m.out.list[0]->todo, "journalctl -u drover-agent"));
        move_deinit(&m);
    }
}

/* Nothing but the clocks is answered: every finding is whole, none is missed, and nothing breaks. */
static void silence_is_told(void **state)
{
    (void)state;
    struct move m;
    move_init(&m);
    move_with_proof(&m);
    for (size_t i = 0; i < m.evidence.n; i++)
        if (!is_clock(&m.evidence.asks[i]))
            made_silence(&m.evidence.asks[i], STATUS_DEADLINE_EXCEEDED, "no answer in 3 s");
    preflight_run(&m.in, &m.out);
    assert_non_null(finding(&m.out, "storage-stale"));
    assert_non_null(finding(&m.out, "libvirt-port"));
    assert_non_null(finding(&m.out, "bridge-unheard"));
    for (size_t i = 0; i < m.out.n; i++)
        whole(m.out.list[i]);
    move_deinit(&m);
}

static void the_mode_follows_the_guest(void **state)
{
    (void)state;
    Drover__V1__Guest g = DROVER__V1__GUEST__INIT;
    g.state = DROVER__V1__GUEST_STATE__GUEST_RUNNING;
    assert_int_equal(preflight_mode(DROVER__V1__MODE__MODE_AUTO, &g), DROVER__V1__MODE__MODE_AUTO);
    assert_int_equal(preflight_mode(DROVER__V1__MODE__MODE_OFFLINE, &g), DROVER__V1__MODE__MODE_OFFLINE);
    assert_int_equal(preflight_mode(DROVER__V1__MODE__MODE_DEFINITION, &g),
                     DROVER__V1__MODE__MODE_DEFINITION);
    g.state = DROVER__V1__GUEST_STATE__GUEST_SHUTOFF;
    assert_int_equal(preflight_mode(DROVER__V1__MODE__MODE_AUTO, &g), DROVER__V1__MODE__MODE_DEFINITION);
    assert_int_equal(preflight_mode(DROVER__V1__MODE__MODE_OFFLINE, &g), DROVER__V1__MODE__MODE_DEFINITION);
    assert_int_equal(preflight_mode(DROVER__V1__MODE__MODE_LIVE, &g), DROVER__V1__MODE__MODE_LIVE);
}

static void each_rule_of_the_operator_is_told(void **state)
{
    (void)state;
    static const char *const seen[] = {"guests[0] in coordinator.yaml pins it to where it is",
                                       "guests[0] in coordinator.yaml names other hosts than kvm2",
                                       "kvm2 has no label ssd", "web2, of the same group db1, is on kvm2"};
    struct move m;
    move_init(&m);
    for (size_t i = 0; i < n_preflight_links; i++)
        if (streq(preflight_links[i].id, "guest-rules"))
            preflight_links[i].spoil(&m);
    preflight_run(&m.in, &m.out);
    size_t n = 0;
    for (size_t i = 0; i < m.out.n; i++)
        if (streq(m.out.list[i]->id, "guest-rules"))
            assert_string_equal(m.out.list[i]->seen, seen[n++]);
    assert_int_equal(n, 4);
    move_deinit(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_rule_of_the_operator_is_told),
        cmocka_unit_test(a_fitting_move_has_no_findings),
        cmocka_unit_test(each_spoiled_thing_is_found),
        cmocka_unit_test(each_spoiled_proof_is_found),
        cmocka_unit_test(another_destination_may_have_the_storage),
        cmocka_unit_test(each_rule_has_a_case),
        cmocka_unit_test(findings_add_up),
        cmocka_unit_test(hosts_without_a_report_break_nothing),
        cmocka_unit_test(a_proven_move_has_no_findings),
        cmocka_unit_test(a_backing_file_that_is_shared_is_no_finding),
        cmocka_unit_test(a_logical_volume_on_the_same_unit_is_no_finding),
        cmocka_unit_test(a_server_may_have_two_addresses),
        cmocka_unit_test(one_of_a_disks_servers_may_be_gone),
        cmocka_unit_test(a_unit_without_a_name_of_its_own_is_known_by_its_place),
        cmocka_unit_test(what_serves_the_disk_well_is_no_finding),
        cmocka_unit_test(media_in_a_hosts_own_drive_are_to_be_ejected),
        cmocka_unit_test(a_read_only_disk_with_the_same_content_is_no_finding),
        cmocka_unit_test(silence_is_told),
        cmocka_unit_test(a_silent_agent_is_told_alone),
        cmocka_unit_test(the_mode_follows_the_guest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
