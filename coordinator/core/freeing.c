#include "coordinator/core/freeing.h"

#include <stdio.h>
#include <string.h>

static bool is(const struct freeing_side *side, const char *state)
{
    return side->state && strcmp(side->state, state) == 0;
}

static bool active(const struct freeing_side *side)
{
    return side->seen == FREEING_PAUSED || side->seen == FREEING_RUNNING;
}

static void say(const struct freeing_side *side, char *text, size_t size)
{
    static const char *const guests[] = {
        [FREEING_UNKNOWN] = "what guests it has is not known",
        [FREEING_ABSENT] = "the guest is not there",
        [FREEING_OFF] = "the guest is off there",
        [FREEING_PAUSED] = "the guest is paused there",
        [FREEING_RUNNING] = "the guest runs there",
    };
    const char *host = side->host ? side->host : "a host that is not known";
    if (!side->asked)
        snprintf(text, size, "%s can't be asked", host);
    else
        snprintf(text, size, "%s: %s, %s", host, side->state ? side->state : "nothing open of the move",
                 guests[side->seen]);
}

/* Whatever the reason, both hosts are told of. */
static int refuse(const struct freeing *f, struct error *err, const char *why, const char *todo)
{
    char source[200], destination[200];
    say(&f->source, source, sizeof(source));
    say(&f->destination, destination, sizeof(destination));
    const char *elsewhere = f->third ? f->third : f->maybe;
    const char *how = f->third ? "; it runs on " : f->maybe ? "; it was last seen to be active on " : "";
    return error_set(err, STATUS_FAILED_PRECONDITION,
                     "%s (source %s; destination %s%s%s). Nothing was touched. %s", why, source, destination,
                     how, elsewhere ? elsewhere : "", todo);
}

static const char *const look = "Look at both hosts (virsh list --all), and at their agents' logs";
static const char *const up_first = "Make both agents reachable, then try again";
static const char *const update = "Update it, then try again";

static bool runs_elsewhere(const struct freeing *f)
{
    return f->third || f->source.seen == FREEING_RUNNING;
}

/* It has given the guest up for good, and the destination has got it or will. Its own agent hands it over until that is so. */
static int of_fenced(const struct freeing *f, enum freeing_deed *ret, struct error *err)
{
    const struct freeing_side *s = &f->source, *d = &f->destination;
    if (!d->asked)
        return refuse(f, err, "the source has given the guest away, and the destination can't be asked",
                      up_first);
    if (active(s) || s->seen == FREEING_UNKNOWN)
        return refuse(f, err, "the source has given the guest away, and a QEMU of it may be left there",
                      "If it stays so: end that one (virsh destroy), but only if the guest runs at the "
                      "destination; then try again");
    bool there =
        d->state ? is(d, "ACTIVATED") ? d->seen >= FREEING_OFF : is(d, "OWNER") && d->seen == FREEING_RUNNING
                 : d->seen == FREEING_RUNNING || d->seen == FREEING_OFF || f->third;
    if (!there && is(d, "PREPARED"))
        return refuse(f, err,
                      "the source is handing the guest over, and the destination has not taken it yet",
                      "Its agent goes on by itself: wait, and see both agents' logs if it does not end");
    if (!there && is(d, "OWNER"))
        return refuse(f, err, "the destination is about to run the guest",
                      "Its agent goes on by itself: wait, and see its log if it does not end");
    if (!there)
        return refuse(f, err, "the source has given the guest away, and it is not seen at the destination",
                      "If it is nowhere its memory is lost: define and start it on the destination (virsh), "
                      "then try again");
    if (s->images == FREEING_IMAGES_UNTOLD)
        return refuse(f, err, "the source's agent is older, and does not tell which disks were copied",
                      update);
    *ret = FREEING_RELEASE_SOURCE;
    return 0;
}

static int of_destination(const struct freeing *f, enum freeing_deed *ret, struct error *err)
{
    const struct freeing_side *s = &f->source, *d = &f->destination;
    if (is(d, "PREPARED")) {
        if (d->seen == FREEING_UNKNOWN)
            return refuse(f, err, "what is on the destination is not known yet", up_first);
        /* An image that is there is ended by it. */
        if (active(d) && !f->kept && !runs_elsewhere(f))
            return refuse(
                f, err,
                "the destination has an image of the guest, which runs on no other host that can be "
                "asked: it may be all that is left of its memory",
                look);
        if (d->images == FREEING_IMAGES_UNTOLD)
            return refuse(f, err,
                          "the destination's agent is older, and does not tell which disks were copied",
                          update);
        /* They are removed by it. A guest that is shut off is nowhere seen to be given away. */
        bool source_known = s->asked && s->seen != FREEING_UNKNOWN;
        if (d->images == FREEING_IMAGES_SOME && !source_known && !f->kept && !runs_elsewhere(f))
            return refuse(f, err,
                          "the destination has copies of the guest's disks, and the source can't be asked "
                          "whether it has given the guest away",
                          up_first);
        *ret = FREEING_ABORT;
        return 0;
    }
    if (!is(d, "ACTIVATED"))
        return refuse(f, err, "the guest is the destination's, whose agent is not done with it", look);
    if (!f->released && (!s->asked || s->seen == FREEING_UNKNOWN))
        return refuse(f, err, "the guest is the destination's, and the source can't be asked", up_first);
    if (f->maybe && !f->third)
        return refuse(f, err,
                      "the guest is the destination's, and a host that can't be asked may have it, too",
                      "Make that one's agent and libvirt reachable, or take it out of coordinator.yaml if it "
                      "is gone for good; then try again");
    if ((!f->released && s->seen != FREEING_ABSENT) || f->third)
        return refuse(f, err, "the guest is the destination's, and it is elsewhere, too",
                      "Keep the one that is right, and undefine the other (virsh undefine); then try again");
    if (d->seen < FREEING_OFF)
        return refuse(f, err, "the guest is the destination's, and it is not seen there", look);
    *ret = FREEING_RELEASE_DESTINATION;
    return 0;
}

int freeing_next(const struct freeing *f, enum freeing_deed *ret, struct error *err)
{
    if (is(&f->source, "PREPARED") || is(&f->source, "MIGRATING")) {
        *ret = FREEING_SETTLE;
        return 0;
    }
    if (is(&f->source, "FENCED"))
        return of_fenced(f, ret, err);
    if (f->source.state)
        return refuse(f, err, "the source is in a state that this coordinator does not know", look);
    if (f->destination.state)
        return of_destination(f, ret, err);
    *ret = FREEING_NOTHING;
    return 0;
}
