#include "agent/io/cpu_compare.h"

#include "agent/io/probe_say.h"

#include <libvirt/virterror.h>

#define PROVEN DROVER__V1__PROBE_OUTCOME__PROBE_PROVEN
#define REFUTED DROVER__V1__PROBE_OUTCOME__PROBE_REFUTED
#define UNDECIDED DROVER__V1__PROBE_OUTCOME__PROBE_UNDECIDED

void cpu_compare(virConnectPtr conn, const char *xml, const char *arch, const char *type,
                 Drover__V1__ProbeResult *r)
{
    /* Of the emulator that libvirt would take. The flag makes an error of "incompatible", which tells the features. */
    int e = virConnectCompareHypervisorCPU(conn, NULL, *arch ? arch : NULL, NULL, *type ? type : NULL, xml,
                                           VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE);
    const virError *why = e < 0 ? virGetLastError() : NULL;
    const char *text = why && why->message ? why->message : "libvirt does not say why";
    if (e == VIR_CPU_COMPARE_IDENTICAL || e == VIR_CPU_COMPARE_SUPERSET)
        probe_say(r, PROVEN, "", "a guest with that CPU can run here");
    else if (e == VIR_CPU_COMPARE_INCOMPATIBLE)
        probe_say(r, REFUTED, "incompatible", "libvirt finds the CPU incompatible with this host's");
    else if (why && why->code == VIR_ERR_CPU_INCOMPATIBLE)
        probe_say(r, REFUTED, "incompatible", "%s", text);
    else
        probe_say(r, UNDECIDED, "failed", "libvirt can't compare the CPU: %s", text);
}
