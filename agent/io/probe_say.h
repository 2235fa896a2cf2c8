/* What a probe has found, put into its result. */
#pragma once

#include "proto/probe.pb-c.h"

/* `reason`: one of the stable words of proto/probe.proto. The last call holds. */
void probe_say(Drover__V1__ProbeResult *result, Drover__V1__ProbeOutcome outcome, const char *reason,
               const char *fmt, ...) __attribute__((format(printf, 4, 5)));
