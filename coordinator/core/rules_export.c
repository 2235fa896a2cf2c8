/* Rules about who serves the disks: a third system, which serves them to both hosts. */
#include "common/base/cleanup.h"
#include "common/mapping/mapping.h"
#include "coordinator/core/probe_plan.h"
#include "coordinator/core/rules.h"
#include "coordinator/core/trace.h"

#include <string.h>

RULE(export_is_host)
{
    struct trace t;
    each_trace(&t)
    {
        const struct fleet_host *at = trace_own_server(in, &t);
        if (at)
            found(("disk %s", t.disk->target),
                  ("%s itself serves %s%s%s%s", at->name, at == t.host ? "" : "a brick of ", t.disk->source,
                   t.share ? ", from its export " : "", t.share ? t.share->name : ""),
                  ("a third system that serves it to both hosts"),
                  ("put the image on storage that neither %s nor %s exports: else the guest hangs on that "
                   "host for good",
                   in->source->name, in->destination->name));
    }
}

RULE(export_closed)
{
    struct trace t;
    each_trace(&t) for (size_t i = 0; t.share && i < t.share->n_access; i++)
    {
        const Drover__V1__ExportAccess *a = t.share->access[i];
        bool shut = a->allowed == DROVER__V1__ANSWER__NO;
        bool no_write = a->write == DROVER__V1__ANSWER__NO && disk_is_written(t.disk);
        if ((streq(a->host, in->source->name) || streq(a->host, in->destination->name)) && (shut || no_write))
            found(
                ("disk %s", t.disk->target),
                ("%s lets %s %s %s: %s", t.host->name, a->host, shut ? "not use" : "only read", t.share->name,
                 a->why),
                ("the export open to both hosts, read-write"),
                ("add %s to its clients in %s on %s, then export it anew (exportfs -ra, or the target's ACL)",
                 a->host, t.share->source[0] ? t.share->source : "its configuration", t.host->name));
    }
}

/* Of hosts that log in or ask by a name that can't be judged from the export node's configuration. */
RULE(export_access_unknown)
{
    struct trace t;
    each_trace(&t) for (size_t i = 0; t.share && i < t.share->n_access; i++)
    {
        const Drover__V1__ExportAccess *a = t.share->access[i];
        if (a->allowed == DROVER__V1__ANSWER__ANSWER_UNKNOWN &&
            (streq(a->host, in->source->name) || streq(a->host, in->destination->name)))
            found(
                ("disk %s", t.disk->target), ("%s, on %s: %s", t.share->name, t.host->name, a->why),
                ("a client that can be told from the configuration: an address, a network, an initiator's "
                 "IQN"),
                ("see there that %s may read and write it (showmount -e, getent netgroup, the target's ACL)",
                 a->host));
    }
}

/* ---- an export node that should have seen it ---- */

/* Is it what that mount is of? Bind mounts and automounters keep the server's name for the source. */
static bool is_mounted(const Drover__V1__Export *e, const Drover__V1__Mount *m)
{
    const char *colon = strstr(m->source, ":/");
    bool gluster = streq(e->kind, "gluster") && strstr(m->fs_type, "glusterfs");
    if (!colon || e->active == DROVER__V1__ANSWER__NO)
        return false;
    if (gluster)
        return mapping_is_below(colon + 2, e->name);
    return streq(e->kind, "nfs") && strncmp(m->fs_type, "nfs", 3) == 0 &&
           (mapping_is_below(colon + 1, e->name) || mapping_is_below(colon + 1, e->pseudo));
}

/* It was asked, answered, and did not find the nonce in all that it exports. */
static bool looked_in_vain(const struct preflight *in, const struct fleet_host *host, const struct trace *t)
{
    return host && ask_refuted(evidence_probe(in->evidence, host, DROVER__V1__PROBE_KIND__PROBE_NONCE_FIND,
                                              t->disk->target));
}

/* The export that the server says is mounted, and that does not hold the image; NULL: there is none, or it can't be told. */
static const Drover__V1__Export *unseen_export(const struct preflight *in, const struct trace *t)
{
    const Drover__V1__Inspection *seen = t->host ? evidence_inspection(in->evidence, t->host) : NULL;
    const Drover__V1__Export *unseen = NULL;
    if (t->found || !t->mount || !t->server[0] || !looked_in_vain(in, t->host, t))
        return NULL;
    for (size_t i = 0; seen && i < seen->n_exports && !unseen; i++)
        if (is_mounted(seen->exports[i], t->mount))
            unseen = seen->exports[i];
    /* A file lies on some bricks of a volume only: all of them must have been looked at. */
    for (size_t i = 0; unseen && i < unseen->n_bricks; i++)
        if (!looked_in_vain(in, trace_brick(in, unseen->bricks[i]), t))
            return NULL;
    return unseen;
}

RULE(export_not_seen)
{
    struct trace t;
    each_trace(&t)
    {
        const Drover__V1__Export *e = unseen_export(in, &t);
        if (e && !trace_own_server(in, &t))
            found(
                ("disk %s", t.disk->target),
                ("%s exports %s, which holds %s by its mount, and did not see there what %s wrote beside it",
                 t.host->name, e->name, t.disk->source, in->source->name),
                ("the file seen in the exported directory"),
                ("see which server the hosts really reach as %s (findmnt -T %s, getent ahosts), and what is "
                 "mounted on %s at %s; if it is this export nevertheless, --accept export-not-seen",
                 t.server, t.disk->source, t.host->name, e->path));
    }
}

/* Kinds whose exports an agent on the server reads (agent/io/exports.c). */
static bool is_readable(const struct trace *t)
{
    return strncmp(t->kind, "nfs", 3) == 0 || streq(t->kind, "iscsi") || strstr(t->kind, "gluster");
}

RULE(export_untraced)
{
    struct trace t;
    each_trace(&t)
    {
        if (t.found || t.share || trace_own_server(in, &t) || unseen_export(in, &t))
            continue;
        if (!is_readable(&t)) {
            finding_add(out, rule->id, DROVER__V1__SEVERITY__INFO, xasprintf("disk %s", t.disk->target),
                        xasprintf("%s serves %s by %s, of which no agent can read who exports what",
                                  t.server[0] ? t.server : "a server that isn't named", t.disk->source,
                                  t.kind),
                        xstrdup("a third system that serves it to both hosts"),
                        xasprintf("see that neither %s nor %s serves it, or a part of it that the rest can't "
                                  "do without",
                                  in->source->name, in->destination->name));
            continue;
        }
        const struct ask *asked = t.host ? evidence_inspect(in->evidence, t.host) : NULL;
        if (ask_unknown(asked))
            continue;
        bool silent = t.host && evidence_silent(in->evidence, t.host);
        for (size_t h = 0; h < in->fleet->n_hosts && !t.host && !silent; h++)
            silent = evidence_silent(in->evidence, &in->fleet->hosts[h]);
        if (silent)
            found(("disk %s", t.disk->target),
                  ("%s serves %s; the agent of %s did not answer in time",
                   t.server[0] ? t.server : "another host", t.disk->source,
                   t.host ? t.host->name : "an export node"),
                  ("the export found at the export node"),
                  ("see that agent's log there (journalctl -u drover-agent), then check again"));
        else if (t.asked)
            found(("disk %s", t.disk->target),
                  ("%s knows no export that holds %s%s%s",
                   t.host ? t.host->name : "no export node that was asked", t.disk->source,
                   t.server[0] ? ", which is served by " : "", t.server),
                  ("the export found at the export node"),
                  ("compare what is exported there (exportfs -v, targetcli ls, gluster volume info) with "
                   "where the "
                   "image lies"));
        else
            found(("disk %s", t.disk->target),
                  ("%s serves %s; no agent of the fleet runs there", t.server, t.disk->source),
                  ("an agent with the role storage on the export node, to prove that it is a third system"),
                  ("install drover-agent there with roles: [storage], and add it to hosts in "
                   "coordinator.yaml"));
    }
}
