/* ForecastMove: asks the guest's host what a migration would be. */
#include "common/base/memory.h"
#include "coordinator/api_methods.h"
#include "coordinator/core/link_table.h"
#include "coordinator/core/post_copy.h"
#include "coordinator/core/preflight.h"
#include "coordinator/io/agents.h"
#include "coordinator/move.h"

enum { FORECAST_MS = 20000 }; /* two dirty samples, and the link */

struct forecast {
    struct rpc_call *call; /* NULL: nobody waits any more */
    Drover__V1__Forecast_Closure reply;
    struct rpc_client *client;
    uint64_t id;
    bool sending, ended;
};

static void ended(struct forecast *f)
{
    f->ended = true;
    if (!f->sending)
        free(f);
}

static void on_forecast(const Drover__V1__Forecast *forecast, void *data)
{
    struct forecast *f = data;
    struct rpc_call *call = steal(&f->call);
    if (call && forecast)
        f->reply(forecast, call);
    else if (call)
        rpc_call_fail(call, rpc_status());
    ended(f);
}

static void on_cancel(void *arg)
{
    struct forecast *f = arg;
    struct rpc_call *call = steal(&f->call);
    const struct error why = {.code = STATUS_CANCELLED, .text = "the shell does not wait any more"};
    rpc_call_fail(call, &why);
    rpc_client_cancel(f->client, f->id);
}

static int check(const struct api *api, const Drover__V1__MigrateGuestRequest *request,
                 const struct fleet_guest **ret_guest, struct fleet_host **ret_to, Drover__V1__Policy *policy,
                 struct error *err)
{
    int r = fleet_find_guest(api->config.fleet, request->guest, ret_guest, err);
    if (r == 0)
        r = fleet_find_host(api->config.fleet, request->to, ret_to, err);
    if (r == 0)
        r = policies_hold(api->config.policies, api->config.policy, (*ret_guest)->guest, request->policy,
                          request->policy_given, request->n_policy_given, policy, NULL, err);
    if (r < 0)
        return r;
    if (!fleet_guest_active((*ret_guest)->guest))
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "%s is shut off: its definition moves at once, there is nothing to forecast",
                         (*ret_guest)->guest->name);
    if (!*ret_to || !(*ret_to)->report || !api->config.agents)
        return error_set(err, STATUS_UNAVAILABLE, "nothing is known of %s yet", request->to);
    policy->bandwidth =
        link_limit(api->config.fleet, (*ret_guest)->host->name, (*ret_to)->name, policy->bandwidth);
    return 0;
}

void api_forecast_move(Drover__V1__Coordinator_Service *service,
                       const Drover__V1__MigrateGuestRequest *request, Drover__V1__Forecast_Closure reply,
                       void *call)
{
    const struct api *api = (const struct api *)service;
    const struct fleet_guest *guest = NULL;
    struct fleet_host *to = NULL;
    Drover__V1__Policy policy = DROVER__V1__POLICY__INIT;
    struct error err = {0};
    if (check(api, request, &guest, &to, &policy, &err) < 0) {
        rpc_call_fail(call, &err);
        return;
    }
    struct rpc_client *client = agents_client(api->config.agents, guest->host->name);
    if (!client) {
        error_set(&err, STATUS_UNAVAILABLE, "%s has no agent that could be asked", guest->host->name);
        rpc_call_fail(call, &err);
        return;
    }
    Drover__V1__Endpoint destination = DROVER__V1__ENDPOINT__INIT;
    destination.host = to->name;
    destination.agent_url = to->report->agent_url;
    Drover__V1__ForecastRequest ask = DROVER__V1__FORECAST_REQUEST__INIT;
    ask.guest = guest->guest->uuid;
    ask.mode = preflight_mode(request->mode, guest->guest);
    post_copy_fit(&policy, ask.mode, to->report);
    ask.policy = &policy;
    ask.destination = &destination;
    ask.refresh = request->refresh;
    ask.disk_bytes = request->disk_bytes;
    ask.delay = link_delay(api->config.fleet, guest->host->name, to->name);
    struct forecast *f = new0(struct forecast);
    *f = (struct forecast){.call = call, .reply = reply, .client = client, .sending = true};
    rpc_call_on_cancel(call, on_cancel, f);
    struct rpc_stub stub = rpc_stub(client, &drover__v1__agent__descriptor, .timeout_ms = FORECAST_MS);
    drover__v1__agent__make_forecast(&stub.base, &ask, on_forecast, f);
    f->sending = false;
    f->id = stub.id;
    if (f->ended)
        free(f);
}
