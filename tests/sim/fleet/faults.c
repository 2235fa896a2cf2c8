/* What strikes when: a few faults at random steps, over a network that may be bad all the time. */
#include "world.h"

#include <string.h>

enum fault {
    COORDINATOR_DIES,
    AGENT_DIES,
    LIBVIRT_DIES,
    NETWORK_CUT,
    HOST_DIES,
    CANCELLED,
    A_DAY_PASSES,
    QEMU_DIES,
    CLOCK_JUMPS,
    TAKEN_OVER,
    DISK_FULL,
    STALLS,
    STATE_RESTORED,
    FAULT_KINDS
};

static const unsigned weight[FAULT_KINDS] = {
    [COORDINATOR_DIES] = 18, [AGENT_DIES] = 18,  [LIBVIRT_DIES] = 11,  [NETWORK_CUT] = 10, [HOST_DIES] = 7,
    [CANCELLED] = 6,         [A_DAY_PASSES] = 6, [QEMU_DIES] = 6,      [CLOCK_JUMPS] = 4,  [TAKEN_OVER] = 4,
    [DISK_FULL] = 4,         [STALLS] = 3,       [STATE_RESTORED] = 3,
};

static void a_day_passes(struct world *w)
{
    world_saw(w, SEEN_DAY);
    world_trace(w, "FAULT: a day passes");
    for (int h = 0; h < HOSTS; h++) {
        w->hosts[h].clock += KEEP_MS + HOUR_MS;
        w->hosts[h].slept += KEEP_MS + HOUR_MS;
        w->hosts[h].agent.connection++;
        disk_tidy(w, h);
    }
}

/* The host's wall clock. No decision of a coordinator rests on one: it stamps what it shows, and begins a new store with it. */
static void clock_jumps(struct world *w, int host)
{
    static const int64_t jumps[] = {-KEEP_MS - HOUR_MS, -HOUR_MS, HOUR_MS, KEEP_MS + HOUR_MS,
                                    (int64_t)4000 * HOUR_MS};
    int64_t jump = jumps[world_random(w, sizeof(jumps) / sizeof(jumps[0]))];
    world_saw(w, jump > 0 ? SEEN_CLOCK_FORWARD : SEEN_CLOCK_BACK);
    world_trace(w, "FAULT: the clock of %d jumps by %lld h", host, (long long)(jump / HOUR_MS));
    w->hosts[host].clock += jump;
    disk_tidy(w, host);
}

static void cut(struct world *w)
{
    w->cut_off = (unsigned)world_random(w, 8);
    for (int h = 0; h < HOSTS; h++)
        w->lost[h] &= (w->cut_off & 1u << h) != 0;
    if (w->cut_off)
        world_saw(w, SEEN_CUT);
    world_trace(w, "FAULT: the network is cut: %u", w->cut_off);
    world_after(w, (int64_t)world_random(w, world_chance(w, 300) ? 60000 : 8000), EV_HEAL);
}

static void host_dies(struct world *w, int host)
{
    world_saw(w, SEEN_HOST_DIED);
    w->hosts[host].boots = true;
    libvirt_qemu_dies(w, host);
    libvirt_crash(w, host);
    agent_crash(w, host);
    disk_power_cut(w, host);
}

/* Nothing can be written for a while. The coordinator has its ballast. */
static void disk_full(struct world *w)
{
    unsigned party = (unsigned)world_random(w, PARTIES);
    int64_t until = w->now + 1 + (int64_t)world_random(w, 30000);
    world_trace(w, "FAULT: the disk of %u is full", party);
    if (party == COORDINATOR) {
        w->coordinator.full_until = until;
        w->coordinator.ballast = (unsigned)world_random(w, 20);
    } else {
        w->hosts[party].agent.full_until = until;
    }
}

/* A program that is stopped, or waits for its disk: when it goes on, what it saw is old, and its monotonic clock has leapt. */
static void stalls(struct world *w)
{
    unsigned party = (unsigned)world_random(w, PARTIES);
    int64_t ms = 1 + (int64_t)world_random(w, world_chance(w, 300) ? 60000 : 3000);
    world_saw(w, party == COORDINATOR ? SEEN_COORDINATOR_STALLED : SEEN_AGENT_STALLED);
    world_trace(w, "FAULT: %u stands still for %lld ms", party, (long long)ms);
    w->stalled[party] = w->now + ms;
}

static void strike(struct world *w, enum fault fault)
{
    int host = (int)world_random(w, HOSTS);
    switch (fault) {
    case COORDINATOR_DIES: coordinator_crash(w, &w->coordinator); break;
    case AGENT_DIES: agent_crash(w, host); break;
    case LIBVIRT_DIES: libvirt_crash(w, host); break;
    case NETWORK_CUT: cut(w); break;
    case CANCELLED: world_after(w, 0, EV_CANCEL); break;
    case A_DAY_PASSES: a_day_passes(w); break;
    case HOST_DIES: host_dies(w, host); break;
    case CLOCK_JUMPS: clock_jumps(w, host); break;
    case STATE_RESTORED:
        agent_crash(w, host);
        disk_restore(w, host);
        break;
    case QEMU_DIES: libvirt_qemu_dies(w, host); break;
    case TAKEN_OVER: coordinator_replace(w); break;
    case DISK_FULL: disk_full(w); break;
    case STALLS: stalls(w); break;
    case FAULT_KINDS: break;
    }
}

static enum fault some_fault(struct world *w)
{
    unsigned n = (unsigned)world_random(w, 100);
    for (unsigned f = 0; f < FAULT_KINDS; f++) {
        if (n < weight[f])
            return (enum fault)f;
        n -= weight[f];
    }
    return COORDINATOR_DIES;
}

void faults_plan(struct world *w)
{
    static const unsigned losses[] = {0, 0, 20, 100, 300}, repeats[] = {0, 100, 300}, slows[] = {0, 50, 300};
    w->loss = losses[world_random(w, 5)];
    w->repeat = repeats[world_random(w, 3)];
    w->slow = slows[world_random(w, 3)];
    w->n_faults = (unsigned)world_random(w, FAULTS + 1);
    for (unsigned i = 0; i < w->n_faults; i++) {
        /* Some wait for one of the short moments that matter most. */
        bool aimed = world_chance(w, 250);
        w->faults[i].phase = aimed ? (enum job_phase)(JOB_POST_COPY + world_random(w, 4)) : JOB_NONE;
        w->faults[i].step = (unsigned)world_random(w, aimed ? 4 : 220);
        w->faults[i].kind = (int)some_fault(w);
    }
}

void faults_strike(struct world *w)
{
    for (unsigned i = 0; i < w->n_faults; i++) {
        if (w->faults[i].over || (w->faults[i].phase && w->faults[i].phase != w->job.phase))
            continue;
        bool now = w->faults[i].phase ? w->faults[i].step-- == 0 : w->faults[i].step == w->steps;
        if (!now)
            continue;
        w->faults[i].over = true;
        strike(w, (enum fault)w->faults[i].kind);
    }
}

void faults_aim_at_kept(struct world *w, int host)
{
    if (w->calm || w->hosts[1 - host].domain.qemu != Q_PAUSED || !world_chance(w, 100))
        return;
    struct event *e = world_after(w, (int64_t)world_random(w, 3), EV_HOST_LOST);
    e->host = host;
}

void faults_aim_at_fenced(struct world *w, int host)
{
    /* Not by the generator: what the other seeds play stays as it is. */
    uint64_t die = (w->seed + (uint64_t)w->orders) * 0x9e3779b97f4a7c15 >> 32;
    if (w->calm || die % 20)
        return;
    struct event *e = world_after(w, (int64_t)(die / 20 % (die & 1 << 20 ? 4 : 100)), EV_HOST_LOST);
    e->host = 1 - host;
}

void faults_lose_host(struct world *w, int host)
{
    world_trace(w, "FAULT: %d is cut off, and loses its power", host);
    w->cut_off |= 1u << host;
    w->lost[host] = true;
    world_saw(w, SEEN_CUT);
    host_dies(w, host);
    world_after(w, 20000 + (int64_t)world_random(w, 40000), EV_HEAL);
    world_after(w, 12000 + (int64_t)world_random(w, 15000), EV_GRANT);
}

void faults_end(struct world *w)
{
    world_trace(w, "no more faults");
    w->calm = true;
    memset(w->lost, 0, sizeof(w->lost));
    w->loss = w->repeat = w->slow = w->cut_off = w->n_faults = 0;
    w->coordinator.full_until = 0;
    for (int h = 0; h < HOSTS; h++)
        w->hosts[h].agent.full_until = 0;
    coordinator_crash(w, &w->deposed); /* somebody stops it, as the agents' refusals say */
    if (world_chance(w, 500))
        world_after(w, DOUBT_MS, EV_OPERATOR);
}

static int party_of(const struct event *e)
{
    switch (e->kind) {
    case EV_COORDINATOR_STEP:
    case EV_COORDINATOR_TIMER:
    case EV_ANSWER:
    case EV_FAILED:
    case EV_HEARD: return COORDINATOR;
    case EV_DELIVER:
    case EV_AGENT_STEP:
    case EV_LOOK:
    case EV_PEER:
    case EV_PEER_ANSWER:
    case EV_ASK:
    case EV_TELL:
    case EV_LIBVIRT_TELLS: return e->host;
    default: return -1;
    }
}

bool faults_postpone(struct world *w, const struct event *e)
{
    int party = party_of(e);
    if (party < 0 || w->stalled[party] <= w->now)
        return false;
    struct event *later = world_after(w, w->stalled[party] - w->now, e->kind);
    struct event copy = *e;
    copy.at = later->at;
    copy.order = later->order;
    *later = copy;
    return true;
}
