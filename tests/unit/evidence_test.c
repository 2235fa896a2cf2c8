/* What is asked when: the order of steps, what is skipped, and that what was made is always told to go. */
#include "coordinator/core/probe_plan.h"
#include "made_proof.h"

#include "common/base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define KIND(k) DROVER__V1__PROBE_KIND__PROBE_##k

struct world {
    struct fleet fleet;
    struct fleet_host *source, *destination, *third;
    Drover__V1__Guest *guest;
    struct evidence evidence;
};

static void world_init(struct world *w)
{
    *w = (struct world){0};
    fleet_init(&w->fleet);
    made_host(&w->fleet, "kvm1");
    made_host(&w->fleet, "kvm2");
    made_host(&w->fleet, "export1")->report->storage = true;
    w->source = &w->fleet.hosts[0];
    w->destination = &w->fleet.hosts[1];
    w->third = &w->fleet.hosts[2];
    w->guest = made_guest(w->source, "web1", UUID_A)->guest;
    made_string(&w->guest->disks[0]->type, "file");
    made_string(&w->guest->disks[0]->source, "/srv/nfs/web1.raw");
    plan_check(&w->evidence, &w->fleet, w->source, w->destination, w->guest, DROVER__V1__MODE__MODE_LIVE);
}

static void world_deinit(struct world *w)
{
    evidence_deinit(&w->evidence);
    fleet_deinit(&w->fleet);
}

static struct ask *ask(struct world *w, const struct fleet_host *host, Drover__V1__ProbeKind kind)
{
    return made_ask(&w->evidence, host, kind, NULL);
}

static void answer(struct ask *a, Drover__V1__ProbeOutcome outcome)
{
    a->sent_us = a->answered_us = 1;
    a->state = ASK_ANSWERED;
    a->result = new0(Drover__V1__ProbeResult);
    drover__v1__probe_result__init(a->result);
    a->result->outcome = outcome;
}

static void steps_wait_for_the_one_before(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    assert_true(evidence_advance(&w.evidence));
    assert_int_equal(ask(&w, w.source, KIND(NONCE_WRITE))->state, ASK_DUE);
    assert_int_equal(ask(&w, w.destination, KIND(NONCE_READ))->state, ASK_NEW);
    assert_int_equal(ask(&w, w.destination, KIND(LAYER2_LISTEN))->state, ASK_DUE);
    assert_int_equal(ask(&w, w.source, KIND(LAYER2_SEND))->state, ASK_DUE);

    struct ask *write = ask(&w, w.source, KIND(NONCE_WRITE));
    answer(write, DROVER__V1__PROBE_OUTCOME__PROBE_PROVEN);
    write->result->path = new0(Drover__V1__PathFacts);
    drover__v1__path_facts__init(write->result->path);
    made_string(&write->result->path->relative, "vms");
    assert_true(evidence_advance(&w.evidence));
    assert_int_equal(ask(&w, w.destination, KIND(NONCE_READ))->state, ASK_DUE);
    assert_int_equal(ask(&w, w.third, KIND(NONCE_FIND))->state, ASK_DUE);
    assert_string_equal(ask(&w, w.third, KIND(NONCE_FIND))->probe->relative, "vms");
    assert_int_equal(ask(&w, w.source, KIND(NONCE_REMOVE))->state, ASK_NEW);

    answer(ask(&w, w.destination, KIND(NONCE_READ)), DROVER__V1__PROBE_OUTCOME__PROBE_REFUTED);
    answer(ask(&w, w.third, KIND(NONCE_FIND)), DROVER__V1__PROBE_OUTCOME__PROBE_REFUTED);
    evidence_advance(&w.evidence);
    assert_int_equal(ask(&w, w.source, KIND(NONCE_REMOVE))->state, ASK_DUE);
    world_deinit(&w);
}

/* A write that failed half-way may have left something; nobody looks for it, and it is removed. */
static void what_may_have_been_made_is_undone(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    evidence_advance(&w.evidence);
    answer(ask(&w, w.source, KIND(NONCE_WRITE)), DROVER__V1__PROBE_OUTCOME__PROBE_UNDECIDED);
    answer(ask(&w, w.destination, KIND(PORT_OPEN)), DROVER__V1__PROBE_OUTCOME__PROBE_PROVEN);
    ask(&w, w.destination, KIND(PORT_OPEN))->result->port = 49160;
    evidence_advance(&w.evidence);
    assert_int_equal(ask(&w, w.destination, KIND(NONCE_READ))->state, ASK_SKIPPED);
    assert_int_equal(ask(&w, w.source, KIND(NONCE_REMOVE))->state, ASK_DUE);
    assert_int_equal(ask(&w, w.source, KIND(PORT_CONNECT))->state, ASK_DUE);
    assert_int_equal(ask(&w, w.source, KIND(PORT_CONNECT))->probe->port, 49160);
    assert_int_equal(ask(&w, w.destination, KIND(PORT_CLOSE))->state, ASK_NEW);
    world_deinit(&w);
}

/* Nothing was sent, so nothing needs to go. */
static void what_was_never_made_is_not_undone(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    evidence_advance(&w.evidence);
    struct ask *write = ask(&w, w.source, KIND(NONCE_WRITE));
    write->state = ASK_FAILED;
    evidence_advance(&w.evidence);
    assert_int_equal(ask(&w, w.source, KIND(NONCE_REMOVE))->state, ASK_SKIPPED);
    world_deinit(&w);
}

static void the_listener_ends_the_sender(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    evidence_advance(&w.evidence);
    ask(&w, w.source, KIND(LAYER2_SEND))->state = ASK_SENT;
    answer(ask(&w, w.destination, KIND(LAYER2_LISTEN)), DROVER__V1__PROBE_OUTCOME__PROBE_PROVEN);
    evidence_advance(&w.evidence);
    assert_int_equal(ask(&w, w.source, KIND(LAYER2_SEND))->state, ASK_ENOUGH);
    world_deinit(&w);
}

/* A guest that is shut off needs no ports; media get no nonce; hosts that are down aren't asked. */
static void what_is_not_needed_is_not_asked(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    evidence_deinit(&w.evidence);
    made_string(&w.guest->disks[0]->device, "cdrom");
    plan_check(&w.evidence, &w.fleet, w.source, w.destination, w.guest, DROVER__V1__MODE__MODE_DEFINITION);
    assert_null(evidence_probe(&w.evidence, w.destination, KIND(PORT_OPEN), NULL));
    assert_null(evidence_probe(&w.evidence, w.source, KIND(NONCE_WRITE), NULL));
    assert_non_null(evidence_probe(&w.evidence, w.destination, KIND(IMAGE), NULL));
    evidence_deinit(&w.evidence);
    fleet_session(w.destination, false, 5, "lost");
    plan_check(&w.evidence, &w.fleet, w.source, w.destination, w.guest, DROVER__V1__MODE__MODE_LIVE);
    assert_int_equal(w.evidence.n, 0);
    world_deinit(&w);
}

static void urls_are_as_qemu_names_them(void **state)
{
    (void)state;
    static const struct {
        const char *protocol, *host, *source, *url;
        uint32_t port;
    } cases[] = {
        {"nfs", "10.0.0.20", "/srv/nfs/a.raw", "nfs://10.0.0.20/srv/nfs/a.raw", 0},
        {"iscsi", "10.0.0.20", "iqn.2026-01.lab:a/1", "iscsi://10.0.0.20:3260/iqn.2026-01.lab:a/1", 3260},
        {"iscsi", "fd00::20", "iqn.2026-01.lab:a/1", "iscsi://[fd00::20]:3260/iqn.2026-01.lab:a/1", 3260},
        {"nbd", "h", "disk", "nbd://h:10809/disk", 10809},
        {"rbd", "", "pool/image", "rbd:pool/image", 0},
        {"rbd", "mon1", "pool/image", "rbd:pool/image:mon_host=mon1\\:6789", 6789},
        {"rbd", "fd00::20", "pool/image", "rbd:pool/image:mon_host=[fd00\\:\\:20]", 0},
        {"ssh", "h", "/a", NULL, 0},
        {"nfs", "", "/a", NULL, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        Drover__V1__Disk d = DROVER__V1__DISK__INIT;
        d.protocol = (char *)cases[i].protocol;
        d.source_host = (char *)cases[i].host;
        d.source = (char *)cases[i].source;
        d.source_port = cases[i].port;
        char *url = disk_url(&d);
        if (cases[i].url)
            assert_string_equal(url, cases[i].url);
        else
            assert_null(url);
        free(url);
    }
}

/* Without /etc/ceph only the definition tells where the cluster is. */
static void all_monitors_are_named(void **state)
{
    (void)state;
    Drover__V1__DiskHost second = DROVER__V1__DISK_HOST__INIT, *more[1] = {&second};
    Drover__V1__Disk d = DROVER__V1__DISK__INIT;
    second.name = (char *)"mon2";
    second.port = 3300;
    d.type = (char *)"network";
    d.protocol = (char *)"rbd";
    d.source = (char *)"pool/image";
    d.source_host = (char *)"mon1";
    d.more_hosts = more;
    d.n_more_hosts = 1;
    char *url = disk_url(&d);
    assert_string_equal(url, "rbd:pool/image:mon_host=mon1\\;mon2\\:3300");
    free(url);
    assert_string_equal(disk_server(&d, 0), "mon1");
    assert_string_equal(disk_server(&d, 1), "mon2");
    assert_null(disk_server(&d, 2));
    d.source_host = (char *)"/run/socket";
    assert_null(disk_server(&d, 0));
}

/* A pool may be another directory at each host: each is asked about its own. */
static void a_volume_is_looked_at_where_each_host_has_its_pool(void **state)
{
    (void)state;
    struct fleet fleet;
    fleet_init(&fleet);
    made_pool(made_host(&fleet, "kvm1")->report, "images", "dir", "/srv/here");
    made_pool(made_host(&fleet, "kvm2")->report, "images", "netfs", "/srv/there");
    Drover__V1__Guest *g = made_guest(&fleet.hosts[0], "web1", UUID_A)->guest;
    made_string(&made_disk(g, "volume", "images/web1.raw")->target, "vdb");
    struct evidence e = {0};
    plan_check(&e, &fleet, &fleet.hosts[0], &fleet.hosts[1], g, DROVER__V1__MODE__MODE_LIVE);
    static const char *const paths[] = {"/srv/here/web1.raw", "/srv/there/web1.raw"};
    for (unsigned i = 0; i < 2; i++) {
        const struct ask *image =
            evidence_probe(&e, &fleet.hosts[i], DROVER__V1__PROBE_KIND__PROBE_IMAGE, "vdb");
        assert_non_null(image);
        assert_string_equal(image->probe->path, paths[i]);
    }
    evidence_deinit(&e);
    fleet_deinit(&fleet);
}

static const char *const initiators[] = {"iqn.2008-11.org.linux-kvm:" UUID_A, "iqn.2026-01.lab:chosen"};

static Drover__V1__Disk *add_unit(Drover__V1__Guest *g, const char *target)
{
    Drover__V1__Disk *d = made_disk(g, "network", "iqn.2026-01.lab:one/1");
    made_string(&d->target, target);
    made_string(&d->protocol, "iscsi");
    made_string(&d->source_host, "10.0.0.20");
    return d;
}

/* Else a target that is open to the guests only would refuse the proof. */
static void probes_log_in_as_qemu_does(void **state)
{
    (void)state;
    static const char *const targets[] = {"vdb", "vdc"};
    struct world w;
    world_init(&w);
    add_unit(w.guest, "vdb");
    made_string(&add_unit(w.guest, "vdc")->initiator, initiators[1]);
    struct evidence e = {0};
    plan_check(&e, &w.fleet, w.source, w.destination, w.guest, DROVER__V1__MODE__MODE_LIVE);
    for (unsigned i = 0; i < 4; i++) {
        const struct fleet_host *host = i % 2 ? w.source : w.destination;
        assert_string_equal(made_ask(&e, host, KIND(IMAGE), targets[i / 2])->probe->initiator,
                            initiators[i / 2]);
        assert_string_equal(made_ask(&e, host, KIND(ISCSI_IDENTITY), targets[i / 2])->probe->initiator,
                            initiators[i / 2]);
    }
    assert_string_equal(made_ask(&e, w.source, KIND(IMAGE), "vda")->probe->initiator, "");
    evidence_deinit(&e);
    world_deinit(&w);
}

static void append_lun(Drover__V1__Inspection *seen, const char *transport, const char *initiator)
{
    Drover__V1__Lun *l = new0(Drover__V1__Lun);
    drover__v1__lun__init(l);
    made_string(&l->transport, transport);
    made_string(&l->initiator, initiator);
    seen->luns = xrealloc(seen->luns, seen->n_luns + 1, sizeof(seen->luns[0]));
    seen->luns[seen->n_luns++] = l;
}

/* A target's ACL may have any of the names that a host logs in with. */
static void an_export_node_is_told_all_initiators_of_a_host(void **state)
{
    (void)state;
    static const char *const names[] = {"iqn.1994-05.com.redhat:kvm1", "iqn.2026-01.lab:iface",
                                        "iqn.2000-04.com.qlogic:hba", "iqn.2008-11.org.linux-kvm:" UUID_A};
    struct world w;
    world_init(&w);
    add_unit(w.guest, "vdb");
    evidence_deinit(&w.evidence);
    plan_check(&w.evidence, &w.fleet, w.source, w.destination, w.guest, DROVER__V1__MODE__MODE_LIVE);
    evidence_advance(&w.evidence);
    for (size_t i = 0; i < w.evidence.n; i++) {
        struct ask *a = &w.evidence.asks[i];
        if (!a->inspect || a->state != ASK_DUE)
            continue;
        Drover__V1__Inspection *seen = a->inspection = new0(Drover__V1__Inspection);
        drover__v1__inspection__init(seen);
        seen->host = new0(Drover__V1__HostFacts);
        drover__v1__host_facts__init(seen->host);
        made_string(&seen->host->initiator, names[0]);
        append_lun(seen, "iscsi", names[1]);
        append_lun(seen, "iscsi", names[0]);
        append_lun(seen, "fc", "0x21000024ff000001");
        seen->adapters = xcalloc(2, sizeof(seen->adapters[0]));
        for (; seen->n_adapters < 2; seen->n_adapters++) {
            Drover__V1__Adapter *adapter = seen->adapters[seen->n_adapters] = new0(Drover__V1__Adapter);
            drover__v1__adapter__init(adapter);
            made_string(&adapter->transport, "iscsi");
            made_string(&adapter->port_name, seen->n_adapters ? names[2] : "(null)");
        }
        a->sent_us = a->answered_us = 1;
        a->state = ASK_ANSWERED;
    }
    evidence_advance(&w.evidence);
    const struct ask *exports = evidence_inspect(&w.evidence, w.third);
    assert_int_equal(exports->inspect->n_clients, 2);
    const Drover__V1__InspectClient *c = exports->inspect->clients[0];
    assert_int_equal(c->n_initiators, 4);
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(c->initiators[i], names[i]);
    world_deinit(&w);
}

/* Disks of one template; and chains that are longer than what an agent takes at once. */
static void each_path_is_asked_once_and_backing_files_not_beyond_the_limit(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    made_string(&made_disk(w.guest, "file", "/srv/nfs/data.raw")->target, "vdb");
    for (size_t d = 0; d < 2; d++) {
        Drover__V1__Disk *disk = w.guest->disks[d];
        disk->backing = xcalloc(400, sizeof(disk->backing[0]));
        for (; disk->n_backing < 400; disk->n_backing++)
            disk->backing[disk->n_backing] = disk->n_backing
                                                 ? xasprintf("/srv/nfs/%zu-%zu.qcow2", d, disk->n_backing)
                                                 : xstrdup("/srv/nfs/base.qcow2");
    }
    struct evidence e = {0};
    plan_check(&e, &w.fleet, w.source, w.destination, w.guest, DROVER__V1__MODE__MODE_LIVE);
    const Drover__V1__InspectRequest *q = NULL;
    for (size_t i = 0; i < e.n && !q; i++)
        if (e.asks[i].host == w.destination)
            q = e.asks[i].inspect;
    assert_non_null(q);
    assert_int_equal(q->n_paths, INSPECT_PATHS);
    assert_string_equal(q->paths[1], "/srv/nfs/data.raw");
    for (size_t i = 0; i < q->n_paths; i++)
        for (size_t k = i + 1; k < q->n_paths; k++)
            assert_string_not_equal(q->paths[i], q->paths[k]);
    evidence_deinit(&e);
    world_deinit(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_wait_for_the_one_before),
        cmocka_unit_test(what_may_have_been_made_is_undone),
        cmocka_unit_test(what_was_never_made_is_not_undone),
        cmocka_unit_test(the_listener_ends_the_sender),
        cmocka_unit_test(what_is_not_needed_is_not_asked),
        cmocka_unit_test(urls_are_as_qemu_names_them),
        cmocka_unit_test(all_monitors_are_named),
        cmocka_unit_test(a_volume_is_looked_at_where_each_host_has_its_pool),
        cmocka_unit_test(probes_log_in_as_qemu_does),
        cmocka_unit_test(an_export_node_is_told_all_initiators_of_a_host),
        cmocka_unit_test(each_path_is_asked_once_and_backing_files_not_beyond_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
