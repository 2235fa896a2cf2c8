/* An operator's word on whose a guest is, where no host can tell. */
#include "coordinator/driver_internal.h"

#include "common/base/memory.h"
#include "coordinator/core/probe_plan.h"

#include <string.h>

/* libvirt's reasons of a state. A complete image is paused for USER, one that is being filled for MIGRATION; what libvirt itself has let
 * run runs for MIGRATED, what somebody has resumed for UNPAUSED. */
enum { PAUSED_USER = 1, RUNNING_MIGRATED = 3 };

/* What the session has told: also before its libvirt was lost, so it only speaks against something. */
static const Drover__V1__Guest *told_on(const struct driver *d, const char *name, const char *uuid)
{
    const struct fleet_host *host = fleet_host(d->config.fleet, name);
    const struct fleet_guest *guest = host && host->up ? fleet_guest_on(host, uuid) : NULL;
    return guest && guest->told && fleet_guest_active(guest->guest) ? guest->guest : NULL;
}

static bool is_up(const struct driver *d, const char *name)
{
    const struct fleet_host *host = fleet_host(d->config.fleet, name);
    return host && host->up;
}

static bool is_asked(const struct driver *d, const char *name)
{
    const struct fleet_host *host = fleet_host(d->config.fleet, name);
    return host && fleet_host_tells(host);
}

static const Drover__V1__Guest *seen_on(const struct driver *d, const char *name, const char *uuid)
{
    return is_asked(d, name) ? told_on(d, name, uuid) : NULL;
}

static bool is_copied(const struct migration *m, const char *target)
{
    const Drover__V1__Relocation *r = m->journal->relocation;
    for (size_t i = 0; r && i < r->n_copies; i++)
        if (streq(r->copies[i]->target, target))
            return true;
    return false;
}

/* By libvirt's own hand: it is the guest, and no image that waits. */
static bool runs_there(const struct driver *d, const struct migration *m)
{
    const Drover__V1__Guest *there = seen_on(d, m->job->destination, m->job->guest_uuid);
    return there && there->state == DROVER__V1__GUEST_STATE__GUEST_RUNNING &&
           there->state_reason == RUNNING_MIGRATED;
}

/* The guest may have written to a disk of its image after that was complete, at the source. */
static bool may_be_old(const struct driver *d, const struct migration *m)
{
    const Drover__V1__Guest *guest = m->journal->guest;
    bool shared = !guest;
    for (size_t i = 0; guest && i < guest->n_disks; i++)
        shared |= disk_is_written(guest->disks[i]) && !is_copied(m, guest->disks[i]->target);
    return shared && !m->txn.definition_only && !runs_there(d, m);
}

/* It is to be off, and its agent answers. */
static int refuse_answers(const struct driver *d, const char *host, const char *guest, const char *plain,
                          struct error *err)
{
    if (is_asked(d, host))
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "%s's agent answers: `%s` alone asks it, which is safer", host, plain);
    return error_set(
        err, STATUS_FAILED_PRECONDITION,
        "%s's agent answers, and its libvirt doesn't: start libvirtd there. If that can't be: see that "
        "no QEMU of %s is left there, stop drover-agent, and say this again",
        host, guest);
}

/* Without the source's answer. */
static int may_grant(const struct driver *d, const struct migration *m, bool from_disks, struct error *err)
{ /* model: C16 C17 */
    const Drover__V1__Job *job = m->job;
    const Drover__V1__Guest *there = seen_on(d, job->destination, job->guest_uuid);
    if (is_up(d, job->source))
        return refuse_answers(d, job->source, job->guest, "--resolve destination", err);
    if (m->txn.post_copy)
        return error_set(
            err, STATUS_FAILED_PRECONDITION,
            "%s is on %s in post-copy, with a part of its memory only: without %s it can't go on there; if "
            "%s is gone for good, destroy it on %s and start it from its disks",
            m->job->guest, m->job->destination, m->job->source, m->job->source, m->job->destination);
    if (m->txn.definition_only)
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "%s is shut off, nothing of it runs: wait for %s, or define it on %s by hand",
                         job->guest, job->source, job->destination);
    if (!is_up(d, job->destination))
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "%s's agent can't be asked whether it has a complete image of %s: make it reachable",
                         job->destination, job->guest);
    if (!is_asked(d, job->destination))
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "%s's libvirt can't be asked whether it has a complete image of %s: start it",
                         job->destination, job->guest);
    bool copies = m->journal->relocation && m->journal->relocation->n_copies;
    if (runs_there(d, m) || (!there && from_disks && !copies))
        return 0;
    if (!there || there->state != DROVER__V1__GUEST_STATE__GUEST_PAUSED || there->state_reason != PAUSED_USER)
        return error_set(
            err, STATUS_FAILED_PRECONDITION,
            from_disks && !copies
                ? "%s has an image of %s that is not to be ended on a guess (libvirt there: %s): look at it"
                : "%s has no complete image of %s (libvirt there: %s): there is nothing to run",
            job->destination, job->guest,
            !there                                                  ? "not active"
            : there->state == DROVER__V1__GUEST_STATE__GUEST_PAUSED ? "still being filled"
                                                                    : "not paused");
    return 0;
}

/* By the word that it is the source's, as far as the source can be seen: what is paused there runs again, and what is off stays off. */
static bool may_be_resumed(const struct driver *d, const struct migration *m)
{
    const Drover__V1__Guest *here = seen_on(d, m->job->source, m->job->guest_uuid);
    bool known = here ? here->state == DROVER__V1__GUEST_STATE__GUEST_RUNNING : is_asked(d, m->job->source);
    return !m->txn.definition_only && !known;
}

static int may_ask(const struct driver *d, const struct migration *m, enum resolution how, struct error *err)
{ /* model: C20 */
    const Drover__V1__Job *job = m->job;
    bool to_source = how != RESOLVE_DESTINATION;
    if (how == RESOLVE_SOURCE && is_up(d, job->destination) && !is_asked(d, job->destination) &&
        may_be_resumed(d, m))
        return error_set(
            err, STATUS_FAILED_PRECONDITION,
            "whether %s runs on %s is not known, as its libvirt can't be asked, and a copy that is paused "
            "on %s would run again: two copies destroy its disks. Start libvirtd on %s; if that can't be: "
            "see that no QEMU of it is left "
            "there, stop drover-agent, and add --destination-is-off",
            job->guest, job->destination, job->source, job->destination);
    if (how == RESOLVE_SOURCE && !is_asked(d, job->destination) && may_be_resumed(d, m))
        return error_set(
            err, STATUS_FAILED_PRECONDITION,
            "whether %s runs on %s is not known, as its agent can't be asked, and a copy that is paused "
            "on %s would run again: two copies destroy its disks. Make %s's agent reachable; or if it is "
            "switched off for good, add --destination-is-off",
            job->guest, job->destination, job->source, job->destination);
    if (how == RESOLVE_DESTINATION_OFF && is_up(d, job->destination))
        return refuse_answers(d, job->destination, job->guest, "--resolve source", err);
    const char *contrary = to_source ? job->destination : job->source;
    const Drover__V1__Guest *there = told_on(d, contrary, job->guest_uuid);
    /* A paused image at the destination contradicts nothing: it is dropped. */
    if (there && (there->state == DROVER__V1__GUEST_STATE__GUEST_RUNNING || !to_source))
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "libvirt on %s says that %s is there: it can't be %s's; look at both hosts",
                         contrary, job->guest, to_source ? job->source : job->destination);
    return 0;
}

/* From the destination to the source, which has given it up. */
static int may_take_back(const struct driver *d, const struct migration *m, struct error *err)
{ /* model: C24 */
    const Drover__V1__Job *job = m->job;
    if (is_up(d, job->destination))
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "%s's agent answers: it is asked for %s, and the job goes on by itself",
                         job->destination, job->guest);
    if (m->txn.granted)
        return error_set(
            err, STATUS_FAILED_PRECONDITION,
            "%s was given to %s without %s's word, so what is on %s is not known: make one of them "
            "reachable",
            job->guest, job->destination, job->source, job->source);
    if (!txn_may_take_back(&m->txn))
        return error_set(
            err, STATUS_FAILED_PRECONDITION,
            "%s may have been told to start %s from its disks, which it does whenever it comes back: make "
            "it reachable",
            job->destination, job->guest);
    if (!is_up(d, job->source))
        return error_set(
            err, STATUS_FAILED_PRECONDITION,
            "neither %s nor %s can be asked (is it the coordinator that is cut off?): %s is started on "
            "%s, so make that reachable",
            job->source, job->destination, job->guest, job->source);
    return 0;
}

/* What only waits for that host. */
static bool only_waits(const struct migration *m, bool for_source)
{
    enum txn_party party = for_source ? TXN_SOURCE : TXN_DESTINATION;
    bool clears = m->txn.state == TXN_RELEASING ||
                  (!for_source &&
                   (m->txn.state == TXN_ABORTING || (m->txn.state == TXN_COLD_START && m->txn.cold_started)));
    return clears && !(m->txn.answered & TXN_BIT(party));
}

static int may_give_up(const struct driver *d, const struct migration *m, bool source, struct error *err)
{ /* model: C17 C25 */
    const char *host = source ? m->job->source : m->job->destination;
    if (is_up(d, host))
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "%s's agent answers: it is asked to clear away, and the job ends by itself", host);
    return 0;
}

static const struct migration *open_job(const struct driver *d, uint64_t id)
{
    const struct migration *m = d->migrations;
    while (m && m->job->id != id)
        m = m->next;
    return m;
}

bool driver_gave_away(const struct driver *d, uint64_t id)
{
    const struct migration *m = open_job(d, id);
    return m && m->txn.granted && !m->txn.cold_started;
}

const struct migration *driver_may_resolve(const struct driver *d, uint64_t id, enum resolution how,
                                           bool with_memory, struct error *err)
{
    const struct migration *m = open_job(d, id);
    if (!m)
        return error_set(err, STATUS_NOT_FOUND,
                         "there is no open job %llu: see `drover jobs` and `drover history`",
                         (unsigned long long)id),
               NULL;
    bool off = how == RESOLVE_SOURCE_OFF || how == RESOLVE_DESTINATION_OFF;
    if (off && only_waits(m, how == RESOLVE_SOURCE_OFF))
        return may_give_up(d, m, how == RESOLVE_SOURCE_OFF, err) < 0 ? NULL : m;
    if (how == RESOLVE_DESTINATION_OFF && m->txn.state == TXN_ACTIVATING && m->txn.in_doubt)
        return may_take_back(d, m, err) < 0 ? NULL : m;
    if (m->txn.state != TXN_SETTLING || !m->txn.in_doubt)
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "job %llu is not in doubt about whose %s is (%s): there is nothing to resolve",
                         (unsigned long long)id, m->job->guest, m->job->text),
               NULL;
    bool grants = how == RESOLVE_SOURCE_OFF || how == RESOLVE_FENCED;
    int r = grants ? may_grant(d, m, !with_memory && may_be_old(d, m), err) : may_ask(d, m, how, err);
    return r < 0 ? NULL : m;
}

static char *what_is_done(const struct migration *m, enum resolution how, bool from_disks)
{
    const char *runs = from_disks ? "starts it from its disks" : "runs it in its memory";
    const char *guest = m->job->guest, *from = m->job->source, *to = m->job->destination;
    bool off = how == RESOLVE_SOURCE_OFF || how == RESOLVE_DESTINATION_OFF;
    bool copies = m->journal->relocation && m->journal->relocation->n_copies;
    if (off && only_waits(m, how == RESOLVE_SOURCE_OFF))
        return xasprintf("%s is waited for no longer", how == RESOLVE_SOURCE_OFF ? from : to);
    switch (how) {
    case RESOLVE_DESTINATION_OFF:
        if (m->txn.state == TXN_ACTIVATING)
            return xasprintf("%s is %s on %s%s; before %s is started again, see that it can't start %s",
                             guest, m->txn.definition_only ? "put back" : "started from its disks", from,
                             copies ? ", which are there as they were when it left" : "", to, guest);
        __attribute__((fallthrough));
    case RESOLVE_SOURCE:
        return xasprintf("%s is asked to keep %s, and %s to forget it; then start it on %s", from, guest, to,
                         from);
    case RESOLVE_DESTINATION:
        return xasprintf("%s is asked to give %s up; then %s %s", from, guest, to, runs);
    default:
        return xasprintf("%s has %s and %s; before %s is started again, see that it can't start %s", to,
                         guest, runs, from, guest);
    }
}

int driver_resolve(struct driver *d, uint64_t id, enum resolution how, bool with_memory, const char *by,
                   char **ret_text, struct error *err)
{
    struct error own = {0};
    err = err ? err : &own;
    struct migration *m = (struct migration *)driver_may_resolve(d, id, how, with_memory, err);
    if (!m)
        return -(int)err->code;
    bool from_disks = !with_memory && may_be_old(d, m);
    *ret_text = what_is_done(m, how, from_disks);
    bool settles = m->txn.state == TXN_SETTLING;
    struct txn_event event = {.kind = TXN_EVENT_GRANT, .from_disks = from_disks, .text = by};
    if (how == RESOLVE_DESTINATION_OFF && !settles)
        event = (struct txn_event){.kind = TXN_EVENT_TAKE_BACK, .text = by};
    else if (how != RESOLVE_SOURCE_OFF && how != RESOLVE_FENCED)
        event = (struct txn_event){.kind = TXN_EVENT_RESOLVE,
                                   .answer = how == RESOLVE_DESTINATION ? TXN_GONE : TXN_KEPT,
                                   .from_disks = how == RESOLVE_DESTINATION && from_disks,
                                   .text = by};
    migration_feed(m, &event);
    return 0;
}
