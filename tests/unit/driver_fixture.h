/* Two made-up agents on real RPC, a real store, and the driver between them. */
#pragma once

#include "common/rpc/rpc.h"
#include "coordinator/driver.h"

#include <stdbool.h>

#define FIRST_DECISION "waits: 12 MiB left, shrinking" /* heard as it is taken, and with SETTLE */
#define SECOND_DECISION "paused for 2 s to finish"     /* with SETTLE only */
#define GUEST_UUID "4dea22b3-1d52-4d8f-a1c3-0d1f3a5b7c9e"

enum question { PREPARE, MIGRATE, SETTLE, ABORT, ACTIVATE, RELEASE, COLD_START, GET_GUEST, QUESTIONS };

struct fixture;

struct agent {
    Drover__V1__Agent_Service service; /* first: the handlers find the agent by it */
    struct fixture *fixture;
    const char *name;
    struct rpc_server *server;
    struct rpc_client *client;

    /* What it does when it is asked. */
    bool silent[QUESTIONS];     /* never answers */
    unsigned refuse[QUESTIONS]; /* so many times fails with UNAVAILABLE, before it answers */
    bool votes_no;
    const char *transfer_error;     /* NULL: the transfer succeeds */
    Drover__V1__Outcome outcome[3]; /* one after the other; the last one stays */
    bool activated_by_mesh;
    Drover__V1__Activation activation;
    bool has_guest;
    Drover__V1__GuestState guest_state;
    unsigned hooks_run; /* so often it says that hooks still run */
    const char *hook_note;

    unsigned asked[QUESTIONS];
    bool taken_back;       /* as the last ABORT said */
    Drover__V1__Step last; /* only numbers */
    char definition[64], peer[64];
};

struct fixture {
    struct loop *loop;
    struct fleet fleet;
    struct agent agents[2]; /* kvm1, kvm2 */
    struct store *store;
    struct driver *driver;
    struct loop_timer *deadline;
    char dir[64], path[128];
    char trace[2000]; /* "kvm1 PREPARE 7;" ... +0: the transaction's generation, +1: a higher one */
    uint64_t generation;
    const Drover__V1__Relocation *relocation; /* of orders; NULL: none */
    Drover__V1__Job *end;                     /* the job as it was told last */
    bool ended;
    bool (*until)(struct fixture *f);
};

int fixture_setup(void **state);
int fixture_teardown(void **state);

/* Runs the loop until `until` is true after an event at an agent or a change of the job; fails the test after 20 s. */
void fixture_run(struct fixture *f, bool (*until)(struct fixture *f));
bool fixture_ended(struct fixture *f);

/* Orders the move of web1 from kvm1 to kvm2 and watches it. */
uint64_t fixture_order(struct fixture *f, Drover__V1__Mode mode);

/* The coordinator dies and starts again. */
void fixture_restart(struct fixture *f);
