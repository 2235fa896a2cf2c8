#include "agent/io/bridges.h"
#include "agent/io/openvswitch.h"
#include "common/base/cleanup.h"
#include "common/base/memory.h"
#include "tests/unit/made_tree.h"
#include "tests/unit/message_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* The bridges as text, one message after the other. */
static char *read_all(const struct made_tree *t)
{
    _cleanup_free_ char *sys = xasprintf("%s/sys", t->root), *run = xasprintf("%s/run", t->root);
    Drover__V1__HostReport report = DROVER__V1__HOST_REPORT__INIT;
    report.n_bridges = bridges_read(sys, run, &report.bridges);
    char *text = message_text(&report.base);
    for (size_t i = 0; i < report.n_bridges; i++)
        drover__v1__bridge__free_unpacked(report.bridges[i], NULL);
    free(report.bridges);
    return text;
}

static void expect(const struct made_tree *t, const char *expected)
{
    _cleanup_free_ char *text = read_all(t);
    assert_string_equal(text, expected);
}

static void linux_bridges_have_ports_and_mtu(void **state)
{
    (void)state;
    _cleanup_(made_tree_deinit) struct made_tree t;
    made_tree_init(&t);
    /* As sysfs has it: class/net holds links into devices. */
    made_tree_add(&t, "sys/devices/virtual/net/br1/bridge/stp_state", "0\n");
    made_tree_add(&t, "sys/devices/virtual/net/br1/mtu", "9000\n");
    made_tree_add(&t, "sys/devices/virtual/net/br1/brif/vnet0", NULL);
    made_tree_add(&t, "sys/devices/virtual/net/br1/brif/eth1", NULL);
    made_tree_add(&t, "sys/devices/pci0000:00/0000:00:03.0/net/eth1/mtu", "9000\n");
    made_tree_link(&t, "sys/class/net/br1", "../../devices/virtual/net/br1");
    made_tree_link(&t, "sys/class/net/eth1", "../../devices/pci0000:00/0000:00:03.0/net/eth1");
    made_tree_link(&t, "sys/class/net/vanished", "../../devices/virtual/net/vanished");
    made_tree_add(&t, "sys/class/net/bonding_masters", "\n");
    made_tree_add(&t, "sys/class/net/br0/bridge/stp_state", "0\n");
    made_tree_add(&t, "sys/class/net/br0/mtu", "1500\n");
    expect(&t, "bridges:\n  name: br0\n  kind: linux\n  mtu: 1500\n"
               "bridges:\n  name: br1\n  kind: linux\n  mtu: 9000\n  ports: eth1\n  ports: vnet0\n");
}

static void bridges_of_open_vswitch_are_found_by_their_sockets(void **state)
{
    (void)state;
    _cleanup_(made_tree_deinit) struct made_tree t;
    made_tree_init(&t);
    made_tree_add(&t, "sys/class/net/ovsbr0/mtu", "1500\n");
    made_tree_add(&t, "sys/class/net/ovs-system/mtu", "1500\n");
    made_tree_add(&t, "run/openvswitch/ovsbr0.mgmt", "");
    made_tree_add(&t, "run/openvswitch/ovsbr0.snoop", "");
    made_tree_add(&t, "run/openvswitch/dead.mgmt", "");
    made_tree_add(&t, "run/openvswitch/db.sock", "");
    expect(&t, "bridges:\n  name: ovsbr0\n  kind: openvswitch\n  mtu: 1500\n");
}

/* As ovsdb-server 3.1 answers. */
static void ports_of_open_vswitch_are_those_of_its_database(void **state)
{
    (void)state;
    static const char answer[] =
        "{\"id\":0,\"error\":null,\"result\":[{\"rows\":["
        "{\"name\":\"ovsbr0\",\"ports\":[\"set\",[[\"uuid\",\"a\"],[\"uuid\",\"b\"],[\"uuid\",\"c\"]]]},"
        "{\"name\":\"lonely\",\"ports\":[\"uuid\",\"d\"]},{\"name\":\"br0\",\"ports\":[\"uuid\",\"a\"]}]},"
        "{\"rows\":[{\"_uuid\":[\"uuid\",\"a\"],\"name\":\"vnet0\"},{\"_uuid\":[\"uuid\",\"b\"],\"name\":"
        "\"eth1\"},"
        "{\"_uuid\":[\"uuid\",\"c\"],\"name\":\"ovsbr0\"},{\"_uuid\":[\"uuid\",\"d\"],\"name\":\"lonely\"}]}]"
        "}";
    static const char *const nonsense[] = {
        "",
        "[]",
        "{",
        "{\"result\":null}",
        "{\"result\":[{\"rows\":1},{\"rows\":[]}]}",
        "{\"result\":[{\"rows\":[{\"name\":5,\"ports\":7}]},{\"rows\":[3]}]}",
        "{\"result\":[{\"rows\":[{\"name\":\"ovsbr0\",\"ports\":[\"set\",[1]]}]},{\"rows\":[{\"_uuid\":[]}]}]"
        "}"};
    Drover__V1__HostReport report = DROVER__V1__HOST_REPORT__INIT;
    static const char *const names[][2] = {
        {"br0", "linux"}, {"ovsbr0", "openvswitch"}, {"lonely", "openvswitch"}};
    report.bridges = xcalloc(3, sizeof(report.bridges[0]));
    for (size_t i = 0; i < 3; i++) {
        Drover__V1__Bridge *b = report.bridges[report.n_bridges++] = new0(Drover__V1__Bridge);
        drover__v1__bridge__init(b);
        b->name = xstrdup(names[i][0]);
        b->kind = xstrdup(names[i][1]);
    }
    for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++)
        openvswitch_parse(nonsense[i], report.bridges, 3);
    assert_int_equal(report.bridges[1]->n_ports, 0);
    assert_true(openvswitch_parse(answer, report.bridges, 3));
    _cleanup_free_ char *text = message_text(&report.base);
    assert_string_equal(text, "bridges:\n  name: br0\n  kind: linux\n"
                              "bridges:\n  name: ovsbr0\n  kind: openvswitch\n  ports: eth1\n  ports: vnet0\n"
                              "bridges:\n  name: lonely\n  kind: openvswitch\n");
    for (size_t i = 0; i < 3; i++)
        drover__v1__bridge__free_unpacked(report.bridges[i], NULL);
    free(report.bridges);
}

static void a_host_without_any_has_none(void **state)
{
    (void)state;
    _cleanup_(made_tree_deinit) struct made_tree t;
    made_tree_init(&t);
    expect(&t, "");
    made_tree_add(&t, "sys/class/net/lo/mtu", "65536\n");
    expect(&t, "");
}

static void nonsense_in_sysfs_is_read_as_nothing(void **state)
{
    (void)state;
    _cleanup_(made_tree_deinit) struct made_tree t;
    made_tree_init(&t);
    made_tree_add(&t, "sys/class/net/br0/bridge", NULL);
    made_tree_add(&t, "sys/class/net/br0/mtu", "many\n");
    made_tree_add(&t, "sys/class/net/br0/brif", "a file, not a directory");
    expect(&t, "bridges:\n  name: br0\n  kind: linux\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linux_bridges_have_ports_and_mtu),
        cmocka_unit_test(bridges_of_open_vswitch_are_found_by_their_sockets),
        cmocka_unit_test(ports_of_open_vswitch_are_those_of_its_database),
        cmocka_unit_test(a_host_without_any_has_none),
        cmocka_unit_test(nonsense_in_sysfs_is_read_as_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
