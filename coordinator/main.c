/* drover-coordinator: reads its configuration, puts the parts together, and runs until it is told to stop. */
#include "common/base/loop.h"
#include "common/base/memory.h"
#include "common/rpc/rpc.h"
#include "coordinator/api.h"
#include "coordinator/broker.h"
#include "coordinator/config.h"
#include "coordinator/socket.h"
#include "coordinator/strays.h"

#include <getopt.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

#define DEFAULT_CONFIG "/etc/drover/coordinator.yaml"

enum {
    CERTIFICATES_MS = 60000,
    PRUNE_MS = 3600000, /* between looks for jobs that are too old for the history */
    PRUNE_MORE_MS = 1000,
    PRUNE_MAX = 50, /* at once: the loop waits for the disk */
    KEPT_ANYHOW = 1000,
    EXIT_USAGE = 2
};

struct coordinator {
    struct coordinator_config *config;
    struct loop *loop;
    struct rpc_tls *tls;
    bool tls_bad; /* said so already */
    struct loop_timer *tls_timer, *prune_timer;
    struct store *store;
    struct fleet fleet;
    char **said; /* per host: its session as it was logged last; NULL: up */
    int64_t started_ms;
    bool *told; /* per host: it has told all its guests once */
    size_t n_told;
    struct agents *agents;
    struct driver *driver;
    struct broker *broker;
    struct strays *strays;
    struct plans *plans;
    struct api *api;
    struct rpc_server *server;
};

static const char usage[] =
    "usage: drover-coordinator [--config FILE] [--check-config]\n"
    "Knows the fleet, and carries out what operators ask for with drover.\n"
    "\n"
    "  --config FILE   default " DEFAULT_CONFIG "\n"
    "  --check-config  read it and the certificates, say what is wrong with them, and "
    "end (2: something is)\n"
    "  --version\n"
    "  --help\n"
    "\n"
    "SIGTERM ends it; its jobs go on, and are taken up again at the next start. SIGHUP "
    "looks at the\n"
    "certificates at once.\n";

/* Says once when the whole fleet is known. */
static void count_told(struct coordinator *c, const struct fleet_host *host)
{
    bool *told = &c->told[host - c->fleet.hosts];
    if (!host->synced || *told)
        return;
    *told = true;
    if (++c->n_told < c->fleet.n_hosts)
        return;
    size_t guests = 0;
    for (size_t i = 0; i < c->fleet.n_hosts; i++)
        guests += c->fleet.hosts[i].n_guests;
    log_info("the fleet is known: %zu hosts, %zu guests, %.3f s after the start", c->fleet.n_hosts, guests,
             (double)(clock_monotonic_ms() - c->started_ms) / 1e3);
}

static void on_host_change(void *arg, struct fleet_host *host)
{
    struct coordinator *c = arg;
    char **said = &c->said[host - c->fleet.hosts];
    count_told(c, host);
    strays_host_changed(c->strays, host);
    plans_fleet_changed(c->plans);
    if (host->up ? !*said : streq(*said, host->why))
        return;
    free(*said);
    *said = host->up ? NULL : xstrdup(host->why);
    if (host->up)
        log_info("host %s: up", host->name);
    else
        log_warn("host %s: down: %s", host->name, host->why);
}

static void on_refused(void *arg, const struct rpc_peer *peer, const struct error *why)
{
    (void)arg;
    (void)peer; /* the text names it */
    log_warn("refused a connection: %s", why->text);
}

/* Certificates are rotated by replacing their files; nothing else tells of a replacement that is bad. */
static void check_certificates(struct coordinator *c)
{
    struct error err = {0};
    bool bad = rpc_tls_check(c->tls, &err) < 0;
    if (bad && !c->tls_bad)
        log_error(
            "the certificates were replaced by ones that can't be used, so the old ones stay in use: %s",
            err.text);
    else if (!bad && c->tls_bad)
        log_info("the certificates can be used again");
    c->tls_bad = bad;
}

static void on_tls_timer(void *arg)
{
    struct coordinator *c = arg;
    check_certificates(c);
    c->tls_timer = loop_timer_start(c->loop, CERTIFICATES_MS, on_tls_timer, c);
}

static void on_prune_timer(void *arg)
{
    struct coordinator *c = arg;
    struct error err = {0};
    int n = store_prune(c->store, clock_realtime_ms(), c->config->history_ms, KEPT_ANYHOW, PRUNE_MAX, &err);
    if (n < 0)
        log_warn("the history keeps jobs that are older than its time: %s", err.text);
    else if (n > 0)
        log_info("the history has forgotten %d job%s: %s keeps them no longer", n, n == 1 ? "" : "s",
                 c->config->file);
    c->prune_timer = loop_timer_start(c->loop, n == PRUNE_MAX ? PRUNE_MORE_MS : PRUNE_MS, on_prune_timer, c);
}

static void on_hangup(void *arg, int signo)
{
    (void)signo;
    struct coordinator *c = arg;
    if (c->tls)
        check_certificates(c);
    log_info("SIGHUP: certificates are read again when they change; %s only at start", c->config->file);
}

static void on_stop_signal(void *arg, int signo)
{
    struct coordinator *c = arg;
    sd_notify(0, "STOPPING=1");
    size_t open = driver_jobs(c->driver, NULL, 0);
    log_info("%s: stopping; %zu open job%s%s", strsignal(signo), open, open == 1 ? "" : "s",
             open ? ": the next start asks the agents how far they are, and goes on from there" : "");
    loop_stop(c->loop, EXIT_SUCCESS);
}

/* A group that the configuration names must exist; the default one need not. */
static int find_group(const struct coordinator_config *config, long *ret_gid, struct error *err)
{
    const struct group *group = getgrnam(config->group);
    if (!group && config->group_given)
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "%s: group: there is no group '%s' on this machine; make it "
                         "(groupadd --system %s) or name another",
                         config->file, config->group, config->group);
    *ret_gid = group ? (long)group->gr_gid : -1;
    return 0;
}

static int serve(struct coordinator *c, struct error *err)
{
    const struct coordinator_config *config = c->config;
    long gid = -1;
    int r = find_group(config, &gid, err);
    if (r < 0)
        return r;
    const struct rpc_server_config server = {
        .loop = c->loop,
        .tls = c->tls,
        .ipc_group = gid >= 0 ? config->group : NULL,
        .on_refused = on_refused,
    };
    r = rpc_server_new(&server, &c->server, err);
    if (r < 0)
        return r;
    rpc_server_add(c->server, api_service(c->api), RPC_OPERATOR, RPC_ON_LOOP);
    for (size_t i = 0; i < config->n_listen; i++) {
        const char *path = socket_path(config->listen[i]);
        if (path && (r = socket_clear(path, err)) < 0)
            return r;
        mode_t mask = umask(0177); /* nobody else's until its group is set */
        r = rpc_server_listen(c->server, config->listen[i], err);
        umask(mask);
        if (r == 0 && path)
            r = socket_grant(path, gid, err);
        if (r < 0)
            return r;
        if (coordinator_config_exposed(config->listen[i]))
            log_warn("%s has no TLS: whoever reaches it commands the fleet", config->listen[i]);
        log_info("listening on %s", rpc_server_url(c->server, (unsigned)i));
    }
    return 0;
}

static int start(struct coordinator *c, struct error *err)
{
    const struct coordinator_config *config = c->config;
    int r = loop_new(&c->loop, err);
    if (r == 0)
        r = loop_signal(c->loop, SIGTERM, on_stop_signal, c, err);
    if (r == 0)
        r = loop_signal(c->loop, SIGINT, on_stop_signal, c, err);
    if (r == 0)
        r = loop_signal(c->loop, SIGHUP, on_hangup, c, err);
    if (r == 0 && config->tls_ca)
        r = rpc_tls_new(config->tls_ca, config->tls_cert, &c->tls, err);
    if (r == 0)
        r = store_open(config->store, &c->store, err);
    if (r < 0)
        return r;
    if (c->tls)
        on_tls_timer(c);

    for (size_t i = 0; i < config->n_hosts; i++)
        fleet_add_host(&c->fleet, config->hosts[i].name, config->hosts[i].site, config->hosts[i].agent)
            ->bandwidth = config->hosts[i].bandwidth;
    c->fleet.bandwidth = config->bandwidth;
    c->fleet.site_links = xcalloc(config->n_links + 1, sizeof(*c->fleet.site_links));
    for (size_t i = 0; i < config->n_links; i++)
        c->fleet.site_links[c->fleet.n_site_links++] =
            (struct fleet_site_link){{config->links[i].sites[0], config->links[i].sites[1]},
                                     config->links[i].bandwidth,
                                     config->links[i].delay_ms};
    c->fleet.mappings = &config->mappings;
    c->fleet.rules = &config->rules;
    c->said = xcalloc(c->fleet.n_hosts + 1, sizeof(char *));
    c->told = xcalloc(c->fleet.n_hosts + 1, sizeof(bool));
    const struct agents_config agents = {.loop = c->loop,
                                         .tls = c->tls,
                                         .fleet = &c->fleet,
                                         .epoch = store_epoch(c->store),
                                         .changed = on_host_change,
                                         .arg = c};
    r = agents_new(&agents, &c->agents, err);
    if (r < 0)
        return r;
    const struct driver_config driver = {
        .loop = c->loop, .store = c->store, .agents = c->agents, .fleet = &c->fleet};
    r = driver_new(&driver, &c->driver, err);
    if (r < 0)
        return r;
    c->strays = strays_new(c->loop, &c->fleet, c->driver, c->agents);
    c->broker = broker_new(c->loop, &c->fleet, c->driver, c->agents, c->store);
    const struct move_config moves = {.loop = c->loop,
                                      .fleet = &c->fleet,
                                      .driver = c->driver,
                                      .store = c->store,
                                      .policy = &config->policy,
                                      .policies = &config->policies,
                                      .agents = c->agents};
    r = plans_new(&moves, &c->plans, err);
    if (r < 0)
        return r;
    const struct api_config api = {.loop = c->loop,
                                   .fleet = &c->fleet,
                                   .driver = c->driver,
                                   .store = c->store,
                                   .policies = &config->policies,
                                   .policy = &config->policy,
                                   .agents = c->agents,
                                   .plans = c->plans};
    c->api = api_new(&api);
    c->prune_timer = loop_timer_start(c->loop, CERTIFICATES_MS, on_prune_timer, c);
    return serve(c, err);
}

static void stop(struct coordinator *c)
{
    rpc_server_free(c->server);
    api_free(c->api);
    plans_free(c->plans);
    broker_free(c->broker);
    strays_free(c->strays);
    driver_free(c->driver);
    agents_free(c->agents);
    loop_timer_cancel(c->tls_timer);
    loop_timer_cancel(c->prune_timer);
    loop_free(c->loop);
    store_free(c->store);
    rpc_tls_free(c->tls);
    for (size_t i = 0; c->said && i < c->fleet.n_hosts; i++)
        free(c->said[i]);
    free(c->said);
    free(c->told);
    fleet_deinit(&c->fleet);
}

/* A connection per host; the usual soft limit is 1024. */
static void more_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* What can be known of it without starting. */
static int check_config(const struct coordinator_config *config)
{
    struct error err = {0};
    _cleanup_(rpc_tls_freep) struct rpc_tls *tls = NULL;
    long gid;
    int r = config->tls_ca ? rpc_tls_new(config->tls_ca, config->tls_cert, &tls, &err) : 0;
    if (r >= 0)
        r = find_group(config, &gid, &err);
    if (r < 0) {
        fprintf(stderr, "drover-coordinator: %s\n", err.text);
        return EXIT_USAGE;
    }
    printf("%s is good: %zu host%s\n", config->file, config->n_hosts, config->n_hosts == 1 ? "" : "s");
    return EXIT_SUCCESS;
}

static int run(struct coordinator_config *config)
{
    struct coordinator c = {.config = config, .started_ms = clock_monotonic_ms()};
    struct error err = {0};
    int code = EXIT_FAILURE;
    fleet_init(&c.fleet);
    log_set_level(config->log);
    signal(SIGPIPE, SIG_IGN);
    more_descriptors();
    if (start(&c, &err) < 0) {
        log_error("can't start: %s", err.text);
    } else {
        size_t open = driver_jobs(c.driver, NULL, 0);
        log_info("drover-coordinator %s: %zu host%s, %zu open job%s", DROVER_VERSION, c.fleet.n_hosts,
                 c.fleet.n_hosts == 1 ? "" : "s", open, open == 1 ? "" : "s");
        sd_notify(0, "READY=1");
        code = loop_run(c.loop);
        if (code < 0)
            log_error("the event loop has failed: %s", strerror(-code));
    }
    stop(&c);
    return code < 0 ? EXIT_FAILURE : code;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"check-config", no_argument, NULL, 'k'},
        {"version", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    const char *file = DEFAULT_CONFIG;
    bool check_only = false;
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'c': file = optarg; break;
        case 'k': check_only = true; break;
        case 'v': puts("drover-coordinator " DROVER_VERSION); return EXIT_SUCCESS;
        case 'h': fputs(usage, stdout); return EXIT_SUCCESS;
        default: fputs(usage, stderr); return EXIT_USAGE;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "drover-coordinator: unexpected '%s'\n%s", argv[optind], usage);
        return EXIT_USAGE;
    }
    _cleanup_(coordinator_config_freep) struct coordinator_config *config = NULL;
    struct error err = {0};
    if (coordinator_config_load(file, &config, &err) < 0) {
        fprintf(stderr, "drover-coordinator: %s\n", err.text);
        return EXIT_USAGE;
    }
    return check_only ? check_config(config) : run(config);
}
