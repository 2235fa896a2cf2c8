/* What is open here, for a coordinator that has started again. */
#include "agent/transaction.h"

#include "agent/service.h"
#include "common/base/memory.h"

/* As the record has them: not changed any more since it was prepared. Where it was lost nothing of them is touched either. */
static size_t images_of(const struct transaction *t, char **ret)
{
    const Drover__V1__Relocation *r = t->record->relocation;
    for (size_t i = 0; ret && r && i < r->n_copies; i++)
        ret[i] = t->role == PARTICIPANT_SOURCE ? r->copies[i]->from : r->copies[i]->to;
    return r ? r->n_copies : 0;
}

void rpc_list_transactions(Drover__V1__Agent_Service *service,
                           const Drover__V1__ListTransactionsRequest *request,
                           Drover__V1__ListTransactionsReply_Closure reply, void *call)
{
    (void)request;
    const struct transactions *all = service_agent(service)->transactions;
    size_t n = 0, i = 0, n_paths = 0;
    for (const struct transaction *t = all->list; t; t = t->next)
        if (participant_is_open(t->role, t->state)) {
            n++;
            n_paths += images_of(t, NULL);
        }
    _cleanup_free_ Drover__V1__OpenTransaction *open = xcalloc(n, sizeof(*open));
    _cleanup_free_ Drover__V1__OpenTransaction **list = xcalloc(n, sizeof(*list));
    _cleanup_free_ Drover__V1__Step *steps = xcalloc(n, sizeof(*steps));
    _cleanup_free_ Drover__V1__CopiedImages *images = xcalloc(n, sizeof(*images));
    _cleanup_free_ char **paths = xcalloc(n_paths, sizeof(*paths));
    char **next = paths;
    for (const struct transaction *t = all->list; t; t = t->next) {
        if (!participant_is_open(t->role, t->state))
            continue;
        drover__v1__step__init(&steps[i]);
        steps[i].transaction = (char *)t->id;
        steps[i].guest = (char *)t->guest;
        steps[i].generation = t->generation;
        steps[i].epoch = t->epoch;
        drover__v1__open_transaction__init(&open[i]);
        open[i].step = &steps[i];
        open[i].role =
            t->role == PARTICIPANT_SOURCE ? DROVER__V1__ROLE__SOURCE : DROVER__V1__ROLE__DESTINATION;
        open[i].state = (char *)participant_state_name(t->state);
        open[i].since = (uint64_t)t->changed_ms;
        if (t->record->peer) /* not changed any more since it was prepared */
            open[i].peer = t->record->peer->host;
        drover__v1__copied_images__init(&images[i]);
        images[i].paths = next;
        next += images[i].n_paths = images_of(t, next);
        open[i].images = &images[i];
        list[i] = &open[i];
        i++;
    }
    Drover__V1__ListTransactionsReply message = DROVER__V1__LIST_TRANSACTIONS_REPLY__INIT;
    message.transactions = list;
    message.n_transactions = n;
    message.epoch = records_epoch(all->records);
    reply(&message, call);
}
