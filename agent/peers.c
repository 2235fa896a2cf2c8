/* One connection to each agent that this one has handed guests to, kept warm: no handshake falls into a guest's pause. */
#include "agent/transaction.h"

#include "common/base/memory.h"

enum { MAX_PEERS = 64 };

struct peer {
    struct peer *next;
    char *url, *name;
    struct rpc_client *client;
};

struct peers {
    struct agent *agent;
    struct peer *list; /* used last first */
};

struct peers *peers_new(struct agent *agent)
{
    struct peers *p = new0(struct peers);
    p->agent = agent;
    return p;
}

static void peer_free(struct peer *p)
{
    rpc_client_free(p->client);
    free(p->url);
    free(p->name);
    free(p);
}

void peers_free(struct peers *peers)
{
    if (!peers)
        return;
    while (peers->list) {
        struct peer *p = peers->list;
        peers->list = p->next;
        peer_free(p);
    }
    free(peers);
}

static void drop_oldest(struct peers *peers)
{
    unsigned n = 0;
    for (struct peer **p = &peers->list; *p; p = &(*p)->next)
        if (++n > MAX_PEERS) {
            peer_free(steal(p));
            return;
        }
}

int peers_check_source(const struct transaction *txn, const struct rpc_peer *peer, struct error *err)
{
    const Drover__V1__Endpoint *source = txn->record->peer;
    if (!source || !source->host[0] || peer->role != RPC_AGENT || streq(source->host, peer->name))
        return 0;
    return error_set(err, STATUS_PERMISSION_DENIED,
                     "the source of transaction %s is %s, and this comes from the agent of %s", txn->id,
                     source->host, peer->name);
}

struct rpc_client *peers_client(struct peers *peers, const Drover__V1__Endpoint *endpoint, struct error *err)
{
    struct peer *found = NULL;
    for (struct peer **p = &peers->list; *p; p = &(*p)->next)
        if (streq((*p)->url, endpoint->agent_url) && streq((*p)->name, endpoint->host)) {
            found = *p;
            *p = found->next;
            break;
        }
    if (!found) {
        struct rpc_client *client = NULL;
        const char *name = endpoint->host && endpoint->host[0] ? endpoint->host : NULL;
        struct rpc_client_config config = {
            .url = endpoint->agent_url,
            .loop = peers->agent->loop,
            .tls = peers->agent->tls,
            .peer_role = RPC_AGENT,
            .peer_name = name,
            .backoff_max_ms = 1000,
        };
        if (rpc_client_new(&config, &client, err) < 0)
            return NULL;
        found = new0(struct peer);
        found->url = xstrdup(endpoint->agent_url);
        found->name = xstrdup(endpoint->host);
        found->client = client;
    }
    found->next = peers->list;
    peers->list = found;
    drop_oldest(peers);
    return found->client;
}
