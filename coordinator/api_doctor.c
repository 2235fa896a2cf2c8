/* Doctor: asks the hosts what they are like, and each hypervisor's ports from another one; then the doctor's rules. */
#include "common/base/memory.h"
#include "coordinator/api_methods.h"
#include "coordinator/core/doctor.h"
#include "coordinator/core/probe_plan.h"
#include "coordinator/probes.h"

struct visit {
    const struct api *api;
    const struct fleet_host *only; /* NULL: all */
    struct rpc_call *call;
    Drover__V1__DoctorReply_Closure reply;
    struct probes *probes;
};

static void on_cancel(void *arg)
{
    struct visit *v = arg;
    struct rpc_call *call = v->call;
    const struct error why = {.code = STATUS_CANCELLED, .text = "the shell does not wait any more"};
    probes_cancel(v->probes);
    free(v);
    rpc_call_fail(call, &why);
}

static void on_known(void *arg, struct evidence *evidence)
{
    struct visit *v = arg;
    const struct fleet *fleet = v->api->config.fleet;
    size_t n = 0;
    _cleanup_free_ struct findings *findings = xcalloc(fleet->n_hosts + 1, sizeof(*findings));
    _cleanup_free_ Drover__V1__HostReadiness *hosts = xcalloc(fleet->n_hosts + 1, sizeof(*hosts));
    _cleanup_free_ Drover__V1__HostReadiness **list = xcalloc(fleet->n_hosts + 1, sizeof(*list));
    for (size_t i = 0; i < fleet->n_hosts; i++) {
        const struct fleet_host *h = &fleet->hosts[i];
        if (v->only && h != v->only)
            continue;
        const struct doctor in = {fleet, h, doctor_peer(fleet, h), evidence, clock_realtime_ms()};
        doctor_run(&in, &findings[n]);
        drover__v1__host_readiness__init(&hosts[n]);
        hosts[n].host = h->name;
        hosts[n].ready = !findings_block(&findings[n]);
        hosts[n].findings = findings[n].list;
        hosts[n].n_findings = findings[n].n;
        list[n] = &hosts[n];
        n++;
    }
    Drover__V1__DoctorReply answer = DROVER__V1__DOCTOR_REPLY__INIT;
    answer.hosts = list;
    answer.n_hosts = n;
    v->reply(&answer, v->call);
    for (size_t i = 0; i < n; i++)
        findings_deinit(&findings[i]);
    evidence_deinit(evidence);
    free(v);
}

void api_doctor(Drover__V1__Coordinator_Service *service, const Drover__V1__DoctorRequest *request,
                Drover__V1__DoctorReply_Closure reply, void *call)
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
    for (size_t i = 0; i < fleet->n_hosts; i++)
        if (!only || only == &fleet->hosts[i])
            plan_doctor(&evidence, &fleet->hosts[i], doctor_peer(fleet, &fleet->hosts[i]));
    struct visit *v = new0(struct visit);
    *v = (struct visit){.api = api, .only = only, .call = call, .reply = reply};
    if (!api->config.agents) {
        evidence_deinit(&evidence);
        on_known(v, &evidence);
        return;
    }
    v->probes = probes_start(api->config.loop, api->config.agents, &evidence, on_known, v);
    rpc_call_on_cancel(call, on_cancel, v);
}
