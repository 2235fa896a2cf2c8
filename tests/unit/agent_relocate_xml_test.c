/* libvirt's XML rewritten for another host. */
#include "agent/io/relocate_xml.h"

#include "agent/io/guest_xml.h"
#include "common/base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static Drover__V1__MappingRule rules[] = {
    {PROTOBUF_C_MESSAGE_INIT(&drover__v1__mapping_rule__descriptor), DROVER__V1__MAPPING_KIND__MAPPING_PATH,
     (char *)"/srv", (char *)"/data & more"},
    {PROTOBUF_C_MESSAGE_INIT(&drover__v1__mapping_rule__descriptor), DROVER__V1__MAPPING_KIND__MAPPING_POOL,
     (char *)"default", (char *)"guests"},
    {PROTOBUF_C_MESSAGE_INIT(&drover__v1__mapping_rule__descriptor), DROVER__V1__MAPPING_KIND__MAPPING_BRIDGE,
     (char *)"br0", (char *)"br-vm"},
    {PROTOBUF_C_MESSAGE_INIT(&drover__v1__mapping_rule__descriptor),
     DROVER__V1__MAPPING_KIND__MAPPING_NETWORK, (char *)"lan", (char *)"lan2"},
};
static Drover__V1__MappingRule *rule_list[] = {&rules[0], &rules[1], &rules[2], &rules[3]};

static const char domain[] =
    "<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>"
    "<name>web1 &lt;x&gt;</name><uuid>11111111-1111-4111-8111-11111111aaaa</uuid>"
    "<metadata><a:b xmlns:a='urn:a'><source file='/srv/not-mine'/></a:b></metadata>"
    "<os><type>hvm</type><kernel>/srv/vmlinuz</kernel><nvram>/srv/nvram/web1</nvram></os><devices>"
    "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>"
    "<source file='/srv/a.qcow2' index='1'><seclabel model='dac'/></source>"
    "<backingStore type='file'><format type='qcow2'/><source file='/srv/base.qcow2'/>"
    "<backingStore type='file'><source "
    "file='/elsewhere/root.raw'/><backingStore/></backingStore></backingStore>"
    "<target dev='vda'/></disk>"
    "<disk type='file' device='disk'><source file='/srv/b.qcow2'/><backingStore type='file'>"
    "<source file='/srv/base.qcow2'/></backingStore><target dev='vdb'/></disk>"
    "<disk type='volume'><source pool='default' volume='c.raw'/><target dev='vdc'/></disk>"
    "<disk type='network'><source protocol='nfs' name='/srv/d.raw'/><target dev='vdd'/></disk>"
    "<disk type='block'><source dev='/dev/sda'/><target dev='vde'/></disk>"
    "<disk type='file' device='cdrom'><target dev='hda'/></disk>"
    "<interface type='bridge'><source bridge='br0'/></interface>"
    "<interface type='network'><source network='lan' bridge='virbr7' portid='p'/></interface>"
    "<interface type='network'><source network='other' bridge='br0'/></interface>"
    "<interface type='bridge'><source network='lan' portid='q' bridge='br0'/></interface>"
    "<interface type='bridge'><source network='another' bridge='br0'/></interface>"
    "<interface type='direct'><source network='lan' dev='eno1' mode='bridge'/></interface>"
    "<serial type='file'><source path='/srv/log'/></serial></devices></domain>";

static bool has(const char *xml, const char *text)
{
    return strstr(xml, text) != NULL;
}

static unsigned count(const char *xml, const char *text)
{
    unsigned n = 0;
    for (const char *at = xml; (at = strstr(at, text)); at++)
        n++;
    return n;
}

static char *relocated(const char *xml, bool copy)
{
    Drover__V1__Mapping mapping = DROVER__V1__MAPPING__INIT;
    mapping.rules = rule_list;
    mapping.n_rules = 4;
    Drover__V1__DiskCopy vdb = DROVER__V1__DISK_COPY__INIT, vdc = vdb, *copies[] = {&vdb, &vdc};
    vdb.target = (char *)"vdb";
    vdb.to = (char *)"/new/b.qcow2";
    vdc.target = (char *)"vdc";
    vdc.to = (char *)"/pools/guests/c.raw";
    Drover__V1__Relocation r = DROVER__V1__RELOCATION__INIT;
    r.mapping = &mapping;
    r.copies = copies;
    r.n_copies = copy ? 2 : 0;
    char *out = NULL;
    struct error err = {0};
    if (relocate_xml(xml, &r, &out, &err) < 0)
        fail_msg("%s", err.text);
    return out;
}

static void places_are_mapped_and_nothing_else(void **state)
{
    (void)state;
    char *out = relocated(domain, false);
    assert_true(
        has(out, "<source file=\"/data &amp; more/a.qcow2\" index=\"1\"><seclabel model=\"dac\"/></source>"));
    assert_true(has(out, "<source file=\"/data &amp; more/base.qcow2\"/>"));
    assert_true(has(out, "<source file=\"/elsewhere/root.raw\"/>"));
    assert_true(has(out, "pool=\"guests\" volume=\"c.raw\""));
    assert_true(has(out, "name=\"/srv/d.raw\"")); /* the server's name for it */
    assert_true(has(out, "dev=\"/dev/sda\""));
    assert_true(has(out, "<kernel>/data &amp; more/vmlinuz</kernel>"));
    assert_true(has(out, "<nvram>/data &amp; more/nvram/web1</nvram>"));
    assert_true(has(out, "<source bridge=\"br-vm\"/>"));
    assert_true(has(out, "<source network=\"lan2\"/>"));
    assert_true(has(out, "<source network=\"other\" bridge=\"br0\"/>"));
    /* What a network has given to a guest that runs is the source's; at the destination that network gives anew. */
    assert_int_equal(count(out, "<interface type=\"network\"><source network=\"lan2\"/>"), 3);
    assert_true(has(out, "<interface type=\"network\"><source network=\"another\"/>"));
    assert_true(has(out, "<source path=\"/srv/log\"/>"));
    assert_true(has(out, "<source file=\"/srv/not-mine\"/>"));
    assert_true(has(out, "<name>web1 &lt;x&gt;</name>"));
    free(out);
}

static void a_copied_disk_has_its_new_path_and_no_backing(void **state)
{
    (void)state;
    char *out = relocated(domain, true);
    Drover__V1__Guest *g = NULL;
    struct error err = {0};
    if (guest_xml_parse(out, strlen(out), &g, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(g->disks[1]->source, "/new/b.qcow2");
    assert_int_equal(g->disks[1]->n_backing, 0);
    assert_int_equal(g->disks[0]->n_backing, 2);
    assert_string_equal(g->disks[2]->source, "guests/c.raw"); /* a volume stays one */
    assert_false(has(out, "/pools/guests"));
    drover__v1__guest__free_unpacked(g, NULL);
    free(out);
}

static void a_snapshot_is_mapped_inside(void **state)
{
    (void)state;
    char *snapshot =
        xasprintf("<domainsnapshot><name>s</name><memory snapshot='external' file='/srv/s.mem'/><disks>"
                  "<disk name='vda' snapshot='external'><source file='/srv/s.qcow2'/></disk></disks>%s"
                  "</domainsnapshot>",
                  domain);
    char *out = relocated(snapshot, false);
    assert_true(has(out, "file=\"/data &amp; more/s.mem\""));
    assert_true(has(out, "<source file=\"/data &amp; more/s.qcow2\"/>"));
    assert_true(has(out, "<source bridge=\"br-vm\"/>"));
    free(out);
    free(snapshot);
}

static void what_is_no_domain_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "<domain>", "<pool/>", "<!DOCTYPE d [<!ENTITY e 'x'>]><domain/>"};
    const Drover__V1__Relocation none = DROVER__V1__RELOCATION__INIT;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char *out = NULL;
        struct error err = {0};
        assert_true(relocate_xml(bad[i], &none, &out, &err) < 0);
        assert_int_equal(err.code, STATUS_INVALID_ARGUMENT);
        assert_null(out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_are_mapped_and_nothing_else),
        cmocka_unit_test(a_copied_disk_has_its_new_path_and_no_backing),
        cmocka_unit_test(a_snapshot_is_mapped_inside),
        cmocka_unit_test(what_is_no_domain_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
