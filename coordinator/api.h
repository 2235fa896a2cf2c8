/* The service that operators' shells call: the fleet, migrations, jobs. */
#pragma once

#include "coordinator/driver.h"
#include "coordinator/plans.h"

struct api;

struct api_config {
    struct loop *loop;
    struct fleet *fleet; /* borrowed, like the rest */
    struct driver *driver;
    struct store *store;
    const Drover__V1__Policy *policy; /* what holds where a request says nothing */
    const struct agents *agents;      /* NULL: nothing is proven by asking them */
    struct plans *plans;              /* NULL: there are none */
    const struct policies *policies;  /* of some guests; may be NULL */
};

struct api *api_new(const struct api_config *config);

/* To be added for RPC_OPERATOR, on the loop. */
ProtobufCService *api_service(struct api *api);

/* After its server was freed: calls in flight have been ended by that. */
void api_free(struct api *api);
DEFINE_CLEANUP(struct api *, api_free);
