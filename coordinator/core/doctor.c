#include "coordinator/core/doctor.h"

#include "common/base/memory.h"
#include "coordinator/core/doctor_rules.h"

#define B DROVER__V1__SEVERITY__BLOCK
#define W DROVER__V1__SEVERITY__WARN
#define I DROVER__V1__SEVERITY__INFO

/* All rules, in the order in which their findings are told. */
static const struct doctor_rule rules[] = {
    {"host-up", B, ANY_HOST, doctor_host_up, NULL},
    {"agent-silent", B, UP, doctor_agent_silent, NULL},
    {"libvirt-up", B, UP | HYPERVISOR, doctor_libvirt_up, NULL},
    {"host-uuid", B, UP | HYPERVISOR, doctor_host_uuid, NULL},
    {"service-inactive", B, INSPECTED | HYPERVISOR, doctor_service_inactive,
     "Neither libvirtd nor virtqemud is active on the host."},
    {"service-disabled", W, INSPECTED | HYPERVISOR, doctor_service_disabled,
     "libvirt's service (or the socket that starts it) is not enabled: after a reboot of the host nothing "
     "could move there."},
    {"libvirt-remote", B, UP | HYPERVISOR, doctor_libvirt_remote,
     "The agent does not know by which URI other hosts' libvirt reaches this one's."},
    {"libvirt-listening", B, UP | HYPERVISOR, doctor_libvirt_listening,
     "libvirt does not listen for other hosts in the way that the agent's libvirt_remote says: TLS, or TCP."},
    {"libvirt-unencrypted", I, UP | HYPERVISOR, doctor_libvirt_unencrypted,
     "libvirt listens on plain TCP without authentication: whoever reaches the port is root on the host. For "
     "labs only."},
    {"libvirt-port", B, UP | HYPERVISOR, doctor_libvirt_port, NULL},
    {"migration-address", B, UP | HYPERVISOR, doctor_migration_address, NULL},
    {"port-range", B, UP | HYPERVISOR, doctor_port_range, NULL},
    {"migration-port", B, UP | HYPERVISOR, doctor_migration_port, NULL},
    {"port-unproven", W, UP | HYPERVISOR, doctor_port_unproven, NULL},
    {"migration-listen", B, INSPECTED | HYPERVISOR, doctor_listens_elsewhere, NULL},
    {"migrate-tls-force", B, INSPECTED | HYPERVISOR, doctor_tls_forced, NULL},
    {"libvirt-auth", W, UP | HYPERVISOR, doctor_libvirt_auth, NULL},
    {"migration-host", W, INSPECTED | HYPERVISOR, doctor_migration_host,
     "qemu.conf names a migration_host of its own, or a name for migration_address. Drover gives libvirt the "
     "address of agent.yaml; two that differ confuse whoever looks."},
    {"host-name", W, INSPECTED | HYPERVISOR, doctor_host_name,
     "The host's name does not resolve, or to an address of loopback. libvirt uses the name where no address "
     "is given."},
    {"guest-held", W, UP, doctor_guest_held,
     "The host is part of a guest's move that no job knows: its coordinator's store was lost or restored, or "
     "it "
     "was another coordinator. The host takes no other move of the guest until that one is cleared away."},
    {"clock-offset", W, UP, doctor_clock, NULL},
    {"certificate-expired", B, INSPECTED, doctor_certificate_expired,
     "A certificate of Drover or of libvirt has expired or is not valid yet. TLS connections with it are "
     "refused."},
    {"certificate-expiring", W, INSPECTED, doctor_certificate_expiring,
     "A certificate of Drover or of libvirt expires within 30 days."},
    {"certificate-unreadable", W, INSPECTED, doctor_certificate_unreadable,
     "A certificate file that is there can't be read as one."},
    {"mount-hangs", B, INSPECTED, doctor_mount_hangs,
     "A mounted file system does not answer. Guests whose disks are on it hang, and so does whatever looks "
     "at it."},
    {"mount-read-only", I, INSPECTED | HYPERVISOR, doctor_mount_read_only,
     "A network file system is mounted read-only. That is fine for media, and no place for guests' disks."},
    {"nothing-exported", W, INSPECTED | EXPORTER, doctor_nothing_exported,
     "The agent has the role storage, and no export, target or volume was found on its host."},
    {"inspection-gaps", I, INSPECTED, doctor_gaps,
     "Some things could not be read on the host, so they were not judged."},
};

#define N_RULES (sizeof(rules) / sizeof(rules[0]))

const char *doctor_rule_id(size_t index)
{
    return index < N_RULES ? rules[index].id : NULL;
}

bool doctor_about(size_t index, struct finding_about *ret)
{
    for (size_t i = 0, n = 0; i < N_RULES; i++)
        if (rules[i].about && n++ == index) {
            *ret = (struct finding_about){rules[i].id, rules[i].about, rules[i].severity, false};
            return true;
        }
    return false;
}

static bool asked(const struct doctor_rule *rule, const struct doctor *in)
{
    const Drover__V1__HostReport *r = in->host->report;
    bool up = in->host->up && r;
    if (rule->when != ANY_HOST && !up)
        return false;
    if ((rule->when & INSPECTED) && !evidence_inspection(in->evidence, in->host))
        return false;
    return !((rule->when & HYPERVISOR) && !r->hypervisor) && !((rule->when & EXPORTER) && !r->storage);
}

void doctor_run(const struct doctor *in, struct findings *out)
{
    for (size_t i = 0; i < N_RULES; i++)
        if (asked(&rules[i], in))
            rules[i].look(in, &rules[i], out);
}

const struct fleet_host *doctor_peer(const struct fleet *fleet, const struct fleet_host *host)
{
    size_t at = (size_t)(host - fleet->hosts);
    for (size_t k = 1; k < fleet->n_hosts; k++) {
        const struct fleet_host *h = &fleet->hosts[(at + k) % fleet->n_hosts];
        if (h->up && h->report && h->report->hypervisor)
            return h;
    }
    return NULL;
}
