#include "agent/listeners.h"

#include "common/base/memory.h"

struct listener {
    struct listener *next;
    struct listeners *list;
    struct rpc_call *call;
};

static void end(struct listener *l)
{
    for (struct listener **p = &l->list->first; *p; p = &(*p)->next)
        if (*p == l) {
            *p = l->next;
            break;
        }
    rpc_call_end(l->call);
    free(l);
}

static void on_cancel(void *arg)
{
    end(arg); /* only SETTLE ends the transfer */
}

void listeners_add(struct listeners *list, struct rpc_call *call)
{
    struct listener *l = new0(struct listener);
    *l = (struct listener){list->first, list, call};
    list->first = l;
    rpc_call_on_cancel(call, on_cancel, l);
}

void listeners_tell(const struct listeners *list, const Drover__V1__TransferEvent *event)
{
    for (struct listener *l = list->first; l; l = l->next)
        rpc_call_item(l->call, &event->base);
}

static void say_end(struct rpc_call *call, bool succeeded, const char *why)
{
    Drover__V1__TransferEvent event = DROVER__V1__TRANSFER_EVENT__INIT;
    event.ended = true;
    event.succeeded = succeeded;
    event.error = (char *)(why ? why : "");
    rpc_call_item(call, &event.base);
}

void listeners_end(struct listeners *list, bool succeeded, const char *why)
{
    while (list->first) {
        say_end(list->first->call, succeeded, why);
        end(list->first);
    }
}

void listener_answer(struct rpc_call *call, bool succeeded, const char *why)
{
    say_end(call, succeeded, why);
    rpc_call_end(call);
}
