/* What the made-up coordinator of the command line's tests says of storage. */
#pragma once

#include "proto/coordinator.pb-c.h"

void list_storage(Drover__V1__Coordinator_Service *service, const Drover__V1__ListStorageRequest *request,
                  Drover__V1__ListStorageReply_Closure reply, void *call);
