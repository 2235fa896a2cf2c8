/* The rules of `drover doctor`. Each says the exact change to make. */
#include "coordinator/core/doctor_rules.h"

#include "common/base/cleanup.h"
#include "common/base/memory.h"
#include "coordinator/core/firewall_text.h"
#include "coordinator/core/host_settings.h"

#include <string.h>

static const Drover__V1__Inspection *seen_of(const struct doctor *in)
{
    return evidence_inspection(in->evidence, in->host);
}

static bool starts(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

DOCTOR(host_up)
{
    if (!in->host->up || !in->host->report)
        host_found(
            ("no session with its agent: %s", in->host->why ? in->host->why : "it has not reported yet"),
            ("a session"),
            ("systemctl enable --now drover-agent there; it must answer at %s", in->host->agent_url));
}

DOCTOR(agent_silent)
{
    const struct ask *a = evidence_inspect(in->evidence, in->host);
    const Drover__V1__Inspection *seen = a ? a->inspection : NULL;
    if (a && (!seen || !seen->host)) /* an older agent that hangs says so, without a fact */
        host_found(("%s", seen && seen->n_errors ? seen->errors[0] : ask_words(a)), ("the host's facts"),
                   ("%s", ask_unknown(a) ? "update drover-agent there: it is older than the coordinator"
                                         : "see its log: journalctl -u drover-agent"));
}

DOCTOR(libvirt_up)
{
    const Drover__V1__HostReport *r = in->host->report;
    if (!r->libvirt_up)
        host_found(
            ("libvirt does not answer: %s", r->libvirt_error[0] ? r->libvirt_error : "no reason known"),
            ("libvirt answering at %s", r->libvirt_uri),
            ("systemctl enable --now libvirtd.service (or virtqemud.socket)"));
}

DOCTOR(host_uuid)
{
    const char *uuid = in->host->report->host_uuid;
    for (size_t i = 0; i < in->fleet->n_hosts && uuid[0]; i++) {
        const struct fleet_host *h = &in->fleet->hosts[i];
        if (h != in->host && h->report && streq(h->report->host_uuid, uuid))
            host_found(("host UUID %s, as on %s", uuid, h->name),
                       ("one of its own: libvirt refuses to migrate between equal ones"),
                       ("in libvirtd.conf (or virtqemud.conf) there: host_uuid = \"...\" with the output of "
                        "uuidgen; then "
                        "restart libvirt"));
    }
}

static const Drover__V1__Service *service(const struct doctor *in, const char *unit)
{
    const Drover__V1__HostFacts *h = seen_of(in)->host;
    for (size_t i = 0; h && i < h->n_services; i++)
        if (starts(h->services[i]->unit, unit))
            return h->services[i];
    return NULL;
}

static bool is_active(const struct doctor *in, const char *unit)
{
    const Drover__V1__HostFacts *h = seen_of(in)->host;
    for (size_t i = 0; h && i < h->n_services; i++)
        if (starts(h->services[i]->unit, unit) &&
            (streq(h->services[i]->active, "active") || streq(h->services[i]->active, "running")))
            return true;
    return false;
}

DOCTOR(service_inactive)
{
    const Drover__V1__Service *monolith = service(in, "libvirtd"), *modular = service(in, "virtqemud");
    if ((monolith || modular) && !is_active(in, "libvirtd") && !is_active(in, "virtqemud") &&
        !in->host->report->libvirt_up)
        host_found(("libvirtd is %s, virtqemud is %s", monolith ? monolith->active : "absent",
                    modular ? modular->active : "absent"),
                   ("one of them active"),
                   ("systemctl enable --now %s",
                    modular && !streq(modular->active, "absent") ? "virtqemud.socket" : "libvirtd.service"));
}

/* The socket unit that listens in the way of libvirt_remote now and won't after a reboot; NULL: none. */
static const Drover__V1__Service *deaf_after_boot(const struct doctor *in)
{
    const Drover__V1__HostFacts *h = seen_of(in)->host;
    const char *end = remote_is_tls(in->host->report) ? "-tls.socket" : "-tcp.socket";
    for (size_t i = 0; h && i < h->n_services; i++) {
        const Drover__V1__Service *s = h->services[i];
        if (strstr(s->unit, end) && streq(s->active, "active") && streq(s->enabled, "disabled"))
            return s;
    }
    return NULL;
}

DOCTOR(service_disabled)
{
    const Drover__V1__HostFacts *h = seen_of(in)->host;
    bool enabled = false, told = false;
    const char *active = NULL;
    for (size_t i = 0; h && i < h->n_services; i++) {
        const Drover__V1__Service *s = h->services[i];
        if (!starts(s->unit, "libvirtd") && !starts(s->unit, "virtqemud"))
            continue;
        told = told || s->enabled[0];
        enabled = enabled || starts(s->enabled, "enabled");
        if (streq(s->active, "active") && strstr(s->unit, ".service"))
            active = s->unit;
    }
    if (told && !enabled)
        host_found(("libvirt's services are not enabled"), ("libvirt that starts with the host"),
                   ("systemctl enable %s", active ? active : "libvirtd.service"));
    const Drover__V1__Service *socket = told && !enabled ? NULL : deaf_after_boot(in);
    if (socket)
        host_found(("%s listens for other hosts, and is not enabled", socket->unit),
                   ("libvirt that listens after a reboot, too"), ("systemctl enable %s", socket->unit));
}

DOCTOR(libvirt_remote)
{
    if (!in->host->report->libvirt_remote[0])
        host_found(("its agent knows no URI for other hosts' libvirt"),
                   ("libvirt_remote, such as qemu+tls://%s/system", in->host->name),
                   ("set libvirt_remote in /etc/drover/agent.yaml there, and make libvirt listen: systemctl "
                    "enable --now "
                    "libvirtd-tls.socket"));
}

static const struct ask *port(const struct doctor *in, const struct fleet_host *by,
                              Drover__V1__ProbeKind kind)
{
    return by ? evidence_probe(in->evidence, by, kind, in->host->name) : NULL;
}

DOCTOR(libvirt_listening)
{
    const Drover__V1__HostReport *r = in->host->report;
    const Drover__V1__Listening *l = r->listening;
    if (ask_proven(port(in, in->peer, DROVER__V1__PROBE_KIND__PROBE_LIBVIRT_CONNECT)))
        return;
    if (l && starts(r->libvirt_remote, "qemu+tls:") && !l->tls)
        host_found(("%s, but its libvirt does not listen for TLS (%s)", r->libvirt_remote, l->source),
                   ("a listening TLS port"),
                   ("systemctl stop libvirtd.service && systemctl enable --now libvirtd-tls.socket (modular: "
                    "virtproxyd-tls.socket); or in libvirtd.conf: listen_tls = 1, with --listen"));
    if (l && starts(r->libvirt_remote, "qemu+tcp:") && !l->tcp)
        host_found(("%s, but its libvirt does not listen for TCP (%s)", r->libvirt_remote, l->source),
                   ("a listening TCP port"),
                   ("systemctl stop libvirtd.service && systemctl enable --now libvirtd-tcp.socket (modular: "
                    "virtproxyd-tcp.socket); or in libvirtd.conf: listen_tcp = 1, with --listen"));
}

DOCTOR(libvirt_unencrypted)
{
    const Drover__V1__Listening *l = in->host->report->listening;
    if (l && l->tcp && streq(l->auth_tcp, "none"))
        host_found(("libvirt takes TCP connections without authentication (%s)", l->source),
                   ("TLS, or a closed network"),
                   ("in libvirtd.conf: listen_tcp = 0; use TLS: https://libvirt.org/kbase/tlscerts.html"));
}

static bool fails(const struct ask *a)
{
    return ask_refuted(a) || (a && a->state == ASK_FAILED && a->code == STATUS_DEADLINE_EXCEEDED);
}

DOCTOR(libvirt_port)
{
    const struct ask *a = port(in, in->peer, DROVER__V1__PROBE_KIND__PROBE_LIBVIRT_CONNECT);
    const Drover__V1__Listening *l = in->host->report->listening;
    bool tls = starts(in->host->report->libvirt_remote, "qemu+tls:");
    unsigned number = l && tls && l->tls_port    ? l->tls_port
                      : l && !tls && l->tcp_port ? l->tcp_port
                      : tls                      ? 16514
                                                 : 16509;
    _cleanup_free_ char *open =
        firewall_open(in->evidence, in->host, tls ? "libvirt-tls" : "libvirt", number, number);
    if (fails(a) || streq(ask_reason(a), "tls-credentials"))
        host_found(
            ("%s can't reach its libvirt: %s", in->peer->name, ask_words(a)), ("%s to answer", a->probe->url),
            ("%s; with TLS: certificates that name it (https://libvirt.org/kbase/tlscerts.html)", open));
}

DOCTOR(migration_address)
{
    const char *address = in->host->report->migration_address;
    if (!address[0] || streq(address, "0.0.0.0") || streq(address, "::"))
        host_found(("no address for migration data%s%s", address[0] ? ": " : "", address),
                   ("an address that other hosts reach"),
                   ("set migration_address in /etc/drover/agent.yaml there"));
}

DOCTOR(port_range)
{
    const struct ask *a = port(in, in->host, DROVER__V1__PROBE_KIND__PROBE_PORT_OPEN);
    if (ask_refuted(a))
        host_found(
            ("%s", ask_words(a)), ("a free port of the migration range"),
            ("%s",
             streq(ask_reason(a), "range-full")
                 ? "in qemu.conf: migration_port_max = 49471 (or whatever is free); then restart libvirt"
                 : "set migration_address in /etc/drover/agent.yaml to an address of this host"));
}

DOCTOR(migration_port)
{
    const struct ask *opened = port(in, in->host, DROVER__V1__PROBE_KIND__PROBE_PORT_OPEN),
                     *reached = port(in, in->peer, DROVER__V1__PROBE_KIND__PROBE_PORT_CONNECT);
    const Drover__V1__Listening *l = in->host->report->listening;
    unsigned min = l && l->migration_port_min ? l->migration_port_min : 49152;
    unsigned max = l && l->migration_port_max ? l->migration_port_max : 49215;
    _cleanup_free_ char *open = firewall_open(in->evidence, in->host, NULL, min, max);
    if (ask_proven(opened) && fails(reached))
        host_found(("%s can't reach its migration ports: %s", in->peer->name, ask_words(reached)),
                   ("TCP ports %u to %u open", min, max), ("%s", open));
}

/* Asked, without an answer that tells; what fails is told by other rules. */
static bool is_open_question(const struct ask *a)
{
    return a && !ask_proven(a) && !fails(a) && !streq(ask_reason(a), "tls-credentials") &&
           !(a->result && a->result->outcome == DROVER__V1__PROBE_OUTCOME__PROBE_NOT_APPLICABLE);
}

DOCTOR(port_unproven)
{
    const struct ask *opened = port(in, in->host, DROVER__V1__PROBE_KIND__PROBE_PORT_OPEN),
                     *reached = port(in, in->peer, DROVER__V1__PROBE_KIND__PROBE_PORT_CONNECT),
                     *libvirt = port(in, in->peer, DROVER__V1__PROBE_KIND__PROBE_LIBVIRT_CONNECT);
    if (evidence_silent(in->evidence, in->host))
        return; /* told already */
    if (!in->peer)
        host_found(("nobody could try its ports: no other hypervisor's agent is connected"),
                   ("a connection from another host to libvirt's port and to one of the migration range"),
                   ("start drover-agent on another hypervisor (drover hosts), then ask again"));
    const struct ask *migration = ask_proven(opened) ? reached : opened;
    bool never_answered = migration && migration == opened && migration->state == ASK_FAILED;
    if (is_open_question(migration) || never_answered)
        host_found(("nobody could try its migration ports: %s", ask_words(migration)),
                   ("a connection from %s", in->peer->name),
                   ("see the log of drover-agent on %s", migration->host->name));
    if (is_open_question(libvirt))
        host_found(("nobody could try its libvirt's port: %s", ask_words(libvirt)),
                   ("a connection from %s", in->peer->name),
                   ("see the log of drover-agent on %s", libvirt->host->name));
}

DOCTOR(listens_elsewhere)
{
    const Drover__V1__Setting *s = setting_listens_elsewhere(seen_of(in), in->host->report);
    if (s)
        host_found(("%s:%u: %s = \"%s\"", s->file, s->line, s->key, s->value),
                   ("QEMU listening on %s, as agent.yaml says", in->host->report->migration_address),
                   ("set both to the same address, or comment the line out; then restart libvirt"));
}

DOCTOR(tls_forced)
{
    const Drover__V1__Setting *s = setting_tls_forced(seen_of(in));
    if (s)
        host_found(("%s:%u: %s = %s", s->file, s->line, s->key, s->value),
                   ("migrations without QEMU's own TLS: Drover asks libvirt for no other"),
                   ("comment the line out, then restart libvirt; keep migration data on a network of the "
                    "hosts' own"));
}

DOCTOR(libvirt_auth)
{
    const Drover__V1__HostReport *r = in->host->report;
    const char *auth = remote_auth(r);
    if (auth)
        host_found(
            ("its libvirt asks who connects for %s (auth_%s: %s)", auth, remote_is_tls(r) ? "tls" : "tcp",
             r->listening->source),
            ("nothing to be asked but TLS's certificates, or credentials on each other host"),
            ("as root on another host: virsh -c %s hostname; if it asks or fails: TLS, with auth_tls = "
             "\"none\" in libvirtd.conf (modular: virtproxyd.conf)",
             r->libvirt_remote));
}

DOCTOR(migration_host)
{
    const Drover__V1__Setting *s = setting_names_another(seen_of(in), in->host->report);
    if (s)
        host_found(("%s:%u: %s = \"%s\"", s->file, s->line, s->key, s->value),
                   ("%s, as in agent.yaml", in->host->report->migration_address),
                   ("set both to the same address, or comment the line out"));
}

DOCTOR(host_name)
{
    const Drover__V1__HostFacts *h = seen_of(in)->host;
    if (!h || !h->hostname[0])
        return;
    bool good = false;
    for (size_t i = 0; i < h->n_resolves; i++)
        good = good || !(starts(h->resolves[i], "127.") || streq(h->resolves[i], "::1"));
    if ((h->n_resolves || h->resolve_error[0]) && !good)
        host_found(("%s %s%s", h->hostname, h->n_resolves ? "resolves to " : "does not resolve: ",
                    h->n_resolves ? h->resolves[0] : h->resolve_error),
                   ("an address that other hosts reach"),
                   ("in /etc/hosts: %s %s",
                    in->host->report->migration_address[0] ? in->host->report->migration_address : "ADDRESS",
                    h->hostname));
}

DOCTOR(clock)
{
    int64_t off, doubt;
    if (!evidence_clock(in->evidence, in->host, &off, &doubt))
        return;
    if ((off < 0 ? -off : off) - doubt > 1000)
        host_found(("its clock is %lld ms %s the coordinator's", (long long)(off < 0 ? -off : off),
                    off < 0 ? "behind" : "ahead of"),
                   ("clocks within a second"),
                   ("timedatectl set-ntp true there, and see that NTP finds a server: timedatectl"));
}

/* ---- certificates ------------------------------------------------------------------------------------------------ */

#define DAY_MS INT64_C(86400000)

static char *issue_anew(const struct doctor *in, const Drover__V1__Certificate *c)
{
    if (!starts(c->purpose, "drover"))
        return xstrdup("issue a new one: https://libvirt.org/kbase/tlscerts.html");
    const char *address = in->host->report->migration_address, *name = in->host->name;
    return xasprintf("issue a new one: drover pki issue agent/%s --address %s --out %s.pem; copy it to %s "
                     "there (no restart is needed)",
                     name, address[0] ? address : "ADDRESS", name, c->path);
}

DOCTOR(certificate_expired)
{
    const Drover__V1__HostFacts *h = seen_of(in)->host;
    for (size_t i = 0; h && i < h->n_certificates; i++) {
        const Drover__V1__Certificate *c = h->certificates[i];
        bool late = c->not_after && (int64_t)c->not_after <= in->now_ms;
        _cleanup_free_ char *todo = issue_anew(in, c);
        if (late || (int64_t)c->not_before > in->now_ms)
            host_found(("%s (%s) %s", c->path, c->purpose, late ? "has expired" : "is not valid yet"),
                       ("a valid certificate"), ("%s", todo));
    }
}

DOCTOR(certificate_expiring)
{
    const Drover__V1__HostFacts *h = seen_of(in)->host;
    for (size_t i = 0; h && i < h->n_certificates; i++) {
        const Drover__V1__Certificate *c = h->certificates[i];
        int64_t left = (int64_t)c->not_after - in->now_ms;
        _cleanup_free_ char *todo = issue_anew(in, c);
        if (c->not_after && left > 0 && left < 30 * DAY_MS)
            host_found(("%s (%s) expires in %lld days", c->path, c->purpose, (long long)(left / DAY_MS)),
                       ("30 days or more"), ("%s", todo));
    }
}

DOCTOR(certificate_unreadable)
{
    const Drover__V1__HostFacts *h = seen_of(in)->host;
    for (size_t i = 0; h && i < h->n_certificates; i++)
        if (h->certificates[i]->error[0])
            host_found(("%s: %s", h->certificates[i]->path, h->certificates[i]->error),
                       ("a certificate in PEM"), ("replace the file, or its permissions"));
}

/* ---- what another coordinator has left ---------------------------------------------------------------------------- */

DOCTOR(guest_held)
{
    for (size_t i = 0; i < in->n_held; i++) {
        const struct doctor_held *held = &in->held[i];
        const struct fleet_guest *guest = NULL;
        fleet_find_guest(in->fleet, held->guest, &guest, NULL);
        const char *name = guest ? guest->guest->name : held->guest;
        host_found(("it is the %s (%s) of a move of %s that no job knows",
                    held->source ? "source" : "destination", held->state, name),
                   ("no move that nobody carries on"),
                   ("drover free %s --on %s; unless another coordinator runs: then stop one of the two", name,
                    in->host->name));
    }
}

/* ---- storage ----------------------------------------------------------------------------------------------------- */

DOCTOR(mount_hangs)
{
    const Drover__V1__Inspection *seen = seen_of(in);
    for (size_t i = 0; i < seen->n_mounts; i++)
        if (seen->mounts[i]->network && seen->mounts[i]->error[0])
            host_found(
                ("%s at %s: %s", seen->mounts[i]->source, seen->mounts[i]->target, seen->mounts[i]->error),
                ("a file system that answers"),
                ("see that its server is up; else umount -l %s and mount it anew", seen->mounts[i]->target));
}

DOCTOR(mount_read_only)
{
    const Drover__V1__Inspection *seen = seen_of(in);
    for (size_t i = 0; i < seen->n_mounts; i++)
        if (seen->mounts[i]->network && seen->mounts[i]->read_only)
            host_found(("%s is mounted read-only at %s", seen->mounts[i]->source, seen->mounts[i]->target),
                       ("read-write, where guests' disks are"),
                       ("mount -o remount,rw %s, unless it only holds media", seen->mounts[i]->target));
}

DOCTOR(nothing_exported)
{
    if (!seen_of(in)->n_exports)
        host_found(("no NFS export, iSCSI target or GlusterFS volume"), ("what hosts get from it"),
                   ("export it (exportfs, targetcli, gluster volume create), or take storage out of roles in "
                    "its agent.yaml"));
}

DOCTOR(gaps)
{
    const Drover__V1__Inspection *seen = seen_of(in);
    for (size_t i = 0; i < seen->n_errors; i++)
        host_found(("%s", seen->errors[i]), ("something readable"),
                   ("run drover-agent as root there, if it does not"));
}
