/* What stands in the way of a guest on a host, beside the planner's own limits: preflight's rules, pins, and what comes there. */
#include "common/base/cleanup.h"
#include "common/base/memory.h"
#include "coordinator/core/explain.h"
#include "coordinator/core/planner_view.h"
#include "coordinator/core/text.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool view_accepts(const struct view *v, const char *id)
{
    for (size_t i = 0; i < v->of.n_accept; i++)
        if (streq(v->of.accept[i], id))
            return true;
    return false;
}

/* Whether a pin, a label or a group that is to be apart forbids anything. */
bool view_rules_bind(const struct view *v)
{
    return !view_accepts(v, "guest-rules");
}

static bool one_of(const char *id, const char *const *list)
{
    while (*list && !streq(*list, id))
        list++;
    return *list;
}

struct preflight view_move(const struct view *v, uint32_t guest, const struct fleet_host *to)
{
    const struct fleet_guest *g = v->view.guests[guest];
    Drover__V1__Mode mode = fleet_guest_active(g->guest) ? v->of.mode : DROVER__V1__MODE__MODE_AUTO;
    return (struct preflight){
        .fleet = &v->nobody,
        .source = g->host,
        .destination = to,
        .guest = g,
        .mode = preflight_mode(mode, g->guest),
        .policy = &v->policies[guest],
        .copy_storage = v->of.copy_storage,
    };
}

static const char *another_copy(struct view *v, uint32_t guest)
{
    const struct fleet_guest *g = v->view.guests[guest];
    if (v->searched[guest])
        return v->elsewhere[guest];
    v->searched[guest] = true;
    for (size_t h = 0; fleet_has_copies(v->of.fleet, g) && h < v->of.fleet->n_hosts && !v->elsewhere[guest];
         h++) {
        const struct fleet_host *host = &v->of.fleet->hosts[h];
        const struct fleet_guest *other = host == g->host ? NULL : fleet_guest_on(host, g->guest->uuid);
        if (other && host->up && fleet_guest_active(other->guest) && fleet_guest_active(g->guest))
            v->elsewhere[guest] = xasprintf("it is active on %s, too (guest-elsewhere)", host->name);
    }
    return v->elsewhere[guest];
}

static const struct guest_rule *shut_out(const struct view *v, const char *guest, const char *host)
{
    const struct guest_rules *rules = v->of.rules;
    for (size_t i = 0; rules && view_rules_bind(v) && i < rules->n_rules; i++)
        if (rules->rules[i].hosts.n && names_match(&rules->rules[i].guests, guest) &&
            !names_match(&rules->rules[i].hosts, host))
            return &rules->rules[i];
    return NULL;
}

/* Of a group that is to be apart, a guest that comes to that host by a move outside the plan. */
static const Drover__V1__Job *comes_there(const struct view *v, uint32_t guest, const char *host)
{
    const struct planner_guest *g = &v->guests[guest];
    for (size_t i = 0; g->n_groups && view_rules_bind(v) && i < v->of.n_open; i++) {
        const Drover__V1__Job *other = v->of.open[i];
        for (size_t k = 0; streq(other->destination, host) && v->of.rules && k < v->of.rules->n_groups; k++)
            if (v->of.rules->groups[k].apart && names_match(&v->of.rules->groups[k].guests, g->name) &&
                names_match(&v->of.rules->groups[k].guests, other->guest) &&
                strcasecmp(other->guest_uuid, g->uuid) != 0)
                return other;
    }
    return NULL;
}

const char *view_why_not(void *arg, uint32_t guest, uint32_t host)
{
    /* What passes, the planner's own, or the host's state. */
    static const char *const others[] = {"guest-busy",       "memory-free", "vcpu-limit", "host-up",
                                         "host-told",        "host-role",   "libvirt-up", "same-host",
                                         "host-maintenance", NULL};
    struct view *v = arg;
    const struct fleet_guest *g = v->view.guests[guest];
    const struct fleet_host *to = &v->of.fleet->hosts[host];
    const struct guest_rule *rule = shut_out(v, g->guest->name, to->name);
    struct preflight in = view_move(v, guest, to);
    struct findings findings = {0};
    free(steal(&v->why));
    if (another_copy(v, guest))
        return v->elsewhere[guest];
    const Drover__V1__Job *other = comes_there(v, guest, to->name);
    if (other)
        return v->why = xasprintf("%s, which it is to be apart from, is on its way there", other->guest);
    if (rule) {
        _cleanup_free_ char *hosts = NULL;
        for (size_t i = 0; i < rule->hosts.n; i++)
            text_append(&hosts, ", ", "%s", rule->hosts.list[i]);
        return v->why = xasprintf("pinned to %s by guests[%zu] in coordinator.yaml", hosts,
                                  (size_t)(rule - v->of.rules->rules));
    }
    preflight_run(&in, &findings);
    accept_apply(&findings, v->of.accept, v->of.n_accept);
    for (size_t i = 0; i < findings.n; i++) {
        const Drover__V1__Finding *f = findings.list[i];
        if (f->severity != DROVER__V1__SEVERITY__BLOCK || one_of(f->id, others) ||
            (v->guests[guest].pages && streq(f->id, "hugepages")))
            continue;
        /* Alike for all hosts that lack the same thing. */
        if (strstr(f->subject, to->name))
            text_append(&v->why, ", ", "%s", f->id);
        else
            text_append(&v->why, ", ", "%s (%s)", f->subject, f->id);
    }
    findings_deinit(&findings);
    return v->why;
}
