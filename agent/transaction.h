/* What the files of the transaction half share.
 *
 * Turns. All that happens to one guest (a call, an event, an end of a job) is an operation, and the operations of one guest
 * take turns: begin on the loop, work on a worker, done on the loop, then the next. So work may block and reads and writes
 * the guest's transactions without locks, and the rest of the program never waits. What the loop wants to know of a
 * transaction meanwhile is the copy that `done` made. */
#pragma once

#include "agent/agent.h"
#include "agent/core/participant.h"
#include "agent/io/libvirt.h"
#include "agent/io/records.h"
#include "agent/transactions.h"
#include "proto/agent.pb-c.h"
#include "proto/peer.pb-c.h"
#include "proto/record.pb-c.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    TRANSACTION_WORKERS = 24, /* threads, made on demand: as many guests at a time get on */
    HOOK_WORKERS = 8,
    TRANSACTION_COPIERS = 16,          /* disks of guests that are shut off, at a time and each way */
    TRANSACTION_LEASE_MS = 120 * 1000, /* of silence, after which what is prepared lets go; see drive.c */
    TRANSACTION_KEEP_MS = 24 * 3600 * 1000, /* ended ones stay for repeated calls and for the operator */
    TRANSACTION_KEEP_MIN_MS = 3600 * 1000,  /* of a clock that does not jump */
    TRANSACTION_JOB_END_MS = 20 * 1000,     /* that libvirt may take to give up a job */
};

struct transaction {
    struct transaction *next;
    struct transactions *all;
    char id[37], guest[37];
    enum participant_role role;

    Drover__V1__Record *record; /* the turn's */

    /* The loop's copy. */
    enum participant_state state;
    bool post_copy; /* may have been asked for: in the manifest */
    uint64_t generation, epoch;
    int64_t suspended_ms;     /* source: monotonic; libvirt told that the guest stopped, 0: or that it runs */
    int64_t resumed_ms;       /* destination: monotonic; libvirt let the guest run by itself; 0: it did not */
    int64_t changed_ms;       /* realtime */
    int64_t heard_ms;         /* monotonic; of the coordinator or the peer */
    uint64_t begin_bandwidth; /* source: its share of the link at the beginning; 0: the policy's */
    bool refused_post_copy;   /* source: by libvirt, since the ladder was told last */
    bool waits;               /* source: for its turn at the link, of which it has only a little */
    bool shared;              /* source: its share was changed to `share` (0: no limit) since the beginning */
    uint64_t share;
    struct transfer *transfer;  /* source: the job that is watched, and who listens */
    Drover__V1__Story *story;   /* source: what that has told; it outlives the transfer. NULL: nothing yet */
    struct handover *handover;  /* source: the peer is being told */
    struct disk_sender *sender; /* source: the disks of a guest that is shut off are on their way */
    struct loop_timer *again;   /* something failed that is to be tried again */
    bool unheard;               /* a tombstone that the coordinator does not know of yet */
    struct hooking *hooking;    /* a phase of hooks is running, or its end being written */
    char *hook_notes;           /* failures, a line each; NULL: none */
    bool transferred;           /* without a record it is one that was lost */
    bool kept_known;            /* the coordinator has said what of `keep`; else no image is removed */
    bool looked;                /* since the program was started, libvirt was asked what it does */

    /* The turn's, while a RELEASE or ABORT is worked off: borrowed. */
    char *const *keep; /* images that a guest of another host names */
    size_t n_keep;

    /* Set on the loop, read by anyone. */
    atomic_bool calling, call_succeeded, committed;
    atomic_bool others_pause;   /* source: somebody else paused it in mid-transfer (core/stop.h) */
    atomic_bool ran_to_the_end; /* source: the guest ended here, and was not stopped before */
    atomic_bool ran_here;       /* destination: libvirt told that the guest runs */
};

struct turn;
struct peers;

struct transactions {
    struct agent *agent;
    unsigned refs; /* the program's, and one per operation; loop's */
    atomic_bool closing;
    struct workers *hook_workers; /* for hooks after the vote: a slow one must not hold up a guest */
    int stop_fd;                  /* readable once `closing` */
    struct workers *workers; /* of its own: a guest that is paused must not wait for somebody else's work */
    struct workers
        *voters; /* nor for somebody's vote, with its hooks and its looks at storage that may hang */
    struct records *records;
    struct transaction *list; /* loop's */
    struct turn *turns;       /* loop's */
    struct peers *peers;
    /* For the disks of guests that are shut off: each takes a thread for long. Two hosts that send to each other must not wait for each other. */
    struct workers *copiers, *takers;
    unsigned sending, receiving; /* loop's */
    struct receiver *receivers;  /* loop's */
    struct measure *measures;    /* of throughput.c: the first is under way; loop's */
    struct swallow *swallows;    /* of throughput.c: other hosts' measurements; loop's */
    struct libvirt_subscription *subscription;
    struct loop_timer *tidy;
    Drover__V1__Peer_Service peer_service;

    pthread_mutex_t memory_lock;
    uint64_t memory_reserved, hugepages_reserved; /* under memory_lock */
};

struct findings {
    Drover__V1__Finding **list;
    size_t n;
};

/* ---- operations: turn.c ---- */

struct operation {
    struct operation *next;
    struct transactions *all;
    char guest[37];
    const char *id;                      /* the transaction's, or NULL; owned by whoever embeds this */
    void (*begin)(struct operation *op); /* may be NULL */
    void (*work)(struct operation *op);
    void (*done)(struct operation *op); /* frees it */
    bool votes;                         /* nothing is paused for it: `voters` do it */

    /* Set when its turn has come. */
    struct transaction
        *txn;       /* NULL: there is none of that id. work may make one; the turn puts it into the list */
    bool foreign;   /* there is one of that id, but of another guest */
    char *other;    /* another transaction that is open on the guest, in words, or NULL */
    bool autostart; /* an earlier one has taken the guest's autostart off, and could not give it back yet */
    uint64_t
        cold_generation; /* of an ACTIVATE by an operator's word: what this transaction's own start has raised the fence to */
};

void turn_take(struct operation *op);
bool turn_is_taken(struct transactions *all, const char *guest);

/* ---- the transaction's record: transactions.c ---- */

void transactions_unref(struct transactions *all);

struct transaction *transactions_find(const struct transactions *all, const char *id); /* loop */

/* Worker, in its turn: one that is not durable yet, in state NONE. From a step that says `transferred` it takes what its lost
 * record held: the definition, the mode, the right to end an image that came to a destination. */
struct transaction *transaction_new(struct transactions *all, const Drover__V1__Step *step,
                                    enum participant_role role);
void transaction_free(struct transaction *txn);

enum participant_state transaction_state(const struct transaction *txn); /* the record's */
const char *transaction_guest_name(const struct transaction *txn); /* its UUID where the record has no name */

/* Makes the record durable in that state. On failure the record is as it was. */
int transaction_write(struct transaction *txn, enum participant_state state, struct error *err);

/* Loop: another one sends from this host, memory or disks. */
bool transaction_shares_link(const struct transaction *txn);

/* A later one of the guest was prepared here. */
bool transaction_is_superseded(const struct transaction *txn);

/* ---- the manifest: manifest.c ---- */

/* Made before the write that comes before the deed. */
void transaction_made(struct transaction *txn, Drover__V1__Made__Kind kind, const char *what);
void transaction_made_also(struct transaction *txn, Drover__V1__Made__Kind kind,
                           const char *what); /* one of several */
bool transaction_has_made(const struct transaction *txn, Drover__V1__Made__Kind kind);
bool transaction_had_made(const struct transaction *txn, Drover__V1__Made__Kind kind); /* undone or not */
void transaction_undone(struct transaction *txn, Drover__V1__Made__Kind kind);

/* As it was before a write that failed: what was made since was not, and what was undone or given back is still owed. */
struct manifest_was {
    bool *undone; /* owned */
    size_t n;
    uint64_t memory, hugepages;
};
struct manifest_was transaction_manifest(const struct transaction *txn);
void transaction_manifest_back(struct transaction *txn, const struct manifest_was *was);

/* Worker, around a step: what the coordinator said of images that others use; borrowed. NULL is fine. */
void transaction_keep(struct transaction *txn, char *const *paths, size_t n, bool known);

/* Of a source: it has taken the guest's autostart off, and is to give it back. */
bool transaction_owes_autostart(const struct transaction *txn);

/* Of a source: the job may have been begun so that libvirt, and not the destination's agent, lets the guest run there. */
bool transaction_may_post_copy(const struct transaction *txn);

/* Memory at this host; the reservation of the record. RESOURCE_EXHAUSTED when `available` does not hold it. */
int transaction_reserve(struct transaction *txn, uint64_t bytes, uint64_t available);
int transaction_reserve_hugepages(struct transaction *txn, uint64_t bytes, uint64_t available);
void transaction_unreserve(struct transaction *txn);

/* ---- one step: drive.c ---- */

struct outcome {
    enum participant_answer answer;
    unsigned actions; /* that were to be done: TELL_PEER and START_JOB are the loop's */
    bool off;         /* the guest was seen without a QEMU */
    char text[640];   /* what was seen, what was done, or why not */
};

enum admission {
    ADMIT_KNOWN,  /* only a transaction that was prepared here */
    ADMIT_NEW,    /* or one of a generation that is higher than any seen */
    ADMIT_LATE,   /* or one whose record is lost; or one that can't do anything any more: 1 is returned */
    ADMIT_SETTLE, /* the same; of one that was started anew since also its own generation */
};

/* Worker, in its turn. Refuses an older coordinator or generation, or another guest than the transaction's (ABORTED).
 * Raises the epoch, durably. The UUIDs were checked by operation_init. */
int drive_admit(struct operation *op, const Drover__V1__Step *step, enum participant_role role,
                enum admission how, struct error *err);

/* Loop: fills op->all, guest and id from a message; INVALID_ARGUMENT if it names no UUIDs. */
int operation_init(struct operation *op, struct transactions *all, const Drover__V1__Step *step,
                   struct error *err);

/* Looks, steps, writes, acts, writes. op->txn must be there. Fails only when the disk does; what libvirt refuses is
 * IN_DOUBT. `deadline_ms` is monotonic, for waiting until libvirt has ended a job. */
int drive_step(struct operation *op, enum participant_event event, int64_t deadline_ms, struct outcome *ret,
               struct error *err);

/* The loop's part of the actions, to be called by `done`. */
void drive_done(struct transaction *txn, unsigned actions);

/* Loop: an operation that looks and steps by itself. */
void drive_look(struct transaction *txn);
void drive_look_later(struct transaction *txn); /* the same, shortly; unless it is to be done already */

/* Actions on libvirt: deeds.c. Success for those that have nothing to do. */
int deeds_do(struct transaction *txn, virConnectPtr conn, enum participant_action action, char *text,
             size_t size, struct error *err);

/* ---- the source's transfer: transfer.c; the loop's, but in `done` or later, so that the record may be read ---- */

/* The job is to be started (or was found running: adopt). */
void transfer_start(struct transaction *txn, bool adopt);
void transfer_free(struct transfer *transfer);

/* The stream gets what happens, then its end. Takes the call. */
void transfer_listen(struct transaction *txn, struct rpc_call *call);
/* Its share of the link has changed, and it waits for its turn there, or no longer. */
void transfer_share(struct transaction *txn, uint64_t bandwidth, bool waits);
void transfer_event(struct transaction *txn, const struct libvirt_event *event);

/* After each step: streams end when there is nothing more to tell. */
void transfer_stepped(struct transaction *txn);

/* The destination has answered (RUNS or IS_LOST). `ran_for`: ms that libvirt had let the guest run there by then, of its own. */
void transfer_activated(struct transaction *txn, enum participant_answer answer, int64_t ran_for,
                        const char *text);
bool transfer_is_activated(const struct transaction *txn);

/* Fills what was measured; true when nothing is missing. */
bool transfer_result(const struct transaction *txn, Drover__V1__Result *ret);

/* Of one that was given up: what it has cost the guest, which stays. Before drive_done, which forgets it. */
void transfer_harm(const struct transaction *txn, Drover__V1__Result *ret);

/* ---- the disks of a guest that is shut off: send_disks.c, receive_disk.c; loop ---- */

/* Copies them, then steps MIGRATE. The record may be read. */
void disk_sender_start(struct transaction *txn);
/* The stream gets progress and the end. Takes the call. */
void disk_sender_listen(struct disk_sender *sender, struct rpc_call *call);
struct disk_sender *disk_sender_free(struct disk_sender *sender); /* ends it; NULL is fine, returns NULL */

/* Ends what a transaction (NULL: anyone) takes in here, however far it is. */
void receivers_stop(struct transactions *all, const char *id);

/* ---- the mesh's ACTIVATE: handover.c; loop ---- */

/* Tells the destination to run the guest, until it answers or the transaction is no longer FENCED. */
void handover_start(struct transaction *txn);
void handover_free(struct handover *handover);

/* ---- an operator's hooks: hooks.c ---- */

/* Worker, in the turn of a PREPARE whose findings don't block: runs the prepare hooks, one after the other, each durably in the
 * manifest before it is begun. One that fails is a finding that blocks. On the destination one that prints a domain's XML changes
 * the definition. Fails only when the disk does. */
int hooks_prepare(struct transaction *txn, struct findings *f, struct error *err);

/* Loop, between turns: begins the phase that is due, if any, on a thread of its own. */
void hooks_step(struct transaction *txn);
bool hooks_running(const struct transaction *txn);

/* ---- connections to other agents: peers.c; loop ---- */

struct peers *peers_new(struct agent *agent);
void peers_free(struct peers *peers);

/* In its turn: only the agent of the source that the transaction was prepared with (its certificate's name) hands anything over in it.
 * PERMISSION_DENIED. Plain tcp:// has no names. */
int peers_check_source(const struct transaction *txn, const struct rpc_peer *peer, struct error *err);

/* Connects at once, and keeps the connection. NULL and why if the URL is none. */
struct rpc_client *peers_client(struct peers *peers, const Drover__V1__Endpoint *endpoint, struct error *err);

/* ---- handlers: rpc_*.c, one file each ---- */

void rpc_prepare(Drover__V1__Agent_Service *service, const Drover__V1__PrepareRequest *request,
                 Drover__V1__Vote_Closure reply, void *call);
void rpc_migrate(Drover__V1__Agent_Service *service, const Drover__V1__MigrateRequest *request,
                 Drover__V1__TransferEvent_Closure reply, void *call);
void rpc_settle(Drover__V1__Agent_Service *service, const Drover__V1__SettleRequest *request,
                Drover__V1__SettleReply_Closure reply, void *call);
void rpc_abort(Drover__V1__Agent_Service *service, const Drover__V1__AbortRequest *request,
               Drover__V1__AbortReply_Closure reply, void *call);
void rpc_activate(Drover__V1__Agent_Service *service, const Drover__V1__ActivateRequest *request,
                  Drover__V1__ActivateReply_Closure reply, void *call);
void rpc_peer_activate(Drover__V1__Peer_Service *service, const Drover__V1__ActivateRequest *request,
                       Drover__V1__ActivateReply_Closure reply, void *call);
void rpc_release(Drover__V1__Agent_Service *service, const Drover__V1__ReleaseRequest *request,
                 Drover__V1__ReleaseReply_Closure reply, void *call);
void rpc_cold_start(Drover__V1__Agent_Service *service, const Drover__V1__ColdStartRequest *request,
                    Drover__V1__ColdStartReply_Closure reply, void *call);
void rpc_list_transactions(Drover__V1__Agent_Service *service,
                           const Drover__V1__ListTransactionsRequest *request,
                           Drover__V1__ListTransactionsReply_Closure reply, void *call);

void rpc_hook_notes(Drover__V1__Agent_Service *service, const Drover__V1__HookNotesRequest *request,
                    Drover__V1__HookNotesReply_Closure reply, void *call);
void rpc_forecast(Drover__V1__Agent_Service *service, const Drover__V1__ForecastRequest *request,
                  Drover__V1__Forecast_Closure reply, void *call);
void rpc_peer_throughput(Drover__V1__Peer_Service *service, const Drover__V1__ThroughputRequest *request,
                         Drover__V1__ThroughputReply_Closure reply, void *call); /* throughput.c */

void rpc_peer_receive_disk(Drover__V1__Peer_Service *service, const Drover__V1__ReceiveDiskRequest *request,
                           Drover__V1__ReceiveDiskReply_Closure reply, void *call); /* receive_disk.c */
void rpc_peer_disk_received(Drover__V1__Peer_Service *service, const Drover__V1__ReceiveDiskRequest *request,
                            Drover__V1__DiskReceivedReply_Closure reply, void *call); /* the same */

/* The findings of PREPARE: check_source.c, check_destination.c. */
void findings_add(struct findings *f, Drover__V1__Severity severity, const char *id, const char *subject,
                  const char *seen, const char *expected, const char *todo);
bool findings_block(const struct findings *f);

/* Those that block, are among `ids` and put no data at risk, warn instead: it is not the coordinator's word alone. */
void findings_accept(struct findings *f, char *const *ids, size_t n);
void findings_free(struct findings *f);

/* Worker. *ret_guest and *ret_definition stay NULL if the guest can't be read. */
void check_source(virConnectPtr conn, const Drover__V1__PrepareRequest *request, struct findings *f,
                  Drover__V1__Guest **ret_guest, Drover__V1__Definition **ret_definition);
/* Loop, with the host's report; then worker, with libvirt. */
void check_destination_host(const Drover__V1__HostReport *report, const Drover__V1__PrepareRequest *request,
                            struct findings *f);
/* Loop: no other active guest here has a MAC address of this one. */
void check_destination_macs(const struct agent *agent, const Drover__V1__Guest *guest, struct findings *f);

/* Worker. The second reserves the pages, too. */
void check_destination_cpu(virConnectPtr conn, const Drover__V1__PrepareRequest *request, struct findings *f);
void check_destination_hugepages(struct transaction *txn, const Drover__V1__Guest *guest, struct findings *f);
void check_destination_names(virConnectPtr conn, const Drover__V1__PrepareRequest *request,
                             struct findings *f);
