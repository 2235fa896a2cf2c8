/* The coordinator's sessions against made agents: real RPC on loopback, one loop. */
#include "coordinator/io/agents.h"

#include "common/base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* An agent that tells what the test wants. */
struct made_agent {
    Drover__V1__Agent_Service service; /* first: handlers get its address */
    const char *calls_itself;
    unsigned guests;         /* told in the first events */
    bool mute;               /* never says `synced` */
    bool fails;              /* refuses to be watched */
    uint64_t seen;           /* the highest epoch; an older coordinator is refused */
    uint64_t epoch;          /* that the last watch came with */
    unsigned watches;        /* streams that were begun */
    struct rpc_call *stream; /* the last one, until it ends */
    struct rpc_server *server;
};

struct world {
    struct loop *loop;
    struct fleet fleet;
    struct agents *agents;
    bool (*condition)(const struct world *w);
    struct loop_timer *limit;
    int64_t silent_ms;
    struct loop_timer *beat;
    unsigned beats;
    struct made_agent agent;
    char url[256];
};

static void tell_guest(struct made_agent *a, unsigned number)
{
    char uuid[40];
    Drover__V1__Guest guest = DROVER__V1__GUEST__INIT;
    snprintf(uuid, sizeof(uuid), "%08u-0000-4000-8000-000000000000", number);
    guest.uuid = uuid;
    guest.name = uuid;
    Drover__V1__AgentEvent event = DROVER__V1__AGENT_EVENT__INIT;
    event.guest = &guest;
    assert_int_equal(rpc_call_item(a->stream, &event.base), 0);
}

static void on_stream_gone(void *arg)
{
    struct made_agent *a = arg;
    struct rpc_call *call = steal(&a->stream);
    rpc_call_end(call);
}

static void watch(Drover__V1__Agent_Service *service, const Drover__V1__WatchRequest *request,
                  Drover__V1__AgentEvent_Closure item, void *call)
{
    (void)item;
    struct made_agent *a = (struct made_agent *)service;
    a->watches++;
    a->epoch = request->epoch;
    if (request->epoch < a->seen) {
        struct error err;
        error_set(&err, STATUS_ABORTED, "epoch 7 is over");
        rpc_call_fail(call, &err);
        return;
    }
    if (a->fails) {
        struct error err;
        error_set(&err, STATUS_FAILED_PRECONDITION, "not in the mood");
        rpc_call_fail(call, &err);
        return;
    }
    if (a->stream)
        rpc_call_end(steal(&a->stream));
    a->stream = call;
    rpc_call_on_cancel(call, on_stream_gone, a);
    Drover__V1__HostReport report = DROVER__V1__HOST_REPORT__INIT;
    report.name = (char *)a->calls_itself;
    Drover__V1__AgentEvent event = DROVER__V1__AGENT_EVENT__INIT;
    event.host = &report;
    assert_int_equal(rpc_call_item(call, &event.base), 0);
    for (unsigned g = 0; g < a->guests; g++)
        tell_guest(a, g);
    event.host = NULL;
    event.synced = true;
    if (!a->mute)
        assert_int_equal(rpc_call_item(call, &event.base), 0);
}

static void agent_start(struct world *w)
{
    struct error err = {0};
    const struct rpc_server_config config = {.loop = w->loop};
    assert_int_equal(rpc_server_new(&config, &w->agent.server, &err), 0);
    rpc_server_add(w->agent.server, &w->agent.service.base, RPC_ANYBODY, RPC_ON_LOOP);
    if (rpc_server_listen(w->agent.server, w->url, &err) < 0)
        fail_msg("%s", err.text);
    snprintf(w->url, sizeof(w->url), "%s", rpc_server_url(w->agent.server, 0));
}

static void agent_stop(struct world *w)
{
    rpc_server_free(w->agent.server);
    w->agent.server = NULL;
    w->agent.stream = NULL;
}

static void on_limit(void *arg)
{
    struct world *w = arg;
    w->limit = NULL;
    loop_stop(w->loop, -1);
}

static void on_change(void *arg, struct fleet_host *host)
{
    (void)host;
    struct world *w = arg;
    if (w->condition && w->condition(w))
        loop_stop(w->loop, 0);
}

/* Runs the loop until the condition holds. */
static void until(struct world *w, bool (*condition)(const struct world *w), const char *what)
{
    w->condition = condition;
    if (!condition(w)) {
        w->limit = loop_timer_start(w->loop, 20000, on_limit, w);
        if (loop_run(w->loop) != 0)
            fail_msg("waited 20 s for %s; the host is %s: %s", what, w->fleet.hosts[0].up ? "up" : "down",
                     w->fleet.hosts[0].why ? w->fleet.hosts[0].why : "-");
        w->limit = loop_timer_cancel(w->limit);
    }
    w->condition = NULL;
}
#define UNTIL(w, condition) until(w, condition, #condition)

static void setup(struct world *w)
{
    *w = (struct world){.agent = {.service = {.base = DROVER__V1__AGENT__BASE_INIT, .watch = watch},
                                  .calls_itself = "kvm1",
                                  .guests = 3}};
    snprintf(w->url, sizeof(w->url), "tcp://127.0.0.1:0");
    assert_int_equal(loop_new(&w->loop, NULL), 0);
    fleet_init(&w->fleet);
    agent_start(w);
}

static void sessions_start(struct world *w)
{
    struct error err = {0};
    fleet_add_host(&w->fleet, "kvm1", "", w->url);
    const struct agents_config config = {.loop = w->loop,
                                         .fleet = &w->fleet,
                                         .epoch = 7,
                                         .silent_ms = w->silent_ms,
                                         .changed = on_change,
                                         .arg = w};
    if (agents_new(&config, &w->agents, &err) < 0)
        fail_msg("%s", err.text);
}

static void teardown(struct world *w)
{
    agents_free(w->agents);
    agent_stop(w);
    loop_free(w->loop);
    fleet_deinit(&w->fleet);
}

static bool synced(const struct world *w)
{
    return w->fleet.hosts[0].synced;
}
static bool down(const struct world *w)
{
    return !w->fleet.hosts[0].up;
}
static bool told_four(const struct world *w)
{
    return w->fleet.hosts[0].n_guests == 4;
}
static bool wrong_name(const struct world *w)
{
    return w->fleet.hosts[0].why && strstr(w->fleet.hosts[0].why, "calls itself 'kvm9'");
}
static bool in_a_mood(const struct world *w)
{
    return w->fleet.hosts[0].why && strstr(w->fleet.hosts[0].why, "not in the mood");
}
static bool deposed(const struct world *w)
{
    return w->fleet.hosts[0].why && strstr(w->fleet.hosts[0].why, "epoch 7 is over. This coordinator") &&
           !w->fleet.hosts[0].up;
}
static bool hangs(const struct world *w)
{
    return w->fleet.hosts[0].why && strstr(w->fleet.hosts[0].why, "it hangs");
}
static bool tried_thrice(const struct world *w)
{
    return w->agent.watches >= 3;
}

static void the_stream_keeps_the_snapshot(void **state)
{
    (void)state;
    struct world w;
    setup(&w);
    sessions_start(&w);
    assert_false(w.fleet.hosts[0].up);
    assert_non_null(w.fleet.hosts[0].why);
    UNTIL(&w, synced);
    assert_true(w.fleet.hosts[0].up);
    assert_int_equal(w.fleet.hosts[0].n_guests, 3);
    assert_string_equal(w.fleet.hosts[0].report->name, "kvm1");
    tell_guest(&w.agent, 17);
    UNTIL(&w, told_four);
    assert_non_null(agents_client(w.agents, "kvm1"));
    assert_null(agents_client(w.agents, "kvm2"));
    teardown(&w);
}

static void a_restarted_agent_is_asked_anew(void **state)
{
    (void)state;
    struct world w;
    setup(&w);
    sessions_start(&w);
    UNTIL(&w, synced);
    agent_stop(&w);
    UNTIL(&w, down);
    assert_int_equal(w.fleet.hosts[0].n_guests, 3);
    assert_false(w.fleet.hosts[0].synced);
    w.agent.guests = 1;
    agent_start(&w);
    UNTIL(&w, synced);
    assert_int_equal(w.fleet.hosts[0].n_guests, 1);
    assert_null(w.fleet.hosts[0].why);
    teardown(&w);
}

static void an_ended_stream_is_begun_again(void **state)
{
    (void)state;
    struct world w;
    setup(&w);
    sessions_start(&w);
    UNTIL(&w, synced);
    struct error err;
    error_set(&err, STATUS_DATA_LOSS, "events were lost");
    rpc_call_fail(steal(&w.agent.stream), &err);
    UNTIL(&w, down);
    assert_non_null(strstr(w.fleet.hosts[0].why, "events were lost"));
    UNTIL(&w, synced);
    assert_int_equal(w.agent.watches, 2);
    teardown(&w);
}

static void an_agent_of_another_name_is_refused(void **state)
{
    (void)state;
    struct world w;
    setup(&w);
    w.agent.calls_itself = "kvm9";
    sessions_start(&w);
    UNTIL(&w, wrong_name);
    assert_false(w.fleet.hosts[0].up);
    assert_null(w.fleet.hosts[0].report);
    assert_int_equal(w.fleet.hosts[0].n_guests, 0);
    teardown(&w);
}

static void a_refused_watch_is_tried_again(void **state)
{
    (void)state;
    struct world w;
    setup(&w);
    w.agent.fails = true;
    sessions_start(&w);
    UNTIL(&w, in_a_mood);
    UNTIL(&w, tried_thrice);
    w.agent.fails = false;
    UNTIL(&w, synced);
    teardown(&w);
}

/* The newer one need not have given the host an order yet. */
static void an_older_coordinator_learns_that_it_is_one(void **state)
{
    (void)state;
    struct world w;
    setup(&w);
    sessions_start(&w);
    UNTIL(&w, synced);
    assert_int_equal(w.agent.epoch, 7);
    w.agent.seen = 8;
    struct error err;
    error_set(&err, STATUS_ABORTED, "epoch 7 is over");
    rpc_call_fail(steal(&w.agent.stream), &err);
    UNTIL(&w, deposed);
    teardown(&w);
}

/* Connected, and its loop stands still: what it told once is not taken for true for ever. */
static void an_agent_that_says_nothing_any_more_is_down(void **state)
{
    (void)state;
    struct world w;
    setup(&w);
    w.silent_ms = 300;
    sessions_start(&w);
    UNTIL(&w, synced);
    UNTIL(&w, hangs);
    UNTIL(&w, synced); /* it is asked again */
    teardown(&w);
}

static void beat(void *arg)
{
    struct world *w = arg;
    const Drover__V1__AgentEvent nothing = DROVER__V1__AGENT_EVENT__INIT;
    if (++w->beats > 40)
        loop_stop(w->loop, 0);
    else if (w->agent.stream)
        assert_int_equal(rpc_call_item(w->agent.stream, &nothing.base), 0);
    w->beat = loop_timer_start(w->loop, 100, beat, w);
}

static void one_that_has_nothing_to_say_is_up(void **state)
{
    (void)state;
    struct world w;
    setup(&w);
    w.silent_ms = 3000;
    sessions_start(&w);
    UNTIL(&w, synced);
    beat(&w);
    assert_int_equal(loop_run(w.loop), 0);
    assert_true(synced(&w));
    assert_int_equal(w.agent.watches, 1);
    loop_timer_cancel(w.beat);
    teardown(&w);
}

static void sessions_end_in_any_state(void **state)
{
    (void)state;
    for (int when = 0; when < 3; when++) {
        struct world w;
        setup(&w);
        w.agent.mute = when == 2;
        sessions_start(&w);
        if (when == 1)
            UNTIL(&w, synced);
        teardown(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_stream_keeps_the_snapshot),
        cmocka_unit_test(a_restarted_agent_is_asked_anew),
        cmocka_unit_test(an_ended_stream_is_begun_again),
        cmocka_unit_test(an_agent_of_another_name_is_refused),
        cmocka_unit_test(a_refused_watch_is_tried_again),
        cmocka_unit_test(an_older_coordinator_learns_that_it_is_one),
        cmocka_unit_test(an_agent_that_says_nothing_any_more_is_down),
        cmocka_unit_test(one_that_has_nothing_to_say_is_up),
        cmocka_unit_test(sessions_end_in_any_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
