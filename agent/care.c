#include "agent/care.h"

#include "agent/io/domain.h"
#include "agent/io/guests.h"
#include "agent/service.h"
#include "agent/transaction.h"
#include "common/base/memory.h"
#include "common/message/message.h"

#include <libvirt/libvirt-qemu.h>
#include <libvirt/virterror.h>
#include <string.h>

enum { GUEST_AGENT_S = 3 };

struct care {
    struct agent *agent;
    struct rpc_call *call;
    void *reply; /* the closure of the method */
    const void *request;
    struct error err; /* code OK: none */
    Drover__V1__SurveyReply survey;
    Drover__V1__LookReply look;
};

static void begin(Drover__V1__Agent_Service *service, const void *request, void *reply, void *call,
                  void (*work)(void *arg), void (*done)(void *arg))
{
    struct agent *agent = service_agent(service);
    struct error err;
    if (!agent->libvirt) {
        error_set(&err, STATUS_FAILED_PRECONDITION, "%s is no hypervisor: it has no guests",
                  agent->config->name);
        rpc_call_fail(call, &err);
        return;
    }
    struct care *c = new0(struct care);
    c->agent = agent;
    c->call = call;
    c->reply = reply;
    c->request = request;
    drover__v1__survey_reply__init(&c->survey);
    drover__v1__look_reply__init(&c->look);
    workers_submit(agent->workers, work, done, c);
}

/* ---- Survey ---- */

static void survey(void *arg)
{
    struct care *c = arg;
    _cleanup_connect_ virConnectPtr conn = libvirt_ref(c->agent->libvirt, &c->err);
    if (!conn)
        return;
    virDomainPtr *domains = NULL;
    int n = virConnectListAllDomains(conn, &domains, 0);
    if (n < 0) {
        error_libvirt(&c->err, "can't list the domains");
        return;
    }
    c->survey.guests = xcalloc((size_t)n + 1, sizeof(*c->survey.guests));
    for (int i = 0; i < n; i++) {
        struct error gone = {0};
        Drover__V1__Guest *guest = NULL;
        if (c->err.code == STATUS_OK && guests_read(domains[i], &guest, NULL, &gone) < 0 &&
            gone.code != STATUS_NOT_FOUND) /* it went while it was read */
            c->err = gone;
        if (guest)
            c->survey.guests[c->survey.n_guests++] = guest;
        virDomainFree(domains[i]);
    }
    free(domains);
}

static void surveyed(void *arg)
{
    struct care *c = arg;
    if (c->err.code != STATUS_OK)
        rpc_call_fail(c->call, &c->err);
    else
        ((Drover__V1__SurveyReply_Closure)c->reply)(&c->survey, c->call);
    for (size_t i = 0; i < c->survey.n_guests; i++)
        drover__v1__guest__free_unpacked(c->survey.guests[i], NULL);
    free(c->survey.guests);
    free(c);
}

void rpc_survey(Drover__V1__Agent_Service *service, const Drover__V1__SurveyRequest *request,
                Drover__V1__SurveyReply_Closure reply, void *call)
{
    begin(service, request, (void *)reply, call, survey, surveyed);
}

/* ---- Look ---- */

static void look_at_disks(virDomainPtr domain, Drover__V1__LookReply *look)
{
    int n = virDomainGetDiskErrors(domain, NULL, 0, 0);
    if (n <= 0)
        return;
    _cleanup_free_ virDomainDiskError *errors = xcalloc((size_t)n, sizeof(*errors));
    n = virDomainGetDiskErrors(domain, errors, (unsigned)n, 0);
    look->errors = xcalloc((size_t)(n > 0 ? n : 1), sizeof(char *));
    for (int i = 0; i < n; i++) {
        look->errors[look->n_errors++] =
            xasprintf("%s: %s", errors[i].disk,
                      errors[i].error == VIR_DOMAIN_DISK_ERROR_NO_SPACE ? "no space" : "I/O error");
        free(errors[i].disk);
    }
}

static void look_at_agent(virDomainPtr domain, Drover__V1__LookReply *look)
{
    _cleanup_free_ char *xml = virDomainGetXMLDesc(domain, 0);
    look->has_agent = xml && strstr(xml, "name='org.qemu.guest_agent.0' state='connected'");
    if (!look->has_agent)
        return;
    _cleanup_free_ char *answer =
        virDomainQemuAgentCommand(domain, "{\"execute\": \"guest-ping\"}", GUEST_AGENT_S, 0);
    look->agent_answers = answer != NULL;
}

static void look(void *arg)
{
    struct care *c = arg;
    const Drover__V1__LookRequest *request = c->request;
    _cleanup_connect_ virConnectPtr conn = libvirt_ref(c->agent->libvirt, &c->err);
    if (!conn)
        return;
    _cleanup_domain_ virDomainPtr domain = domain_find(conn, request->guest, &c->err);
    if (!domain) {
        if (c->err.code == STATUS_NOT_FOUND)
            c->err.code = STATUS_OK;
        return;
    }
    int state, reason;
    if (virDomainGetState(domain, &state, &reason, 0) < 0) {
        error_libvirt(&c->err, "can't ask for the state of guest %s", request->guest);
        return;
    }
    c->look.exists = true;
    c->look.running = state == VIR_DOMAIN_RUNNING;
    bool io = state == VIR_DOMAIN_PAUSED && reason == VIR_DOMAIN_PAUSED_IOERROR;
    const char *words = c->look.running                ? "running"
                        : io                           ? "paused by an I/O error"
                        : state == VIR_DOMAIN_PAUSED   ? "paused"
                        : state == VIR_DOMAIN_CRASHED  ? "crashed"
                        : state == VIR_DOMAIN_SHUTOFF  ? "shut off"
                        : state == VIR_DOMAIN_SHUTDOWN ? "shutting down"
                                                       : "in an unknown state";
    c->look.state = xstrdup(words);
    look_at_disks(domain, &c->look);
    if (c->look.running)
        look_at_agent(domain, &c->look);
}

static void looked(void *arg)
{
    struct care *c = arg;
    if (c->err.code != STATUS_OK)
        rpc_call_fail(c->call, &c->err);
    else
        ((Drover__V1__LookReply_Closure)c->reply)(&c->look, c->call);
    for (size_t i = 0; i < c->look.n_errors; i++)
        free(c->look.errors[i]);
    free(c->look.errors);
    if (c->look.exists)
        free(c->look.state);
    free(c);
}

void rpc_look(Drover__V1__Agent_Service *service, const Drover__V1__LookRequest *request,
              Drover__V1__LookReply_Closure reply, void *call)
{
    begin(service, request, (void *)reply, call, look, looked);
}

/* ---- SetBandwidth ---- */

void rpc_set_bandwidth(Drover__V1__Agent_Service *service, const Drover__V1__SetBandwidthRequest *request,
                       Drover__V1__SetBandwidthReply_Closure reply, void *call)
{
    struct transactions *all = service_agent(service)->transactions;
    struct error err = {0};
    if (request->step && all && transactions_check_epoch(all, request->step->epoch, &err) < 0) {
        rpc_call_fail(call, &err);
        return;
    }
    struct transaction *txn =
        request->step && all ? transactions_find(all, request->step->transaction) : NULL;
    Drover__V1__SetBandwidthReply answer = DROVER__V1__SET_BANDWIDTH_REPLY__INIT;
    answer.set = txn && txn->role == PARTICIPANT_SOURCE;
    if (answer.set)
        transfer_share(txn, request->bandwidth, request->waits);
    reply(&answer, call);
}
