/* What a plan asks of an agent: what is on the host, how a guest does that has arrived, and less or more bandwidth for one that
 * leaves. Handlers of the Agent service; set by service.c. */
#pragma once

#include "proto/agent.pb-c.h"

/* libvirt is asked anew: nothing is remembered. */
void rpc_survey(Drover__V1__Agent_Service *service, const Drover__V1__SurveyRequest *request,
                Drover__V1__SurveyReply_Closure reply, void *call);
void rpc_look(Drover__V1__Agent_Service *service, const Drover__V1__LookRequest *request,
              Drover__V1__LookReply_Closure reply, void *call);

/* Only of the transaction that holds the guest; `set` is false when its transfer is over. */
void rpc_set_bandwidth(Drover__V1__Agent_Service *service, const Drover__V1__SetBandwidthRequest *request,
                       Drover__V1__SetBandwidthReply_Closure reply, void *call);
