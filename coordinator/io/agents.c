#include "coordinator/io/agents.h"

#include "common/base/memory.h"

#include <string.h>

/* Per host: the connection is rpc's to keep; the Watch stream on it is started here when the connection comes up, and again
 * when it ends for whatever reason. The session is up once the agent's own report has been seen to be that of the host that
 * the inventory means. A lost connection ends the session at once, and the new one asks for everything anew: simpler than to
 * resume the old stream, and what was missed can't matter. */

enum {
    BACKOFF_MIN_MS = 200,
    BACKOFF_MAX_MS = 5000,
    QUIET_MS = 10000, /* longest wait for the next event while not all is told */
    SILENT_MS =
        60000, /* and after that: an agent whose loop turns sends one every 15 s, if only an empty one */
};

struct session {
    struct agents *agents;
    struct fleet_host *host;
    struct rpc_client *client;
    struct watch *watch;      /* the stream that counts; NULL: none */
    struct loop_timer *timer; /* without a watch: to the next one; with one: patience */
    int64_t backoff_ms;
};

/* One Watch call. It outlives its session's interest in it: its closure's last call frees it. */
struct watch {
    struct session *session;
    uint64_t call;
};

struct agents {
    struct agents_config config;
    struct session *sessions;
    size_t n_sessions;
    bool stopping;
};

static void changed(struct session *s)
{
    if (s->agents->config.changed)
        s->agents->config.changed(s->agents->config.arg, s->host);
}

static void down(struct session *s, const char *why)
{
    fleet_session(s->host, false, clock_realtime_ms(), why);
    changed(s);
}

static void drop_watch(struct session *s)
{
    struct watch *w = steal(&s->watch);
    s->timer = loop_timer_cancel(s->timer);
    if (w)
        rpc_client_cancel(s->client, w->call);
}

static void start_watch(struct session *s);

static void retry(void *arg)
{
    struct session *s = arg;
    s->timer = NULL;
    start_watch(s);
}

/* Ends what there is, says why, and tries again a little later if the connection is still there. */
static void end_session(struct session *s, int64_t delay_ms, const char *why)
{
    drop_watch(s);
    down(s, why);
    if (rpc_client_up(s->client))
        s->timer = loop_timer_start(s->agents->config.loop, delay_ms, retry, s);
}

static void lost_patience(void *arg)
{
    struct session *s = arg;
    s->timer = NULL;
    end_session(
        s, BACKOFF_MIN_MS,
        s->host->synced
            ? "the agent is connected, but says nothing any more: it hangs; see its log, and restart it"
            : "the agent is connected, but said nothing for 10 s before it had told all its guests; see its "
              "log");
}

static void be_patient(struct session *s)
{
    const struct agents_config *config = &s->agents->config;
    int64_t silent = config->silent_ms ? config->silent_ms : SILENT_MS;
    loop_timer_cancel(s->timer);
    s->timer = loop_timer_start(config->loop, s->host->synced ? silent : QUIET_MS, lost_patience, s);
}

static bool is_empty(const Drover__V1__AgentEvent *e)
{
    return !e->host && !e->guest && !e->guest_gone[0] && !e->measured && !e->synced;
}

/* False when the agent is not the one that the inventory means; the session has then been ended. */
static bool accept_report(struct session *s, const Drover__V1__HostReport *report)
{
    if (streq(report->name, s->host->name)) {
        if (!s->host->up)
            fleet_session(s->host, true, clock_realtime_ms(), NULL);
        return true;
    }
    char why[512];
    snprintf(why, sizeof(why),
             "the agent at %s calls itself '%s'; the inventory has '%s' there: correct the name in its "
             "agent.yaml, or the "
             "host's name or URL in coordinator.yaml",
             s->host->agent_url, report->name, s->host->name);
    end_session(s, BACKOFF_MAX_MS, why);
    return false;
}

static void on_event(const Drover__V1__AgentEvent *event, void *arg)
{
    struct watch *w = arg;
    struct session *s = w->session;
    bool ours = s->watch == w;
    if (!event) {
        free(w);
        if (!ours || s->agents->stopping)
            return;
        const struct error *why = rpc_status();
        s->watch = NULL;
        if (why->code == STATUS_ABORTED) { /* no other answer is to be had: rarely asked again */
            _cleanup_free_ char *text =
                xasprintf("%s. This coordinator can give the host no orders: stop it; or start it again, and "
                          "it takes over",
                          why->text);
            s->backoff_ms = BACKOFF_MAX_MS;
            end_session(s, s->backoff_ms, text);
            return;
        }
        end_session(s, s->backoff_ms, why->code ? why->text : "the agent ended its stream of events");
        s->backoff_ms = s->backoff_ms * 2 < BACKOFF_MAX_MS ? s->backoff_ms * 2 : BACKOFF_MAX_MS;
        return;
    }
    if (!ours || s->agents->stopping)
        return;
    if (is_empty(event)) {
        if (s->host->synced)
            be_patient(s);
        return;
    }
    if (event->host && !accept_report(s, event->host))
        return;
    if (!s->host->up) {
        end_session(s, BACKOFF_MAX_MS,
                    "the agent told of guests before it said which host it is; is its version right?");
        return;
    }
    fleet_event(s->host, event);
    be_patient(s);
    if (s->host->synced)
        s->backoff_ms = BACKOFF_MIN_MS;
    changed(s);
}

static void start_watch(struct session *s)
{
    drop_watch(s);
    struct watch *w = s->watch = new0(struct watch);
    w->session = s;
    be_patient(s);
    struct rpc_stub stub = rpc_stub(s->client, &drover__v1__agent__descriptor, .stream = true);
    Drover__V1__WatchRequest request = DROVER__V1__WATCH_REQUEST__INIT;
    request.epoch = s->agents->config.epoch;
    drover__v1__agent__watch(&stub.base, &request, on_event, w);
    if (s->watch == w) /* the call may have failed at once */
        w->call = stub.id;
}

static void on_state(void *arg, bool up, const struct error *why)
{
    struct session *s = arg;
    if (s->agents->stopping)
        return;
    if (up) {
        s->backoff_ms = BACKOFF_MIN_MS;
        start_watch(s);
    } else {
        drop_watch(s);
        down(s, why ? why->text : "the connection was lost");
    }
}

int agents_new(const struct agents_config *config, struct agents **ret, struct error *err)
{
    _cleanup_(agents_freep) struct agents *a = new0(struct agents);
    struct fleet *fleet = config->fleet;
    a->config = *config;
    a->sessions = xcalloc(fleet->n_hosts ? fleet->n_hosts : 1, sizeof(a->sessions[0]));
    for (size_t i = 0; i < fleet->n_hosts; i++) {
        struct session *s = &a->sessions[a->n_sessions++];
        *s = (struct session){.agents = a, .host = &fleet->hosts[i], .backoff_ms = BACKOFF_MIN_MS};
        fleet_session(s->host, false, clock_realtime_ms(), "not connected yet");
        const struct rpc_client_config client = {
            .url = s->host->agent_url,
            .loop = config->loop,
            .tls = config->tls,
            .peer_role = RPC_AGENT,
            .peer_name = s->host->name,
            .on_state = on_state,
            .arg = s,
        };
        if (rpc_client_new(&client, &s->client, err) < 0)
            return error_prefix(err, "host %s", s->host->name);
    }
    *ret = steal(&a);
    return 0;
}

void agents_free(struct agents *agents)
{
    if (!agents)
        return;
    agents->stopping = true;
    for (size_t i = 0; i < agents->n_sessions; i++) {
        struct session *s = &agents->sessions[i];
        loop_timer_cancel(s->timer);
        rpc_client_free(s->client);
    }
    free(agents->sessions);
    free(agents);
}

struct rpc_client *agents_client(const struct agents *agents, const char *host)
{
    for (size_t i = 0; i < agents->n_sessions; i++)
        if (streq(agents->sessions[i].host->name, host))
            return agents->sessions[i].client;
    return NULL;
}
