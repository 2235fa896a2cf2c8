/* Rules about images as QEMU reaches them: what qemu-img opens at both hosts, with all that it is backed by. */
#include "common/base/cleanup.h"
#include "coordinator/core/probe_plan.h"
#include "coordinator/core/rules.h"

#include <string.h>

static const struct ask *image_at(const struct preflight *in, const struct fleet_host *host, size_t i)
{
    return evidence_probe(in->evidence, host, DROVER__V1__PROBE_KIND__PROBE_IMAGE,
                          in->guest->guest->disks[i]->target);
}

/* Of a file that the destination does not have, the rules of rules_proof tell more; of media that are files, those of rules_disks. */
static bool is_judged(const struct preflight *in, const Drover__V1__Disk *d)
{
    return streq(d->type, "network") || (!disk_is_media(d) && storage_proven(in, d));
}

static bool no_answer(const struct ask *a)
{
    return a->state == ASK_FAILED && a->code == STATUS_DEADLINE_EXCEEDED;
}

RULE(image_unreachable)
{
    const Drover__V1__Guest *g = in->guest->guest;
    for (size_t i = 0; i < g->n_disks; i++) {
        const struct ask *there = image_at(in, in->destination, i);
        if (!there || !is_judged(in, g->disks[i]) || !(ask_refuted(there) || no_answer(there)))
            continue;
        found(("disk %s", g->disks[i]->target),
              ("QEMU's tools on %s can't open it: %s", in->destination->name, ask_words(there)),
              ("the image, and all that it is backed by, readable at the destination"),
              ("try it there: qemu-img info -U --backing-chain '%s'%s%s",
               there->probe->url[0] ? there->probe->url : there->probe->path,
               there->probe->initiator[0] ? "; the target must be open to QEMU's initiator " : "",
               there->probe->initiator));
    }
}

/* At the source, too: what it is backed by is then not known. */
RULE(image_unproven)
{
    const Drover__V1__Guest *g = in->guest->guest;
    const struct fleet_host *hosts[2] = {in->source, in->destination};
    for (size_t i = 0; i < 2 * g->n_disks; i++) {
        const Drover__V1__Disk *d = g->disks[i / 2];
        const struct fleet_host *host = hosts[i % 2];
        const struct ask *a = image_at(in, host, i / 2);
        bool silent = a && !ask_proven(a) && !ask_refuted(a) && !no_answer(a) && !ask_unknown(a);
        if (silent && is_judged(in, d))
            found(
                ("disk %s", d->target), ("whether %s can open it is not known: %s", host->name, ask_words(a)),
                ("qemu-img there opening it, and all that it is backed by"),
                ("%s on %s",
                 streq(ask_reason(a), "denied")
                     ? "see that QEMU's user may read it: ls -l, the export's squash options, SELinux' label,"
                     : "install qemu-utils (and qemu-block-extra), or see the log of drover-agent",
                 host->name));
    }
}

/* The first link in which two chains differ; the length of the longer one if they don't. */
static size_t first_difference(const Drover__V1__ProbeResult *a, const Drover__V1__ProbeResult *b)
{
    size_t i = 0;
    while (i < a->n_images && i < b->n_images && a->images[i]->virtual_size == b->images[i]->virtual_size &&
           streq(a->images[i]->format, b->images[i]->format))
        i++;
    return i;
}

static char *link_text(const Drover__V1__ProbeResult *r, size_t i)
{
    if (i >= r->n_images)
        return xasprintf("the end of its chain, after %zu", r->n_images);
    return xasprintf("%s of %llu bytes", r->images[i]->format,
                     (unsigned long long)r->images[i]->virtual_size);
}

RULE(image_differs)
{
    const Drover__V1__Guest *g = in->guest->guest;
    for (size_t i = 0; i < g->n_disks; i++) {
        const struct ask *here = image_at(in, in->source, i), *there = image_at(in, in->destination, i);
        if (!ask_proven(here) || !ask_proven(there) || !is_judged(in, g->disks[i]))
            continue;
        size_t at = first_difference(here->result, there->result);
        if (at == here->result->n_images && at == there->result->n_images)
            continue;
        _cleanup_free_ char *a = link_text(here->result, at), *b = link_text(there->result, at);
        _cleanup_free_ char *which = at ? xasprintf("backing file %zu of it: ", at) : xstrdup("");
        found(("disk %s", g->disks[i]->target),
              ("%s%s on %s, %s on %s", which, a, in->source->name, b, in->destination->name),
              ("the same image"),
              ("see that both hosts reach the same server under the name %s",
               g->disks[i]->source_host[0] ? g->disks[i]->source_host : g->disks[i]->source));
    }
}
