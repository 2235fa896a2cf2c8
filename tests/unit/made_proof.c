#include "made_proof.h"

#include "common/base/memory.h"
#include "coordinator/core/probe_plan.h"

#include <stdio.h>
#include <stdlib.h>

#define fail_made(...)                                                                                       \
    do {                                                                                                     \
        fprintf(stderr, __VA_ARGS__);                                                                        \
        abort();                                                                                             \
    } while (0)

static Drover__V1__Mount *mount_new(void)
{
    Drover__V1__Mount *m = new0(Drover__V1__Mount);
    drover__v1__mount__init(m);
    made_string(&m->target, "/srv/nfs");
    made_string(&m->source, "export1:/srv/nfs");
    made_string(&m->fs_type, "nfs4");
    made_string(&m->root, "/");
    m->network = true;
    return m;
}

static Drover__V1__PathFacts *path_new(const char *path)
{
    Drover__V1__PathFacts *p = new0(Drover__V1__PathFacts);
    drover__v1__path_facts__init(p);
    made_string(&p->path, path);
    made_string(&p->kind, "file");
    p->size = 1 << 20;
    p->mount = mount_new();
    return p;
}

static void answer_probe(struct ask *a)
{
    Drover__V1__ProbeResult *r = a->result = new0(Drover__V1__ProbeResult);
    drover__v1__probe_result__init(r);
    r->outcome = DROVER__V1__PROBE_OUTCOME__PROBE_PROVEN;
    r->writable = true;
    r->port = 49152;
    r->realtime_us = a->sent_us + (a->answered_us - a->sent_us) / 2;
    if (a->probe->path[0])
        r->path = path_new(a->probe->path);
    made_string(&r->export_name, "/srv/nfs");
    made_string(&r->identity, "serial 6001405a11");
    if (a->probe->kind == DROVER__V1__PROBE_KIND__PROBE_IMAGE) {
        Drover__V1__ImageFacts *image = new0(Drover__V1__ImageFacts);
        drover__v1__image_facts__init(image);
        made_string(&image->format, "raw");
        image->virtual_size = 1 << 20;
        r->images = xcalloc(1, sizeof(r->images[0]));
        r->images[r->n_images++] = image;
    }
}

static Drover__V1__ResolvedName *name_new(const char *name)
{
    Drover__V1__ResolvedName *n = new0(Drover__V1__ResolvedName);
    drover__v1__resolved_name__init(n);
    made_string(&n->name, name);
    n->addresses = xcalloc(1, sizeof(n->addresses[0]));
    n->addresses[n->n_addresses++] = xstrdup("10.0.0.20");
    return n;
}

static void answer_inspect(struct ask *a)
{
    Drover__V1__Inspection *seen = a->inspection = new0(Drover__V1__Inspection);
    drover__v1__inspection__init(seen);
    seen->host = new0(Drover__V1__HostFacts);
    drover__v1__host_facts__init(seen->host);
    made_string(&seen->host->os_id, "debian");
    made_string(&seen->host->os_version, "12");
    made_string(&seen->host->hostname, a->host->name);
    seen->mounts = xcalloc(1, sizeof(seen->mounts[0]));
    seen->mounts[seen->n_mounts++] = mount_new();
    seen->paths = xcalloc(a->inspect->n_paths + a->inspect->n_pool_volumes + 1, sizeof(seen->paths[0]));
    for (size_t i = 0; i < a->inspect->n_paths; i++)
        seen->paths[seen->n_paths++] = path_new(a->inspect->paths[i]);
    for (size_t i = 0; i < a->inspect->n_pool_volumes; i++)
        seen->paths[seen->n_paths++] = path_new(a->inspect->pool_volumes[i]);
    seen->names = xcalloc(a->inspect->n_names, sizeof(seen->names[0]));
    for (size_t i = 0; i < a->inspect->n_names; i++)
        seen->names[seen->n_names++] = name_new(a->inspect->names[i]);
    if (a->inspect->guest[0]) {
        seen->guest = new0(Drover__V1__GuestNow);
        drover__v1__guest_now__init(seen->guest);
        made_string(&seen->guest->uuid, a->inspect->guest);
    }
    if (!a->inspect->exports)
        return;
    Drover__V1__Export *e = new0(Drover__V1__Export);
    drover__v1__export__init(e);
    made_string(&e->kind, "nfs");
    made_string(&e->name, "/srv/nfs");
    made_string(&e->path, "/srv/nfs");
    seen->exports = xcalloc(1, sizeof(seen->exports[0]));
    seen->exports[seen->n_exports++] = e;
}

void made_proof(struct evidence *e, const struct fleet *fleet, const struct fleet_host *source,
                const struct fleet_host *destination, const Drover__V1__Guest *guest)
{
    plan_check(e, fleet, source, destination, guest, DROVER__V1__MODE__MODE_LIVE);
    made_answers(e);
}

void made_answers(struct evidence *e)
{
    while (evidence_advance(e))
        for (size_t i = 0; i < e->n; i++) {
            struct ask *a = &e->asks[i];
            if (a->state != ASK_DUE)
                continue;
            a->sent_us = 1000000;
            a->answered_us = 1002000;
            if (a->probe)
                answer_probe(a);
            else
                answer_inspect(a);
            a->state = ASK_ANSWERED;
        }
}

struct ask *made_ask(struct evidence *e, const struct fleet_host *host, Drover__V1__ProbeKind kind,
                     const char *key)
{
    const struct ask *a = evidence_probe(e, host, kind, key);
    if (!a)
        fail_made("nobody asked %s of kind %d about %s", host->name, (int)kind, key ? key : "anything");
    return a ? &e->asks[a - e->asks] : NULL;
}

Drover__V1__Inspection *made_inspection(struct evidence *e, const struct fleet_host *host)
{
    const struct ask *a = evidence_inspect(e, host);
    if (!a || !a->inspection)
        fail_made("nobody inspected %s", host->name);
    return a ? a->inspection : NULL;
}

void made_answer(struct ask *a, Drover__V1__ProbeOutcome outcome, const char *reason, const char *seen)
{
    a->result->outcome = outcome;
    made_string(&a->result->reason, reason);
    made_string(&a->result->seen, seen);
}

void made_silence(struct ask *a, enum status_code code, const char *why)
{
    if (a->result)
        drover__v1__probe_result__free_unpacked(a->result, NULL);
    if (a->inspection)
        drover__v1__inspection__free_unpacked(a->inspection, NULL);
    a->result = NULL;
    a->inspection = NULL;
    a->state = ASK_FAILED;
    a->code = code;
    free(a->why);
    a->why = xstrdup(why);
}
