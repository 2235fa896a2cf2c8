#include "cli/client.h"

#include "common/base/memory.h"
#include "proto/coordinator.pb-c.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#define CONNECT_MS 5000
#define ANSWER_MS 60000
#define DRY_RUN_MS 600000 /* of a plan: the agents of all its moves are asked for proofs and forecasts */

struct client {
    const struct cli *cli;
    struct rpc_client *rpc;
    struct rpc_tls *tls;
    struct loop *loop;
    void (*on_state)(void *arg, bool up, const struct error *why);
    void *arg;
    pthread_mutex_t lock; /* guards the next three, without a loop */
    pthread_cond_t changed;
    bool up, failed;
    struct error why;
};

static bool is_tls(const struct cli *cli)
{
    return strncmp(cli->coordinator, "tls+", 4) == 0;
}

/* nng says "connection refused" of a socket that does not exist. */
static const char *why_no_socket(const char *url)
{
    const char *path = strncmp(url, "ipc://", 6) == 0 ? url + 6 : NULL;
    if (!path || access(path, R_OK | W_OK) == 0)
        return NULL;
    return errno == ENOENT   ? "there is no such socket"
           : errno == EACCES ? "you may not open that socket"
                             : NULL;
}

const char *client_without_url(const struct cli *cli, const char *why)
{
    size_t length = strlen(cli->coordinator);
    if (strncmp(why, cli->coordinator, length) != 0)
        return why;
    why += length + (why[length] == ':');
    return why + strspn(why, " ");
}

/* A good ending for a sentence that another one follows. */
static const char *stop_after(const char *text)
{
    size_t length = strlen(text);
    return length && strchr(".!?", text[length - 1]) ? "" : ".";
}

static int unreachable(const struct cli *cli, const struct error *why, struct error *err)
{
    const char *advice, *seen = why_no_socket(cli->coordinator);
    _cleanup_free_ char *own =
        xasprintf("Is it running there, at that port? Is %s an operator's certificate of its CA (%s)?",
                  cli->tls_cert, cli->tls_ca);
    if (strncmp(cli->coordinator, "ipc:", 4) == 0)
        advice = "Is it running (systemctl status drover-coordinator)? Are you root or in group drover? "
                 "On another machine, use --coordinator tls+tcp://HOST:7461";
    else if (is_tls(cli))
        advice = own;
    else
        advice = "Is it running there, at that port?";
    if (!seen)
        seen = why->text[0] ? why->text : "no answer";
    seen = client_without_url(cli, seen);
    return error_set(err, STATUS_UNAVAILABLE, "the coordinator at %s can't be reached: %s%s %s",
                     cli->coordinator, seen, stop_after(seen), advice);
}

static int forbidden(const struct cli *cli, const struct error *why, struct error *err)
{
    if (is_tls(cli))
        return error_set(err, why->code,
                         "%s%s %s must be an operator's certificate (drover pki issue operator/YOU)",
                         why->text, stop_after(why->text), cli->tls_cert);
    return error_set(err, why->code, "%s%s Become root, or a member of group drover", why->text,
                     stop_after(why->text));
}

static void state_changed(void *arg, bool up, const struct error *why)
{
    struct client *client = arg;
    if (client->loop) {
        if (client->on_state)
            client->on_state(client->arg, up, why);
        return;
    }
    pthread_mutex_lock(&client->lock);
    client->up = up;
    if (!up) {
        client->failed = true;
        client->why = *why;
    }
    pthread_cond_broadcast(&client->changed);
    pthread_mutex_unlock(&client->lock);
}

static int wait_connected(struct client *client, struct error *err)
{
    int64_t ms = client->cli->timeout_ms ? client->cli->timeout_ms : CONNECT_MS;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&client->lock);
    int r = 0;
    while (!client->up && !client->failed && r == 0)
        r = pthread_cond_timedwait(&client->changed, &client->lock, &until);
    bool up = client->up;
    struct error why = client->why;
    pthread_mutex_unlock(&client->lock);
    if (up)
        return 0;
    if (!why.text[0])
        error_set(&why, STATUS_DEADLINE_EXCEEDED, "no answer within %lld ms", (long long)ms);
    return unreachable(client->cli, &why, err);
}

static int load_tls(struct client *client, struct error *err)
{
    const struct cli *cli = client->cli;
    if (!is_tls(cli) || rpc_tls_new(cli->tls_ca, cli->tls_cert, &client->tls, err) >= 0)
        return 0;
    return error_set(
        err, STATUS_UNAVAILABLE,
        "%s. To speak to %s, name the fleet's CA (--tls-ca FILE) and your certificate (--tls-cert FILE; "
        "made by: drover pki issue operator/YOU)",
        err->text, cli->coordinator);
}

int client_open(const struct cli *cli, struct loop *loop,
                void (*on_state)(void *arg, bool up, const struct error *why), void *arg, struct client **ret,
                struct error *err)
{
    _cleanup_(client_closep) struct client *client = new0(struct client);
    client->cli = cli;
    client->loop = loop;
    client->on_state = on_state;
    client->arg = arg;
    pthread_mutex_init(&client->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&client->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    int r = load_tls(client, err);
    if (r < 0)
        return r;
    struct rpc_client_config config = {
        .url = cli->coordinator,
        .loop = loop,
        .tls = client->tls,
        .peer_role = RPC_COORDINATOR,
        .on_state = state_changed,
        .arg = client,
    };
    /* Signals are this thread's: those that the client starts inherit the mask. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = rpc_client_new(&config, &client->rpc, err);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r < 0) {
        struct error why = *err;
        return why.code == STATUS_INVALID_ARGUMENT ? r : unreachable(cli, &why, err);
    }
    if (!loop && (r = wait_connected(client, err)) < 0)
        return r;
    *ret = steal(&client);
    return 0;
}

void client_close(struct client *client)
{
    if (!client)
        return;
    client->on_state = NULL;
    rpc_client_free(client->rpc);
    rpc_tls_free(client->tls);
    pthread_cond_destroy(&client->changed);
    pthread_mutex_destroy(&client->lock);
    free(client);
}

struct rpc_client *client_rpc(struct client *client)
{
    return client->rpc;
}

int client_call(struct client *client, const char *method, const ProtobufCMessage *request, bool once,
                ProtobufCMessage **ret, struct error *err)
{
    bool dry_run = !once && streq(method, "MakePlan");
    int64_t ms = client->cli->timeout_ms ? client->cli->timeout_ms : dry_run ? DRY_RUN_MS : ANSWER_MS;
    struct rpc_stub stub = rpc_stub(client->rpc, &drover__v1__coordinator__descriptor, .timeout_ms = ms,
                                    .once = once, .wait = true);
    int r = rpc_call_sync(&stub, method, request, ret, err);
    if (r == -STATUS_UNAVAILABLE) {
        struct error why = *err;
        return unreachable(client->cli, &why, err);
    }
    if (r == -STATUS_PERMISSION_DENIED || r == -STATUS_UNAUTHENTICATED) {
        struct error why = *err;
        return forbidden(client->cli, &why, err);
    }
    if (r == -STATUS_DEADLINE_EXCEEDED)
        return error_set(
            err, STATUS_DEADLINE_EXCEEDED,
            "the coordinator at %s did not answer %s within %lld ms (%s). %s, and try again with a longer "
            "--timeout",
            client->cli->coordinator, method, (long long)ms, err->text,
            once ? "It may have been carried out all the same: look at drover jobs" : "See its log");
    return r;
}

int client_exit(const struct error *why, int refused)
{
    switch (why->code) {
    case STATUS_UNAVAILABLE:
    case STATUS_DEADLINE_EXCEEDED: return EXIT_UNREACHABLE;
    case STATUS_INVALID_ARGUMENT: return EXIT_USAGE;
    case STATUS_NOT_FOUND:
    case STATUS_ALREADY_EXISTS:
    case STATUS_FAILED_PRECONDITION:
    case STATUS_ABORTED:
    case STATUS_OUT_OF_RANGE: return refused;
    default: return EXIT_FAILED;
    }
}

/* ---- pages ---- */

static void *field_of(ProtobufCMessage *message, const char *name)
{
    const ProtobufCFieldDescriptor *f =
        protobuf_c_message_descriptor_get_field_by_name(message->descriptor, name);
    return f && f->type == PROTOBUF_C_TYPE_UINT32 ? (char *)message + f->offset : NULL;
}

/* Moves what the lists of `from` hold to the ends of those of `to`. */
static void append(ProtobufCMessage *to, ProtobufCMessage *from)
{
    for (unsigned i = 0; i < to->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &to->descriptor->fields[i];
        if (f->label != PROTOBUF_C_LABEL_REPEATED || f->type != PROTOBUF_C_TYPE_MESSAGE)
            continue;
        size_t *n = (size_t *)(void *)((char *)to + f->quantifier_offset);
        size_t *more = (size_t *)(void *)((char *)from + f->quantifier_offset);
        void ***list = (void ***)(void *)((char *)to + f->offset);
        void **tail = *(void ***)(void *)((char *)from + f->offset);
        if (!*more)
            continue;
        *list = xrealloc(*list, *n + *more, sizeof(**list));
        memcpy(*list + *n, tail, *more * sizeof(**list));
        *n += *more;
        *more = 0;
    }
}

static int call_all(struct client *client, const char *method, const ProtobufCMessage *request, bool once,
                    ProtobufCMessage **ret, struct error *err)
{
    _cleanup_free_ ProtobufCMessage *asked = xcalloc(1, request->descriptor->sizeof_message);
    memcpy(asked, request, request->descriptor->sizeof_message);
    _cleanup_reply_ ProtobufCMessage *all = NULL;
    uint32_t *from = field_of(asked, "from");
    for (;;) {
        _cleanup_reply_ ProtobufCMessage *page = NULL;
        int r = client_call(client, method, asked, once, &page, err);
        if (r < 0)
            return r;
        const uint32_t *next = field_of(page, "next");
        uint32_t on = from && next && *next > *from ? *next : 0;
        if (all)
            append(all, page);
        else
            all = steal(&page);
        if (!on)
            break;
        *from = on;
    }
    *ret = steal(&all);
    return 0;
}

int client_try(const struct cli *cli, const char *method, const ProtobufCMessage *request, bool once,
               int refused, ProtobufCMessage **ret, struct error *err)
{
    _cleanup_(client_closep) struct client *client = NULL;
    if (client_open(cli, NULL, NULL, NULL, &client, err) < 0 ||
        call_all(client, method, request, once, ret, err) < 0)
        return client_exit(err, refused);
    return EXIT_DONE;
}

int client_ask(struct cli *cli, const char *method, const ProtobufCMessage *request, bool once, int refused,
               ProtobufCMessage **ret)
{
    struct error err = {0};
    int exit = client_try(cli, method, request, once, refused, ret, &err);
    return exit ? cli_fail(cli, exit, &err) : EXIT_DONE;
}

void reply_free(void *reply)
{
    if (reply)
        protobuf_c_message_free_unpacked(reply, NULL);
}
