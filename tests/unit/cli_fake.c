/* A coordinator without a fleet, for tests of the command line: cli_fake SOCKET. A guest's name says what becomes of it:
 *   web*      moves in about 1.5 s            slow*    takes 20 s
 *   blocked*  is refused by a check           fails*   fails in the transfer
 *   doubt*    goes in doubt and stays there   gone     is unknown
 * Jobs begin when they are watched. It prints "ready" when it listens, and a line for each CancelJob. */
#include "cli_fake_plan.h"
#include "cli_fake_storage.h"

#include "common/base/loop.h"
#include "common/base/memory.h"
#include "common/rpc/rpc.h"
#include "proto/coordinator.pb-c.h"

#include <inttypes.h>
#include <signal.h>
#include <string.h>

#define MIB 1048576ull
#define STEP_MS 50
#define MAX_JOBS 64
#define NOON 1800014400000ull /* 2027-01-15 12:00:00 UTC */

struct job {
    uint64_t id;
    char guest[64], from[16], to[16];
    int64_t began;
    int64_t length; /* ms of the transfer */
    bool watched, cancelled;
    struct rpc_call *call;
};

static struct loop *loop;
static struct job jobs[MAX_JOBS];
static size_t n_jobs;

static bool named(const char *guest, const char *prefix)
{
    return strncmp(guest, prefix, strlen(prefix)) == 0;
}

/* ---- hosts and guests -------------------------------------------------------------------------------------------- */

static void list_hosts(Drover__V1__Coordinator_Service *service, const Drover__V1__ListHostsRequest *request,
                       Drover__V1__ListHostsReply_Closure reply, void *call)
{
    (void)service;
    (void)request;
    Drover__V1__Cpu cpu = DROVER__V1__CPU__INIT;
    cpu.online = 16;
    Drover__V1__HostReport report = DROVER__V1__HOST_REPORT__INIT;
    report.name = (char *)"kvm1";
    report.hypervisor = true;
    report.libvirt_up = true;
    report.libvirt_version = 9000000;
    report.qemu_version = 7002000;
    report.memory_total = 65536 * MIB;
    report.memory_guests = 12345 * MIB;
    report.vcpus_guests = 7;
    report.cpu = &cpu;
    Drover__V1__HostStatus up = DROVER__V1__HOST_STATUS__INIT, down = DROVER__V1__HOST_STATUS__INIT;
    up.name = (char *)"kvm1";
    up.site = (char *)"tokyo";
    up.up = up.synced = true;
    up.since = NOON;
    up.report = &report;
    up.guests_running = 3;
    up.guests_total = 4;
    down.name = (char *)"kvm2";
    down.since = NOON;
    down.why = (char *)"connection refused";
    Drover__V1__HostStatus *hosts[] = {&up, &down};
    Drover__V1__ListHostsReply message = DROVER__V1__LIST_HOSTS_REPLY__INIT;
    message.n_hosts = 2;
    message.hosts = hosts;
    message.coordinator_version = (char *)DROVER_VERSION;
    reply(&message, call);
}

static void list_guests(Drover__V1__Coordinator_Service *service,
                        const Drover__V1__ListGuestsRequest *request,
                        Drover__V1__ListGuestsReply_Closure reply, void *call)
{
    (void)service;
    if (strcmp(request->host, "nowhere") == 0) {
        struct error err;
        error_set(&err, STATUS_NOT_FOUND, "there is no host nowhere; known are kvm1, kvm2");
        rpc_call_fail(call, &err);
        return;
    }
    Drover__V1__Guest guest = DROVER__V1__GUEST__INIT;
    guest.name = (char *)"web\033[31m1";
    guest.state = DROVER__V1__GUEST_STATE__GUEST_RUNNING;
    guest.memory_max = 512 * MIB;
    guest.vcpus = 2;
    guest.persistent = true;
    Drover__V1__GuestStatus status = DROVER__V1__GUEST_STATUS__INIT;
    status.host = (char *)"kvm1";
    status.guest = &guest;
    status.job = 12;
    Drover__V1__GuestStatus *guests[] = {&status};
    Drover__V1__ListGuestsReply message = DROVER__V1__LIST_GUESTS_REPLY__INIT;
    message.n_guests = 1;
    message.guests = guests;
    reply(&message, call);
}

/* ---- jobs -------------------------------------------------------------------------------------------------------- */

static struct job *find(uint64_t id)
{
    return id >= 1 && id <= n_jobs ? &jobs[id - 1] : NULL;
}

static void fail_unknown(void *call, uint64_t id)
{
    struct error err;
    error_set(&err, STATUS_NOT_FOUND, "there is no job %" PRIu64, id);
    rpc_call_fail(call, &err);
}

/* The job as it is at this moment, given to `use`. */
static bool with_job(struct job *j, void (*use)(void *arg, const Drover__V1__Job *job), void *arg)
{
    int64_t age = j->watched ? clock_monotonic_ms() - j->began : 0;
    double part = (double)age / (double)j->length;
    Drover__V1__JobEntry entries[4], *log[4];
    static const char *const said[] = {"asks kvm1 to prepare", "kvm1 is prepared", "kvm2 is prepared",
                                       "the transfer has begun"};
    for (int i = 0; i < 4; i++) {
        entries[i] = (Drover__V1__JobEntry)DROVER__V1__JOB_ENTRY__INIT;
        entries[i].at = NOON + (uint64_t)i * 1000;
        entries[i].text = (char *)said[i];
        log[i] = &entries[i];
    }
    Drover__V1__Progress progress = DROVER__V1__PROGRESS__INIT;
    Drover__V1__Result result = DROVER__V1__RESULT__INIT;
    Drover__V1__Job job = DROVER__V1__JOB__INIT;
    job.id = j->id;
    job.kind = (char *)"migrate";
    job.guest = j->guest;
    job.source = j->from;
    job.destination = j->to;
    job.mode = DROVER__V1__MODE__MODE_LIVE;
    job.created = job.started = NOON;
    job.operator_ = (char *)"oncall";
    job.state = DROVER__V1__JOB_STATE__JOB_RUNNING;
    job.phase = (char *)"preparing";
    job.text = (char *)"kvm1 prepares";
    job.log = log;
    job.n_log = 1;
    if (age > 200) {
        job.phase = (char *)"transfer";
        job.n_log = 4;
        job.progress = &progress;
        progress.phase = (char *)"transfer";
        progress.elapsed = age;
        progress.bytes_total = 512 * MIB;
        progress.bytes_done = (uint64_t)(512 * MIB * (part > 1 ? 1 : part));
        progress.bytes_left = progress.bytes_total - progress.bytes_done;
        progress.rate = 98 * MIB;
        progress.dirty_rate = 20 * MIB;
        progress.iteration = 1;
        progress.remaining = part < 1 ? (int64_t)((double)j->length * (1 - part)) : 0;
        progress.downtime = 52;
    }
    static char text[200];
    bool over = part >= 1 || j->cancelled;
    if (over && named(j->guest, "doubt") && !j->cancelled) {
        job.state = DROVER__V1__JOB_STATE__JOB_IN_DOUBT;
        job.phase = (char *)"settling";
        job.text = (char *)"whether the guest is still on kvm1 is not known";
        job.todo = (char *)"make kvm1's agent and libvirt reachable; it goes on by itself";
        over = false;
    } else if (over) {
        job.ended = NOON + 3000;
        job.state = j->cancelled               ? DROVER__V1__JOB_STATE__JOB_CANCELLED
                    : named(j->guest, "fails") ? DROVER__V1__JOB_STATE__JOB_FAILED
                                               : DROVER__V1__JOB_STATE__JOB_DONE;
        bool moved = job.state == DROVER__V1__JOB_STATE__JOB_DONE;
        job.runs_on = moved ? j->to : j->from;
        job.phase = (char *)(moved ? "done" : "aborted");
        snprintf(text, sizeof(text),
                 moved          ? "%s runs on kvm2 (moved)"
                 : j->cancelled ? "%s is safe on kvm1: cancelled by oncall"
                                : "%s is safe on kvm1: no route to host",
                 j->guest);
        job.text = text;
        job.todo = (char *)(moved || j->cancelled ? "" : "check the network between kvm1 and kvm2");
        result.total = 3100;
        result.downtime = 52;
        result.handover = 9;
        result.pause = 61;
        result.bytes = 312 * MIB;
        job.result = moved ? &result : NULL;
    }
    use(arg, &job);
    return over;
}

struct answer {
    Drover__V1__Job_Closure reply;
    void *call;
};

static void answer(void *arg, const Drover__V1__Job *job)
{
    struct answer *a = arg;
    a->reply(job, a->call);
}

static void get_job(Drover__V1__Coordinator_Service *service, const Drover__V1__GetJobRequest *request,
                    Drover__V1__Job_Closure reply, void *call)
{
    (void)service;
    struct job *j = find(request->id);
    if (!j)
        fail_unknown(call, request->id);
    else
        with_job(j, answer, &(struct answer){reply, call});
}

static void send_item(void *arg, const Drover__V1__Job *job)
{
    struct job *j = arg;
    rpc_call_item(j->call, &job->base);
}

static void step(void *arg)
{
    struct job *j = arg;
    if (!j->call)
        return;
    if (with_job(j, send_item, j)) {
        rpc_call_end(j->call);
        j->call = NULL;
    } else {
        loop_timer_start(loop, STEP_MS, step, j);
    }
}

static void gone(void *arg)
{
    struct job *j = arg;
    struct error err;
    error_set(&err, STATUS_CANCELLED, "cancelled");
    struct rpc_call *call = j->call;
    j->call = NULL;
    rpc_call_fail(call, &err);
}

static void watch_job(Drover__V1__Coordinator_Service *service, const Drover__V1__WatchJobRequest *request,
                      Drover__V1__Job_Closure reply, void *call)
{
    (void)service;
    (void)reply;
    struct job *j = find(request->id);
    if (request->id == ILL_PLAN) {
        watch_ill(call);
        return;
    }
    if (!j) {
        fail_unknown(call, request->id);
        return;
    }
    if (!j->watched)
        j->began = clock_monotonic_ms();
    j->watched = true;
    j->call = call;
    rpc_call_on_cancel(call, gone, j);
    step(j);
}

static void cancel_job(Drover__V1__Coordinator_Service *service, const Drover__V1__CancelJobRequest *request,
                       Drover__V1__CancelJobReply_Closure reply, void *call)
{
    (void)service;
    struct job *j = find(request->id);
    if (!j) {
        fail_unknown(call, request->id);
        return;
    }
    j->cancelled = true;
    printf("cancel %" PRIu64 "\n", j->id);
    fflush(stdout);
    Drover__V1__CancelJobReply message = DROVER__V1__CANCEL_JOB_REPLY__INIT;
    message.text = (char *)"the transfer is stopped and the guest stays on kvm1";
    reply(&message, call);
}

static void resolve_job(Drover__V1__Coordinator_Service *service,
                        const Drover__V1__ResolveJobRequest *request,
                        Drover__V1__ResolveJobReply_Closure reply, void *call)
{
    (void)service;
    if (!find(request->id)) {
        fail_unknown(call, request->id);
        return;
    }
    Drover__V1__ResolveJobReply message = DROVER__V1__RESOLVE_JOB_REPLY__INIT;
    message.text = (char *)"kvm1 is asked to give web1 up, and kvm2 to run it";
    reply(&message, call);
}

static void free_guest(Drover__V1__Coordinator_Service *service, const Drover__V1__FreeGuestRequest *request,
                       Drover__V1__FreeGuestReply_Closure reply, void *call)
{
    (void)service;
    _cleanup_free_ char *text = xasprintf("%s holds nothing for %s any more", request->host, request->guest);
    Drover__V1__FreeGuestReply message = DROVER__V1__FREE_GUEST_REPLY__INIT;
    message.text = text;
    reply(&message, call);
}

static void list_fences(Drover__V1__Coordinator_Service *service,
                        const Drover__V1__ListFencesRequest *request,
                        Drover__V1__ListFencesReply_Closure reply, void *call)
{
    (void)service;
    (void)request;
    Drover__V1__Closure c = DROVER__V1__CLOSURE__INIT, *list[] = {&c};
    c.source = (char *)"kvm1";
    c.guest_name = (char *)"web1";
    c.destination = (char *)"kvm2";
    c.node = (char *)"export1";
    c.target = (char *)"iqn.2026-01.lab:web1";
    c.holds = true;
    Drover__V1__ListFencesReply message = DROVER__V1__LIST_FENCES_REPLY__INIT;
    message.fences = list;
    message.n_fences = 1;
    reply(&message, call);
}

static void release_fence(Drover__V1__Coordinator_Service *service,
                          const Drover__V1__ReleaseFenceRequest *request,
                          Drover__V1__ReleaseFenceReply_Closure reply, void *call)
{
    (void)service;
    if (!request->source_off) {
        struct error err;
        error_set(&err, STATUS_FAILED_PRECONDITION, "whether a copy of web1 is left on %s is not known",
                  request->host);
        rpc_call_fail(call, &err);
        return;
    }
    Drover__V1__ReleaseFenceReply message = DROVER__V1__RELEASE_FENCE_REPLY__INIT;
    message.text = (char *)"1 target is open to kvm1 again";
    reply(&message, call);
}

/* kvm1 is ready; kvm2 is not. */
static void forecast_move(Drover__V1__Coordinator_Service *service,
                          const Drover__V1__MigrateGuestRequest *request, Drover__V1__Forecast_Closure reply,
                          void *call)
{
    (void)service;
    Drover__V1__Forecast forecast = DROVER__V1__FORECAST__INIT;
    forecast.way = (char *)"pause";
    forecast.confidence = 0.9;
    forecast.time = 5800;
    forecast.pause = 2300;
    forecast.allowed = request->policy && request->policy->max_pause >= forecast.pause;
    forecast.bytes = UINT64_C(446) << 20;
    forecast.why = (char *)"dirties 210 MiB within 300 ms, the link carries 30 MiB in that time";
    forecast.bandwidth = UINT64_C(94) << 20;
    forecast.bandwidth_source = (char *)"measured";
    forecast.bandwidth_age = 3000;
    forecast.samples = 2;
    forecast.samples_age = 61000;
    reply(&forecast, call);
}

static void doctor(Drover__V1__Coordinator_Service *service, const Drover__V1__DoctorRequest *request,
                   Drover__V1__DoctorReply_Closure reply, void *call)
{
    (void)service;
    Drover__V1__Finding finding = DROVER__V1__FINDING__INIT, *findings[] = {&finding};
    finding.id = (char *)"libvirt-listening";
    finding.severity = DROVER__V1__SEVERITY__BLOCK;
    finding.subject = (char *)"host kvm2";
    finding.seen = (char *)"no TLS";
    finding.expected = (char *)"a listening TLS port";
    finding.todo = (char *)"listen_tls = 1";
    Drover__V1__HostReadiness good = DROVER__V1__HOST_READINESS__INIT, bad = good, *hosts[] = {&good, &bad};
    good.host = (char *)"kvm1";
    good.ready = true;
    bad.host = (char *)"kvm2";
    bad.findings = findings;
    bad.n_findings = 1;
    Drover__V1__DoctorReply message = DROVER__V1__DOCTOR_REPLY__INIT;
    message.hosts = streq(request->host, "kvm2") ? hosts + 1 : hosts;
    message.n_hosts = *request->host ? 1 : 2;
    reply(&message, call);
}

static void collect(void *arg, const Drover__V1__Job *job)
{
    Drover__V1__ListJobsReply *r = arg;
    uint8_t *bytes = xcalloc(1, drover__v1__job__get_packed_size(job) + 1);
    size_t size = drover__v1__job__pack(job, bytes);
    r->jobs = xrealloc(r->jobs, r->n_jobs + 1, sizeof(*r->jobs));
    r->jobs[r->n_jobs++] = drover__v1__job__unpack(NULL, size, bytes);
    free(bytes);
}

static void list_jobs(Drover__V1__Coordinator_Service *service, const Drover__V1__ListJobsRequest *request,
                      Drover__V1__ListJobsReply_Closure reply, void *call)
{
    (void)service;
    Drover__V1__ListJobsReply all = DROVER__V1__LIST_JOBS_REPLY__INIT;
    Drover__V1__ListJobsReply some = DROVER__V1__LIST_JOBS_REPLY__INIT;
    for (size_t i = n_jobs; i-- > 0;)
        with_job(&jobs[i], collect, &all);
    some.jobs = xcalloc(all.n_jobs, sizeof(*some.jobs));
    for (size_t i = 0; i < all.n_jobs; i++)
        if ((all.jobs[i]->ended != 0) == request->ended)
            some.jobs[some.n_jobs++] = all.jobs[i];
    reply(&some, call);
    for (size_t i = 0; i < all.n_jobs; i++)
        drover__v1__job__free_unpacked(all.jobs[i], NULL);
    free(all.jobs);
    free(some.jobs);
}

static void migrate_guest(Drover__V1__Coordinator_Service *service,
                          const Drover__V1__MigrateGuestRequest *request,
                          Drover__V1__MigrateGuestReply_Closure reply, void *call)
{
    (void)service;
    struct error err;
    if (named(request->guest, "gone") || n_jobs == MAX_JOBS) {
        error_set(&err, STATUS_NOT_FOUND, "there is no guest %s", request->guest);
        rpc_call_fail(call, &err);
        return;
    }
    Drover__V1__Finding finding = DROVER__V1__FINDING__INIT, note = DROVER__V1__FINDING__INIT,
                        *findings[] = {&note, &finding};
    finding.id = (char *)"memory-free";
    finding.severity = DROVER__V1__SEVERITY__BLOCK;
    finding.subject = (char *)"host kvm2";
    finding.seen = (char *)"1.2 GiB free";
    finding.expected = (char *)"at least 4 GiB";
    finding.todo = (char *)"free memory on kvm2, or choose another host";
    note.id = (char *)"cache-mode";
    note.severity = DROVER__V1__SEVERITY__WARN;
    note.subject = (char *)"disk vda";
    note.seen = (char *)"cache=writeback";
    if (request->n_accept && streq(request->accept[0], finding.id)) {
        finding.severity = DROVER__V1__SEVERITY__WARN;
        finding.accepted = true;
    }
    Drover__V1__MigrateGuestReply message = DROVER__V1__MIGRATE_GUEST_REPLY__INIT;
    message.guest = request->guest;
    message.source = (char *)"kvm1";
    message.destination = *request->to ? request->to : (char *)"kvm2";
    message.why = (char *)(*request->to ? "" : "most free memory");
    message.mode = request->mode == DROVER__V1__MODE__MODE_AUTO ? DROVER__V1__MODE__MODE_LIVE : request->mode;
    message.findings = findings;
    message.n_findings = named(request->guest, "blocked") ? 2 : 0;
    if ((!message.n_findings || finding.accepted) && !request->dry_run) {
        struct job *j = &jobs[n_jobs++];
        *j = (struct job){.id = n_jobs, .length = named(request->guest, "slow") ? 20000 : 1500};
        snprintf(j->guest, sizeof(j->guest), "%s", request->guest);
        snprintf(j->from, sizeof(j->from), "kvm1");
        snprintf(j->to, sizeof(j->to), "%s", message.destination);
        message.job = j->id;
    }
    reply(&message, call);
}

static void on_signal(void *arg, int signo)
{
    (void)arg;
    (void)signo;
    loop_stop(loop, 0);
}

int main(int argc, char **argv)
{
    struct error err;
    struct rpc_server *server = NULL;
    Drover__V1__Coordinator_Service service = DROVER__V1__COORDINATOR__INIT();
    if (argc != 2 || loop_new(&loop, &err) < 0)
        return 2;
    loop_signal(loop, SIGTERM, on_signal, NULL, &err);
    struct rpc_server_config config = {.loop = loop};
    _cleanup_free_ char *url = xasprintf("ipc://%s", argv[1]);
    if (rpc_server_new(&config, &server, &err) < 0)
        return 2;
    rpc_server_add(server, &service.base, RPC_OPERATOR, RPC_ON_LOOP);
    if (rpc_server_listen(server, url, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 2;
    }
    puts("ready");
    fflush(stdout);
    loop_run(loop);
    rpc_server_free(server);
    loop_free(loop);
    return 0;
}
