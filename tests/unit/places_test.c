/* What of a guest was changed since its places were proven. */
#include "coordinator/core/places.h"

#include "common/base/memory.h"
#include "coordinator/core/message.h"
#include "coordinator_made.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct pair {
    struct fleet fleet;
    Drover__V1__Guest *before, *now;
};

static void pair_init(struct pair *p)
{
    fleet_init(&p->fleet);
    p->now = made_guest(made_host(&p->fleet, "kvm1"), "web1", UUID_A)->guest;
    p->before = (Drover__V1__Guest *)message_copy(&p->now->base);
}

static void pair_deinit(struct pair *p)
{
    drover__v1__guest__free_unpacked(p->before, NULL);
    fleet_deinit(&p->fleet);
}

static void plugged(struct pair *p)
{
    made_string(&made_disk(p->now, "file", "/srv/new.raw")->target, "vdb");
}
static void unplugged(struct pair *p)
{
    made_string(&made_disk(p->before, "file", "/srv/old.raw")->target, "vdb");
}
static void elsewhere(struct pair *p)
{
    made_string(&p->now->disks[0]->source, "nfs/other.qcow2");
}
static void on_another_server(struct pair *p)
{
    made_string(&p->now->disks[0]->source_host, "10.0.0.21");
}
static void on_one_more_server(struct pair *p)
{
    Drover__V1__DiskHost *h = new0(Drover__V1__DiskHost);
    drover__v1__disk_host__init(h);
    made_string(&h->name, "mon2");
    p->now->disks[0]->more_hosts = xcalloc(1, sizeof(h));
    p->now->disks[0]->more_hosts[p->now->disks[0]->n_more_hosts++] = h;
}
static void on_another_bridge(struct pair *p)
{
    made_string(&p->now->interfaces[0]->source, "br1");
}
static void in_another_vlan(struct pair *p)
{
    made_string(&p->now->interfaces[0]->vlan, "42");
}
static void another_card(struct pair *p)
{
    made_string(&p->now->interfaces[0]->mac, "52:54:00:00:00:02");
}
static void a_card_less(struct pair *p)
{
    drover__v1__interface__free_unpacked(p->now->interfaces[0], NULL);
    p->now->n_interfaces = 0;
}
/* What changes by itself is no reason to ask again. */
static void started(struct pair *p)
{
    made_string(&p->now->interfaces[0]->target, "vnet3");
    made_string(&p->now->disks[0]->cache, "none");
    p->now->memory /= 2;
    p->now->job = true;
}

static void what_leads_elsewhere_is_named(void **state)
{
    (void)state;
    static const struct {
        void (*change)(struct pair *p);
        const char *what;
    } cases[] = {
        {plugged, "disk vdb has come"},
        {unplugged, "disk vdb has gone"},
        {elsewhere, "disk vda is another"},
        {on_another_server, "disk vda is another"},
        {on_one_more_server, "disk vda is another"},
        {on_another_bridge, "interface 52:54:00:00:00:01 hangs elsewhere"},
        {in_another_vlan, "interface 52:54:00:00:00:01 hangs elsewhere"},
        {another_card, "interface 52:54:00:00:00:02 has come"},
        {a_card_less, "interface 52:54:00:00:00:01 has gone"},
        {started, NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pair p;
        pair_init(&p);
        cases[i].change(&p);
        char *what = places_changed(p.before, p.now);
        if (!what != !cases[i].what || (what && !streq(what, cases[i].what)))
            fail_msg("case %zu: '%s', expected '%s'", i, what, cases[i].what);
        free(what);
        pair_deinit(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_leads_elsewhere_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
