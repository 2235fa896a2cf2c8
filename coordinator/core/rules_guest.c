/* Rules about the guest itself: what state it is in, and what it has that can't be taken along. */
#include "common/base/cleanup.h"
#include "coordinator/core/post_copy.h"
#include "coordinator/core/probe_plan.h"
#include "coordinator/core/rules.h"

#include <string.h>
#include <strings.h>

static const char *state_words(Drover__V1__GuestState state)
{
    switch (state) {
    case DROVER__V1__GUEST_STATE__GUEST_RUNNING: return "running";
    case DROVER__V1__GUEST_STATE__GUEST_PAUSED: return "paused";
    case DROVER__V1__GUEST_STATE__GUEST_SHUTOFF: return "shut off";
    case DROVER__V1__GUEST_STATE__GUEST_CRASHED: return "crashed";
    case DROVER__V1__GUEST_STATE__GUEST_SUSPENDED: return "suspended by power management";
    case DROVER__V1__GUEST_STATE__GUEST_SHUTDOWN: return "being shut down";
    default: return "in a state that its agent does not know";
    }
}

static bool moving(const struct preflight *in)
{
    return in->mode != DROVER__V1__MODE__MODE_DEFINITION;
}

RULE(guest_busy)
{
    const Drover__V1__Guest *g = in->guest->guest;
    if (in->open_job)
        found(("guest %s", g->name), ("job %llu works on it", (unsigned long long)in->open_job),
              ("no open job"),
              ("wait for it (drover watch %llu) or cancel it", (unsigned long long)in->open_job));
    else if (g->transaction[0])
        found(("guest %s", g->name),
              ("the agent of %s holds it for transaction %s", in->source->name, g->transaction),
              ("no open transaction"), ("wait until that one is settled; `drover jobs` shows what is open"));
    else if (g->job)
        found(("guest %s", g->name), ("libvirt has a job on it"), ("no job"),
              ("wait for it, or end it: virsh domjobinfo %s; virsh domjobabort %s; of a disk: virsh blockjob "
               "%s DISK",
               g->name, g->name, g->name));
}

/* What an operator does about a guest that neither runs nor is shut off. */
static const char *state_todo(Drover__V1__GuestState state)
{
    switch (state) {
    case DROVER__V1__GUEST_STATE__GUEST_SHUTOFF: return "leave --mode out to move its definition";
    case DROVER__V1__GUEST_STATE__GUEST_PAUSED:
        return "resume it first (virsh resume): at the destination it would run";
    case DROVER__V1__GUEST_STATE__GUEST_SUSPENDED: return "wake it first (virsh dompmwakeup), or shut it off";
    case DROVER__V1__GUEST_STATE__GUEST_SHUTDOWN: return "wait until it is shut off";
    default: return "start it, or shut it off (virsh destroy)";
    }
}

RULE(guest_state)
{
    const Drover__V1__Guest *g = in->guest->guest;
    if (moving(in) && g->state != DROVER__V1__GUEST_STATE__GUEST_RUNNING)
        found(("guest %s", g->name), ("it is %s", state_words(g->state)), ("running, or shut off"),
              ("%s", state_todo(g->state)));
    if (!moving(in) && g->state != DROVER__V1__GUEST_STATE__GUEST_SHUTOFF)
        found(("guest %s", g->name), ("it is %s", state_words(g->state)),
              ("shut off, when only the definition is to move"), ("leave --mode out to move it as it is"));
}

RULE(mode_allowed)
{
    if (in->mode == DROVER__V1__MODE__MODE_POST_COPY && !in->policy->post_copy)
        found(("guest %s", in->guest->guest->name),
              ("post-copy was asked for, and its policy does not allow it"),
              ("post-copy in the policy's allow: a host that dies during post-copy takes the guest's memory "
               "along"),
              ("--allow post-copy, or post-copy in the policy's allow in coordinator.yaml, or choose another "
               "mode"));
}

/* In post-copy libvirt itself runs the guest there. Where its answer is lost before a switch-over, it takes the guest back here,
 * too; QEMU's lock on an image file stops the second copy, where there is one that both hosts see. */
RULE(post_copy_handover)
{
    const Drover__V1__Guest *g = in->guest->guest;
    bool may = in->mode == DROVER__V1__MODE__MODE_POST_COPY || in->mode == DROVER__V1__MODE__MODE_AUTO;
    _cleanup_free_ char *missing = post_copy_missing(in->destination->report);
    if (!may || !in->policy->post_copy || missing)
        return;
    for (size_t i = 0; i < g->n_disks; i++) {
        const Drover__V1__Disk *d = g->disks[i];
        if (disk_is_written(d) && (d->shareable || !streq(d->type, "file")))
            found(
                ("disk %s", d->target),
                ("no lock keeps a second copy of the guest from it, and post-copy hands over by libvirt"),
                ("a disk with QEMU's lock, or a handover that waits for the source"),
                ("leave post-copy out of the policy's allow, unless the network between the hosts is sure"));
    }
}

/* It blocks where post-copy is all that was asked for, and is left out where it is one way of several. */
RULE(post_copy_missing)
{
    bool only = in->mode == DROVER__V1__MODE__MODE_POST_COPY;
    _cleanup_free_ char *missing = post_copy_missing(in->destination->report);
    if (!missing || !in->policy->post_copy || (!only && in->mode != DROVER__V1__MODE__MODE_AUTO) ||
        only != (rule->severity == DROVER__V1__SEVERITY__BLOCK))
        return;
    found(("post-copy to %s", in->destination->name), ("%s", missing),
          ("userfaultfd for QEMU, which refuses a migration that may come to post-copy without it"),
          ("sysctl vm.unprivileged_userfaultfd=1 on %s, and a file in /etc/sysctl.d that says so; or do "
           "without "
           "post-copy",
           in->destination->name));
}

/* A second running copy is never made worse by moving one of them. */
RULE(guest_elsewhere)
{
    const Drover__V1__Guest *g = in->guest->guest;
    for (size_t i = 0; fleet_has_copies(in->fleet, in->guest) && i < in->fleet->n_hosts; i++) {
        const struct fleet_host *h = &in->fleet->hosts[i];
        const struct fleet_guest *other = h == in->source ? NULL : fleet_guest_on(h, g->uuid);
        if (other && h->up && fleet_guest_active(other->guest) && fleet_guest_active(g))
            found(("guest %s", g->name), ("it is %s on %s, too", state_words(other->guest->state), h->name),
                  ("one copy with a process"),
                  ("find out which copy is right, and end the other, before anything moves"));
    }
}

RULE(guest_remembered)
{
    const Drover__V1__Guest *g = in->guest->guest;
    for (size_t i = 0; fleet_has_copies(in->fleet, in->guest) && i < in->fleet->n_hosts; i++) {
        const struct fleet_host *h = &in->fleet->hosts[i];
        const struct fleet_guest *other =
            h == in->source || h == in->destination ? NULL : fleet_guest_on(h, g->uuid);
        if (!other || (h->up && fleet_guest_active(other->guest)))
            continue;
        if (h->up)
            found(("guest %s", g->name), ("%s has a definition of it, too", h->name),
                  ("one host that defines it"),
                  ("if that one is stale: virsh undefine %s on %s", g->name, h->name));
        else
            found(("guest %s", g->name),
                  ("%s, which is down, had it %s when it last spoke", h->name,
                   state_words(other->guest->state)),
                  ("one host that has it"),
                  ("make sure that %s does not start it when it comes back", h->name));
    }
}

RULE(hostdevs)
{
    const Drover__V1__Guest *g = in->guest->guest;
    for (size_t i = 0; i < g->n_hostdevs; i++)
        found(("device %s", g->hostdevs[i]), ("a device of %s given to the guest", in->source->name),
              ("%s", moving(in) ? "no host devices: QEMU can't move their state"
                                : "the same device at the destination when it starts"),
              ("%s",
               moving(in)
                   ? "detach it first (virsh detach-device), or shut the guest off and move its definition"
                   : "check the device's address at the destination, and edit the definition there"));
}

/* libvirt: "cannot migrate domain with N snapshots". */
RULE(snapshots)
{
    const Drover__V1__Guest *g = in->guest->guest;
    if (g->snapshots)
        found(("guest %s", g->name), ("%u snapshot%s", g->snapshots, g->snapshots == 1 ? "" : "s"),
              ("none: libvirt refuses to migrate a running guest that has any"),
              ("delete them (virsh snapshot-delete), or shut the guest off: its snapshots' definitions then "
               "move along"));
}

RULE(checkpoints)
{
    const Drover__V1__Guest *g = in->guest->guest;
    if (g->checkpoints)
        found(("guest %s", g->name), ("%u checkpoint%s", g->checkpoints, g->checkpoints == 1 ? "" : "s"),
              ("none: a checkpoint's record stays with the libvirt that made it, and would be lost"),
              ("finish the backups that use them, then virsh checkpoint-delete"));
}

RULE(managed_save)
{
    const Drover__V1__Guest *g = in->guest->guest;
    if (g->managed_save)
        found(("guest %s", g->name), ("its memory is saved on %s (managed save)", in->source->name),
              ("no saved memory: it would be lost"),
              ("start the guest and move it running, or drop it: virsh managedsave-remove %s", g->name));
}

RULE(definition_differs)
{
    const Drover__V1__GuestNow *now = evidence_guest(in->evidence, in->source);
    for (size_t i = 0; now && i < now->n_later; i++)
        found(("guest %s", in->guest->guest->name),
              ("its definition names %s, which it does not have while it runs", now->later[i]),
              ("what was checked: the disks and interfaces that it has now"),
              ("see that %s has that, too; or change the definition: virsh edit %s", in->destination->name,
               in->guest->guest->name));
}

RULE(nvram)
{
    const Drover__V1__Guest *g = in->guest->guest;
    if (g->nvram[0])
        found(("guest %s", g->name), ("its firmware keeps variables in %s on %s", g->nvram, in->source->name),
              ("no file that only the source has: the boot order would be lost"),
              ("move the guest while it runs: QEMU then takes the variables along"));
}

RULE(name_free)
{
    const Drover__V1__Guest *g = in->guest->guest;
    const struct fleet_host *h = in->destination;
    for (size_t i = 0; h != in->source && i < h->n_guests; i++) {
        const Drover__V1__Guest *other = h->guests[i].guest;
        if (streq(other->name, g->name) && strcasecmp(other->uuid, g->uuid) != 0)
            found(("host %s", h->name),
                  ("another guest named %s is there (UUID %s, %s)", other->name, other->uuid,
                   state_words(other->state)),
                  ("a free name"),
                  ("rename one of them while it is shut off: virsh domrename %s NEW", g->name));
    }
}

RULE(uuid_free)
{
    const struct fleet_host *h = in->destination;
    const struct fleet_guest *other = h == in->source ? NULL : fleet_guest_on(h, in->guest->guest->uuid);
    if (other)
        found(("host %s", h->name),
              ("it has a guest of this UUID already: %s, %s", other->guest->name,
               state_words(other->guest->state)),
              ("a free UUID"),
              ("%s", fleet_guest_active(other->guest)
                         ? "find out which copy is right before anything moves"
                         : "if that definition is stale, remove it there: virsh undefine"));
}
