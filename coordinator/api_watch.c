/* WatchJob: the job as it is, then its changes. A change of state, phase or log is told at once; mere progress at most five
 * times a second, and the latest wins. */
#include "common/base/memory.h"
#include "coordinator/api_methods.h"

#include <string.h>

enum { PROGRESS_MS = 200 };

struct watcher {
    struct api *api;
    struct rpc_call *call; /* its cancellation, also by the server's end, ends the watcher */
    struct driver_watch *watch;
    struct plans_watch *plan_watch; /* one of the two */
    struct loop_timer *timer;       /* a change waits to be told */
    uint64_t job;
    int64_t told_ms;
    Drover__V1__JobState state; /* as told last, like the next three */
    char *phase, *text;
    size_t n_log;
};

static bool has_ended(const Drover__V1__Job *job)
{
    return job->state == DROVER__V1__JOB_STATE__JOB_DONE || job->state == DROVER__V1__JOB_STATE__JOB_FAILED ||
           job->state == DROVER__V1__JOB_STATE__JOB_CANCELLED ||
           job->state == DROVER__V1__JOB_STATE__JOB_PARTLY;
}

static void forget(struct watcher *w)
{
    loop_timer_cancel(w->timer);
    driver_unwatch(w->watch);
    plans_unwatch(w->plan_watch);
    free(w->phase);
    free(w->text);
    free(w);
}

static void fail(struct watcher *w, const struct error *why)
{
    struct rpc_call *call = w->call;
    forget(w);
    rpc_call_fail(call, why);
}

static void on_cancel(void *arg)
{
    const struct error why = {.code = STATUS_CANCELLED,
                              .text = "the shell stopped watching; the job goes on"};
    fail(arg, &why);
}

static void tell_now(void *arg);

/* May free the watcher. */
static void tell(struct watcher *w, const Drover__V1__Job *job)
{
    int r = rpc_call_item(w->call, &job->base);
    if (r == -STATUS_CANCELLED) {
        on_cancel(w);
        return;
    }
    if (r == -STATUS_OUT_OF_RANGE) { /* it would never fit: to wait for a smaller one would be for ever */
        struct error why = {0};
        error_set(&why, STATUS_OUT_OF_RANGE,
                  "job %llu is larger than a message may be, and can't be watched; the job goes on, and "
                  "`drover jobs` lists it",
                  (unsigned long long)w->job);
        fail(w, &why);
        return;
    }
    if (r < 0) { /* the shell does not keep up: it is told later what the job then is */
        rpc_call_on_ready(w->call, tell_now, w);
        return;
    }
    if (has_ended(job)) {
        struct rpc_call *call = w->call;
        forget(w);
        rpc_call_end(call);
        return;
    }
    w->told_ms = clock_monotonic_ms();
    w->state = job->state;
    w->n_log = job->n_log;
    free(w->phase);
    free(w->text);
    w->phase = xstrdup(job->phase);
    w->text = xstrdup(job->text);
}

static void tell_now(void *arg)
{
    struct watcher *w = arg;
    const Drover__V1__Job *job;
    Drover__V1__Job *owned;
    struct error err = {0};
    w->timer = loop_timer_cancel(w->timer);
    if (api_find_job(w->api, w->job, &job, &owned, &err) < 0) {
        fail(w, &err);
        return;
    }
    tell(w, job);
    drover__v1__job__free_unpacked(owned, NULL);
}

static void on_timer(void *arg)
{
    struct watcher *w = arg;
    w->timer = NULL;
    tell_now(w);
}

static void on_change(void *arg, const Drover__V1__Job *job)
{
    struct watcher *w = arg;
    int64_t since = clock_monotonic_ms() - w->told_ms;
    bool news = has_ended(job) || job->state != w->state || job->n_log != w->n_log ||
                !streq(job->phase, w->phase) || !streq(job->text, w->text);
    if (news || since >= PROGRESS_MS) {
        w->timer = loop_timer_cancel(w->timer);
        tell(w, job);
    } else if (!w->timer) {
        w->timer = loop_timer_start(w->api->config.loop, PROGRESS_MS - since, on_timer, w);
    }
}

void api_watch_job(Drover__V1__Coordinator_Service *service, const Drover__V1__WatchJobRequest *request,
                   Drover__V1__Job_Closure item, void *call)
{
    (void)item;
    struct api *api = (struct api *)service;
    const Drover__V1__Job *job;
    Drover__V1__Job *owned;
    struct error err = {0};
    if (api_find_job(api, request->id, &job, &owned, &err) < 0) {
        rpc_call_fail(call, &err);
        return;
    }
    struct watcher *w = new0(struct watcher);
    *w = (struct watcher){.api = api, .call = call, .job = request->id};
    w->plan_watch = plans_watch(api->config.plans, request->id, on_change, w);
    if (!owned && !w->plan_watch)
        w->watch = driver_watch(api->config.driver, request->id, on_change, w);
    rpc_call_on_cancel(call, on_cancel, w);
    tell(w, job);
    drover__v1__job__free_unpacked(owned, NULL);
}
