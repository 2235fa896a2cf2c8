#include "agent/io/dirty_rate.h"

#include "agent/io/domain.h"
#include "agent/io/tree.h"
#include "common/base/memory.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { POLL_MS = 100, PATIENCE_MS = 3000, SMAPS_MAX = 8 << 20, QEMU_ITSELF = 40 << 20 };

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

int64_t dirty_rate_mapping(const char *smaps, int64_t size)
{
    long long wanted = size / 1024;
    bool here = false;
    for (const char *line = smaps; line && *line; line = strchr(line, '\n'), line += line != NULL) {
        if (strncmp(line, "Size:", 5) == 0)
            here = strtoll(line + 5, NULL, 10) == wanted;
        else if (here && strncmp(line, "Rss:", 4) == 0)
            return strtoll(line + 4, NULL, 10) * 1024;
    }
    return 0;
}

static int64_t mapped(virDomainPtr domain, int64_t memory)
{
    const char *name = virDomainGetName(domain);
    _cleanup_free_ char *pid = tree_text("/run/libvirt/qemu/%s.pid", name ? name : "");
    _cleanup_free_ char *path = pid ? xasprintf("/proc/%s/smaps", pid) : NULL;
    _cleanup_free_ char *smaps = path ? tree_load(path, SMAPS_MAX) : NULL;
    return smaps ? dirty_rate_mapping(smaps, memory) : 0;
}

int64_t dirty_rate_resident(virConnectPtr conn, const char *uuid, int64_t memory)
{
    _cleanup_domain_ virDomainPtr domain = domain_find(conn, uuid, NULL);
    virDomainMemoryStatStruct stats[VIR_DOMAIN_MEMORY_STAT_NR];
    int64_t exact = domain ? mapped(domain, memory) : 0;
    if (exact)
        return exact;
    int n = domain ? virDomainMemoryStats(domain, stats, VIR_DOMAIN_MEMORY_STAT_NR, 0) : 0;
    for (int i = 0; i < n; i++)
        if (stats[i].tag == VIR_DOMAIN_MEMORY_STAT_RSS)
            return (int64_t)stats[i].val * 1024 > QEMU_ITSELF ? (int64_t)stats[i].val * 1024 - QEMU_ITSELF
                                                              : 1;
    return 0;
}
