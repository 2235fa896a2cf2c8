#include "coordinator/core/preflight.h"

#include "common/base/memory.h"
#include "coordinator_made.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A move of web1 from kvm1 to kvm2 in which everything fits; kvm3 stands by. */
struct move {
    struct fleet fleet;
    struct fleet_host *source, *destination, *third;
    Drover__V1__Guest *guest;
    Drover__V1__HostReport *from, *to;
    Drover__V1__Policy policy;
    struct preflight in;
    struct findings out;
};

static void move_init(struct move *m)
{
    *m = (struct move){0};
    fleet_init(&m->fleet);
    made_host(&m->fleet, "kvm1");
    made_host(&m->fleet, "kvm2");
    made_host(&m->fleet, "kvm3");
    m->source = &m->fleet.hosts[0];
    m->destination = &m->fleet.hosts[1];
    m->third = &m->fleet.hosts[2];
    m->from = m->source->report;
    m->to = m->destination->report;
    drover__v1__policy__init(&m->policy);
    struct fleet_guest *guest = made_guest(m->source, "web1", UUID_A);
    m->guest = guest->guest;
    m->in = (struct preflight){
        .fleet = &m->fleet,
        .source = m->source,
        .destination = m->destination,
        .guest = guest,
        .mode = DROVER__V1__MODE__MODE_LIVE,
        .policy = &m->policy,
    };
}

static void move_deinit(struct move *m)
{
    findings_deinit(&m->out);
    fleet_deinit(&m->fleet);
}

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

/* Each case spoils one thing, and names the finding that must come of it. */
#define SPOIL(name) static void name(struct move *m)

SPOIL(destination_down)
{
    fleet_session(m->destination, false, 5, "connection refused");
}
SPOIL(source_down)
{
    fleet_session(m->source, false, 5, "connection refused");
}
SPOIL(not_told)
{
    m->destination->synced = false;
}
SPOIL(storage_node)
{
    m->to->hypervisor = false;
}
SPOIL(libvirt_down)
{
    m->to->libvirt_up = false;
    made_string(&m->to->libvirt_error, "Failed to connect socket");
}
SPOIL(itself)
{
    m->in.destination = m->source;
}
SPOIL(equal_host_uuids)
{
    made_string(&m->to->host_uuid, m->from->host_uuid);
}
SPOIL(other_agent)
{
    made_string(&m->to->agent_version, "0.0.9");
}
SPOIL(older_libvirt)
{
    m->to->libvirt_version = 8010000;
}
SPOIL(older_qemu)
{
    m->to->qemu_version = 6002000;
}
SPOIL(job_open)
{
    m->in.open_job = 12;
}
SPOIL(held_by_agent)
{
    made_string(&m->guest->transaction, UUID_B);
}
SPOIL(libvirt_job)
{
    m->guest->job = true;
}
SPOIL(paused)
{
    m->guest->state = DROVER__V1__GUEST_STATE__GUEST_PAUSED;
}
SPOIL(off_but_live)
{
    m->guest->state = DROVER__V1__GUEST_STATE__GUEST_SHUTOFF;
}
SPOIL(running_but_definition)
{
    m->in.mode = DROVER__V1__MODE__MODE_DEFINITION;
}
SPOIL(post_copy)
{
    m->in.mode = DROVER__V1__MODE__MODE_POST_COPY;
}
SPOIL(twice)
{
    made_guest(m->third, "web1", UUID_A);
}
SPOIL(defined_elsewhere)
{
    made_guest(m->third, "web1", UUID_A)->guest->state = DROVER__V1__GUEST_STATE__GUEST_SHUTOFF;
}
SPOIL(remembered)
{
    made_guest(m->third, "web1", UUID_A);
    fleet_session(m->third, false, 5, "lost");
}
static void add_hostdev(Drover__V1__Guest *guest)
{
    guest->hostdevs = xcalloc(1, sizeof(char *));
    guest->hostdevs[guest->n_hostdevs++] = xstrdup("PCI 0000:3b:00.0");
}
SPOIL(passed_device)
{
    add_hostdev(m->guest);
}
SPOIL(with_snapshots)
{
    m->guest->snapshots = 2;
}
SPOIL(with_checkpoints)
{
    m->guest->checkpoints = 1;
}
static void at_rest(struct move *m)
{
    m->guest->state = DROVER__V1__GUEST_STATE__GUEST_SHUTOFF;
    m->in.mode = DROVER__V1__MODE__MODE_DEFINITION;
}
SPOIL(off_with_device)
{
    at_rest(m);
    add_hostdev(m->guest);
}
SPOIL(saved)
{
    at_rest(m);
    m->guest->managed_save = true;
}
SPOIL(variables)
{
    at_rest(m);
    made_string(&m->guest->nvram, "/var/lib/libvirt/qemu/nvram/web1.fd");
}
SPOIL(same_name)
{
    made_guest(m->destination, "web1", UUID_B);
}
SPOIL(same_uuid)
{
    made_guest(m->destination, "web1", UUID_A)->guest->state = DROVER__V1__GUEST_STATE__GUEST_SHUTOFF;
}
SPOIL(no_remote)
{
    made_string(&m->to->libvirt_remote, "");
}
SPOIL(deaf_tcp)
{
    m->to->listening->tcp = false;
}
SPOIL(deaf_tls)
{
    made_string(&m->to->libvirt_remote, "qemu+tls://kvm2/system");
}
SPOIL(no_address)
{
    made_string(&m->to->migration_address, "");
}
SPOIL(wildcard_address)
{
    made_string(&m->to->migration_address, "0.0.0.0");
}
SPOIL(full)
{
    m->to->memory_free = 4 * GIB;
}
SPOIL(reserved)
{
    m->to->memory_reserved = 45 * GIB;
}
SPOIL(promised)
{
    m->in.promised = 45 * GIB;
}
SPOIL(full_for_later)
{
    at_rest(m);
    m->to->memory_free = GIB;
}
SPOIL(overcommitted)
{
    m->to->memory_guests = 61 * GIB;
}
SPOIL(few_cpus)
{
    m->to->cpu->online = 1;
}
SPOIL(no_kvm)
{
    made_string(&m->to->accelerators[0], "none");
}
SPOIL(no_tcg)
{
    made_string(&m->guest->type, "qemu");
    made_string(&m->to->accelerators[1], "none");
}
SPOIL(other_arch)
{
    made_string(&m->to->cpu->arch, "aarch64");
}
SPOIL(unknown_machine)
{
    made_string(&m->guest->machine, "pc-i440fx-8.0");
}
SPOIL(other_cpu)
{
    made_string(&m->guest->cpu_mode, "host-passthrough");
    made_string(&m->to->cpu->model, "Broadwell");
}
SPOIL(no_bridge)
{
    made_string(&m->guest->interfaces[0]->source, "br9");
}
SPOIL(no_network)
{
    made_string(&m->guest->interfaces[0]->type, "network");
    made_string(&m->guest->interfaces[0]->source, "lab");
}
SPOIL(network_off)
{
    made_string(&m->guest->interfaces[0]->type, "network");
    made_string(&m->guest->interfaces[0]->source, "default");
    m->to->networks[0]->active = false;
}
SPOIL(macvtap)
{
    made_string(&m->guest->interfaces[0]->type, "direct");
}
SPOIL(no_pool)
{
    made_disk(m->guest, "volume", "images/web1.qcow2");
}
SPOIL(local_file)
{
    made_disk(m->guest, "file", "/var/lib/libvirt/images/web1.qcow2");
}
SPOIL(shared_at_source_only)
{
    made_disk(m->guest, "file", "/srv/vms/web1.qcow2");
    made_pool(m->from, "vms", "netfs", "/srv/vms");
    made_pool(m->to, "vms", "dir", "/srv/vms");
}
SPOIL(look_alike_path)
{
    made_disk(m->guest, "file", "/srv/vms2/web1.qcow2");
    made_pool(m->from, "vms", "netfs", "/srv/vms");
    made_pool(m->to, "vms", "netfs", "/srv/vms");
}

#define W DROVER__V1__SEVERITY__WARN
#define B DROVER__V1__SEVERITY__BLOCK

static const struct spoiled {
    void (*spoil)(struct move *m);
    const char *id;
    const char *word; /* in what was seen, or in the subject */
    enum {
        MORE,   /* findings than this one */
        ONLY,   /* this one, and what hides others */
        JOINED, /* only this one, and others can come beside it */
    } how;
    Drover__V1__Severity severity;
} cases[] = {
    {destination_down, "host-up", "connection refused", MORE, B},
    {source_down, "host-up", "connection refused", MORE, B},
    {not_told, "host-told", "not told", MORE, B},
    {storage_node, "host-role", "hypervisor", ONLY, B},
    {libvirt_down, "libvirt-up", "Failed to connect socket", ONLY, B},
    {itself, "same-host", "already", MORE, B},
    {equal_host_uuids, "host-uuid", "kvm1", JOINED, B},
    {other_agent, "agent-version", "0.0.9", JOINED, W},
    {older_libvirt, "libvirt-version", "8.10.0", JOINED, W},
    {older_qemu, "qemu-version", "6.2.0", JOINED, W},
    {job_open, "guest-busy", "job 12", JOINED, B},
    {held_by_agent, "guest-busy", UUID_B, JOINED, B},
    {libvirt_job, "guest-busy", "libvirt", JOINED, B},
    {paused, "guest-state", "paused", JOINED, B},
    {off_but_live, "guest-state", "shut off", MORE, B},
    {running_but_definition, "guest-state", "running", MORE, B},
    {post_copy, "mode-allowed", "post-copy", JOINED, B},
    {twice, "guest-elsewhere", "kvm3", MORE, B},
    {defined_elsewhere, "guest-remembered", "kvm3", MORE, W},
    {remembered, "guest-remembered", "kvm3", MORE, W},
    {passed_device, "host-device", "3b:00.0", JOINED, B},
    {off_with_device, "host-device-defined", "3b:00.0", MORE, W},
    {with_snapshots, "snapshots", "2 snapshots", JOINED, B},
    {with_checkpoints, "checkpoints", "1 checkpoint", JOINED, B},
    {saved, "managed-save", "kvm1", MORE, B},
    {variables, "firmware-variables", "web1.fd", MORE, B},
    {same_name, "name-free", UUID_B, JOINED, B},
    {same_uuid, "uuid-free", "UUID already: web1", JOINED, B},
    {no_remote, "listening", "no way", MORE, B},
    {deaf_tcp, "listening", "TCP", MORE, B},
    {deaf_tls, "listening", "TLS", MORE, B},
    {no_address, "migration-address", "no address", JOINED, B},
    {wildcard_address, "migration-address", "0.0.0.0", JOINED, B},
    {full, "memory-free", "4096 MiB", JOINED, B},
    {reserved, "memory-free", "beside", JOINED, B},
    {promised, "memory-free", "beside", JOINED, B},
    {full_for_later, "memory-to-start", "1024 MiB", MORE, W},
    {overcommitted, "memory-overcommit", "66560 MiB", JOINED, W},
    {few_cpus, "vcpus", "1 logical", JOINED, W},
    {no_kvm, "accelerator", "tcg", MORE, B},
    {no_tcg, "accelerator", "kvm", MORE, B},
    {other_arch, "arch", "aarch64", MORE, B},
    {unknown_machine, "machine-type", "pc-i440fx-8.0", JOINED, B},
    {other_cpu, "cpu-model", "Broadwell", JOINED, W},
    {no_bridge, "bridge", "br9", MORE, B},
    {no_network, "network", "lab", MORE, B},
    {network_off, "network", "default", MORE, B},
    {macvtap, "interface-kind", "direct", MORE, W},
    {no_pool, "storage-pool", "images", JOINED, B},
    {local_file, "storage-unproven", "images/web1.qcow2", JOINED, W},
    {shared_at_source_only, "storage-unproven", "/srv/vms/", MORE, W},
    {look_alike_path, "storage-unproven", "/srv/vms2/", MORE, W},
};
enum { N_CASES = sizeof(cases) / sizeof(cases[0]) };

static void whole(const Drover__V1__Finding *f)
{
    if (!f->subject[0] || !f->seen[0] || !f->expected[0] || !f->todo[0])
        fail_msg("finding %s (%s) leaves something out", f->id, f->subject);
}

static void each_spoiled_thing_is_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_CASES; i++) {
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
            fail_msg("case %zu (%s): %zu findings, expected one", i, cases[i].id, m.out.n);
        move_deinit(&m);
    }
}

static void each_rule_has_a_case(void **state)
{
    (void)state;
    for (size_t r = 0; preflight_rule_id(r); r++) {
        bool tried = false;
        for (size_t i = 0; i < N_CASES; i++)
            tried = tried || streq(cases[i].id, preflight_rule_id(r));
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
        bool used[N_CASES] = {0};
        move_init(&m);
        for (size_t i = 0; i < N_CASES; i++) {
            bool same_id = false;
            for (size_t j = 0; j < i; j++)
                same_id = same_id || (used[j] && streq(cases[i].id, cases[j].id));
            used[i] = cases[i].how == JOINED && !same_id && rand_r(&rng) % 3 == 0;
            if (used[i])
                cases[i].spoil(&m);
        }
        preflight_run(&m.in, &m.out);
        for (size_t i = 0; i < N_CASES; i++)
            if (used[i] && !finding(&m.out, cases[i].id))
                fail_msg("seed %u: %s was lost among the others", seed, cases[i].id);
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

static void shared_pools_are_no_finding(void **state)
{
    (void)state;
    struct move m;
    move_init(&m);
    made_disk(m.guest, "file", "/srv/vms/web1.qcow2");
    made_disk(m.guest, "file", "");
    made_pool(m.from, "vms", "netfs", "/srv/vms");
    made_pool(m.to, "other-name", "gluster", "/srv/vms/");
    preflight_run(&m.in, &m.out);
    assert_null(finding(&m.out, "storage-unproven"));
    move_deinit(&m);
}

static void the_mode_follows_the_guest(void **state)
{
    (void)state;
    Drover__V1__Guest g = DROVER__V1__GUEST__INIT;
    g.state = DROVER__V1__GUEST_STATE__GUEST_RUNNING;
    assert_int_equal(preflight_mode(DROVER__V1__MODE__MODE_AUTO, &g), DROVER__V1__MODE__MODE_LIVE);
    assert_int_equal(preflight_mode(DROVER__V1__MODE__MODE_OFFLINE, &g), DROVER__V1__MODE__MODE_OFFLINE);
    assert_int_equal(preflight_mode(DROVER__V1__MODE__MODE_DEFINITION, &g),
                     DROVER__V1__MODE__MODE_DEFINITION);
    g.state = DROVER__V1__GUEST_STATE__GUEST_SHUTOFF;
    assert_int_equal(preflight_mode(DROVER__V1__MODE__MODE_AUTO, &g), DROVER__V1__MODE__MODE_DEFINITION);
    assert_int_equal(preflight_mode(DROVER__V1__MODE__MODE_OFFLINE, &g), DROVER__V1__MODE__MODE_DEFINITION);
    assert_int_equal(preflight_mode(DROVER__V1__MODE__MODE_LIVE, &g), DROVER__V1__MODE__MODE_LIVE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fitting_move_has_no_findings),
        cmocka_unit_test(each_spoiled_thing_is_found),
        cmocka_unit_test(each_rule_has_a_case),
        cmocka_unit_test(findings_add_up),
        cmocka_unit_test(hosts_without_a_report_break_nothing),
        cmocka_unit_test(shared_pools_are_no_finding),
        cmocka_unit_test(the_mode_follows_the_guest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
