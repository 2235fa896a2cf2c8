#include "coordinator/core/planner_view.h"

#include "common/base/cleanup.h"
#include "common/base/memory.h"
#include "coordinator/core/explain.h"
#include "coordinator/core/text.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *keep(struct view *v, char *text)
{
    v->texts = xrealloc(v->texts, v->n_texts + 1, sizeof(*v->texts));
    return v->texts[v->n_texts++] = text;
}

/* ---- hosts ------------------------------------------------------------------------------------------------------ */

static uint32_t label_number(struct view *v, const char *label)
{
    struct planner_fleet *f = &v->view.fleet;
    uint32_t i = 0;
    while (i < f->n_labels && !streq(v->labels[i], label))
        i++;
    if (i == f->n_labels && i < PLANNER_LABELS)
        v->labels[f->n_labels++] = label;
    return i;
}

static uint64_t label_bits(struct view *v, const struct names *names)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < names->n; i++) {
        uint32_t number = label_number(v, names->list[i]);
        bits |= number < PLANNER_LABELS ? UINT64_C(1) << number : 0;
    }
    return bits;
}

/* NULL: it does. "": nobody would expect it to. */
static const char *takes_not(const struct fleet_host *h)
{
    if (h->report && !h->report->hypervisor)
        return "";
    if (!h->up)
        return "no session with its agent";
    if (!h->synced || !h->report)
        return "its agent has not told all its guests yet";
    return h->report->libvirt_up ? NULL : "libvirt does not answer there";
}

static uint64_t pages_free(const struct fleet_host *h, const struct promised *promised, uint64_t size)
{
    uint64_t bytes = 0, held = preflight_pages_held(h, promised, size);
    for (size_t i = 0; i < h->report->n_hugepages; i++)
        if (h->report->hugepages[i]->page == size)
            bytes = size * h->report->hugepages[i]->free;
    return bytes > held ? bytes - held : 0;
}

static void add_host(struct view *v, uint32_t i)
{
    const struct fleet_host *h = &v->of.fleet->hosts[i];
    const Drover__V1__HostReport *r = h->report;
    const struct guest_rules *rules = v->of.rules;
    const struct promised promised = v->of.promised ? v->of.promised[i] : (struct promised){0};
    struct planner_host *out = &v->hosts[i];
    out->name = h->name;
    out->site = h->site;
    out->why_takes_not = takes_not(h);
    out->takes = !out->why_takes_not;
    out->maintenance = v->of.closed && v->of.closed[i];
    for (size_t k = 0; rules && k < rules->n_hosts; k++)
        if (streq(rules->hosts[k].host, h->name))
            out->labels |= label_bits(v, &rules->hosts[k].labels);
    if (!r)
        return;
    /* As preflight_room counts: a promised guest is in the agent's own reservations once it is prepared. */
    uint64_t held = r->memory_reserved > promised.memory ? r->memory_reserved : promised.memory;
    out->memory_total = r->memory_total;
    out->memory_free = r->memory_free > held ? r->memory_free - held : 0;
    out->huge_free[PLANNER_HUGE_2M] = pages_free(h, &promised, UINT64_C(2) << 20);
    out->huge_free[PLANNER_HUGE_1G] = pages_free(h, &promised, UINT64_C(1) << 30);
    out->cpus = r->cpu ? r->cpu->online : 0;
    out->vcpus = (uint32_t)promised.vcpus;
}

/* ---- guests ----------------------------------------------------------------------------------------------------- */

static char *finding_text(const Drover__V1__Finding *f)
{
    return xasprintf("%s: %s (%s)", f->subject, f->seen, f->id);
}

/* What the rules have against the guest wherever it goes: not that it is busy, which passes, as its step waits for that. */
static char *own_fault(const struct view *v, uint32_t guest)
{
    struct preflight in = view_move(v, guest, v->view.guests[guest]->host);
    struct findings findings = {0};
    char *text = NULL;
    in.own = true;
    preflight_run(&in, &findings);
    accept_apply(&findings, v->of.accept, v->of.n_accept);
    for (size_t i = 0; i < findings.n && !text; i++)
        if (findings.list[i]->severity == DROVER__V1__SEVERITY__BLOCK)
            text = finding_text(findings.list[i]);
    findings_deinit(&findings);
    return text;
}

static void obey(struct view *v, struct planner_guest *out)
{
    const struct guest_rules *rules = v->of.rules;
    bool bind = view_rules_bind(v);
    for (size_t i = 0; rules && i < rules->n_rules; i++) {
        const struct guest_rule *rule = &rules->rules[i];
        if (!names_match(&rule->guests, out->name))
            continue;
        out->require |= bind ? label_bits(v, &rule->require) : 0;
        out->prefer |= label_bits(v, &rule->prefer);
        if (rule->pinned && bind && !out->stays)
            out->stays = keep(v, xasprintf("pinned by guests[%zu] in coordinator.yaml", i));
    }
}

/* Of other sizes, or several, the rules look whether there are any. */
static void add_pages(struct planner_guest *out, const struct fleet_guest *guest)
{
    uint64_t size = 0, bytes = preflight_pages(guest, &size);
    out->huge = size == UINT64_C(2) << 20   ? PLANNER_HUGE_2M
                : size == UINT64_C(1) << 30 ? PLANNER_HUGE_1G
                                            : PLANNER_HUGE_NONE;
    out->pages = out->huge == PLANNER_HUGE_NONE ? 0 : bytes;
}

static void add_usage(struct planner_guest *out, const struct fleet_usage *usage)
{
    out->cpu_load = usage->cpu;
    out->used = usage->memory;
    /* Pages that it never touched are free already. */
    if (usage->memory && usage->memory < out->memory_now)
        out->memory_now = usage->memory;
}

static void add_guest(struct view *v, const struct fleet_guest *guest)
{
    const Drover__V1__Guest *g = guest->guest;
    uint32_t i = v->view.fleet.n_guests++;
    bool active = fleet_guest_active(g);
    struct planner_guest *out = &v->guests[i];
    Drover__V1__Policy *policy = &v->policies[i];
    v->view.guests[i] = guest;
    *policy = *v->of.policy;
    if (v->of.policy_of)
        v->of.policy_of(v->of.arg, g, policy);
    *out = (struct planner_guest){
        .name = g->name,
        .uuid = g->uuid,
        .host = (uint32_t)(guest->host - v->of.fleet->hosts),
        .memory = active ? preflight_need(g) : 0,
        .memory_now = active ? g->memory : 0,
        .vcpus = active ? g->vcpus : 0,
        .vcpu_percent = view_accepts(v, "vcpu-limit") ? 0 : policy->vcpu_percent,
        .stays = v->of.busy ? v->of.busy(v->of.arg, g->uuid) : NULL,
        .recent = v->of.recent && v->of.recent(v->of.arg, g->uuid),
    };
    if (out->memory_now > out->memory)
        out->memory_now = out->memory;
    if (active)
        add_pages(out, guest);
    if (active && guest->usage.known)
        add_usage(out, &guest->usage);
    char *fault = out->stays ? NULL : own_fault(v, i);
    if (fault)
        out->stays = keep(v, fault);
    obey(v, out);
}

bool planner_view_unmeasured(const struct planner_view *view, uint32_t host)
{
    const struct fleet_host *h = &((const struct view *)view)->of.fleet->hosts[host];
    return !h->usage.known && h->up && h->report && h->report->hypervisor;
}

/* A guest that was started a moment ago, or a host whose agent was, is no idle one. */
static void assume_usage(struct view *v)
{
    const struct fleet *fleet = v->of.fleet;
    uint64_t load = 0, vcpus = 0, own = 0, cpus = 0;
    for (uint32_t i = 0; i < fleet->n_hosts; i++) {
        const struct fleet_usage *u = &fleet->hosts[i].usage;
        v->view.measured |= u->known;
        own += u->known ? u->cpu_other : 0;
        cpus += u->known ? v->hosts[i].cpus : 0;
    }
    for (uint32_t i = 0; i < v->view.fleet.n_guests; i++) {
        bool known = v->view.guests[i]->usage.known;
        load += known ? v->guests[i].cpu_load : 0;
        vcpus += known ? v->guests[i].vcpus : 0;
    }
    for (uint32_t i = 0; i < fleet->n_hosts; i++)
        v->hosts[i].cpu_load = fleet->hosts[i].usage.known ? fleet->hosts[i].usage.cpu_other
                               : cpus                      ? (uint32_t)(own * v->hosts[i].cpus / cpus)
                                                           : 0;
    for (uint32_t i = 0; i < v->view.fleet.n_guests; i++)
        if (!v->view.guests[i]->usage.known && vcpus)
            v->guests[i].cpu_load = (uint32_t)(load * v->guests[i].vcpus / vcpus);
}

static int by_key(const void *a, const void *b)
{
    return strcasecmp(((const struct named *)a)->key, ((const struct named *)b)->key);
}

struct seen {
    const struct fleet_guest *guest;
    uint32_t order;
};

/* Of several with one UUID, the one with a process comes first, then the inventory's order. */
static int by_uuid(const void *a, const void *b)
{
    const struct seen *x = a, *y = b;
    int order = strcasecmp(x->guest->guest->uuid, y->guest->guest->uuid);
    bool x_runs = fleet_guest_active(x->guest->guest), y_runs = fleet_guest_active(y->guest->guest);
    if (order)
        return order;
    if (x_runs != y_runs)
        return x_runs ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

/* Where a guest is on its way to. */
static void add_copy(struct view *v, const struct fleet_guest *guest)
{
    if (fleet_guest_active(guest->guest))
        v->hosts[guest->host - v->of.fleet->hosts].vcpus += guest->guest->vcpus;
}

static void add_guests(struct view *v, const struct fleet *fleet)
{
    uint32_t n = 0, i = 0;
    for (size_t h = 0; h < fleet->n_hosts; h++)
        n += (uint32_t)fleet->hosts[h].n_guests;
    struct seen *all = xcalloc(n ? n : 1, sizeof(*all));
    v->guests = xcalloc(n ? n : 1, sizeof(*v->guests));
    v->policies = xcalloc(n ? n : 1, sizeof(*v->policies));
    v->view.guests = xcalloc(n ? n : 1, sizeof(*v->view.guests));
    v->by_uuid = xcalloc(n ? n : 1, sizeof(*v->by_uuid));
    v->groups_of = xcalloc(n ? n : 1, sizeof(*v->groups_of));
    v->searched = xcalloc(n ? n : 1, sizeof(*v->searched));
    v->elsewhere = xcalloc(n ? n : 1, sizeof(*v->elsewhere));
    for (size_t h = 0; h < fleet->n_hosts; h++)
        for (size_t g = 0; g < fleet->hosts[h].n_guests; g++, i++)
            all[i] = (struct seen){&fleet->hosts[h].guests[g], i};
    qsort(all, n, sizeof(*all), by_uuid);
    for (i = 0; i < n; i++) {
        const char *uuid = all[i].guest->guest->uuid;
        if (i && strcasecmp(uuid, all[i - 1].guest->guest->uuid) == 0) {
            add_copy(v, all[i].guest);
            continue;
        }
        v->by_uuid[v->view.fleet.n_guests] = (struct named){uuid, v->view.fleet.n_guests};
        add_guest(v, all[i].guest);
    }
    free(all);
}

/* ---- groups ----------------------------------------------------------------------------------------------------- */

static void join(struct view *v, uint32_t guest, uint32_t group)
{
    struct planner_guest *g = &v->guests[guest];
    v->groups_of[guest] = xrealloc(v->groups_of[guest], g->n_groups + 1, sizeof(uint32_t));
    v->groups_of[guest][g->n_groups++] = group;
    g->groups = v->groups_of[guest];
}

static uint32_t add_group(struct view *v, const char *name, bool apart)
{
    uint32_t group = v->view.fleet.n_groups++;
    v->groups = xrealloc(v->groups, group + 1, sizeof(*v->groups));
    v->groups[group] = (struct planner_group){name, apart};
    return group;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct named *)a)->key, ((const struct named *)b)->key);
}

/* libvirt has each name once per host. */
static void part_namesakes(struct view *v)
{
    uint32_t n = v->view.fleet.n_guests;
    struct named *list = xcalloc(n ? n : 1, sizeof(*list));
    for (uint32_t i = 0; i < n; i++)
        list[i] = (struct named){v->guests[i].name, i};
    qsort(list, n, sizeof(*list), by_name);
    for (uint32_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && streq(list[end].key, list[i].key);)
            end++;
        if (end == i + 1)
            continue;
        uint32_t group = add_group(v, keep(v, xasprintf("guests named %s", list[i].key)), true);
        for (uint32_t k = i; k < end; k++)
            join(v, list[k].index, group);
    }
    free(list);
}

static void add_groups(struct view *v)
{
    const struct guest_rules *rules = v->of.rules;
    for (size_t k = 0; rules && k < rules->n_groups; k++) {
        if (rules->groups[k].apart && !view_rules_bind(v))
            continue;
        uint32_t group = add_group(v, rules->groups[k].name, rules->groups[k].apart);
        for (uint32_t i = 0; i < v->view.fleet.n_guests; i++)
            if (names_match(&rules->groups[k].guests, v->guests[i].name))
                join(v, i, group);
    }
    part_namesakes(v);
}

/* ----------------------------------------------------------------------------------------------------------------- */

struct planner_view *planner_view_new(const struct planner_view_of *of)
{
    struct view *v = new0(struct view);
    const struct fleet *fleet = of->fleet;
    v->of = *of;
    if (!v->of.rules)
        v->of.rules = fleet->rules;
    v->nobody.mappings = fleet->mappings;
    v->hosts = xcalloc(fleet->n_hosts ? fleet->n_hosts : 1, sizeof(*v->hosts));
    v->labels = xcalloc(PLANNER_LABELS, sizeof(*v->labels));
    for (uint32_t i = 0; i < fleet->n_hosts; i++)
        add_host(v, i);
    add_guests(v, fleet);
    assume_usage(v);
    add_groups(v);
    v->view.fleet.hosts = v->hosts;
    v->view.fleet.n_hosts = (uint32_t)fleet->n_hosts;
    v->view.fleet.guests = v->guests;
    v->view.fleet.groups = v->groups;
    v->view.fleet.labels = v->labels;
    v->view.fleet.why_not = view_why_not;
    v->view.fleet.arg = v;
    return &v->view;
}

void planner_view_free(struct planner_view *view)
{
    struct view *v = (struct view *)view;
    if (!v)
        return;
    for (uint32_t i = 0; i < view->fleet.n_guests; i++) {
        free(v->groups_of[i]);
        free(v->elsewhere[i]);
    }
    for (size_t i = 0; i < v->n_texts; i++)
        free(v->texts[i]);
    free(v->hosts);
    free(v->guests);
    free(v->policies);
    free(v->groups);
    free(v->labels);
    free(v->by_uuid);
    free(v->groups_of);
    free(v->texts);
    free(v->searched);
    free(v->elsewhere);
    free(v->why);
    free((void *)view->guests);
    free(v);
}

uint32_t planner_view_host(const struct planner_view *view, const char *name)
{
    for (uint32_t i = 0; i < view->fleet.n_hosts; i++)
        if (streq(view->fleet.hosts[i].name, name))
            return i;
    return PLANNER_NONE;
}

uint32_t planner_view_guest(const struct planner_view *view, const char *uuid)
{
    const struct view *v = (const struct view *)view;
    const struct named wanted = {.key = uuid};
    const struct named *found =
        bsearch(&wanted, v->by_uuid, view->fleet.n_guests, sizeof(*v->by_uuid), by_key);
    return found ? found->index : PLANNER_NONE;
}
