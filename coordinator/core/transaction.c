#include "coordinator/core/transaction_table.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- actions ----------------------------------------------------------------------------------------------------- */

static struct txn_action *add(struct txn_actions *a, enum txn_action_kind kind)
{
    if (a->n == TXN_MAX_ACTIONS)
        abort();
    struct txn_action *action = &a->list[a->n++];
    action->kind = kind;
    action->text[0] = 0;
    return action;
}

static void __attribute__((format(printf, 2, 3))) tell(struct txn_actions *a, const char *fmt, ...)
{
    struct txn_action *action = add(a, TXN_ACTION_TELL);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(action->text, sizeof(action->text), fmt, ap);
    va_end(ap);
}

static void arm(struct txn_actions *a, int64_t ms)
{
    add(a, TXN_ACTION_ARM)->ms = ms;
}

static void send(struct txn *t, struct txn_actions *a, enum txn_message message, enum txn_party party)
{
    struct txn_action *action = add(a, TXN_ACTION_SEND);
    action->message = message;
    action->party = party;
    t->flying |= TXN_BIT(party);
}

static void __attribute__((format(printf, 2, 3))) blame(struct txn *t, const char *fmt, ...)
{
    if (t->why[0])
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(t->why, sizeof(t->why), fmt, ap);
    va_end(ap);
}

/* ---- the moves --------------------------------------------------------------------------------------------------- */

static void ask(struct txn *t, struct txn_actions *a)
{
    unsigned who = txn_needed(t) & ~t->flying;
    for (unsigned p = 0; p < TXN_N_PARTIES; p++)
        if (who & TXN_BIT(p)) {
            if (t->state == TXN_PREPARING)
                t->asked |= TXN_BIT(p);
            send(t, a, txn_message_of(t, (enum txn_party)p), (enum txn_party)p);
        }
}

/* ---- moves ------------------------------------------------------------------------------------------------------- */

static void move(struct txn *t, enum txn_state to, int64_t now)
{
    if (!txn_may_move(t->state, to))
        abort();
    t->state = to;
    t->answered = t->flying = t->attempt = 0;
    t->entered = t->heard = now;
    t->in_doubt = false;
    t->last[0] = 0;
}

static void finish(struct txn *t, struct txn_actions *a, enum txn_state to, int64_t now)
{
    move(t, to, now);
    add(a, TXN_ACTION_JOURNAL);
    arm(a, 0);
    add(a, TXN_ACTION_FINISH);
}

static void settle(struct txn *t, struct txn_actions *a, int64_t now)
{
    move(t, TXN_SETTLING, now);
    add(a, TXN_ACTION_JOURNAL);
    arm(a, 0);
    ask(t, a);
}

static void enter(struct txn *t, struct txn_actions *a, enum txn_state to, int64_t now)
{
    move(t, to, now);
    t->transferred |= to == TXN_TRANSFER;
    if (to == TXN_ABORTING && !txn_needed(t)) {
        finish(t, a, TXN_ABORTED, now);
        return;
    }
    add(a, TXN_ACTION_JOURNAL);
    arm(a, to == TXN_TRANSFER ? TXN_QUIET_MS : 0);
    ask(t, a);
}

static void tell_doubt(const struct txn *t, struct txn_actions *a)
{
    char text[320], todo[320];
    txn_waiting(t, text, sizeof(text), todo, sizeof(todo));
    tell(a, "in doubt: %.300s", text);
}

/* Asks again later, ever more seldom. */
static void retry(struct txn *t, struct txn_actions *a, int64_t now)
{ /* model: C14 */
    if (now - t->entered >= TXN_DOUBT_AFTER_MS && !t->in_doubt) {
        t->in_doubt = true;
        tell_doubt(t, a);
    }
    int64_t ms = t->attempt < 5 ? TXN_RETRY_MIN_MS << t->attempt : TXN_RETRY_MAX_MS;
    t->attempt++;
    arm(a, ms < TXN_RETRY_MAX_MS ? ms : TXN_RETRY_MAX_MS);
}

/* ---- events ------------------------------------------------------------------------------------------------------ */

static const char *said(const struct txn_event *e)
{
    return e->text && e->text[0] ? e->text : "no reason given";
}

static void on_start(struct txn *t, const struct txn_event *e, struct txn_actions *a)
{ /* model: C1 */
    move(t, TXN_PREPARING, e->now);
    add(a, TXN_ACTION_JOURNAL);
    tell(a, "asks %s to prepare", t->host[TXN_SOURCE]);
    arm(a, TXN_PREPARE_MS);
    ask(t, a);
}

static void on_restart(struct txn *t, const struct txn_event *e, struct txn_actions *a)
{ /* model: C15 */
    t->answered = t->flying = t->attempt = 0;
    t->asked = TXN_BOTH;
    t->entered = t->heard = e->now;
    switch (t->state) {
    case TXN_PREPARING:
    case TXN_TRANSFER:
        blame(t, "the coordinator was restarted during the %s phase", txn_state_name(t->state));
        tell(a, "restarted in the %s phase: settles", txn_state_name(t->state));
        settle(t, a, e->now);
        break;
    case TXN_SETTLING:
    case TXN_ABORTING:
    case TXN_ACTIVATING:
    case TXN_RELEASING:
    case TXN_COLD_START:
        tell(a, "restarted in the %s phase: goes on", txn_state_name(t->state));
        ask(t, a);
        break;
    case TXN_DONE:
    case TXN_ABORTED: add(a, TXN_ACTION_FINISH); break;
    case TXN_NEW:
    case TXN_N_STATES: abort();
    }
}

static void on_vote(struct txn *t, const struct txn_event *e, struct txn_actions *a)
{ /* model: C2 C3 C4 */
    const char *host = t->host[e->party];
    if (e->kind == TXN_EVENT_ANSWER && e->answer == TXN_YES) {
        t->answered |= TXN_BIT(e->party);
        tell(a, "%s is prepared", host);
        if (txn_needed(t))
            ask(t, a);
        else
            enter(t, a, TXN_TRANSFER, e->now);
        return;
    }
    if (e->kind == TXN_EVENT_ANSWER)
        blame(t, "%s can't take part: %.200s", host, said(e));
    else
        blame(t, "%s didn't answer when asked to prepare: %.200s", host, said(e));
    tell(a, "%.300s", t->why);
    settle(t, a, e->now);
}

/* The source's agent goes on with its migration also while nobody listens, and when it was restarted: a repeated MIGRATE
 * listens again. One that has settled refuses it, so it starts nothing that was taken back. */
static void listen_again(struct txn *t, const struct txn_event *e, struct txn_actions *a)
{ /* in the model no step: a MIGRATE that was sent may come again at any time */
    snprintf(t->last, sizeof(t->last), "%.180s", said(e));
    if (t->attempt == 0)
        tell(a, "%.250s; listens again", said(e));
    arm(a, TXN_RETRY_MIN_MS << (t->attempt < 4 ? t->attempt : 4));
    t->attempt++;
}

static void on_transfer_end(struct txn *t, const struct txn_event *e, struct txn_actions *a)
{ /* model: C5 */
    if (e->kind == TXN_EVENT_NO_ANSWER && e->now - t->heard < TXN_SILENCE_MS) {
        listen_again(t, e, a);
        return;
    }
    if (e->kind == TXN_EVENT_ANSWER && e->answer == TXN_OK) {
        tell(a, "the transfer has ended, says libvirt on %s", t->host[TXN_SOURCE]);
    } else {
        blame(t, "the transfer ended: %.250s", said(e));
        tell(a, "%.300s", t->why);
    }
    settle(t, a, e->now);
}

static void on_settled(struct txn *t, const struct txn_event *e, struct txn_actions *a)
{ /* model: C6 C7 */
    t->paused |= e->paused;
    t->from_disks |= e->from_disks;
    if (e->paused)
        tell(a, "an operator paused %s in mid-transfer: it stays paused", t->guest);
    if (e->answer == TXN_KEPT) {
        tell(a, "%s keeps %s", t->host[TXN_SOURCE], t->guest);
        blame(t, "the transfer didn't complete");
        enter(t, a, TXN_ABORTING, e->now);
    } else {
        tell(a, "%s has left %s", t->guest, t->host[TXN_SOURCE]);
        t->transferred = true; /* also by another coordinator, of which this journal does not know */
        enter(t, a, TXN_ACTIVATING, e->now);
    }
}

static void on_activated(struct txn *t, const struct txn_event *e, struct txn_actions *a)
{ /* model: C8 C9 */
    const char *to = t->host[TXN_DESTINATION];
    if (e->answer == TXN_RUNNING) {
        t->from_disks &= e->from_disks; /* else the source itself had given it over before */
        tell(a,
             t->definition_only ? "%s is defined on %s"
             : t->from_disks    ? "%s was started from its disks on %s"
             : t->paused        ? "%s is on %s, paused"
                                : "%s runs on %s",
             t->guest, to);
        enter(t, a, TXN_RELEASING, e->now);
    } else {
        blame(t, t->definition_only ? "%s does not have %s: %.200s" : "%s lost %s's memory: %.200s", to,
              t->guest, said(e));
        tell(a, "%.300s", t->why);
        enter(t, a, TXN_COLD_START, e->now);
    }
}

static void on_cold_started(struct txn *t, const struct txn_event *e, struct txn_actions *a)
{ /* model: C10 */
    t->cold_started = true;
    t->answered = t->flying = t->attempt = 0;
    t->entered = e->now;
    t->in_doubt = false;
    t->last[0] = 0;
    add(a, TXN_ACTION_JOURNAL);
    tell(a, t->definition_only ? "%s is back on %s" : "%s was started anew on %s", t->guest,
         t->host[TXN_SOURCE]);
    arm(a, 0);
    ask(t, a);
}

/* All that the state waits for, one after the other. */
static void on_counted(struct txn *t, const struct txn_event *e, struct txn_actions *a)
{ /* model: C11 C12 C13 */
    t->answered |= TXN_BIT(e->party);
    if (!txn_needed(t))
        finish(t, a, t->state == TXN_ABORTING ? TXN_ABORTED : TXN_DONE, e->now);
}

static bool settles(const struct txn *t, enum txn_party party, enum txn_answer answer)
{
    if (txn_must_learn(t, party))
        return answer == TXN_GONE;
    switch (t->state) {
    case TXN_SETTLING: return answer == TXN_KEPT || answer == TXN_GONE;
    case TXN_ACTIVATING: return answer == TXN_RUNNING || answer == TXN_LOST;
    default: return answer == TXN_OK;
    }
}

static void on_reply(struct txn *t, const struct txn_event *e, struct txn_actions *a)
{
    if (e->party >= TXN_N_PARTIES || e->message != txn_message_of(t, e->party) ||
        !(txn_needed(t) & TXN_BIT(e->party)))
        return;
    t->flying &= ~TXN_BIT(e->party);
    if (t->state == TXN_PREPARING) {
        on_vote(t, e, a);
        return;
    }
    if (t->state == TXN_TRANSFER) {
        on_transfer_end(t, e, a);
        return;
    }
    if (e->kind == TXN_EVENT_NO_ANSWER || !settles(t, e->party, e->answer)) {
        snprintf(t->last, sizeof(t->last), "%s%s: %.200s", t->host[e->party],
                 e->kind == TXN_EVENT_NO_ANSWER ? " can't be asked" : " says", said(e));
        retry(t, a, e->now);
        return;
    }
    if (txn_must_learn(t, e->party)) { /* model: C18 */
        tell(a, "%s knows that %s has left it", t->host[TXN_SOURCE], t->guest);
        t->left = true;
        ask(t, a);
        return;
    }
    switch (t->state) {
    case TXN_SETTLING: on_settled(t, e, a); break;
    case TXN_ACTIVATING: on_activated(t, e, a); break;
    case TXN_COLD_START:
        if (!t->cold_started)
            on_cold_started(t, e, a);
        else
            on_counted(t, e, a);
        break;
    default: on_counted(t, e, a); break;
    }
}

static void wait_for_progress(struct txn *t, struct txn_actions *a, int64_t quiet)
{
    if (quiet >= TXN_QUIET_MS)
        snprintf(t->last, sizeof(t->last), "nothing was heard of it for %d s", (int)(quiet / 1000));
    arm(a, TXN_QUIET_MS - quiet % TXN_QUIET_MS);
}

static void on_timer(struct txn *t, const struct txn_event *e, struct txn_actions *a)
{ /* model: C4 C5 C14 */
    switch (t->state) {
    case TXN_PREPARING:
        if (e->now - t->entered < TXN_PREPARE_MS) {
            arm(a, TXN_PREPARE_MS - (e->now - t->entered));
            return;
        }
        blame(t, "no vote from %s within %d s",
              t->host[t->answered & TXN_BIT(TXN_SOURCE) ? TXN_DESTINATION : TXN_SOURCE],
              TXN_PREPARE_MS / 1000);
        tell(a, "%.300s", t->why);
        settle(t, a, e->now);
        break;
    case TXN_TRANSFER:
        if (e->now - t->heard < TXN_SILENCE_MS) {
            wait_for_progress(t, a, e->now - t->heard);
            ask(t, a);
            return;
        }
        blame(t, "nothing was heard of the transfer for %d s", TXN_SILENCE_MS / 1000);
        tell(a, "%.300s", t->why);
        settle(t, a, e->now);
        break;
    case TXN_SETTLING:
    case TXN_ABORTING:
    case TXN_ACTIVATING:
    case TXN_RELEASING:
    case TXN_COLD_START: ask(t, a); break;
    case TXN_NEW:
    case TXN_DONE:
    case TXN_ABORTED:
    case TXN_N_STATES: break;
    }
}

/* It is taken up again as long as it takes. But where a QEMU has died, only somebody who looks can know. */
static void watch_post_copy(struct txn *t, const struct txn_event *e, struct txn_actions *a)
{
    if (!e->broken) {
        t->broken = 0;
        t->in_doubt = false;
        return;
    }
    if (!t->broken)
        t->broken = e->now;
    if (t->in_doubt || e->now - t->broken < TXN_DOUBT_AFTER_MS)
        return;
    t->in_doubt = true;
    tell_doubt(t, a);
}

static void on_progress(struct txn *t, const struct txn_event *e, struct txn_actions *a)
{ /* model: C19 */
    if (t->state != TXN_TRANSFER)
        return;
    t->attempt = 0;
    t->last[0] = 0;
    t->heard = e->now;
    if (e->post_copy && t->post_copy)
        watch_post_copy(t, e, a);
    if (!e->post_copy || t->post_copy)
        return;
    t->post_copy = true; /* a restarted coordinator should know, too */
    add(a, TXN_ACTION_JOURNAL);
    tell(a, "post-copy: %s runs on %s, the rest of its memory follows", t->guest, t->host[TXN_DESTINATION]);
}

static void on_cancel(struct txn *t, const struct txn_event *e, struct txn_actions *a)
{ /* model: C4 C5 */
    if ((t->state != TXN_PREPARING && t->state != TXN_TRANSFER) || t->post_copy)
        return;
    t->cancelled = true;
    blame(t, "cancelled by %.200s", e->text && e->text[0] ? e->text : "an operator");
    tell(a, "%.300s", t->why);
    settle(t, a, e->now);
}

/* A SETTLE that is on its way goes without the word, the next one with it. */
static void on_resolve(struct txn *t, const struct txn_event *e, struct txn_actions *a)
{ /* model: C20 */
    if (t->state != TXN_SETTLING || (e->answer != TXN_KEPT && e->answer != TXN_GONE))
        return;
    t->resolve = e->answer;
    t->resolve_cold = e->from_disks;
    t->attempt = 0;
    if (e->from_disks) {
        t->said_cold = true;
        add(a, TXN_ACTION_JOURNAL);
    }
    tell(a, "%.100s says that %s is %s's: %s is asked with that word", said(e), t->guest,
         t->host[e->answer == TXN_KEPT ? TXN_SOURCE : TXN_DESTINATION], t->host[TXN_SOURCE]);
    ask(t, a);
}

static void give_up(struct txn *t, enum txn_party party, const struct txn_event *e, struct txn_actions *a)
{
    if (!(txn_needed(t) & TXN_BIT(party)))
        return;
    tell(a, "%.100s says that %s does not come back: it is waited for no longer", said(e), t->host[party]);
    t->answered |= TXN_BIT(party);
    t->flying &= ~TXN_BIT(party);
    if (!txn_needed(t))
        finish(t, a, t->state == TXN_ABORTING ? TXN_ABORTED : TXN_DONE, e->now);
}

static void on_grant(struct txn *t, const struct txn_event *e, struct txn_actions *a)
{ /* model: C16 C17 */
    const char *from = t->host[TXN_SOURCE], *to = t->host[TXN_DESTINATION];
    if (t->state == TXN_SETTLING && t->in_doubt && !t->definition_only && !t->post_copy) {
        t->granted = true;
        t->from_disks = e->from_disks;
        tell(a, "%.100s gives %s to %s without %s's word, to go on %s", said(e), t->guest, to, from,
             t->from_disks ? "from its disks" : "in its memory");
        enter(t, a, TXN_ACTIVATING, e->now);
    } else if (t->state == TXN_RELEASING) {
        give_up(t, TXN_SOURCE, e, a);
    }
}

static void on_take_back(struct txn *t, const struct txn_event *e, struct txn_actions *a)
{ /* model: C24 C25 */
    const char *from = t->host[TXN_SOURCE], *to = t->host[TXN_DESTINATION];
    if (txn_may_take_back(t)) {
        t->taken_back = true;
        blame(t, "%s was said to be off for good", to);
        tell(a, "%.100s says that %s is off: %s goes back to %s", said(e), to, t->guest, from);
        enter(t, a, TXN_COLD_START, e->now);
    } else if (t->state == TXN_ABORTING || t->state == TXN_RELEASING ||
               (t->state == TXN_COLD_START && t->cold_started)) {
        give_up(t, TXN_DESTINATION, e, a);
    }
}

void txn_step(struct txn *t, const struct txn_event *e, struct txn_actions *a)
{
    a->n = 0;
    switch (e->kind) {
    case TXN_EVENT_START:
        if (t->state == TXN_NEW)
            on_start(t, e, a);
        break;
    case TXN_EVENT_RESTART: on_restart(t, e, a); break;
    case TXN_EVENT_ANSWER:
    case TXN_EVENT_NO_ANSWER: on_reply(t, e, a); break;
    case TXN_EVENT_PROGRESS: on_progress(t, e, a); break;
    case TXN_EVENT_TIMER: on_timer(t, e, a); break;
    case TXN_EVENT_CANCEL: on_cancel(t, e, a); break;
    case TXN_EVENT_GRANT: on_grant(t, e, a); break;
    case TXN_EVENT_TAKE_BACK: on_take_back(t, e, a); break;
    case TXN_EVENT_RESOLVE: on_resolve(t, e, a); break;
    }
}
