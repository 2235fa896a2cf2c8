/* Asks the rules of preflight.c, each when its facts are there. */
#include "coordinator/core/preflight.h"

#include "coordinator/core/mapping.h"
#include "coordinator/core/rules.h"

#include <string.h>

static bool tells_all(const struct fleet_host *host)
{
    return host->up && host->report && host->report->hypervisor && host->report->libvirt_up;
}

static bool asked(const struct rule *rule, const struct preflight *in)
{
    const Drover__V1__HostReport *from = in->source->report, *to = in->destination->report;
    bool probed = in->evidence && in->evidence->n && from && to;
    bool silent = probed && (evidence_silent(in->evidence, in->source) ||
                             evidence_silent(in->evidence, in->destination));
    if (((rule->when & PROBED) && (!probed || silent)) || ((rule->when & SILENT) && !silent))
        return false;
    if (in->own && !(rule->when & OWN))
        return false;
    bool moving = in->mode != DROVER__V1__MODE__MODE_DEFINITION;
    if ((rule->when & (REPORTS | LIBVIRT)) && (!from || !to))
        return false;
    if ((rule->when & LIBVIRT) && !(tells_all(in->source) && tells_all(in->destination)))
        return false;
    if ((rule->when & MOVING) && !moving)
        return false;
    return !((rule->when & AT_REST) && moving);
}

/* With what the source's libvirt says now of things that it sends no event about. `with` borrows all, and is not freed. */
static void refresh(const struct preflight *in, struct fleet_guest *with, Drover__V1__Guest *guest)
{
    const Drover__V1__GuestNow *now = evidence_guest(in->evidence, in->source);
    *with = *in->guest;
    *guest = *in->guest->guest;
    with->guest = guest;
    if (!now || !streq(now->uuid, guest->uuid))
        return;
    guest->snapshots = now->snapshots;
    guest->checkpoints = now->checkpoints;
    guest->managed_save = now->managed_save;
    guest->job = guest->job || now->job;
}

void preflight_run(const struct preflight *in, struct findings *out)
{
    struct preflight with = *in;
    struct fleet_guest guest;
    Drover__V1__Guest now;
    refresh(in, &guest, &now);
    with.guest = &guest;
    Drover__V1__Mapping *mapping = mapping_between(in->fleet->mappings, in->source, in->destination);
    Drover__V1__Guest *mapped = mapping ? mapping_guest(mapping, in->guest->guest) : NULL;
    with.there = mapped ? mapped : in->guest->guest;
    const struct rule *rule;
    for (size_t i = 0; (rule = preflight_rule(i)); i++)
        if (asked(rule, &with))
            rule->look(&with, rule, out);
    storage_mark_elsewhere(&with, out);
    drover__v1__guest__free_unpacked(mapped, NULL);
    drover__v1__mapping__free_unpacked(mapping, NULL);
}

Drover__V1__Mode preflight_mode(Drover__V1__Mode asked_for, const Drover__V1__Guest *guest)
{
    bool off = guest->state == DROVER__V1__GUEST_STATE__GUEST_SHUTOFF;
    switch (asked_for) {
    case DROVER__V1__MODE__MODE_AUTO:
    case DROVER__V1__MODE__MODE_OFFLINE: return off ? DROVER__V1__MODE__MODE_DEFINITION : asked_for;
    default: return asked_for;
    }
}
