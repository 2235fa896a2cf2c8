/* What `drover networks` prints. */
#include "cli/render.h"
#include "common/base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A tap is its guest's only on the host where the guest runs. */
static void ports_name_the_guests_behind_them(void **state)
{
    (void)state;
    char *ports[] = {(char *)"eth0", (char *)"vnet0"};
    Drover__V1__Bridge bridge = DROVER__V1__BRIDGE__INIT, *bridges[] = {&bridge};
    bridge.name = (char *)"br0";
    bridge.kind = (char *)"linux";
    bridge.mtu = 1500;
    bridge.ports = ports;
    bridge.n_ports = 2;
    Drover__V1__Network network = DROVER__V1__NETWORK__INIT, *networks[] = {&network};
    network.name = (char *)"lab";
    network.bridge = (char *)"br0";
    Drover__V1__HostReport report = DROVER__V1__HOST_REPORT__INIT;
    report.bridges = bridges;
    report.n_bridges = 1;
    report.networks = networks;
    report.n_networks = 1;
    Drover__V1__HostStatus kvm1 = DROVER__V1__HOST_STATUS__INIT, kvm2 = kvm1, *hosts[] = {&kvm1, &kvm2};
    kvm1.name = (char *)"kvm1";
    kvm2.name = (char *)"kvm2";
    kvm1.up = true;
    kvm1.report = kvm2.report = &report;
    Drover__V1__ListHostsReply all = DROVER__V1__LIST_HOSTS_REPLY__INIT;
    all.hosts = hosts;
    all.n_hosts = 2;
    Drover__V1__Interface nic = DROVER__V1__INTERFACE__INIT, *nics[] = {&nic};
    nic.target = (char *)"vnet0";
    nic.mac = (char *)"52:54:00:00:00:01";
    Drover__V1__Guest guest = DROVER__V1__GUEST__INIT;
    guest.name = (char *)"web1";
    guest.interfaces = nics;
    guest.n_interfaces = 1;
    Drover__V1__GuestStatus status = DROVER__V1__GUEST_STATUS__INIT, *guests[] = {&status};
    status.host = (char *)"kvm1";
    status.guest = &guest;
    Drover__V1__ListGuestsReply known = DROVER__V1__LIST_GUESTS_REPLY__INIT;
    known.guests = guests;
    known.n_guests = 1;
    json_t *document = render_networks_json(&all, &known, NULL);
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    render_networks(document, out);
    fclose(out);
    assert_string_equal(text, "HOST  KIND             NAME   MTU  STATE         PORTS\n"
                              "kvm1  linux bridge     br0   1500  -             eth0 vnet0(web1)\n"
                              "kvm1  libvirt network  lab      -  inactive      br0\n"
                              "kvm2  linux bridge     br0   1500  host is down  eth0 vnet0\n"
                              "kvm2  libvirt network  lab      -  inactive      br0\n");
    free(text);
    json_decref(document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ports_name_the_guests_behind_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
