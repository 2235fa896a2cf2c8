/* HookNotes: what an operator's hooks had to complain of, once they have ended. */
#include "agent/transaction.h"

#include "agent/service.h"
#include "common/base/memory.h"

#include <string.h>

enum { TICK_MS = 50, WAIT_MS = 5000, LINES_MAX = 64 };

struct notes {
    struct transactions *all;
    const Drover__V1__HookNotesRequest *request;
    Drover__V1__HookNotesReply_Closure reply;
    struct rpc_call *call;
    int64_t since;
};

static void answer(struct notes *n, const struct transaction *txn)
{
    Drover__V1__HookNotesReply reply = DROVER__V1__HOOK_NOTES_REPLY__INIT;
    _cleanup_free_ char *text = txn && txn->hook_notes ? xstrdup(txn->hook_notes) : NULL;
    char *lines[LINES_MAX], *save = NULL;
    for (char *l = text ? strtok_r(text, "\n", &save) : NULL; l && reply.n_notes < LINES_MAX;
         l = strtok_r(NULL, "\n", &save))
        lines[reply.n_notes++] = l;
    reply.notes = lines;
    reply.running = txn && hooks_running(txn);
    n->reply(&reply, n->call);
}

static void look(void *arg)
{
    struct notes *n = arg;
    struct transactions *all = n->all;
    const struct transaction *txn = transactions_find(all, n->request->transaction);
    if (txn && hooks_running(txn) && !all->closing && !rpc_call_cancelled(n->call) &&
        clock_monotonic_ms() - n->since < WAIT_MS) {
        loop_timer_start(all->agent->loop, TICK_MS, look, n);
        return;
    }
    answer(n, txn);
    free(n);
    transactions_unref(all);
}

void rpc_hook_notes(Drover__V1__Agent_Service *service, const Drover__V1__HookNotesRequest *request,
                    Drover__V1__HookNotesReply_Closure reply, void *call)
{
    struct notes *n = new0(struct notes);
    *n = (struct notes){.all = service_agent(service)->transactions,
                        .request = request,
                        .reply = reply,
                        .call = call,
                        .since = clock_monotonic_ms()};
    n->all->refs++;
    look(n);
}
