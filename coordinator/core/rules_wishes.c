/* Rules about what the operator wishes of guests: groups, pins and labels in coordinator.yaml. That a group stays together is no rule
 * of one move: its guests follow one after the other. */
#include "coordinator/core/guest_rules.h"
#include "coordinator/core/rules.h"

#include <strings.h>

static bool has_label(const struct guest_rules *rules, const char *host, const char *label)
{
    for (size_t i = 0; i < rules->n_hosts; i++)
        if (streq(rules->hosts[i].host, host))
            return names_have(&rules->hosts[i].labels, label);
    return false;
}

static void look_at_guest(const struct preflight *in, const struct rule *rule, size_t i, struct findings *out)
{
    const struct guest_rules *rules = in->fleet->rules;
    const struct guest_rule *wish = &rules->rules[i];
    const char *guest = in->guest->guest->name, *host = in->destination->name;
    if (wish->pinned)
        found(("guest %s", guest), ("guests[%zu] in coordinator.yaml pins it to where it is", i),
              ("no `pinned`"), ("leave it where it is, or accept the move"));
    if (wish->hosts.n && !names_match(&wish->hosts, host))
        found(("guest %s", guest), ("guests[%zu] in coordinator.yaml names other hosts than %s", i, host),
              ("one of its `hosts`"), ("choose one of these"));
    for (size_t k = 0; k < wish->require.n; k++)
        if (!has_label(rules, host, wish->require.list[k]))
            found(("guest %s", guest), ("%s has no label %s", host, wish->require.list[k]),
                  ("it: guests[%zu] in coordinator.yaml requires it", i), ("choose a host that has it"));
}

/* Two that go there at the same time see each other nowhere else. */
static void look_at_coming(const struct preflight *in, const struct rule *rule,
                           const struct guest_group *group, struct findings *out)
{
    const Drover__V1__Guest *g = in->guest->guest;
    const struct fleet_host *h = in->destination;
    for (size_t i = 0; h != in->source && i < in->n_open; i++) {
        const Drover__V1__Job *other = in->open[i];
        if (streq(other->destination, h->name) && strcasecmp(other->guest_uuid, g->uuid) != 0 &&
            names_match(&group->guests, other->guest) && !fleet_guest_on(h, other->guest_uuid))
            found(("guest %s", g->name),
                  ("%s, of the same group %s, is on its way to %s", other->guest, group->name, h->name),
                  ("a host without another guest of that group: they are to be apart"),
                  ("choose another host"));
    }
}

static void look_at_group(const struct preflight *in, const struct rule *rule,
                          const struct guest_group *group, struct findings *out)
{
    const struct fleet_host *h = in->destination;
    const Drover__V1__Guest *g = in->guest->guest;
    for (size_t i = 0; h != in->source && i < h->n_guests; i++) {
        const Drover__V1__Guest *other = h->guests[i].guest;
        if (!streq(other->uuid, g->uuid) && names_match(&group->guests, other->name))
            found(("guest %s", g->name),
                  ("%s, of the same group %s, is on %s", other->name, group->name, h->name),
                  ("a host without another guest of that group: they are to be apart"),
                  ("choose another host"));
    }
}

RULE(guest_rules)
{
    const struct guest_rules *rules = in->fleet->rules;
    for (size_t i = 0; rules && i < rules->n_rules; i++)
        if (names_match(&rules->rules[i].guests, in->guest->guest->name))
            look_at_guest(in, rule, i, out);
    for (size_t i = 0; rules && i < rules->n_groups; i++)
        if (rules->groups[i].apart && names_match(&rules->groups[i].guests, in->guest->guest->name)) {
            look_at_group(in, rule, &rules->groups[i], out);
            look_at_coming(in, rule, &rules->groups[i], out);
        }
}
