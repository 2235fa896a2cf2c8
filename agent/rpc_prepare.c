/* PREPARE: look at everything, hold what is needed, vote. A yes is durable before it is said; a no is for good. */
#include "agent/transaction.h"

#include "agent/copies.h"
#include "agent/io/host_report.h"
#include "agent/io/relocate_xml.h"
#include "agent/io/xml.h"
#include "agent/service.h"
#include "common/base/failpoint.h"
#include "common/base/memory.h"
#include "common/message/message.h"
#include "common/model/need.h"

#include <string.h>

struct prepare {
    struct operation op;
    const Drover__V1__PrepareRequest *request;
    Drover__V1__Vote_Closure reply;
    struct rpc_call *call;
    enum participant_role role;
    uint64_t available; /* memory at the destination, before reservations */
    struct findings findings;
    Drover__V1__Vote *vote; /* NULL: failed with err */
    struct error err;
};

static void *copy(const ProtobufCMessage *message)
{
    return message ? message_copy(message) : NULL;
}

static Drover__V1__Endpoint *own_endpoint(const struct agent *agent)
{
    const struct agent_config *config = agent->config;
    Drover__V1__Endpoint *e = new0(Drover__V1__Endpoint);
    drover__v1__endpoint__init(e);
    e->host = xstrdup(config->name);
    e->agent_url = xstrdup(config->agent_url);
    e->libvirt_remote = xstrdup(config->libvirt_remote ? config->libvirt_remote : "");
    const char *address = config->migration_address ? config->migration_address : "";
    bool v6 = strchr(address, ':') != NULL;
    e->migration_uri = xasprintf(v6 ? "tcp://[%s]" : "tcp://%s", address);
    return e;
}

static void reserve(struct prepare *p, struct transaction *txn)
{
    const Drover__V1__Guest *guest = p->request->guest;
    if (p->request->mode == DROVER__V1__MODE__MODE_DEFINITION || findings_block(&p->findings))
        return;
    check_destination_hugepages(txn, guest, &p->findings);
    uint64_t need = need_memory(guest->memory_max, guest->n_hugepages);
    if (findings_block(&p->findings) || transaction_reserve(txn, need, p->available) == 0)
        return;
    uint64_t overhead = need_overhead(guest->memory_max);
    _cleanup_free_ char *seen = xasprintf("%llu MiB free, of which open transactions hold %llu MiB",
                                          (unsigned long long)(p->available >> 20),
                                          (unsigned long long)(transactions_reserved_bytes(txn->all) >> 20));
    _cleanup_free_ char *expected =
        xasprintf("%llu MiB for the guest and %llu MiB for its QEMU",
                  (unsigned long long)((need - overhead) >> 20), (unsigned long long)(overhead >> 20));
    findings_add(&p->findings, DROVER__V1__SEVERITY__BLOCK, "memory-free", "the destination's memory", seen,
                 expected, "choose another host, or move guests away from this one");
}

/* What is stored and later defined here is the definition as this host needs it. */
static void relocate(struct prepare *p, Drover__V1__Record *r)
{
    struct error why = {0};
    char *xml = NULL;
    if (!r->relocation)
        return;
    int e = relocate_xml(r->definition->xml, r->relocation, &xml, &why);
    if (e == 0)
        xml_set(&r->definition->xml, xml);
    for (size_t i = 0; e == 0 && i < r->definition->n_snapshots; i++) {
        e = relocate_xml(r->definition->snapshots[i]->xml, r->relocation, &xml, &why);
        if (e == 0)
            xml_set(&r->definition->snapshots[i]->xml, xml);
    }
    if (e < 0)
        findings_add(&p->findings, DROVER__V1__SEVERITY__BLOCK, "definition", "the guest's definition",
                     why.text, "XML that can be rewritten for this host",
                     "look at virsh dumpxml on the source");
}

static void check(struct prepare *p, struct transaction *txn)
{
    struct agent *agent = p->op.all->agent;
    Drover__V1__Record *r = txn->record;
    struct error why = {0};
    _cleanup_connect_ virConnectPtr conn =
        agent->libvirt ? libvirt_ref(agent->libvirt, &why)
                       : (error_set(&why, STATUS_FAILED_PRECONDITION, "this host is no hypervisor"), NULL);
    if (!conn)
        findings_add(&p->findings, DROVER__V1__SEVERITY__BLOCK, "libvirt", agent->config->name, why.text,
                     "libvirt that answers", "start libvirtd on this host");
    if (!records_has_room(p->op.all->records))
        findings_add(&p->findings, DROVER__V1__SEVERITY__BLOCK, "state-full", agent->config->state_dir,
                     "less than 1 MiB of room for what the agent writes down of a move",
                     "room to write it to its end", "free some on that disk of this host");
    if (p->op.other)
        findings_add(&p->findings, DROVER__V1__SEVERITY__BLOCK, "guest-busy", "the guest", p->op.other,
                     "no other transaction on the guest at this host",
                     "wait for it (drover jobs); if there is no such job, its coordinator never came back "
                     "(drover doctor "
                     "says so, too): drover free VM --on HOST");
    if (p->request->mode == DROVER__V1__MODE__MODE_POST_COPY && r->relocation && r->relocation->n_copies)
        findings_add(&p->findings, DROVER__V1__SEVERITY__BLOCK, "mode", "post-copy",
                     "disks are to be copied, too, which libvirt does not combine with post-copy",
                     "another mode, or shared storage", "leave out --mode post-copy or --copy-storage");
    if (p->role == PARTICIPANT_SOURCE) {
        if (conn)
            check_source(conn, p->request, &p->findings, &r->guest, &r->definition);
        if (p->op.autostart) /* else the definition would say that it has none */
            findings_add(&p->findings, DROVER__V1__SEVERITY__BLOCK, "guest-busy", "the guest",
                         "an earlier move has taken its autostart off, and libvirt has not given it back yet",
                         "its own autostart", "try again; if it stays so, see libvirtd's log on this host");
        copies_check_source(conn, r->relocation, r->guest, &p->findings);
    } else {
        if (conn)
            check_destination_names(conn, p->request, &p->findings);
        if (conn)
            check_destination_cpu(conn, p->request, &p->findings);
        findings_accept(&p->findings, p->request->accept, p->request->n_accept);
        r->guest = copy(&p->request->guest->base);
        r->definition = copy(&p->request->definition->base);
        relocate(p, r);
        copies_check_destination(txn, conn, &p->findings);
        reserve(p, txn);
    }
}

static Drover__V1__Vote *vote_of(struct prepare *p, const struct transaction *txn)
{
    Drover__V1__Vote *v = new0(Drover__V1__Vote);
    drover__v1__vote__init(v);
    v->yes = !findings_block(&p->findings);
    v->findings = steal(&p->findings.list);
    v->n_findings = p->findings.n;
    p->findings.n = 0;
    v->lease = TRANSACTION_LEASE_MS;
    if (p->role == PARTICIPANT_SOURCE) {
        v->guest = txn->record->guest ? copy(&txn->record->guest->base) : NULL;
        v->definition = txn->record->definition ? copy(&txn->record->definition->base) : NULL;
    }
    v->endpoint = own_endpoint(p->op.all->agent);
    v->relocation = txn->record->relocation ? copy(&txn->record->relocation->base) : NULL;
    return v;
}

/* The images are promised on disk before they are made, and the vote is kept when they are: a repeated PREPARE in between finds none. */
static int make_copies(struct prepare *p, struct transaction *txn)
{ /* model: D1 D2 */
    struct outcome out;
    struct error why = {0};
    Drover__V1__Vote *yes = steal(&txn->record->vote);
    copies_promise(txn);
    int e = drive_step(&p->op, PARTICIPANT_PREPARE_YES, 0, &out, &p->err);
    _cleanup_connect_ virConnectPtr conn = libvirt_ref(txn->all->agent->libvirt, &why);
    if (e == 0 && (!conn || copies_make(txn, conn, &why) < 0)) {
        p->findings = (struct findings){0};
        findings_add(&p->findings, DROVER__V1__SEVERITY__BLOCK, "copy-target", "the copied disks", why.text,
                     "that their images can be made here", "see the log of drover-agent on this host");
        drover__v1__vote__free_unpacked(yes, NULL);
        yes = vote_of(p, txn);
        e = drive_step(&p->op, PARTICIPANT_ABORT, 0, &out, &p->err);
    }
    txn->record->vote = yes;
    return e < 0 ? e : transaction_write(txn, transaction_state(txn), &p->err);
}

static void work(struct operation *op)
{ /* model: S1 S2 D1 D2 */
    struct prepare *p = (struct prepare *)op;
    const Drover__V1__PrepareRequest *q = p->request;
    if (drive_admit(op, q->step, p->role, ADMIT_NEW, &p->err) < 0)
        return;
    if (op->txn) { /* again: the stored vote. Of a transaction that never heard of a PREPARE: a no */
        if (!op->txn->record->vote)
            error_set(&p->err, STATUS_ABORTED, "transaction %s is over: %s", op->txn->id,
                      op->txn->record->state);
        else
            p->vote = copy(&op->txn->record->vote->base);
        return;
    }
    struct transaction *txn = op->txn = transaction_new(op->all, q->step, p->role);
    Drover__V1__Record *r = txn->record;
    r->mode = q->mode;
    r->policy = q->policy ? copy(&q->policy->base) : NULL;
    r->peer = q->peer ? copy(&q->peer->base) : NULL;
    r->relocation = q->relocation ? copy(&q->relocation->base) : NULL;
    check(p, txn);
    if (!findings_block(&p->findings) && hooks_prepare(txn, &p->findings, &p->err) < 0)
        return;
    r->vote = vote_of(p, txn);
    bool yes = r->vote->yes;
    if (yes &&
        p->role == PARTICIPANT_DESTINATION) /* the right to end an image that this transaction brings */
        transaction_made(txn, DROVER__V1__MADE__KIND__RESERVATION, "memory");
    if (yes && p->role == PARTICIPANT_DESTINATION && copies_any(txn)) {
        if (make_copies(p, txn) == 0)
            p->vote = copy(&r->vote->base);
        return;
    }
    struct outcome out;
    if (drive_step(op, yes ? PARTICIPANT_PREPARE_YES : PARTICIPANT_PREPARE_NO, 0, &out, &p->err) < 0)
        return; /* not durable: nothing is promised */
    p->vote = copy(&r->vote->base);
}

static void done(struct operation *op)
{
    struct prepare *p = (struct prepare *)op;
    if (op->txn)
        op->txn->heard_ms = clock_monotonic_ms();
    if (p->vote) {
        failpoint("agent.%s.PREPARE.before_answer", p->role == PARTICIPANT_SOURCE ? "source" : "destination");
        p->reply(p->vote, p->call);
        failpoint("agent.%s.PREPARE.after_answer", p->role == PARTICIPANT_SOURCE ? "source" : "destination");
    } else {
        rpc_call_fail(p->call, &p->err);
    }
    if (p->vote)
        drover__v1__vote__free_unpacked(p->vote, NULL);
    findings_free(&p->findings);
    free(p);
}

static void on_report(void *arg, const Drover__V1__HostReport *report)
{
    struct prepare *p = arg;
    if (!report) {
        error_set(&p->err, STATUS_UNAVAILABLE, "the agent is stopping");
        done(&p->op);
        return;
    }
    check_destination_host(report, p->request, &p->findings);
    check_destination_macs(p->op.all->agent, p->request->guest, &p->findings);
    p->available = report->memory_free;
    turn_take(&p->op);
}

void rpc_prepare(Drover__V1__Agent_Service *service, const Drover__V1__PrepareRequest *request,
                 Drover__V1__Vote_Closure reply, void *call)
{
    struct agent *agent = service_agent(service);
    struct prepare *p = new0(struct prepare);
    *p = (struct prepare){.request = request, .reply = reply, .call = call};
    p->op.work = work;
    p->op.done = done;
    p->op.votes = true;
    p->role = request->role == DROVER__V1__ROLE__SOURCE ? PARTICIPANT_SOURCE : PARTICIPANT_DESTINATION;
    operation_init(&p->op, agent->transactions, request->step, &p->err);
    if (!p->err.code && request->role != DROVER__V1__ROLE__SOURCE &&
        request->role != DROVER__V1__ROLE__DESTINATION)
        error_set(&p->err, STATUS_INVALID_ARGUMENT, "PREPARE is to a source or to a destination");
    if (!p->err.code && p->role == PARTICIPANT_DESTINATION &&
        (!request->guest || !request->definition || !request->definition->xml ||
         !request->definition->xml[0] || !streq(request->guest->uuid, request->step->guest)))
        error_set(&p->err, STATUS_INVALID_ARGUMENT,
                  "PREPARE to a destination needs the guest and its definition as the source voted");
    if (p->err.code) {
        rpc_call_fail(call, &p->err);
        free(p);
        return;
    }
    if (p->role == PARTICIPANT_DESTINATION && agent->report)
        host_report_fresh(agent->report, on_report, p);
    else
        turn_take(&p->op);
}
