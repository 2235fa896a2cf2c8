/* The operators' service over real RPC, with a made fleet, a made driver and a real store. */
#include "coordinator/api.h"

#include "common/base/memory.h"
#include "coordinator_made.h"
#include "made_driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* What came of a call: the last message and the status. */
struct answer {
    struct loop *loop;
    ProtobufCMessage *last;
    unsigned items;
    bool ended;
    struct error status;
    unsigned stop_at; /* stop the loop after so many items; 0: at the end */
    char phases[256]; /* of a watched job, each once, in order */
};

struct world {
    struct loop *loop;
    struct fleet fleet;
    struct driver *driver;
    struct store *store;
    struct api *api;
    struct rpc_server *server;
    struct rpc_client *client;
    Drover__V1__Policy policy;
    char directory[64], path[96];
    struct answer answer;
};

static void setup(struct world *w)
{
    struct error err = {0};
    *w = (struct world){.directory = "/tmp/drover-api-XXXXXX"};
    assert_non_null(mkdtemp(w->directory));
    snprintf(w->path, sizeof(w->path), "%s/jobs.db", w->directory);
    assert_int_equal(loop_new(&w->loop, NULL), 0);
    if (store_open(w->path, &w->store, &err) < 0)
        fail_msg("%s", err.text);
    fleet_init(&w->fleet);
    drover__v1__policy__init(&w->policy);
    w->policy.max_pause = 2000;
    w->policy.deadline = 60000;
    w->policy.offline = true;
    w->driver = made_driver_new();
    const struct api_config api = {w->loop, &w->fleet, w->driver, w->store, &w->policy};
    w->api = api_new(&api);
    const struct rpc_server_config server = {.loop = w->loop};
    assert_int_equal(rpc_server_new(&server, &w->server, &err), 0);
    rpc_server_add(w->server, api_service(w->api), RPC_OPERATOR, RPC_ON_LOOP);
    assert_int_equal(rpc_server_listen(w->server, "tcp://127.0.0.1:0", &err), 0);
    const struct rpc_client_config client = {.url = rpc_server_url(w->server, 0), .loop = w->loop};
    assert_int_equal(rpc_client_new(&client, &w->client, &err), 0);
    made_guest(made_host(&w->fleet, "kvm1"), "web1", UUID_A);
    made_host(&w->fleet, "kvm2");
    made_host(&w->fleet, "kvm3")->report->memory_free = 60 * GIB;
}

static void forget(struct answer *a)
{
    if (a->last)
        protobuf_c_message_free_unpacked(a->last, NULL);
    *a = (struct answer){0};
}

static void teardown(struct world *w)
{
    rpc_client_free(w->client);
    forget(&w->answer);
    rpc_server_free(w->server);
    api_free(w->api);
    assert_int_equal(made_driver_watches(w->driver), 0);
    driver_free(w->driver);
    loop_free(w->loop);
    store_free(w->store);
    fleet_deinit(&w->fleet);
    static const char *const endings[] = {"", "-wal", "-shm", "-ballast", "-lock"};
    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
        char *name = xasprintf("%s%s", w->path, endings[i]);
        unlink(name);
        free(name);
    }
    assert_int_equal(rmdir(w->directory), 0);
}

static void on_answer(const ProtobufCMessage *message, void *arg)
{
    struct answer *a = arg;
    if (!message) {
        a->status = *rpc_status();
        a->ended = true;
        loop_stop(a->loop, 0);
        return;
    }
    size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *bytes = xcalloc(1, size + 1);
    protobuf_c_message_pack(message, bytes);
    if (a->last)
        protobuf_c_message_free_unpacked(a->last, NULL);
    a->last = protobuf_c_message_unpack(message->descriptor, NULL, size, bytes);
    free(bytes);
    a->items++;
    if (message->descriptor == &drover__v1__job__descriptor) {
        const char *phase = ((const Drover__V1__Job *)message)->phase;
        if (!strstr(a->phases, phase))
            snprintf(a->phases + strlen(a->phases), sizeof(a->phases) - strlen(a->phases), "%s ", phase);
    }
    if (a->items == a->stop_at)
        loop_stop(a->loop, 0);
}

static void on_limit(void *arg)
{
    loop_stop(arg, -1);
}

static void run(struct world *w)
{
    struct loop_timer *limit = loop_timer_start(w->loop, 20000, on_limit, w->loop);
    if (loop_run(w->loop) != 0)
        fail_msg("no answer in 20 s");
    loop_timer_cancel(limit);
}

/* Starts a call; `items` to wait for (0: the end). Returns its id. */
static uint64_t begin(struct world *w, const char *method, const ProtobufCMessage *request, unsigned items)
{
    const ProtobufCMethodDescriptor *m =
        protobuf_c_service_descriptor_get_method_by_name(&drover__v1__coordinator__descriptor, method);
    forget(&w->answer);
    w->answer.loop = w->loop;
    w->answer.stop_at = items;
    struct rpc_stub stub = rpc_stub(w->client, &drover__v1__coordinator__descriptor, .wait = true,
                                    .timeout_ms = 15000, .stream = streq(method, "WatchJob"));
    rpc_stub_invoke(&stub.base, (unsigned)(m - drover__v1__coordinator__descriptor.methods), request,
                    on_answer, &w->answer);
    return stub.id;
}

static const void *call(struct world *w, const char *method, const void *request)
{
    begin(w, method, request, 1);
    run(w);
    return w->answer.last;
}

static enum status_code status_of(struct world *w, const char *method, const void *request)
{
    assert_null(call(w, method, request));
    return w->answer.status.code;
}

static void the_fleet_is_listed(void **state)
{
    (void)state;
    struct world w;
    setup(&w);
    fleet_session(fleet_host(&w.fleet, "kvm2"), false, 77, "no route to host");
    made_driver_job(w.driver, 9, "web1", UUID_A);
    Drover__V1__ListHostsRequest hosts = DROVER__V1__LIST_HOSTS_REQUEST__INIT;
    const Drover__V1__ListHostsReply *h = call(&w, "ListHosts", &hosts);
    assert_int_equal(h->n_hosts, 3);
    assert_true(h->hosts[0]->up);
    assert_int_equal(h->hosts[0]->guests_running, 1);
    assert_string_equal(h->hosts[0]->report->name, "kvm1");
    assert_string_equal(h->hosts[1]->why, "no route to host");
    assert_int_equal(h->hosts[1]->since, 77);

    Drover__V1__ListGuestsRequest guests = DROVER__V1__LIST_GUESTS_REQUEST__INIT;
    const Drover__V1__ListGuestsReply *g = call(&w, "ListGuests", &guests);
    assert_int_equal(g->n_guests, 1);
    assert_string_equal(g->guests[0]->host, "kvm1");
    assert_int_equal(g->guests[0]->job, 9);
    assert_false(g->guests[0]->stale);
    fleet_session(fleet_host(&w.fleet, "kvm1"), false, 78, "lost");
    g = call(&w, "ListGuests", &guests);
    assert_true(g->guests[0]->stale);
    guests.host = (char *)"kvm2";
    g = call(&w, "ListGuests", &guests);
    assert_int_equal(g->n_guests, 0);
    guests.host = (char *)"kmv2";
    assert_int_equal(status_of(&w, "ListGuests", &guests), STATUS_NOT_FOUND);
    assert_non_null(strstr(w.answer.status.text, "near: kvm2"));
    teardown(&w);
}

static void a_migration_is_ordered(void **state)
{
    (void)state;
    struct world w;
    setup(&w);
    Drover__V1__MigrateGuestRequest request = DROVER__V1__MIGRATE_GUEST_REQUEST__INIT;
    Drover__V1__Policy policy = DROVER__V1__POLICY__INIT;
    char *given[] = {(char *)"max_pause", (char *)"allow"};
    request.guest = (char *)"web1";
    request.to = (char *)"kvm2";
    request.policy = &policy;
    policy.max_pause = 100;
    policy.deadline = 5; /* not given, so it does not hold */
    policy.auto_converge = true;
    request.policy_given = given;
    request.n_policy_given = 2;
    const Drover__V1__MigrateGuestReply *r = call(&w, "MigrateGuest", &request);
    assert_int_equal(r->job, 41);
    assert_string_equal(r->source, "kvm1");
    assert_string_equal(r->destination, "kvm2");
    assert_int_equal(r->mode, DROVER__V1__MODE__MODE_LIVE);
    assert_int_equal(made_order.count, 1);
    assert_string_equal(made_order.destination, "kvm2");
    assert_int_equal(made_order.policy.max_pause, 100);
    assert_int_equal(made_order.policy.deadline, 60000);
    assert_true(made_order.policy.auto_converge);
    assert_false(made_order.policy.offline);
    assert_non_null(strstr(made_order.by, "127.0.0.1")); /* nobody is named on plain tcp:// */

    /* Without a destination, the host with the most room; a dry run orders nothing. */
    request.to = (char *)"";
    request.dry_run = true;
    r = call(&w, "MigrateGuest", &request);
    assert_int_equal(r->job, 0);
    assert_string_equal(r->destination, "kvm3");
    assert_non_null(strstr(r->why, "kvm3 has the most memory"));
    assert_int_equal(made_order.count, 1);
    request.dry_run = false;
    r = call(&w, "MigrateGuest", &request);
    assert_int_equal(r->job, 41);
    assert_string_equal(made_order.destination, "kvm3");
    teardown(&w);
}

static void promised_memory_counts(void **state)
{
    (void)state;
    struct world w;
    setup(&w);
    Drover__V1__Guest *big = made_guest(fleet_host(&w.fleet, "kvm1"), "big", UUID_B)->guest;
    big->memory_max = 20 * GIB;
    Drover__V1__Job *job = made_driver_job(w.driver, 9, "big", UUID_B);
    job->source = xstrdup("kvm1");
    job->destination = xstrdup("kvm3");
    Drover__V1__MigrateGuestRequest request = DROVER__V1__MIGRATE_GUEST_REQUEST__INIT;
    request.guest = (char *)"web1";
    request.dry_run = true;
    const Drover__V1__MigrateGuestReply *r = call(&w, "MigrateGuest", &request);
    assert_string_equal(r->destination, "kvm2");
    teardown(&w);
}

static void what_blocks_is_told_and_not_ordered(void **state)
{
    (void)state;
    struct world w;
    setup(&w);
    made_driver_job(w.driver, 12, "web1", UUID_A);
    Drover__V1__MigrateGuestRequest request = DROVER__V1__MIGRATE_GUEST_REQUEST__INIT;
    request.guest = (char *)"kvm1/web1";
    request.to = (char *)"kvm2";
    const Drover__V1__MigrateGuestReply *r = call(&w, "MigrateGuest", &request);
    assert_int_equal(r->job, 0);
    assert_int_equal(r->n_findings, 1);
    assert_string_equal(r->findings[0]->id, "guest-busy");
    assert_non_null(strstr(r->findings[0]->seen, "job 12"));
    request.to = (char *)"";
    r = call(&w, "MigrateGuest", &request);
    assert_int_equal(r->job, 0);
    assert_string_equal(r->destination, "");
    assert_int_equal(r->n_findings, 1);
    assert_int_equal(made_order.count, 0);
    teardown(&w);
}

static void bad_requests_are_refused(void **state)
{
    (void)state;
    struct world w;
    setup(&w);
    Drover__V1__MigrateGuestRequest request = DROVER__V1__MIGRATE_GUEST_REQUEST__INIT;
    Drover__V1__Policy policy = DROVER__V1__POLICY__INIT;
    request.policy = &policy;
    assert_int_equal(status_of(&w, "MigrateGuest", &request), STATUS_INVALID_ARGUMENT);
    request.guest = (char *)"wbe1";
    assert_int_equal(status_of(&w, "MigrateGuest", &request), STATUS_NOT_FOUND);
    assert_non_null(strstr(w.answer.status.text, "near: web1"));
    request.guest = (char *)"web1";
    request.to = (char *)"kvm9";
    assert_int_equal(status_of(&w, "MigrateGuest", &request), STATUS_NOT_FOUND);
    request.to = (char *)"kvm2";
    request.mode = (Drover__V1__Mode)99;
    assert_int_equal(status_of(&w, "MigrateGuest", &request), STATUS_INVALID_ARGUMENT);
    request.mode = DROVER__V1__MODE__MODE_AUTO;
    char *unknown[] = {(char *)"speed"}, *deadline[] = {(char *)"deadline"};
    request.policy_given = unknown;
    request.n_policy_given = 1;
    assert_int_equal(status_of(&w, "MigrateGuest", &request), STATUS_INVALID_ARGUMENT);
    assert_non_null(strstr(w.answer.status.text, "'speed'"));
    request.policy_given = deadline;
    policy.deadline = -1;
    assert_int_equal(status_of(&w, "MigrateGuest", &request), STATUS_INVALID_ARGUMENT);
    assert_int_equal(made_order.count, 0);
    teardown(&w);
}

static uint64_t store_ended(struct world *w, const char *guest)
{
    Drover__V1__Job job = DROVER__V1__JOB__INIT;
    struct error err = {0};
    job.guest = (char *)guest;
    job.guest_uuid = (char *)UUID_A;
    job.kind = (char *)"migrate";
    job.state = DROVER__V1__JOB_STATE__JOB_DONE;
    job.phase = (char *)"done";
    if (store_put_job(w->store, &job, NULL, 0, &err) < 0)
        fail_msg("%s", err.text);
    return job.id;
}

static void jobs_are_listed_and_shown(void **state)
{
    (void)state;
    struct world w;
    setup(&w);
    uint64_t ended = store_ended(&w, "web1");
    made_driver_job(w.driver, 100, "web1", UUID_A);
    made_driver_job(w.driver, 101, "db1", UUID_B);
    made_driver_job(w.driver, 102, "web1", UUID_A);
    Drover__V1__ListJobsRequest request = DROVER__V1__LIST_JOBS_REQUEST__INIT;
    const Drover__V1__ListJobsReply *r = call(&w, "ListJobs", &request);
    assert_int_equal(r->n_jobs, 3);
    assert_int_equal(r->jobs[0]->id, 102);
    assert_int_equal(r->jobs[2]->id, 100);
    request.limit = 1;
    request.guest = (char *)"db1";
    r = call(&w, "ListJobs", &request);
    assert_int_equal(r->n_jobs, 1);
    assert_int_equal(r->jobs[0]->id, 101);
    request.guest = (char *)"";
    request.ended = true;
    r = call(&w, "ListJobs", &request);
    assert_int_equal(r->n_jobs, 1);
    assert_int_equal(r->jobs[0]->id, ended);

    Drover__V1__GetJobRequest get = DROVER__V1__GET_JOB_REQUEST__INIT;
    get.id = 101;
    assert_string_equal(((const Drover__V1__Job *)call(&w, "GetJob", &get))->guest, "db1");
    get.id = ended;
    assert_int_equal(((const Drover__V1__Job *)call(&w, "GetJob", &get))->state,
                     DROVER__V1__JOB_STATE__JOB_DONE);
    get.id = 5555;
    assert_int_equal(status_of(&w, "GetJob", &get), STATUS_NOT_FOUND);

    Drover__V1__CancelJobRequest cancel = DROVER__V1__CANCEL_JOB_REQUEST__INIT;
    cancel.id = 100;
    const Drover__V1__CancelJobReply *c = call(&w, "CancelJob", &cancel);
    assert_non_null(strstr(c->text, "cancelled by "));
    cancel.id = 5555;
    assert_int_equal(status_of(&w, "CancelJob", &cancel), STATUS_NOT_FOUND);
    teardown(&w);
}

static void a_watched_job_is_told_to_its_end(void **state)
{
    (void)state;
    struct world w;
    setup(&w);
    Drover__V1__Job *job = made_driver_job(w.driver, 7, "web1", UUID_A);
    job->phase = xstrdup("preparing");
    Drover__V1__WatchJobRequest request = DROVER__V1__WATCH_JOB_REQUEST__INIT;
    request.id = 7;
    begin(&w, "WatchJob", &request.base, 1);
    run(&w);
    assert_int_equal(made_driver_watches(w.driver), 1);
    made_string(&job->phase, "transfer");
    made_driver_tell(w.driver, job);
    w.answer.stop_at = 2;
    run(&w);
    /* Mere progress is coalesced, and its last state comes though nothing follows. */
    for (unsigned i = 1; i <= 50; i++) {
        job->progress->bytes_done = i;
        made_driver_tell(w.driver, job);
    }
    w.answer.stop_at = 3;
    run(&w);
    while (((const Drover__V1__Job *)w.answer.last)->progress->bytes_done != 50) {
        w.answer.stop_at++;
        run(&w);
    }
    assert_true(w.answer.items < 50);
    made_string(&job->phase, "settling");
    made_driver_tell(w.driver, job);
    made_string(&job->phase, "done");
    job->state = DROVER__V1__JOB_STATE__JOB_DONE;
    made_driver_tell(w.driver, job);
    w.answer.stop_at = 0;
    run(&w);
    assert_true(w.answer.ended);
    assert_int_equal(w.answer.status.code, STATUS_OK);
    assert_string_equal(w.answer.phases, "preparing transfer settling done ");
    assert_int_equal(made_driver_watches(w.driver), 0);
    teardown(&w);
}

static void a_slow_shell_still_hears_the_end(void **state)
{
    (void)state;
    struct world w;
    setup(&w);
    Drover__V1__Job *job = made_driver_job(w.driver, 7, "web1", UUID_A);
    Drover__V1__WatchJobRequest request = DROVER__V1__WATCH_JOB_REQUEST__INIT;
    request.id = 7;
    begin(&w, "WatchJob", &request.base, 1);
    run(&w);
    /* More news in one turn of the loop than a stream's window takes. */
    for (unsigned i = 0; i < 500; i++) {
        char *phase = xasprintf("p%u", i);
        made_string(&job->phase, phase);
        free(phase);
        made_driver_tell(w.driver, job);
    }
    Drover__V1__Job ended = *job;
    ended.id = 7;
    ended.kind = (char *)"migrate";
    ended.state = DROVER__V1__JOB_STATE__JOB_DONE;
    struct error err = {0};
    if (store_put_job(w.store, &ended, NULL, 0, &err) < 0)
        fail_msg("%s", err.text);
    job->state = DROVER__V1__JOB_STATE__JOB_DONE;
    made_driver_tell(w.driver, job);
    w.answer.stop_at = 0;
    run(&w);
    assert_int_equal(w.answer.status.code, STATUS_OK);
    assert_int_equal(((const Drover__V1__Job *)w.answer.last)->state, DROVER__V1__JOB_STATE__JOB_DONE);
    assert_true(w.answer.items < 500);
    teardown(&w);
}

static void a_watch_of_what_is_over_ends_at_once(void **state)
{
    (void)state;
    struct world w;
    setup(&w);
    Drover__V1__WatchJobRequest request = DROVER__V1__WATCH_JOB_REQUEST__INIT;
    request.id = store_ended(&w, "web1");
    begin(&w, "WatchJob", &request.base, 0);
    run(&w);
    assert_int_equal(w.answer.items, 1);
    assert_int_equal(w.answer.status.code, STATUS_OK);
    request.id = 5555;
    begin(&w, "WatchJob", &request.base, 0);
    run(&w);
    assert_int_equal(w.answer.status.code, STATUS_NOT_FOUND);
    teardown(&w);
}

static void a_shell_may_stop_watching(void **state)
{
    (void)state;
    struct world w;
    setup(&w);
    Drover__V1__Job *job = made_driver_job(w.driver, 7, "web1", UUID_A);
    Drover__V1__WatchJobRequest request = DROVER__V1__WATCH_JOB_REQUEST__INIT;
    request.id = 7;
    uint64_t id = begin(&w, "WatchJob", &request.base, 1);
    run(&w);
    rpc_client_cancel(w.client, id);
    w.answer.stop_at = 0;
    run(&w);
    assert_int_equal(w.answer.status.code, STATUS_CANCELLED);
    /* Another call behind it on the same connection: by its answer the cancellation has arrived. */
    Drover__V1__GetJobRequest get = DROVER__V1__GET_JOB_REQUEST__INIT;
    get.id = 7;
    call(&w, "GetJob", &get);
    made_driver_tell(w.driver, job);
    /* One that is still watched when the server ends. */
    begin(&w, "WatchJob", &request.base, 1);
    run(&w);
    teardown(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_fleet_is_listed),
        cmocka_unit_test(a_migration_is_ordered),
        cmocka_unit_test(promised_memory_counts),
        cmocka_unit_test(what_blocks_is_told_and_not_ordered),
        cmocka_unit_test(bad_requests_are_refused),
        cmocka_unit_test(jobs_are_listed_and_shown),
        cmocka_unit_test(a_watched_job_is_told_to_its_end),
        cmocka_unit_test(a_slow_shell_still_hears_the_end),
        cmocka_unit_test(a_watch_of_what_is_over_ends_at_once),
        cmocka_unit_test(a_shell_may_stop_watching),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
