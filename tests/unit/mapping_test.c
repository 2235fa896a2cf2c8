/* mappings: of sites and hosts, and what they make of names and of guests. */
#include "coordinator/core/mapping.h"

#include "coordinator/core/probe_plan.h"
#include "coordinator/core/relocation.h"
#include "made_proof.h"

#include "common/base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PATH DROVER__V1__MAPPING_KIND__MAPPING_PATH
#define POOL DROVER__V1__MAPPING_KIND__MAPPING_POOL
#define BRIDGE DROVER__V1__MAPPING_KIND__MAPPING_BRIDGE
#define NETWORK DROVER__V1__MAPPING_KIND__MAPPING_NETWORK

static void rule(struct mapping_pair *pair, Drover__V1__MappingKind kind, const char *from, const char *to)
{
    struct error err = {0};
    if (mapping_pair_add(pair, kind, from, to, &err) < 0)
        fail_msg("%s", err.text);
}

static void assert_name(const Drover__V1__Mapping *m, Drover__V1__MappingKind kind, const char *name,
                        const char *there)
{
    char *got = mapping_name(m, kind, name);
    assert_string_equal(got, there);
    free(got);
}

struct two { /* kvm1 in tokyo, kvm2 in osaka */
    struct fleet fleet;
    struct fleet_host *kvm1, *kvm2;
    struct mappings mappings;
};

static void two_init(struct two *t)
{
    *t = (struct two){0};
    fleet_init(&t->fleet);
    fleet_add_host(&t->fleet, "kvm1", "tokyo", "tcp://10.0.0.1:7460");
    fleet_add_host(&t->fleet, "kvm2", "osaka", "tcp://10.0.0.2:7460");
    t->kvm1 = fleet_host(&t->fleet, "kvm1");
    t->kvm2 = fleet_host(&t->fleet, "kvm2");
}

static void two_deinit(struct two *t)
{
    fleet_deinit(&t->fleet);
    mappings_deinit(&t->mappings);
}

static void the_longest_prefix_wins_and_hosts_before_sites(void **state)
{
    (void)state;
    struct two t;
    two_init(&t);
    struct mapping_pair *sites = mappings_add(&t.mappings, "tokyo", "osaka", false, NULL);
    rule(sites, PATH, "/srv", "/data");
    rule(sites, PATH, "/srv/vms/", "/vms/");
    rule(sites, BRIDGE, "br0", "br9");
    struct mapping_pair *hosts = mappings_add(&t.mappings, "kvm1", "kvm2", true, NULL);
    rule(hosts, PATH, "/srv/v", "/own");
    rule(hosts, BRIDGE, "br0", "br1");
    Drover__V1__Mapping *m = mapping_between(&t.mappings, t.kvm1, t.kvm2);
    assert_int_equal(m->n_rules, 5);
    assert_name(m, PATH, "/srv/vms/web1.raw", "/vms/web1.raw");
    assert_name(m, PATH, "/srv/vms", "/vms");
    assert_name(m, PATH, "/srv/vmsx/a", "/data/vmsx/a");
    assert_name(m, PATH, "/srv/v/a", "/own/a");
    assert_name(m, PATH, "/srvx/a", "/srvx/a");
    assert_name(m, BRIDGE, "br0", "br1");
    assert_name(m, BRIDGE, "br", "br");
    assert_name(m, POOL, "/srv", "/srv");
    assert_name(NULL, PATH, "/srv", "/srv");
    drover__v1__mapping__free_unpacked(m, NULL);
    two_deinit(&t);
}

static void a_pair_goes_one_way(void **state)
{
    (void)state;
    struct two t;
    two_init(&t);
    rule(mappings_add(&t.mappings, "tokyo", "osaka", false, NULL), PATH, "/", "/a");
    assert_null(mapping_between(&t.mappings, t.kvm2, t.kvm1));
    assert_null(mapping_between(&t.mappings, t.kvm1, t.kvm1));
    assert_null(mapping_between(NULL, t.kvm1, t.kvm2));
    Drover__V1__Mapping *m = mapping_between(&t.mappings, t.kvm1, t.kvm2);
    assert_name(m, PATH, "/b", "/a/b");
    drover__v1__mapping__free_unpacked(m, NULL);
    rule(mappings_add(&t.mappings, "osaka", "tokyo", false, NULL), PATH, "/a", "/");
    m = mapping_between(&t.mappings, t.kvm2, t.kvm1);
    assert_name(m, PATH, "/a/b", "/b");
    assert_name(m, PATH, "/a", "/");
    drover__v1__mapping__free_unpacked(m, NULL);
    two_deinit(&t);
}

static void bad_rules_are_refused(void **state)
{
    (void)state;
    static const struct {
        Drover__V1__MappingKind kind;
        const char *from, *to, *word;
    } bad[] = {
        {PATH, "srv", "/b", "absolute"},
        {PATH, "/srv", "b", "absolute"},
        {PATH, "/srv//a", "/b", "slashes"},
        {PATH, "/srv/../a", "/b", "'..'"},
        {PATH, "/srv/.", "/b", "'..'"},
        {BRIDGE, "br/0", "br1", "slash"},
        {BRIDGE, "br0", "a-much-too-long-name", "15"},
        {POOL, "", "b", "empty"},
        {PATH, "/taken", "/other", "earlier"},
    };
    struct mappings m = {0};
    struct error err = {0};
    struct mapping_pair *pair = mappings_add(&m, "a", "b", true, NULL);
    rule(pair, PATH, "/taken/", "/somewhere");
    rule(pair, PATH, "/srv/.hidden", "/b");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_true(mapping_pair_add(pair, bad[i].kind, bad[i].from, bad[i].to, &err) < 0);
        if (!strstr(err.text, bad[i].word))
            fail_msg("%s: no '%s' in: %s", bad[i].from, bad[i].word, err.text);
    }
    assert_int_equal(pair->n_rules, 2);
    assert_null(mappings_add(&m, "a", "b", true, &err));
    assert_int_equal(err.code, STATUS_ALREADY_EXISTS);
    assert_non_null(mappings_add(&m, "a", "b", false, &err));
    mappings_deinit(&m);
}

static void add_path(Drover__V1__Guest *g, const char *device, const char *path)
{
    Drover__V1__DevicePath *p = new0(Drover__V1__DevicePath);
    drover__v1__device_path__init(p);
    made_string(&p->device, device);
    made_string(&p->path, path);
    g->paths = xrealloc(g->paths, g->n_paths + 1, sizeof(g->paths[0]));
    g->paths[g->n_paths++] = p;
}

static void a_guest_is_named_as_there(void **state)
{
    (void)state;
    struct two t;
    two_init(&t);
    struct mapping_pair *p = mappings_add(&t.mappings, "kvm1", "kvm2", true, NULL);
    rule(p, PATH, "/srv", "/data");
    rule(p, POOL, "default", "guests");
    rule(p, BRIDGE, "br0", "br1");
    rule(p, NETWORK, "br0", "lan");
    struct fleet made = {0};
    fleet_init(&made);
    Drover__V1__Guest *g = made_guest(made_host(&made, "kvm1"), "web1", UUID_A)->guest;
    made_string(&made_disk(g, "file", "/srv/a.qcow2")->target, "vdb");
    made_disk(g, "volume", "default/a.raw");
    made_disk(g, "network", "/srv/a.raw");
    add_path(g, "kernel", "/srv/vmlinuz");
    add_path(g, "channel org.qemu.guest_agent.0", "/srv/agent.sock");
    made_string(&g->nvram, "/srv/web1.fd");
    Drover__V1__Mapping *m = mapping_between(&t.mappings, t.kvm1, t.kvm2);
    Drover__V1__Guest *there = mapping_guest(m, g);
    assert_string_equal(there->disks[1]->source, "/data/a.qcow2");
    assert_string_equal(there->disks[2]->source, "guests/a.raw");
    assert_string_equal(there->disks[3]->source, "/srv/a.raw");
    assert_string_equal(there->interfaces[0]->source, "br1");
    assert_string_equal(there->paths[0]->path, "/data/vmlinuz");
    assert_string_equal(there->paths[1]->path, "/srv/agent.sock"); /* nobody rewrites it */
    assert_string_equal(there->nvram, "/data/web1.fd");
    assert_string_equal(g->disks[1]->source, "/srv/a.qcow2");
    assert_string_equal(g->nvram, "/srv/web1.fd");
    drover__v1__guest__free_unpacked(there, NULL);
    drover__v1__mapping__free_unpacked(m, NULL);
    fleet_deinit(&made);
    two_deinit(&t);
}

/* ---- of a whole move ---- */

struct whole {
    struct fleet fleet;
    struct fleet_host *source, *destination;
    Drover__V1__Guest *guest;
    struct mappings mappings;
    struct evidence evidence;
    struct preflight in;
    struct findings out;
};

/* web1 from kvm1 (/srv/nfs, br0) to kvm2 (/data, br1), all proven. */
static void whole_init(struct whole *w)
{
    static Drover__V1__Policy policy = DROVER__V1__POLICY__INIT;
    policy.offline = true;
    *w = (struct whole){0};
    fleet_init(&w->fleet);
    made_host(&w->fleet, "kvm1");
    made_host(&w->fleet, "kvm2");
    w->source = fleet_host(&w->fleet, "kvm1");
    w->destination = fleet_host(&w->fleet, "kvm2");
    w->guest = made_guest(w->source, "web1", UUID_A)->guest;
    made_string(&w->guest->disks[0]->type, "file");
    made_string(&w->guest->disks[0]->source, "/srv/nfs/web1.raw");
    made_string(&w->guest->disks[0]->format, "raw");
    made_string(&w->destination->report->bridges[0]->name, "br1");
    w->in = (struct preflight){.fleet = &w->fleet,
                               .source = w->source,
                               .destination = w->destination,
                               .guest = &w->source->guests[0],
                               .mode = DROVER__V1__MODE__MODE_LIVE,
                               .policy = &policy,
                               .evidence = &w->evidence};
}

static void whole_map(struct whole *w)
{
    struct mapping_pair *p = mappings_add(&w->mappings, "kvm1", "kvm2", true, NULL);
    rule(p, PATH, "/srv/nfs", "/data");
    rule(p, BRIDGE, "br0", "br1");
    w->fleet.mappings = &w->mappings;
}

static void whole_deinit(struct whole *w)
{
    findings_deinit(&w->out);
    evidence_deinit(&w->evidence);
    fleet_deinit(&w->fleet);
    mappings_deinit(&w->mappings);
}

static bool blocked_by(const struct findings *f, const char *id)
{
    for (size_t i = 0; i < f->n; i++)
        if (streq(f->list[i]->id, id) && f->list[i]->severity == DROVER__V1__SEVERITY__BLOCK)
            return true;
    return false;
}

static void without_a_mapping_another_bridge_is_refused(void **state)
{
    (void)state;
    struct whole w;
    whole_init(&w);
    made_proof(&w.evidence, &w.fleet, w.source, w.destination, w.guest);
    preflight_run(&w.in, &w.out);
    assert_true(blocked_by(&w.out, "bridge"));
    assert_null(relocation_make(&w.in));
    whole_deinit(&w);
}

static void with_a_mapping_probes_and_rules_look_there(void **state)
{
    (void)state;
    struct whole w;
    whole_init(&w);
    whole_map(&w);
    made_proof(&w.evidence, &w.fleet, w.source, w.destination, w.guest);
    const struct ask *write =
        made_ask(&w.evidence, w.source, DROVER__V1__PROBE_KIND__PROBE_NONCE_WRITE, NULL);
    const struct ask *read =
        made_ask(&w.evidence, w.destination, DROVER__V1__PROBE_KIND__PROBE_NONCE_READ, NULL);
    const struct ask *listen =
        made_ask(&w.evidence, w.destination, DROVER__V1__PROBE_KIND__PROBE_LAYER2_LISTEN, NULL);
    const struct ask *image = made_ask(&w.evidence, w.destination, DROVER__V1__PROBE_KIND__PROBE_IMAGE, NULL);
    assert_string_equal(write->probe->path, "/srv/nfs/web1.raw");
    assert_string_equal(read->probe->path, "/data/web1.raw");
    assert_string_equal(image->probe->path, "/data/web1.raw");
    assert_string_equal(listen->probe->bridge, "br1");
    preflight_run(&w.in, &w.out);
    assert_null(findings_block(&w.out));
    Drover__V1__Relocation *r = relocation_make(&w.in);
    assert_int_equal(r->n_copies, 0);
    Drover__V1__Change **changes;
    size_t n = relocation_changes(&w.in, r, &changes);
    assert_int_equal(n, 2);
    assert_string_equal(changes[0]->subject, "disk vda");
    assert_string_equal(changes[0]->to, "/data/web1.raw");
    assert_string_equal(changes[1]->from, "br0");
    assert_string_equal(changes[1]->to, "br1");
    for (size_t i = 0; i < n; i++)
        drover__v1__change__free_unpacked(changes[i], NULL);
    free(changes);
    drover__v1__relocation__free_unpacked(r, NULL);
    whole_deinit(&w);
}

/* What a guest boots from lies where the mapping says; looked for there, told there, and part of the diff. */
static void files_of_the_boot_are_looked_for_where_they_are_mapped(void **state)
{
    (void)state;
    for (unsigned absent = 0; absent < 2; absent++) {
        struct whole w;
        whole_init(&w);
        whole_map(&w);
        add_path(w.guest, "kernel", "/srv/nfs/vmlinuz");
        made_string(&w.guest->nvram, "/srv/nfs/web1.fd");
        made_proof(&w.evidence, &w.fleet, w.source, w.destination, w.guest);
        Drover__V1__Inspection *seen = made_inspection(&w.evidence, w.destination);
        Drover__V1__PathFacts *kernel = seen->paths[seen->n_paths - 1];
        assert_string_equal(kernel->path, "/data/vmlinuz");
        if (absent)
            made_string(&kernel->kind, "absent");
        preflight_run(&w.in, &w.out);
        assert_int_equal(blocked_by(&w.out, "device-path"), absent);
        Drover__V1__Relocation *r = relocation_make(&w.in);
        Drover__V1__Change **changes;
        size_t n = relocation_changes(&w.in, r, &changes);
        assert_int_equal(n, 4);
        assert_string_equal(changes[1]->subject, "kernel");
        assert_string_equal(changes[1]->from, "/srv/nfs/vmlinuz");
        assert_string_equal(changes[1]->to, "/data/vmlinuz");
        assert_string_equal(changes[2]->subject, "nvram");
        assert_string_equal(changes[2]->to, "/data/web1.fd");
        for (size_t i = 0; i < n; i++)
            drover__v1__change__free_unpacked(changes[i], NULL);
        free(changes);
        drover__v1__relocation__free_unpacked(r, NULL);
        whole_deinit(&w);
    }
}

static void what_is_not_shared_is_copied_if_asked(void **state)
{
    (void)state;
    for (int asked = 0; asked < 2; asked++) {
        struct whole w;
        whole_init(&w);
        whole_map(&w);
        w.in.copy_storage = asked;
        made_proof(&w.evidence, &w.fleet, w.source, w.destination, w.guest);
        made_answer(made_ask(&w.evidence, w.destination, DROVER__V1__PROBE_KIND__PROBE_NONCE_READ, NULL),
                    DROVER__V1__PROBE_OUTCOME__PROBE_REFUTED, "absent", "nothing there");
        struct ask *image = made_ask(&w.evidence, w.source, DROVER__V1__PROBE_KIND__PROBE_IMAGE, NULL);
        image->result->images[0]->actual_size = 4096;
        Drover__V1__PathFacts *there = made_inspection(&w.evidence, w.destination)->paths[0];
        assert_string_equal(there->path, "/data/web1.raw");
        made_string(&there->kind, "absent");
        there->mount->size = there->mount->available = 1 << 30;
        preflight_run(&w.in, &w.out);
        Drover__V1__Relocation *r = relocation_make(&w.in);
        assert_int_equal(blocked_by(&w.out, "storage-not-shared"), !asked);
        assert_int_equal(r->n_copies, asked);
        assert_int_equal(relocation_bytes(r), asked ? 4096 : 0);
        if (asked) {
            assert_null(findings_block(&w.out));
            assert_string_equal(r->copies[0]->from, "/srv/nfs/web1.raw");
            assert_string_equal(r->copies[0]->to, "/data/web1.raw");
            assert_string_equal(r->copies[0]->format, "raw");
            assert_int_equal(r->copies[0]->size, 1 << 20);
        }
        drover__v1__relocation__free_unpacked(r, NULL);
        whole_deinit(&w);
    }
}

/* A copied overlay of 4 KiB on a base of 8 MiB. */
static void a_base_that_the_destination_has_is_not_counted(void **state)
{
    (void)state;
    static const struct {
        uint64_t size_there; /* 0: it is not there */
        uint64_t base_bytes;
        Drover__V1__Mode mode;
        uint64_t bytes;
    } cases[] = {
        {1 << 20, 1 << 20, DROVER__V1__MODE__MODE_LIVE, 4096},
        {0, 1 << 20, DROVER__V1__MODE__MODE_LIVE, 4096 + (8 << 20)},
        {1 << 19, 1 << 19, DROVER__V1__MODE__MODE_LIVE, 4096 + (8 << 20)},    /* another one */
        {1 << 20, 3ULL << 30, DROVER__V1__MODE__MODE_LIVE, 4096 + (8 << 20)}, /* not hashed in time */
        {1 << 20, 1 << 20, DROVER__V1__MODE__MODE_DEFINITION, 4096 + (8 << 20)},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct whole w;
        whole_init(&w);
        whole_map(&w);
        w.in.copy_storage = true;
        w.in.mode = cases[i].mode;
        Drover__V1__Disk *d = w.guest->disks[0];
        made_string(&d->format, "qcow2");
        d->backing = xcalloc(1, sizeof(d->backing[0]));
        d->backing[d->n_backing++] = xstrdup("/srv/nfs/base.qcow2");
        made_proof(&w.evidence, &w.fleet, w.source, w.destination, w.guest);
        made_answer(made_ask(&w.evidence, w.destination, DROVER__V1__PROBE_KIND__PROBE_NONCE_READ, NULL),
                    DROVER__V1__PROBE_OUTCOME__PROBE_REFUTED, "absent", "nothing there");
        Drover__V1__ProbeResult *image =
            made_ask(&w.evidence, w.source, DROVER__V1__PROBE_KIND__PROBE_IMAGE, NULL)->result;
        Drover__V1__ImageFacts *base = new0(Drover__V1__ImageFacts);
        drover__v1__image_facts__init(base);
        made_string(&base->name, "/srv/nfs/base.qcow2");
        base->virtual_size = 1 << 20;
        base->actual_size = 8 << 20;
        image->images = xrealloc(image->images, 2, sizeof(image->images[0]));
        image->images[image->n_images++] = base;
        image->images[0]->actual_size = 4096;
        image->images[0]->virtual_size = 1 << 30;
        Drover__V1__Inspection *seen = made_inspection(&w.evidence, w.destination);
        assert_string_equal(seen->paths[1]->path, "/data/base.qcow2");
        made_string(&seen->paths[1]->kind, cases[i].size_there ? "file" : "absent");
        seen->paths[1]->virtual_size = cases[i].size_there;
        seen->paths[1]->size = cases[i].base_bytes;
        made_string(&seen->paths[0]->kind, "absent");
        seen->paths[0]->mount->size = 1ULL << 40;
        seen->paths[0]->mount->available = 1 << 20; /* for the overlay only */
        preflight_run(&w.in, &w.out);
        assert_int_equal(blocked_by(&w.out, "copy-space"), cases[i].bytes > 1 << 20);
        Drover__V1__Relocation *r = relocation_make(&w.in);
        assert_int_equal(relocation_bytes(r), cases[i].bytes);
        drover__v1__relocation__free_unpacked(r, NULL);
        whole_deinit(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_prefix_wins_and_hosts_before_sites),
        cmocka_unit_test(a_pair_goes_one_way),
        cmocka_unit_test(bad_rules_are_refused),
        cmocka_unit_test(a_guest_is_named_as_there),
        cmocka_unit_test(without_a_mapping_another_bridge_is_refused),
        cmocka_unit_test(with_a_mapping_probes_and_rules_look_there),
        cmocka_unit_test(files_of_the_boot_are_looked_for_where_they_are_mapped),
        cmocka_unit_test(what_is_not_shared_is_copied_if_asked),
        cmocka_unit_test(a_base_that_the_destination_has_is_not_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
