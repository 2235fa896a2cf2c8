#include "coordinator/core/backing.h"

#include "common/base/cleanup.h"
#include "common/base/memory.h"
#include "coordinator/core/probe_plan.h"

#include <string.h>

static const Drover__V1__ProbeResult *chain_at(const struct evidence *e, const struct fleet_host *host,
                                               const char *target)
{
    const struct ask *a = evidence_probe(e, host, DROVER__V1__PROBE_KIND__PROBE_IMAGE, target);
    return ask_proven(a) ? a->result : NULL;
}

static const char *place_of(const Drover__V1__ImageFacts *f)
{
    return f->resolved[0] ? f->resolved : f->name;
}

bool backing_link(const struct evidence *e, const char *target, const Drover__V1__Disk *d,
                  const Drover__V1__Disk *as_there, size_t n, const char **ret_here, const char **ret_there)
{
    const Drover__V1__ProbeResult *here = chain_at(e, e->source, target),
                                  *there = chain_at(e, e->destination, target);
    if (here && there && here->n_images && there->n_images) {
        if (n >= here->n_images || n >= there->n_images)
            return false; /* one is shorter: image-differs */
        *ret_here = place_of(here->images[n]);
        *ret_there = place_of(there->images[n]);
        return true;
    }
    if (!d || !as_there || n > d->n_backing)
        return false;
    *ret_here = n ? d->backing[n - 1] : d->source;
    *ret_there = n ? as_there->backing[n - 1] : as_there->source;
    return true;
}

static bool same_directory(const char *a, const char *b)
{
    const char *end = strrchr(a, '/');
    size_t n = end ? (size_t)(end - a) + 1 : 0;
    return n && a[0] == '/' && strncmp(a, b, n) == 0 && !strchr(b + n, '/');
}

size_t backing_beside(const struct evidence *e, const char *target, const Drover__V1__Disk *d,
                      const Drover__V1__Disk *as_there, size_t n)
{
    const char *here, *there, *first_here, *first_there;
    if (!backing_link(e, target, d, as_there, n, &here, &there))
        return n;
    bool nonce = evidence_probe(e, e->source, DROVER__V1__PROBE_KIND__PROBE_NONCE_WRITE, target);
    if (strncmp(here, "/dev/", 5) == 0)
        return n; /* devices have nothing in common with what is beside them */
    for (size_t m = nonce ? 0 : 1; m < n; m++)
        if (backing_link(e, target, d, as_there, m, &first_here, &first_there) &&
            same_directory(here, first_here) && same_directory(there, first_there))
            return m;
    return n;
}

char *backing_key(const char *target, const char *here, const char *there)
{
    return xasprintf("%s: %s, %s", target, here, there);
}

/* ---- questions --------------------------------------------------------------------------------------------------- */

static Drover__V1__ProbeRequest *nonce_request(Drover__V1__ProbeKind kind, const char *path)
{
    Drover__V1__ProbeRequest *q = probe_request_new(kind);
    if (path)
        q->path = xstrdup(path);
    return q;
}

/* Beside the nonce, what lies there: it may be a device, or where nobody may write. */
static void plan_link(struct evidence *e, const char *key, const char *here, const char *there)
{
    const struct fleet_host *hosts[2] = {e->source, e->destination};
    const char *paths[2] = {here, there};
    unsigned g = e->groups;
    evidence_add(e, e->source, key, g, 0, nonce_request(DROVER__V1__PROBE_KIND__PROBE_NONCE_WRITE, here),
                 NULL);
    evidence_add(e, e->destination, key, g, 1, nonce_request(DROVER__V1__PROBE_KIND__PROBE_NONCE_READ, there),
                 NULL);
    evidence_add(e, e->source, key, g, 2, nonce_request(DROVER__V1__PROBE_KIND__PROBE_NONCE_REMOVE, NULL),
                 NULL)
        ->farewell = true;
    for (unsigned i = 0; i < 2; i++) {
        Drover__V1__InspectRequest *q = new0(Drover__V1__InspectRequest);
        drover__v1__inspect_request__init(q);
        q->paths = xcalloc(1, sizeof(q->paths[0]));
        q->paths[q->n_paths++] = xstrdup(paths[i]);
        evidence_add(e, hosts[i], BACKING, g + 1, 0, NULL, q);
    }
}

static void plan_links(struct evidence *e, const char *target, const Drover__V1__Disk *d,
                       const Drover__V1__Disk *as_there)
{
    const char *here, *there;
    for (size_t n = 1; backing_link(e, target, d, as_there, n, &here, &there); n++) {
        _cleanup_free_ char *key = backing_key(target, here, there);
        if (here[0] == '/' && there[0] == '/' && backing_beside(e, target, d, as_there, n) == n &&
            !evidence_probe(e, e->source, DROVER__V1__PROBE_KIND__PROBE_NONCE_WRITE, key))
            plan_link(e, key, here, there);
    }
}

void plan_backing(struct evidence *e, const Drover__V1__Disk *d, const Drover__V1__Disk *as_there)
{
    plan_links(e, d->target, d, as_there);
}

void plan_backing_found(struct evidence *e)
{
    for (size_t i = 0; e->source && !e->closed && i < e->n; i++) {
        const struct ask *a = &e->asks[i];
        if (a->host == e->source && a->probe && a->probe->kind == DROVER__V1__PROBE_KIND__PROBE_IMAGE) {
            _cleanup_free_ char *target = xstrdup(a->key); /* the list of asks may move */
            plan_links(e, target, NULL, NULL);
        }
    }
}
