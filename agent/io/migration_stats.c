/* libvirt's job statistics as messages. While a job runs, its `downtime` is only what QEMU expects, and its dirty rate is
 * in pages a second. */
#include "agent/io/domain.h"
#include "agent/io/migration.h"

static uint64_t get(virTypedParameterPtr params, int n, const char *name)
{
    virTypedParameterPtr p = virTypedParamsGet(params, n, name);
    if (!p)
        return 0;
    switch (p->type) {
    case VIR_TYPED_PARAM_ULLONG: return p->value.ul;
    case VIR_TYPED_PARAM_LLONG: return p->value.l > 0 ? (uint64_t)p->value.l : 0;
    case VIR_TYPED_PARAM_UINT: return p->value.ui;
    case VIR_TYPED_PARAM_INT: return p->value.i > 0 ? (uint64_t)p->value.i : 0;
    default: return 0;
    }
}

void migration_progress(virTypedParameterPtr params, int n, Drover__V1__Progress *p)
{
    uint64_t page = get(params, n, VIR_DOMAIN_JOB_MEMORY_PAGE_SIZE);
    uint64_t disk_total = get(params, n, VIR_DOMAIN_JOB_DISK_TOTAL);
    p->phase = (char *)"transfer"; /* static: never freed by the packer */
    p->bytes_total = get(params, n, VIR_DOMAIN_JOB_MEMORY_TOTAL);
    p->bytes_done = get(params, n, VIR_DOMAIN_JOB_MEMORY_PROCESSED);
    p->bytes_left = get(params, n, VIR_DOMAIN_JOB_MEMORY_REMAINING);
    p->rate = get(params, n, VIR_DOMAIN_JOB_MEMORY_BPS);
    p->dirty_rate = get(params, n, VIR_DOMAIN_JOB_MEMORY_DIRTY_RATE) * (page ? page : 4096);
    p->iteration = (uint32_t)get(params, n, VIR_DOMAIN_JOB_MEMORY_ITERATION);
    p->elapsed = (int64_t)get(params, n, VIR_DOMAIN_JOB_TIME_ELAPSED);
    p->downtime = (int64_t)get(params, n, VIR_DOMAIN_JOB_DOWNTIME);
    p->throttle = (uint32_t)get(params, n, VIR_DOMAIN_JOB_AUTO_CONVERGE_THROTTLE);
    p->faults = get(params, n, VIR_DOMAIN_JOB_MEMORY_POSTCOPY_REQS);
    p->disk_total = disk_total;
    p->disk_done = get(params, n, VIR_DOMAIN_JOB_DISK_PROCESSED);
    /* What is left at the rate of now: honest only when the guest dirties slower than the link carries. */
    p->remaining = p->rate > p->dirty_rate && p->bytes_total
                       ? (int64_t)(p->bytes_left * 1000 / (p->rate - p->dirty_rate))
                       : -1;
}

void migration_result(virTypedParameterPtr params, int n, Drover__V1__Result *r)
{
    r->transfer = (int64_t)get(params, n, VIR_DOMAIN_JOB_TIME_ELAPSED);
    r->downtime = (int64_t)get(params, n, VIR_DOMAIN_JOB_DOWNTIME);
    r->bytes =
        get(params, n, VIR_DOMAIN_JOB_MEMORY_PROCESSED) + get(params, n, VIR_DOMAIN_JOB_DISK_PROCESSED);
    r->iterations = (uint32_t)get(params, n, VIR_DOMAIN_JOB_MEMORY_ITERATION);
    r->throttle = (uint32_t)get(params, n, VIR_DOMAIN_JOB_AUTO_CONVERGE_THROTTLE);
    r->faults = get(params, n, VIR_DOMAIN_JOB_MEMORY_POSTCOPY_REQS);
}

int migration_read_result(virConnectPtr conn, const char *guest, Drover__V1__Result *ret, struct error *err)
{
    _cleanup_domain_ virDomainPtr domain = domain_find(conn, guest, err);
    if (!domain)
        return -(int)STATUS_NOT_FOUND;
    int type = VIR_DOMAIN_JOB_NONE, n = 0;
    virTypedParameterPtr params = NULL;
    if (virDomainGetJobStats(domain, &type, &params, &n, VIR_DOMAIN_JOB_STATS_COMPLETED) < 0)
        return error_libvirt(err, "cannot read the migration's statistics");
    if (type != VIR_DOMAIN_JOB_NONE)
        migration_result(params, n, ret);
    virTypedParamsFree(params, n);
    return type != VIR_DOMAIN_JOB_NONE
               ? 0
               : error_set(err, STATUS_NOT_FOUND, "libvirt keeps no statistics of the migration of guest %s",
                           guest);
}
