#include "coordinator/core/placement.h"

#include "common/base/cleanup.h"
#include "common/base/memory.h"
#include "coordinator/core/explain.h"
#include "coordinator/core/text.h"

#include <stdlib.h>
#include <string.h>

enum {
    SAID = 8,   /* hosts that are told of in one line; of more, how many */
    IN_FULL = 3 /* hosts whose findings of one kind are told in full; of more, how many */
};

struct candidate {
    const struct fleet_host *host;
    struct findings by_report;
    const struct findings *findings; /* those, or what was found when it was tried */
    int64_t room;
};

static bool same_finding(const Drover__V1__Finding *a, const Drover__V1__Finding *b)
{
    return streq(a->id, b->id) && streq(a->subject, b->subject) && streq(a->seen, b->seen) &&
           streq(a->expected, b->expected);
}

static bool has(const struct findings *findings, const Drover__V1__Finding *f)
{
    for (size_t i = 0; i < findings->n; i++)
        if (same_finding(findings->list[i], f))
            return true;
    return false;
}

static bool blocks(const Drover__V1__Finding *f)
{
    return f->severity == DROVER__V1__SEVERITY__BLOCK;
}

static void add_copy(struct findings *out, const Drover__V1__Finding *f, const char *host)
{
    bool names_it = !host || strstr(f->subject, host);
    char *subject = names_it ? xstrdup(f->subject) : xasprintf("%s on host %s", f->subject, host);
    finding_add(out, f->id, f->severity, subject, xstrdup(f->seen), xstrdup(f->expected), xstrdup(f->todo));
}

/* What stands in the way at many hosts. */
struct kind {
    const Drover__V1__Finding *first;
    size_t hosts, counted; /* `counted`: the last one's index, and 1 */
};

struct kinds {
    struct kind *list;
    size_t n, told;
};

static struct kind *kind_of(struct kinds *kinds, const Drover__V1__Finding *f)
{
    for (size_t i = 0; i < kinds->n; i++)
        if (streq(kinds->list[i].first->id, f->id))
            return &kinds->list[i];
    kinds->list = xrealloc(kinds->list, kinds->n + 1, sizeof(*kinds->list));
    kinds->list[kinds->n] = (struct kind){.first = f};
    return &kinds->list[kinds->n++];
}

/* At the first few hosts in full. */
static void refuse_at(struct kinds *kinds, const Drover__V1__Finding *f, const struct candidate *list,
                      size_t c, struct placement *out)
{
    struct kind *k = kind_of(kinds, f);
    k->hosts += k->counted != c + 1;
    k->counted = c + 1;
    if (k->hosts > IN_FULL || kinds->told >= PLACEMENT_REFUSALS)
        return;
    add_copy(&out->refusals, f, list[c].host->name);
    kinds->told++;
}

static void count_the_rest(const struct kinds *kinds, const char *guest, struct placement *out)
{
    for (size_t i = 0; i < kinds->n; i++) {
        const struct kind *k = &kinds->list[i];
        size_t more = k->hosts > IN_FULL ? k->hosts - IN_FULL : 0;
        if (more)
            finding_add(&out->refusals, k->first->id, k->first->severity,
                        xasprintf("%zu more host%s", more, more == 1 ? "" : "s"),
                        xasprintf("the same there; of one: drover check %s --to HOST", guest),
                        xstrdup(k->first->expected), xstrdup(k->first->todo));
    }
}

/* What is wrong with the guest or its host blocks at every candidate alike, and is told once, first. */
static void refuse(const struct candidate *list, size_t n, const char *guest, struct placement *out)
{
    struct kinds kinds = {0};
    for (size_t c = 0; c < n; c++) {
        _cleanup_free_ char *ids = NULL;
        for (size_t i = 0; i < list[c].findings->n; i++) {
            const Drover__V1__Finding *f = list[c].findings->list[i];
            bool everywhere = blocks(f);
            for (size_t other = 0; other < n && everywhere; other++)
                everywhere = has(list[other].findings, f);
            if (!blocks(f))
                continue;
            text_append(&ids, ", ", "%s", f->id);
            if (!everywhere)
                refuse_at(&kinds, f, list, c, out);
            else if (c == 0)
                add_copy(&out->refusals, f, NULL);
        }
        if (c < SAID)
            text_append(&out->why, "; ", "%s: %s", list[c].host->name, ids);
    }
    count_the_rest(&kinds, guest, out);
    free(kinds.list);
    if (n > SAID)
        text_append(&out->why, "; ", "and %zu more", n - SAID);
}

static bool better(const struct candidate *a, const struct candidate *b)
{
    return a->room != b->room ? a->room > b->room : strcmp(a->host->name, b->host->name) < 0;
}

static void explain(const struct candidate *list, size_t n, const struct candidate *best,
                    struct placement *out)
{
    _cleanup_free_ char *others = NULL;
    size_t said = 0;
    for (size_t c = 0; c < n; c++) {
        const Drover__V1__Finding *block = findings_block(list[c].findings);
        if (&list[c] == best || said++ >= SAID)
            continue;
        if (block)
            text_append(&others, "; ", "%s can't: %s", list[c].host->name, block->id);
        else
            text_append(&others, "; ", "%s would have %lld MiB", list[c].host->name,
                        (long long)(list[c].room >> 20));
    }
    if (said > SAID)
        text_append(&others, "; ", "and %zu more", said - SAID);
    out->why =
        xasprintf("%s has the most memory left after the move, %lld MiB%s%s%s", best->host->name,
                  (long long)(best->room >> 20), others ? " (" : "", others ? others : "", others ? ")" : "");
}

/* A node that only exports storage is no candidate, and not worth a word. */
static bool may_be_candidate(const struct preflight *in, const struct fleet_host *host)
{
    for (size_t i = 0; i < in->n_avoid; i++)
        if (streq(in->avoid[i], host->name))
            return false;
    if (in->site && !streq(in->site, host->site))
        return false;
    return host != in->source && !(host->report && !host->report->hypervisor);
}

/* Who was left out for want of time may be the one that can: that there is none was not found. */
static void tell_not_asked(const struct preflight *in, size_t hosts, struct placement *out)
{
    const char *guest = in->guest->guest->name;
    text_append(&out->why, "; ", "%zu not asked, for want of time", hosts);
    finding_add(&out->refusals, "no-host", DROVER__V1__SEVERITY__BLOCK, xasprintf("guest %s", guest),
                xasprintf("%zu host%s not asked: those that were took too long together", hosts,
                          hosts == 1 ? " was" : "s were"),
                xstrdup("one that can take it"), xasprintf("name one: drover migrate %s --to HOST", guest));
}

static const struct findings *found_at(const struct fleet_host *host, const struct placement_tried *tried,
                                       size_t n_tried)
{
    for (size_t i = 0; i < n_tried; i++)
        if (tried[i].host == host)
            return tried[i].findings;
    return NULL;
}

void placement_choose(const struct preflight *in, const struct promised *promised,
                      const struct placement_tried *tried, size_t n_tried, struct placement *ret)
{
    const struct fleet *fleet = in->fleet;
    struct placement out = {0};
    struct candidate *list = xcalloc(fleet->n_hosts ? fleet->n_hosts : 1, sizeof(*list));
    const struct candidate *best = NULL;
    size_t n = 0, counted = 0, not_asked = 0;
    for (size_t i = 0; i < n_tried; i++)
        counted += !findings_elsewhere(tried[i].findings->list, tried[i].findings->n);
    bool tries_left = counted < PLACEMENT_TRIES, more = tries_left && !in->enough;
    for (size_t i = 0; i < fleet->n_hosts; i++) {
        const struct findings *found = found_at(&fleet->hosts[i], tried, n_tried);
        if (!may_be_candidate(in, &fleet->hosts[i]))
            continue;
        if (!found && !more) {
            not_asked += tries_left;
            continue;
        }
        struct candidate *c = &list[n++];
        struct preflight move = *in;
        c->host = move.destination = &fleet->hosts[i];
        c->findings = found ? found : &c->by_report;
        move.promised = promised ? promised[i] : (struct promised){0};
        if (found)
            continue;
        preflight_run(&move, &c->by_report);
        accept_apply(&c->by_report, in->accept, in->n_accept);
        if (findings_block(&c->by_report))
            continue;
        c->room = preflight_room(c->host, &move.promised, in->guest->guest);
        if (!best || better(c, best))
            best = c;
    }
    if (best) {
        out.host = best->host;
        explain(list, n, best, &out);
    } else if (n) {
        refuse(list, n, in->guest->guest->name, &out);
        if (not_asked)
            tell_not_asked(in, not_asked, &out);
    } else {
        out.why = xstrdup("there is no other host");
        finding_add(&out.refusals, "no-host", DROVER__V1__SEVERITY__BLOCK,
                    xasprintf("guest %s", in->guest->guest->name),
                    xasprintf("no hypervisor%s%s in the inventory beside %s%s",
                              in->site && in->site[0] ? " of site " : "", in->site ? in->site : "",
                              in->source->name, in->n_avoid ? " and those that are left out" : ""),
                    xstrdup("another one"), xstrdup("add one to hosts in coordinator.yaml"));
    }
    for (size_t c = 0; c < n; c++)
        findings_deinit(&list[c].by_report);
    free(list);
    *ret = out;
}

void placement_deinit(struct placement *placement)
{
    free(placement->why);
    findings_deinit(&placement->refusals);
    *placement = (struct placement){0};
}
