/* What a transaction has made, and what it holds of the host. */
#include "agent/transaction.h"

#include "common/base/memory.h"

void transaction_made(struct transaction *txn, Drover__V1__Made__Kind kind, const char *what)
{
    if (!transaction_has_made(txn, kind))
        transaction_made_also(txn, kind, what);
}

void transaction_made_also(struct transaction *txn, Drover__V1__Made__Kind kind, const char *what)
{
    Drover__V1__Record *r = txn->record;
    r->made = xrealloc(r->made, r->n_made + 1, sizeof(*r->made));
    Drover__V1__Made *m = r->made[r->n_made++] = new0(Drover__V1__Made);
    drover__v1__made__init(m);
    m->kind = kind;
    m->what = xstrdup(what);
}

bool transaction_has_made(const struct transaction *txn, Drover__V1__Made__Kind kind)
{
    for (size_t i = 0; i < txn->record->n_made; i++)
        if (txn->record->made[i]->kind == kind && !txn->record->made[i]->undone)
            return true;
    return false;
}

bool transaction_had_made(const struct transaction *txn, Drover__V1__Made__Kind kind)
{
    for (size_t i = 0; i < txn->record->n_made; i++)
        if (txn->record->made[i]->kind == kind)
            return true;
    return false;
}

void transaction_undone(struct transaction *txn, Drover__V1__Made__Kind kind)
{
    for (size_t i = 0; i < txn->record->n_made; i++)
        if (txn->record->made[i]->kind == kind)
            txn->record->made[i]->undone = true;
}

struct manifest_was transaction_manifest(const struct transaction *txn)
{
    const Drover__V1__Record *r = txn->record;
    struct manifest_was was = {xcalloc(r->n_made + 1, sizeof(*was.undone)), r->n_made, r->memory,
                               r->hugepages};
    for (size_t i = 0; i < r->n_made; i++)
        was.undone[i] = r->made[i]->undone;
    return was;
}

void transaction_manifest_back(struct transaction *txn, const struct manifest_was *was)
{
    Drover__V1__Record *r = txn->record;
    while (r->n_made > was->n)
        drover__v1__made__free_unpacked(r->made[--r->n_made], NULL);
    for (size_t i = 0; i < was->n; i++)
        r->made[i]->undone = was->undone[i];
    if (r->memory != was->memory)
        transaction_reserve(txn, was->memory, UINT64_MAX);
    if (r->hugepages != was->hugepages)
        transaction_reserve_hugepages(txn, was->hugepages, UINT64_MAX);
}

void transaction_keep(struct transaction *txn, char *const *paths, size_t n, bool known)
{
    if (!txn)
        return;
    txn->keep = paths;
    txn->n_keep = n;
    txn->kept_known = known;
}

bool transaction_owes_autostart(const struct transaction *txn)
{
    enum participant_state state = transaction_state(txn);
    return txn->role == PARTICIPANT_SOURCE && (state == PARTICIPANT_KEPT || state == PARTICIPANT_COLD) &&
           transaction_has_made(txn, DROVER__V1__MADE__KIND__AUTOSTART);
}

/* A record of an older agent does not say how the job was begun: where the policy allows it, it may. */
bool transaction_may_post_copy(const struct transaction *txn)
{
    const Drover__V1__Record *r = txn->record;
    bool copies = r->relocation && r->relocation->n_copies; /* libvirt does not combine the two */
    if (r->begun)
        return r->begun->post_copy;
    return r->mode == DROVER__V1__MODE__MODE_POST_COPY ||
           (r->mode == DROVER__V1__MODE__MODE_AUTO && r->policy && r->policy->post_copy && !copies);
}

int transaction_reserve(struct transaction *txn, uint64_t bytes, uint64_t available)
{
    struct transactions *all = txn->all;
    pthread_mutex_lock(&all->memory_lock);
    bool fits = all->memory_reserved + bytes <= available;
    if (fits) {
        all->memory_reserved += bytes;
        txn->record->memory = bytes;
    }
    pthread_mutex_unlock(&all->memory_lock);
    return fits ? 0 : -(int)STATUS_RESOURCE_EXHAUSTED;
}

int transaction_reserve_hugepages(struct transaction *txn, uint64_t bytes, uint64_t available)
{
    struct transactions *all = txn->all;
    pthread_mutex_lock(&all->memory_lock);
    bool fits = all->hugepages_reserved + bytes <= available;
    if (fits) {
        all->hugepages_reserved += bytes;
        txn->record->hugepages = bytes;
    }
    pthread_mutex_unlock(&all->memory_lock);
    return fits ? 0 : -(int)STATUS_RESOURCE_EXHAUSTED;
}

void transaction_unreserve(struct transaction *txn)
{
    struct transactions *all = txn->all;
    pthread_mutex_lock(&all->memory_lock);
    all->memory_reserved -= txn->record->memory;
    txn->record->memory = 0;
    all->hugepages_reserved -= txn->record->hugepages;
    txn->record->hugepages = 0;
    pthread_mutex_unlock(&all->memory_lock);
}
