/* The program: writes a real coordinator's configuration, says "ready", and serves until it is told to stop. */
#include "tests/sim/agents/agents.h"
#include "tests/sim/agents/made.h"

#include "common/base/memory.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

struct made_world world;

static unsigned hosts = 100, guests = 20, transfer_ms = 2000;

static int start(struct made_agent *a, struct loop *loop, struct error *err)
{
    const struct rpc_server_config config = {.loop = loop, .limits = {.connections = 16}};
    drover__v1__agent__init(&a->service, NULL);
    made_serve_watch(&a->service);
    made_serve_moves(&a->service);
    made_serve_proofs(&a->service);
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
    world = (struct made_world){.loop = loop,
                                .agents = agents,
                                .guests = xcalloc((size_t)hosts * guests, sizeof(*world.guests)),
                                .n_agents = hosts,
                                .per_agent = guests,
                                .transfer_ms = transfer_ms};
    for (unsigned g = 0; g < hosts * guests; g++)
        world.guests[g] = (struct made_guest){.home = g / guests, .number = g % guests, .at = g / guests};
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
    made_beat(NULL);
    puts("ready");
    fflush(stdout);
    code = loop_run(loop) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
out:
    loop_timer_cancel(world.beat);
    for (unsigned i = 0; i < hosts; i++)
        rpc_server_free(agents[i].server);
    free(agents);
    free(world.guests);
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
                                            {"transfer-ms", required_argument, NULL, 't'},
                                            {"dir", required_argument, NULL, 'd'},
                                            {0}};
    const char *dir = NULL;
    bool good = true;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case 'n': good &= number(optarg, 10000, &hosts); break;
        case 'g': good &= number(optarg, 1000, &guests); break;
        case 't': good &= number(optarg, 1000000, &transfer_ms); break;
        case 'd': dir = optarg; break;
        default: good = false;
        }
    }
    if (!good || !dir || optind < argc) {
        fputs("usage: made-agents --dir DIR [--hosts N] [--guests N] [--transfer-ms N]\n"
              "Serves N agents on loopback, each with N guests; DIR gets a coordinator.yaml that names them. "
              "A transfer of a\n"
              "running guest takes N ms.\n",
              stderr);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    more_descriptors();
    return serve(dir);
}
