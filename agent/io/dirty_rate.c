#include "agent/io/dirty_rate.h"

#include "agent/io/domain.h"
#include "agent/io/touched.h"

#include <unistd.h>

enum { POLL_MS = 100, PATIENCE_MS = 3000 };

static long long number(virDomainStatsRecordPtr r, const char *name)
{
    virTypedParameterPtr p = virTypedParamsGet(r->params, r->nparams, name);
    if (!p)
        return -1;
    return p->type == VIR_TYPED_PARAM_INT ? p->value.i : p->type == VIR_TYPED_PARAM_LLONG ? p->value.l : -1;
}

/* True when it has been measured; *ret: MiB/s. */
static int read_rate(virDomainPtr domain, int seconds, bool *ret_done, int64_t *ret_mib, struct error *err)
{
    virDomainPtr list[] = {domain, NULL};
    virDomainStatsRecordPtr *records = NULL;
    if (virDomainListGetStats(list, VIR_DOMAIN_STATS_DIRTYRATE, &records, 0) < 0)
        return error_libvirt(err, "cannot read the dirty rate");
    *ret_done = records[0] && number(records[0], "dirtyrate.calc_status") == VIR_DOMAIN_DIRTYRATE_MEASURED &&
                number(records[0], "dirtyrate.calc_period") == seconds;
    if (*ret_done)
        *ret_mib = number(records[0], "dirtyrate.megabytes_per_second");
    virDomainStatsRecordListFree(records);
    return 0;
}

static int idle(virDomainPtr domain, const char *uuid, struct error *err)
{
    int state = 0;
    virDomainJobInfo job = {0};
    if (virDomainGetState(domain, &state, NULL, 0) < 0 || virDomainGetJobInfo(domain, &job) < 0)
        return error_libvirt(err, "cannot ask for the state of guest %s", uuid);
    if (state != VIR_DOMAIN_RUNNING || job.type != VIR_DOMAIN_JOB_NONE)
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "guest %s %s: its dirty rate is only sampled while it runs without a job", uuid,
                         state == VIR_DOMAIN_RUNNING ? "has a job" : "does not run");
    return 0;
}

int dirty_rate_sample(virConnectPtr conn, const char *uuid, int seconds, const atomic_bool *stop,
                      struct model_window *ret, struct error *err)
{
    _cleanup_domain_ virDomainPtr domain = domain_find(conn, uuid, err);
    if (!domain)
        return -(int)STATUS_NOT_FOUND;
    int e = idle(domain, uuid, err);
    if (e < 0)
        return e;
    if (*stop) /* QEMU measures to the end what has begun */
        return error_set(err, STATUS_CANCELLED, "no longer wanted");
    if (virDomainStartDirtyRateCalc(domain, seconds, VIR_DOMAIN_DIRTYRATE_MODE_PAGE_SAMPLING) < 0)
        return error_libvirt(err, "cannot sample the dirty rate of guest %s", uuid);
    bool done = false;
    int64_t mib = 0;
    /* An older result of the same length is not to be taken for this one. */
    for (int64_t ms = 0; ms < seconds * 1000 + PATIENCE_MS; ms += POLL_MS) {
        if (*stop)
            return error_set(err, STATUS_CANCELLED, "no longer wanted");
        usleep(POLL_MS * 1000);
        if (ms < seconds * 1000 - POLL_MS)
            continue;
        e = read_rate(domain, seconds, &done, &mib, err);
        if (e < 0)
            return e;
        if (done) {
            *ret = (struct model_window){.length = seconds * 1000, .dirtied = (mib * seconds) << 20};
            return 0;
        }
    }
    return error_set(err, STATUS_DEADLINE_EXCEEDED, "QEMU has not measured guest %s within %d s", uuid,
                     seconds + PATIENCE_MS / 1000);
}

int64_t dirty_rate_touched(virConnectPtr conn, const char *uuid, int64_t memory)
{
    _cleanup_domain_ virDomainPtr domain = domain_find(conn, uuid, NULL);
    const char *name = domain ? virDomainGetName(domain) : NULL;
    return name ? touched_memory("/run/libvirt/qemu", "/proc", name, memory) : 0;
}
