/* MigrateGuest: the operator's wish, carried out by a move (coordinator/move.h). */
#include "common/base/memory.h"
#include "coordinator/api_methods.h"
#include "coordinator/move.h"

struct asked {
    Drover__V1__MigrateGuestReply_Closure reply;
    struct rpc_call *call;
    struct move *move;
};

static void fail(struct asked *a, const struct error *why)
{
    struct rpc_call *call = a->call;
    free(a);
    rpc_call_fail(call, why);
}

static void on_cancel(void *arg)
{
    struct asked *a = arg;
    const struct error why = {.code = STATUS_CANCELLED,
                              .text = "the shell did not wait for the checks; nothing moved"};
    move_cancel(a->move);
    fail(a, &why);
}

static void on_done(void *arg, const Drover__V1__MigrateGuestReply *reply, const struct error *why)
{
    struct asked *a = arg;
    if (!reply) {
        fail(a, why);
        return;
    }
    a->reply(reply, a->call);
    free(a);
}

void api_migrate_guest(Drover__V1__Coordinator_Service *service,
                       const Drover__V1__MigrateGuestRequest *request,
                       Drover__V1__MigrateGuestReply_Closure reply, void *call)
{
    const struct api *api = (const struct api *)service;
    const struct move_config config = {
        .loop = api->config.loop,
        .fleet = api->config.fleet,
        .driver = api->config.driver,
        .store = api->config.store,
        .policies = api->config.policies,
        .policy = api->config.policy,
        .agents = api->config.agents,
    };
    struct asked *a = new0(struct asked);
    *a = (struct asked){.reply = reply, .call = call};
    a->move = move_start(&config, request, api_operator(call), 0, on_done, a);
    rpc_call_on_cancel(call, on_cancel, a);
}
