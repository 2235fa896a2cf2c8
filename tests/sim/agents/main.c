/* Thousands of agents in one process, for a real coordinator: each has its own port and service, and tells of a made-up host with
 * made-up guests. Writes the coordinator's configuration, says "ready", and serves until it is told to stop. */
#include "tests/sim/agents/made.h"

#include "common/base/loop.h"
#include "common/base/memory.h"
#include "common/rpc/rpc.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

struct made_agent {
    Drover__V1__Agent_Service service; /* first: handlers get its address */
    unsigned number;
    struct rpc_server *server;
};

struct watcher {
    struct rpc_call *call;
    const struct made_agent *agent;
    unsigned told; /* 0: nothing; 1: the host; then the guests */
};

static unsigned hosts = 100, guests = 20;

static void tell(void *arg);

/* 0, or why it was not taken. */
static int tell_next(struct watcher *w)
{
    Drover__V1__AgentEvent event = DROVER__V1__AGENT_EVENT__INIT;
    if (w->told > guests + 1) {
        event.synced = true;
        return rpc_call_item(w->call, &event.base);
    }
    if (w->told > guests) {
        event.measured = made_measured(w->agent->number, guests);
        int r = rpc_call_item(w->call, &event.base);
        drover__v1__measured__free_unpacked(event.measured, NULL);
        return r;
    }
    if (w->told == 0) {
        event.host = made_host(w->agent->number, rpc_server_url(w->agent->server, 0), guests);
        int r = rpc_call_item(w->call, &event.base);
        drover__v1__host_report__free_unpacked(event.host, NULL);
        return r;
    }
    event.guest = made_guest(w->agent->number, w->told - 1);
    int r = rpc_call_item(w->call, &event.base);
    drover__v1__guest__free_unpacked(event.guest, NULL);
    return r;
}

static void tell(void *arg)
{
    struct watcher *w = arg;
    while (w->told < guests + 3) {
        int r = tell_next(w);
        if (r == -(int)STATUS_RESOURCE_EXHAUSTED)
            rpc_call_on_ready(w->call, tell, w);
        if (r < 0)
            return;
        w->told++;
    }
}

static void on_cancel(void *arg)
{
    struct watcher *w = arg;
    struct rpc_call *call = w->call;
    free(w);
    rpc_call_end(call);
}

static void watch(Drover__V1__Agent_Service *service, const Drover__V1__WatchRequest *request,
                  Drover__V1__AgentEvent_Closure item, void *call)
{
    (void)request;
    (void)item;
    struct watcher *w = new0(struct watcher);
    *w = (struct watcher){.call = call, .agent = (struct made_agent *)service};
    rpc_call_on_cancel(call, on_cancel, w);
    tell(w);
}

static void get_host(Drover__V1__Agent_Service *service, const Drover__V1__GetHostRequest *request,
                     Drover__V1__HostReport_Closure reply, void *call)
{
    (void)request;
    const struct made_agent *a = (struct made_agent *)service;
    Drover__V1__HostReport *report = made_host(a->number, rpc_server_url(a->server, 0), guests);
    reply(report, call);
    drover__v1__host_report__free_unpacked(report, NULL);
}

static void get_guest(Drover__V1__Agent_Service *service, const Drover__V1__GetGuestRequest *request,
                      Drover__V1__GetGuestReply_Closure reply, void *call)
{
    const struct made_agent *a = (struct made_agent *)service;
    Drover__V1__GetGuestReply answer = DROVER__V1__GET_GUEST_REPLY__INIT;
    for (unsigned g = 0; g < guests && !answer.exists; g++) {
        answer.guest = made_guest(a->number, g);
        answer.exists = streq(answer.guest->uuid, request->guest);
        if (!answer.exists) {
            drover__v1__guest__free_unpacked(answer.guest, NULL);
            answer.guest = NULL;
        }
    }
    answer.xml = (char *)"<domain/>";
    reply(&answer, call);
    if (answer.guest)
        drover__v1__guest__free_unpacked(answer.guest, NULL);
}

static int start(struct made_agent *a, struct loop *loop, struct error *err)
{
    const struct rpc_server_config config = {.loop = loop, .limits = {.connections = 16}};
    drover__v1__agent__init(&a->service, NULL);
    a->service.watch = watch;
    a->service.get_host = get_host;
    a->service.get_guest = get_guest;
    int r = rpc_server_new(&config, &a->server, err);
    if (r < 0)
        return r;
    rpc_server_add(a->server, &a->service.base, RPC_ANYBODY, RPC_ON_LOOP);
    return rpc_server_listen(a->server, "tcp://127.0.0.1:0", err);
}

static int write_config(const struct made_agent *agents, const char *dir)
{
    _cleanup_free_ char *file = xasprintf("%s/coordinator.yaml", dir);
    FILE *f = fopen(file, "we");
    if (!f)
        return -errno;
    fprintf(f, "listen: [\"ipc://%s/coordinator.sock\"]\nstore: %s/coordinator.db\nhosts:\n", dir, dir);
    for (unsigned i = 0; i < hosts; i++)
        fprintf(f, "  - {name: kvm%04u, agent: \"%s\", site: %s}\n", i, rpc_server_url(agents[i].server, 0),
                made_site(i));
    return fclose(f) == 0 ? 0 : -errno;
}

static void on_signal(void *arg, int signo)
{
    (void)signo;
    loop_stop(arg, 0);
}

static void more_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int serve(const char *dir)
{
    struct loop *loop;
    struct error err = {0};
    if (loop_new(&loop, &err) < 0 || loop_signal(loop, SIGTERM, on_signal, loop, &err) < 0 ||
        loop_signal(loop, SIGINT, on_signal, loop, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return EXIT_FAILURE;
    }
    struct made_agent *agents = xcalloc(hosts, sizeof(agents[0]));
    int code = EXIT_FAILURE;
    for (unsigned i = 0; i < hosts; i++) {
        agents[i].number = i;
        if (start(&agents[i], loop, &err) < 0) {
            fprintf(stderr, "agent %u: %s\n", i, err.text);
            goto out;
        }
    }
    int r = write_config(agents, dir);
    if (r < 0) {
        fprintf(stderr, "%s/coordinator.yaml: %s\n", dir, strerror(-r));
        goto out;
    }
    puts("ready");
    fflush(stdout);
    code = loop_run(loop) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
out:
    for (unsigned i = 0; i < hosts; i++)
        rpc_server_free(agents[i].server);
    free(agents);
    loop_free(loop);
    return code;
}

static bool number(const char *text, unsigned max, unsigned *ret)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    if (!*text || *end || n == 0 || n > max)
        return false;
    *ret = (unsigned)n;
    return true;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"hosts", required_argument, NULL, 'n'},
                                            {"guests", required_argument, NULL, 'g'},
                                            {"dir", required_argument, NULL, 'd'},
                                            {0}};
    const char *dir = NULL;
    bool good = true;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case 'n': good &= number(optarg, 10000, &hosts); break;
        case 'g': good &= number(optarg, 1000, &guests); break;
        case 'd': dir = optarg; break;
        default: good = false;
        }
    }
    if (!good || !dir || optind < argc) {
        fputs(
            "usage: made-agents --dir DIR [--hosts N] [--guests N]\n"
            "Serves N agents on loopback, each with N guests; DIR gets a coordinator.yaml that names them.\n",
            stderr);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    more_descriptors();
    return serve(dir);
}
