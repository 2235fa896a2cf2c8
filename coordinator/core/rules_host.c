/* Rules about the two hosts and what runs on them. */
#include "common/base/cleanup.h"
#include "coordinator/core/rules.h"

#include <string.h>

#define BOTH(in) ((const struct fleet_host *[2]){(in)->source, (in)->destination})

RULE(host_up)
{
    for (int i = 0; i < 2; i++) {
        const struct fleet_host *h = BOTH(in)[i];
        if (!h->up)
            found(("host %s", h->name),
                  ("no session with its agent: %s", h->why ? h->why : "not connected yet"), ("a session"),
                  ("see that drover-agent runs there and answers at %s", h->agent_url));
    }
}

RULE(host_told)
{
    for (int i = 0; i < 2; i++) {
        const struct fleet_host *h = BOTH(in)[i];
        if (h->up && (!h->synced || !h->report))
            found(("host %s", h->name), ("its agent has not told all its guests yet"), ("a complete report"),
                  ("try again in a moment"));
    }
}

RULE(host_role)
{
    for (int i = 0; i < 2; i++) {
        const struct fleet_host *h = BOTH(in)[i];
        if (!h->report->hypervisor)
            found(("host %s", h->name), ("its agent does not have the role hypervisor"), ("a hypervisor"),
                  ("choose another host, or add hypervisor to roles in its agent.yaml"));
    }
}

RULE(host_maintenance)
{
    const struct fleet_host *h = in->destination;
    if (h->maintenance)
        found(("host %s", h->name), ("it is in maintenance"), ("a host that takes guests"),
              ("choose another host, or `drover maintenance off %s`", h->name));
}

RULE(libvirt_up)
{
    for (int i = 0; i < 2; i++) {
        const struct fleet_host *h = BOTH(in)[i];
        if (h->report->hypervisor && !h->report->libvirt_up)
            found(("host %s", h->name),
                  ("libvirt does not answer: %s",
                   h->report->libvirt_error[0] ? h->report->libvirt_error : "no reason known"),
                  ("libvirt answering at %s", h->report->libvirt_uri),
                  ("start it there: systemctl start libvirtd (or virtqemud)"));
    }
}

RULE(agent_silent)
{
    for (int i = 0; i < 2; i++) {
        const struct fleet_host *h = BOTH(in)[i];
        if (evidence_silent(in->evidence, h))
            found(("host %s", h->name), ("its agent is connected, and answered no question in time"),
                  ("answers: without them nothing is proven"),
                  ("see its log there (journalctl -u drover-agent), and whether the host is overloaded; "
                   "restarting the agent harms no guest"));
    }
}

static void add_untold(char **text, const char *what, const char *why)
{
    text_append(text, ", ", "%s%s%s%s", what, why[0] ? " (" : "", why, why[0] ? ")" : "");
}

/* A path where the host may not look has its mount; one of a file system that does not answer has neither. */
static void add_untold_path(char **text, const struct preflight *in, const struct fleet_host *host,
                            const char *path)
{
    const Drover__V1__PathFacts *p = evidence_path(in->evidence, host, path);
    if (!p || (!p->kind[0] && !p->mount))
        add_untold(text, path, p ? p->error : "");
}

static void add_untold_name(char **text, const Drover__V1__Inspection *seen, const char *name)
{
    const char *why = "";
    for (size_t i = 0; i < seen->n_names; i++) {
        if (!streq(seen->names[i]->name, name))
            continue;
        if (seen->names[i]->n_addresses)
            return;
        why = seen->names[i]->error;
    }
    add_untold(text, name, why);
}

/* Of what a host was asked about this guest, what no rule can do without and it has not told: owned by the caller, NULL if nothing is
 * missing. */
static char *untold(const struct preflight *in, const struct ask *a)
{
    const Drover__V1__InspectRequest *q = a->inspect;
    const Drover__V1__Inspection *seen = a->inspection;
    char *text = NULL;
    if (!seen)
        return xasprintf("anything (%s)", ask_words(a));
    if (q->guest[0] && !seen->guest)
        add_untold(&text, "the guest", seen->n_errors ? seen->errors[0] : "");
    for (size_t i = 0; i < q->n_paths; i++)
        add_untold_path(&text, in, a->host, q->paths[i]);
    for (size_t i = 0; i < q->n_pool_volumes; i++)
        add_untold_path(&text, in, a->host, q->pool_volumes[i]);
    return text;
}

/* What the two hosts were asked about the move: not export nodes, nor backing files, which are told by rules of their own. */
static bool is_about_hosts(const struct preflight *in, const struct ask *a)
{
    return a->inspect && !a->key[0] && !ask_unknown(a) &&
           (a->host == in->source || a->host == in->destination);
}

#define each_inspection(in, a)                                                                               \
    for (const struct ask *a = (in)->evidence->asks; a < (in)->evidence->asks + (in)->evidence->n; a++)      \
        if (is_about_hosts(in, a))

/* A rule whose fact is missing keeps still. */
RULE(inspection_missing)
{
    each_inspection(in, a)
    {
        _cleanup_free_ char *missing = untold(in, a);
        if (missing)
            found(("host %s", a->host->name),
                  ("it was asked what the guest needs there, and has not told of: %s", missing),
                  ("an answer: without it nothing says that the guest finds its media and devices"),
                  ("see what does not answer there in time: libvirt (virsh list), a file system (ls), or the "
                   "agent itself (journalctl -u drover-agent)"));
    }
}

RULE(host_untold)
{
    each_inspection(in, a) if (a->inspect->host && a->inspection && !a->inspection->host) found(
        ("host %s", a->host->name), ("it has told what the guest needs, and not of itself"),
        ("its addresses, and what it has of huge pages"),
        ("see whether it is overloaded, and its agent's log (journalctl -u drover-agent); if neither host "
         "serves the guest's disks, --accept host-untold"));
}

RULE(names_untold)
{
    each_inspection(in, a)
    {
        _cleanup_free_ char *names = NULL;
        for (size_t i = 0; a->inspection && i < a->inspect->n_names; i++)
            if (server_unresolved(in, a->inspect->names[i]))
                add_untold_name(&names, a->inspection, a->inspect->names[i]);
        if (names)
            found(("host %s", a->host->name), ("it has not told what a disk's servers are there: %s", names),
                  ("of each disk a server whose name both hosts resolve"),
                  ("see the resolver there (getent ahosts NAME, /etc/resolv.conf), or name the servers "
                   "in /etc/hosts on both"));
    }
}

RULE(same_host)
{
    if (in->source == in->destination)
        found(("host %s", in->destination->name), ("the guest is there already"), ("another host"),
              ("name another host with --to, or none to let Drover choose"));
}

RULE(host_uuid)
{
    const char *uuid = in->destination->report->host_uuid;
    if (in->source != in->destination && uuid[0] && streq(in->source->report->host_uuid, uuid))
        found(("host %s", in->destination->name),
              ("its libvirt has the same host UUID as %s: %s", in->source->name, uuid),
              ("different host UUIDs: libvirt takes equal ones for one host and refuses"),
              ("set host_uuid in libvirtd.conf on one of them (uuidgen) and restart its libvirt"));
}

RULE(agent_version)
{
    const char *version = in->destination->report->agent_version;
    if (!streq(in->source->report->agent_version, version))
        found(("host %s", in->destination->name),
              ("drover-agent %s, while %s has %s", version, in->source->name,
               in->source->report->agent_version),
              ("one version in the fleet"), ("update the older agent"));
}

/* libvirt's numbers: major * 1000000 + minor * 1000 + release. */
#define VERSION_FMT "%u.%u.%u"
#define VERSION(v) (v) / 1000000, (v) / 1000 % 1000, (v) % 1000

static void older(const struct preflight *in, const struct rule *rule, struct findings *out, const char *what,
                  uint32_t there, uint32_t here)
{
    const struct rule by_policy = {
        .id = rule->id, .severity = in->policy->block_older ? DROVER__V1__SEVERITY__BLOCK : rule->severity};
    rule = &by_policy;
    if (there && here && there < here)
        found(("host %s", in->destination->name), ("%s " VERSION_FMT, what, VERSION(there)),
              (VERSION_FMT " or newer, as on %s%s", VERSION(here), in->source->name,
               in->policy->block_older ? " (older_versions of the policy)" : ""),
              ("update %s on %s; going back to an older version is the less tested direction", what,
               in->destination->name));
}

RULE(libvirt_version)
{
    older(in, rule, out, "libvirt", in->destination->report->libvirt_version,
          in->source->report->libvirt_version);
}

RULE(qemu_version)
{
    older(in, rule, out, "QEMU", in->destination->report->qemu_version, in->source->report->qemu_version);
}

static bool has_scheme(const char *uri, const char *scheme)
{
    return strncmp(uri, scheme, strlen(scheme)) == 0;
}

RULE(listening)
{
    const Drover__V1__HostReport *r = in->destination->report;
    const char *name = in->destination->name;
    if (!r->libvirt_remote[0]) {
        found(("host %s", name), ("no way for other hosts' libvirt to reach its libvirt"),
              ("libvirt listening for TLS or TCP"),
              ("make libvirt listen there (systemctl enable --now libvirtd-tls.socket), or set "
               "libvirt_remote in its "
               "agent.yaml"));
        return;
    }
    const Drover__V1__Listening *l = r->listening;
    /* What was seen from the source counts more than what the destination makes of its own files. */
    if (!l || ask_proven(evidence_probe(in->evidence, in->source,
                                        DROVER__V1__PROBE_KIND__PROBE_LIBVIRT_CONNECT, name)))
        return;
    if (has_scheme(r->libvirt_remote, "qemu+tls:") && !l->tls)
        found(("host %s", name),
              ("%s, but its libvirt does not listen for TLS (%s)", r->libvirt_remote, l->source),
              ("a listening TLS port"),
              ("systemctl enable --now libvirtd-tls.socket there, or listen_tls = 1 in "
               "libvirtd.conf with --listen"));
    if (has_scheme(r->libvirt_remote, "qemu+tcp:") && !l->tcp)
        found(("host %s", name),
              ("%s, but its libvirt does not listen for TCP (%s)", r->libvirt_remote, l->source),
              ("a listening TCP port"),
              ("systemctl enable --now libvirtd-tcp.socket there, or listen_tcp = 1 in "
               "libvirtd.conf with --listen"));
}

RULE(migration_address)
{
    const char *address = in->destination->report->migration_address;
    if (!address[0] || streq(address, "0.0.0.0") || streq(address, "::"))
        found(("host %s", in->destination->name),
              ("no address for migration data%s%s", address[0] ? ": " : "", address),
              ("an address that %s reaches", in->source->name), ("set migration_address in its agent.yaml"));
}
