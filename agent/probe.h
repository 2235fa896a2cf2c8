/* Agent.Probe and Agent.Inspect: what blocks runs on threads of their own, so that storage that hangs stops neither migrations nor
 * the agent. An answer comes by the deadline even if the work never ends. */
#pragma once

#include "agent/agent.h"
#include "proto/agent.pb-c.h"

struct probes;

/* Removes what a crash has left (nonces that are recorded), again and again until all are gone. */
struct probes *probes_new(struct agent *agent);

/* After the server is freed. Ends listeners and removes nonces that are still held. */
void probes_free(struct probes *probes);
DEFINE_CLEANUP(struct probes *, probes_free);

/* Handlers. */
void probe_call(struct probes *probes, const Drover__V1__ProbeRequest *request,
                Drover__V1__ProbeResult_Closure reply, struct rpc_call *call);
void inspect_call(struct probes *probes, const Drover__V1__InspectRequest *request,
                  Drover__V1__Inspection_Closure reply, struct rpc_call *call);
