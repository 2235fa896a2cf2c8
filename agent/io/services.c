/* Which of the services that migrations need run here: systemd's word. */
#include "agent/io/host_facts.h"
#include "agent/io/run.h"
#include "agent/io/tree.h"
#include "agent/io/xml.h"
#include "common/base/memory.h"
#include "common/message/message.h"

#include <stdio.h>
#include <string.h>

static const char *const units[] = {
    "libvirtd.service",      "libvirtd.socket",        "libvirtd-tcp.socket",       "libvirtd-tls.socket",
    "virtqemud.service",     "virtqemud.socket",       "virtproxyd.service",        "virtproxyd-tcp.socket",
    "virtproxyd-tls.socket", "libvirt-guests.service", "firewalld.service",         "nftables.service",
    "chrony.service",        "chronyd.service",        "systemd-timesyncd.service", "ntpsec.service",
    "iscsid.service",        "multipathd.service",     "drover-agent.service",
};
enum { N_UNITS = sizeof(units) / sizeof(units[0]) };

static void add(const char *unit, const char *active, const char *enabled, Drover__V1__HostFacts *f)
{
    Drover__V1__Service *s = new0(Drover__V1__Service);
    drover__v1__service__init(s);
    xml_set(&s->unit, xstrdup(unit));
    xml_set(&s->active, xstrdup(active));
    xml_set(&s->enabled, xstrdup(enabled));
    message_append(&f->services, &f->n_services, s);
}

void services_parse(const char *text, Drover__V1__HostFacts *f)
{
    char id[256] = "", active[64] = "", enabled[64] = "", load[64] = "";
    for (const char *line = text;;) {
        const char *end = strchrnul(line, '\n');
        int n = (int)(end - line);
        if (n == 0) { /* units are separated by empty lines */
            if (*id && strcmp(load, "loaded") == 0)
                add(id, active, enabled, f);
            id[0] = active[0] = enabled[0] = load[0] = 0;
        } else if (strncmp(line, "Id=", 3) == 0) {
            snprintf(id, sizeof(id), "%.*s", n - 3, line + 3);
        } else if (strncmp(line, "ActiveState=", 12) == 0) {
            snprintf(active, sizeof(active), "%.*s", n - 12, line + 12);
        } else if (strncmp(line, "UnitFileState=", 14) == 0) {
            snprintf(enabled, sizeof(enabled), "%.*s", n - 14, line + 14);
        } else if (strncmp(line, "LoadState=", 10) == 0) {
            snprintf(load, sizeof(load), "%.*s", n - 10, line + 10);
        }
        if (!*end) {
            if (n)
                line = end; /* an end without an empty line */
            else
                return;
        } else {
            line = end + 1;
        }
    }
}

/* A host without systemd, as a container: a process by the file with its number. */
static void read_pid_files(const char *run, const char *proc, Drover__V1__HostFacts *f)
{
    static const char *const daemons[] = {"libvirtd", "virtqemud", "virtproxyd"};
    for (size_t i = 0; i < sizeof(daemons) / sizeof(daemons[0]); i++) {
        _cleanup_free_ char *pid = tree_text("%s/%s.pid", run, daemons[i]);
        _cleanup_free_ char *comm = pid && *pid ? tree_text("%s/%s/comm", proc, pid) : NULL;
        _cleanup_free_ char *unit = xasprintf("%s.service", daemons[i]);
        add(unit, comm && streq(comm, daemons[i]) ? "running" : "absent", "", f);
    }
}

void services_read(const struct limit *limit, const char *run, const char *proc, Drover__V1__HostFacts *f)
{
    const char *argv[N_UNITS + 5] = {"systemctl", "show", "--property=Id,LoadState,ActiveState,UnitFileState",
                                     "--"};
    memcpy(argv + 4, units, sizeof(units));
    _cleanup_free_ char *output = NULL;
    _cleanup_free_ char *booted = xasprintf("%s/systemd/system", run); /* sd_booted(3) */
    if (access(booted, F_OK) == 0 && run_program(limit, argv, &output, NULL) == 0)
        services_parse(output, f);
    else
        read_pid_files(run, proc, f);
}
