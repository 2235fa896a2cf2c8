#include "agent/io/domain_capabilities.h"
#include "agent/io/host_capabilities.h"
#include "agent/io/host_pools.h"
#include "common/base/cleanup.h"
#include "common/base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void free_report(Drover__V1__HostReport **r)
{
    drover__v1__host_report__free_unpacked(*r, NULL);
}

#define _cleanup_report_ _cleanup_(free_report)

static Drover__V1__HostReport *new_report(void)
{
    Drover__V1__HostReport *r = new0(Drover__V1__HostReport);
    drover__v1__host_report__init(r);
    return r;
}

static const Drover__V1__MachineType *find_machine(const Drover__V1__HostReport *r, const char *name)
{
    const Drover__V1__MachineType *found = NULL;
    for (size_t i = 0; i < r->n_machines; i++)
        if (streq(r->machines[i]->name, name)) {
            assert_null(found); /* each is told once */
            found = r->machines[i];
        }
    return found;
}

/* What libvirt 9.0 with QEMU 7.2 says on Debian 12. */
static void the_host_and_its_machine_types_are_read(void **state)
{
    (void)state;
    _cleanup_free_ char *path = xasprintf("%s/capabilities/debian12.xml", getenv("DROVER_TEST_DATA"));
    _cleanup_fclose_ FILE *f = fopen(path, "re");
    assert_non_null(f);
    _cleanup_free_ char *xml = xcalloc(1, 1 << 20);
    size_t length = fread(xml, 1, 1 << 20, f);
    _cleanup_report_ Drover__V1__HostReport *r = new_report();
    assert_int_equal(host_capabilities_parse(xml, length, r, NULL), 0);
    assert_string_equal(r->host_uuid, "6a36e3e4-97ed-522b-a2e5-6f855b69ca97");
    assert_string_equal(r->cpu->arch, "x86_64");
    assert_string_equal(r->cpu->model, "kvm64");
    assert_string_equal(r->cpu->vendor, "AMD");
    assert_int_equal(r->cpu->cores, 2);
    assert_int_equal(r->cpu->n_features, 72);
    assert_string_equal(r->cpu->features[0], "vme");
    assert_string_equal(find_machine(r, "pc")->canonical, "pc-i440fx-7.2");
    assert_string_equal(find_machine(r, "pc-i440fx-7.2")->canonical, "");
    assert_string_equal(find_machine(r, "q35")->canonical, "pc-q35-7.2");
    assert_null(find_machine(r, "virt"));
}

/* Machine types of other architectures, and of guests that are not virtual machines, are none that a guest here can have. */
static void only_the_hosts_own_architecture_counts(void **state)
{
    (void)state;
    static const char xml[] =
        "<capabilities><host><uuid>u</uuid><cpu><arch>aarch64</arch></cpu></host>"
        "<guest><os_type>hvm</os_type><arch name='x86_64'><machine>pc</machine></arch></guest>"
        "<guest><os_type>exe</os_type><arch name='aarch64'><machine>lxc</machine></arch></guest>"
        "<guest><os_type>hvm</os_type><arch name='aarch64'><machine canonical='virt-7.2'>virt</machine>"
        "<domain "
        "type='qemu'><machine>virt</machine><machine>raspi3b</machine></domain></arch></guest></"
        "capabilities>";
    _cleanup_report_ Drover__V1__HostReport *r = new_report();
    assert_int_equal(host_capabilities_parse(xml, strlen(xml), r, NULL), 0);
    assert_int_equal(r->n_machines, 2);
    assert_string_equal(find_machine(r, "virt")->canonical, "virt-7.2");
    assert_non_null(find_machine(r, "raspi3b"));
}

static void what_is_no_capabilities_is_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {"", "<capabilities>", "<domain/>"};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        _cleanup_report_ Drover__V1__HostReport *r = new_report();
        struct error err = {0};
        assert_int_equal(host_capabilities_parse(cases[i], strlen(cases[i]), r, &err),
                         -STATUS_INVALID_ARGUMENT);
        assert_non_null(strstr(err.text, "libvirt's capabilities"));
    }
    _cleanup_report_ Drover__V1__HostReport *empty = new_report();
    assert_int_equal(host_capabilities_parse("<capabilities/>", 15, empty, NULL), 0);
    assert_int_equal(empty->n_machines, 0);
}

static void drop_accelerated(Drover__V1__Accelerated **a)
{
    drover__v1__accelerated__free_unpacked(*a, NULL);
}

/* What libvirt 9.0 says of TCG guests on Debian 12, without swtpm. */
static void what_guests_of_one_accelerator_may_have(void **state)
{
    (void)state;
    static const char *const expected[] = {
        "tpm",      "tpm-passthrough", "vmcoreinfo",       "vmcoreinfo-on",   "genid",
        "genid-on", "hyperv",          "hyperv-spinlocks", "hyperv-vendor_id"};
    _cleanup_free_ char *path = xasprintf("%s/capabilities/domain-tcg.xml", getenv("DROVER_TEST_DATA"));
    _cleanup_fclose_ FILE *f = fopen(path, "re");
    assert_non_null(f);
    _cleanup_free_ char *xml = xcalloc(1, 1 << 20);
    size_t length = fread(xml, 1, 1 << 20, f);
    _cleanup_(drop_accelerated) Drover__V1__Accelerated *a = new0(Drover__V1__Accelerated);
    drover__v1__accelerated__init(a);
    struct error err = {0};
    assert_int_equal(domain_capabilities_parse(xml, length, a, &err), 0);
    assert_int_equal(a->n_features, sizeof(expected) / sizeof(expected[0]));
    for (size_t i = 0; i < a->n_features; i++)
        assert_string_equal(a->features[i], expected[i]);
    assert_non_null(strstr(a->cpu, "<cpu mode='custom' match='exact'><model"));
    assert_non_null(strstr(a->cpu, "<feature policy=\"require\""));
    assert_string_equal(a->cpu + strlen(a->cpu) - 6, "</cpu>");
    assert_int_equal(domain_capabilities_parse("<domain/>", 9, a, &err), -STATUS_INVALID_ARGUMENT);
}

static void a_networks_vlans_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *xml, *vlans;
    } cases[] = {
        {"<network><name>a</name></network>", ""},
        {"<network><vlan><tag id='7'/></vlan></network>", "7 "},
        {"<network><portgroup name='web' default='yes'><vlan trunk='yes'><tag id='42'/><tag id='123'/></vlan>"
         "</portgroup><portgroup name='db'/><portgroup name='x'><vlan><tag id='9'/></vlan></portgroup>"
         "<vlan><tag id='7'/></vlan></network>",
         "web:42,123 42,123 x:9 7 "},
        {"no XML", ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        Drover__V1__Network *n = new0(Drover__V1__Network);
        drover__v1__network__init(n);
        host_network_parse(cases[i].xml, n);
        char text[256] = "";
        for (size_t k = 0; k < n->n_vlans; k++)
            snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s ", n->vlans[k]);
        assert_string_equal(text, cases[i].vlans);
        drover__v1__network__free_unpacked(n, NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_networks_vlans_are_read),
        cmocka_unit_test(the_host_and_its_machine_types_are_read),
        cmocka_unit_test(only_the_hosts_own_architecture_counts),
        cmocka_unit_test(what_is_no_capabilities_is_refused),
        cmocka_unit_test(what_guests_of_one_accelerator_may_have),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
