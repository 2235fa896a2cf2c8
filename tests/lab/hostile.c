/* tests/lab/run hostile [SCALE]: strangers throw bad connections at a server with TLS, plain TCP and a local socket, while
 * good clients go on calling it. Each kind of connection must be ended by the server, or do no harm, and afterwards the
 * server must take new clients and have no more memory than before. Loopback only. The last line:
 *     hostile connections=N serving=yes rss_growth_mib=... */
#include "tests/lab/hostile_attack.h"

#include "common/base/memory.h"
#include "common/rpc/rpc.h"
#include "tests/unit/rpc_certs.h"
#include "tests/unit/rpc_echo.pb-c.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define RSS_GROWTH_MAX_MIB 64 /* of malloc holding on to what it had: 2 kB lost per connection would show */

static char dir[] = "/tmp/hostile.XXXXXX", ca_file[64], server_file[64], client_file[64], socket_file[64];

static void quick_say(Drover__Test__Quick_Service *s, const Drover__Test__EchoRequest *request,
                      Drover__Test__EchoReply_Closure reply, void *call)
{
    (void)s;
    Drover__Test__EchoReply r = DROVER__TEST__ECHO_REPLY__INIT;
    r.number = request->number;
    reply(&r, call);
}

static Drover__Test__Quick_Service quick = DROVER__TEST__QUICK__INIT(quick_);

static void on_refused(void *arg, const struct rpc_peer *peer, const struct error *why)
{
    (void)peer;
    (void)why;
    ++*(unsigned *)arg;
}

static void on_signal(void *arg, int signo)
{
    (void)signo;
    loop_stop(arg, 0);
}

/* The server's process: tells its URLs, then serves until SIGTERM, and ends in good order, so that leaks would show. */
static void serve(int out)
{
    struct loop *loop = NULL;
    struct rpc_tls *tls = NULL;
    struct rpc_server *server = NULL;
    struct error err;
    unsigned refused = 0;
    char text[400], ipc[128];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(ipc, sizeof(ipc), "ipc://%s", socket_file);
    if (loop_new(&loop, &err) < 0 || loop_signal(loop, SIGTERM, on_signal, loop, &err) < 0 ||
        rpc_tls_new(ca_file, server_file, &tls, &err) < 0) {
        fprintf(stderr, "hostile: %s\n", err.text);
        _exit(1);
    }
    struct rpc_server_config config = {.loop = loop, .tls = tls, .on_refused = on_refused, .arg = &refused};
    rpc_server_new(&config, &server, &err);
    rpc_server_add(server, &quick.base, RPC_ANYBODY, RPC_INLINE);
    if (rpc_server_listen(server, "tls+tcp://127.0.0.1:0", &err) < 0 ||
        rpc_server_listen(server, "tcp://127.0.0.1:0", &err) < 0 ||
        rpc_server_listen(server, ipc, &err) < 0) {
        fprintf(stderr, "hostile: %s\n", err.text);
        _exit(1);
    }
    int n = snprintf(text, sizeof(text), "%s %s %s", rpc_server_url(server, 0), rpc_server_url(server, 1),
                     rpc_server_url(server, 2));
    if (write(out, text, (size_t)n + 1) != n + 1)
        _exit(1);
    loop_run(loop);
    rpc_server_free(server);
    rpc_tls_free(tls);
    loop_free(loop);
    exit(0);
}

static double rss_mib(pid_t pid)
{
    char path[64], line[256];
    double kib = 0;
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    _cleanup_fclose_ FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof(line), f))
        if (sscanf(line, "VmRSS: %lf", &kib) == 1)
            break;
    return kib / 1024;
}

/* Good clients, one for each URL: they were there before, and must not notice anything. */
struct good {
    struct rpc_client *client;
    const char *url;
    pthread_t thread;
    atomic_bool stop;
    unsigned calls, failures;
    struct error last;
};

static int call_once(struct rpc_client *client, int64_t timeout_ms, struct error *err)
{
    Drover__Test__EchoRequest request = DROVER__TEST__ECHO_REQUEST__INIT;
    ProtobufCMessage *reply = NULL;
    struct rpc_stub stub =
        rpc_stub(client, &drover__test__quick__descriptor, .timeout_ms = timeout_ms, .wait = true);
    int r = rpc_call_sync(&stub, "Say", &request.base, &reply, err);
    if (r == 0)
        protobuf_c_message_free_unpacked(reply, NULL);
    return r;
}

static void *keep_calling(void *arg)
{
    struct good *g = arg;
    while (!g->stop) {
        g->calls++;
        if (call_once(g->client, 10000, &g->last) < 0) {
            g->failures++;
            fprintf(stderr, "hostile: a good call to %s failed: %s\n", g->url, g->last.text);
        }
        struct timespec pause = {0, 20 * 1000 * 1000};
        clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL); /* paces the good calls; nothing waits for it */
    }
    return NULL;
}

static struct rpc_client *connect_to(const char *url, struct rpc_tls *tls)
{
    struct rpc_client_config config = {.url = url,
                                       .tls = tls,
                                       .peer_name = strncmp(url, "tls", 3) == 0 ? "main" : NULL,
                                       .backoff_min_ms = 50,
                                       .backoff_max_ms = 200};
    struct rpc_client *client = NULL;
    struct error err;
    if (rpc_client_new(&config, &client, &err) < 0) {
        fprintf(stderr, "hostile: %s\n", err.text);
        exit(1);
    }
    return client;
}

static bool new_client_served(const char *url, struct rpc_tls *tls)
{
    struct error err;
    struct rpc_client *client = connect_to(url, tls);
    bool ok = call_once(client, 15000, &err) == 0;
    if (!ok)
        fprintf(stderr, "hostile: a new client of %s is not served: %s\n", url, err.text);
    rpc_client_free(client);
    return ok;
}

static void make_certificates(void)
{
    if (!mkdtemp(dir))
        exit(1);
    snprintf(ca_file, sizeof(ca_file), "%s/ca.pem", dir);
    snprintf(server_file, sizeof(server_file), "%s/server.pem", dir);
    snprintf(client_file, sizeof(client_file), "%s/client.pem", dir);
    snprintf(socket_file, sizeof(socket_file), "%s/socket", dir);
    struct authority *ca = authority_new("hostile");
    authority_write(ca, ca_file);
    certificate_write(ca, &(struct cert_spec){.uri = "drover://coordinator/main", .eku = "serverAuth"},
                      server_file);
    certificate_write(ca, &(struct cert_spec){.uri = "drover://operator/me", .eku = "clientAuth"},
                      client_file);
    authority_free(ca);
}

int main(int argc, char **argv)
{
    double scale = argc > 1 ? atof(argv[1]) : 1;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max < 65536 ? files.rlim_max : 65536;
    setrlimit(RLIMIT_NOFILE, &files);
    signal(SIGPIPE, SIG_IGN);
    make_certificates();
    int pipe_fds[2];
    char urls[3][128], text[400];
    if (scale <= 0 || pipe(pipe_fds) != 0)
        return 2;
    pid_t server = fork();
    if (server == 0)
        serve(pipe_fds[1]);
    close(pipe_fds[1]);
    if (read(pipe_fds[0], text, sizeof(text)) <= 0 ||
        sscanf(text, "%127s %127s %127s", urls[0], urls[1], urls[2]) != 3)
        return 1;
    struct target target = {atoi(strrchr(urls[0], ':') + 1), atoi(strrchr(urls[1], ':') + 1), socket_file};

    struct rpc_tls *tls = NULL;
    struct error err;
    if (rpc_tls_new(ca_file, client_file, &tls, &err) < 0) {
        fprintf(stderr, "hostile: %s\n", err.text);
        return 1;
    }
    static struct good good[3];
    for (unsigned i = 0; i < 3; i++) {
        good[i].url = urls[i];
        good[i].client = connect_to(urls[i], tls);
        if (call_once(good[i].client, 10000, &err) < 0 ||
            pthread_create(&good[i].thread, NULL, keep_calling, &good[i]) != 0)
            return 1;
    }
    /* A first round of everything, so that what the server allocates once is not counted; not for a quick look. */
    bool serving = true;
    unsigned connections = 0;
    for (unsigned i = 0; i < attack_count && scale >= 0.5; i++)
        attack_run(&attacks[i], &target, attacks[i].count / 20 + 1);
    double before = rss_mib(server);
    printf("%-44s %11s %8s %9s %8s %8s\n", "kind", "connections", "seconds", "not ended", "new ones",
           "rss MiB");
    for (unsigned i = 0; i < attack_count; i++) {
        unsigned count = (unsigned)(attacks[i].count * scale + 1);
        int64_t begun = clock_monotonic_ms();
        unsigned held = attack_run(&attacks[i], &target, count);
        bool taken = true;
        for (unsigned k = 0; k < 3; k++)
            taken = new_client_served(urls[k], tls) && taken;
        connections += count;
        serving = serving && taken && held == 0;
        printf("%-44s %11u %8.1f %9u %8s %8.1f\n", attacks[i].name, count,
               (double)(clock_monotonic_ms() - begun) / 1e3, held, taken ? "served" : "REFUSED",
               rss_mib(server));
        fflush(stdout);
    }
    double growth = rss_mib(server) - before;
    for (unsigned i = 0; i < 3; i++) {
        good[i].stop = true;
        pthread_join(good[i].thread, NULL);
        rpc_client_free(good[i].client);
        printf("good client on %s: %u calls, %u failed\n", urls[i], good[i].calls, good[i].failures);
        serving = serving && good[i].failures == 0;
    }
    int status = 0;
    kill(server, SIGTERM);
    if (waitpid(server, &status, 0) != server || status != 0) {
        fprintf(stderr, "hostile: the server ended with status %x\n", status);
        serving = false;
    }
    rpc_tls_free(tls);
    unlink(ca_file);
    unlink(server_file);
    unlink(client_file);
    unlink(socket_file);
    rmdir(dir);
    printf("hostile connections=%u serving=%s rss_growth_mib=%.1f\n", connections, serving ? "yes" : "no",
           growth);
    return serving && growth <= RSS_GROWTH_MAX_MIB ? 0 : 1;
}
