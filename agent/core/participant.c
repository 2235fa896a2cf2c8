#include "agent/core/participant.h"

#include <stddef.h>

static struct participant_step stay(const struct participant *p, enum participant_answer answer,
                                    const char *why)
{
    return (struct participant_step){p->state, p->state, 0, answer, why, false};
}

static struct participant_step doubt(const struct participant *p, const char *why)
{
    return stay(p, PARTICIPANT_IN_DOUBT, why);
}

static struct participant_step refuse(const struct participant *p, const char *why)
{
    return stay(p, PARTICIPANT_REFUSED, why);
}

static struct participant_step to(enum participant_state state, enum participant_answer answer)
{
    return (struct participant_step){state, state, 0, answer, NULL, false};
}

static bool alive(const struct participant_facts *f)
{
    return f->guest == PARTICIPANT_RUNNING || f->guest == PARTICIPANT_PAUSED ||
           f->guest == PARTICIPANT_INCOMING;
}

/* Off because it migrated: libvirt says so, or its call or event said so and the QEMU is gone (libvirt forgets the reason
 * when it restarts, and a transient guest vanishes with it). Or not yet off, but libvirt can only end it any more. */
static bool migrated_away(const struct participant_facts *f)
{
    if (f->committed && f->guest != PARTICIPANT_RUNNING && f->guest != PARTICIPANT_UNASKED)
        return true;
    return f->guest == PARTICIPANT_OFF_MIGRATED ||
           (f->call_succeeded && (f->guest == PARTICIPANT_OFF || f->guest == PARTICIPANT_ABSENT));
}

/* There was a record, and it is lost; the message tells how far the transaction has come. */
static bool is_lost(const struct participant *p)
{
    return p->state == PARTICIPANT_NONE && p->transferred;
}

/* ---- source ------------------------------------------------------------------------------------------------------ */

/* Of KEPT and COLD. */
static unsigned autostart_back(const struct participant *p, const struct participant_facts *f)
{
    bool due = p->owes_autostart && !p->superseded && f->guest != PARTICIPANT_UNASKED;
    return due ? PARTICIPANT_AUTOSTART_ON : 0;
}

static struct participant_step keep(const struct participant *p, const struct participant_facts *f)
{
    struct participant_step s = to(PARTICIPANT_KEPT, PARTICIPANT_IS_KEPT);
    s.actions = autostart_back(p, f);
    bool migrated = p->state == PARTICIPANT_MIGRATING || p->state == PARTICIPANT_KEPT;
    if (p->others_pause) {
        if (migrated && !p->superseded && !f->job && f->guest != PARTICIPANT_UNASKED)
            s.actions |= PARTICIPANT_PAUSE;
        return s;
    }
    bool ran_before = p->state == PARTICIPANT_MIGRATING || (p->state == PARTICIPANT_KEPT && p->owes_resume);
    /* With a job, the pause is that of a later transaction, whose record is lost. */
    if (ran_before && !p->superseded && !f->job && f->guest == PARTICIPANT_PAUSED &&
        (p->paused_by_us || !f->operators_pause))
        s.actions |= PARTICIPANT_RESUME_SOURCE;
    return s;
}

/* Begun for post-copy, and ended neither here nor by libvirt: its libvirtd was killed at the switch-over. Whoever paused the guest before:
 * libvirt lets it run there all the same. */
static bool may_run_there(const struct participant *p, const struct participant_facts *f)
{
    return (p->post_copy || p->may_post_copy) && !f->job && !f->post_copy && f->guest == PARTICIPANT_PAUSED;
}

/* The settle table. QEMU alive comes before the call's success, which may leave it behind, paused. */
static struct participant_step settle_transfer(const struct participant *p, const struct participant_facts *f)
{ /* model: S8 S9 S24 */
    if (f->guest == PARTICIPANT_UNASKED)
        return doubt(p, "libvirt can't be asked");
    if (migrated_away(f))
        return to(PARTICIPANT_FENCED, PARTICIPANT_IS_GONE);
    if (alive(f)) {
        if (f->post_copy)
            return doubt(
                p, "the guest is in post-copy: its memory is on both hosts, neither end may be stopped");
        if (may_run_there(p, f))
            return doubt(p, "libvirt left the guest paused here, and may have let it run at the destination: "
                            "if it does, end this one (virsh destroy)");
        if (p->post_copy && (f->job || f->guest != PARTICIPANT_RUNNING))
            return doubt(p,
                         "post-copy was asked for: the guest may run at the destination any moment, so the "
                         "transfer can't be stopped");
        if (f->job && p->state == PARTICIPANT_NONE) /* whether post-copy was asked for is lost, too */
            return doubt(p,
                         "libvirt is migrating the guest, and the record that would say whether the job may "
                         "be stopped is lost: its end is waited for");
        if (f->job)
            return (struct participant_step){p->state, p->state, PARTICIPANT_STOP_JOB, PARTICIPANT_NO_ANSWER,
                                             NULL,     false};
        if (p->state == PARTICIPANT_NONE && f->guest != PARTICIPANT_RUNNING)
            return doubt(p, "the guest is paused here, and the record that would say whether it was given "
                            "away is lost: was the state directory restored?");
        return keep(p, f);
    }
    if (f->job)
        return doubt(p, "the guest is off and libvirt's migration call is not back");
    if (f->ran_to_the_end &&
        p->state ==
            PARTICIPANT_MIGRATING) /* so whatever has arrived at the destination is older than the disks */
        return keep(p, f);
    return doubt(p,
                 f->guest == PARTICIPANT_ABSENT
                     ? "the guest is not known here, and nothing says that it migrated"
                     : "the guest is off here, and nothing says that it migrated: its QEMU may have died, or "
                       "libvirtd restarted at the switch-over");
}

static struct participant_step source_settle(const struct participant *p, const struct participant_facts *f)
{ /* model: S4 S7 S10 S11 S24 */
    switch (p->state) {
    case PARTICIPANT_NONE:
        return p->transferred ? settle_transfer(p, f) : to(PARTICIPANT_KEPT, PARTICIPANT_IS_KEPT);
    case PARTICIPANT_PREPARED: return keep(p, f);
    case PARTICIPANT_MIGRATING: return settle_transfer(p, f);
    case PARTICIPANT_KEPT: return keep(p, f);
    default: /* of COLD, too: its memory has left, and the destination says LOST */
        return stay(p, PARTICIPANT_IS_GONE, NULL);
    }
}

/* An operator knows better only than nobody: what the record or libvirt says holds, and a QEMU or a job that is there. */
static struct participant_step source_resolve(const struct participant *p, enum participant_event event,
                                              const struct participant_facts *f)
{ /* model: S22 */
    struct participant_step s = source_settle(p, f);
    bool lost = p->state == PARTICIPANT_NONE;
    bool paused = f->guest == PARTICIPANT_PAUSED && (lost || may_run_there(p, f));
    bool undecided = (lost || p->state == PARTICIPANT_MIGRATING) && s.answer == PARTICIPANT_IN_DOUBT &&
                     !f->job && !f->post_copy &&
                     (f->guest == PARTICIPANT_OFF || f->guest == PARTICIPANT_ABSENT || paused);
    if (!undecided)
        return s;
    if (event == PARTICIPANT_SETTLE_GONE) {
        s = to(PARTICIPANT_FENCED, PARTICIPANT_IS_GONE);
        s.by_word = true;
        return s;
    }
    s = to(PARTICIPANT_KEPT, PARTICIPANT_IS_KEPT);
    s.actions = autostart_back(p, f);
    if (f->guest == PARTICIPANT_PAUSED && !p->others_pause && (p->paused_by_us || !f->operators_pause))
        s.actions |= PARTICIPANT_RESUME_SOURCE;
    return s;
}

/* Nothing of the step is written or leaves before the host can't start the guest any more. */
static struct participant_step without_autostart(const struct participant *p, struct participant_step s,
                                                 bool may_be_on)
{
    if (!p->autostart || !may_be_on)
        return s;
    s.first = p->state;
    s.actions |= PARTICIPANT_AUTOSTART_OFF;
    return s;
}

/* The guest runs elsewhere by now. A QEMU that is here is never ended on somebody's word, but nothing of it is kept, either: also
 * what was KEPT before the host was cut off is given up, else it would stay defined here, and never be started again. */
static struct participant_step source_granted(const struct participant *p, const struct participant_facts *f)
{ /* model: S11 S23 */
    if (p->state == PARTICIPANT_FENCED || p->state == PARTICIPANT_RELEASED || p->state == PARTICIPANT_COLD)
        return stay(p, PARTICIPANT_IS_GONE, NULL);
    if (f->guest == PARTICIPANT_UNASKED)
        return doubt(p, "libvirt can't be asked");
    if (alive(f))
        return doubt(
            p, "the guest was given to the destination, and a QEMU of it is here: two copies of one guest "
               "destroy its disks; end this one (virsh destroy)");
    if (f->job)
        return doubt(p, "the guest is off and libvirt's migration call is not back");
    bool given_back = p->state == PARTICIPANT_KEPT || p->state == PARTICIPANT_PREPARED;
    return without_autostart(p, to(PARTICIPANT_FENCED, PARTICIPANT_IS_GONE), given_back);
}

static struct participant_step source_migrate(const struct participant *p, const struct participant_facts *f)
{ /* model: S3 */
    if (p->state == PARTICIPANT_MIGRATING)
        return stay(p, PARTICIPANT_DONE, NULL); /* watch the one that is on */
    if (p->state != PARTICIPANT_PREPARED)
        return refuse(p, p->state == PARTICIPANT_NONE ? "it was never prepared" : "it has been settled");
    if (f->guest == PARTICIPANT_UNASKED)
        return doubt(p, "libvirt can't be asked");
    if (p->definition_only) {
        if (alive(f))
            return refuse(p, "the guest is no longer shut off");
        struct participant_step s = to(PARTICIPANT_FENCED, PARTICIPANT_DONE);
        s.actions = PARTICIPANT_TELL_PEER;
        return without_autostart(p, s, true);
    }
    if (f->guest != PARTICIPANT_RUNNING)
        return refuse(p, "the guest is no longer running");
    if (f->job)
        return refuse(p, "libvirt has another job on the guest");
    struct participant_step s = to(PARTICIPANT_MIGRATING, PARTICIPANT_DONE);
    s.actions = PARTICIPANT_START_JOB;
    return without_autostart(p, s, true);
}

/* Runs when nobody asked. It never decides KEPT: only a SETTLE may take the transfer back. */
static struct participant_step source_look(const struct participant *p, const struct participant_facts *f)
{ /* model: S12 S13 S14 */
    struct participant_step s = stay(p, PARTICIPANT_NO_ANSWER, NULL);
    if (p->state == PARTICIPANT_MIGRATING && migrated_away(f)) {
        s = to(PARTICIPANT_FENCED, PARTICIPANT_NO_ANSWER);
        s.actions = PARTICIPANT_TELL_PEER;
    } else if (p->state == PARTICIPANT_FENCED) {
        s.actions = PARTICIPANT_TELL_PEER;
    } else if (p->state == PARTICIPANT_KEPT) {
        s.actions = keep(p, f).actions;
    } else if (p->state == PARTICIPANT_COLD) {
        s.actions = autostart_back(p, f);
    }
    return s;
}

/* FENCED, and its QEMU is still there. One that is paused, without a job, and not by an operator was left behind: libvirtd was
 * killed between its decision to end it and the end. It has been settled as gone, so that it must never run again. The ladder's
 * pause looks like an operator's. */
static bool left_behind(const struct participant *p, const struct participant_facts *f)
{
    bool in_the_transfer = p->paused_by_us || p->others_pause || !f->operators_pause;
    return f->guest == PARTICIPANT_PAUSED && !f->job && in_the_transfer && !f->post_copy && !p->superseded;
}

/* Not left behind, as far as the record says. A pause that came too late, or while the agent was down, is in no record. */
static const char *still_here(const struct participant_facts *f)
{
    return f->guest == PARTICIPANT_PAUSED
               ? "the guest was given away, and a QEMU of it is still here, which somebody has paused: if "
                 "nothing needs it, end it (virsh destroy)"
               : "somebody started the guest here again; its definition is left alone";
}

static struct participant_step source_release(const struct participant *p, const struct participant_facts *f)
{ /* model: S16 S17 S24 */
    if (p->state == PARTICIPANT_RELEASED || p->state == PARTICIPANT_KEPT || p->state == PARTICIPANT_COLD)
        return stay(p, PARTICIPANT_DONE, NULL);
    if (p->state != PARTICIPANT_FENCED && !is_lost(p))
        return refuse(p, "the guest has not been settled as gone");
    if (f->guest == PARTICIPANT_UNASKED)
        return doubt(p, "libvirt can't be asked");
    if (is_lost(p) && alive(f) && f->guest != PARTICIPANT_RUNNING)
        return doubt(p, "the guest is paused here, and there is no record of this transaction: was the state "
                        "directory restored? If nothing needs it, end it (virsh destroy)");
    unsigned end = left_behind(p, f) ? PARTICIPANT_END : 0;
    if (alive(f) && !end)
        return f->job ? doubt(p, "libvirt has not ended the guest's QEMU yet") : refuse(p, still_here(f));
    return (struct participant_step){
        PARTICIPANT_FENCED, PARTICIPANT_RELEASED, end | PARTICIPANT_RETIRE, PARTICIPANT_DONE, NULL, false};
}

static struct participant_step source_cold_start(const struct participant *p,
                                                 const struct participant_facts *f)
{ /* model: S18 S19 S24 */
    if (p->state != PARTICIPANT_FENCED && p->state != PARTICIPANT_COLD && !is_lost(p))
        return refuse(p, "only a guest that was settled as gone can be started again");
    if (f->guest == PARTICIPANT_UNASKED)
        return doubt(p, "libvirt can't be asked");
    if (is_lost(p) && alive(f) && f->guest != PARTICIPANT_RUNNING)
        return doubt(p, "the guest is paused here, and there is no record of this: was the state restored?");
    if (is_lost(p) && p->definition_only && f->guest == PARTICIPANT_ABSENT)
        return doubt(p, "the guest is not defined here, and there is no record of this: was it released?");
    unsigned end = p->state == PARTICIPANT_FENCED && left_behind(p, f) ? PARTICIPANT_END : 0;
    /* The destination has its tombstone, so what runs is the guest: somebody has started it by hand. One that is paused may be what libvirt
     * was to end. */
    bool started = f->guest == PARTICIPANT_RUNNING && !f->job && !f->post_copy;
    if (p->state == PARTICIPANT_FENCED && alive(f) && !end && !started)
        return f->job ? doubt(p, "libvirt has not ended the guest's QEMU yet") : refuse(p, still_here(f));
    struct participant_step s = to(PARTICIPANT_COLD, PARTICIPANT_DONE);
    s.actions = autostart_back(p, f);
    s.why = started ? "it runs here already" : NULL;
    bool repeated = p->state != PARTICIPANT_FENCED && (alive(f) || p->superseded); /* starts nothing */
    if (started || repeated)
        return s;
    if (!p->definition_only)
        s.actions |= end | PARTICIPANT_START;
    return s;
}

static struct participant_step source_step(const struct participant *p, enum participant_event event,
                                           const struct participant_facts *f)
{
    switch (event) {
    case PARTICIPANT_PREPARE_YES: /* model: S1 */
        return p->state == PARTICIPANT_NONE ? to(PARTICIPANT_PREPARED, PARTICIPANT_DONE)
                                            : stay(p, PARTICIPANT_DONE, NULL);
    case PARTICIPANT_PREPARE_NO: /* model: S2. A no is for good: nothing can be moved under this generation */
        return p->state == PARTICIPANT_NONE ? to(PARTICIPANT_KEPT, PARTICIPANT_DONE)
                                            : stay(p, PARTICIPANT_DONE, NULL);
    case PARTICIPANT_MIGRATE: return source_migrate(p, f);
    case PARTICIPANT_SETTLE: return source_settle(p, f);
    case PARTICIPANT_SETTLE_KEPT:
    case PARTICIPANT_SETTLE_GONE: return source_resolve(p, event, f);
    case PARTICIPANT_SETTLE_GRANTED: return source_granted(p, f);
    case PARTICIPANT_ABORT: /* model: S25 */
        if (p->state == PARTICIPANT_NONE)
            return to(PARTICIPANT_KEPT, PARTICIPANT_DONE);
        if (p->state == PARTICIPANT_PREPARED || p->state == PARTICIPANT_KEPT) {
            struct participant_step s = keep(p, f);
            s.answer = PARTICIPANT_DONE;
            return s;
        }
        return refuse(p, p->state == PARTICIPANT_MIGRATING ? "the transfer is on: it has to be settled first"
                                                           : "the guest has been settled as gone");
    case PARTICIPANT_RELEASE: return source_release(p, f);
    case PARTICIPANT_COLD_START: return source_cold_start(p, f);
    case PARTICIPANT_LOOK: return source_look(p, f);
    default: return refuse(p, "this host is the source");
    }
}

/* ---- destination ------------------------------------------------------------------------------------------------- */

static struct participant_step own(const struct participant *p, const struct participant_facts *f)
{
    struct participant_step s = {
        PARTICIPANT_OWNER, PARTICIPANT_ACTIVATED, PARTICIPANT_DEFINE, PARTICIPANT_RUNS, NULL, false};
    bool stays_paused = p->others_pause || f->ran_here; /* somebody paused it there, or before it came */
    if (!p->definition_only && f->guest != PARTICIPANT_RUNNING && !stays_paused)
        s.actions |= PARTICIPANT_RESUME;
    if (p->others_pause && f->guest == PARTICIPANT_RUNNING && !f->by_hand)
        s.actions |= PARTICIPANT_PAUSE;
    return s;
}

static struct participant_step lose(void)
{
    struct participant_step s = to(PARTICIPANT_TOMBSTONE, PARTICIPANT_IS_LOST);
    s.actions = PARTICIPANT_UNDO;
    return s;
}

/* It may have run here for long, and been shut down, before that could be written: the source's disks would be old then. If it has not
 * run, those that came are as new as its image was. */
static struct participant_step own_off(void)
{
    const char *why =
        "the guest is off here, and its disks have come with it, so it stays here: it has run here and was "
        "shut down, or its memory was lost; if it is to run, start it (virsh start)";
    return (struct participant_step){
        PARTICIPANT_OWNER, PARTICIPANT_ACTIVATED, PARTICIPANT_DEFINE, PARTICIPANT_RUNS, why, false};
}

/* The image is ended, then the guest started from its disks; each is noted before the next, so that what is ended is never the guest. */
static struct participant_step own_from_disks(const struct participant *p, const struct participant_facts *f)
{ /* model: D18 D19 */
    if (f->guest == PARTICIPANT_RUNNING && !p->image_ended)
        return !f->by_hand ? own(p, f)
                           : doubt(p, "somebody has resumed its image here, which may be older than the "
                                      "disks: end it (virsh destroy), then it is started from them");
    if (f->guest == PARTICIPANT_PAUSED && p->image_ended && is_lost(p))
        return doubt(p, "a QEMU is paused here, and no record says whether the image was ended: if it has "
                        "not run here, end it (virsh destroy), then start the guest (virsh start)");
    bool off = f->guest == PARTICIPANT_OFF || f->guest == PARTICIPANT_ABSENT;
    if (p->state != PARTICIPANT_OWNER && off && p->copies)
        return lose();
    struct participant_step s = {
        PARTICIPANT_OWNER, PARTICIPANT_ACTIVATED, PARTICIPANT_DEFINE, PARTICIPANT_RUNS, NULL, false};
    if (!p->image_ended)
        s.actions |= PARTICIPANT_END;
    if (f->guest != PARTICIPANT_RUNNING)
        s.actions |= PARTICIPANT_START;
    return s;
}

static struct participant_step destination_activate(const struct participant *p,
                                                    const struct participant_facts *f, bool from_disks)
{ /* model: D7 D8 D9 D10 D17 */
    switch (p->state) {
    case PARTICIPANT_ACTIVATED: /* what became of it since is its own affair */
    case PARTICIPANT_RELEASED: return stay(p, PARTICIPANT_RUNS, NULL);
    case PARTICIPANT_TOMBSTONE: return stay(p, PARTICIPANT_IS_LOST, NULL);
    case PARTICIPANT_NONE:
        if (!p->transferred)
            return doubt(p, "it was never prepared");
        break;
    default: break;
    }
    if (p->state == PARTICIPANT_OWNER) /* what was decided first holds */
        from_disks = p->from_disks;
    if (f->guest == PARTICIPANT_UNASKED)
        return doubt(p, "libvirt can't be asked");
    if (p->definition_only) /* incomplete: who says so is not the source, which waits for all of them */
        return p->incomplete ? lose() : own(p, f);
    if (f->guest == PARTICIPANT_INCOMING)
        return doubt(p, "the image is not complete");
    if (f->post_copy)
        return doubt(p, "the guest is here in post-copy: a part of its memory is still at the source");
    bool here = f->guest == PARTICIPANT_PAUSED || f->guest == PARTICIPANT_RUNNING;
    if (from_disks &&
        (!is_lost(p) || f->guest == PARTICIPANT_PAUSED)) /* what runs without a record is the guest */
        return own_from_disks(p, f);
    if (here)
        return own(p, f);
    if (is_lost(p)) /* it may have run here, and been shut off */
        return doubt(p, "the guest does not run here, and there is no record of this transaction: was the "
                        "state directory restored?");
    return p->state == PARTICIPANT_OWNER && p->copied ? own_off() : lose();
}

static struct participant_step destination_abort(const struct participant *p,
                                                 const struct participant_facts *f)
{ /* model: D3 D5 D6 D16 D17 */
    switch (p->state) {
    case PARTICIPANT_OWNER:
    case PARTICIPANT_ACTIVATED:
    case PARTICIPANT_RELEASED: return refuse(p, "the guest is this host's");
    default: break;
    }
    struct participant_step s = to(PARTICIPANT_TOMBSTONE, PARTICIPANT_DONE);
    if (f->post_copy) {
        s.answer = PARTICIPANT_IN_DOUBT;
        s.why = "the guest is here in post-copy, with a part of its memory: it is not ended on a guess";
        return s;
    }
    if (p->state == PARTICIPANT_NONE && !is_lost(p))
        return s;
    if (f->guest == PARTICIPANT_UNASKED) {
        s = doubt(p, "libvirt can't be asked whether an image is left over");
        s.first = s.then = is_lost(p) ? PARTICIPANT_NONE : PARTICIPANT_TOMBSTONE;
        return s;
    }
    if (is_lost(p) && f->guest != PARTICIPANT_ABSENT && !alive(f))
        return doubt(p, "the guest is the source's, and is defined here, without a record of this "
                        "transaction: if nothing needs it here, undefine it (virsh undefine)");
    s.actions = PARTICIPANT_UNDO;
    return s;
}

/* The guest runs at the source again by now. As with what was given away, nothing that runs here is ended on somebody's word. */
static struct participant_step destination_taken(const struct participant *p,
                                                 const struct participant_facts *f)
{ /* model: D20 */
    bool owned = p->state == PARTICIPANT_OWNER || p->state == PARTICIPANT_ACTIVATED;
    if (f->guest == PARTICIPANT_RUNNING || (owned && (alive(f) || f->post_copy)))
        return doubt(
            p, "the guest was taken back to the source, and a QEMU of it is here: two copies of one guest "
               "destroy its disks; end this one (virsh destroy)");
    if (owned && f->guest == PARTICIPANT_UNASKED)
        return doubt(p, "libvirt can't be asked");
    if (!owned)
        return destination_abort(p, f);
    struct participant_step s = to(PARTICIPANT_TOMBSTONE, PARTICIPANT_DONE);
    s.actions = PARTICIPANT_UNDO;
    return s;
}

static struct participant_step destination_step(const struct participant *p, enum participant_event event,
                                                const struct participant_facts *f)
{
    switch (event) {
    case PARTICIPANT_PREPARE_YES: /* model: D1 */
        return p->state == PARTICIPANT_NONE ? to(PARTICIPANT_PREPARED, PARTICIPANT_DONE)
                                            : stay(p, PARTICIPANT_DONE, NULL);
    case PARTICIPANT_PREPARE_NO: /* model: D2 */
        return p->state == PARTICIPANT_NONE ? to(PARTICIPANT_TOMBSTONE, PARTICIPANT_DONE)
                                            : stay(p, PARTICIPANT_DONE, NULL);
    case PARTICIPANT_ACTIVATE: return destination_activate(p, f, false);
    case PARTICIPANT_ACTIVATE_COLD: return destination_activate(p, f, true);
    case PARTICIPANT_ABORT: return destination_abort(p, f);
    case PARTICIPANT_ABORT_TAKEN: return destination_taken(p, f);
    case PARTICIPANT_RELEASE: /* model: D12 D13 D17 */
        if (p->state == PARTICIPANT_ACTIVATED || is_lost(p))
            return to(PARTICIPANT_RELEASED, PARTICIPANT_DONE);
        if (p->state == PARTICIPANT_RELEASED || p->state == PARTICIPANT_TOMBSTONE)
            return stay(p, PARTICIPANT_DONE, NULL);
        return refuse(p, "the guest was not activated");
    case PARTICIPANT_LOOK: /* model: D7 D8 D11, of an agent that died between OWNER and the resume */
        if (p->state == PARTICIPANT_OWNER && f->guest != PARTICIPANT_UNASKED) {
            struct participant_step s = destination_activate(p, f, false);
            s.answer = PARTICIPANT_NO_ANSWER;
            return s;
        }
        return stay(p, PARTICIPANT_NO_ANSWER, NULL);
    default: return refuse(p, "this host is the destination");
    }
}

struct participant_step participant_step(const struct participant *p, enum participant_event event,
                                         const struct participant_facts *facts)
{
    return p->role == PARTICIPANT_SOURCE ? source_step(p, event, facts) : destination_step(p, event, facts);
}
