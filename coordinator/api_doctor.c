/* Doctor: asks the hosts what they are like, and each hypervisor's ports from another one; then the doctor's rules. */
#include "common/base/memory.h"
#include "coordinator/api_methods.h"
#include "coordinator/core/doctor.h"
#include "coordinator/core/probe_plan.h"
#include "coordinator/probes.h"
#include "coordinator/round.h"

enum { LIST_MS = 2000 };

struct held {
    const char *host;
    struct doctor_held held;
};

struct visit {
    const struct api *api;
    const struct fleet_host *only; /* NULL: all */
    struct rpc_call *call;
    Drover__V1__DoctorReply_Closure reply;
    struct round *open; /* what is open at the hosts; asked first */
    char **known;       /* transactions of jobs that were open then */
    size_t n_known;
    struct held *
        held; /* of what is open, what no job knew, then or when the hosts had answered; its texts are the round's */
    size_t n_held;
    struct evidence evidence;
    struct probes *probes; /* NULL: not asked for yet */
};

static void visit_free(struct visit *v)
{
    for (size_t i = 0; i < v->n_known; i++)
        free(v->known[i]);
    free(v->known);
    free(v->held);
    round_free(v->open);
    evidence_deinit(&v->evidence);
    free(v);
}

/* A job may end while the hosts are asked. */
static void note_known(struct visit *v)
{
    size_t n = driver_jobs(v->api->config.driver, NULL, 0);
    _cleanup_free_ const Drover__V1__Job **jobs = xcalloc(n + 1, sizeof(*jobs));
    driver_jobs(v->api->config.driver, jobs, n);
    v->known = xcalloc(n + 1, sizeof(*v->known));
    for (size_t i = 0; i < n; i++)
        v->known[v->n_known++] = xstrdup(jobs[i]->transaction);
}

static bool is_known(const struct visit *v, const char *transaction)
{
    for (size_t i = 0; i < v->n_known; i++)
        if (streq(v->known[i], transaction))
            return true;
    return driver_job_of_transaction(v->api->config.driver, transaction);
}

static void note_held(struct visit *v)
{
    for (size_t h = 0; h < v->open->n; h++) {
        const struct round_answer *a = v->open->list[h];
        const Drover__V1__ListTransactionsReply *list = (const Drover__V1__ListTransactionsReply *)a->reply;
        for (size_t i = 0; list && i < list->n_transactions; i++) {
            const Drover__V1__OpenTransaction *t = list->transactions[i];
            if (is_known(v, t->step->transaction))
                continue;
            v->held = xrealloc(v->held, v->n_held + 1, sizeof(*v->held));
            v->held[v->n_held++] =
                (struct held){a->host, {t->step->guest, t->role == DROVER__V1__ROLE__SOURCE, t->state}};
        }
    }
}

static size_t held_at(const struct visit *v, const char *host, struct doctor_held **ret)
{
    size_t n = 0;
    *ret = xcalloc(v->n_held + 1, sizeof(**ret));
    for (size_t i = 0; i < v->n_held; i++)
        if (streq(v->held[i].host, host))
            (*ret)[n++] = v->held[i].held;
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
    note_held(v); /* not later: the probes take seconds, in which a move may end */
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
    note_known(v);
    v->open = round_new(api->config.loop, on_open, v);
    Drover__V1__ListTransactionsRequest list = DROVER__V1__LIST_TRANSACTIONS_REQUEST__INIT;
    for (size_t i = 0; i < fleet->n_hosts; i++)
        if ((!only || only == &fleet->hosts[i]) && fleet->hosts[i].up)
            round_ask(v->open, api->config.agents, fleet->hosts[i].name, "ListTransactions", &list.base,
                      LIST_MS);
    rpc_call_on_cancel(call, on_cancel, v);
    round_go(v->open);
}
