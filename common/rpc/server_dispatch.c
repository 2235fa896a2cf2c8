/* Handing calls to handlers. Calls that wait for the loop or for a worker wait in a queue for each peer (account), and the
 * queues take turns: one peer with hundreds of calls doesn't hold up another's first. */
#include "common/rpc/server.h"

#define LOOP_BATCH 64 /* calls begun before the loop gets to its other work */

static void put_locked(struct turns *t, struct rpc_call *call)
{
    struct account *a = call->account;
    struct waiting *w = &a->waiting[t->kind];
    call->next_ready = NULL;
    if (w->first) {
        w->last->next_ready = call;
    } else {
        w->first = call;
        a->next_turn[t->kind] = NULL;
        *(t->first ? &t->last->next_turn[t->kind] : &t->first) = a;
        t->last = a;
    }
    w->last = call;
}

static struct rpc_call *take_locked(struct turns *t)
{
    struct account *a = t->first;
    if (!a)
        return NULL;
    struct waiting *w = &a->waiting[t->kind];
    struct rpc_call *call = w->first;
    w->first = call->next_ready;
    t->first = a->next_turn[t->kind];
    if (w->first) { /* to the end of the line */
        a->next_turn[t->kind] = NULL;
        *(t->first ? &t->last->next_turn[t->kind] : &t->first) = a;
        t->last = a;
    }
    return call;
}

/* A call that was given up while it waited for its turn is not begun. */
static void begin(struct rpc_call *call)
{
    ProtobufCService *service = call->entry->service;
    if (call->cancelled) {
        struct error why;
        error_set(&why, rpc_call_remaining_ms(call) == 0 ? STATUS_DEADLINE_EXCEEDED : STATUS_CANCELLED,
                  "given up before its turn came: nothing was done");
        call_end(call, &why, NULL);
    } else {
        service->invoke(service, call->method, call->request, call_reply, call);
    }
    rpc_call_unref(call);
}

/* One job for each call, but it is whose turn it is that is served. */
static void run_on_worker(void *arg)
{
    struct rpc_server *s = arg;
    pthread_mutex_lock(&s->lock);
    struct rpc_call *call = take_locked(&s->for_workers);
    s->running += call != NULL;
    pthread_mutex_unlock(&s->lock);
    if (call) {
        begin(call);
        pthread_mutex_lock(&s->lock);
        s->running--;
        pthread_cond_broadcast(&s->changed);
        pthread_mutex_unlock(&s->lock);
    }
    server_unref(s);
}

static void run_on_loop(void *arg)
{
    struct rpc_server *s = arg;
    struct rpc_call *call;
    for (unsigned i = 0; i < LOOP_BATCH; i++) {
        pthread_mutex_lock(&s->lock);
        call = take_locked(&s->for_loop);
        pthread_mutex_unlock(&s->lock);
        if (!call)
            break;
        begin(call);
    }
    pthread_mutex_lock(&s->lock);
    bool more = s->for_loop.first != NULL;
    s->loop_posted = more;
    pthread_mutex_unlock(&s->lock);
    if (more)
        loop_post(s->config.loop, run_on_loop, s);
    else
        server_unref(s);
}

/* Calls that no handler has seen yet, when the server ends. */
void server_drop_waiting(struct rpc_server *s)
{
    for (;;) {
        pthread_mutex_lock(&s->lock);
        struct rpc_call *call = take_locked(&s->for_loop);
        if (!call)
            call = take_locked(&s->for_workers);
        pthread_mutex_unlock(&s->lock);
        if (!call)
            return;
        call_end(call, NULL, NULL); /* the client was told by rpc_server_free */
        rpc_call_unref(call);
    }
}

/* The handler's reference is the call's first; dispatching holds one more, since the handler may end it at once. */
void server_dispatch(struct rpc_call *call)
{
    struct rpc_server *s = call->server;
    bool loop = call->entry->dispatch == RPC_ON_LOOP;
    rpc_call_ref(call);
    if (call->entry->dispatch == RPC_INLINE) {
        begin(call);
        return;
    }
    pthread_mutex_lock(&s->lock);
    bool closing = s->closing, start = !closing && !(loop && s->loop_posted);
    if (!closing)
        put_locked(loop ? &s->for_loop : &s->for_workers, call);
    if (loop && start)
        s->loop_posted = true;
    if (start)
        atomic_fetch_add(&s->refs, 1);
    pthread_mutex_unlock(&s->lock);
    if (closing) {
        call_end(call, NULL, NULL);
        rpc_call_unref(call);
    } else if (start && loop) {
        loop_post(s->config.loop, run_on_loop, s);
    } else if (start) {
        workers_submit(s->config.workers, run_on_worker, NULL, s);
    }
}
