#include "coordinator/core/preflight.h"

#include "coordinator/core/rules.h"

#include <stdlib.h>
#include <string.h>

#define B DROVER__V1__SEVERITY__BLOCK
#define W DROVER__V1__SEVERITY__WARN

/* All rules, in the order in which their findings are told: the hosts, the guest, then what it needs at the destination.
 * A new one is a line here and a function in a rules_*.c. */
static const struct rule rules[] = {
    {"host-up", B, ALWAYS, rule_host_up},
    {"host-told", B, ALWAYS, rule_host_told},
    {"host-role", B, REPORTS, rule_host_role},
    {"libvirt-up", B, REPORTS, rule_libvirt_up},
    {"same-host", B, ALWAYS, rule_same_host},
    {"host-uuid", B, LIBVIRT, rule_host_uuid},
    {"agent-version", W, REPORTS, rule_agent_version},
    {"libvirt-version", W, LIBVIRT, rule_libvirt_version},
    {"qemu-version", W, LIBVIRT, rule_qemu_version},

    {"guest-busy", B, ALWAYS, rule_guest_busy},
    {"guest-state", B, ALWAYS, rule_guest_state},
    {"mode-allowed", B, ALWAYS, rule_mode_allowed},
    {"guest-elsewhere", B, ALWAYS, rule_guest_elsewhere},
    {"guest-remembered", W, ALWAYS, rule_guest_remembered},
    {"host-device", B, MOVING, rule_hostdevs},
    {"host-device-defined", W, AT_REST, rule_hostdevs},
    {"snapshots", B, MOVING, rule_snapshots},
    {"checkpoints", B, ALWAYS, rule_checkpoints},
    {"managed-save", B, AT_REST, rule_managed_save},
    {"firmware-variables", B, AT_REST, rule_nvram},

    {"name-free", B, ALWAYS, rule_name_free},
    {"uuid-free", B, ALWAYS, rule_uuid_free},
    {"listening", B, LIBVIRT | MOVING, rule_listening},
    {"migration-address", B, LIBVIRT | MOVING, rule_migration_address},
    {"memory-free", B, LIBVIRT | MOVING, rule_memory_free},
    {"memory-to-start", W, LIBVIRT | AT_REST, rule_memory_free},
    {"memory-overcommit", W, LIBVIRT | MOVING, rule_memory_overcommit},
    {"vcpus", W, LIBVIRT, rule_vcpus},
    {"accelerator", B, LIBVIRT, rule_accelerator},
    {"arch", B, LIBVIRT, rule_arch},
    {"machine-type", B, LIBVIRT, rule_machine_type},
    {"cpu-model", W, LIBVIRT | MOVING, rule_cpu_model},
    {"bridge", B, LIBVIRT, rule_bridges},
    {"network", B, LIBVIRT, rule_networks},
    {"interface-kind", W, ALWAYS, rule_interface_kind},
    {"storage-pool", B, LIBVIRT, rule_storage_pools},
    {"storage-unproven", W, LIBVIRT, rule_storage_unproven},
};

#define N_RULES (sizeof(rules) / sizeof(rules[0]))

const char *preflight_rule_id(size_t index)
{
    return index < N_RULES ? rules[index].id : NULL;
}

static bool tells_all(const struct fleet_host *host)
{
    return host->up && host->report->hypervisor && host->report->libvirt_up;
}

static bool asked(const struct rule *rule, const struct preflight *in)
{
    const Drover__V1__HostReport *from = in->source->report, *to = in->destination->report;
    bool moving = in->mode != DROVER__V1__MODE__MODE_DEFINITION;
    if ((rule->when & (REPORTS | LIBVIRT)) && (!from || !to))
        return false;
    if ((rule->when & LIBVIRT) && !(tells_all(in->source) && tells_all(in->destination)))
        return false;
    if ((rule->when & MOVING) && !moving)
        return false;
    return !((rule->when & AT_REST) && moving);
}

void preflight_run(const struct preflight *in, struct findings *out)
{
    for (size_t i = 0; i < N_RULES; i++)
        if (asked(&rules[i], in))
            rules[i].look(in, &rules[i], out);
}

void finding_add(struct findings *findings, const char *id, Drover__V1__Severity severity, char *subject,
                 char *seen, char *expected, char *todo)
{
    Drover__V1__Finding *f = new0(Drover__V1__Finding);
    drover__v1__finding__init(f);
    f->id = xstrdup(id);
    f->severity = severity;
    f->subject = subject;
    f->seen = seen;
    f->expected = expected;
    f->todo = todo;
    findings->list = xrealloc(findings->list, findings->n + 1, sizeof(findings->list[0]));
    findings->list[findings->n++] = f;
}

void findings_deinit(struct findings *findings)
{
    for (size_t i = 0; i < findings->n; i++)
        drover__v1__finding__free_unpacked(findings->list[i], NULL);
    free(findings->list);
    *findings = (struct findings){0};
}

const Drover__V1__Finding *findings_block(const struct findings *findings)
{
    for (size_t i = 0; i < findings->n; i++)
        if (findings->list[i]->severity == B)
            return findings->list[i];
    return NULL;
}

Drover__V1__Mode preflight_mode(Drover__V1__Mode asked_for, const Drover__V1__Guest *guest)
{
    bool off = guest->state == DROVER__V1__GUEST_STATE__GUEST_SHUTOFF;
    switch (asked_for) {
    case DROVER__V1__MODE__MODE_AUTO:
        return off ? DROVER__V1__MODE__MODE_DEFINITION : DROVER__V1__MODE__MODE_LIVE;
    case DROVER__V1__MODE__MODE_OFFLINE:
        return off ? DROVER__V1__MODE__MODE_DEFINITION : DROVER__V1__MODE__MODE_OFFLINE;
    default: return asked_for;
    }
}

/* An allowance for QEMU's own memory beside the guest's; there is no exact bound. */
#define QEMU_OVERHEAD (64ULL << 20)

uint64_t preflight_need(const Drover__V1__Guest *guest)
{
    return guest->memory_max + QEMU_OVERHEAD;
}

int64_t preflight_room(const struct fleet_host *destination, uint64_t promised,
                       const Drover__V1__Guest *guest)
{
    const Drover__V1__HostReport *r = destination->report;
    /* Once prepared, a promised guest is in the agent's own count of reservations. */
    uint64_t held = r->memory_reserved > promised ? r->memory_reserved : promised;
    return (int64_t)r->memory_free - (int64_t)held - (int64_t)preflight_need(guest);
}
