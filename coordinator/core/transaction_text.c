/* What a transaction says: its words, what cancelling means, what is waited for. */
#include "coordinator/core/transaction.h"

#include <stdio.h>
#include <string.h>

bool txn_cancel_text(const struct txn *t, char *text, size_t size)
{
    const char *guest = t->guest, *from = t->host[TXN_SOURCE], *to = t->host[TXN_DESTINATION];
    switch (t->state) {
    case TXN_NEW:
    case TXN_PREPARING:
        snprintf(text, size, "nothing has moved yet: %s stays on %s, what was reserved on %s is given back",
                 guest, from, to);
        return true;
    case TXN_TRANSFER:
        if (t->post_copy) {
            snprintf(
                text, size,
                "%s runs on %s already and a part of its memory is still on %s: ending either would lose it, "
                "so it is too late to cancel",
                guest, to, from);
            return false;
        }
        snprintf(text, size,
                 "the transfer is stopped and %s stays on %s, unless it has switched over in this very "
                 "moment: then it "
                 "ends on %s",
                 guest, from, to);
        return true;
    case TXN_SETTLING:
        snprintf(text, size,
                 "the transfer has ended and %s is being asked whether %s is still there: too late to cancel",
                 from, guest);
        return false;
    case TXN_ABORTING:
        snprintf(text, size, "it is being undone already: %s is safe on %s", guest, from);
        return false;
    case TXN_ACTIVATING:
    case TXN_RELEASING:
        snprintf(text, size,
                 "%s has switched over to %s: too late to cancel; to bring it back, migrate it to %s", guest,
                 to, from);
        return false;
    case TXN_COLD_START:
        snprintf(text, size,
                 t->definition_only
                     ? "%s did not get to %s and is given back to %s: nothing is left to cancel"
                     : "%s's memory was lost on %s and it is being started anew on %s: too late to cancel",
                 guest, to, from);
        return false;
    case TXN_DONE:
    case TXN_ABORTED:
    case TXN_N_STATES: break;
    }
    snprintf(text, size, "it has ended already");
    return false;
}

static void half_there(const struct txn *t, char *text, size_t size, char *todo, size_t todo_size)
{
    const char *guest = t->guest, *from = t->host[TXN_SOURCE], *to = t->host[TXN_DESTINATION];
    snprintf(text, size,
             "%s went over to %s in post-copy, and a part of its memory is still on %s: neither is stopped",
             guest, to, from);
    snprintf(
        todo, todo_size,
        "make %s and %s reach each other; it goes on by itself. If its QEMU on either has died, its memory "
        "is lost: end what is left of it (virsh destroy), say `drover job ID --resolve source` once it "
        "settles, and start it on %s (libvirt 9.0 does so once libvirtd there was restarted)",
        from, to, from);
}

/* The guest is where it stays. */
static void clear_away(const struct txn *t, char *todo, size_t size)
{
    const char *guest = t->guest, *to = t->host[TXN_DESTINATION];
    if (t->taken_back)
        snprintf(todo, size,
                 "before %s is started again, see that it can't start %s; then it goes on by itself. If it "
                 "never comes "
                 "back: `drover job ID --resolve source --destination-is-off` once more",
                 to, guest);
    else
        snprintf(todo, size,
                 "make %s's agent reachable; it goes on by itself. Meanwhile %s may be migrated to another "
                 "host. If %s "
                 "never comes back: `drover job ID --resolve source --destination-is-off`",
                 to, guest, to);
}

static void what_is_missing(const struct txn *t, char *text, size_t size, char *todo, size_t todo_size)
{
    const char *guest = t->guest, *from = t->host[TXN_SOURCE], *to = t->host[TXN_DESTINATION];
    switch (t->state) {
    case TXN_TRANSFER: half_there(t, text, size, todo, todo_size); break;
    case TXN_SETTLING:
        if (t->post_copy) {
            half_there(t, text, size, todo, todo_size);
            break;
        }
        snprintf(text, size, "whether %s is still on %s is not known, so it is not started anywhere else",
                 guest, from);
        snprintf(
            todo, todo_size,
            "make %s's agent and libvirt reachable; it goes on by itself. If %s is off there for good, "
            "say whose it is: `drover job ID --resolve destination` to start it from its disks on %s (with "
            "--fence or --source-is-off if %s can't be asked any more; see --with-memory), or `--resolve "
            "source`, and start it on %s",
            from, guest, to, from, from);
        break;
    case TXN_ABORTING:
        snprintf(text, size, "%s is safe on %s; %s must still give back what it reserved", guest, from, to);
        clear_away(t, todo, todo_size);
        break;
    case TXN_ACTIVATING:
        snprintf(text, size,
                 "%s has left %s; whether it runs on %s is not known, so it is not started anywhere else",
                 guest, from, to);
        snprintf(todo, todo_size,
                 !t->granted && !t->from_disks && !t->said_cold
                     ? "make %s's agent and libvirt reachable; it goes on by itself. If %s is switched off "
                       "for good: "
                       "`drover job ID --resolve source --destination-is-off` starts %s from its disks on %s"
                     : "make %s's agent and libvirt reachable; it goes on by itself",
                 to, to, guest, from);
        break;
    case TXN_RELEASING:
        if (t->granted && !(t->answered & TXN_BIT(TXN_SOURCE))) {
            snprintf(text, size, "%s is on %s; %s must still learn that it was given away", guest, to, from);
            snprintf(
                todo, todo_size,
                "before %s is started again, see that it can't start %s; then it goes on by itself. If it "
                "never comes back: `drover job ID --resolve destination --source-is-off` once more",
                from, guest);
            break;
        }
        snprintf(text, size, "%s is on %s; what is still held is being given back", guest, to);
        snprintf(todo, todo_size,
                 "make the agents of %s and %s reachable; it goes on by itself. If one never comes back: "
                 "`drover job ID "
                 "--resolve destination --source-is-off`, or `--resolve source --destination-is-off`",
                 from, to);
        break;
    case TXN_COLD_START:
        if (t->cold_started) {
            snprintf(text, size,
                     t->taken_back ? "%s was started anew on %s; %s must still learn that it was taken back"
                                   : "%s was started anew on %s; %s must still forget it",
                     guest, from, to);
            clear_away(t, todo, todo_size);
        } else {
            snprintf(text, size,
                     t->definition_only ? "%s did not get to %s; it is to be given back to %s"
                                        : "%s's memory was lost on %s; it is to be started anew on %s",
                     guest, to, from);
            snprintf(todo, todo_size, "make %s's agent and libvirt reachable; it goes on by itself", from);
        }
        break;
    default: break;
    }
}

static void what_is_done(const struct txn *t, char *text, size_t size)
{
    const char *guest = t->guest, *from = t->host[TXN_SOURCE], *to = t->host[TXN_DESTINATION];
    switch (t->state) {
    case TXN_NEW:
    case TXN_PREPARING:
        snprintf(text, size, "%s prepares", t->answered & TXN_BIT(TXN_SOURCE) ? to : from);
        break;
    case TXN_TRANSFER: snprintf(text, size, "%s moves from %s to %s", guest, from, to); break;
    case TXN_SETTLING: snprintf(text, size, "%s says whether %s is still there", from, guest); break;
    case TXN_ABORTING:
        snprintf(text, size, "%s is safe on %s; %s gives back what it reserved", guest, from, to);
        break;
    case TXN_ACTIVATING: snprintf(text, size, "%s takes %s over", to, guest); break;
    case TXN_RELEASING: snprintf(text, size, "%s is on %s; what was held is given back", guest, to); break;
    case TXN_COLD_START:
        snprintf(text, size, t->definition_only ? "%s is given back to %s" : "%s is started anew on %s",
                 guest, from);
        break;
    case TXN_DONE:
    case TXN_ABORTED: snprintf(text, size, "both hosts are asked where %s is", guest); break;
    case TXN_N_STATES: break;
    }
}

void txn_waiting(const struct txn *t, char *text, size_t text_size, char *todo, size_t todo_size)
{
    text[0] = todo[0] = 0;
    if (t->in_doubt)
        what_is_missing(t, text, text_size, todo, todo_size);
    else
        what_is_done(t, text, text_size);
    size_t used = strlen(text);
    if (t->last[0] && used < text_size)
        snprintf(text + used, text_size - used, "; %s", t->last);
}
