#include "driver_fixture.h"

#include "common/base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const char *const names[QUESTIONS] = {"PREPARE",  "MIGRATE", "SETTLE",     "ABORT",
                                             "ACTIVATE", "RELEASE", "COLD_START", "GET_GUEST"};

static struct fixture *current; /* whose agents agents_client gives out */

struct rpc_client *agents_client(const struct agents *agents, const char *host)
{
    (void)agents;
    for (unsigned i = 0; i < 2; i++)
        if (streq(current->agents[i].name, host))
            return current->agents[i].client;
    return NULL;
}

static void look(struct fixture *f)
{
    if (f->until && f->until(f))
        loop_stop(f->loop, 0);
}

static void give_up(void *call)
{
    struct error err;
    error_set(&err, STATUS_CANCELLED, "nobody waits any more");
    rpc_call_fail(call, &err);
}

/* True if it is to be answered. */
static bool asked(struct agent *a, enum question q, const Drover__V1__Step *step, void *call)
{
    struct fixture *f = a->fixture;
    a->asked[q]++;
    if (step) {
        a->last = (Drover__V1__Step){.generation = step->generation, .epoch = step->epoch};
        if (!f->generation)
            f->generation = step->generation;
        size_t used = strlen(f->trace);
        snprintf(f->trace + used, sizeof(f->trace) - used, "%s %s +%d;", a->name, names[q],
                 step->generation > f->generation); /* the next one may be any above it */
        assert_string_equal(step->guest, GUEST_UUID);
    }
    look(f);
    if (a->refuse[q]) {
        a->refuse[q]--;
        struct error err;
        error_set(&err, STATUS_UNAVAILABLE, "%s is busy with something else", a->name);
        rpc_call_fail(call, &err);
        return false;
    }
    if (a->silent[q])
        rpc_call_on_cancel(call, give_up, call);
    return !a->silent[q];
}

static void agent_get_guest(Drover__V1__Agent_Service *s, const Drover__V1__GetGuestRequest *r,
                            Drover__V1__GetGuestReply_Closure reply, void *call)
{
    struct agent *a = (struct agent *)s;
    (void)r;
    if (!asked(a, GET_GUEST, NULL, call))
        return;
    Drover__V1__Guest guest = DROVER__V1__GUEST__INIT;
    guest.state = a->guest_state;
    Drover__V1__GetGuestReply m = DROVER__V1__GET_GUEST_REPLY__INIT;
    m.exists = a->has_guest;
    m.guest = a->has_guest ? &guest : NULL;
    reply(&m, call);
}

static void agent_hook_notes(Drover__V1__Agent_Service *s, const Drover__V1__HookNotesRequest *r,
                             Drover__V1__HookNotesReply_Closure reply, void *call)
{
    struct agent *a = (struct agent *)s;
    (void)r;
    Drover__V1__HookNotesReply m = DROVER__V1__HOOK_NOTES_REPLY__INIT;
    m.running = a->hooks_run && a->hooks_run--;
    m.notes = (char **)&a->hook_note;
    m.n_notes = a->hook_note != NULL;
    reply(&m, call);
}

static void agent_prepare(Drover__V1__Agent_Service *s, const Drover__V1__PrepareRequest *r,
                          Drover__V1__Vote_Closure reply, void *call)
{
    struct agent *a = (struct agent *)s;
    if (!asked(a, PREPARE, r->step, call))
        return;
    bool source = r->role == DROVER__V1__ROLE__SOURCE;
    snprintf(a->definition, sizeof(a->definition), "%s", r->definition ? r->definition->xml : "none");
    snprintf(a->peer, sizeof(a->peer), "%s", r->peer->host);
    Drover__V1__Finding memory = DROVER__V1__FINDING__INIT, name = DROVER__V1__FINDING__INIT,
                        *findings[] = {&memory, &name};
    memory.severity = name.severity = DROVER__V1__SEVERITY__BLOCK;
    memory.id = (char *)"memory-free";
    memory.subject = (char *)"memory";
    memory.seen = (char *)"1 GiB free";
    memory.expected = (char *)"2 GiB";
    memory.todo = (char *)"free memory";
    name.id = (char *)"name-free";
    name.seen = (char *)"another web1 is there";
    Drover__V1__Guest guest = DROVER__V1__GUEST__INIT;
    Drover__V1__Definition definition = DROVER__V1__DEFINITION__INIT;
    definition.xml = (char *)"<domain/>";
    Drover__V1__Endpoint endpoint = DROVER__V1__ENDPOINT__INIT;
    endpoint.host = (char *)a->name;
    endpoint.migration_uri = (char *)"tcp://10.0.1.12";
    Drover__V1__Vote m = DROVER__V1__VOTE__INIT;
    m.yes = !a->votes_no;
    if (a->votes_no) {
        m.n_findings = 2;
        m.findings = findings;
    } else if (source) {
        m.guest = &guest;
        m.definition = &definition;
    } else {
        m.endpoint = &endpoint;
    }
    reply(&m, call);
}

static void agent_migrate(Drover__V1__Agent_Service *s, const Drover__V1__MigrateRequest *r,
                          Drover__V1__TransferEvent_Closure reply, void *call)
{
    struct agent *a = (struct agent *)s;
    (void)reply;
    snprintf(a->peer, sizeof(a->peer), "%s", r->destination->migration_uri);
    if (!asked(a, MIGRATE, r->step, call))
        return;
    Drover__V1__Progress progress = DROVER__V1__PROGRESS__INIT;
    progress.bytes_done = 4711;
    Drover__V1__TransferEvent m = DROVER__V1__TRANSFER_EVENT__INIT;
    m.progress = &progress;
    m.decision = (char *)FIRST_DECISION;
    m.run = 4711;
    m.number = 1;
    rpc_call_item(call, &m.base);
    drover__v1__transfer_event__init(&m);
    m.ended = true;
    m.succeeded = !a->transfer_error;
    m.error = (char *)(a->transfer_error ? a->transfer_error : "");
    rpc_call_item(call, &m.base);
    rpc_call_end(call);
}

static void agent_settle(Drover__V1__Agent_Service *s, const Drover__V1__SettleRequest *r,
                         Drover__V1__SettleReply_Closure reply, void *call)
{
    struct agent *a = (struct agent *)s;
    if (!asked(a, SETTLE, r->step, call))
        return;
    Drover__V1__Result result = DROVER__V1__RESULT__INIT;
    result.transfer = 900;
    result.downtime = 47;
    result.handover = 14;
    result.pause = 61;
    result.bytes = 312 << 20;
    Drover__V1__SettleReply m = DROVER__V1__SETTLE_REPLY__INIT;
    unsigned n = a->asked[SETTLE] - 1;
    m.outcome = a->outcome[n < 2 ? n : 2];
    m.text = (char *)"libvirt on kvm1 is down";
    m.activated = a->activated_by_mesh;
    Drover__V1__Forecast forecast = DROVER__V1__FORECAST__INIT;
    Drover__V1__Decision first = DROVER__V1__DECISION__INIT, second = DROVER__V1__DECISION__INIT,
                         *decisions[] = {&first, &second};
    first.number = 1;
    first.text = (char *)FIRST_DECISION;
    second.number = 2;
    second.text = (char *)SECOND_DECISION;
    forecast.pause = 61;
    Drover__V1__Story story = DROVER__V1__STORY__INIT;
    story.run = 4711;
    story.forecast = &forecast;
    story.decisions = decisions;
    story.n_decisions = 2;
    m.story = &story;
    if (m.outcome == DROVER__V1__OUTCOME__GONE)
        m.result = &result;
    reply(&m, call);
}

static void agent_abort(Drover__V1__Agent_Service *s, const Drover__V1__AbortRequest *r,
                        Drover__V1__AbortReply_Closure reply, void *call)
{
    ((struct agent *)s)->taken_back = r->taken_back;
    if (asked((struct agent *)s, ABORT, r->step, call))
        reply(&(Drover__V1__AbortReply)DROVER__V1__ABORT_REPLY__INIT, call);
}

static void agent_activate(Drover__V1__Agent_Service *s, const Drover__V1__ActivateRequest *r,
                           Drover__V1__ActivateReply_Closure reply, void *call)
{
    struct agent *a = (struct agent *)s;
    if (!asked(a, ACTIVATE, r->step, call))
        return;
    Drover__V1__ActivateReply m = DROVER__V1__ACTIVATE_REPLY__INIT;
    m.activation = a->activation;
    m.text = (char *)"the image is gone";
    reply(&m, call);
}

static void agent_release(Drover__V1__Agent_Service *s, const Drover__V1__ReleaseRequest *r,
                          Drover__V1__ReleaseReply_Closure reply, void *call)
{
    if (asked((struct agent *)s, RELEASE, r->step, call))
        reply(&(Drover__V1__ReleaseReply)DROVER__V1__RELEASE_REPLY__INIT, call);
}

static void agent_cold_start(Drover__V1__Agent_Service *s, const Drover__V1__ColdStartRequest *r,
                             Drover__V1__ColdStartReply_Closure reply, void *call)
{
    if (asked((struct agent *)s, COLD_START, r->step, call))
        reply(&(Drover__V1__ColdStartReply)DROVER__V1__COLD_START_REPLY__INIT, call);
}

/* ---- the fixture ------------------------------------------------------------------------------------------------- */

static void too_late(void *arg)
{
    struct fixture *f = arg;
    f->deadline = NULL;
    loop_stop(f->loop, 1);
}

void fixture_run(struct fixture *f, bool (*until)(struct fixture *f))
{
    if (until(f))
        return;
    f->until = until;
    f->deadline = loop_timer_start(f->loop, 20000, too_late, f);
    int r;
    do
        r = loop_run(f->loop); /* it may have been stopped more than once for the last wish */
    while (r == 0 && !until(f));
    f->until = NULL;
    f->deadline = loop_timer_cancel(f->deadline);
    if (r)
        fail_msg("nothing came of it within 20 s; so far: %s %s", f->trace, f->end ? f->end->text : "");
}

bool fixture_ended(struct fixture *f)
{
    return f->ended;
}

static bool both_up(struct fixture *f)
{
    return rpc_client_up(f->agents[0].client) && rpc_client_up(f->agents[1].client);
}

static void on_state(void *arg, bool up, const struct error *why)
{
    (void)up, (void)why;
    look(arg);
}

static void make_agent(struct fixture *f, struct agent *a, const char *name)
{
    a->service = (Drover__V1__Agent_Service){
        .base = DROVER__V1__AGENT__BASE_INIT,
        .get_guest = agent_get_guest,
        .hook_notes = agent_hook_notes,
        .prepare = agent_prepare,
        .migrate = agent_migrate,
        .settle = agent_settle,
        .abort = agent_abort,
        .activate = agent_activate,
        .release = agent_release,
        .cold_start = agent_cold_start,
    };
    a->fixture = f;
    a->name = name;
    struct error err = {0};
    struct rpc_server_config server = {.loop = f->loop};
    _cleanup_free_ char *url = xasprintf("ipc://%s/%s", f->dir, name);
    assert_int_equal(rpc_server_new(&server, &a->server, NULL), 0);
    rpc_server_add(a->server, &a->service.base, RPC_ANYBODY, RPC_ON_LOOP);
    if (rpc_server_listen(a->server, url, &err))
        fail_msg("%s", err.text);
    struct rpc_client_config client = {.url = url, .loop = f->loop, .on_state = on_state, .arg = f};
    if (rpc_client_new(&client, &a->client, &err))
        fail_msg("%s", err.text);
    fleet_add_host(&f->fleet, name, "tokyo", url);
}

static void start_coordinator(struct fixture *f)
{
    struct error err = {0};
    if (store_open(f->path, &f->store, &err))
        fail_msg("%s", err.text);
    struct driver_config config = {.loop = f->loop, .store = f->store, .fleet = &f->fleet};
    if (driver_new(&config, &f->driver, &err))
        fail_msg("%s", err.text);
}

int fixture_setup(void **state)
{
    struct fixture *f = new0(struct fixture);
    *state = current = f;
    snprintf(f->dir, sizeof(f->dir), "/tmp/driver-test-XXXXXX");
    if (!mkdtemp(f->dir) || loop_new(&f->loop, NULL))
        return -1;
    snprintf(f->path, sizeof(f->path), "%s/coordinator.db", f->dir);
    make_agent(f, &f->agents[0], "kvm1");
    make_agent(f, &f->agents[1], "kvm2");
    for (unsigned i = 0; i < 3; i++)
        f->agents[0].outcome[i] = DROVER__V1__OUTCOME__GONE;
    f->agents[0].activated_by_mesh = true;
    f->agents[1].activation = DROVER__V1__ACTIVATION__RUNNING;
    f->agents[1].has_guest = true;
    f->agents[1].guest_state = DROVER__V1__GUEST_STATE__GUEST_RUNNING;
    fixture_run(f, both_up);
    start_coordinator(f);
    return 0;
}

int fixture_teardown(void **state)
{
    struct fixture *f = *state;
    driver_free(f->driver);
    for (unsigned i = 0; i < 2; i++) {
        rpc_client_free(f->agents[i].client);
        rpc_server_free(f->agents[i].server);
    }
    store_free(f->store);
    fleet_deinit(&f->fleet);
    if (f->end)
        drover__v1__job__free_unpacked(f->end, NULL);
    loop_free(f->loop);
    static const char *const files[] = {"coordinator.db", "coordinator.db-wal", "coordinator.db-ballast",
                                        "kvm1", "kvm2"};
    for (unsigned i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        char path[160];
        snprintf(path, sizeof(path), "%s/%s", f->dir, files[i]);
        unlink(path);
    }
    int r = rmdir(f->dir);
    free(f);
    return r;
}

static void on_change(void *arg, const Drover__V1__Job *job)
{
    struct fixture *f = arg;
    if (f->end)
        drover__v1__job__free_unpacked(f->end, NULL);
    size_t size = drover__v1__job__get_packed_size(job);
    uint8_t *bytes = xcalloc(size, 1);
    drover__v1__job__pack(job, bytes);
    f->end = drover__v1__job__unpack(NULL, size, bytes);
    free(bytes);
    f->ended = job->ended != 0;
    if (f->ended) /* it is the store's by now */
        assert_null(driver_job(f->driver, job->id));
    look(f);
}

uint64_t fixture_order(struct fixture *f, Drover__V1__Mode mode)
{
    struct migration_order order = {.guest_uuid = GUEST_UUID,
                                    .guest_name = "web1",
                                    .source = "kvm1",
                                    .destination = "kvm2",
                                    .operator_name = "oncall",
                                    .mode = mode,
                                    .relocation = f->relocation};
    uint64_t job = 0;
    struct error err = {0};
    if (driver_migrate(f->driver, &order, &job, &err))
        fail_msg("%s", err.text);
    assert_non_null(driver_watch(f->driver, job, on_change, f));
    return job;
}

void fixture_restart(struct fixture *f)
{
    driver_free(f->driver);
    store_free(f->store);
    f->ended = false;
    start_coordinator(f);
    const Drover__V1__Job *jobs[2];
    if (driver_jobs(f->driver, jobs, 2) > 0)
        assert_non_null(driver_watch(f->driver, jobs[0]->id, on_change, f));
}
