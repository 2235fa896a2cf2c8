#include "agent/io/libvirt.h"

#include <libvirt/virterror.h>
#include <stdarg.h>
#include <stdio.h>

static enum status_code code_of(const virError *e)
{
    switch (e->code) {
    case VIR_ERR_NO_DOMAIN:
    case VIR_ERR_NO_DOMAIN_SNAPSHOT:
    case VIR_ERR_NO_DOMAIN_CHECKPOINT:
    case VIR_ERR_NO_NETWORK:
    case VIR_ERR_NO_STORAGE_POOL:
    case VIR_ERR_NO_STORAGE_VOL: return STATUS_NOT_FOUND;
    case VIR_ERR_DOM_EXIST:
    case VIR_ERR_NETWORK_EXIST:
    case VIR_ERR_STORAGE_VOL_EXIST: return STATUS_ALREADY_EXISTS;
    case VIR_ERR_AUTH_FAILED:
    case VIR_ERR_AUTH_CANCELLED:
    case VIR_ERR_AUTH_UNAVAILABLE:
    case VIR_ERR_ACCESS_DENIED:
    case VIR_ERR_OPERATION_DENIED: return STATUS_PERMISSION_DENIED;
    case VIR_ERR_OPERATION_TIMEOUT: return STATUS_DEADLINE_EXCEEDED;
    case VIR_ERR_OPERATION_ABORTED: return STATUS_CANCELLED;
    case VIR_ERR_NO_MEMORY: return STATUS_RESOURCE_EXHAUSTED;
    case VIR_ERR_INVALID_ARG:
    case VIR_ERR_XML_ERROR:
    case VIR_ERR_XML_DETAIL: return STATUS_INVALID_ARGUMENT;
    case VIR_ERR_NO_SUPPORT: return STATUS_UNIMPLEMENTED;
    case VIR_ERR_OPERATION_INVALID:
    case VIR_ERR_OPERATION_UNSUPPORTED:
    case VIR_ERR_CONFIG_UNSUPPORTED:
    case VIR_ERR_ARGUMENT_UNSUPPORTED:
    case VIR_ERR_MIGRATE_UNSAFE:
    case VIR_ERR_CPU_INCOMPATIBLE:
    case VIR_ERR_RESOURCE_BUSY: return STATUS_FAILED_PRECONDITION;
    case VIR_ERR_NO_CONNECT:
    case VIR_ERR_INVALID_CONN: return STATUS_UNAVAILABLE;
    default: break;
    }
    /* "Failed to connect socket", "client socket is closed", "End of file while reading data" share nothing else. */
    return e->domain == VIR_FROM_RPC || e->domain == VIR_FROM_REMOTE ? STATUS_UNAVAILABLE : STATUS_INTERNAL;
}

int error_libvirt(struct error *err, const char *fmt, ...)
{
    const virError *e = virGetLastError();
    char what[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    if (!e)
        return error_set(err, STATUS_INTERNAL, "%s: libvirt gave no reason", what);
    return error_set(err, code_of(e), "%s: %s", what, e->message ? e->message : "unknown error");
}
