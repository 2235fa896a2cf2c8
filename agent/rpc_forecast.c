/* MakeForecast: what a migration of a guest to a host would be, from what is known; on demand from new samples. */
#include "agent/io/guests.h"
#include "agent/samples.h"
#include "agent/service.h"
#include "agent/throughput.h"
#include "agent/transaction.h"
#include "common/base/memory.h"
#include "common/message/message.h"

struct forecasting {
    struct agent *agent;
    const Drover__V1__ForecastRequest *request; /* the call's */
    Drover__V1__Forecast_Closure reply;
    struct rpc_call *call;
};

static void answer(struct forecasting *f)
{
    char why[256];
    Drover__V1__Forecast forecast;
    const Drover__V1__ForecastRequest *q = f->request;
    bool stops = !f->agent->transactions;
    const Drover__V1__Guest *guest = stops ? NULL : guests_find(f->agent->guests, q->guest);
    if (guest) {
        samples_forecast(f->agent->samples, guest, q->mode, q->policy, q->policy ? q->policy->bandwidth : 0,
                         q->destination->host, q->disk_bytes, &forecast, why);
        f->reply(&forecast, f->call);
    } else {
        struct error err;
        error_set(&err, stops ? STATUS_UNAVAILABLE : STATUS_NOT_FOUND,
                  stops ? "the agent is stopping; guest %s was not sampled" : "guest %s is not known here",
                  q->guest);
        rpc_call_fail(f->call, &err);
    }
    free(f);
}

static void on_throughput(void *arg, int64_t bandwidth, const struct error *why)
{
    struct forecasting *f = arg;
    if (bandwidth && f->agent->transactions)
        samples_learn_link(f->agent->samples, f->request->destination->host, bandwidth, "measured");
    else if (why)
        log_info("%s", why->text);
    answer(f);
}

static void on_samples(void *arg, const struct error *why)
{
    struct forecasting *f = arg;
    const char *source;
    int64_t age;
    if (why)
        log_info("%s", why->text);
    if (!f->agent->transactions)
        answer(f);
    else if (f->request->refresh ||
             !samples_link(f->agent->samples, f->request->destination->host, &source, &age))
        throughput_measure(f->agent->transactions, f->request->destination, on_throughput, f);
    else
        answer(f);
}

void rpc_forecast(Drover__V1__Agent_Service *service, const Drover__V1__ForecastRequest *request,
                  Drover__V1__Forecast_Closure reply, void *call)
{
    struct agent *agent = service_agent(service);
    struct error err;
    if (!agent->guests || !request->destination) {
        error_set(&err, STATUS_INVALID_ARGUMENT,
                  agent->guests ? "FORECAST needs the destination" : "this host is no hypervisor");
        rpc_call_fail(call, &err);
        return;
    }
    struct forecasting *f = new0(struct forecasting);
    *f = (struct forecasting){agent, request, reply, call};
    samples_line(agent->samples, request->destination->host, request->delay);
    struct model_input in;
    if (request->known)
        answer(f);
    else if (!request->link && (request->refresh || samples_guest(agent->samples, request->guest, &in) < 0))
        samples_refresh(agent->samples, request->guest, on_samples, f);
    else
        on_samples(f, NULL);
}
