/* Rules about libvirt's own configuration on the two hosts. */
#include "coordinator/core/host_settings.h"
#include "coordinator/core/rules.h"

/* libvirt asks for it where a migration begins, not where it arrives. */
RULE(tls_forced)
{
    const Drover__V1__Setting *s = setting_tls_forced(evidence_inspection(in->evidence, in->source));
    if (s)
        found(("host %s", in->source->name), ("%s:%u: %s = %s", s->file, s->line, s->key, s->value),
              ("migrations without QEMU's own TLS: Drover asks libvirt for no other"),
              ("comment the line out on %s and restart its libvirt; keep migration data on a network of "
               "the hosts' own",
               in->source->name));
}

RULE(listens_elsewhere)
{
    const Drover__V1__HostReport *r = in->destination->report;
    const Drover__V1__Setting *s =
        setting_listens_elsewhere(evidence_inspection(in->evidence, in->destination), r);
    if (s)
        found(("host %s", in->destination->name), ("%s:%u: %s = \"%s\"", s->file, s->line, s->key, s->value),
              ("QEMU listening on %s, to which its agent.yaml has guests sent", r->migration_address),
              ("set both to one address, or comment the line out and restart libvirt on %s",
               in->destination->name));
}

RULE(libvirt_auth)
{
    const Drover__V1__HostReport *r = in->destination->report;
    const char *auth = remote_auth(r);
    if (auth)
        found(("host %s", in->destination->name),
              ("its libvirt asks who connects for %s (auth_%s: %s)", auth, remote_is_tls(r) ? "tls" : "tcp",
               r->listening->source),
              ("nothing to be asked but TLS's certificates, or credentials that libvirt on %s has",
               in->source->name),
              ("as root on %s: virsh -c %s hostname; if it asks or fails: TLS, with auth_tls = \"none\" in "
               "libvirtd.conf (modular: virtproxyd.conf) on %s",
               in->source->name, r->libvirt_remote, in->destination->name));
}
