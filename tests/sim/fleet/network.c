/* Calls from the coordinator to agents, and between agents. A request may be lost, late, or delivered twice; an answer may be
 * lost or late. To the caller each call ends exactly once: with the answer, or as failed. */
#include "world.h"

static int64_t delay(struct world *w)
{
    if (world_chance(w, w->slow)) {
        world_saw(w, SEEN_LATE);
        return 1 + (int64_t)world_random(w, world_chance(w, 200) ? 90000 : 3000);
    }
    return 1 + (int64_t)world_random(w, 4);
}

static bool is_cut(const struct world *w, int host, bool mesh)
{
    return w->cut_off & (mesh ? 1u << HOSTS : 1u << host);
}

static void deliver(struct world *w, int host, const struct message *m)
{
    struct event *e = world_after(w, delay(w), EV_DELIVER);
    e->host = host;
    e->message = *m;
}

void network_send(struct world *w, int host, const struct message *m, bool mesh)
{
    bool lost = is_cut(w, host, mesh) || world_chance(w, w->loss);
    struct message sent = *m;
    sent.connection = w->hosts[host].agent.connection;
    sent.number = ++w->hosts[host].agent.sent;
    m = &sent;
    if (!lost) {
        deliver(w, host, m);
    } else {
        world_saw(w, SEEN_LOST);
        world_trace(w, "  lost");
    }
    /* What the network repeats, nobody waits for. */
    if (world_chance(w, w->repeat)) {
        world_saw(w, SEEN_REPEATED);
        struct message again = *m;
        again.call = -2;
        deliver(w, host, &again);
    }
}

int network_call(struct world *w, const struct coordinator *c, enum txn_message what, enum txn_party party)
{
    int txn = c->current;
    static const int64_t patience[TXN_N_MESSAGES] = {
        [TXN_PREPARE] = 60000,  [TXN_MIGRATE] = 0,     [TXN_SETTLE] = 30000, [TXN_ABORT] = 30000,
        [TXN_ACTIVATE] = 30000, [TXN_RELEASE] = 30000, [TXN_COLD] = 120000,
    };
    int id = -1;
    for (int i = 0; i < CALLS && id < 0; i++)
        if (!w->calls[i].open)
            id = i;
    if (id < 0) {
        world_violate(w, "more than %d calls are open", CALLS);
        return 0;
    }
    w->calls[id] = (struct call){.open = true,
                                 .life = (unsigned)++w->order,
                                 .owner = c->life,
                                 .txn = txn,
                                 .message = what,
                                 .party = party};
    int host = party == TXN_SOURCE ? w->source_of[txn] : 1 - w->source_of[txn];
    /* A lost connection is noticed within 10 s, a deadline ends the rest. */
    bool noticed = is_cut(w, host, false) || !w->hosts[host].agent.alive;
    int64_t ms = noticed ? (world_chance(w, 500) ? 1 : 10000) : patience[what];
    if (ms) {
        struct event *e = world_after(w, ms, EV_FAILED);
        e->a = id;
        e->life = w->calls[id].life;
    }
    return id;
}

void network_answer(struct world *w, int from, int call, unsigned life, int answer)
{
    if (call < 0)
        return;
    bool lost = is_cut(w, from, false) || world_chance(w, w->loss);
    /* The end of a stream is not lost but for the connection's end, which the caller sees. */
    bool stream = w->calls[call].message == TXN_MIGRATE;
    if (lost && !stream) {
        world_saw(w, SEEN_ANSWER_LOST);
        world_trace(w, "  answer lost");
        return;
    }
    struct event *e = world_after(w, delay(w), lost ? EV_FAILED : EV_ANSWER);
    e->a = call;
    e->b = answer;
    e->life = life;
}

void network_tell(struct world *w, int from, int call, unsigned life, bool post_copy, bool broken)
{
    if (is_cut(w, from, false))
        return;
    struct event *e = world_after(w, delay(w), EV_HEARD);
    e->a = call;
    e->b = post_copy + 2 * broken;
    e->life = life;
}
