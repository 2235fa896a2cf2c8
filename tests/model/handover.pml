/* The handover of a guest as the code has it: coordinator/core/transaction.c (C), agent/core/participant.c (S, D), and libvirt as
 * it was measured (L). Two migrations of one guest between two hosts: the second begins where the first has left the guest, so
 * that messages and records of the first meet the second, in the same direction or the other one.
 *
 * Network: a message once sent may be delivered at any time from then on, many times or never, also to the migration after it:
 * delay, reordering, repetition and loss in one. What a deposed coordinator still sends is the same as what it sent before, late.
 * F3 takes a call away for good, so that only asking again helps.
 * Crashes: an agent's operation is cut into its look and first write (of what was seen, only a QEMU's death can undo anything
 * in between, and the deeds look again), each deed, the last write and the answer; F1 strikes between any two, and what is not
 * durable is forgotten. F1 agent, F2 coordinator (a new epoch), F4 libvirtd (which forgets "migrated"), F5 QEMU. FAULTS of them together.
 * libvirt's own choices (a job fails, Finish's answer is lost, the commit point is seen or not) and votes of no, timeouts, cancels,
 * leases are free.
 * Only what changes something is a transition. So the run ends when nothing is left to do, and then all has to have ended (Watch).
 * With `pan -l` any cycle is an error: together, every migration ends when the faults do.
 *
 *   label      function                        label      function                       label      function
 *   C1         on_start                        S1 S2      PARTICIPANT_PREPARE_YES, _NO   D1 D2      the same, of a destination
 *   C2 C3      on_vote: yes                    S3         source_migrate                 D3         destination_abort: NONE
 *   C4         on_vote: no, on_timer,          S4         source_settle: NONE            D4         rpc_abort.c: late
 *              on_cancel                       S6         rpc_settle.c: late             D5 D6      destination_abort
 *   C5         on_transfer_end, on_timer,      S7         source_settle: PREPARED        D7         destination_activate: own
 *              on_cancel                       S8 S9      settle_transfer                D8         destination_activate: lose
 *   C6 C7      on_settled                      S10 S11    source_settle: KEPT, the rest  D9 D10     destination_activate: repeated
 *   C8 C9      on_activated                    S12 S13    source_look                    D11        PARTICIPANT_LOOK
 *   C10        on_cold_started                 S14        source_look: KEPT              D12 D13    PARTICIPANT_RELEASE
 *   C11..C13   on_counted                      S15        drive.c: end_lease             D14        drive.c: end_lease
 *   C14        retry, ask                      S16 S17    source_release                 D15        transactions.c: tidy
 *   C15        on_restart                      S18 S19    source_cold_start
 * C20        on_resolve                       S20        transactions.c: tidy         D17        destination_activate, _abort and
 *                                              S21        ladder_run.c: suspend                   RELEASE of a lost record
 *                                              S22        source_resolve
 *                                              S24        source_settle, _release and
 *                                                         _cold_start of a lost record
 *                                              S25        PARTICIPANT_ABORT of a source
 *
 * Labels that are not here are in post_copy.pml (C19, S26 to S28, D16) and granted.pml (C16 to C18, C21 to C23, S23, D18, D19, X1 to X3).
 * The operator's word (S22) is a true one: gone if the destination has the guest's image, and that is as new as the disks; granted.pml has
 * the word that is not for the memory. What operators do by hand is not here: a pause in mid-transfer (`others_pause`), an image that is
 * resumed (`by_hand`), a guest that was ended while it ran (`ran_to_the_end`): tests/sim has them.
 * A record that comes back from a backup, a disk that fails, a clock that jumps are not here: tests/sim has them. A resume is owed in the
 * code (S14) only while it has not been done; here it always is.
 * -DDEFINITION: the guest is shut off, its definition moves (C, S3, D7). -DTRANSIENT: libvirt forgets a guest that is off. S20, D15: only once the coordinator is through with it.
 * -DLOST_RECORDS: F6, a record is lost after MIGRATE was sent (`transferred`), alone or with the fence; not one that owes a resume or an
 * undoing, and what is on its way to or from the agent is lost with it, as when it is started anew. -DALONE: the coordinator dies for good once the transfer is on; the guest must run all the same.
 *
 * Mistakes, each a -D; `run` checks that each is found: AUTORESUME, GUESS_KEPT, KEEP_WITH_JOB, KEEP_UNWRITTEN, LEASE_DESTROYS,
 * NO_GENERATION, NO_EPOCH, RESUME_OLD, COLD_OLD, ACTIVATE_EARLY, FENCE_LATE, RELEASE_EARLY, OFF_IS_GONE, UNASKED_IS_LOST,
 * ABORT_HEARD_ONLY, SEND_FIRST, NO_RETRY, PAUSE_UNWRITTEN, FENCE_EARLY, HELD_IS_FOREIGN, WORD_OBEYED; with two faults COLD_IS_OLD; of LOST_RECORDS: LOST_IS_KEPT,
 * RESUME_LOST; of ALONE: NO_MESH. The code had FENCE_EARLY (a guest
 * that the ladder had paused stayed so for ever if a new migration was refused before it was resumed) and HELD_IS_FOREIGN (RELEASE
 * refused for ever) until the model found them. NO_EPOCH breaks only the rule that a deposed coordinator is not obeyed: within one
 * journal, generations and the agents' records keep the guest safe without it. */
#ifndef FAULTS
#define FAULTS 1
#endif
#ifndef MIGRATIONS
#define MIGRATIONS 2
#endif

mtype = { IDLE, PREPARING, TRANSFER, SETTLING, ABORTING, ACTIVATING, RELEASING, COLD_START, ABORTED, DONE };
mtype = { NONE, PREPARED, MIGRATING, KEPT, FENCED, COLD, OWNER, ACTIVATED, TOMBSTONE, RELEASED };
/* A QEMU. OFF_MIGRATED: libvirt remembers why. HELD: paused by the ladder, which libvirt calls the operator's pause. STALE: a complete
 * image, but the guest has run on at the other host: it must never run. */
mtype = { OFF, OFF_MIGRATED, INCOMING, PAUSED, HELD, STALE, RUN };
mtype = { NO_JOB, BEGUN, COPYING, SWITCHED, COMMITTED };
mtype = { NO_CALL, OUT, SUCCEEDED, FAILED };

/* Messages, and answers. */
#define PREPARE_S 1
#define PREPARE_D 2
#define MIGRATE 4
#define SETTLE 8
#define ABORT 16
#define ACTIVATE 32
#define RELEASE_S 64
#define RELEASE_D 128
#define START 256
#define YES_S 1
#define YES_D 2
#define IS_KEPT 4
#define IS_GONE 8
#define RUNS 16
#define LOST 32
#define ABORT_OK 64
#define RELEASED_S 128
#define RELEASED_D 256
#define START_OK 512

short sent[2], old[2], back[2]; /* of this epoch, of an older one; answers */
bool mesh[2];                   /* the source's own ACTIVATE: of no epoch */
byte faults = FAULTS;

mtype c = IDLE;
byte n = 0;                      /* which migration */
byte from[2];                    /* its source */
bool asked = false, started = false; /* the destination, to prepare; the source, anew */
#define TO(t) (1 - from[t])

/* Hosts. */
#ifdef DEFINITION
#define HOME OFF
#else
#define HOME RUN
#endif
mtype vm[2] = { OFF, OFF };
bool defined[2], up[2] = true, busy[2], seen[2] = true; /* `seen`: the newest epoch */
byte fence[2];                                          /* the highest generation */
mtype call[2] = NO_CALL;                                /* libvirt's migrate call of the agent */
bool told[2];                                           /* of the commit point, or that it migrated; lost in a crash */
bool held[2];                                           /* paused by the ladder: libvirt calls it the operator's pause */
bool died = false;

/* Records: of the source, of the destination, and what the destination's manifest holds. */
mtype S[2] = NONE, D[2] = NONE;
bool memory[2], image[2], definition[2], pause[2];

/* libvirt's job. */
mtype job = NO_JOB;
byte at; /* its source */

#define MINE(t) (2 * (t) + 1)
#define NEXT(t) (2 * (t) + 2)
#define SUPERSEDED (fence[h] > (S[t] == COLD -> NEXT(t) : MINE(t)))
#define IS_PAUSED(h) (vm[h] == PAUSED || vm[h] == HELD || vm[h] == STALE)
#define IS_OFF(h) (vm[h] == OFF || vm[h] == OFF_MIGRATED)
#define ALIVE(h) (!IS_OFF(h))
#define HAS_COPY(h) (vm[h] == RUN || vm[h] == PAUSED || vm[h] == HELD)
#define HAS_JOB(h) ((job != NO_JOB && at == h) || call[h] != NO_CALL)
#define S_OPEN(t) (S[t] == PREPARED || S[t] == MIGRATING || S[t] == FENCED)
#define D_OPEN(t) (D[t] == PREPARED || D[t] == OWNER || D[t] == ACTIVATED)
#define OTHER (MIGRATIONS > 1 && ((from[1 - t] == h && S_OPEN(1 - t)) || (from[1 - t] != h && D_OPEN(1 - t))))
#ifdef OFF_IS_GONE
#define AWAY (told[h] || (up[h] && IS_OFF(h)))
#else
#define AWAY (told[h] || (up[h] && vm[h] == OFF_MIGRATED))
#endif

#ifdef KEEP_WITH_JOB
#define STOPPED true
#else
#define STOPPED !HAS_JOB(h) /* else the job is stopped, which here it does by itself */
#endif
#ifdef RESUME_OLD
#define NEWEST true
#else
#define NEWEST !SUPERSEDED
#endif
#ifdef COLD_OLD
#define NEWEST_COLD true
#else
#define NEWEST_COLD !SUPERSEDED
#endif
#ifdef DEFINITION
#define COMPLETE(h) true
#define IMAGE_GONE false
#else
#define COMPLETE(h) (IS_PAUSED(h) || vm[h] == RUN)
#ifdef UNASKED_IS_LOST
#define IMAGE_GONE (!up[h] || IS_OFF(h))
#else
#define IMAGE_GONE (up[h] && IS_OFF(h))
#endif
#endif
#ifdef WORD_OBEYED
#define UNDECIDED (S[t] == MIGRATING && !AWAY)
#else
#define UNDECIDED (S[t] == MIGRATING && up[h] && IS_OFF(h) && !HAS_JOB(h) && !AWAY)
#endif

/* A QEMU that libvirt should have ended; a guest the ladder had paused counts as its own. */
#ifdef HELD_IS_FOREIGN
#define LEFT_BEHIND (IS_PAUSED(h) && !HAS_JOB(h) && !held[h] && !SUPERSEDED)
#else
#define LEFT_BEHIND (IS_PAUSED(h) && !HAS_JOB(h) && (pause[t] || !held[h]) && !SUPERSEDED)
#endif
/* COLD START is of the next generation, also before that is in the record. */
#ifdef COLD_IS_OLD
#define LEFT_BEHIND_COLD LEFT_BEHIND
#else
#define LEFT_BEHIND_COLD (IS_PAUSED(h) && !HAS_JOB(h) && (pause[t] || !held[h]) && fence[h] <= NEXT(t))
#endif
#ifdef FENCE_EARLY
#define RAISES_KEPT true
#else
#define RAISES_KEPT false /* what was never prepared supersedes nothing: only its record says so */
#endif
#ifdef NO_GENERATION
#define FRESH(x) (x[t] == NONE)
#define LATE(x) false
#define UNDOES true
#else
#ifdef LOST_RECORDS
#define FRESH(x) (x[t] == NONE && fence[h] < MINE(t) && !transferred[t])
#else
#define FRESH(x) (x[t] == NONE && fence[h] < MINE(t))
#endif
#define LATE(x) (x[t] == NONE && fence[h] >= MINE(t) && !x##_LOST)
#define UNDOES (fence[h] <= MINE(t))
#endif
/* Of NONE, and MIGRATE was sent: the record is lost. */
#ifdef LOST_RECORDS
bool transferred[2], lost_s[2], lost_d[2];
#define S_LOST (S[t] == NONE && lost_s[t] && transferred[t] && fence[h] <= MINE(t))
#define D_LOST (D[t] == NONE && lost_d[t] && transferred[t] && fence[h] <= MINE(t))
#define S_LOST_COLD (S[t] == NONE && lost_s[t] && transferred[t] && fence[h] <= NEXT(t))
#define HAS_PEER (!lost_s[t])
#define FOUND_S lost_s[t] = false
#define FOUND_D lost_d[t] = false
#define REMADE_D lost_d[t]
#else
#define REMADE_D false
#define FOUND_S skip
#define FOUND_D skip
#define S_LOST false
#define D_LOST false
#define HAS_PEER true
#endif
#define OVER (n > t || c == IDLE) /* 24 hours later: TRANSACTION_KEEP_MS */
#define ACTIVATED_BY (GOT(ACTIVATE) || mesh[t] || D[t] == OWNER) /* by D11 alone, if OWNER */

/* drive_admit. What answers a coordinator that is no more reaches nobody. */
#ifdef NO_EPOCH
#define GOT(m) ((sent[t] | old[t]) & (m))
#else
#define GOT(m) (sent[t] & (m) || (!seen[h] && old[t] & (m)))
#endif
#define REPLIES(m, a) (sent[t] & (m) && !(back[t] & (a)) && n == t)

inline take(m, a)
{
    assert(sent[t] & (m) || !seen[h]); /* a coordinator that was replaced is not obeyed */
    if
    :: sent[t] & (m) -> seen[h] = true; reply = a
    :: else -> reply = 0
    fi
}

inline taken(a) /* ACTIVATE, of which the mesh's and the agent's own look need no epoch */
{
    if
    :: GOT(ACTIVATE) -> take(ACTIVATE, a)
    :: D[t] == OWNER -> printf("D11\n"); reply = 0
    :: else -> reply = 0
    fi
}

inline runs(x)
{
    assert(vm[x] != STALE);
    vm[x] = RUN; held[x] = false;
    if
    :: vm[1 - x] == PAUSED || vm[1 - x] == HELD -> vm[1 - x] = STALE
    :: else
    fi
}

inline forget() /* what an agent has not on disk */
{
    call[h] = NO_CALL;
    told[h] = false;
    busy[h] = false;
    deeds = 0;
    reply = 0
}

inline raise(generation)
{
    if
    :: fence[h] < generation -> fence[h] = generation
    :: else
    fi
}

/* Durable. */
inline source_is(state)
{
    assert(state != KEPT || !(D[t] == OWNER || D[t] == ACTIVATED));
    if
    :: S[t] == NONE && (state != KEPT || RAISES_KEPT) -> raise(MINE(t))
    :: state == COLD -> raise(NEXT(t))
    :: else
    fi;
    if
    :: state == KEPT && vm[h] == RUN -> pause[t] = false
    :: else
    fi;
    told[h] = told[h] && state == MIGRATING;
    S[t] = state
}

inline destination_is(state)
{
    assert(state != OWNER || S[t] == FENCED || S[t] == RELEASED || !HAS_PEER);
    if
    :: D[t] == NONE -> raise(MINE(t))
    :: else
    fi;
    if
    :: state == PREPARED -> memory[t] = true; image[t] = true
    :: state == OWNER -> definition[t] = true
    :: state == TOMBSTONE || state == RELEASED -> memory[t] = false
    :: else
    fi;
    D[t] = state
}

inline say()
{
    if
    :: n == t -> back[t] = back[t] | reply
    :: else
    fi;
    reply = 0
}

#define FREE !busy[h]
#define CRASH atomic { faults > 0 -> printf("F1 agent %d\n", h); faults--; forget(); goto end }
#define GIVE_UP busy[h] = false; deeds = 0; reply = 0; goto end
#define DO(d) deeds = d; busy[h] = true; goto act

/* Deeds, in their order. */
#ifdef LOST_RECORDS
#ifdef RESUME_LOST
#define LOST_RUNS (vm[h] == RUN || vm[h] == PAUSED)
#else
#define LOST_RUNS (vm[h] == RUN)
#endif
inline lose_fence()
{
    if
    :: fence[h] = 0
    :: skip
    fi
}
inline drop(messages) /* what was on its way to it, or from it */
{
    sent[t] = sent[t] & ~(messages);
    old[t] = old[t] & ~(messages);
    mesh[t] = false;
    if
    :: t == 1 -> sent[0] = 0; old[0] = 0
    :: else
    fi
}
#endif

#define D_RESUME_SOURCE 1
#define D_SUSPEND 2
#define D_RETIRE 4
#define D_START 8
#define D_START_JOB 16
#define D_TELL_PEER 32
#define D_DEFINE 1
#define D_RESUME 2
#define D_UNDO 4

proctype Source(byte t; byte h)
{
    byte deeds = 0;
    short reply = 0;
end:
    do
    :: atomic { FREE && GOT(PREPARE_S) && FRESH(S) && up[h] && vm[h] == HOME && !HAS_JOB(h) && !OTHER ->
        printf("S1\n"); take(PREPARE_S, YES_S); source_is(PREPARED); say() }
    :: atomic { FREE && GOT(PREPARE_S) && FRESH(S) -> printf("S2\n"); take(PREPARE_S, 0); source_is(KEPT) }
    :: atomic { FREE && REPLIES(PREPARE_S, YES_S) && S_OPEN(t) -> take(PREPARE_S, YES_S); say() }
#ifdef DEFINITION
    :: atomic { FREE && GOT(MIGRATE) && S[t] == PREPARED && up[h] && IS_OFF(h) ->
        printf("S3\n"); take(MIGRATE, 0); source_is(FENCED); DO(D_TELL_PEER) }
#else
    :: atomic { FREE && GOT(MIGRATE) && S[t] == PREPARED && up[h] && vm[h] == RUN && !HAS_JOB(h) ->
        printf("S3\n"); take(MIGRATE, 0); source_is(MIGRATING); DO(D_START_JOB) }
#endif
    :: atomic { FREE && GOT(SETTLE) && FRESH(S) ->
        printf("S4\n"); take(SETTLE, IS_KEPT); source_is(KEPT); say() }
    :: atomic { FREE && REPLIES(SETTLE, IS_KEPT) && LATE(S) -> /* MIGRATE was not sent: n == t, and no record */
        printf("S6\n"); take(SETTLE, IS_KEPT); say() }
    :: atomic { FREE && GOT(SETTLE) && S[t] == PREPARED ->
        printf("S7\n"); take(SETTLE, IS_KEPT); source_is(KEPT); say() }
    :: atomic { FREE && GOT(SETTLE) && S[t] == MIGRATING && up[h] && ALIVE(h) && !AWAY && STOPPED ->
        printf("S8\n"); take(SETTLE, IS_KEPT);
#ifdef KEEP_UNWRITTEN
        say(); DO(0) }
#else
        source_is(KEPT);
        if
        :: IS_PAUSED(h) -> DO(D_RESUME_SOURCE)
        :: else -> say()
        fi }
#endif
    :: atomic { FREE && GOT(SETTLE) && S[t] == MIGRATING && AWAY ->
        printf("S9\n"); take(SETTLE, IS_GONE); source_is(FENCED); say() }
    :: atomic { FREE && REPLIES(SETTLE, IS_KEPT) && S[t] == KEPT -> printf("S10\n"); take(SETTLE, IS_KEPT); say() }
    :: atomic { FREE && REPLIES(SETTLE, IS_GONE) && (S[t] == FENCED || S[t] == RELEASED || S[t] == COLD) ->
        printf("S11\n"); take(SETTLE, IS_GONE); say() }
    :: atomic { FREE && S[t] == MIGRATING && AWAY -> printf("S12\n");
#ifdef FENCE_LATE
        mesh[t] = true; DO(D_TELL_PEER) }
#else
        source_is(FENCED); DO(D_TELL_PEER) }
#endif
#ifndef NO_MESH
    :: atomic { FREE && S[t] == FENCED && !mesh[t] && HAS_PEER -> printf("S13\n"); mesh[t] = true }
#endif
    :: atomic { FREE && S[t] == KEPT && up[h] && IS_PAUSED(h) && (pause[t] || !held[h]) && NEWEST ->
        printf("S14\n"); DO(D_RESUME_SOURCE) }
    :: atomic { FREE && S[t] == PREPARED -> printf("S15\n"); source_is(KEPT) }
    :: atomic { FREE && GOT(RELEASE_S) && S[t] == FENCED && up[h] && (IS_OFF(h) || LEFT_BEHIND) ->
        printf("S16\n"); take(RELEASE_S, RELEASED_S); DO(D_RETIRE) }
    :: atomic { FREE && REPLIES(RELEASE_S, RELEASED_S) && (S[t] == RELEASED || S[t] == KEPT || S[t] == COLD) ->
        printf("S17\n"); take(RELEASE_S, RELEASED_S); say() }
    :: atomic { FREE && GOT(START) && up[h] &&
        ((S[t] == FENCED && (IS_OFF(h) || LEFT_BEHIND_COLD)) || (S[t] == COLD && NEWEST_COLD && IS_OFF(h))) ->
        printf("S18\n"); take(START, START_OK); source_is(COLD); DO(D_START) }
    :: atomic { FREE && REPLIES(START, START_OK) && S[t] == COLD && up[h] && (ALIVE(h) || SUPERSEDED) ->
        printf("S19\n"); take(START, START_OK); say() }
    /* The operator knows what only a dead QEMU and a forgetful libvirt knew. */
    :: atomic { FREE && GOT(SETTLE) && c == SETTLING && n == t && UNDECIDED && !HAS_COPY(1 - h) ->
        printf("S22 C20\n"); take(SETTLE, IS_KEPT); died = true; source_is(KEPT); say() }
    :: atomic { FREE && GOT(SETTLE) && c == SETTLING && n == t && UNDECIDED && HAS_COPY(1 - h) ->
        printf("S22 C20\n"); take(SETTLE, IS_GONE); source_is(FENCED); say() }
    :: atomic { c == SETTLING && n == t && FREE && (FRESH(S) || S[t] == PREPARED) -> printf("S25\n"); source_is(KEPT) } /* sent by nobody today */
#ifdef LOST_RECORDS
#ifdef LOST_IS_KEPT
    :: atomic { FREE && GOT(SETTLE) && S_LOST -> printf("S24\n"); take(SETTLE, IS_KEPT); source_is(KEPT); say() }
#endif
    :: atomic { FREE && GOT(SETTLE) && S_LOST && up[h] && LOST_RUNS && !HAS_JOB(h) -> printf("S24\n"); take(SETTLE, IS_KEPT); source_is(KEPT); say() }
    :: atomic { FREE && GOT(SETTLE) && S_LOST && up[h] && vm[h] == OFF_MIGRATED -> printf("S24\n"); take(SETTLE, IS_GONE); source_is(FENCED); say() }
    :: atomic { FREE && GOT(SETTLE) && c == SETTLING && n == t && S_LOST && up[h] && !HAS_JOB(h) && vm[h] != RUN && vm[h] != OFF_MIGRATED ->
        printf("S22 C20\n");
        if
        :: D[t] == OWNER || D[t] == ACTIVATED || vm[1 - h] == RUN || defined[1 - h] || (IS_OFF(h) && HAS_COPY(1 - h)) -> /* may_ask, too */ take(SETTLE, IS_GONE); source_is(FENCED); say()
        :: else -> take(SETTLE, IS_KEPT); died = died || IS_OFF(h); source_is(KEPT);
            if
            :: vm[h] == PAUSED -> DO(D_RESUME_SOURCE)
            :: vm[h] == HELD -> runs(h) /* by hand: it looks like his own pause */; say()
            :: else -> say()
            fi
        fi }
    :: atomic { FREE && GOT(RELEASE_S) && S_LOST && up[h] && (IS_OFF(h) || LEFT_BEHIND) ->
        printf("S24\n"); take(RELEASE_S, RELEASED_S); source_is(FENCED); DO(D_RETIRE) }
    :: atomic { FREE && GOT(START) && S_LOST_COLD && up[h] && IS_OFF(h) -> printf("S24\n"); take(START, START_OK); source_is(COLD); DO(D_START) }
    :: atomic { FREE && GOT(START) && S_LOST_COLD && up[h] && vm[h] == RUN -> printf("S24\n"); take(START, START_OK); source_is(COLD); say() }
    /* Its guest is paused, and runs or was lost elsewhere: told so, the operator ends it. */
    :: atomic { FREE && S_LOST && c != SETTLING && n == t && D[t] != PREPARED && IS_PAUSED(h) && !HAS_JOB(h) && !HAS_COPY(h) ->
        printf("O\n"); vm[h] = OFF; held[h] = false }
    :: atomic { FREE && (S_LOST || (lost_s[t] && S[t] == FENCED)) && (c == RELEASING || c == COLD_START) && n == t && IS_PAUSED(h) && !HAS_JOB(h) -> printf("O\n"); vm[h] = OFF; held[h] = false }
    :: atomic { faults > 0 && FREE && transferred[t] && n == t && !lost_s[t] && (S[t] == MIGRATING || S[t] == FENCED || (S[t] == KEPT && !IS_PAUSED(h))) ->
        printf("F6 record of the source\n"); faults--; forget(); lost_s[t] = true; S[t] = NONE; pause[t] = false;
        drop(PREPARE_S | MIGRATE | SETTLE | RELEASE_S | START); lose_fence() }
#endif
    :: atomic { FREE && OVER && ((S[t] == KEPT && !IS_PAUSED(h)) || S[t] == COLD || S[t] == RELEASED) ->
        printf("S20\n"); raise(MINE(t)); FOUND_S; S[t] = NONE }
    :: atomic { FREE && S[t] == MIGRATING && job == COPYING && up[h] && vm[h] == RUN && !pause[t] -> printf("S21\n");
#ifndef PAUSE_UNWRITTEN
        pause[t] = true;
#endif
        DO(D_SUSPEND) }
    :: atomic { faults > 0 && FREE && (call[h] != NO_CALL || told[h]) -> printf("F1 agent %d\n", h); faults--; forget() }
    /* Just before its record, which is one of a yes: nothing else raises the fence. */
    :: atomic { faults > 0 && FREE && GOT(PREPARE_S) && FRESH(S) && up[h] && vm[h] == HOME && !HAS_JOB(h) ->
        printf("F1 agent %d, fence\n", h); faults--; forget(); fence[h] = MINE(t) }
    /* And just before COLD. */
    :: atomic { faults > 0 && FREE && GOT(START) && S[t] == FENCED && up[h] && fence[h] < NEXT(t) ->
        printf("F1 agent %d, fence\n", h); faults--; forget(); fence[h] = NEXT(t) }
    :: atomic { !seen[h] && sent[t] -> seen[h] = true } /* any message tells of the epoch */
    od;
act:
    do
    :: atomic { deeds & D_RESUME_SOURCE -> deeds = 0; /* KEPT does not wait for it: S14 */
        if
        :: up[h] && IS_PAUSED(h) && !(job != NO_JOB && at == h) -> runs(h); pause[t] = false
        :: else
        fi }
    :: atomic { deeds & D_SUSPEND -> deeds = 0;
        if
        :: up[h] && vm[h] == RUN && job != NO_JOB && at == h -> vm[h] = HELD; held[h] = true
        :: else
        fi }
    :: atomic { deeds & D_RETIRE ->
        if
        :: up[h] && (IS_OFF(h) || LEFT_BEHIND) -> deeds = 0; defined[h] = false; vm[h] = OFF; held[h] = false; source_is(RELEASED)
        :: else -> GIVE_UP
        fi }
    :: atomic { deeds & D_START ->
        if
        :: up[h] -> deeds = 0;
            assert(died || SUPERSEDED); /* what was in its memory is given up only when it is lost */
            if
            :: vm[h] != RUN -> if :: vm[h] == STALE -> vm[h] = OFF; held[h] = false :: else fi; runs(h)
            :: else
            fi
        :: else -> GIVE_UP
        fi }
    :: atomic { deeds & D_START_JOB -> deeds = 0;
        if
        :: up[h] && job == NO_JOB -> call[h] = OUT; job = BEGUN; at = h
        :: else
        fi }
    :: atomic { deeds & D_TELL_PEER -> deeds = 0; mesh[t] = true;
#ifdef FENCE_LATE
        source_is(FENCED)
#endif
        }
    :: CRASH
    :: atomic { deeds == 0 ->
#ifdef KEEP_UNWRITTEN
        if :: S[t] == MIGRATING && (sent[t] & SETTLE) && (back[t] & IS_KEPT) -> source_is(KEPT) :: else fi;
#endif
        say(); busy[h] = false; goto end }
    od
}

proctype Destination(byte t; byte h)
{
    byte deeds = 0;
    short reply = 0;
end:
    do
    :: atomic { FREE && GOT(PREPARE_D) && FRESH(D) && up[h] && IS_OFF(h) && !defined[h] && !OTHER ->
        printf("D1\n"); take(PREPARE_D, YES_D); destination_is(PREPARED); say() }
    :: atomic { FREE && GOT(PREPARE_D) && FRESH(D) -> printf("D2\n"); take(PREPARE_D, 0); destination_is(TOMBSTONE) }
    :: atomic { FREE && REPLIES(PREPARE_D, YES_D) && D_OPEN(t) -> take(PREPARE_D, YES_D); say() }
    :: atomic { FREE && GOT(ABORT) && FRESH(D) -> printf("D3\n"); take(ABORT, ABORT_OK); destination_is(TOMBSTONE); say() }
    :: atomic { FREE && REPLIES(ABORT, ABORT_OK) && LATE(D) -> printf("D4\n"); take(ABORT, ABORT_OK); say() }
    :: atomic { FREE && GOT(ABORT) && D[t] == PREPARED -> printf("D5\n"); take(ABORT, ABORT_OK); destination_is(TOMBSTONE);
        if
        :: up[h] -> DO(D_UNDO)
        :: else -> reply = 0
        fi }
    :: atomic { FREE && GOT(ABORT) && D[t] == TOMBSTONE && up[h] && (image[t] || definition[t]) ->
        printf("D6\n"); take(ABORT, ABORT_OK); DO(D_UNDO) }
    :: atomic { FREE && REPLIES(ABORT, ABORT_OK) && D[t] == TOMBSTONE && !image[t] && !definition[t] ->
        printf("D6\n"); take(ABORT, ABORT_OK); say() }
    :: atomic { FREE && ACTIVATED_BY && (D[t] == PREPARED || D[t] == OWNER) && up[h] && COMPLETE(h) ->
        printf("D7\n"); taken(RUNS);
        destination_is(OWNER); DO(D_DEFINE | D_RESUME) }
    :: atomic { FREE && ACTIVATED_BY && (D[t] == PREPARED || D[t] == OWNER) && IMAGE_GONE ->
        printf("D8\n"); taken(LOST);
        destination_is(TOMBSTONE); DO(D_UNDO) }
    :: atomic { FREE && REPLIES(ACTIVATE, RUNS) && (D[t] == ACTIVATED || D[t] == RELEASED) ->
        printf("D9\n"); take(ACTIVATE, RUNS); say() }
    :: atomic { FREE && REPLIES(ACTIVATE, LOST) && D[t] == TOMBSTONE -> printf("D10\n"); take(ACTIVATE, LOST); say() }
    :: atomic { FREE && GOT(RELEASE_D) && D[t] == ACTIVATED ->
        printf("D12\n"); take(RELEASE_D, RELEASED_D); destination_is(RELEASED); say() }
    :: atomic { FREE && REPLIES(RELEASE_D, RELEASED_D) && (D[t] == RELEASED || D[t] == TOMBSTONE) ->
        printf("D13\n"); take(RELEASE_D, RELEASED_D); say() }
    :: atomic { FREE && D[t] == PREPARED && memory[t] && up[h] && vm[h] == OFF && !defined[h] -> printf("D14\n"); memory[t] = false }
#ifdef LEASE_DESTROYS
    :: atomic { FREE && D[t] == PREPARED && up[h] && IS_PAUSED(h) -> printf("D14\n"); destination_is(TOMBSTONE); DO(D_UNDO) }
#endif
#ifdef LOST_RECORDS
    :: atomic { FREE && GOT(ACTIVATE) && D_LOST && up[h] && COMPLETE(h) -> printf("D17\n"); take(ACTIVATE, RUNS);
        image[t] = true; destination_is(OWNER); DO(D_DEFINE | D_RESUME) }
    :: atomic { FREE && GOT(ABORT) && D_LOST && up[h] ->
        printf("D17\n"); take(ABORT, ABORT_OK);
        if
        :: vm[h] == OFF && defined[h] -> defined[h] = false /* in doubt until an operator has undefined it */
        :: else
        fi;
        image[t] = true; destination_is(TOMBSTONE); DO(D_UNDO) }
    :: atomic { FREE && GOT(RELEASE_D) && D_LOST -> printf("D17\n"); take(RELEASE_D, RELEASED_D); destination_is(RELEASED); say() }
    :: atomic { faults > 0 && FREE && transferred[t] && n == t && !lost_d[t] &&
        (D_OPEN(t) || (D[t] == TOMBSTONE && !image[t] && !definition[t])) ->
        printf("F6 record of the destination\n"); faults--; forget(); lost_d[t] = true; D[t] = NONE;
        memory[t] = false; image[t] = false; definition[t] = false;
        drop(PREPARE_D | ABORT | ACTIVATE | RELEASE_D); lose_fence() }
#endif
    :: atomic { FREE && OVER && (D[t] == TOMBSTONE || D[t] == RELEASED) -> printf("D15\n"); raise(MINE(t)); FOUND_D; D[t] = NONE }
    :: atomic { faults > 0 && FREE && D[t] == NONE && fence[h] < MINE(t) && sent[t] ->
        printf("F1 agent %d, fence\n", h); faults--; forget(); fence[h] = MINE(t) }
    :: atomic { !seen[h] && sent[t] -> seen[h] = true }
    od;
act:
    do
    :: atomic { deeds & D_DEFINE ->
        if
        :: up[h] -> deeds = deeds & ~D_DEFINE; defined[h] = true
        :: else -> GIVE_UP
        fi }
    :: atomic { deeds & D_RESUME && !(deeds & D_DEFINE) -> /* then ACTIVATED */
        if
        :: up[h] && COMPLETE(h) -> deeds = 0;
#ifndef DEFINITION
            if
            :: vm[h] != RUN -> runs(h)
            :: else
            fi;
#endif
            destination_is(ACTIVATED)
        :: else -> GIVE_UP
        fi }
    :: atomic { deeds & D_UNDO -> deeds = 0;
        if
        :: !image[t] && !definition[t] -> skip
        :: else ->
            if
            :: !up[h] || (UNDOES && vm[h] == RUN) -> GIVE_UP
            :: else
            fi;
            if
            :: UNDOES && ALIVE(h) -> vm[h] = OFF; held[h] = false
            :: else
            fi;
            if
            :: UNDOES && definition[t] && (reply == ABORT_OK || !REMADE_D) -> defined[h] = false; vm[h] = OFF; held[h] = false
            :: else
            fi;
            image[t] = false;
            if
            :: reply == ABORT_OK || !REMADE_D -> definition[t] = false
            :: else /* LOST, with a record that was made anew: it may be the only one, until ABORT says that the source has the guest */
            fi
        fi }
    :: CRASH
    :: atomic { deeds == 0 -> say(); busy[h] = false; goto end }
    od
}

#define TELL(m) sent[n] = sent[n] | (m)
#define HEARD(a) (back[n] & (a))
#define PENDING(m, a) (!(sent[n] & (m)) && !HEARD(a))

inline over(x)
{
    back[n] = 0;
    assert(!memory[n]);
    assert(x == DONE || S[n] != FENCED);
    asked = false; started = false;
    if
    :: n + 1 < MIGRATIONS -> from[n + 1] = (x == DONE && vm[TO(n)] == RUN -> TO(n) : from[n]); n++; c = IDLE
    :: else -> c = x
    fi
}

proctype Coordinator()
{
end:
    do
    :: atomic { c == IDLE -> printf("C1 from %d\n", from[n]); c = PREPARING; TELL(PREPARE_S); run Source(n, from[n]); run Destination(n, TO(n)) }
    :: atomic { c == PREPARING && HEARD(YES_S) && !asked -> printf("C2\n"); asked = true; TELL(PREPARE_D) }
    :: atomic { c == PREPARING && HEARD(YES_S) && HEARD(YES_D) -> printf("C3\n"); c = TRANSFER; TELL(MIGRATE);
#ifdef LOST_RECORDS
        transferred[n] = true;
#endif
#ifdef ALONE
        goto gone
#endif
        }
    :: atomic { c == PREPARING -> printf("C4\n"); c = SETTLING; TELL(SETTLE) }
#ifdef ACTIVATE_EARLY
    :: atomic { c == TRANSFER && vm[TO(n)] == PAUSED -> printf("C5\n"); c = ACTIVATING; TELL(ACTIVATE) }
#endif
    :: atomic { c == TRANSFER -> printf("C5\n"); c = SETTLING; TELL(SETTLE) }
#ifdef GUESS_KEPT
    :: atomic { c == SETTLING -> c = ABORTING; TELL(ABORT) }
#endif
    :: atomic { c == SETTLING && HEARD(IS_KEPT) -> printf("C6\n");
        if
#ifdef ABORT_HEARD_ONLY
        :: HEARD(YES_D) -> c = ABORTING; TELL(ABORT)
#else
        :: asked -> c = ABORTING; TELL(ABORT)
#endif
        :: else -> over(ABORTED)
        fi }
    :: atomic { c == SETTLING && HEARD(IS_GONE) -> printf("C7\n"); c = ACTIVATING; TELL(ACTIVATE);
#ifdef RELEASE_EARLY
        TELL(RELEASE_S);
#endif
        }
    :: atomic { c == ACTIVATING && HEARD(RUNS) -> printf("C8\n"); c = RELEASING; TELL(RELEASE_S | RELEASE_D) }
    :: atomic { c == ACTIVATING && HEARD(LOST) -> printf("C9\n"); c = COLD_START; TELL(START) }
    :: atomic { c == COLD_START && HEARD(START_OK) && !started -> printf("C10\n"); started = true; TELL(ABORT) }
    :: atomic { c == ABORTING && HEARD(ABORT_OK) -> printf("C11\n"); over(ABORTED) }
    :: atomic { c == RELEASING && HEARD(RELEASED_S) && HEARD(RELEASED_D) -> printf("C12\n"); over(DONE) }
    :: atomic { c == COLD_START && started && HEARD(ABORT_OK) -> printf("C13\n"); over(ABORTED) }
#ifndef NO_RETRY
    :: atomic { c == SETTLING && PENDING(SETTLE, IS_KEPT | IS_GONE) -> printf("C14\n"); TELL(SETTLE) }
    :: atomic { c == ABORTING && PENDING(ABORT, ABORT_OK) -> printf("C14\n"); TELL(ABORT) }
    :: atomic { c == ACTIVATING && PENDING(ACTIVATE, RUNS | LOST) -> printf("C14\n"); TELL(ACTIVATE) }
    :: atomic { c == RELEASING && PENDING(RELEASE_S, RELEASED_S) -> printf("C14\n"); TELL(RELEASE_S) }
    :: atomic { c == RELEASING && PENDING(RELEASE_D, RELEASED_D) -> printf("C14\n"); TELL(RELEASE_D) }
    :: atomic { c == COLD_START && !started && PENDING(START, START_OK) -> printf("C14\n"); TELL(START) }
    :: atomic { c == COLD_START && started && PENDING(ABORT, ABORT_OK) -> printf("C14\n"); TELL(ABORT) }
#endif
    :: atomic { faults > 0 && c != IDLE && c != DONE && c != ABORTED -> printf("F2 C15\n"); faults--;
        old[0] = old[0] | sent[0]; old[1] = old[1] | sent[1];
        sent[0] = 0; sent[1] = 0; seen[0] = false; seen[1] = false;
        back[n] = 0; asked = true;
        if
#ifdef SEND_FIRST
        :: c == PREPARING || c == TRANSFER -> over(ABORTED) /* not in the journal yet: nobody knows of it */
#endif
        :: c == PREPARING || c == TRANSFER -> c = SETTLING; TELL(SETTLE)
        :: else
        fi }
    :: atomic { faults > 0 && (c == SETTLING || c == ABORTING || c == ACTIVATING || c == COLD_START) && sent[n] ->
        printf("F3\n"); faults--; sent[n] = 0; back[n] = 0 }
    od;
#ifdef ALONE
gone:
end_gone:
    false
#endif
}

/* What a job's failure leaves: the half that was filled is dropped, a complete image is not (Finish's answer was lost). */
inline fail_job()
{
    if :: vm[1 - at] == INCOMING -> vm[1 - at] = OFF :: else fi;
    if :: vm[at] == PAUSED && job == SWITCHED -> runs(at) :: else fi;
    if :: call[at] == OUT -> call[at] = FAILED :: else fi;
    job = NO_JOB
}

#ifdef TRANSIENT
#define REMEMBERED OFF
#else
#define REMEMBERED OFF_MIGRATED
#endif

proctype Libvirt()
{
    byte h;
end:
    do
    :: atomic { job == BEGUN && vm[at] == RUN && IS_OFF(1 - at) && up[0] && up[1] -> printf("L1\n"); vm[1 - at] = INCOMING; job = COPYING }
    :: atomic { job == COPYING && vm[1 - at] == INCOMING && (vm[at] == RUN || vm[at] == HELD) -> printf("L2\n");
        if :: vm[at] == RUN -> vm[at] = PAUSED :: else fi;
#ifdef AUTORESUME
        vm[1 - at] = RUN;
#else
        vm[1 - at] = PAUSED;
#endif
        job = SWITCHED }
    :: atomic { job == SWITCHED && ALIVE(1 - at) && ALIVE(at) -> printf("L3\n"); job = COMMITTED }
    :: atomic { job == COMMITTED && up[at] -> printf("L4\n");
        vm[at] = REMEMBERED; held[at] = false;
        if :: call[at] == OUT -> call[at] = SUCCEEDED :: else fi;
        job = NO_JOB; at = 0 }
    :: atomic { job == BEGUN || job == COPYING || job == SWITCHED -> printf("L5 fails\n"); fail_job(); at = 0 }
    :: atomic { job == COMMITTED && call[at] == OUT && !told[at] && S[n] == MIGRATING -> printf("L6 commit point\n"); told[at] = true }
    :: atomic { call[0] == SUCCEEDED || call[0] == FAILED -> printf("L7\n"); told[0] = told[0] || (call[0] == SUCCEEDED && S[n] == MIGRATING); call[0] = NO_CALL }
    :: atomic { call[1] == SUCCEEDED || call[1] == FAILED -> printf("L7\n"); told[1] = told[1] || (call[1] == SUCCEEDED && S[n] == MIGRATING); call[1] = NO_CALL }
    :: atomic { faults > 0 && (up[0] || up[1] || ALIVE(0) || ALIVE(1)) -> faults--;
        if :: up[0] || ALIVE(0) -> h = 0 :: up[1] || ALIVE(1) -> h = 1 fi;
        if
        :: up[h] -> printf("F4 libvirtd %d\n", h);
            if :: vm[h] == OFF_MIGRATED -> vm[h] = OFF; held[h] = false :: else fi;
            if
            :: job == COMMITTED && at == h -> vm[h] = REMEMBERED; held[h] = false; job = NO_JOB
            :: job == COMMITTED && at == h -> vm[h] = OFF; held[h] = false; job = NO_JOB
            :: (job == SWITCHED || job == COMMITTED) && at == h -> job = NO_JOB /* left behind, paused for ever */
            :: job != NO_JOB && job != COMMITTED && !(job == SWITCHED && at == h) -> fail_job()
            :: else
            fi;
            if :: job == NO_JOB -> at = 0 :: else fi;
            if :: call[h] == OUT -> call[h] = FAILED :: else fi;
            up[h] = false
        :: ALIVE(h) -> printf("F5 QEMU %d\n", h);
            if
            :: vm[h] == INCOMING || vm[h] == STALE -> skip
            :: job == COMMITTED && at == h -> skip
            :: else -> died = true
            fi;
            vm[h] = OFF; held[h] = false
        fi;
        h = 0 }
    :: atomic { !up[0] -> up[0] = true }
    :: atomic { !up[1] -> up[1] = true }
    od
}

#define TWO_RUN (vm[0] == RUN && vm[1] == RUN)
#ifdef DEFINITION
#define MEMORY_LOST false
#else
#define MEMORY_LOST (!died && !HAS_COPY(0) && !HAS_COPY(1))
#endif
#define DEFINITION_LOST (!defined[0] && !defined[1])
#define WORDS(t) ((S[t] == KEPT && (D[t] == OWNER || D[t] == ACTIVATED)))

/* At every moment; and when nothing is left to do. */
proctype Watch()
{
    byte h, t;
end:
    if
    :: atomic { TWO_RUN || MEMORY_LOST || DEFINITION_LOST || WORDS(0) || WORDS(1) ->
        assert(!TWO_RUN); assert(!MEMORY_LOST); assert(!DEFINITION_LOST); assert(false) }
    :: atomic { timeout ->
        if
        :: c == SETTLING && IS_OFF(from[n]) && S[n] == NONE -> printf("in doubt\n") /* it died before anything was written */
#ifdef LOST_RECORDS
        :: c == ACTIVATING && IS_OFF(TO(n)) && D[n] == NONE -> printf("in doubt\n") /* it may have run there */
#endif
#ifdef ALONE
        :: c == TRANSFER ->
            assert(S[0] != FENCED || vm[1] == RUN || died);
            assert(S[0] == FENCED || vm[0] != OFF_MIGRATED) /* else unsettled: MIGRATING, and libvirt does not say that it is gone */
#endif
        :: else ->
            assert(c == DONE || c == ABORTED);
            for (t : 0 .. MIGRATIONS - 1) {
                assert(!S_OPEN(t) && !D_OPEN(t) && !memory[t])
            }
            assert(defined[0] != defined[1]);
            h = (defined[0] -> 0 : 1);
            assert(IS_OFF(1 - h));
#ifndef DEFINITION
            assert(vm[h] == RUN || died)
#endif
        fi }
    fi
}

init
{
    atomic {
        vm[0] = HOME; defined[0] = true;
        run Libvirt(); run Coordinator(); run Watch()
    }
}
