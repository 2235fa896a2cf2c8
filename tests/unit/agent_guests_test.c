/* The connection and the table of guests, on libvirt's test driver: a real libvirt client whose hypervisor is inside of the
 * process, with events. Its default host has one running guest, "test". */
#include "agent/io/guest_xml.h"
#include "agent/io/guests.h"
#include "agent/io/host_pools.h"
#include "common/base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { DEADLINE_MS = 20000 };

struct fixture {
    struct loop *loop;
    struct workers *workers;
    struct libvirt *libvirt;
    struct guests *guests;
    struct loop_timer *deadline;
    const char *transaction;

    /* What has been told, and what is waited for. */
    int changes, gones, syncs;
    char last_gone[64];
    bool (*until)(struct fixture *f);
};

static void check(struct fixture *f)
{
    if (f->until && f->until(f)) {
        f->until = NULL;
        loop_stop(f->loop, 0);
    }
}

static void changed(void *arg, const Drover__V1__Guest *guest, const char *gone, bool synced)
{
    struct fixture *f = arg;
    f->changes += guest != NULL;
    f->gones += gone != NULL;
    f->syncs += synced;
    if (gone)
        snprintf(f->last_gone, sizeof(f->last_gone), "%s", gone);
    check(f);
}

static const char *transaction_of(void *arg, const char *uuid)
{
    (void)uuid;
    return ((struct fixture *)arg)->transaction;
}

static void too_late(void *arg)
{
    struct fixture *f = arg;
    f->deadline = NULL;
    loop_stop(f->loop, 1);
}

static void wait_until(struct fixture *f, bool (*until)(struct fixture *f))
{
    f->until = until;
    f->deadline = loop_timer_start(f->loop, DEADLINE_MS, too_late, f);
    check(f);
    assert_int_equal(loop_run(f->loop), 0);
    f->deadline = loop_timer_cancel(f->deadline);
}

static void on_event(void *arg, const struct libvirt_event *event)
{
    (void)event;
    check(arg);
}

static void fixture_init(struct fixture *f, const char *uri)
{
    *f = (struct fixture){0};
    assert_int_equal(loop_new(&f->loop, NULL), 0);
    f->workers = workers_new(f->loop, 2);
    assert_int_equal(libvirt_new(f->loop, f->workers, uri, &f->libvirt, NULL), 0);
    f->guests = guests_new(&(struct guests_config){.loop = f->loop,
                                                   .workers = f->workers,
                                                   .libvirt = f->libvirt,
                                                   .changed = changed,
                                                   .transaction_of = transaction_of,
                                                   .arg = f});
    libvirt_subscribe(f->libvirt, on_event, f);
}

static void fixture_deinit(struct fixture *f)
{
    guests_free(f->guests);
    libvirt_close(f->libvirt);
    workers_free(f->workers);
    loop_free(f->loop);
    libvirt_free(f->libvirt);
}

#define _cleanup_fixture_ _cleanup_(fixture_deinit)

static bool synced(struct fixture *f)
{
    return f->syncs == 1;
}

static const char web1[] =
    "<domain type='test'><name>web1</name><uuid>11111111-2222-3333-4444-555555555555</uuid>"
    "<memory unit='MiB'>64</memory><vcpu>1</vcpu><os><type>hvm</type></os></domain>";
#define WEB1 "11111111-2222-3333-4444-555555555555"

static const Drover__V1__Guest *find_web1(struct fixture *f)
{
    return guests_find(f->guests, WEB1);
}

static bool web1_is_off(struct fixture *f)
{
    const Drover__V1__Guest *g = find_web1(f);
    return g && g->state == DROVER__V1__GUEST_STATE__GUEST_SHUTOFF;
}

static bool web1_runs(struct fixture *f)
{
    const Drover__V1__Guest *g = find_web1(f);
    return g && g->state == DROVER__V1__GUEST_STATE__GUEST_RUNNING;
}

static bool web1_is_paused(struct fixture *f)
{
    const Drover__V1__Guest *g = find_web1(f);
    return g && g->state == DROVER__V1__GUEST_STATE__GUEST_PAUSED;
}

static bool web1_is_gone(struct fixture *f)
{
    return !find_web1(f) && f->gones == 1;
}

static bool web1_is_in_a_transaction(struct fixture *f)
{
    const Drover__V1__Guest *g = find_web1(f);
    return g && streq(g->transaction, "t1");
}

static void guests_are_read_when_libvirt_comes_up(void **state)
{
    (void)state;
    _cleanup_fixture_ struct fixture f;
    fixture_init(&f, "test:///default");
    assert_false(guests_synced(f.guests));
    wait_until(&f, synced);
    assert_true(guests_synced(f.guests));
    assert_int_equal(guests_count(f.guests), 1);
    const Drover__V1__Guest *g = guests_at(f.guests, 0);
    assert_string_equal(g->name, "test");
    assert_int_equal(g->state, DROVER__V1__GUEST_STATE__GUEST_RUNNING);
    assert_true(g->persistent);
    assert_int_equal(g->memory_max, UINT64_C(8) << 30);
    assert_null(guests_at(f.guests, 1));
    assert_int_equal(f.changes, 1);
}

static void a_volume_lies_where_libvirt_says(void **state)
{
    (void)state;
    _cleanup_fixture_ struct fixture f;
    struct error err = {0};
    fixture_init(&f, "test:///default");
    wait_until(&f, synced);
    _cleanup_connect_ virConnectPtr conn = libvirt_ref(f.libvirt, NULL);
    virStoragePoolPtr pool = virStoragePoolLookupByName(conn, "default-pool");
    virStorageVolPtr volume =
        virStorageVolCreateXML(pool, "<volume><name>web1</name><capacity>1</capacity></volume>", 0);
    assert_non_null(volume);
    virStorageVolFree(volume);
    virStoragePoolFree(pool);
    _cleanup_free_ char *path = host_volume_path(conn, "default-pool/web1", &err);
    assert_string_equal(path, "/default-pool/web1");
    assert_null(host_volume_path(conn, "default-pool/web2", &err));
    assert_non_null(strstr(err.text, "web2"));
    assert_null(host_volume_path(conn, "none/web1", &err));
    assert_null(host_volume_path(conn, "none", &err));
}

static void a_guest_is_followed_from_its_definition_to_its_end(void **state)
{
    (void)state;
    _cleanup_fixture_ struct fixture f;
    fixture_init(&f, "test:///default");
    wait_until(&f, synced);
    _cleanup_connect_ virConnectPtr conn = libvirt_ref(f.libvirt, NULL);
    assert_non_null(conn);
    _cleanup_domain_ virDomainPtr domain = virDomainDefineXML(conn, web1);
    assert_non_null(domain);
    wait_until(&f, web1_is_off);
    assert_int_equal(find_web1(&f)->memory_max, 64 << 20);
    assert_int_equal(virDomainCreate(domain), 0);
    wait_until(&f, web1_runs);
    assert_int_equal(virDomainSuspend(domain), 0);
    wait_until(&f, web1_is_paused);
    assert_int_equal(find_web1(&f)->state_reason, VIR_DOMAIN_PAUSED_USER);
    assert_int_equal(virDomainDestroy(domain), 0);
    wait_until(&f, web1_is_off);
    assert_int_equal(virDomainUndefine(domain), 0);
    wait_until(&f, web1_is_gone);
    assert_string_equal(f.last_gone, WEB1);
}

static void a_transaction_is_told_with_its_guest(void **state)
{
    (void)state;
    _cleanup_fixture_ struct fixture f;
    fixture_init(&f, "test:///default");
    wait_until(&f, synced);
    _cleanup_connect_ virConnectPtr conn = libvirt_ref(f.libvirt, NULL);
    _cleanup_domain_ virDomainPtr domain = virDomainDefineXML(conn, web1);
    wait_until(&f, web1_is_off);
    f.transaction = "t1";
    guests_refresh(f.guests, WEB1);
    wait_until(&f, web1_is_in_a_transaction);
    f.transaction = NULL;
    guests_refresh(f.guests, WEB1);
    guests_refresh(f.guests, WEB1);
    assert_int_equal(virDomainUndefine(domain), 0);
    wait_until(&f, web1_is_gone);
}

static void a_guest_that_never_was_is_not_told(void **state)
{
    (void)state;
    _cleanup_fixture_ struct fixture f;
    fixture_init(&f, "test:///default");
    wait_until(&f, synced);
    guests_refresh(f.guests, "99999999-2222-3333-4444-555555555555");
    guests_refresh(f.guests, "no UUID at all");
    guests_refresh(f.guests, "a text that is much longer than any UUID could ever be, really");
    _cleanup_connect_ virConnectPtr conn = libvirt_ref(f.libvirt, NULL);
    _cleanup_domain_ virDomainPtr domain = virDomainDefineXML(conn, web1);
    wait_until(&f, web1_is_off); /* queued after the three above */
    assert_int_equal(virDomainUndefine(domain), 0);
    wait_until(&f, web1_is_gone);
    assert_int_equal(guests_count(f.guests), 1);
}

static void the_definition_is_the_inactive_one(void **state)
{
    (void)state;
    _cleanup_fixture_ struct fixture f;
    fixture_init(&f, "test:///default");
    wait_until(&f, synced);
    _cleanup_connect_ virConnectPtr conn = libvirt_ref(f.libvirt, NULL);
    Drover__V1__Guest *guest = NULL;
    _cleanup_free_ char *xml = NULL;
    struct error err = {0};
    assert_int_equal(guests_get(conn, guests_at(f.guests, 0)->uuid, &guest, &xml, &err), 0);
    assert_string_equal(guest->name, "test");
    assert_non_null(strstr(xml, "<name>test</name>"));
    assert_null(strstr(xml, " id='"));
    drover__v1__guest__free_unpacked(guest, NULL);

    Drover__V1__Guest *untouched = NULL;
    assert_int_equal(guests_get(conn, WEB1, &untouched, NULL, &err), -STATUS_NOT_FOUND);
    assert_null(untouched);
    assert_non_null(strstr(err.text, WEB1));
    assert_int_equal(guests_get(conn, "nonsense", &untouched, NULL, &err), -STATUS_INVALID_ARGUMENT);
}

static bool told_why_it_is_down(struct fixture *f)
{
    struct error why = {0};
    return !libvirt_up(f->libvirt, NULL, &why) && strstr(why.text, "cannot connect");
}

static void an_absent_libvirtd_is_said_and_waited_for(void **state)
{
    (void)state;
    _cleanup_fixture_ struct fixture f;
    fixture_init(&f, "qemu+unix:///system?socket=/nonexistent/libvirt-sock");
    wait_until(&f, told_why_it_is_down);
    struct error err = {0};
    assert_null(libvirt_ref(f.libvirt, &err));
    assert_int_equal(err.code, STATUS_UNAVAILABLE);
    assert_non_null(strstr(err.text, "/nonexistent/libvirt-sock"));
    assert_non_null(strstr(err.text, "No such file"));
    assert_int_equal(guests_count(f.guests), 0);
    assert_false(guests_synced(f.guests));
    guests_refresh(f.guests, WEB1);
}

static void it_can_be_closed_at_any_moment(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        struct fixture f;
        fixture_init(&f, i % 2 ? "test:///default" : "qemu+unix:///system?socket=/nonexistent/libvirt-sock");
        if (i % 4 == 3)
            wait_until(&f, synced);
        fixture_deinit(&f);
    }
}

static Drover__V1__Guest *parsed(const char *devices)
{
    _cleanup_free_ char *xml =
        xasprintf("<domain><name>a</name><uuid>11111111-2222-3333-4444-555555555555</uuid>"
                  "<devices>%s</devices></domain>",
                  devices);
    Drover__V1__Guest *g = NULL;
    assert_int_equal(guest_xml_parse(xml, strlen(xml), &g, NULL), 0);
    return g;
}

static void what_only_the_definition_names_is_told(void **state)
{
    (void)state;
    Drover__V1__Guest *running = parsed(
        "<disk type='file'><source file='/a'/><target dev='vda'/></disk>"
        "<disk type='file' device='cdrom'><target dev='hdc'/></disk>"
        "<interface type='bridge'><mac address='m1'/><source network='lan' bridge='br0'/></interface>");
    Drover__V1__Guest *defined =
        parsed("<disk type='file'><source file='/a'/><target dev='vda'/></disk>"
               "<disk type='file'><source file='/b'/><target dev='vdb'/></disk>"
               "<disk type='file' device='cdrom'><source file='/i.iso'/><target dev='hdc'/></disk>"
               "<interface type='network'><mac address='m1'/><source network='lan'/></interface>"
               "<interface type='user'><mac address='m2'/></interface>"
               "<interface type='bridge'><mac address='m3'/><source bridge='br0'/></interface>");
    Drover__V1__GuestNow *now = new0(Drover__V1__GuestNow);
    drover__v1__guest_now__init(now);
    guests_later(running, defined, now);
    assert_int_equal(now->n_later, 3);
    assert_string_equal(now->later[0], "disk vdb (/b)");
    assert_string_equal(now->later[1], "disk hdc (/i.iso)");
    assert_string_equal(now->later[2], "interface m3 (bridge br0)");
    drover__v1__guest_now__free_unpacked(now, NULL);
    drover__v1__guest__free_unpacked(running, NULL);
    drover__v1__guest__free_unpacked(defined, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_only_the_definition_names_is_told),
        cmocka_unit_test(guests_are_read_when_libvirt_comes_up),
        cmocka_unit_test(a_volume_lies_where_libvirt_says),
        cmocka_unit_test(a_guest_is_followed_from_its_definition_to_its_end),
        cmocka_unit_test(a_transaction_is_told_with_its_guest),
        cmocka_unit_test(a_guest_that_never_was_is_not_told),
        cmocka_unit_test(the_definition_is_the_inactive_one),
        cmocka_unit_test(an_absent_libvirtd_is_said_and_waited_for),
        cmocka_unit_test(it_can_be_closed_at_any_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
