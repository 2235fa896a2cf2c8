#include "coordinator/api.h"

#include "common/base/memory.h"
#include "coordinator/api_methods.h"

#include <string.h>
#include <strings.h>

enum {
    LIST_DEFAULT = 100,
    PAGE_BYTES = 1 << 20, /* of hosts or guests, or of jobs in full; a frame takes 4 MiB */
    LIST_BYTES = 3 << 20, /* of jobs */
};

static const struct api *api_of(const Drover__V1__Coordinator_Service *service)
{
    return (const struct api *)service;
}

/* NULL: not known. */
static Drover__V1__Usage *usage_message(const struct fleet_usage *usage, Drover__V1__Usage *ret)
{
    drover__v1__usage__init(ret);
    ret->cpu = usage->cpu;
    ret->cpu_other = usage->cpu_other;
    ret->memory = usage->memory;
    return usage->known ? ret : NULL;
}

/* The sums of its guests as they are told now: the report's own may be a second old. NULL: it has not reported. */
static Drover__V1__HostReport *report_message(const struct fleet_host *h, Drover__V1__HostReport *ret)
{
    if (!h->report)
        return NULL;
    *ret = *h->report; /* its strings and lists are the fleet's */
    if (!h->told)
        return ret;
    ret->memory_guests = ret->vcpus_guests = 0;
    for (size_t i = 0; i < h->n_guests; i++) {
        const Drover__V1__Guest *g = h->guests[i].guest;
        ret->memory_guests += fleet_guest_active(g) ? g->memory_max : 0;
        ret->vcpus_guests += fleet_guest_active(g) ? g->vcpus : 0;
    }
    return ret;
}

static Drover__V1__HostStatus host_status(const struct fleet_host *h, Drover__V1__Usage *usage,
                                          Drover__V1__HostReport *report)
{
    Drover__V1__HostStatus status = DROVER__V1__HOST_STATUS__INIT;
    status.name = h->name;
    status.site = h->site;
    status.agent = h->agent_url;
    status.up = h->up;
    status.synced = h->synced;
    status.maintenance = h->maintenance;
    status.since = (uint64_t)h->since_ms;
    if (h->why)
        status.why = h->why;
    status.report = report_message(h, report);
    status.usage = usage_message(&h->usage, usage);
    status.guests_total = (uint32_t)h->n_guests;
    for (size_t g = 0; g < h->n_guests; g++)
        status.guests_running += fleet_guest_active(h->guests[g].guest);
    return status;
}

static void list_hosts(Drover__V1__Coordinator_Service *service, const Drover__V1__ListHostsRequest *request,
                       Drover__V1__ListHostsReply_Closure reply, void *call)
{
    const struct fleet *fleet = api_of(service)->config.fleet;
    struct fleet_host *only = NULL;
    struct error err = {0};
    if (request->host[0] && fleet_find_host(fleet, request->host, &only, &err) < 0) {
        rpc_call_fail(call, &err);
        return;
    }
    _cleanup_free_ Drover__V1__HostStatus *hosts = xcalloc(fleet->n_hosts + 1, sizeof(*hosts));
    _cleanup_free_ Drover__V1__Usage *usages = xcalloc(fleet->n_hosts + 1, sizeof(*usages));
    _cleanup_free_ Drover__V1__HostReport *reports = xcalloc(fleet->n_hosts + 1, sizeof(*reports));
    _cleanup_free_ Drover__V1__HostStatus **list = xcalloc(fleet->n_hosts + 1, sizeof(*list));
    size_t n = 0, i = request->from;
    for (size_t bytes = 0; i < fleet->n_hosts && bytes < PAGE_BYTES; i++) {
        if (only && only != &fleet->hosts[i])
            continue;
        hosts[n] = host_status(&fleet->hosts[i], &usages[n], &reports[n]);
        bytes += drover__v1__host_status__get_packed_size(&hosts[n]);
        list[n] = &hosts[n];
        n++;
    }
    Drover__V1__ListHostsReply answer = DROVER__V1__LIST_HOSTS_REPLY__INIT;
    answer.n_hosts = n;
    answer.hosts = list;
    answer.coordinator_version = (char *)DROVER_VERSION;
    answer.next = i < fleet->n_hosts ? (uint32_t)i : 0;
    reply(&answer, call);
}

static void list_guests(Drover__V1__Coordinator_Service *service,
                        const Drover__V1__ListGuestsRequest *request,
                        Drover__V1__ListGuestsReply_Closure reply, void *call)
{
    const struct api *api = api_of(service);
    const struct fleet *fleet = api->config.fleet;
    struct fleet_host *only = NULL;
    struct error err = {0};
    if (request->host[0] && fleet_find_host(fleet, request->host, &only, &err) < 0) {
        rpc_call_fail(call, &err);
        return;
    }
    size_t n = 0, room = 0, i = request->from;
    for (size_t h = 0; h < fleet->n_hosts; h++)
        room += fleet->hosts[h].n_guests;
    _cleanup_free_ Drover__V1__GuestStatus *guests = xcalloc(room + 1, sizeof(*guests));
    _cleanup_free_ Drover__V1__Usage *usages = xcalloc(room + 1, sizeof(*usages));
    _cleanup_free_ Drover__V1__GuestStatus **list = xcalloc(room + 1, sizeof(*list));
    for (size_t bytes = 0; i < fleet->n_hosts && bytes < PAGE_BYTES; i++) {
        const struct fleet_host *h = &fleet->hosts[i];
        if (only && h != only)
            continue;
        for (size_t g = 0; g < h->n_guests; g++) {
            const Drover__V1__Job *job = driver_job_of_guest(api->config.driver, h->guests[g].guest->uuid);
            drover__v1__guest_status__init(&guests[n]);
            guests[n].host = h->name;
            guests[n].guest = h->guests[g].guest;
            guests[n].stale = !h->up || !h->guests[g].told;
            guests[n].job = job ? job->id : 0;
            if (fleet_guest_active(h->guests[g].guest))
                guests[n].usage = usage_message(&h->guests[g].usage, &usages[n]);
            bytes += drover__v1__guest_status__get_packed_size(&guests[n]);
            list[n] = &guests[n];
            n++;
        }
    }
    Drover__V1__ListGuestsReply answer = DROVER__V1__LIST_GUESTS_REPLY__INIT;
    answer.n_guests = n;
    answer.guests = list;
    answer.next = i < fleet->n_hosts ? (uint32_t)i : 0;
    reply(&answer, call);
}

static int doubt_and_newest_first(const void *a, const void *b)
{
    const Drover__V1__Job *x = *(Drover__V1__Job *const *)a, *y = *(Drover__V1__Job *const *)b;
    bool x_doubt = x->state == DROVER__V1__JOB_STATE__JOB_IN_DOUBT,
         y_doubt = y->state == DROVER__V1__JOB_STATE__JOB_IN_DOUBT;
    return x_doubt != y_doubt ? y_doubt - x_doubt : (x->id < y->id) - (x->id > y->id);
}

/* Without what only GetJob need tell. What is left is borrowed. */
static Drover__V1__Job bare(const Drover__V1__Job *job)
{
    Drover__V1__Job j = *job;
    j.n_steps = j.n_findings = j.n_passes = j.n_log = 0;
    return j;
}

/* As many as a message takes. */
static void reply_jobs(Drover__V1__Job *const *jobs, size_t n, uint32_t limit,
                       Drover__V1__ListJobsReply_Closure reply, void *call)
{
    _cleanup_free_ Drover__V1__Job **list = xcalloc(n + 1, sizeof(*list)),
                                   *bares = xcalloc(n + 1, sizeof(*bares));
    Drover__V1__ListJobsReply answer = DROVER__V1__LIST_JOBS_REPLY__INIT;
    for (size_t bytes = 0; answer.n_jobs < n && answer.n_jobs < limit; answer.n_jobs++) {
        list[answer.n_jobs] = jobs[answer.n_jobs];
        size_t size = drover__v1__job__get_packed_size(jobs[answer.n_jobs]);
        if (bytes + size > PAGE_BYTES) {
            bares[answer.n_jobs] = bare(jobs[answer.n_jobs]);
            list[answer.n_jobs] = &bares[answer.n_jobs];
            size = drover__v1__job__get_packed_size(list[answer.n_jobs]);
        }
        bytes += size;
        if (bytes > LIST_BYTES)
            break;
    }
    answer.jobs = list;
    answer.more = (uint32_t)(n - answer.n_jobs);
    reply(&answer, call);
}

static void list_open(const struct api *api, const char *guest, uint32_t limit,
                      Drover__V1__ListJobsReply_Closure reply, void *call)
{
    size_t moves = driver_jobs(api->config.driver, NULL, 0), kept = 0;
    size_t n = moves + plans_jobs(api->config.plans, NULL, 0);
    _cleanup_free_ const Drover__V1__Job **all = xcalloc(n + 1, sizeof(*all));
    driver_jobs(api->config.driver, all, moves);
    plans_jobs(api->config.plans, all + moves, n - moves);
    for (size_t i = 0; i < n; i++)
        if (!guest[0] || streq(all[i]->guest, guest) || strcasecmp(all[i]->guest_uuid, guest) == 0)
            all[kept++] = all[i];
    qsort(all, kept, sizeof(*all), doubt_and_newest_first);
    reply_jobs((Drover__V1__Job **)all, kept, limit, reply, call);
}

static void list_jobs(Drover__V1__Coordinator_Service *service, const Drover__V1__ListJobsRequest *request,
                      Drover__V1__ListJobsReply_Closure reply, void *call)
{
    const struct api *api = api_of(service);
    uint32_t limit = request->limit ? request->limit : LIST_DEFAULT;
    if (!request->ended) {
        list_open(api, request->guest, limit, reply, call);
        return;
    }
    Drover__V1__ListJobsReply *ended = NULL;
    struct error err = {0};
    if (store_list_ended(api->config.store, limit, request->guest[0] ? request->guest : NULL, &ended, &err) <
        0) {
        rpc_call_fail(call, &err);
        return;
    }
    reply_jobs(ended->jobs, ended->n_jobs, limit, reply, call);
    drover__v1__list_jobs_reply__free_unpacked(ended, NULL);
}

int api_find_job(const struct api *api, uint64_t id, const Drover__V1__Job **ret, Drover__V1__Job **ret_owned,
                 struct error *err)
{
    const Drover__V1__Job *open = driver_job(api->config.driver, id);
    if (!open)
        open = plans_job(api->config.plans, id);
    Drover__V1__Job *owned = NULL;
    if (!open) {
        int r = store_get_job(api->config.store, id, &owned, err);
        if (r < 0)
            return r;
    }
    *ret = open ? open : owned;
    *ret_owned = owned;
    return 0;
}

static void get_job(Drover__V1__Coordinator_Service *service, const Drover__V1__GetJobRequest *request,
                    Drover__V1__Job_Closure reply, void *call)
{
    const Drover__V1__Job *job;
    Drover__V1__Job *owned;
    struct error err = {0};
    if (api_find_job(api_of(service), request->id, &job, &owned, &err) < 0) {
        rpc_call_fail(call, &err);
        return;
    }
    reply(job, call);
    drover__v1__job__free_unpacked(owned, NULL);
}

const char *api_operator(const struct rpc_call *call)
{
    const struct rpc_peer *peer = rpc_call_peer(call);
    return peer->name[0] ? peer->name : peer->address;
}

static void cancel_job(Drover__V1__Coordinator_Service *service, const Drover__V1__CancelJobRequest *request,
                       Drover__V1__CancelJobReply_Closure reply, void *call)
{
    const struct api_config *c = &api_of(service)->config;
    _cleanup_free_ char *text = NULL;
    struct error err = {0};
    int r = plans_job(c->plans, request->id)
                ? plans_cancel(c->plans, request->id, request->now, api_operator(call), &text, &err)
                : driver_cancel(c->driver, request->id, api_operator(call), &text, &err);
    if (r < 0) {
        rpc_call_fail(call, &err);
        return;
    }
    Drover__V1__CancelJobReply answer = DROVER__V1__CANCEL_JOB_REPLY__INIT;
    answer.text = text;
    reply(&answer, call);
}

static void resolve_job(Drover__V1__Coordinator_Service *service,
                        const Drover__V1__ResolveJobRequest *request,
                        Drover__V1__ResolveJobReply_Closure reply, void *call)
{
    _cleanup_free_ char *text = NULL;
    struct error err = {0};
    bool to_source = streq(request->to, "source"), to_destination = streq(request->to, "destination");
    if (to_destination && request->fence && !request->source_off) {
        api_resolve_fenced(api_of(service), request, reply, call);
        return;
    }
    enum resolution how = to_source ? (request->destination_off ? RESOLVE_DESTINATION_OFF : RESOLVE_SOURCE)
                          : request->source_off ? RESOLVE_SOURCE_OFF
                                                : RESOLVE_DESTINATION;
    bool alone = !request->source_off && !request->fence && !request->with_memory;
    int r =
        (to_source && alone) || (to_destination && !request->fence && !request->destination_off)
            ? driver_resolve(api_of(service)->config.driver, request->id, how, request->with_memory,
                             api_operator(call), &text, &err)
            : error_set(&err, STATUS_INVALID_ARGUMENT,
                        "resolve to '%s': expected source (which alone may go with --destination-is-off), or "
                        "destination (which alone may go with --source-is-off, --fence or --with-memory)",
                        request->to);
    if (r < 0) {
        rpc_call_fail(call, &err);
        return;
    }
    Drover__V1__ResolveJobReply answer = DROVER__V1__RESOLVE_JOB_REPLY__INIT;
    answer.text = text;
    reply(&answer, call);
}

struct api *api_new(const struct api_config *config)
{
    struct api *api = new0(struct api);
    *api = (struct api){
        .service =
            {
                .base = DROVER__V1__COORDINATOR__BASE_INIT,
                .list_hosts = list_hosts,
                .list_guests = list_guests,
                .migrate_guest = api_migrate_guest,
                .forecast_move = api_forecast_move,
                .list_jobs = list_jobs,
                .get_job = get_job,
                .watch_job = api_watch_job,
                .cancel_job = cancel_job,
                .resolve_job = resolve_job,
                .free_guest = api_free_guest,
                .list_fences = api_list_fences,
                .release_fence = api_release_fence,
                .make_plan = api_make_plan,
                .pause_job = api_pause_job,
                .set_maintenance = api_set_maintenance,
                .doctor = api_doctor,
                .list_storage = api_list_storage,
            },
        .config = *config,
    };
    return api;
}

ProtobufCService *api_service(struct api *api)
{
    return &api->service.base;
}

void api_free(struct api *api)
{
    free(api);
}
