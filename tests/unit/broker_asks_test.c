/* The broker and its agents: one that doesn't answer, or says no, is asked again, and nobody uses more meanwhile. The test plays
 * the driver and the agents. */
#include "common/base/memory.h"
#include "coordinator/broker.h"
#include "coordinator/io/agents.h"
#include "coordinator/move.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MIB 1048576ULL

static struct {
    struct loop *loop;
    Drover__V1__Job jobs[2];
    Drover__V1__Progress progress[2];
    struct driver_hooks hooks;
    bool refuses[2], knows_not[2]; /* the agent of the job's source */
    bool copies[2];
    size_t answers, stop_after;
    uint64_t rate[2], most; /* as the agents were told; the largest sum since it was set to 0 */
} w;

const Drover__V1__Job **move_open(const struct driver *driver, size_t *ret_n)
{
    (void)driver;
    const Drover__V1__Job **list = xcalloc(3, sizeof(*list));
    for (*ret_n = 0; *ret_n < 2; ++*ret_n)
        list[*ret_n] = &w.jobs[*ret_n];
    return list;
}

bool driver_copies(const struct driver *driver, uint64_t id)
{
    (void)driver;
    return w.copies[id - 1];
}

const Drover__V1__Policy *driver_policy(const struct driver *driver, uint64_t id)
{
    (void)driver;
    (void)id;
    return NULL;
}

void driver_hook(struct driver *driver, const struct driver_hooks *hooks)
{
    (void)driver;
    w.hooks = *hooks;
}

uint64_t store_epoch(const struct store *store)
{
    (void)store;
    return 1;
}

struct rpc_client *agents_client(const struct agents *agents, const char *host)
{
    (void)agents;
    (void)host;
    return (struct rpc_client *)&w;
}

static void answer(void *arg)
{
    (void)arg;
    loop_stop(w.loop, 0);
}

void rpc_stub_invoke(ProtobufCService *service, unsigned method, const ProtobufCMessage *input,
                     ProtobufCClosure closure, void *closure_data)
{
    (void)service;
    (void)method;
    const Drover__V1__SetBandwidthRequest *r = (const Drover__V1__SetBandwidthRequest *)input;
    int i = strcmp(r->step->guest, "b") == 0;
    Drover__V1__SetBandwidthReply reply = DROVER__V1__SET_BANDWIDTH_REPLY__INIT;
    reply.set = !w.knows_not[i];
    if (!w.refuses[i] && reply.set)
        w.rate[i] = r->bandwidth;
    if (w.rate[0] + w.rate[1] > w.most)
        w.most = w.rate[0] + w.rate[1];
    closure(w.refuses[i] ? NULL : &reply.base, closure_data);
    if (++w.answers == w.stop_after)
        loop_timer_start(w.loop, 60, answer, NULL);
}

const struct error *rpc_status(void)
{
    static const struct error no = {.code = STATUS_UNAVAILABLE, .text = "not now"};
    return &no;
}

static void run_until(size_t answers)
{
    w.answers = 0;
    w.most = 0;
    w.stop_after = answers;
    loop_run(w.loop);
}

/* Two moves over the link into kvm2. */
static void setup(struct fleet *fleet)
{
    struct error err = {0};
    memset(&w, 0, sizeof(w));
    fleet_init(fleet);
    fleet_add_host(fleet, "kvm1", "tokyo", "");
    fleet_add_host(fleet, "kvm2", "tokyo", "");
    fleet_add_host(fleet, "kvm3", "tokyo", "");
    fleet->bandwidth = 100 * MIB;
    assert_int_equal(loop_new(&w.loop, &err), 0);
    for (int i = 0; i < 2; i++) {
        drover__v1__job__init(&w.jobs[i]);
        drover__v1__progress__init(&w.progress[i]);
        w.jobs[i].id = (uint64_t)i + 1;
        w.jobs[i].guest_uuid = (char *)(i ? "b" : "a");
        w.jobs[i].source = (char *)(i ? "kvm3" : "kvm1");
        w.jobs[i].destination = (char *)"kvm2";
        w.jobs[i].phase = (char *)"transfer";
        w.jobs[i].progress = &w.progress[i];
        w.progress[i].bytes_total = 1000 * MIB;
        w.progress[i].bytes_left = (i ? 500 : 50) * MIB;
    }
}

static void the_sum_stays_within_the_link_when_an_agent_fails(void **state)
{
    (void)state;
    struct fleet fleet;
    setup(&fleet);
    struct broker *b = broker_new(w.loop, &fleet, NULL, NULL, NULL);
    /* After a restart nobody knows what they use: both are told. */
    w.hooks.changed(w.hooks.arg);
    run_until(2);
    assert_true(w.rate[0] > 80 * MIB && w.rate[1] > 0 && w.rate[0] + w.rate[1] <= 100 * MIB);
    /* The other one is nearer to its end now; the agent of the first does not take it. */
    w.refuses[0] = true;
    w.progress[1].bytes_left = 5 * MIB;
    w.hooks.changed(w.hooks.arg);
    run_until(2);
    assert_true(w.rate[0] > 80 * MIB && w.most <= 100 * MIB);
    /* Nor when it is asked again, and knows of no such move yet. */
    w.refuses[0] = false;
    w.knows_not[0] = true;
    run_until(1);
    assert_true(w.rate[0] > 80 * MIB && w.most <= 100 * MIB);
    /* It is asked again, and takes it: then the other one has its turn. */
    w.knows_not[0] = false;
    run_until(2);
    assert_true(w.rate[1] > 80 * MIB && w.rate[0] > 0 && w.most <= 100 * MIB);
    broker_free(b);
    loop_free(w.loop);
    fleet_deinit(&fleet);
}

/* Of a running guest: libvirt copies at what it was begun with. */
static void a_copy_of_disks_keeps_its_even_part_until_memory_flows(void **state)
{
    (void)state;
    struct fleet fleet;
    Drover__V1__MigrateRequest request = DROVER__V1__MIGRATE_REQUEST__INIT;
    setup(&fleet);
    struct broker *b = broker_new(w.loop, &fleet, NULL, NULL, NULL);
    w.copies[1] = true;
    w.jobs[1].phase = (char *)"preparing";
    w.progress[1] = (Drover__V1__Progress)DROVER__V1__PROGRESS__INIT;
    w.hooks.begins(w.hooks.arg, &w.jobs[1], &request);
    assert_int_equal(request.begin_bandwidth, 50 * MIB);
    w.jobs[1].phase = (char *)"transfer";
    run_until(1);
    assert_int_equal(w.rate[0], 50 * MIB); /* the other has the rest, however near its end is */
    assert_int_equal(w.rate[1], 0);        /* not told */
    w.progress[1].bytes_total = w.progress[1].bytes_left = 900 * MIB;
    w.hooks.changed(w.hooks.arg);
    run_until(2);
    assert_true(w.rate[0] > 80 * MIB && w.rate[1] > 0 && w.rate[0] + w.rate[1] <= 100 * MIB);
    broker_free(b);
    loop_free(w.loop);
    fleet_deinit(&fleet);
}

/* At the least of the link its pages would come one by one. */
static void a_guest_in_post_copy_goes_first(void **state)
{
    (void)state;
    struct fleet fleet;
    setup(&fleet);
    struct broker *b = broker_new(w.loop, &fleet, NULL, NULL, NULL);
    w.progress[1].post_copy = true;
    w.hooks.changed(w.hooks.arg);
    run_until(2);
    assert_true(w.rate[1] > 80 * MIB && w.rate[0] > 0 && w.rate[0] + w.rate[1] <= 100 * MIB);
    broker_free(b);
    loop_free(w.loop);
    fleet_deinit(&fleet);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sum_stays_within_the_link_when_an_agent_fails),
        cmocka_unit_test(a_copy_of_disks_keeps_its_even_part_until_memory_flows),
        cmocka_unit_test(a_guest_in_post_copy_goes_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
