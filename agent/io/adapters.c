#include "agent/io/adapters.h"

#include "agent/io/tree.h"
#include "agent/io/xml.h"
#include "common/base/memory.h"
#include "common/message/message.h"

#include <limits.h>
#include <string.h>

struct found {
    Drover__V1__Adapter **list;
    size_t n;
};

static Drover__V1__Adapter *add(struct found *f, const char *host, const char *transport)
{
    Drover__V1__Adapter *a = new0(Drover__V1__Adapter);
    drover__v1__adapter__init(a);
    xml_set(&a->host, xstrdup(host));
    xml_set(&a->transport, xstrdup(transport));
    message_append(&f->list, &f->n, a);
    return a;
}

/* "rport-3:0-1" is of host3, and so is "port-3:1". */
static bool port_is_of(const char *port, const char *prefix, const char *host)
{
    unsigned long long a, b;
    const char *rest = tree_number(port, prefix, &a);
    return rest && *rest == ':' && tree_number(host, "host", &b) && a == b;
}

/* ---- Fibre Channel ---- */

/* The Ethernet interface that the FC host runs over, by the place of its device (.../net/eth2/ctlr_0/host7/...) or by what
 * libfcoe and bnx2fc write into the symbolic name ("fcoe v0.1 over eth2"). NULL if neither says. */
static char *ethernet_of(const char *sysfs, const char *host)
{
    static const char net[] = "/net/", over[] = " over ";
    _cleanup_free_ char *link = xasprintf("%s/class/fc_host/%s", sysfs, host);
    _cleanup_free_ char *path = realpath(link, NULL);
    _cleanup_free_ char *base = realpath(sysfs, NULL);
    const char *found = path && base ? strstr(path + strlen(base), net) : NULL;
    if (found)
        return strndup(found + strlen(net), strcspn(found + strlen(net), "/"));
    _cleanup_free_ char *name = tree_text("%s/class/fc_host/%s/symbolic_name", sysfs, host);
    found = name ? strstr(name, over) : NULL;
    return found ? strndup(found + strlen(over), strcspn(found + strlen(over), " \t")) : NULL;
}

bool adapters_is_fcoe(const char *sysfs, const char *host)
{
    /* Drivers that know nothing else; lpfc says which protocol it speaks; qla2xxx has this address on converged adapters. */
    static const char *const drivers[] = {"fcoe", "bnx2fc", "qedf", "fnic"};
    _cleanup_free_ char *interface = ethernet_of(sysfs, host);
    if (interface)
        return true;
    _cleanup_free_ char *driver = tree_text("%s/class/scsi_host/%s/proc_name", sysfs, host);
    for (size_t i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++)
        if (driver && streq(driver, drivers[i]))
            return true;
    _cleanup_free_ char *protocol = tree_text("%s/class/scsi_host/%s/protocol", sysfs, host);
    if (protocol)
        return strcasecmp(protocol, "fcoe") == 0;
    _cleanup_free_ char *mac = tree_text("%s/class/scsi_host/%s/vn_port_mac_address", sysfs, host);
    return mac && *mac && !streq(mac, "00:00:00:00:00:00");
}

static void read_fc(const char *sysfs, struct found *f)
{
    char **hosts, **ports;
    size_t n = tree_list(&hosts, "%s/class/fc_host", sysfs);
    size_t n_ports = tree_list(&ports, "%s/class/fc_remote_ports", sysfs);
    for (size_t i = 0; i < n; i++) {
        const char *h = hosts[i];
        Drover__V1__Adapter *a = add(f, h, adapters_is_fcoe(sysfs, h) ? "fcoe" : "fc");
        xml_set(&a->port_name, tree_text("%s/class/fc_host/%s/port_name", sysfs, h));
        xml_set(&a->node_name, tree_text("%s/class/fc_host/%s/node_name", sysfs, h));
        xml_set(&a->state, tree_text("%s/class/fc_host/%s/port_state", sysfs, h));
        xml_set(&a->speed, tree_text("%s/class/fc_host/%s/speed", sysfs, h));
        xml_set(&a->fabric, tree_text("%s/class/fc_host/%s/fabric_name", sysfs, h));
        xml_set(&a->interface, ethernet_of(sysfs, h));
        for (size_t k = 0; k < n_ports; k++) {
            if (!port_is_of(ports[k], "rport-", h))
                continue;
            _cleanup_free_ char *name = tree_text("%s/class/fc_remote_ports/%s/port_name", sysfs, ports[k]);
            _cleanup_free_ char *state = tree_text("%s/class/fc_remote_ports/%s/port_state", sysfs, ports[k]);
            _cleanup_free_ char *roles = tree_text("%s/class/fc_remote_ports/%s/roles", sysfs, ports[k]);
            if (name && (!state || streq(state, "Online")) && (!roles || strstr(roles, "Target")))
                message_append_text(&a->targets, &a->n_targets, name);
        }
    }
    tree_list_free(hosts, n);
    tree_list_free(ports, n_ports);
}

/* ---- iSCSI ---- */

static bool session_is_of(const char *sysfs, const char *session, const char *host)
{
    _cleanup_free_ char *link = xasprintf("%s/class/iscsi_session/%s", sysfs, session);
    _cleanup_free_ char *path = realpath(link, NULL), *part = xasprintf("/%s/", host);
    return path && strstr(path, part);
}

static void read_iscsi(const char *sysfs, struct found *f)
{
    char **hosts, **sessions;
    size_t n = tree_list(&hosts, "%s/class/iscsi_host", sysfs);
    size_t n_sessions = tree_list(&sessions, "%s/class/iscsi_session", sysfs);
    for (size_t i = 0; i < n; i++) {
        const char *h = hosts[i];
        Drover__V1__Adapter *a = add(f, h, "iscsi");
        _cleanup_free_ char *name = tree_text("%s/class/iscsi_host/%s/initiatorname", sysfs, h);
        if (name && !streq(name, "(null)")) /* so the kernel prints one that it doesn't have */
            xml_set(&a->port_name, steal(&name));
        xml_set(&a->interface, tree_text("%s/class/iscsi_host/%s/netdev", sysfs, h));
        xml_set(&a->speed, tree_text("%s/class/iscsi_host/%s/port_speed", sysfs, h));
        for (size_t k = 0; k < n_sessions; k++) {
            if (!session_is_of(sysfs, sessions[k], h))
                continue;
            _cleanup_free_ char *target =
                tree_text("%s/class/iscsi_session/%s/targetname", sysfs, sessions[k]);
            _cleanup_free_ char *state = tree_text("%s/class/iscsi_session/%s/state", sysfs, sessions[k]);
            if (target)
                message_append_text(&a->targets, &a->n_targets, target);
            if (state && !*a->state)
                xml_set(&a->state, steal(&state));
        }
    }
    tree_list_free(hosts, n);
    tree_list_free(sessions, n_sessions);
}

/* ---- SRP ---- */

static void read_srp(const char *sysfs, struct found *f)
{
    char **hosts, **ports;
    size_t n = tree_list(&hosts, "%s/class/srp_host", sysfs);
    size_t n_ports = tree_list(&ports, "%s/class/srp_remote_ports", sysfs);
    for (size_t i = 0; i < n; i++) {
        const char *h = hosts[i];
        Drover__V1__Adapter *a = add(f, h, "srp");
        xml_set(&a->port_name, tree_text("%s/class/scsi_host/%s/sgid", sysfs, h));
        xml_set(&a->interface, tree_text("%s/class/scsi_host/%s/local_ib_device", sysfs, h));
        for (size_t k = 0; k < n_ports; k++) {
            if (!port_is_of(ports[k], "port-", h))
                continue;
            _cleanup_free_ char *id = tree_text("%s/class/srp_remote_ports/%s/port_id", sysfs, ports[k]);
            _cleanup_free_ char *state = tree_text("%s/class/srp_remote_ports/%s/state", sysfs, ports[k]);
            if (id)
                message_append_text(&a->targets, &a->n_targets, id);
            if (state && !*a->state)
                xml_set(&a->state, steal(&state));
        }
    }
    tree_list_free(hosts, n);
    tree_list_free(ports, n_ports);
}

size_t adapters_read(const char *sysfs, Drover__V1__Adapter ***ret)
{
    struct found f = {0};
    read_fc(sysfs, &f);
    read_iscsi(sysfs, &f);
    read_srp(sysfs, &f);
    *ret = f.list;
    return f.n;
}
