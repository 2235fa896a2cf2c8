/* What a step may do to the guest. Each may be done twice. */
#include "agent/transaction.h"

#include "agent/copies.h"
#include "agent/io/definition.h"
#include "agent/io/domain.h"
#include "common/base/failpoint.h"
#include "common/base/memory.h"

typedef int (*deed)(struct transaction *txn, virConnectPtr conn, char *text, size_t size, struct error *err);

static int resume_source(struct transaction *txn, virConnectPtr conn, char *text, size_t size,
                         struct error *err)
{
    int e = domain_resume(conn, txn->guest, err);
    if (e < 0)
        return e;
    transaction_undone(txn, DROVER__V1__MADE__KIND__PAUSE);
    transaction_undone(txn, DROVER__V1__MADE__KIND__RESUME);
    transaction_write(txn, transaction_state(txn),
                      NULL); /* else it is resumed once more, which does nothing */
    snprintf(text, size, "guest %s was resumed here", transaction_guest_name(txn));
    return 0;
}

static int pause_again(struct transaction *txn, virConnectPtr conn, char *text, size_t size,
                       struct error *err)
{
    char seen[200];
    struct participant_facts f = {0};
    int e = domain_look(conn, txn->guest, txn->role, &f, seen, sizeof(seen), err);
    if (e == 0 && f.guest == PARTICIPANT_RUNNING)
        e = domain_suspend(conn, txn->guest, err);
    if (e < 0)
        return e;
    if (txn->role == PARTICIPANT_SOURCE) {
        transaction_undone(txn, DROVER__V1__MADE__KIND__PAUSE);
        transaction_undone(txn, DROVER__V1__MADE__KIND__OTHERS_PAUSE);
        transaction_write(txn, transaction_state(txn),
                          NULL); /* else it is done once more when the agent is started */
    }
    if (f.guest == PARTICIPANT_RUNNING || f.guest == PARTICIPANT_PAUSED)
        snprintf(text, size, "guest %s is paused here, as an operator had it", transaction_guest_name(txn));
    return 0;
}

static int take_autostart(struct transaction *txn, virConnectPtr conn, char *text, size_t size,
                          struct error *err)
{
    (void)text;
    (void)size;
    struct error why = {0};
    int e = domain_set_autostart(conn, txn->guest, false, &why);
    return e < 0 && why.code != STATUS_NOT_FOUND ? error_set(err, why.code, "%s", why.text) : 0;
}

/* libvirt would wait for a job, and with it the guest's turn. */
static int give_autostart(struct transaction *txn, virConnectPtr conn, char *text, size_t size,
                          struct error *err)
{
    struct participant_facts f = {0};
    struct error why = {0};
    int e = domain_look(conn, txn->guest, txn->role, &f, text, size, err);
    if (e == 0 && f.job)
        return error_set(err, STATUS_UNAVAILABLE, "the autostart of guest %s is still off: libvirt has a job",
                         transaction_guest_name(txn));
    if (e == 0)
        e = domain_set_autostart(conn, txn->guest, true, &why);
    if (e < 0 && why.code != STATUS_NOT_FOUND)
        return why.code ? error_set(err, why.code, "%s", why.text) : e;
    transaction_undone(txn, DROVER__V1__MADE__KIND__AUTOSTART);
    transaction_write(txn, transaction_state(txn), NULL); /* else it is done once more */
    return 0;
}

static int define(struct transaction *txn, virConnectPtr conn, char *text, size_t size, struct error *err)
{
    const Drover__V1__Definition *d = txn->record->definition;
    if (!d)
        return error_set(err, STATUS_DATA_LOSS, "the record of transaction %s holds no definition", txn->id);
    _cleanup_domain_ virDomainPtr here = d->persistent ? NULL : domain_find(conn, txn->guest, NULL);
    if (!d->persistent && !here) /* a transient one that has ended: this is all that is left of it */
        return records_archive(txn->all->records, transaction_guest_name(txn), txn->guest,
                               txn->record->step->generation, d->xml, err);
    int e = definition_define(conn, d, err);
    if (e == 0 && txn->record->mode == DROVER__V1__MODE__MODE_DEFINITION)
        snprintf(text, size, "%s is defined on %s", transaction_guest_name(txn),
                 txn->all->agent->config->name);
    return e;
}

static int resume(struct transaction *txn, virConnectPtr conn, char *text, size_t size, struct error *err)
{
    int e = domain_resume(conn, txn->guest, err);
    if (e == 0)
        snprintf(text, size, "%s was let run on %s", transaction_guest_name(txn),
                 txn->all->agent->config->name);
    return e;
}

/* The source has kept the guest, so a copy that runs here is a second one: an operator has resumed the image before it was anybody's
 * guest. It is ended, and whoever asked for the end is told, for both have written to the disks. */
static int drop_image(struct transaction *txn, virConnectPtr conn, bool ours, struct error *err)
{
    bool runs = domain_is_resumed_image(conn, txn->guest);
    if (runs && !txn->record->warning[0]) {
        txn->record->warning = xasprintf("a copy of %s ran on %s as well: its image, which waited there "
                                         "paused, was resumed by somebody; it was ended",
                                         transaction_guest_name(txn), txn->all->agent->config->name);
        int e = transaction_write(txn, transaction_state(txn), err);
        if (e < 0)
            return e;
    }
    return domain_drop_image(conn, txn->guest, ours, runs, err);
}

/* Only what the manifest says, and only for the newest transaction of the guest: an image that is here now may be that of a
 * later one. */
static int undo(struct transaction *txn, virConnectPtr conn, char *text, size_t size, struct error *err)
{
    bool image = transaction_has_made(txn, DROVER__V1__MADE__KIND__RESERVATION);
    bool definition = transaction_has_made(txn, DROVER__V1__MADE__KIND__DEFINITION);
    bool copies = transaction_has_made(txn, DROVER__V1__MADE__KIND__IMAGE);
    if (!image && !definition && !copies)
        return 0;
    bool newest = !transaction_is_superseded(txn);
    int e = 0;
    if (newest && txn->record->mode != DROVER__V1__MODE__MODE_DEFINITION)
        e = drop_image(txn, conn, definition, err);
    /* Who says LOST is told ABORT when the source has the guest, and with it what others use: until then these may be the only disks, and,
     * where the record was lost and made anew (it has no vote), this the only definition: the guest may have been here for long. */
    bool told = txn->kept_known, made = told || txn->record->vote;
    if (e == 0 && newest && definition && made)
        e = domain_undefine(conn, txn->guest, err);
    if (e < 0)
        return e;
    snprintf(text, size, "nothing of guest %s is left here", transaction_guest_name(txn));
    if (copies && told && (e = copies_undo(txn, conn, text, size, err)) < 0)
        return e;
    transaction_undone(txn, DROVER__V1__MADE__KIND__RESERVATION);
    if (made)
        transaction_undone(txn, DROVER__V1__MADE__KIND__DEFINITION);
    return transaction_write(txn, transaction_state(txn), err);
}

static int end(struct transaction *txn, virConnectPtr conn, char *text, size_t size, struct error *err)
{
    bool source = txn->role == PARTICIPANT_SOURCE;
    bool ours = source || transaction_has_made(txn, DROVER__V1__MADE__KIND__DEFINITION);
    int e = domain_drop_image(conn, txn->guest, ours, false, err);
    if (e < 0)
        return e;
    snprintf(text, size,
             source ? "the paused QEMU of guest %s that libvirt left here was ended"
                    : "the image of guest %s, which may be older than its disks, was ended",
             transaction_guest_name(txn));
    if (source)
        return 0;
    transaction_undone(txn, DROVER__V1__MADE__KIND__FROM_DISKS); /* what is started now is the guest */
    return transaction_write(txn, transaction_state(txn), err);
}

static int retire(struct transaction *txn, virConnectPtr conn, char *text, size_t size, struct error *err)
{
    const Drover__V1__Definition *d = txn->record->definition;
    copies_put_aside(txn, conn);
    if (!d || !d->persistent)
        return 0;
    int e = records_archive(txn->all->records, transaction_guest_name(txn), txn->guest,
                            txn->record->step->generation, d->xml, err);
    if (e == 0)
        e = domain_undefine(conn, txn->guest, err);
    if (e == 0)
        snprintf(text, size, "the definition of guest %s is in the archive, and no longer in libvirt",
                 transaction_guest_name(txn));
    return e;
}

static int start(struct transaction *txn, virConnectPtr conn, char *text, size_t size, struct error *err)
{
    const Drover__V1__Definition *d = txn->record->definition;
    if (!d)
        return error_set(err, STATUS_DATA_LOSS, "the record of transaction %s holds no definition", txn->id);
    int e = domain_start(conn, txn->guest, d->xml, d->persistent, err);
    if (e < 0)
        return e;
    if (d->persistent && d->autostart)
        domain_set_autostart(conn, txn->guest, true, NULL);
    snprintf(text, size, "guest %s was started here from its disks; what was in its memory is lost",
             transaction_guest_name(txn));
    return 0;
}

int deeds_do(struct transaction *txn, virConnectPtr conn, enum participant_action action, char *text,
             size_t size, struct error *err)
{
    static const struct {
        enum participant_action action;
        deed fn;
        const char *name; /* of its failpoints */
    } deeds[] = {
        {PARTICIPANT_RESUME_SOURCE, resume_source, "resume_source"},
        {PARTICIPANT_PAUSE, pause_again, "pause"},
        {PARTICIPANT_DEFINE, define, "define"},
        {PARTICIPANT_RESUME, resume, "resume"},
        {PARTICIPANT_UNDO, undo, "undo"},
        {PARTICIPANT_END, end, "end"},
        {PARTICIPANT_RETIRE, retire, "retire"},
        {PARTICIPANT_START, start, "start"},
        {PARTICIPANT_AUTOSTART_OFF, take_autostart, "autostart_off"},
        {PARTICIPANT_AUTOSTART_ON, give_autostart, "autostart_on"},
    };
    size_t n = sizeof(deeds) / sizeof(deeds[0]), i = 0;
    while (i < n && deeds[i].action != action)
        i++;
    if (i == n)
        return error_set(err, STATUS_INTERNAL, "action %d is not libvirt's", (int)action);
    if (!conn)
        return error_set(err, STATUS_UNAVAILABLE, "libvirt can't be asked");
    failpoint("agent.deed.%s.before", deeds[i].name);
    int e = deeds[i].fn(txn, conn, text, size, err);
    failpoint("agent.deed.%s.after", deeds[i].name);
    return e;
}
