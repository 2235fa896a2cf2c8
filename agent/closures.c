#include "agent/closures.h"

#include "agent/io/limit.h"
#include "agent/io/records.h"
#include "agent/io/tgt.h"
#include "agent/io/tree.h"
#include "agent/io/xml.h"
#include "agent/transactions.h"
#include "common/base/failpoint.h"
#include "common/base/memory.h"
#include "common/message/message.h"

#include <string.h>

enum { WORK_MS = 8000 };

struct closures {
    struct agent *agent;
    struct workers *workers;   /* one thread, whose this is: */
    Drover__V1__Closures *all; /* as on disk */
    struct error unread;       /* why `all` is not known */
    struct loop_timer *timer;
};

struct order {
    struct closures *closures;
    struct rpc_call *call;
    ProtobufCMessage *request; /* owned */
    ProtobufCClosure reply;
    ProtobufCMessage *answer; /* owned; NULL: failed with err */
    struct error err;
    int (*fn)(struct order *o);
    bool changes; /* an order of a coordinator: of what epoch */
    uint64_t epoch;
};

static struct limit limit_now(void)
{
    return (struct limit){.deadline_ms = clock_monotonic_ms() + WORK_MS, .cancel_fd = -1};
}

static int write_all(struct closures *c, struct error *err)
{
    return transactions_durable(
        records_put_closures(transactions_records(c->agent->transactions), c->all, err), err);
}

static Drover__V1__Closure *find(const struct closures *c, const char *transaction, const char *target)
{
    for (size_t i = 0; i < c->all->n_closures; i++)
        if (streq(c->all->closures[i]->transaction, transaction) &&
            (!target || streq(c->all->closures[i]->target, target)))
            return c->all->closures[i];
    return NULL;
}

static const Drover__V1__Closure *of_another(const struct closures *c, const char *transaction,
                                             const char *target)
{
    for (size_t i = 0; i < c->all->n_closures; i++)
        if (streq(c->all->closures[i]->target, target) &&
            !streq(c->all->closures[i]->transaction, transaction))
            return c->all->closures[i];
    return NULL;
}

/* ---- close ---- */

/* "iqn.2026-01.lab:web1/1": the target, and its unit. */
static char *target_of(const Drover__V1__Disk *d, unsigned long long *ret_unit)
{
    const char *name = d->source[0] == '/' ? d->source + 1 : d->source, *slash = strrchr(name, '/');
    if (!streq(d->type, "network") || !streq(d->protocol, "iscsi") || !slash)
        return NULL;
    *ret_unit = strtoull(slash + 1, NULL, 10);
    return strndup(name, (size_t)(slash - name));
}

static size_t units_of(const Drover__V1__CloseStorageRequest *q, const char *target, unsigned long long *ret)
{
    size_t n = 0;
    for (size_t i = 0; i < q->n_disks; i++) {
        unsigned long long unit;
        _cleanup_free_ char *t = target_of(q->disks[i], &unit);
        if (t && streq(t, target))
            ret[n++] = unit;
    }
    return n;
}

static void set_texts(char ***list, size_t *n, char *const *from, size_t n_from)
{
    for (size_t i = 0; i < n_from; i++)
        message_append_text(list, n, from[i]);
}

/* How it was is durable before it is changed; what a repeated order finds is not how it was. */
static int remember(struct closures *c, const Drover__V1__CloseStorageRequest *q, const struct tgt_target *t,
                    char *const *keep, size_t n_keep, struct error *err)
{
    if (find(c, q->transaction, t->iqn))
        return 0;
    Drover__V1__Closure *x = new0(Drover__V1__Closure);
    drover__v1__closure__init(x);
    xml_set(&x->transaction, xstrdup(q->transaction));
    xml_set(&x->guest, xstrdup(q->guest));
    xml_set(&x->guest_name, xstrdup(q->guest_name));
    xml_set(&x->source, xstrdup(q->source));
    xml_set(&x->destination, xstrdup(q->destination));
    xml_set(&x->target, xstrdup(t->iqn));
    set_texts(&x->keep, &x->n_keep, keep, n_keep);
    set_texts(&x->was, &x->n_was, t->acl, t->n_acl);
    x->since = (uint64_t)clock_realtime_ms();
    message_append(&c->all->closures, &c->all->n_closures, x);
    int r = write_all(c, err);
    if (r < 0) {
        c->all->n_closures--;
        drover__v1__closure__free_unpacked(x, NULL);
    }
    return r;
}

static int close_target(struct closures *c, const Drover__V1__CloseStorageRequest *q,
                        const struct tgt_target *t, struct error *err)
{
    _cleanup_free_ unsigned long long *units = xcalloc(q->n_disks + 1, sizeof(*units));
    size_t n_units = units_of(q, t->iqn, units), n = 0;
    char **used = NULL;
    struct limit limit = limit_now();
    const Drover__V1__Closure *other = of_another(c, q->transaction, t->iqn);
    if (other)
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "target %s is closed to %s already: drover fence release %s", t->iqn, other->source,
                         other->source);
    const Drover__V1__Closure *mine = find(c, q->transaction, t->iqn);
    int r = mine ? 0 : tgt_may_close(t, units, n_units, q->keep, q->n_keep, &used, &n, err);
    if (r == 0 && q->apply) {
        r = remember(c, q, t, used, n, err);
        mine = find(c, q->transaction, t->iqn);
        failpoint("agent.closure.before");
        if (r == 0)
            r = tgt_close(&limit, t->iqn, mine->keep, mine->n_keep, err);
        failpoint("agent.closure.after");
    }
    tree_list_free(used, n);
    return r;
}

static int close_work(struct order *o)
{ /* model: X1 */
    struct closures *c = o->closures;
    const Drover__V1__CloseStorageRequest *q = (const Drover__V1__CloseStorageRequest *)o->request;
    Drover__V1__CloseStorageReply *answer = new0(Drover__V1__CloseStorageReply);
    drover__v1__close_storage_reply__init(answer);
    o->answer = &answer->base;
    _cleanup_(tgt_deinit) struct tgt_targets all = {0};
    struct error unread = {0};
    struct limit limit = limit_now();
    tgt_read(&limit, &all, &unread);
    for (size_t i = 0; i < q->n_disks; i++) {
        Drover__V1__DiskClosure *d = new0(Drover__V1__DiskClosure);
        drover__v1__disk_closure__init(d);
        xml_set(&d->disk, xstrdup(q->disks[i]->target));
        message_append(&answer->disks, &answer->n_disks, d);
        struct error why = {0};
        unsigned long long unit = 0;
        _cleanup_free_ char *name = target_of(q->disks[i], &unit);
        const struct tgt_target *t = name ? tgt_find(&all, name) : NULL;
        if (!name)
            error_set(&why, STATUS_UNIMPLEMENTED, "only iSCSI targets of tgtd can be closed to a host");
        else if (!t)
            error_set(&why, STATUS_NOT_FOUND, "%s",
                      unread.code ? unread.text : "tgtd has no such target here");
        d->served = t != NULL;
        d->closed = t && close_target(c, q, t, &why) == 0;
        xml_set(&d->text, why.code
                              ? xstrdup(why.text)
                              : xasprintf("target %s is %s %s only", name,
                                          q->apply ? "closed: it lets in" : "to be open to", q->destination));
        if (q->apply && d->served)
            log_warn("transaction %s: disk %s of %s: %s", q->transaction, d->disk, q->guest_name, d->text);
    }
    return 0;
}

/* ---- open, list, look ---- */

static int open_work(struct order *o)
{ /* model: X2 */
    struct closures *c = o->closures;
    const Drover__V1__OpenStorageRequest *q = (const Drover__V1__OpenStorageRequest *)o->request;
    Drover__V1__OpenStorageReply *answer = new0(Drover__V1__OpenStorageReply);
    drover__v1__open_storage_reply__init(answer);
    o->answer = &answer->base;
    for (Drover__V1__Closure *x; (x = find(c, q->transaction, NULL));) {
        struct limit limit = limit_now();
        struct error why = {0};
        int r = tgt_open(&limit, x->target, x->was, x->n_was, &why);
        if (r < 0 && why.code != STATUS_NOT_FOUND) /* of a target that is gone nothing is closed */
            return error_set(&o->err, why.code, "target %s stays closed: %s", x->target, why.text);
        size_t i = 0;
        while (c->all->closures[i] != x)
            i++;
        c->all->closures[i] = c->all->closures[--c->all->n_closures];
        r = write_all(c, &o->err);
        if (r < 0) { /* closed again at the next look */
            c->all->closures[c->all->n_closures++] = x;
            return r;
        }
        log_info("target %s is open again as it was before %s was shut out", x->target, x->source);
        answer->opened++;
        drover__v1__closure__free_unpacked(x, NULL);
    }
    return 0;
}

static void judge(Drover__V1__Closure *x, const struct tgt_targets *all, const struct error *unread)
{
    struct error why = {0};
    const struct tgt_target *t = tgt_find(all, x->target);
    if (unread->code)
        why = *unread;
    else if (!t)
        error_set(&why, STATUS_NOT_FOUND, "tgtd has no such target any more");
    else
        tgt_is_closed(t, x->keep, x->n_keep, &why);
    x->holds = !why.code;
    xml_set(&x->text, xstrdup(why.code ? why.text : ""));
}

static int list_work(struct order *o)
{
    struct closures *c = o->closures;
    _cleanup_(tgt_deinit) struct tgt_targets all = {0};
    struct error unread = {0};
    struct limit limit = limit_now();
    if (c->all->n_closures)
        tgt_read(&limit, &all, &unread);
    for (size_t i = 0; i < c->all->n_closures; i++)
        judge(c->all->closures[i], &all, &unread);
    o->answer = message_copy(&c->all->base);
    return 0;
}

/* A tgtd that was started again has what its own configuration says. */
static int look_work(struct order *o)
{ /* model: X3 */
    struct closures *c = o->closures;
    if (!c->all->n_closures)
        return 0;
    _cleanup_(tgt_deinit) struct tgt_targets all = {0};
    struct error why = {0};
    struct limit limit = limit_now();
    if (tgt_read(&limit, &all, &why) < 0)
        return 0; /* no tgtd serves anybody */
    for (size_t i = 0; i < c->all->n_closures; i++) {
        Drover__V1__Closure *x = c->all->closures[i];
        judge(x, &all, &why);
        if (x->holds || !tgt_find(&all, x->target))
            continue;
        log_warn("%s: it is closed again", x->text);
        if (tgt_close(&limit, x->target, x->keep, x->n_keep, &why) < 0)
            log_error("%s", why.text);
    }
    return 0;
}

/* ---- orders ---- */

static void work(void *arg)
{
    struct order *o = arg;
    struct closures *c = o->closures;
    if (!c->all)
        records_get_closures(transactions_records(c->agent->transactions), &c->all, &c->unread);
    if (o->changes && transactions_admit_epoch(c->agent->transactions, o->epoch, &o->err) < 0)
        return;
    if (c->all)
        o->fn(o);
    else
        o->err = c->unread;
}

static void done(void *arg)
{
    struct order *o = arg;
    if (o->call && o->err.code)
        rpc_call_fail(o->call, &o->err);
    else if (o->call)
        o->reply(o->answer, o->call);
    else if (o->err.code)
        log_error("%s", o->err.text);
    if (o->answer)
        protobuf_c_message_free_unpacked(o->answer, NULL);
    if (o->request)
        protobuf_c_message_free_unpacked(o->request, NULL);
    free(o);
}

static void submit(struct closures *c, const struct order *order)
{
    struct error err;
    if (order->call && !c->agent->config->storage) {
        error_set(&err, STATUS_FAILED_PRECONDITION, "%s is no storage node (roles in its agent.yaml)",
                  c->agent->config->name);
        rpc_call_fail(order->call, &err);
        if (order->request)
            protobuf_c_message_free_unpacked(order->request, NULL);
        return;
    }
    struct order *o = new0(struct order);
    *o = *order;
    o->closures = c;
    workers_submit(c->workers, work, done, o);
}

void closures_close(struct closures *c, const Drover__V1__CloseStorageRequest *request,
                    Drover__V1__CloseStorageReply_Closure reply, struct rpc_call *call)
{
    submit(c, &(struct order){.call = call,
                              .reply = (ProtobufCClosure)(void (*)(void))reply,
                              .request = message_copy(&request->base),
                              .fn = close_work,
                              .changes = true,
                              .epoch = request->epoch});
}

void closures_open(struct closures *c, const Drover__V1__OpenStorageRequest *request,
                   Drover__V1__OpenStorageReply_Closure reply, struct rpc_call *call)
{
    submit(c, &(struct order){.call = call,
                              .reply = (ProtobufCClosure)(void (*)(void))reply,
                              .request = message_copy(&request->base),
                              .fn = open_work,
                              .changes = true,
                              .epoch = request->epoch});
}

void closures_list(struct closures *c, Drover__V1__Closures_Closure reply, struct rpc_call *call)
{
    submit(c,
           &(struct order){.call = call, .reply = (ProtobufCClosure)(void (*)(void))reply, .fn = list_work});
}

static void on_timer(void *arg)
{
    struct closures *c = arg;
    submit(c, &(struct order){.fn = look_work});
    c->timer = loop_timer_start(c->agent->loop, CLOSURES_LOOK_MS, on_timer, c);
}

struct closures *closures_new(struct agent *agent)
{
    struct closures *c = new0(struct closures);
    c->agent = agent;
    c->workers = workers_new(agent->loop, 1);
    if (agent->config->storage)
        c->timer = loop_timer_start(agent->loop, 0, on_timer, c);
    return c;
}

void closures_free(struct closures *c)
{
    if (!c)
        return;
    loop_timer_cancel(c->timer);
    workers_free(c->workers);
    if (c->all)
        drover__v1__closures__free_unpacked(c->all, NULL);
    free(c);
}
