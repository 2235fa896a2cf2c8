/* Doctor: asks the hosts what they are like, and each hypervisor's ports from another one; then the doctor's rules. */
#include "common/base/memory.h"
#include "coordinator/api_methods.h"
#include "coordinator/core/doctor.h"
#include "coordinator/core/probe_plan.h"
#include "coordinator/probes.h"
#include "coordinator/round.h"

enum { LIST_MS = 2000 };

struct visit {
    const struct api *api;
    const struct fleet_host *only; /* NULL: all */
    struct rpc_call *call;
    Drover__V1__DoctorReply_Closure reply;
    struct round *open; /* what is open at the hosts; asked first */
    struct evidence evidence;
    struct probes *probes; /* NULL: not asked for yet */
};

static void visit_free(struct visit *v)
{
    round_free(v->open);
    evidence_deinit(&v->evidence);
    free(v);
}

/* Of what is open at the host, what no job knows. The texts are the round's. */
static size_t held_at(const struct visit *v, const char *host, struct doctor_held **ret)
{
    const Drover__V1__ListTransactionsReply *list = NULL;
    for (size_t i = 0; v->open && i < v->open->n; i++)
        if (streq(v->open->list[i]->host, host))
            list = (const Drover__V1__ListTransactionsReply *)v->open->list[i]->reply;
    size_t n = 0;
    *ret = xcalloc(list ? list->n_transactions + 1 : 1, sizeof(**ret));
    for (size_t i = 0; list && i < list->n_transactions; i++) {
        const Drover__V1__OpenTransaction *t = list->transactions[i];
        if (!driver_job_of_transaction(v->api->config.driver, t->step->transaction))
            (*ret)[n++] = (struct doctor_held){t->step->guest, t->role == DROVER__V1__ROLE__SOURCE, t->state};
    }
    return n;
}

static void on_cancel(void *arg)
{
    struct visit *v = arg;
    struct rpc_call *call = v->call;
    const struct error why = {.code = STATUS_CANCELLED, .text = "the shell does not wait any more"};
    probes_cancel(v->probes);
    visit_free(v);
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
        struct doctor in = {fleet, h, doctor_peer(fleet, h), evidence, clock_realtime_ms()};
        struct doctor_held *held;
        in.n_held = held_at(v, h->name, &held);
        in.held = held;
        doctor_run(&in, &findings[n]);
        free(held);
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
    visit_free(v);
}

static void on_open(void *arg)
{
    struct visit *v = arg;
    v->probes = probes_start(v->api->config.loop, v->api->config.agents, &v->evidence, on_known, v);
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
    v->evidence = evidence;
    v->open = round_new(api->config.loop, on_open, v);
    Drover__V1__ListTransactionsRequest list = DROVER__V1__LIST_TRANSACTIONS_REQUEST__INIT;
    for (size_t i = 0; i < fleet->n_hosts; i++)
        if ((!only || only == &fleet->hosts[i]) && fleet->hosts[i].up)
            round_ask(v->open, api->config.agents, fleet->hosts[i].name, "ListTransactions", &list.base,
                      LIST_MS);
    rpc_call_on_cancel(call, on_cancel, v);
    round_go(v->open);
}
