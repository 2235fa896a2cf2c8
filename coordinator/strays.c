#include "coordinator/strays.h"

#include "common/base/log.h"
#include "common/base/memory.h"
#include "coordinator/core/evidence.h"
#include "coordinator/round.h"

enum { ASK_MS = 5000 };

struct asking {
    struct strays *strays;
    const struct fleet_host *host;
    bool asked;          /* in this session */
    struct round *round; /* NULL: nothing is under way */
};

struct strays {
    struct loop *loop;
    const struct fleet *fleet;
    const struct driver *driver;
    const struct agents *agents;
    struct asking *hosts;
};

static void tell(const struct asking *a, const Drover__V1__OpenTransaction *t)
{
    const struct fleet_guest *guest = NULL;
    fleet_find_guest(a->strays->fleet, t->step->guest, &guest, NULL);
    const char *name = guest ? guest->guest->name : t->step->guest, *host = a->host->name;
    log_warn("host %s: it is the %s (%s) of a move of %s that no job knows (transaction %s), and takes no "
             "other move of it: drover free %s --on %s",
             host, t->role == DROVER__V1__ROLE__SOURCE ? "source" : "destination", t->state, name,
             t->step->transaction, name, host);
}

/* A coordinator that ended before it had written down that it gave the guest away. */
static void tell_closure(const struct asking *a, const Drover__V1__Closure *c)
{
    const struct driver *driver = a->strays->driver;
    const Drover__V1__Job *job = driver_job_of_transaction(driver, c->transaction);
    if (!job || driver_gave_away(driver, job->id))
        return;
    unsigned long long id = job->id;
    log_warn("host %s: the disks of %s are closed to %s, and job %llu has not given it to %s: either drover "
             "job %llu --resolve destination --fence, or drover fence release %s",
             a->host->name, c->guest_name, c->source, id, c->destination, id, c->source);
}

static void on_listed(void *arg)
{
    struct asking *a = arg;
    const Drover__V1__ListTransactionsReply *list =
        (const Drover__V1__ListTransactionsReply *)a->round->list[0]->reply;
    for (size_t i = 0; list && i < list->n_transactions; i++)
        if (!driver_job_of_transaction(a->strays->driver, list->transactions[i]->step->transaction))
            tell(a, list->transactions[i]);
    const Drover__V1__Closures *closures =
        a->round->n > 1 ? (const Drover__V1__Closures *)a->round->list[1]->reply : NULL;
    for (size_t i = 0; closures && i < closures->n_closures; i++)
        tell_closure(a, closures->closures[i]);
    a->round = round_free(a->round);
}

void strays_host_changed(struct strays *s, const struct fleet_host *host)
{
    if (!s)
        return;
    struct asking *a = &s->hosts[host - s->fleet->hosts];
    a->asked &= host->up;
    if (a->asked || !host->synced || a->round)
        return;
    a->asked = true;
    a->round = round_new(s->loop, on_listed, a);
    Drover__V1__ListTransactionsRequest request = DROVER__V1__LIST_TRANSACTIONS_REQUEST__INIT;
    round_ask(a->round, s->agents, host->name, "ListTransactions", &request.base, ASK_MS);
    Drover__V1__ListClosuresRequest closures = DROVER__V1__LIST_CLOSURES_REQUEST__INIT;
    if (host_exports(host))
        round_ask(a->round, s->agents, host->name, "ListClosures", &closures.base, ASK_MS);
    round_go(a->round);
}

struct strays *strays_new(struct loop *loop, const struct fleet *fleet, const struct driver *driver,
                          const struct agents *agents)
{
    struct strays *s = new0(struct strays);
    *s = (struct strays){.loop = loop, .fleet = fleet, .driver = driver, .agents = agents};
    s->hosts = xcalloc(fleet->n_hosts + 1, sizeof(*s->hosts));
    for (size_t i = 0; i < fleet->n_hosts; i++)
        s->hosts[i] = (struct asking){.strays = s, .host = &fleet->hosts[i]};
    return s;
}

void strays_free(struct strays *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->fleet->n_hosts; i++)
        round_free(s->hosts[i].round);
    free(s->hosts);
    free(s);
}
