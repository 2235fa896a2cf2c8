/* Agent.Probe: one table of kinds; each runs as a job of its own (agent/probe_job.h). */
#include "agent/probe.h"

#include "agent/io/cpu_compare.h"
#include "agent/io/disk_image.h"
#include "agent/io/exports.h"
#include "agent/io/image.h"
#include "agent/io/iscsi_identity.h"
#include "agent/io/layer2.h"
#include "agent/io/libvirt.h"
#include "agent/io/libvirt_port.h"
#include "agent/io/listening.h"
#include "agent/io/nonce.h"
#include "agent/io/ports.h"
#include "agent/io/probe_say.h"
#include "agent/io/records.h"
#include "agent/io/tree.h"
#include "agent/io/xml.h"
#include "agent/probe_job.h"
#include "common/base/failpoint.h"
#include "common/base/memory.h"
#include "common/message/message.h"

#include <net/if.h>
#include <stdio.h>
#include <string.h>

enum {
    WAIT_MS = 2000,
    WAIT_MAX_MS = 30000,
    LEASE_MS = 30000,
    LEASE_MAX_MS = 300000,
    PATH_BYTES = 4095,
    PORT_MAX = 65535,
    CPU_BYTES = 65536,
};

static const Drover__V1__ProbeRequest *request_of(const struct probe_job *j)
{
    return (const Drover__V1__ProbeRequest *)j->request;
}

static Drover__V1__ProbeResult *result_of(const struct probe_job *j)
{
    return (Drover__V1__ProbeResult *)j->result;
}

static const struct agent_config *config_of(const struct probe_job *j)
{
    return j->probes->agent->config;
}

static int64_t lease_of(const Drover__V1__ProbeRequest *q)
{
    return q->lease <= 0 ? LEASE_MS : q->lease > LEASE_MAX_MS ? LEASE_MAX_MS : q->lease;
}

/* ---- what blocks: on a worker ---- */

static void write_nonce(struct probe_job *j)
{
    const Drover__V1__ProbeRequest *q = request_of(j);
    j->left = nonce_write(config_of(j)->state_dir, config_of(j)->name, q->nonce, q->path, result_of(j));
}

static void read_nonce(struct probe_job *j)
{
    nonce_read(&j->limit, request_of(j)->nonce, request_of(j)->path, result_of(j));
}

static void find_nonce(struct probe_job *j)
{
    const Drover__V1__ProbeRequest *q = request_of(j);
    if (*q->path) {
        if (!nonce_find(&j->limit, q->nonce, q->path, q->relative, result_of(j)))
            probe_say(result_of(j), DROVER__V1__PROBE_OUTCOME__PROBE_REFUTED, "absent", "%s is not below %s",
                      q->nonce, q->path);
        return;
    }
    exports_find_nonce(&j->limit, q->nonce, q->relative, result_of(j));
}

static void remove_nonce(struct probe_job *j)
{
    struct error err;
    Drover__V1__ProbeResult *r = result_of(j);
    int n = nonce_remove(config_of(j)->state_dir, request_of(j)->nonce, &err);
    r->removed = n > 0;
    if (n < 0)
        probe_say(r, DROVER__V1__PROBE_OUTCOME__PROBE_UNDECIDED, "failed", "%s", err.text);
    else
        probe_say(r, DROVER__V1__PROBE_OUTCOME__PROBE_PROVEN, "",
                  n ? "removed" : "it was not there any more");
}

static void listen_layer2(struct probe_job *j)
{
    layer2_listen(&j->limit, request_of(j)->bridge, request_of(j)->nonce, result_of(j));
}

static void send_layer2(struct probe_job *j)
{
    layer2_send(&j->limit, request_of(j)->bridge, request_of(j)->nonce, result_of(j));
}

static void open_port(struct probe_job *j)
{
    const Drover__V1__ProbeRequest *q = request_of(j);
    uint32_t min = q->port_min, max = q->port_max;
    const char *address = *q->address ? q->address : config_of(j)->migration_address;
    if (!min || !max) {
        Drover__V1__Listening *l = listening_read("/etc/libvirt", "/run", "/proc", NULL);
        min = l->migration_port_min;
        max = l->migration_port_max;
        drover__v1__listening__free_unpacked(l, NULL);
    }
    if (!address || min > max)
        probe_say(result_of(j), DROVER__V1__PROBE_OUTCOME__PROBE_UNDECIDED, "no-address",
                  !address ? "this agent has no migration_address in its configuration"
                           : "migration_port_min is above migration_port_max in qemu.conf");
    else
        j->fd = port_open("/proc", address, min, max, result_of(j));
}

static void connect_port(struct probe_job *j)
{
    const Drover__V1__ProbeRequest *q = request_of(j);
    port_connect(&j->limit, q->from, q->address, q->port, q->nonce, result_of(j));
}

static void close_port(struct probe_job *j)
{
    (void)j;
}

static void connect_libvirt(struct probe_job *j)
{
    libvirt_port_connect(&j->limit, LIBVIRT_PKI, request_of(j)->from, request_of(j)->url, result_of(j));
}

static void tell_clock(struct probe_job *j)
{
    probe_say(result_of(j), DROVER__V1__PROBE_OUTCOME__PROBE_PROVEN, "", "the clock of %s",
              config_of(j)->name);
}

static void open_image(struct probe_job *j)
{
    const Drover__V1__ProbeRequest *q = request_of(j);
    _cleanup_free_ char *named = *q->initiator ? image_of_initiator(q->url, q->initiator) : NULL;
    image_open(&j->limit, named ? named : *q->url ? q->url : q->path, q->format, result_of(j));
}

static void hash_image(struct probe_job *j)
{
    disk_image_hash(&j->limit, request_of(j)->path, result_of(j));
}

static void compare_cpu(struct probe_job *j)
{
    const Drover__V1__ProbeRequest *q = request_of(j);
    struct agent *agent = j->probes->agent;
    struct error why = {.text = "this host is no hypervisor"};
    _cleanup_connect_ virConnectPtr conn = agent->libvirt ? libvirt_ref(agent->libvirt, &why) : NULL;
    if (conn)
        cpu_compare(conn, q->cpu, q->arch, q->virt_type, result_of(j));
    else
        probe_say(result_of(j), DROVER__V1__PROBE_OUTCOME__PROBE_UNDECIDED, "failed", "%s", why.text);
}

static void identify_unit(struct probe_job *j)
{
    const Drover__V1__ProbeRequest *q = request_of(j);
    iscsi_identity(&j->limit, q->url, q->initiator, result_of(j));
}

/* ---- what is held: on the loop ---- */

static void hold_nonce(struct probe_job *j)
{
    bool proven = result_of(j)->outcome == DROVER__V1__PROBE_OUTCOME__PROBE_PROVEN && !j->probes->freed;
    if (proven && !j->unwanted)
        probe_hold(j->probes, request_of(j)->nonce, -1, lease_of(request_of(j)));
    else if (proven || j->left)
        probes_stale(j->probes, request_of(j)->nonce);
}

static void forget_nonce(struct probe_job *j)
{
    const char *nonce = request_of(j)->nonce;
    struct probe_held *h = probe_find(j->probes, nonce, false);
    if (h)
        probe_unhold(h);
    if (result_of(j)->outcome != DROVER__V1__PROBE_OUTCOME__PROBE_PROVEN)
        probes_stale(j->probes, nonce);
}

static void hold_port(struct probe_job *j)
{
    if (j->fd >= 0 && !j->probes->freed && !j->unwanted)
        probe_hold(j->probes, request_of(j)->nonce, steal_fd(&j->fd), lease_of(request_of(j)));
}

static void forget_port(struct probe_job *j)
{
    struct probe_held *h = probe_find(j->probes, request_of(j)->nonce, true);
    if (h)
        probe_unhold(h);
    probe_say(result_of(j), DROVER__V1__PROBE_OUTCOME__PROBE_PROVEN, "",
              h ? "closed" : "it was not open any more");
}

static void say_late(struct probe_job *j)
{
    const Drover__V1__ProbeRequest *q = request_of(j);
    const char *what = *q->path ? q->path : *q->url ? q->url : *q->address ? q->address : q->bridge;
    probe_say(result_of(j), DROVER__V1__PROBE_OUTCOME__PROBE_UNDECIDED, "timeout",
              "no answer from %s within %lld ms", *what ? what : "the probe's work",
              (long long)(clock_monotonic_ms() - j->begun));
}

/* ---- the table ---- */

enum {
    NEEDS_NONCE = 1,
    NEEDS_PATH = 2,
    NEEDS_BRIDGE = 4,
    NEEDS_PORT = 8,
    NEEDS_URL = 16,
    HOLDS = 32,
    NEEDS_CPU = 64,
    NEEDS_ISCSI = 128
};

static const struct kind {
    unsigned needs;
    void (*work)(struct probe_job *job);
    void (*after)(struct probe_job *job);
} kinds[] = {
    [DROVER__V1__PROBE_KIND__PROBE_NONCE_WRITE] = {NEEDS_NONCE | NEEDS_PATH | HOLDS, write_nonce, hold_nonce},
    [DROVER__V1__PROBE_KIND__PROBE_NONCE_READ] = {NEEDS_NONCE | NEEDS_PATH, read_nonce},
    [DROVER__V1__PROBE_KIND__PROBE_NONCE_FIND] = {NEEDS_NONCE, find_nonce},
    [DROVER__V1__PROBE_KIND__PROBE_NONCE_REMOVE] = {NEEDS_NONCE, remove_nonce, forget_nonce},
    [DROVER__V1__PROBE_KIND__PROBE_LAYER2_LISTEN] = {NEEDS_NONCE | NEEDS_BRIDGE, listen_layer2},
    [DROVER__V1__PROBE_KIND__PROBE_LAYER2_SEND] = {NEEDS_NONCE | NEEDS_BRIDGE, send_layer2},
    [DROVER__V1__PROBE_KIND__PROBE_PORT_OPEN] = {NEEDS_NONCE | HOLDS, open_port, hold_port},
    [DROVER__V1__PROBE_KIND__PROBE_PORT_CONNECT] = {NEEDS_PORT, connect_port},
    [DROVER__V1__PROBE_KIND__PROBE_PORT_CLOSE] = {NEEDS_NONCE, close_port, forget_port},
    [DROVER__V1__PROBE_KIND__PROBE_LIBVIRT_CONNECT] = {NEEDS_URL, connect_libvirt},
    [DROVER__V1__PROBE_KIND__PROBE_CLOCK] = {0, tell_clock},
    [DROVER__V1__PROBE_KIND__PROBE_IMAGE] = {0, open_image},
    [DROVER__V1__PROBE_KIND__PROBE_IMAGE_HASH] = {NEEDS_PATH, hash_image},
    [DROVER__V1__PROBE_KIND__PROBE_CPU_COMPARE] = {NEEDS_CPU, compare_cpu},
    [DROVER__V1__PROBE_KIND__PROBE_ISCSI_IDENTITY] = {NEEDS_URL | NEEDS_ISCSI, identify_unit},
};

static bool is_path(const char *path)
{
    size_t n = strlen(path);
    return path[0] == '/' && n <= PATH_BYTES && !strstr(path, "/../") &&
           !(n >= 3 && streq(path + n - 3, "/.."));
}

static bool is_bridge(const char *name)
{
    return *name && strlen(name) < IFNAMSIZ && !strchr(name, '/') && !streq(name, ".") && !streq(name, "..");
}

static void work(struct probe_job *j);

static int check(const struct probes *p, const Drover__V1__ProbeRequest *q, const struct kind *k,
                 struct error *err)
{
    if (!k->work)
        return error_set(err, STATUS_UNIMPLEMENTED, "probe kind %d is not known to agent %s: upgrade it",
                         (int)q->kind, DROVER_VERSION);
    if (((k->needs & NEEDS_NONCE) || *q->nonce) && !records_is_uuid(q->nonce))
        return error_set(err, STATUS_INVALID_ARGUMENT, "nonce \"%.64s\" is no UUID", q->nonce);
    if (((k->needs & NEEDS_PATH) || *q->path) && !is_path(q->path))
        return error_set(err, STATUS_INVALID_ARGUMENT, "path \"%.128s\" is not absolute, or has \"..\" in it",
                         q->path);
    if (*q->relative &&
        (q->relative[0] == '/' || strstr(q->relative, "..") || strlen(q->relative) > PATH_BYTES))
        return error_set(err, STATUS_INVALID_ARGUMENT, "relative \"%.128s\" is absolute, or has \"..\" in it",
                         q->relative);
    if ((k->needs & NEEDS_BRIDGE) && !is_bridge(q->bridge))
        return error_set(err, STATUS_INVALID_ARGUMENT, "bridge \"%.64s\" is no name of an interface",
                         q->bridge);
    if ((k->needs & NEEDS_PORT) && (!*q->address || q->port < 1 || q->port > PORT_MAX))
        return error_set(err, STATUS_INVALID_ARGUMENT, "address \"%.128s\" port %u: expected both",
                         q->address, q->port);
    if (q->port_min > PORT_MAX || q->port_max > PORT_MAX || q->port_min > q->port_max)
        return error_set(err, STATUS_INVALID_ARGUMENT, "ports %u to %u are no range", q->port_min,
                         q->port_max);
    if ((k->needs & NEEDS_URL) && !*q->url)
        return error_set(err, STATUS_INVALID_ARGUMENT, "url is empty");
    if ((k->needs & NEEDS_ISCSI) && (strncmp(q->url, "iscsi://", 8) != 0 || q->initiator[0] == '-'))
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "url \"%.128s\" is no iscsi:// one, or the initiator no name", q->url);
    if ((k->needs & NEEDS_CPU) && (!*q->cpu || strlen(q->cpu) > CPU_BYTES))
        return error_set(err, STATUS_INVALID_ARGUMENT, "cpu has %zu bytes; expected a <cpu> of at most %d",
                         strlen(q->cpu), CPU_BYTES);
    if ((k->needs & HOLDS) && probes_full(p))
        return error_set(err, STATUS_RESOURCE_EXHAUSTED,
                         "too many probes hold files and ports; they end by themselves soon");
    for (struct probe_job *j = p->jobs; j; j = j->next) /* else the file could come after it was removed */
        if (q->kind == DROVER__V1__PROBE_KIND__PROBE_NONCE_REMOVE && j->does.work == work &&
            request_of(j)->kind == DROVER__V1__PROBE_KIND__PROBE_NONCE_WRITE &&
            streq(request_of(j)->nonce, q->nonce)) {
            j->unwanted = true;
            return error_set(err, STATUS_ABORTED, "%s is still being written; it is removed as soon as it is",
                             q->nonce);
        }
    return 0;
}

static void work(struct probe_job *j)
{
    Drover__V1__ProbeKind kind = request_of(j)->kind;
    const char *name =
        protobuf_c_enum_descriptor_get_value(&drover__v1__probe_kind__descriptor, (int)kind)->name;
    failpoint("agent.%s.begun", name);
    atomic_store(&j->at, 0);
    kinds[kind].work(j);
    failpoint("agent.%s.done", name);
}

static void finish(struct probe_job *j)
{
    const struct kind *k = &kinds[request_of(j)->kind];
    if (k->after)
        k->after(j);
    result_of(j)->took_us = (clock_monotonic_ms() - j->begun) * 1000;
    result_of(j)->realtime_us = probe_realtime_us();
}

/* The place that it touches; "" if none. Of a file to be removed its record tells. */
static char **place_of(const struct probes *p, const Drover__V1__ProbeRequest *q)
{
    bool removes = q->kind == DROVER__V1__PROBE_KIND__PROBE_NONCE_REMOVE;
    _cleanup_free_ char *directory = removes ? nonce_directory(p->agent->config->state_dir, q->nonce) : NULL;
    _cleanup_free_ char *path = directory ? xasprintf("%s/.", directory) : xstrdup(q->path);
    return probes_places(&path, 1);
}

/* Answered at once, without another thread that hangs. */
static void say_stuck(struct probes *p, const Drover__V1__ProbeRequest *q, int64_t stuck_ms,
                      Drover__V1__ProbeResult_Closure reply, struct rpc_call *call)
{
    Drover__V1__ProbeResult *r = new0(Drover__V1__ProbeResult);
    drover__v1__probe_result__init(r);
    probe_say(r, DROVER__V1__PROBE_OUTCOME__PROBE_UNDECIDED, "stale",
              "who looked there before has not come back for %lld s: the file system of %s does not answer",
              (long long)(stuck_ms / 1000), *q->path ? q->path : "the probe's file");
    if (q->kind == DROVER__V1__PROBE_KIND__PROBE_NONCE_REMOVE) {
        struct probe_held *h = probe_find(p, q->nonce, false);
        if (h)
            probe_unhold(h);
        probes_stale(p, q->nonce);
    }
    r->realtime_us = probe_realtime_us();
    reply(r, call);
    drover__v1__probe_result__free_unpacked(r, NULL);
}

void probe_call(struct probes *p, const Drover__V1__ProbeRequest *q, Drover__V1__ProbeResult_Closure reply,
                struct rpc_call *call)
{
    static const struct kind unknown = {0};
    const struct kind *k =
        q->kind > 0 && (size_t)q->kind < sizeof(kinds) / sizeof(kinds[0]) ? &kinds[q->kind] : &unknown;
    struct error err;
    if (check(p, q, k, &err) < 0) {
        rpc_call_fail(call, &err);
        return;
    }
    struct probe_work does = {work, finish, say_late, place_of(p, q), 1};
    int64_t stuck_ms = probes_stuck_ms(p, does.places[0]);
    if (stuck_ms) {
        tree_list_free(does.places, 1);
        say_stuck(p, q, stuck_ms, reply, call);
        return;
    }
    int64_t wait = q->wait <= 0 ? WAIT_MS : q->wait > WAIT_MAX_MS ? WAIT_MAX_MS : q->wait;
    Drover__V1__ProbeResult *result = new0(Drover__V1__ProbeResult);
    drover__v1__probe_result__init(result);
    probe_job_start(p, call, (ProtobufCClosure)(void (*)(void))reply, message_copy(&q->base), &result->base,
                    wait, &does);
}
