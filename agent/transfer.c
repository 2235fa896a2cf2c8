/* The source's running transfer: libvirt's job, its commit point, who listens, and what the guest felt. */
#include "agent/transaction.h"

#include "agent/copies.h"
#include "agent/core/harm.h"
#include "agent/core/link_fact.h"
#include "agent/core/stop.h"
#include "agent/io/commit_point.h"
#include "agent/io/migration.h"
#include "agent/ladder_run.h"
#include "agent/listeners.h"
#include "agent/samples.h"
#include "common/base/memory.h"
#include "common/story/story.h"

#include <string.h>

#define LIBVIRT_STATUS_DIR "/run/libvirt/qemu"
enum { TAKE_UP_MS = 2000 }; /* between two tries to go on with a post-copy whose stream broke */

struct transfer {
    struct transaction *txn;
    struct migration *migration;
    struct commit_point *commit;
    struct ladder_run *ladder;
    Drover__V1__Forecast forecast; /* its texts are static, or forecast_why */
    char forecast_why[256];
    struct link_fact link; /* what it may say of that */
    char *to;              /* the destination's name */
    bool foretold, learnt; /* there is one; its fact has taught */
    bool adopted;          /* and no sample yet: stopped_ms is only what the manifest says */
    struct ladder_start start;
    struct listeners listeners;
    bool back;          /* the call is; or the adopted job is gone */
    struct error why;   /* of the call */
    int64_t stopped_ms; /* monotonic; the guest's last stop here, 0: it runs */
    struct stop stop;   /* whose that is */
    bool ours;          /* the stop is libvirt's, as asked for; or it was found stopped, and nobody knows */
    bool seen_running;
    int64_t committed_ms, fenced_ms, activated_ms;
    enum participant_answer activation; /* NO_ANSWER until the destination has answered */
    char activation_text[200];
    int64_t ran_for;            /* ms that the destination let it run before it answered, in post-copy */
    bool taking_up, was_broken; /* post-copy: libvirt is asked to go on with it; libvirt's stream broke */
    bool was_pushed;            /* QEMU's was broken on purpose at the last try */
    int64_t next_try_ms;        /* monotonic */
    uint64_t sent;              /* at the last try */
    uint32_t iteration;
    bool has_result; /* libvirt's statistics of the whole job */
    struct harm harm;
    Drover__V1__Result result;
};

static void tell_decision(const struct transfer *t, const Drover__V1__Decision *d)
{
    Drover__V1__TransferEvent event = DROVER__V1__TRANSFER_EVENT__INIT;
    event.decision = d->text;
    event.run = t->txn->story->run;
    event.number = d->number;
    listeners_tell(&t->listeners, &event);
}

static void decision(void *arg, const char *text)
{
    struct transfer *t = arg;
    tell_decision(t, story_decide(t->txn->story, (uint64_t)clock_realtime_ms(), text));
}

/* ---- libvirt's job ---- */

static void on_sample(void *arg, const Drover__V1__Progress *sample);
static void on_ended(void *arg, const struct error *why);

/* Borrows the transaction's and the agent's strings. */
static struct migration_config job_of(struct transfer *t)
{
    const struct agent *agent = t->txn->all->agent;
    const Drover__V1__Record *r = t->txn->record;
    return (struct migration_config){
        .loop = agent->loop,
        .workers = agent->workers,
        .libvirt = agent->libvirt,
        .libvirt_uri = agent->config->libvirt,
        .guest = t->txn->guest,
        .destination = r->peer->libvirt_remote,
        .uri = r->peer->migration_uri,
        .live = !t->start.paused,
        .auto_converge = t->start.auto_converge,
        .post_copy = t->start.post_copy,
        .bandwidth = t->txn->begin_bandwidth ? t->txn->begin_bandwidth : ladder_run_limit(t->txn),
        .relocation = r->relocation,
        .downtime_ms = t->start.downtime,
        .sample = on_sample,
        .ended = on_ended,
        .arg = t,
    };
}

/* What was told beside a call that begins, or to one that is watched by another now. */
static void share_again(struct transfer *t)
{
    if (t->txn->shared)
        transfer_share(t->txn, t->txn->share, t->txn->waits);
}

/* libvirt's call failed after post-copy was asked for. Its job stays, and may even complete by itself when the path is back:
 * it is watched on. `ended` comes again when there is no job any more. */
static void watch_on(struct transfer *t, const struct error *why)
{
    struct migration_config config = job_of(t);
    char text[300];
    log_warn("transaction %s: %s; it is watched on", t->txn->id, why->text);
    snprintf(text, sizeof(text), "%s in post-copy: %.200s",
             t->taking_up ? "libvirt can't go on yet" : "libvirt's stream broke", why->text);
    if (!t->was_broken || !t->taking_up)
        decision(t, text);
    t->was_broken = true;
    t->taking_up = false;
    t->next_try_ms = clock_monotonic_ms() + TAKE_UP_MS;
    migration_free(t->migration);
    t->migration = migration_adopt(&config);
    share_again(t);
}

/* Neither end may be ended now, so a broken stream is taken up again, for as long as it takes. libvirt refuses that while QEMU
 * has not noticed; where nothing was sent since the last try, QEMU's half is broken as well, which loses nothing. */
static void post_copy_sample(struct transfer *t, const Drover__V1__Progress *sample)
{ /* model: S27 S28 */
    int64_t now = clock_monotonic_ms();
    if (!sample->broken || t->taking_up || now < t->next_try_ms)
        return;
    bool stands_still = t->was_broken && t->sent == sample->bytes_done;
    t->sent = sample->bytes_done;
    t->was_broken = true;
    t->next_try_ms = now + TAKE_UP_MS;
    if (stands_still && !t->was_pushed) {
        t->was_pushed = true;
        ladder_run_break_post_copy(t->ladder);
        return;
    }
    t->was_pushed = false;
    struct migration_config config = job_of(t);
    config.post_copy = config.take_up = true;
    config.auto_converge = false;
    config.relocation = NULL;
    config.downtime_ms = 0;
    log_info("transaction %s: the broken post-copy is taken up again", t->txn->id);
    t->taking_up = true;
    t->txn->calling = true;
    migration_free(t->migration);
    t->migration = migration_start(&config);
    share_again(t);
}

/* ---- what happens ---- */

static void set_downtime(void *arg, int64_t ms)
{
    struct transfer *t = arg;
    migration_set_downtime(t->migration, ms);
}

/* An operator has paused the guest: it is moved as it is, no limit of a pause holds, and it is not let run. */
static void note_pause(struct transfer *t)
{
    if (t->stop.state != STOP_OTHER || t->ours || ladder_run_pauses(t->ladder) || t->txn->others_pause)
        return;
    t->txn->others_pause = true;
    decision(t, "an operator has paused the guest (virsh suspend): it goes on as it is, and stays paused "
                "where it ends");
    drive_look(t->txn);
}

static void note_sample(struct transfer *t, const Drover__V1__Progress *sample)
{
    if (!sample->paused) {
        t->seen_running |= !sample->post_copy;
        return;
    }
    if (!t->stopped_ms) { /* nobody told: it was so before */
        t->stopped_ms = clock_monotonic_ms();
        t->ours |= !t->seen_running;
    }
    stop_sample(&t->stop, true, (int64_t)sample->bytes_total, (int64_t)sample->bytes_done);
    note_pause(t);
}

static void on_sample(void *arg, const Drover__V1__Progress *sample)
{
    struct transfer *t = arg;
    if (t->adopted && !sample->paused) { /* the program ended before the pause that it had written down */
        t->stopped_ms = 0;
        stop_ends(&t->stop);
    }
    t->adopted = false;
    int64_t stopped = t->stopped_ms ? clock_monotonic_ms() - t->stopped_ms : 0;
    harm_sample(&t->harm, sample->elapsed, sample->throttle);
    t->link.shared |= transaction_shares_link(t->txn);
    note_sample(t, sample);
    /* While nobody knows whose the stop is, only the deadline holds. */
    bool open = t->stop.state == STOP_OPEN && !t->ours && !ladder_run_pauses(t->ladder);
    ladder_run_sample(t->ladder, sample, stopped, t->txn->others_pause || open);
    Drover__V1__Progress progress = *sample;
    progress.remaining = sample->broken ? -1 : ladder_run_time_left(t->ladder);
    if (t->iteration > progress.iteration)
        progress.iteration = t->iteration;
    if (sample->post_copy) {
        progress.phase = (char *)"post-copy";
        post_copy_sample(t, sample);
    } else if (t->stopped_ms && !t->txn->others_pause) {
        progress.phase = (char *)"switch-over";
        progress.downtime = stopped;
    }
    story_pass(&t->txn->story->n_passes, &t->txn->story->passes, &progress);
    Drover__V1__TransferEvent event = DROVER__V1__TRANSFER_EVENT__INIT;
    event.progress = &progress;
    listeners_tell(&t->listeners, &event);
}

static void learn_link(struct transfer *t)
{
    int64_t figure = link_fact_figure(&t->link, ladder_run_carried(t->ladder));
    if (figure && !t->was_broken)
        samples_learn_link(t->txn->all->agent->samples, t->to, figure, "migration");
}

/* From what came to its end: the link, and once all is known of a transfer that nothing has disturbed, the forecast. */
static void learn(struct transfer *t)
{
    Drover__V1__Result result;
    if (t->activation != PARTICIPANT_RUNS)
        return;
    learn_link(t);
    if (t->learnt || t->was_broken || t->txn->others_pause || t->harm.stood || !t->foretold ||
        t->forecast.disk_bytes || !transfer_result(t->txn, &result))
        return;
    t->learnt = true;
    samples_learn_fact(t->txn->all->agent->samples, t->to, &t->forecast, &result);
}

static void on_ended(void *arg, const struct error *why)
{
    struct transfer *t = arg;
    t->txn->call_succeeded |= t->txn->calling && !why; /* libvirt's event may have said so before */
    t->txn->calling = false;                           /* also of one that is watched on: it is back */
    if (why && t->txn->post_copy) {
        watch_on(t, why);
        return;
    }
    t->back = true;
    if (why)
        t->why = *why;
    if (why && ladder_run_cancelled(t->ladder))
        error_set(&t->why, why->code, "%s", ladder_run_cancelled(t->ladder));
    t->commit = commit_point_free(t->commit);
    migration_quiet(t->migration);
    drive_look(t->txn);
}

static void on_commit(void *arg)
{
    struct transfer *t = arg;
    t->committed_ms = clock_monotonic_ms();
    t->txn->committed = true;
    migration_quiet(t->migration);
    drive_look(t->txn);
}

void transfer_share(struct transaction *txn, uint64_t bandwidth, bool waits)
{
    txn->waits = waits;
    txn->share = bandwidth;
    txn->shared = true;
    if (!txn->transfer || !txn->transfer->migration)
        return; /* it is told when it begins */
    link_fact_limit(&txn->transfer->link, bandwidth);
    migration_set_bandwidth(txn->transfer->migration, bandwidth);
}

void transfer_event(struct transaction *txn, const struct libvirt_event *event)
{
    struct transfer *t = txn->transfer;
    if (event->kind == LIBVIRT_ITERATION) {
        t->iteration = (uint32_t)event->event;
        stop_pass(&t->stop);
        note_pause(t);
        migration_sample(t->migration); /* what remains is judged right after a sync */
    } else if (event->kind == LIBVIRT_JOB_COMPLETED) {
        migration_result(event->params, event->n_params, &t->result);
        t->has_result = true;
        learn(t);
    } else if (event->event == VIR_DOMAIN_EVENT_SUSPENDED) {
        if (!t->stopped_ms || t->adopted)
            t->stopped_ms = event->at_ms;
        t->adopted = false;
        stop_begins(&t->stop);
        migration_sample(t->migration);
    } else if (event->event == VIR_DOMAIN_EVENT_RESUMED) {
        if (!txn->others_pause)
            harm_resumed(&t->harm, t->stopped_ms, event->at_ms);
        t->stopped_ms = 0;
        stop_ends(&t->stop);
        if (event->detail ==
            VIR_DOMAIN_EVENT_RESUMED_UNPAUSED) /* else libvirt did it, since the transfer has failed */
            txn->others_pause = false;
    } else if (event->event == VIR_DOMAIN_EVENT_STOPPED &&
               event->detail == VIR_DOMAIN_EVENT_STOPPED_MIGRATED) {
        txn->call_succeeded = true;
        drive_look(txn);
    } else if (event->event == VIR_DOMAIN_EVENT_STOPPED) {
        txn->ran_to_the_end = t->seen_running && !t->stopped_ms;
    }
}

void transfer_start(struct transaction *txn, bool adopt)
{
    if (txn->transfer)
        return;
    struct agent *agent = txn->all->agent;
    const Drover__V1__Record *r = txn->record;
    struct transfer *t = txn->transfer = new0(struct transfer);
    t->txn = txn;
    drover__v1__result__init(&t->result);
    if (r->guest)
        samples_forecast(agent->samples, r->guest, r->mode, r->policy, ladder_run_limit(txn), r->peer->host,
                         copies_bytes(txn), &t->forecast, t->forecast_why);
    if (!txn->story)
        txn->story = story_new((uint64_t)clock_realtime_ms());
    if (r->guest && !adopt)
        story_foretell(txn->story, &t->forecast);
    t->foretold = r->guest && !adopt && t->forecast.way && t->forecast.way[0];
    t->to = xstrdup(r->peer->host);
    t->link.unknown = adopt;
    link_fact_limit(&t->link, txn->begin_bandwidth);
    link_fact_limit(&t->link, ladder_run_limit(txn));
    t->ladder = ladder_run_new(txn, decision, set_downtime, t, adopt, &t->start);
    t->adopted = t->harm.late = adopt;
    t->stopped_ms = adopt ? ladder_run_paused_since(txn) : txn->suspended_ms;
    if (t->stopped_ms)
        stop_begins(&t->stop);
    t->ours = t->start.paused;
    t->seen_running = !adopt && !t->start.paused && !t->stopped_ms; /* MIGRATE has just looked */
    struct migration_config config = job_of(t);
    struct error err = {0};
    if (adopt)
        snprintf(t->start.why, sizeof(t->start.why),
                 "the agent was restarted: it watches the migration that libvirt has under way");
    if (t->start.why[0] && (adopt || !t->start.refused))
        decision(t, t->start.why);
    if (commit_point_watch(agent->loop, LIBVIRT_STATUS_DIR, transaction_guest_name(txn), txn->guest,
                           on_commit, t, &t->commit, &err) < 0)
        log_info("transaction %s: the pause will be longer, by up to 2 s: %s", txn->id, err.text);
    /* Connected beforehand, so that no handshake falls into the pause. */
    if (!peers_client(txn->all->peers, r->peer, &err))
        log_warn("transaction %s: %s", txn->id, err.text);
    if (adopt) {
        log_info("transaction %s: libvirt's migration goes on; it is watched again", txn->id);
        t->migration = migration_adopt(&config);
        if (t->start.downtime && !t->start.paused)
            migration_set_downtime(t->migration, t->start.downtime);
        share_again(t);
    } else if (t->start.refused) {
        error_set(&t->why, STATUS_FAILED_PRECONDITION, "%s", t->start.why);
        t->back = true;
        drive_look(txn);
    } else {
        txn->calling = true;
        t->migration = migration_start(&config);
        share_again(t);
    }
}

void transfer_free(struct transfer *t)
{
    if (!t)
        return;
    listeners_end(&t->listeners, false, "the agent stops; the transfer goes on in libvirt");
    migration_free(t->migration);
    commit_point_free(t->commit);
    ladder_run_free(t->ladder);
    free(t->to);
    free(t);
}

void transfer_listen(struct transaction *txn, struct rpc_call *call)
{
    struct transfer *t = txn->transfer;
    if (!t && txn->state == PARTICIPANT_MIGRATING && !txn->looked) {
        struct error err = {0};
        error_set(&err, STATUS_UNAVAILABLE,
                  "the agent was restarted and has not heard yet from libvirt how the migration is");
        rpc_call_fail(call, &err);
        return;
    }
    if (!t || t->back || txn->state != PARTICIPANT_MIGRATING) {
        bool gone = txn->state == PARTICIPANT_FENCED;
        const char *given_up = ladder_run_given_up(txn);
        listener_answer(call, gone,
                        gone               ? NULL
                        : t && t->why.code ? t->why.text
                        : given_up         ? given_up
                                           : "the transfer is over; it has to be settled");
        return;
    }
    listeners_add(&t->listeners, call);
    const Drover__V1__Story *told = txn->story; /* again to who has heard it: decisions are numbered */
    if (told->forecast) {
        Drover__V1__TransferEvent event = DROVER__V1__TRANSFER_EVENT__INIT;
        event.forecast = told->forecast;
        listeners_tell(&t->listeners, &event);
    }
    for (size_t i = 0; i < told->n_decisions; i++)
        tell_decision(t, told->decisions[i]);
}

void transfer_stepped(struct transaction *txn)
{
    struct transfer *t = txn->transfer;
    if (!t)
        return;
    if (txn->state == PARTICIPANT_FENCED && !t->fenced_ms) {
        t->fenced_ms = clock_monotonic_ms();
        log_info("transaction %s: guest %s is fenced here, %lld ms after it stopped", txn->id, txn->guest,
                 t->stopped_ms ? (long long)(t->fenced_ms - t->stopped_ms) : -1LL);
    }
    if (txn->state == PARTICIPANT_FENCED && t->activation != PARTICIPANT_NO_ANSWER)
        listeners_end(&t->listeners, true, NULL);
    else if (txn->state == PARTICIPANT_MIGRATING && t->back)
        listeners_end(&t->listeners, false,
                      t->why.code ? t->why.text
                      : ladder_run_cancelled(t->ladder)
                          ? ladder_run_cancelled(t->ladder) /* of an adopted job nobody says why */
                          : "libvirt's job is gone, and the guest has not left");
    else if (txn->state != PARTICIPANT_MIGRATING && txn->state != PARTICIPANT_FENCED) {
        if (ladder_run_cancelled(t->ladder)) /* all that it has sent went over the link, too */
            learn_link(t);
        transfer_free(steal(&txn->transfer));
    }
}

void transfer_activated(struct transaction *txn, enum participant_answer answer, int64_t ran_for,
                        const char *text)
{
    struct transfer *t = txn->transfer;
    handover_free(steal(&txn->handover));
    if (!t) {
        log_info("transaction %s: %s", txn->id, text);
        return;
    }
    t->activated_ms = clock_monotonic_ms();
    t->activation = answer;
    t->ran_for = ran_for;
    snprintf(t->activation_text, sizeof(t->activation_text), "%s", text);
    log_info("transaction %s: %s; %lld ms after FENCED", txn->id, text,
             (long long)(t->activated_ms - t->fenced_ms));
    decision(t, text);
    learn(t);
    transfer_stepped(txn);
}

bool transfer_is_activated(const struct transaction *txn)
{
    return txn->transfer && txn->transfer->activation != PARTICIPANT_NO_ANSWER;
}

bool transfer_result(const struct transaction *txn, Drover__V1__Result *ret)
{
    const struct transfer *t = txn->transfer;
    if (!t)
        return true;
    bool runs = t->activation == PARTICIPANT_RUNS;
    *ret = t->result;
    ret->seen_late = t->harm.late;
    ret->throttled = (int64_t)t->harm.throttled;
    if (t->harm.throttle > ret->throttle)
        ret->throttle = t->harm.throttle;
    ret->post_copy = txn->post_copy;
    ret->others_pause = txn->others_pause;
    if (runs && t->stopped_ms && !txn->others_pause) {
        ret->pause = harm_pause(&t->harm, t->stopped_ms, t->activated_ms - t->ran_for);
        int64_t last = ret->pause - t->harm.stood;
        if (t->has_result)
            ret->handover = last > ret->downtime ? last - ret->downtime : 0;
    }
    return t->activation != PARTICIPANT_NO_ANSWER && t->has_result;
}

void transfer_harm(const struct transaction *txn, Drover__V1__Result *ret)
{
    const struct transfer *t = txn->transfer;
    ret->given_up = ladder_run_given_up(txn) || (t && ladder_run_cancelled(t->ladder));
    if (!t)
        return;
    ret->transfer = t->harm.elapsed;
    ret->seen_late = t->harm.late;
    ret->others_pause = txn->others_pause;
    ret->throttled = (int64_t)t->harm.throttled;
    ret->throttle = t->harm.throttle;
    ret->pause = harm_pause(&t->harm, txn->others_pause ? 0 : t->stopped_ms, clock_monotonic_ms());
}
