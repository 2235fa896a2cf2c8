#include "agent/transaction.h"
void rpc_peer_receive_disk(Drover__V1__Peer_Service *service, const Drover__V1__ReceiveDiskRequest *request,
                           Drover__V1__ReceiveDiskReply_Closure reply, void *call)
{
    (void)service;
    (void)request;
    (void)reply;
    struct error err;
    error_set(&err, STATUS_UNIMPLEMENTED, "no");
    rpc_call_fail(call, &err);
}
