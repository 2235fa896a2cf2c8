/* A coordinator with four hosts that can be emptied, for tests of a rolling maintenance: cli_fake_fleet SOCKET. Files beside
 * the socket say what the hosts are like at this moment:
 *   HOST.boot      its boot id is what stands in it      HOST.down     its agent has no session
 *   HOST.blocked   a finding of the doctor blocks        HOST.silent   the doctor can't be asked of it
 *   HOST.stuck     a dry run says that a guest would stay
 *   HOST.stays     a guest stays when it is emptied      HOST.crowded  it can't be emptied while another is in maintenance
 *   HOST.ill       a guest that has left it is not well
 *   HOST.lost      the coordinator is lost when it is asked of it
 *   HOST.slow      emptying it ends when the file is gone
 *   hv3.bare       a consolidation empties no host       hv3.stayed    a guest has stayed there
 *   hv3.cancelled  a consolidation was cancelled
 *   HOST.unheard   the answer to the order to fill it is lost, and all is done when it is asked again
 * Each has two guests. It prints "ready" when it listens. */
#include "common/base/cleanup.h"
#include "common/base/loop.h"
#include "common/base/memory.h"
#include "common/rpc/rpc.h"
#include "proto/coordinator.pb-c.h"

#include <signal.h>
#include <string.h>

enum { HOSTS = 4, STEP_MS = 20 };

static struct host {
    const char *name;
    bool maintenance;
    uint32_t guests, away;
    uint64_t job; /* open */
} hosts[HOSTS] = {
    {"hv1", false, 2, 0, 0}, {"hv2", false, 2, 0, 0}, {"hv3", false, 2, 0, 0}, {"hv4", false, 2, 0, 0}};

static struct loop *loop;
static char *dir;
static struct job {
    struct host *host;
    const char *kind;
    struct rpc_call *call;
    bool ended, partly;
} jobs[256];
static uint64_t n_jobs;

static char *file_of(const struct host *h, const char *what)
{
    return xasprintf("%s/%s.%s", dir, h->name, what);
}

static bool is(const struct host *h, const char *what)
{
    _cleanup_free_ char *path = file_of(h, what);
    return access(path, F_OK) == 0;
}

static struct host *find(const char *name, void *call)
{
    for (size_t i = 0; i < HOSTS; i++)
        if (streq(hosts[i].name, name))
            return &hosts[i];
    struct error err;
    error_set(&err, STATUS_NOT_FOUND, "there is no host '%s'; near: hv1", name);
    rpc_call_fail(call, &err);
    return NULL;
}

static void list_hosts(Drover__V1__Coordinator_Service *service, const Drover__V1__ListHostsRequest *request,
                       Drover__V1__ListHostsReply_Closure reply, void *call)
{
    (void)service;
    const struct host *h = find(request->host, call);
    if (!h)
        return;
    char boot[64] = "first-boot";
    _cleanup_free_ char *path = file_of(h, "boot");
    _cleanup_fclose_ FILE *f = fopen(path, "re");
    if (f && fgets(boot, sizeof(boot), f))
        boot[strcspn(boot, "\n")] = 0;
    Drover__V1__HostReport report = DROVER__V1__HOST_REPORT__INIT;
    report.hypervisor = report.libvirt_up = true;
    report.boot_id = boot;
    report.instance = boot;
    Drover__V1__HostStatus status = DROVER__V1__HOST_STATUS__INIT, *list[] = {&status};
    status.name = (char *)h->name;
    status.site = (char *)"tokyo";
    status.agent = (char *)"tls+tcp://10.0.0.11:7460";
    status.up = status.synced = !is(h, "down");
    status.why = (char *)(status.up ? "" : "connection refused");
    status.report = &report;
    status.maintenance = h->maintenance;
    status.guests_total = status.guests_running = h->guests;
    Drover__V1__ListHostsReply message = DROVER__V1__LIST_HOSTS_REPLY__INIT;
    message.hosts = list;
    message.n_hosts = 1;
    reply(&message, call);
}

/* ---- jobs -------------------------------------------------------------------------------------------------------- */

static void fill(const struct job *j, Drover__V1__Job *job, Drover__V1__PlanStep *step)
{
    static Drover__V1__PlanStep *steps[1];
    static Drover__V1__JobEntry entry = DROVER__V1__JOB_ENTRY__INIT, *log[] = {&entry};
    static char text[100];
    bool evacuate = streq(j->kind, "evacuate");
    drover__v1__job__init(job);
    drover__v1__plan_step__init(step);
    job->id = (uint64_t)(j - jobs) + 1;
    job->kind = (char *)j->kind;
    job->source = (char *)(evacuate ? j->host->name : "");
    job->destination = (char *)(evacuate ? "" : j->host->name);
    job->state = !j->ended   ? DROVER__V1__JOB_STATE__JOB_RUNNING
                 : j->partly ? DROVER__V1__JOB_STATE__JOB_PARTLY
                             : DROVER__V1__JOB_STATE__JOB_DONE;
    snprintf(text, sizeof(text), "%s is %s", j->host->name,
             j->partly  ? "not empty"
             : evacuate ? "empty: libvirt there has no guest"
                        : "filled");
    job->text = text;
    entry.text = (char *)"web1 moves";
    job->log = log;
    job->n_log = 1;
    step->guest = (char *)"web1";
    step->from = (char *)j->host->name;
    step->state = DROVER__V1__STEP_STATE__STEP_FAILED;
    step->why = (char *)"a host device";
    step->todo = (char *)"detach it";
    steps[0] = step;
    job->steps = steps;
    job->n_steps = j->partly;
    if (j->ended && evacuate && is(j->host, "ill")) {
        step->state = DROVER__V1__STEP_STATE__STEP_DONE;
        step->care = DROVER__V1__STEP_CARE__CARE_ILL;
        step->to = (char *)"hv4";
        step->why = (char *)"disk vda: no space";
        job->state = DROVER__V1__JOB_STATE__JOB_PARTLY;
        job->n_steps = 1;
    }
}

static void end_job(struct job *j)
{
    struct host *h = j->host;
    bool evacuate = streq(j->kind, "evacuate");
    j->ended = true;
    j->partly = evacuate && is(h, "stays");
    h->job = 0;
    if (evacuate) {
        h->away += h->guests - j->partly;
        h->guests = j->partly;
    } else {
        h->guests += h->away;
        h->away = 0;
    }
}

static void step(void *arg)
{
    struct job *j = arg;
    Drover__V1__Job job;
    Drover__V1__PlanStep first;
    if (!j->call)
        return;
    if (!j->ended && !is(j->host, "slow"))
        end_job(j);
    fill(j, &job, &first);
    rpc_call_item(j->call, &job.base);
    if (j->ended) {
        rpc_call_end(j->call);
        j->call = NULL;
    } else {
        loop_timer_start(loop, STEP_MS, step, j);
    }
}

static void gone(void *arg)
{
    struct job *j = arg;
    const struct error err = {.code = STATUS_CANCELLED, .text = "cancelled"};
    struct rpc_call *call = j->call;
    j->call = NULL;
    rpc_call_fail(call, &err);
}

static void watch_job(Drover__V1__Coordinator_Service *service, const Drover__V1__WatchJobRequest *request,
                      Drover__V1__Job_Closure reply, void *call)
{
    (void)service;
    (void)reply;
    struct job *j = &jobs[request->id - 1];
    j->call = call;
    rpc_call_on_cancel(call, gone, j);
    step(j);
}

static void list_jobs(Drover__V1__Coordinator_Service *service, const Drover__V1__ListJobsRequest *request,
                      Drover__V1__ListJobsReply_Closure reply, void *call)
{
    (void)service;
    (void)request;
    Drover__V1__Job all[HOSTS], *list[HOSTS];
    Drover__V1__PlanStep first;
    Drover__V1__ListJobsReply message = DROVER__V1__LIST_JOBS_REPLY__INIT;
    for (size_t i = 0; i < HOSTS; i++)
        if (hosts[i].job) {
            fill(&jobs[hosts[i].job - 1], &all[message.n_jobs], &first);
            list[message.n_jobs] = &all[message.n_jobs];
            message.n_jobs++;
        }
    message.jobs = list;
    reply(&message, call);
}

static bool others_are_out(const struct host *h)
{
    for (size_t i = 0; i < HOSTS; i++)
        if (&hosts[i] != h && hosts[i].maintenance)
            return true;
    return false;
}

static void make_plan(Drover__V1__Coordinator_Service *service, const Drover__V1__PlanRequest *request,
                      Drover__V1__Job_Closure reply, void *call)
{
    (void)service;
    Drover__V1__Job job;
    Drover__V1__PlanStep first;
    if (streq(request->kind, "consolidate")) {
        drover__v1__job__init(&job);
        job.id = 200;
        job.kind = request->kind;
        job.state = DROVER__V1__JOB_STATE__JOB_DONE;
        job.text = (char *)"2 of 2 guests moved; without a guest now, to be powered off if you like: hv3,hv4";
        job.emptied = (char *)(is(&hosts[2], "bare") ? "" : "hv3,hv4");
        for (size_t i = 2; i < HOSTS; i++)
            hosts[i].guests = 0;
        if (is(&hosts[2], "cancelled"))
            job.state = DROVER__V1__JOB_STATE__JOB_CANCELLED;
        Drover__V1__PlanStep stayed = DROVER__V1__PLAN_STEP__INIT, *steps[] = {&stayed};
        stayed.from = (char *)"hv3";
        stayed.state = DROVER__V1__STEP_STATE__STEP_FAILED;
        job.steps = steps;
        job.n_steps = is(&hosts[2], "stayed");
        reply(&job, call);
        return;
    }
    struct host *h = find(request->host, call);
    if (!h)
        return;
    struct job made = {.host = h, .kind = streq(request->kind, "return") ? "return" : "evacuate"};
    if (request->dry_run && is(h, "lost")) {
        const struct error err = {.code = STATUS_UNAVAILABLE, .text = "connection reset"};
        rpc_call_fail(call, &err);
        return;
    }
    if (request->dry_run) {
        made.partly = is(h, "stuck") || (is(h, "crowded") && others_are_out(h));
        fill(&made, &job, &first);
        job.id = 0;
        char *remarks[] = {(char *)"job 7 is under way"};
        job.remarks = remarks;
        job.n_remarks = is(h, "leaving");
        reply(&job, call);
        return;
    }
    if (streq(made.kind, "return") && !h->away && !h->maintenance) {
        const struct error err = {.code = STATUS_FAILED_PRECONDITION, .text = "no evacuation is known"};
        rpc_call_fail(call, &err);
        return;
    }
    h->maintenance = streq(made.kind, "evacuate");
    jobs[n_jobs++] = made;
    h->job = n_jobs;
    if (streq(made.kind, "return") && is(h, "unheard")) {
        const struct error err = {.code = STATUS_UNAVAILABLE, .text = "connection reset"};
        end_job(&jobs[n_jobs - 1]);
        rpc_call_fail(call, &err);
        return;
    }
    fill(&jobs[n_jobs - 1], &job, &first);
    reply(&job, call);
}

static void set_maintenance(Drover__V1__Coordinator_Service *service,
                            const Drover__V1__SetMaintenanceRequest *request,
                            Drover__V1__SetMaintenanceReply_Closure reply, void *call)
{
    (void)service;
    struct host *h = find(request->host, call);
    if (!h)
        return;
    Drover__V1__SetMaintenanceReply message = DROVER__V1__SET_MAINTENANCE_REPLY__INIT;
    h->maintenance = request->on;
    message.guests_away = h->away;
    reply(&message, call);
}

static void doctor(Drover__V1__Coordinator_Service *service, const Drover__V1__DoctorRequest *request,
                   Drover__V1__DoctorReply_Closure reply, void *call)
{
    (void)service;
    const struct host *h = find(request->host, call);
    if (!h)
        return;
    if (is(h, "silent")) {
        const struct error err = {.code = STATUS_DEADLINE_EXCEEDED, .text = "no answer in 60 s"};
        rpc_call_fail(call, &err);
        return;
    }
    Drover__V1__Finding finding = DROVER__V1__FINDING__INIT, *findings[] = {&finding};
    finding.id = (char *)"mount-hangs";
    finding.severity = DROVER__V1__SEVERITY__BLOCK;
    finding.seen = (char *)"/srv/nfs does not answer";
    finding.todo = (char *)"mend it";
    Drover__V1__HostReadiness readiness = DROVER__V1__HOST_READINESS__INIT, *list[] = {&readiness};
    readiness.host = (char *)h->name;
    readiness.ready = !is(h, "blocked");
    readiness.findings = findings;
    readiness.n_findings = !readiness.ready;
    Drover__V1__DoctorReply message = DROVER__V1__DOCTOR_REPLY__INIT;
    message.hosts = list;
    message.n_hosts = 1;
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
    Drover__V1__Coordinator_Service service = {
        .base = DROVER__V1__COORDINATOR__BASE_INIT,
        .list_hosts = list_hosts,
        .list_jobs = list_jobs,
        .watch_job = watch_job,
        .make_plan = make_plan,
        .set_maintenance = set_maintenance,
        .doctor = doctor,
    };
    if (argc != 2 || loop_new(&loop, &err) < 0)
        return 2;
    loop_signal(loop, SIGTERM, on_signal, NULL, &err);
    dir = xstrdup(argv[1]);
    *strrchr(dir, '/') = 0;
    const struct rpc_server_config config = {.loop = loop};
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
    free(dir);
    return 0;
}
