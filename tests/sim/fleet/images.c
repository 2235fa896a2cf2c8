/* The disks of a guest that takes them along (--copy-storage): an image at each host, agent/copies.c. Its content is a number, which grows
 * whenever the guest begins to run: the highest is what the guest wrote last, and no other image has it. */
#include "images.h"

static struct image *image_of(struct world *w, int host)
{
    return &w->hosts[host].image;
}

void images_init(struct world *w)
{
    w->content = 1;
    w->hosts[0].image = (struct image){.there = w->copies, .content = w->content};
}

bool images_vote(const struct world *w, int host, enum participant_role role)
{
    return !w->copies || w->hosts[host].image.there == (role == PARTICIPANT_SOURCE);
}

void images_prepared(struct world *w, int host, struct record *r, bool yes)
{
    if (!w->copies || !yes)
        return;
    r->relocated = true;
    if (r->role == PARTICIPANT_SOURCE)
        return;
    r->copies = r->copied = true;
    image_of(w, host)->there = true;
    image_of(w, host)->content = 0;
}

void images_switched(struct world *w, int source)
{
    if (!w->copies)
        return;
    world_saw(w, SEEN_COPIED);
    image_of(w, 1 - source)->content = image_of(w, source)->content;
}

/* agent/send_disks.c. What is cut short leaves a half. */
bool images_send(struct world *w, int source, int txn)
{
    struct agent *there = &w->hosts[1 - source].agent;
    struct record *r = &there->records[txn];
    if (!w->copies || !w->definition_only ||
        w->hosts[source].agent.records[txn].state != PARTICIPANT_PREPARED)
        return true;
    bool half = !w->calm && world_chance(w, 300);
    if (!there->alive || there->n_ops || r->state != PARTICIPANT_PREPARED || w->cut_off)
        return false;
    if (half) {
        world_saw(w, SEEN_COPIED_HALF);
        world_trace(w, "half of the disks is at %d", 1 - source);
        return false;
    }
    world_saw(w, SEEN_COPIED_OFF);
    world_trace(w, "the disks are at %d", 1 - source);
    image_of(w, 1 - source)->content = image_of(w, source)->content;
    r->whole = true;
    if (disk_write_record(w, 1 - source, txn))
        return true;
    if (there->alive) /* else it is as the disk has it */
        r->whole = false;
    return false;
}

/* A second copy, which an operator has let run, is not the guest. */
void images_run(struct world *w, int host)
{
    struct image *i = image_of(w, host);
    if (!w->copies || !i->there)
        return;
    if (i->content != w->content && !w->said && !w->resumed && !w->spoilt)
        world_violate(w, "the guest runs from disks that are older than it at host %d", host);
    i->content = ++w->content;
}

bool images_can_start(const struct world *w, int host)
{
    return !w->copies || w->hosts[host].image.there;
}

bool images_are_incomplete(const struct world *w, const struct record *r)
{
    return w->definition_only && r->copies && !r->whole;
}

/* drive.c, manifest: from here on it may hold what is nowhere else. */
void images_stepped(const struct world *w, struct record *r, enum participant_state first)
{
    r->owned |= first == PARTICIPANT_OWNER;
    r->copies &= first != PARTICIPANT_OWNER || w->mutation == UNDO_OWNED;
}

void images_undo(struct world *w, int host, struct record *r, bool abort)
{
    const struct domain *d = &w->hosts[host].domain;
    if (!r->copies || !abort)
        return;
    if (r->owned)
        world_violate(w, "an image that was the guest's is removed at host %d", host);
    if (d->qemu == Q_OFF && !d->defined) /* else it stays, and that is said */
        image_of(w, host)->there = false;
    r->copies = false;
}

void images_put_aside(struct world *w, int host, const struct record *r)
{
    struct image *i = image_of(w, host);
    if (!r->relocated || !i->there)
        return;
    world_saw(w, SEEN_PUT_ASIDE);
    i->there = false;
    i->aside = i->content;
}

void images_check(struct world *w)
{
    bool newest = !w->copies;
    for (int h = 0; h < HOSTS && w->copies; h++) {
        const struct image *i = image_of(w, h);
        const struct domain *d = &w->hosts[h].domain;
        bool used = d->qemu != Q_OFF || (w->definition_only && d->defined);
        if (used && !i->there)
            world_violate(w, "an image that the guest uses is removed at host %d", h);
        if (w->definition_only && d->defined && i->there && i->content != w->content)
            world_violate(w, "the guest is at host %d without all of its disks", h);
        newest |= (i->there && i->content == w->content) || i->aside == w->content;
    }
    if (!newest)
        world_violate(w, "what the guest wrote last is nowhere any more");
}
