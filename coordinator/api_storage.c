/* ListStorage: asks each host that is up what it mounts, sees, exports and keeps in pools. */
#include "common/base/memory.h"
#include "coordinator/api_methods.h"
#include "coordinator/core/probe_plan.h"
#include "coordinator/probes.h"

struct look {
    const struct api *api;
    const struct fleet_host *only; /* NULL: all */
    struct rpc_call *call;
    Drover__V1__ListStorageReply_Closure reply;
    struct probes *probes;
};

static void on_cancel(void *arg)
{
    struct look *k = arg;
    struct rpc_call *call = k->call;
    const struct error why = {.code = STATUS_CANCELLED, .text = "the shell does not wait any more"};
    probes_cancel(k->probes);
    free(k);
    rpc_call_fail(call, &why);
}

static void on_known(void *arg, struct evidence *evidence)
{
    struct look *k = arg;
    const struct fleet *fleet = k->api->config.fleet;
    _cleanup_free_ Drover__V1__HostStorage *hosts = xcalloc(fleet->n_hosts + 1, sizeof(*hosts));
    _cleanup_free_ Drover__V1__HostStorage **list = xcalloc(fleet->n_hosts + 1, sizeof(*list));
    size_t n = 0;
    for (size_t i = 0; i < fleet->n_hosts; i++) {
        const struct fleet_host *h = &fleet->hosts[i];
        const struct ask *asked = evidence_inspect(evidence, h);
        Drover__V1__HostStorage *to = &hosts[n];
        if (k->only && h != k->only)
            continue;
        drover__v1__host_storage__init(to);
        to->host = h->name;
        to->inspection = asked ? asked->inspection : NULL;
        if (!to->inspection)
            to->why = asked    ? (char *)ask_words(asked)
                      : h->why ? h->why
                               : (char *)"its agent is not connected";
        if (h->report) {
            to->pools = h->report->pools;
            to->n_pools = h->report->n_pools;
        }
        list[n++] = to;
    }
    Drover__V1__ListStorageReply answer = DROVER__V1__LIST_STORAGE_REPLY__INIT;
    answer.hosts = list;
    answer.n_hosts = n;
    k->reply(&answer, k->call);
    evidence_deinit(evidence);
    free(k);
}

void api_list_storage(Drover__V1__Coordinator_Service *service, const Drover__V1__ListStorageRequest *request,
                      Drover__V1__ListStorageReply_Closure reply, void *call)
{
    const struct api *api = (const struct api *)service;
    const struct fleet *fleet = api->config.fleet;
    struct fleet_host *only = NULL;
    struct error err = {0};
    if (request->host[0] && fleet_find_host(fleet, request->host, &only, &err) < 0) {
        rpc_call_fail(call, &err);
        return;
    }
    struct evidence evidence = {0};
    for (size_t i = 0; i < fleet->n_hosts && api->config.agents; i++)
        if (!only || only == &fleet->hosts[i])
            plan_storage(&evidence, &fleet->hosts[i]);
    struct look *k = new0(struct look);
    *k = (struct look){.api = api, .only = only, .call = call, .reply = reply};
    if (!evidence.n) {
        on_known(k, &evidence);
        return;
    }
    k->probes = probes_start(api->config.loop, api->config.agents, &evidence, on_known, k);
    rpc_call_on_cancel(call, on_cancel, k);
}
