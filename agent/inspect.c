/* Agent.Inspect: the slow facts, read now. */
#include "agent/io/adapters.h"
#include "agent/io/exports.h"
#include "agent/io/guests.h"
#include "agent/io/host_facts.h"
#include "agent/io/host_pools.h"
#include "agent/io/libvirt.h"
#include "agent/io/luns.h"
#include "agent/io/mounts.h"
#include "agent/io/path_facts.h"
#include "agent/io/xml.h"
#include "agent/probe_job.h"
#include "common/base/memory.h"
#include "common/message/message.h"

#include <string.h>

enum { WAIT_MS = 6500, STATFS_MS = 1000, MAX_PATHS = 512, MAX_VOLUMES = 4096 };

static void read_mounts(const struct probe_job *j, Drover__V1__Inspection *r)
{
    struct error err;
    int64_t left = limit_left_ms(&j->limit);
    _cleanup_(mounts_freep) struct mounts *mounts = NULL;
    if (mounts_read("/proc/self/mountinfo", &mounts, &err) < 0)
        message_append_text(&r->errors, &r->n_errors, err.text);
    else
        r->n_mounts = mounts_list(mounts, left < STATFS_MS ? (int)left : STATFS_MS, &r->mounts);
}

static void read_paths(struct probe_job *j, const Drover__V1__InspectRequest *q, Drover__V1__Inspection *r)
{
    struct error err;
    _cleanup_(mounts_freep) struct mounts *mounts = NULL;
    if (mounts_read("/proc/self/mountinfo", &mounts, &err) < 0) {
        message_append_text(&r->errors, &r->n_errors, err.text);
        return;
    }
    for (size_t i = 0; i < q->n_paths && !limit_over(&j->limit); i++) {
        atomic_store(&j->at, i);
        if (*q->paths[i])
            message_append(&r->paths, &r->n_paths, path_facts_read(mounts, "/sys", q->paths[i]));
    }
    atomic_store(&j->at, PROBE_NOWHERE);
}

/* What is found is told under the volume's name, also that there is none. */
static void read_pool_volumes(struct probe_job *j, const Drover__V1__InspectRequest *q,
                              Drover__V1__Inspection *r)
{
    struct libvirt *libvirt = j->probes->agent->libvirt;
    struct error err = {0};
    _cleanup_(mounts_freep) struct mounts *mounts = NULL;
    _cleanup_connect_ virConnectPtr conn = libvirt ? libvirt_ref(libvirt, &err) : NULL;
    if (!conn || mounts_read("/proc/self/mountinfo", &mounts, &err) < 0) {
        message_append_text(&r->errors, &r->n_errors, libvirt ? err.text : "this host is no hypervisor");
        return;
    }
    for (size_t i = 0; i < q->n_pool_volumes && !limit_over(&j->limit); i++) {
        _cleanup_free_ char *path = host_volume_path(conn, q->pool_volumes[i], &err);
        Drover__V1__PathFacts *f = path ? path_facts_read(mounts, "/sys", path) : new0(Drover__V1__PathFacts);
        if (!path) {
            drover__v1__path_facts__init(f);
            xml_set(&f->kind, xstrdup("absent"));
            xml_set(&f->error, xstrdup(err.text));
        }
        xml_set(&f->path, xstrdup(q->pool_volumes[i]));
        message_append(&r->paths, &r->n_paths, f);
    }
}

/* All side by side, and beside all else: one nameserver that is down takes 5 s of each (resolv.conf(5): timeout). */
static struct lookup **begin_names(const Drover__V1__InspectRequest *q)
{
    struct lookup **lookups = xcalloc(q->n_names, sizeof(*lookups));
    for (size_t i = 0; i < q->n_names; i++)
        lookups[i] = lookup_begin(q->names[i]);
    return lookups;
}

static void end_names(struct probe_job *j, const Drover__V1__InspectRequest *q, struct lookup **lookups,
                      Drover__V1__Inspection *r)
{
    for (size_t i = 0; i < q->n_names; i++) {
        Drover__V1__ResolvedName *n = new0(Drover__V1__ResolvedName);
        drover__v1__resolved_name__init(n);
        xml_set(&n->name, xstrdup(q->names[i]));
        lookup_end(lookups[i], &j->limit, &n->addresses, &n->n_addresses, &n->error);
        message_append(&r->names, &r->n_names, n);
    }
    free(lookups);
}

static void read_volumes(struct probe_job *j, Drover__V1__Inspection *r)
{
    struct libvirt *libvirt = j->probes->agent->libvirt;
    struct error err = {0};
    _cleanup_connect_ virConnectPtr conn = libvirt ? libvirt_ref(libvirt, &err) : NULL;
    if (conn)
        r->n_volumes = host_volumes_read(conn, MAX_VOLUMES, &r->volumes);
    else if (libvirt)
        message_append_text(&r->errors, &r->n_errors, err.text);
}

static void read_guest(struct probe_job *j, const char *uuid, Drover__V1__Inspection *r)
{
    struct libvirt *libvirt = j->probes->agent->libvirt;
    struct error err = {0};
    _cleanup_connect_ virConnectPtr conn = libvirt ? libvirt_ref(libvirt, &err) : NULL;
    if (libvirt && (!conn || guests_now(conn, uuid, &r->guest, &err) < 0))
        message_append_text(&r->errors, &r->n_errors, err.text);
}

/* A path has told of a device: its own, or that of its file system. What is below that is among the others. */
static bool has_device(const Drover__V1__Inspection *r)
{
    for (size_t i = 0; i < r->n_paths; i++)
        if (r->paths[i]->lun)
            return true;
    return false;
}

static void inspect(struct probe_job *j)
{
    const Drover__V1__InspectRequest *q = (const Drover__V1__InspectRequest *)j->request;
    Drover__V1__Inspection *r = (Drover__V1__Inspection *)j->result;
    bool all = !q->mounts && !q->luns && !q->exports && !q->host && !q->volumes && !q->n_paths &&
               !*q->guest && !q->n_pool_volumes && !q->n_names;
    struct lookup **lookups = begin_names(q);
    /* What was asked of this guest first: when time runs out, no rule may be left without its fact. */
    if (*q->guest)
        read_guest(j, q->guest, r);
    if (q->n_paths)
        read_paths(j, q, r);
    if (q->n_pool_volumes)
        read_pool_volumes(j, q, r);
    if (all || q->mounts)
        read_mounts(j, r);
    if (all || q->luns || has_device(r)) {
        r->n_luns = luns_read("/sys", &r->luns);
        r->n_adapters = adapters_read("/sys", &r->adapters);
    }
    if (all || q->exports)
        exports_read(&j->limit, q->clients, q->n_clients, r);
    if (q->volumes)
        read_volumes(j, r);
    if (all || q->host)
        r->host = host_facts_read(&j->limit, j->probes->agent->config, r);
    end_names(j, q, lookups, r);
}

static void finish(struct probe_job *j)
{
    ((Drover__V1__Inspection *)j->result)->realtime_us = probe_realtime_us();
}

/* Of paths from whose places work has not come back the answer is known; they are left out of the request. */
static void leave_out(const struct probes *p, char *const *places, Drover__V1__InspectRequest *q,
                      Drover__V1__Inspection *r)
{
    for (size_t i = 0; i < q->n_paths; i++) {
        int64_t stuck_ms = probes_stuck_ms(p, places[i]);
        if (!stuck_ms)
            continue;
        Drover__V1__PathFacts *f = new0(Drover__V1__PathFacts);
        drover__v1__path_facts__init(f);
        xml_set(&f->error, xasprintf("%s: its file system has not answered for %lld s", q->paths[i],
                                     (long long)(stuck_ms / 1000)));
        xml_set(&f->path, steal(&q->paths[i]));
        q->paths[i] = xstrdup("");
        message_append(&r->paths, &r->n_paths, f);
    }
}

void inspect_call(struct probes *p, const Drover__V1__InspectRequest *q, Drover__V1__Inspection_Closure reply,
                  struct rpc_call *call)
{
    struct error err;
    if (q->n_pool_volumes > MAX_PATHS || q->n_names > MAX_PATHS) {
        error_set(&err, STATUS_INVALID_ARGUMENT, "%zu volumes and %zu names; expected at most %d of each",
                  q->n_pool_volumes, q->n_names, MAX_PATHS);
        rpc_call_fail(call, &err);
        return;
    }
    for (size_t i = 0; i < q->n_paths; i++)
        if (q->paths[i][0] != '/' || q->n_paths > MAX_PATHS) {
            error_set(&err, STATUS_INVALID_ARGUMENT,
                      "path \"%.128s\" of %zu: expected absolute ones, at most %d", q->paths[i], q->n_paths,
                      MAX_PATHS);
            rpc_call_fail(call, &err);
            return;
        }
    Drover__V1__Inspection *result = new0(Drover__V1__Inspection);
    drover__v1__inspection__init(result);
    Drover__V1__InspectRequest *request = (Drover__V1__InspectRequest *)message_copy(&q->base);
    struct probe_work does = {.work = inspect, .after = finish};
    does.places = probes_places(request->paths, request->n_paths);
    does.n_places = request->n_paths;
    leave_out(p, does.places, request, result);
    probe_job_start(p, call, (ProtobufCClosure)(void (*)(void))reply, &request->base, &result->base, WAIT_MS,
                    &does);
}
