/* What the doctor's table and its rules share. */
#pragma once

#include "coordinator/core/doctor.h"

/* When a rule is asked. */
enum {
    ANY_HOST = 0,
    UP = 1 << 0,         /* its agent is connected and has reported */
    INSPECTED = 1 << 1,  /* and said what the host is like */
    HYPERVISOR = 1 << 2, /* and has that role */
    EXPORTER = 1 << 3,   /* or that of storage */
};

struct doctor_rule {
    const char *id;
    Drover__V1__Severity severity;
    unsigned when;
    void (*look)(const struct doctor *in, const struct doctor_rule *rule, struct findings *out);
    const char *about; /* NULL: preflight tells */
};

#define DOCTOR(name)                                                                                         \
    void doctor_##name(const struct doctor *in, const struct doctor_rule *rule, struct findings *out)

/* As in rules.h; the subject is the host. */
#define host_found(seen, expected, todo)                                                                     \
    finding_add(out, rule->id, rule->severity, xasprintf("host %s", in->host->name), xasprintf seen,         \
                xasprintf expected, xasprintf todo)

DOCTOR(host_up);
DOCTOR(agent_silent);
DOCTOR(libvirt_up);
DOCTOR(host_uuid);
DOCTOR(service_inactive);
DOCTOR(service_disabled);
DOCTOR(libvirt_remote);
DOCTOR(libvirt_listening);
DOCTOR(libvirt_unencrypted);
DOCTOR(libvirt_port);
DOCTOR(migration_address);
DOCTOR(port_range);
DOCTOR(migration_port);
DOCTOR(port_unproven);
DOCTOR(listens_elsewhere);
DOCTOR(tls_forced);
DOCTOR(libvirt_auth);
DOCTOR(migration_host);
DOCTOR(host_name);
DOCTOR(guest_held);
DOCTOR(clock);
DOCTOR(certificate_expired);
DOCTOR(certificate_expiring);
DOCTOR(certificate_unreadable);
DOCTOR(mount_hangs);
DOCTOR(mount_read_only);
DOCTOR(nothing_exported);
DOCTOR(gaps);
