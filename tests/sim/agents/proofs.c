/* What the agents answer when they are asked to prove something: all is well, on one NFS server that everybody sees. */
#include "tests/sim/agents/agents.h"
#include "tests/sim/agents/made.h"

#include "common/base/memory.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MIB = 1048576 };

static int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static Drover__V1__Mount *mount_new(void)
{
    Drover__V1__Mount *m = new0(Drover__V1__Mount);
    drover__v1__mount__init(m);
    m->target = xstrdup("/srv/images");
    m->source = xstrdup("export1:/srv/images");
    m->fs_type = xstrdup("nfs4");
    m->root = xstrdup("/");
    m->network = true;
    return m;
}

static Drover__V1__PathFacts *path_new(const char *path, bool directory)
{
    Drover__V1__PathFacts *p = new0(Drover__V1__PathFacts);
    drover__v1__path_facts__init(p);
    p->path = xstrdup(path);
    p->kind = xstrdup(directory ? "directory" : "file");
    p->size = 64 * MIB;
    p->mount = mount_new();
    return p;
}

static void inspect(Drover__V1__Agent_Service *service, const Drover__V1__InspectRequest *request,
                    Drover__V1__Inspection_Closure reply, void *call)
{
    const struct made_agent *a = (struct made_agent *)service;
    Drover__V1__Inspection *seen = new0(Drover__V1__Inspection);
    drover__v1__inspection__init(seen);
    seen->host = new0(Drover__V1__HostFacts);
    drover__v1__host_facts__init(seen->host);
    seen->host->os_id = xstrdup("debian");
    seen->host->os_version = xstrdup("12");
    seen->host->hostname = xasprintf("kvm%04u", a->number);
    seen->mounts = xcalloc(1, sizeof(*seen->mounts));
    seen->mounts[seen->n_mounts++] = mount_new();
    seen->paths = xcalloc(request->n_paths + 1, sizeof(*seen->paths));
    for (size_t i = 0; i < request->n_paths; i++)
        seen->paths[seen->n_paths++] =
            path_new(request->paths[i], strstr(request->paths[i], "/srv/images/") == NULL);
    if (request->guest[0]) {
        seen->guest = new0(Drover__V1__GuestNow);
        drover__v1__guest_now__init(seen->guest);
        seen->guest->uuid = xstrdup(request->guest);
    }
    seen->realtime_us = now_us();
    reply(seen, call);
    drover__v1__inspection__free_unpacked(seen, NULL);
}

static void probe(Drover__V1__Agent_Service *service, const Drover__V1__ProbeRequest *request,
                  Drover__V1__ProbeResult_Closure reply, void *call)
{
    (void)service;
    Drover__V1__ProbeResult *r = new0(Drover__V1__ProbeResult);
    drover__v1__probe_result__init(r);
    r->outcome = DROVER__V1__PROBE_OUTCOME__PROBE_PROVEN;
    r->writable = r->removed = true;
    r->port = 49152;
    r->realtime_us = now_us();
    if (request->path[0])
        r->path = path_new(request->path, true);
    if (request->kind == DROVER__V1__PROBE_KIND__PROBE_IMAGE) {
        Drover__V1__ImageFacts *image = new0(Drover__V1__ImageFacts);
        drover__v1__image_facts__init(image);
        image->name = xstrdup(request->path);
        image->format = xstrdup("qcow2");
        image->virtual_size = 64 * MIB;
        r->images = xcalloc(1, sizeof(*r->images));
        r->images[r->n_images++] = image;
    }
    reply(r, call);
    drover__v1__probe_result__free_unpacked(r, NULL);
}

static void look(Drover__V1__Agent_Service *service, const Drover__V1__LookRequest *request,
                 Drover__V1__LookReply_Closure reply, void *call)
{
    const struct made_agent *a = (struct made_agent *)service;
    const struct made_guest *g = made_find(request->guest);
    Drover__V1__LookReply answer = DROVER__V1__LOOK_REPLY__INIT;
    answer.exists = answer.running = g && g->at == a->number;
    answer.has_agent = answer.agent_answers = true;
    answer.state = (char *)"running";
    reply(&answer, call);
}

static void forecast(Drover__V1__Agent_Service *service, const Drover__V1__ForecastRequest *request,
                     Drover__V1__Forecast_Closure reply, void *call)
{
    (void)service;
    (void)request;
    Drover__V1__Forecast answer = DROVER__V1__FORECAST__INIT;
    answer.way = (char *)"live";
    answer.allowed = true;
    answer.confidence = 0.95;
    answer.time = (int64_t)world.transfer_ms;
    answer.pause = 60;
    answer.bytes = 400ULL * MIB;
    answer.bandwidth = answer.bytes / world.transfer_ms * 1000;
    answer.bandwidth_source = (char *)"measured";
    answer.samples = 2;
    answer.dirtied = 2ULL * MIB;
    answer.why = (char *)"it was made so";
    reply(&answer, call);
}

static void hook_notes(Drover__V1__Agent_Service *service, const Drover__V1__HookNotesRequest *request,
                       Drover__V1__HookNotesReply_Closure reply, void *call)
{
    (void)service;
    (void)request;
    Drover__V1__HookNotesReply answer = DROVER__V1__HOOK_NOTES_REPLY__INIT;
    reply(&answer, call);
}

void made_serve_proofs(Drover__V1__Agent_Service *service)
{
    service->inspect = inspect;
    service->probe = probe;
    service->look = look;
    service->make_forecast = forecast;
    service->hook_notes = hook_notes;
}
