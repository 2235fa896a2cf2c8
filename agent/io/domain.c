#include "agent/io/domain.h"

#include <libvirt/virterror.h>
#include <stdio.h>

virDomainPtr domain_find(virConnectPtr conn, const char *uuid, struct error *err)
{
    virDomainPtr domain = virDomainLookupByUUIDString(conn, uuid);
    if (!domain)
        error_libvirt(err, "guest %s", uuid);
    return domain;
}

static const char *state_word(int state)
{
    switch (state) {
    case VIR_DOMAIN_RUNNING:
    case VIR_DOMAIN_BLOCKED: return "runs";
    case VIR_DOMAIN_PAUSED: return "is paused";
    case VIR_DOMAIN_SHUTDOWN: return "is being shut down";
    case VIR_DOMAIN_SHUTOFF: return "is shut off";
    case VIR_DOMAIN_CRASHED: return "has crashed";
    case VIR_DOMAIN_PMSUSPENDED: return "is suspended";
    default: return "is in a state that is not known";
    }
}

static void paused(int reason, enum participant_role role, struct participant_facts *f)
{
    f->guest = PARTICIPANT_PAUSED;
    switch (reason) {
    case VIR_DOMAIN_PAUSED_POSTCOPY:
    case VIR_DOMAIN_PAUSED_POSTCOPY_FAILED: f->post_copy = true; break;
    case VIR_DOMAIN_PAUSED_MIGRATION:
    case VIR_DOMAIN_PAUSED_STARTING_UP:
        if (role == PARTICIPANT_DESTINATION)
            f->guest = PARTICIPANT_INCOMING;
        break;
    case VIR_DOMAIN_PAUSED_UNKNOWN: break;
    default: f->operators_pause = true; /* or a disk error, a watchdog: not the switch-over's */
    }
}

int domain_look(virConnectPtr conn, const char *uuid, enum participant_role role,
                struct participant_facts *facts, char *text, size_t size, struct error *err)
{
    facts->guest = PARTICIPANT_UNASKED;
    facts->job = facts->post_copy = facts->operators_pause = facts->by_hand = false;
    struct error why = {0};
    _cleanup_domain_ virDomainPtr domain = domain_find(conn, uuid, &why);
    if (!domain && why.code == STATUS_NOT_FOUND) {
        facts->guest = PARTICIPANT_ABSENT;
        snprintf(text, size, "libvirt does not know the guest");
        return 0;
    }
    int state = 0, reason = 0;
    virDomainJobInfo job = {0};
    if (domain && virDomainGetState(domain, &state, &reason, 0) < 0)
        error_libvirt(&why, "cannot ask for the state of guest %s", uuid);
    if (why.code) {
        snprintf(text, size, "%s", why.text);
        return error_set(err, why.code, "%s", why.text);
    }
    switch (state) {
    case VIR_DOMAIN_PAUSED: paused(reason, role, facts); break;
    case VIR_DOMAIN_PMSUSPENDED:
        facts->guest = PARTICIPANT_PAUSED;
        facts->operators_pause = true;
        break;
    case VIR_DOMAIN_SHUTOFF:
        facts->guest = reason == VIR_DOMAIN_SHUTOFF_MIGRATED ? PARTICIPANT_OFF_MIGRATED : PARTICIPANT_OFF;
        break;
    case VIR_DOMAIN_CRASHED: facts->guest = PARTICIPANT_OFF; break;
    case VIR_DOMAIN_RUNNING:
        facts->post_copy =
            reason == VIR_DOMAIN_RUNNING_POSTCOPY || reason == VIR_DOMAIN_RUNNING_POSTCOPY_FAILED;
        facts->by_hand = role == PARTICIPANT_DESTINATION && reason == VIR_DOMAIN_RUNNING_UNPAUSED;
        /* fall through */
    default: facts->guest = PARTICIPANT_RUNNING;
    }
    /* libvirt refuses the question for a domain that came (it has the statistics at the source only), and for one that is off. At the source it
     * fails while QEMU's monitor is busy, and where the domain has ended since: neither says that there is no job. */
    bool active = facts->guest == PARTICIPANT_RUNNING || facts->guest == PARTICIPANT_PAUSED;
    if (virDomainGetJobInfo(domain, &job) == 0) {
        facts->job = job.type != VIR_DOMAIN_JOB_NONE;
    } else if (role == PARTICIPANT_SOURCE && active) {
        facts->guest = PARTICIPANT_UNASKED;
        error_libvirt(&why, "cannot ask whether guest %s has a job", uuid);
        snprintf(text, size, "%s", why.text);
        return error_set(err, why.code, "%s", why.text);
    }
    snprintf(text, size, "the guest %s (libvirt's state %d, reason %d%s)", state_word(state), state, reason,
             facts->job ? ", with a job" : "");
    return 0;
}

int domain_stop_job(virConnectPtr conn, const char *uuid, struct error *err)
{
    _cleanup_domain_ virDomainPtr domain = domain_find(conn, uuid, err);
    if (!domain)
        return -(int)STATUS_NOT_FOUND;
    if (virDomainAbortJob(domain) < 0 && virGetLastErrorCode() != VIR_ERR_OPERATION_INVALID)
        return error_libvirt(err, "cannot stop the migration of guest %s", uuid);
    return 0;
}

static int state_of(virDomainPtr domain)
{
    int state = VIR_DOMAIN_NOSTATE;
    virDomainGetState(domain, &state, NULL, 0);
    return state;
}

int domain_suspend(virConnectPtr conn, const char *uuid, struct error *err)
{
    struct error why = {0};
    _cleanup_domain_ virDomainPtr domain = domain_find(conn, uuid, &why);
    if (!domain)
        return error_set(err, why.code, "%s", why.text);
    if (virDomainSuspend(domain) < 0) {
        error_libvirt(&why, "cannot pause guest %s", uuid);
        if (state_of(domain) != VIR_DOMAIN_PAUSED)
            return error_set(err, why.code, "%s", why.text);
    }
    return 0;
}

int domain_start_post_copy(virConnectPtr conn, const char *uuid, struct error *err)
{
    struct error why = {0};
    _cleanup_domain_ virDomainPtr domain = domain_find(conn, uuid, &why);
    if (!domain)
        return error_set(err, why.code, "%s", why.text);
    if (virDomainMigrateStartPostCopy(domain, 0) < 0) {
        int state = 0, reason = 0;
        error_libvirt(&why, "cannot switch guest %s over to post-copy", uuid);
        if (virDomainGetState(domain, &state, &reason, 0) < 0 || state != VIR_DOMAIN_PAUSED ||
            (reason != VIR_DOMAIN_PAUSED_POSTCOPY && reason != VIR_DOMAIN_PAUSED_POSTCOPY_FAILED))
            return error_set(err, why.code, "%s", why.text);
    }
    return 0;
}

int domain_break_post_copy(virConnectPtr conn, const char *uuid, struct error *err)
{
    _cleanup_domain_ virDomainPtr domain = domain_find(conn, uuid, err);
    if (!domain)
        return -(int)STATUS_NOT_FOUND;
    if (virDomainAbortJobFlags(domain, VIR_DOMAIN_ABORT_JOB_POSTCOPY) < 0)
        return error_libvirt(err, "cannot break the post-copy stream of guest %s", uuid);
    return 0;
}

int domain_resume(virConnectPtr conn, const char *uuid, struct error *err)
{
    struct error why = {0};
    _cleanup_domain_ virDomainPtr domain = domain_find(conn, uuid, &why);
    if (!domain)
        return error_set(err, why.code, "%s", why.text);
    if (virDomainResume(domain) < 0) {
        error_libvirt(&why, "cannot resume guest %s", uuid);
        if (state_of(domain) != VIR_DOMAIN_RUNNING)
            return error_set(err, why.code, "%s", why.text);
    }
    return 0;
}

int domain_start(virConnectPtr conn, const char *uuid, const char *xml, bool persistent, struct error *err)
{
    struct error why = {0};
    _cleanup_domain_ virDomainPtr domain = domain_find(conn, uuid, &why);
    if (!domain && why.code != STATUS_NOT_FOUND)
        return error_set(err, why.code, "%s", why.text);
    if (!domain && !persistent) {
        domain = virDomainCreateXML(conn, xml, 0);
        return domain ? 0 : error_libvirt(err, "cannot start guest %s again", uuid);
    }
    if (!domain)
        domain = virDomainDefineXML(conn, xml);
    if (!domain)
        return error_libvirt(err, "cannot define guest %s again", uuid);
    if (virDomainIsActive(domain) == 1)
        return 0;
    return virDomainCreate(domain) < 0 ? error_libvirt(err, "cannot start guest %s again", uuid) : 0;
}

bool domain_is_resumed_image(virConnectPtr conn, const char *uuid)
{
    _cleanup_domain_ virDomainPtr domain = domain_find(conn, uuid, NULL);
    int state = 0, reason = 0;
    return domain && virDomainGetState(domain, &state, &reason, 0) == 0 && state == VIR_DOMAIN_RUNNING &&
           reason == VIR_DOMAIN_RUNNING_UNPAUSED;
}

/* Somebody started it here from its disks: no image of a migration, whatever its UUID. */
static bool was_booted(virDomainPtr domain)
{
    int state = 0, reason = 0;
    return virDomainGetState(domain, &state, &reason, 0) == 0 && state == VIR_DOMAIN_RUNNING &&
           reason == VIR_DOMAIN_RUNNING_BOOTED;
}

int domain_drop_image(virConnectPtr conn, const char *uuid, bool ours, bool running, struct error *err)
{
    struct error why = {0};
    _cleanup_domain_ virDomainPtr domain = domain_find(conn, uuid, &why);
    if (!domain)
        return why.code == STATUS_NOT_FOUND ? 0 : error_set(err, why.code, "%s", why.text);
    int active = virDomainIsActive(domain), persistent = virDomainIsPersistent(domain);
    if (active < 0 || persistent < 0)
        return error_libvirt(err, "cannot ask for the state of guest %s", uuid);
    if (!active || (was_booted(domain) && !ours))
        return 0;
    if (persistent && !ours)
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "guest %s is defined here by somebody else; its QEMU is left alone", uuid);
    int state = state_of(domain);
    if (state != VIR_DOMAIN_PAUSED && state != VIR_DOMAIN_CRASHED && !running)
        return error_set(
            err, STATUS_FAILED_PRECONDITION,
            "guest %s runs here though this transaction never started it; look at both hosts and end the "
            "copy that is not wanted",
            uuid);
    if (virDomainDestroy(domain) < 0) {
        error_libvirt(&why, "cannot end the image of guest %s", uuid);
        if (virDomainIsActive(domain) == 1)
            return error_set(err, why.code, "%s", why.text);
    }
    return 0;
}

int domain_undefine(virConnectPtr conn, const char *uuid, struct error *err)
{
    struct error why = {0};
    _cleanup_domain_ virDomainPtr domain = domain_find(conn, uuid, &why);
    if (!domain)
        return why.code == STATUS_NOT_FOUND ? 0 : error_set(err, why.code, "%s", why.text);
    if (virDomainIsActive(domain) == 1)
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "guest %s is active here; its definition is left alone", uuid);
    unsigned flags = VIR_DOMAIN_UNDEFINE_KEEP_NVRAM | VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA |
                     VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA;
    if (virDomainUndefineFlags(domain, flags) < 0)
        return error_libvirt(err, "cannot undefine guest %s", uuid);
    return 0;
}

int domain_set_autostart(virConnectPtr conn, const char *uuid, bool on, struct error *err)
{
    _cleanup_domain_ virDomainPtr domain = domain_find(conn, uuid, err);
    if (!domain)
        return -(int)STATUS_NOT_FOUND;
    if (virDomainSetAutostart(domain, on) < 0)
        return error_libvirt(err, "cannot set the autostart of guest %s", uuid);
    return 0;
}
