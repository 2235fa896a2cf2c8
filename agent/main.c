/* drover-agent: puts the parts together, runs the loop, takes them apart. */
#include "agent/agent.h"
#include "agent/io/guests.h"
#include "agent/io/host_facts.h"
#include "agent/io/host_report.h"
#include "agent/io/libvirt.h"
#include "agent/io/measure.h"
#include "agent/io/migration.h"
#include "agent/samples.h"
#include "agent/service.h"
#include "agent/small.h"
#include "agent/transactions.h"
#include "common/base/log.h"
#include "common/base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <libxml/parser.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <uuid/uuid.h>

enum {
    EXIT_USAGE = 2,
    WORKERS = 8,
    TLS_CHECK_MS = 60000,
    SETTLED_MS = 10000, /* without a change of a guest or of libvirt */
    STOP_S = 10,        /* a libvirtd that hangs must not hold up the agent's end for longer */
};

struct program {
    struct agent agent;
    struct agent_config *config;
    struct service *service;
    struct loop_timer *tls_timer, *settled_timer;
    bool tls_bad;
};

static void on_settled(void *arg)
{
    struct program *p = arg;
    p->settled_timer = NULL;
    small_again();
}

static void settle(struct program *p)
{
    loop_timer_cancel(p->settled_timer);
    p->settled_timer = loop_timer_start(p->agent.loop, SETTLED_MS, on_settled, p);
}

/* ---- what is told to systemd and the log ---- */

static void on_host(void *arg, const Drover__V1__HostReport *report)
{
    struct program *p = arg;
    if (p->service)
        service_host_changed(p->service);
    if (!report->hypervisor)
        return;
    sd_notifyf(0, "STATUS=libvirt is %s; %zu guests", report->libvirt_up ? "up" : "down",
               guests_count(p->agent.guests));
}

static void on_libvirt(void *arg, const struct libvirt_event *event)
{
    struct program *p = arg;
    if (event->kind == LIBVIRT_UP) {
        log_info("libvirt at %s is up", p->config->libvirt);
        settle(p);
    } else if (event->kind == LIBVIRT_DOWN) {
        log_warn("%s; trying again until it answers", event->why->text);
    }
}

static void on_guest(void *arg, const Drover__V1__Guest *guest, const char *gone, bool synced)
{
    (void)synced;
    struct program *p = arg;
    if (p->service)
        service_guest_changed(p->service, guest ? guest->uuid : gone);
    if (p->agent.report)
        host_report_changed(p->agent.report);
    settle(p);
}

static void on_measured(void *arg)
{
    struct program *p = arg;
    if (p->service)
        service_measured(p->service);
}

static const char *transaction_of(void *arg, const char *uuid)
{
    struct program *p = arg;
    return p->agent.transactions ? transactions_of_guest(p->agent.transactions, uuid) : NULL;
}

static void on_refused(void *arg, const struct rpc_peer *peer, const struct error *why)
{
    (void)arg;
    log_warn("refused a connection from %s: %s", peer->address, why->text);
}

/* ---- certificates ---- */

static void check_tls(struct program *p)
{
    struct error err;
    bool bad = rpc_tls_check(p->agent.tls, &err) < 0;
    if (bad && !p->tls_bad)
        log_error("%s; the certificate read before stays in use", err.text);
    else if (!bad && p->tls_bad)
        log_info("the certificate in %s is good again", p->config->tls_cert);
    p->tls_bad = bad;
}

static void on_tls_timer(void *arg)
{
    struct program *p = arg;
    check_tls(p);
    p->tls_timer = loop_timer_start(p->agent.loop, TLS_CHECK_MS, on_tls_timer, p);
}

/* ---- signals ---- */

static void on_stop(void *arg, int signo)
{
    struct program *p = arg;
    log_info("stopping: %s", strsignal(signo));
    loop_stop(p->agent.loop, 0);
}

static void on_hangup(void *arg, int signo)
{
    (void)signo;
    struct program *p = arg;
    if (p->agent.tls)
        check_tls(p);
    log_info("SIGHUP: certificates are read again when they change; %s only at start", p->config->file);
}

static void on_stop_too_long(int signo)
{
    (void)signo;
    static const char text[] = "drover-agent: libvirt did not answer while stopping; ending anyway\n";
    if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
        _exit(EXIT_FAILURE);
    _exit(EXIT_FAILURE);
}

static int watch_signals(struct program *p, struct error *err)
{
    signal(SIGPIPE, SIG_IGN);
    int r = loop_signal(p->agent.loop, SIGTERM, on_stop, p, err);
    if (r == 0)
        r = loop_signal(p->agent.loop, SIGINT, on_stop, p, err);
    if (r == 0)
        r = loop_signal(p->agent.loop, SIGHUP, on_hangup, p, err);
    return r;
}

/* ---- up ---- */

static int make_state_dir(const char *path, struct error *err)
{
    _cleanup_free_ char *part = xstrdup(path);
    for (char *slash = part + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = 0;
        if (mkdir(part, 0755) < 0 && errno != EEXIST)
            return error_errno(err, errno, "cannot make the directory %s for state_dir", part);
    }
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return error_errno(err, errno, "cannot make state_dir %s", path);
    if (access(path, W_OK | X_OK) < 0)
        return error_errno(err, errno, "cannot write to state_dir %s", path);
    return 0;
}

static int start_hypervisor(struct program *p, struct error *err)
{
    struct agent *a = &p->agent;
    int r = libvirt_new(a->loop, a->workers, p->config->libvirt, &a->libvirt, err);
    if (r < 0)
        return r;
    libvirt_subscribe(a->libvirt, on_libvirt, p); /* until libvirt_close */
    a->guests = guests_new(&(struct guests_config){.loop = a->loop,
                                                   .workers = a->workers,
                                                   .libvirt = a->libvirt,
                                                   .changed = on_guest,
                                                   .transaction_of = transaction_of,
                                                   .arg = p});
    return 0;
}

static int start_server(struct program *p, struct error *err)
{
    struct agent *a = &p->agent;
    struct rpc_server_config config = {
        .loop = a->loop, .workers = a->workers, .tls = a->tls, .on_refused = on_refused, .arg = p};
    int r = rpc_server_new(&config, &a->server, err);
    if (r < 0)
        return r;
    /* On ipc:// root is an operator: there is no certificate to be a coordinator by, and no other listener. */
    bool ipc = strncmp(p->config->listen, "ipc://", 6) == 0;
    rpc_server_add(a->server, service_base(p->service), RPC_COORDINATOR | (ipc ? RPC_OPERATOR : 0),
                   RPC_ON_LOOP);
    rpc_server_add(a->server, transactions_peer_service(a->transactions), RPC_AGENT, RPC_ON_LOOP);
    r = rpc_server_listen(a->server, p->config->listen, err);
    if (r < 0)
        return r;
    if (!p->config->agent_url_given) { /* port 0 has become a real one */
        free(p->config->agent_url);
        p->config->agent_url = xstrdup(rpc_server_url(a->server, 0));
        host_report_changed(a->report);
    }
    log_info("drover-agent %s of %s listens on %s", DROVER_VERSION, p->config->name,
             rpc_server_url(a->server, 0));
    if (agent_config_exposed(p->config))
        log_warn("%s is plain tcp://, without certificates: WHOEVER REACHES THIS PORT COMMANDS THIS HOST'S "
                 "GUESTS. For a "
                 "closed test network only; else use tls+tcp:// and \"drover pki\"",
                 p->config->listen);
    return 0;
}

static int start(struct program *p, struct error *err)
{
    struct agent *a = &p->agent;
    uuid_t instance;
    uuid_generate_random(instance);
    uuid_unparse_lower(instance, a->instance);
    a->started_ms = clock_realtime_ms();
    a->boot_id = boot_id_read("/proc");
    a->config = p->config;
    int r = make_state_dir(p->config->state_dir, err);
    if (r == 0)
        r = loop_new(&a->loop, err);
    if (r == 0)
        r = watch_signals(p, err); /* before the first thread starts */
    if (r < 0)
        return r;
    a->workers = workers_new(a->loop, WORKERS);
    if (p->config->tls_ca) {
        r = rpc_tls_new(p->config->tls_ca, p->config->tls_cert, &a->tls, err);
        if (r < 0)
            return r;
        p->tls_timer = loop_timer_start(a->loop, TLS_CHECK_MS, on_tls_timer, p);
    }
    if (p->config->hypervisor)
        r = start_hypervisor(p, err);
    if (r == 0)
        r = host_report_new(a, on_host, p, &a->report, err);
    a->measure = measure_new(a, on_measured, p);
    a->samples = samples_new(a);
    if (r == 0)
        r = transactions_new(a, &a->transactions, err);
    if (r < 0)
        return r;
    p->service = service_new(a);
    settle(p);
    return start_server(p, err);
}

/* ---- down ---- */

static void stop(struct program *p, int code)
{
    struct agent *a = &p->agent;
    signal(SIGALRM, on_stop_too_long);
    alarm(STOP_S);
    sd_notify(0, "STOPPING=1");
    rpc_server_free(steal(&a->server));
    service_free(steal(&p->service));
    transactions_free(steal(&a->transactions));
    a->samples = samples_free(a->samples);
    measure_free(steal(&a->measure));
    host_report_free(steal(&a->report));
    guests_free(steal(&a->guests));
    p->tls_timer = loop_timer_cancel(p->tls_timer);
    p->settled_timer = loop_timer_cancel(p->settled_timer);
    if (a->libvirt)
        libvirt_close(a->libvirt);
    workers_free(a->workers);
    loop_free(a->loop); /* runs what workers have left to finish */
    if (a->hangs) {
        log_warn("ending without threads that hang in a file system; see that its server is up");
        _exit(code);
    }
    migration_join_ended();
    libvirt_free(a->libvirt);
    rpc_tls_free(a->tls);
    agent_config_free(p->config);
    free(a->boot_id);
    xmlCleanupParser();
}

/* ---- the command line ---- */

static const char usage[] =
    "drover-agent: says what this host is and has, and does its half of a migration.\n"
    "\n"
    "usage: drover-agent [--config FILE] [--check-config]\n"
    "\n"
    "  --config FILE   configuration [/etc/drover/agent.yaml]\n"
    "  --check-config  read it and the certificates, say what is wrong with them, and end (2: something is)\n"
    "  --version\n"
    "  --help\n"
    "\n"
    "SIGTERM ends it; running migrations go on and are taken up again at the next start. SIGHUP looks at "
    "the\n"
    "certificates at once.\n";

static int check_config(const struct agent_config *c)
{
    struct error err;
    _cleanup_(rpc_tls_freep) struct rpc_tls *tls = NULL;
    if (c->tls_ca && rpc_tls_new(c->tls_ca, c->tls_cert, &tls, &err) < 0) {
        fprintf(stderr, "drover-agent: %s\n", err.text);
        return EXIT_USAGE;
    }
    printf("%s is good: %s, listening on %s, roles%s%s\n", c->file, c->name, c->listen,
           c->hypervisor ? " hypervisor" : "", c->storage ? " storage" : "");
    if (agent_config_exposed(c))
        printf(
            "warning: plain tcp:// beyond loopback: whoever reaches the port commands this host's guests\n");
    return EXIT_SUCCESS;
}

static int run(struct agent_config *config)
{
    struct program *p = new0(struct program);
    struct error err = {0};
    int code = EXIT_FAILURE;
    p->config = config;
    if (start(p, &err) < 0) {
        log_error("%s", err.text);
    } else {
        sd_notify(0, "READY=1");
        code = loop_run(p->agent.loop);
        if (code < 0)
            log_error("the event loop has failed: %s", strerror(-code));
    }
    code = code < 0 ? EXIT_FAILURE : code;
    stop(p, code);
    free(p);
    return code;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"check-config", no_argument, NULL, 'k'},
                                            {"version", no_argument, NULL, 'v'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    const char *file = "/etc/drover/agent.yaml";
    bool check = false;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case 'c': file = optarg; break;
        case 'k': check = true; break;
        case 'v': puts("drover-agent " DROVER_VERSION); return EXIT_SUCCESS;
        case 'h': fputs(usage, stdout); return EXIT_SUCCESS;
        default: fputs("try: drover-agent --help\n", stderr); return EXIT_USAGE;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "drover-agent: unexpected \"%s\"; try: drover-agent --help\n", argv[optind]);
        return EXIT_USAGE;
    }
    struct agent_config *config = NULL;
    struct error err;
    if (agent_config_load(file, &config, &err) < 0) {
        fprintf(stderr, "drover-agent: %s\n", err.text);
        return EXIT_USAGE;
    }
    if (check) {
        int code = check_config(config);
        agent_config_free(config);
        return code;
    }
    small_begin();
    log_set_level(config->log);
    umask(077);
    return run(config);
}
