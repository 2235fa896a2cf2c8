/* Post-copy as the code has it: agent/core/participant.c (S, D), agent/ladder_run.c and agent/transfer.c (S26 to S28),
 * coordinator/core/transaction.c (C). One migration that was begun so that it may go on as post-copy: no VIR_MIGRATE_PAUSED, so that
 * libvirt's Finish runs the guest at the destination (L4), and from the switch-over on the memory is on both hosts (L8).
 * Labels, network and faults are those of handover.pml, which has what comes before TRANSFER, generations and epochs.
 *
 * Post-copy is asked for durably (S26) and begins some time later, if pre-copy does not converge before; and libvirt sees only
 * some time after that that it has begun (L9). Until then a look at libvirt says: running, with a job.
 * The stream may break at any time (F7, only the network's or libvirt's half of it: UNATTENDED), and is taken up again (S27, S28).
 * F6: a record is lost, of the source or of the destination.
 * Where a QEMU has died, or libvirtd at the switch-over, an operator looks at both hosts, ends the half that is of no use (O) and says
 * whose the guest is (S22).
 *
 *   S26   ladder_run.c: start_post_copy            C19   on_progress: the guest is in post-copy
 *   S27   transfer.c: post_copy_sample, take up    D16   destination_activate, destination_abort: in post-copy
 *   S28   transfer.c: post_copy_sample, break the half that hangs
 *
 * The hole that is known (finding post-copy-handover): Finish has let the guest run, and its answer is lost: libvirt runs it at the
 * source, too. -DLOST_FINISH shows it; without, that answer arrives or the source's libvirtd dies.
 *
 * Mistakes, each a -D: STOP_ASKED, RESUME_ASKED, ASK_UNWRITTEN, ERROR_IS_REFUSAL, ACTIVATE_HALF, STOP_LOST, LOST_IS_KEPT,
 * NO_TAKE_UP, LEFT_IS_KEPT. The code had LEFT_IS_KEPT until this model found it: post-copy was allowed and not asked for yet, pre-copy converged,
 * and the source's libvirtd died between Finish and its answer: the guest that it left paused was KEPT and resumed, beside the other. */
#ifndef FAULTS
#define FAULTS 2
#endif

mtype = { TRANSFER, SETTLING, ABORTING, ACTIVATING, RELEASING, COLD_START, ABORTED, DONE };
mtype = { NONE, PREPARED, MIGRATING, KEPT, FENCED, COLD, OWNER, ACTIVATED, TOMBSTONE, RELEASED };
/* POST: a half, of which the destination's runs. HUNG: a half whose stream broke, as libvirt says. */
mtype = { OFF, OFF_MIGRATED, INCOMING, PAUSED, RUN, POST, HUNG };
mtype = { NO_JOB, COPYING, SWITCHED, FINISHED, POST_COPY, UNATTENDED, BROKEN, COMMITTED };
mtype = { NO_CALL, OUT, SUCCEEDED, FAILED };

#define MIGRATE 1
#define SETTLE 2
#define ABORT 4
#define ACTIVATE 8
#define RELEASE_S 16
#define RELEASE_D 32
#define START 64
#define IS_KEPT 1
#define IS_GONE 2
#define RUNS 4
#define LOST 8
#define ABORT_OK 16
#define RELEASED_S 32
#define RELEASED_D 64
#define START_OK 128

byte sent = MIGRATE;
short back = 0;
bool mesh = false;
byte faults = FAULTS;

mtype c = TRANSFER;
bool started = false, in_post_copy = false; /* the guest, anew at the source; so says the journal */

mtype vm[2] = OFF; /* 0: the source */
bool up[2] = true;
mtype call = NO_CALL, job = NO_JOB;
bool told = false;                    /* of the commit point, or that it migrated */
bool wanted = false, noticed = false; /* QEMU was told to begin; libvirt knows that it has */
bool ran_there = false, died = false;

mtype S = PREPARED, D = PREPARED;
bool asked = false, image = true, definition = false; /* of the manifests */
bool lost_s = false, lost_d = false;
bool busy[2] = false;

#define IS_OFF(h) (vm[h] == OFF || vm[h] == OFF_MIGRATED)
#define ALIVE(h) (!IS_OFF(h))
#define HAS_JOB (job != NO_JOB || call != NO_CALL)
#define AWAY (told || (up[0] && vm[0] == OFF_MIGRATED))
#define LOOKS_RUN (vm[0] == RUN || (vm[0] == POST && !noticed))
#define HALF(h) (vm[h] == HUNG || (vm[h] == POST && (h == 1 || noticed)))
#define MESSAGE(m) (sent & (m))
#define GOT(m, a) (MESSAGE(m) && !(back & (a)))
#define FREE !busy[h]
#define CRASH(h) atomic { faults > 0 -> printf("F1 agent %d\n", h); faults--; forget(h); deeds = 0; reply = 0; goto end }

/* settle_transfer: what stands in the way of KEPT while a QEMU is here. That it is a half is never all of it. */
#ifdef RESUME_ASKED
#define MAY_GO_OVER (asked && HAS_JOB)
#define LEFT_HERE (vm[0] == PAUSED && !HAS_JOB && !asked)
#else
#define MAY_GO_OVER (asked && (HAS_JOB || !LOOKS_RUN))
#ifdef LEFT_IS_KEPT
#define LEFT_HERE false
#else
#define LEFT_HERE (vm[0] == PAUSED && !HAS_JOB)
#endif
#endif
#ifdef LOST_IS_KEPT
#define UNRECORDED false
#else
#define UNRECORDED (S == NONE && (HAS_JOB || !LOOKS_RUN))
#endif
#define MAY_KEEP (up[0] && ALIVE(0) && !AWAY && !HALF(0) && !MAY_GO_OVER && !(S != NONE && LEFT_HERE) && !UNRECORDED)
#ifdef STOP_ASKED
#define MAY_STOP (S == MIGRATING)
#else
#define MAY_STOP (S == MIGRATING && !asked)
#endif
#ifdef STOP_LOST
#define STOPS (MAY_STOP || S == NONE)
#else
#define STOPS MAY_STOP
#endif

inline forget(h)
{
    busy[h] = false;
    if
    :: h == 0 -> told = false; call = NO_CALL
    :: else
    fi
}

inline runs(h)
{
    if
    :: h == 0 -> assert(!ran_there) /* its memory is older than its disks */
    :: else -> assert(vm[1] != HUNG); ran_there = true
    fi;
    vm[h] = RUN
}

/* What a job's failure before the switch-over leaves, and a Finish that did not run the guest. */
inline fail_job()
{
    if :: vm[1] == INCOMING -> vm[1] = OFF :: else fi;
    if :: vm[0] == PAUSED -> runs(0) :: else fi;
    if :: call == OUT -> call = FAILED :: else fi;
    job = NO_JOB; wanted = false
}

inline source_is(state)
{
    told = told && state == MIGRATING;
    S = state
}

proctype Source()
{
    byte h = 0, deeds = 0;
    short reply = 0;
end:
    do
    :: atomic { FREE && MESSAGE(MIGRATE) && S == PREPARED && up[0] && vm[0] == RUN && !HAS_JOB ->
        printf("S3\n"); source_is(MIGRATING); busy[0] = true; deeds = 1; goto act }
    /* Of a PREPARED one: MIGRATE was lost, or comes after it. */
    :: atomic { FREE && GOT(SETTLE, IS_KEPT) && S == PREPARED -> printf("S7\n"); source_is(KEPT); back = back | IS_KEPT }
    /* Stopped, then looked at again. libvirt refuses it in post-copy, once it knows: QEMU would not. */
    :: atomic { FREE && GOT(SETTLE, IS_KEPT | IS_GONE) && STOPS && up[0] && job == COPYING && vm[0] == RUN -> printf("S8 stops\n"); fail_job() }
    :: atomic { FREE && GOT(SETTLE, IS_KEPT | IS_GONE) && STOPS && up[0] && job == POST_COPY && !noticed -> printf("S8 stops\n");
        vm[1] = HUNG; vm[0] = PAUSED; job = NO_JOB; runs(0) }
    :: atomic { FREE && GOT(SETTLE, IS_KEPT | IS_GONE) && (S == MIGRATING || S == NONE) && MAY_KEEP && !HAS_JOB ->
        if
        :: S == NONE -> printf("S24\n")
        :: else -> printf("S8\n")
        fi;
        source_is(KEPT);
        if
        :: vm[0] == PAUSED -> busy[0] = true; reply = IS_KEPT; deeds = 2; goto act
        :: else -> back = back | IS_KEPT
        fi }
    :: atomic { FREE && GOT(SETTLE, IS_KEPT | IS_GONE) && S == MIGRATING && AWAY -> printf("S9\n"); source_is(FENCED); back = back | IS_GONE }
    :: atomic { FREE && GOT(SETTLE, IS_KEPT | IS_GONE) && S == NONE && AWAY -> printf("S24\n"); source_is(FENCED); back = back | IS_GONE }
    :: atomic { FREE && GOT(SETTLE, IS_KEPT) && S == KEPT -> printf("S10\n"); back = back | IS_KEPT }
    :: atomic { FREE && GOT(SETTLE, IS_GONE) && (S == FENCED || S == RELEASED) -> printf("S11\n"); back = back | IS_GONE }
    :: atomic { FREE && S == MIGRATING && AWAY -> printf("S12\n"); source_is(FENCED) }
    :: atomic { FREE && S == FENCED && !mesh && !lost_s -> printf("S13\n"); mesh = true }
    :: atomic { FREE && S == KEPT && up[0] && vm[0] == PAUSED && !HAS_JOB -> printf("S14\n"); busy[0] = true; deeds = 2; goto act }
    /* Gone or kept by an operator's word, who has seen both hosts. */
    :: atomic { FREE && GOT(SETTLE, IS_KEPT | IS_GONE) && c == SETTLING && (S == MIGRATING || S == NONE) && up[0] && !HAS_JOB && !AWAY && IS_OFF(0) ->
        printf("S22\n");
        if
        :: vm[1] == RUN || vm[1] == HUNG || definition -> source_is(FENCED); back = back | IS_GONE
        :: vm[1] != RUN && !definition -> died = true; source_is(KEPT); back = back | IS_KEPT
        fi }
    :: atomic { FREE && GOT(SETTLE, IS_KEPT | IS_GONE) && c == SETTLING && (S == MIGRATING || S == NONE) && up[0] && !HAS_JOB && !AWAY &&
        vm[0] == PAUSED && !ran_there && IS_OFF(1) ->
        printf("S22\n"); source_is(KEPT); busy[0] = true; reply = IS_KEPT; deeds = 2; goto act }
    :: atomic { FREE && GOT(RELEASE_S, RELEASED_S) && (S == FENCED || S == NONE) && up[0] && (IS_OFF(0) || (S == FENCED && vm[0] == PAUSED && !HAS_JOB)) ->
        printf("S16\n"); vm[0] = OFF; source_is(RELEASED); back = back | RELEASED_S }
    :: atomic { FREE && GOT(RELEASE_S, RELEASED_S) && (S == RELEASED || S == KEPT) -> printf("S17\n"); back = back | RELEASED_S }
    :: atomic { FREE && GOT(START, START_OK) && up[0] && (S == FENCED || S == NONE) && IS_OFF(0) ->
        printf("S18\n"); assert(died); source_is(COLD); vm[0] = RUN; ran_there = false; back = back | START_OK }
    :: atomic { FREE && GOT(START, START_OK) && up[0] && S == COLD -> printf("S19\n");
        if
        :: vm[0] == OFF -> vm[0] = RUN
        :: else
        fi;
        back = back | START_OK }
    /* The ladder asks for post-copy, once more if nothing came of it. */
    :: atomic { FREE && S == MIGRATING && !told && job == COPYING && up[0] && !wanted -> printf("S26\n");
#ifndef ASK_UNWRITTEN
        asked = true;
#endif
        busy[0] = true; deeds = 4; goto act }
#ifndef NO_TAKE_UP
    :: atomic { FREE && S == MIGRATING && !told && job == BROKEN && up[0] && up[1] && vm[0] == HUNG && vm[1] == HUNG && call == NO_CALL ->
        printf("S27\n"); call = OUT; job = POST_COPY; vm[0] = POST; vm[1] = POST }
    :: atomic { FREE && S == MIGRATING && !told && job == UNATTENDED && up[0] && vm[0] == HUNG && call == NO_CALL ->
        printf("S28\n"); job = BROKEN; vm[1] = HUNG }
#endif
    :: atomic { faults > 0 && FREE && (call != NO_CALL || told) -> printf("F1 agent 0\n"); faults--; forget(0) }
    :: atomic { faults > 0 && FREE && !lost_s && (S == MIGRATING || S == FENCED) -> printf("F6 record of the source\n"); faults--;
        forget(0); lost_s = true; S = NONE; asked = false }
    od;
act:
    do
    :: atomic { deeds == 1 -> deeds = 0;
        if
        :: up[0] && up[1] && job == NO_JOB && vm[0] == RUN -> call = OUT; job = COPYING; vm[1] = INCOMING
        :: else
        fi }
    :: atomic { deeds == 2 -> deeds = 0;
        if
        :: up[0] && vm[0] == PAUSED && !HAS_JOB -> runs(0)
        :: else
        fi }
    :: atomic { deeds == 4 -> deeds = 0;
        if
        :: up[0] && job == COPYING -> wanted = true;
#ifdef ASK_UNWRITTEN
            goto written
#endif
        :: up[0] && job == COPYING && faults > 0 -> printf("F4 libvirtd 0, its answer is lost\n"); faults--; wanted = true; up[0] = false;
            if :: call == OUT -> call = FAILED :: else fi;
#ifdef ERROR_IS_REFUSAL
            asked = false
#endif
        :: up[0] && job != COPYING -> asked = false /* libvirt refuses it: it won't come later */
        :: !up[0] -> skip
        fi }
    :: CRASH(0)
    :: atomic { deeds == 0 -> back = back | reply; reply = 0; busy[0] = false; goto end }
    od;
#ifdef ASK_UNWRITTEN
written:
    do
    :: CRASH(0)
    :: atomic { asked = true; busy[0] = false; goto end }
    od
#endif
}

proctype Destination()
{
    byte h = 1, deeds = 0;
    short reply = 0;
end:
    do
    :: atomic { FREE && (GOT(ACTIVATE, RUNS | LOST) || (mesh && D == PREPARED) || D == OWNER) && (D == PREPARED || D == OWNER || (D == NONE && MESSAGE(ACTIVATE))) &&
        up[1] && (vm[1] == PAUSED || vm[1] == RUN
#ifdef ACTIVATE_HALF
        || vm[1] == HUNG
#endif
        ) -> printf("D7\n"); assert(S == FENCED || S == RELEASED || lost_s);
        D = OWNER; definition = true; reply = RUNS; deeds = 1; busy[1] = true; goto act }
    :: atomic { FREE && (GOT(ACTIVATE, RUNS | LOST) || mesh || D == OWNER) && (D == PREPARED || D == OWNER) && up[1] && IS_OFF(1) ->
        printf("D8\n"); D = TOMBSTONE; reply = LOST; deeds = 2; busy[1] = true; goto act }
    :: atomic { FREE && GOT(ACTIVATE, RUNS) && (D == ACTIVATED || D == RELEASED) -> printf("D9\n"); back = back | RUNS }
    :: atomic { FREE && GOT(ACTIVATE, LOST) && D == TOMBSTONE -> printf("D10\n"); back = back | LOST }
    :: atomic { FREE && GOT(ABORT, ABORT_OK) && (D == PREPARED || D == NONE) -> printf("D5\n"); D = TOMBSTONE;
        if
        :: up[1] && !HALF(1) -> reply = ABORT_OK; deeds = 2; busy[1] = true; goto act
        :: else -> printf("D16\n")
        fi }
    :: atomic { FREE && GOT(ABORT, ABORT_OK) && D == TOMBSTONE && up[1] && !HALF(1) && (image || definition) ->
        printf("D6\n"); reply = ABORT_OK; deeds = 2; busy[1] = true; goto act }
    :: atomic { FREE && GOT(ABORT, ABORT_OK) && D == TOMBSTONE && !image && !definition -> printf("D6\n"); back = back | ABORT_OK }
    :: atomic { FREE && GOT(RELEASE_D, RELEASED_D) && (D == ACTIVATED || D == NONE) -> printf("D12\n"); D = RELEASED; back = back | RELEASED_D }
    :: atomic { FREE && GOT(RELEASE_D, RELEASED_D) && (D == RELEASED || D == TOMBSTONE) -> printf("D13\n"); back = back | RELEASED_D }
    :: atomic { faults > 0 && FREE && !lost_d && (D == PREPARED || D == OWNER || D == ACTIVATED) -> printf("F6 record of the destination\n"); faults--;
        lost_d = true; D = NONE; image = true }
    od;
act:
    do
    :: atomic { deeds == 1 ->
        if
        :: up[1] && (vm[1] == PAUSED || vm[1] == RUN || vm[1] == HUNG) -> deeds = 0;
            if :: vm[1] != RUN -> runs(1) :: else fi;
            D = ACTIVATED
        :: else -> deeds = 0; reply = 0
        fi }
    :: atomic { deeds == 2 -> deeds = 0;
        if
        :: !image && !definition -> skip
        :: !up[1] || vm[1] == RUN || vm[1] == POST || vm[1] == HUNG -> reply = 0
        :: else -> vm[1] = OFF; image = false; definition = false
        fi }
    :: CRASH(1)
    :: atomic { deeds == 0 -> back = back | reply; reply = 0; busy[1] = false; goto end }
    od
}

#define TELL(m) sent = sent | (m)
#define HEARD(a) (back & (a))

proctype Coordinator()
{
end:
    do
    :: atomic { c == TRANSFER && !in_post_copy && noticed && job == POST_COPY -> printf("C19\n"); in_post_copy = true }
    :: atomic { c == TRANSFER -> printf("C5\n"); c = SETTLING; TELL(SETTLE) } /* a cancel only if !in_post_copy, an end or silence always */
    :: atomic { c == SETTLING && HEARD(IS_KEPT) -> printf("C6\n"); c = ABORTING; TELL(ABORT) }
    :: atomic { c == SETTLING && HEARD(IS_GONE) -> printf("C7\n"); c = ACTIVATING; TELL(ACTIVATE) }
    :: atomic { c == ACTIVATING && HEARD(RUNS) -> printf("C8\n"); c = RELEASING; TELL(RELEASE_S | RELEASE_D) }
    :: atomic { c == ACTIVATING && HEARD(LOST) -> printf("C9\n"); c = COLD_START; TELL(START) }
    :: atomic { c == COLD_START && HEARD(START_OK) && !started -> printf("C10\n"); started = true; TELL(ABORT) }
    :: atomic { c == ABORTING && HEARD(ABORT_OK) -> printf("C11\n"); c = ABORTED }
    :: atomic { c == RELEASING && HEARD(RELEASED_S) && HEARD(RELEASED_D) -> printf("C12\n"); c = DONE }
    :: atomic { c == COLD_START && started && HEARD(ABORT_OK) -> printf("C13\n"); c = DONE }
    :: atomic { faults > 0 && c != DONE && c != ABORTED -> printf("F2 C15\n"); faults--; back = 0;
        if
        :: c == TRANSFER -> c = SETTLING; TELL(SETTLE)
        :: else
        fi }
    od
}

/* The network, or one of the QEMUs' streams, between the hosts. */
inline break_stream()
{
    if
    :: job == COPYING -> fail_job()
    :: job == POST_COPY -> job = BROKEN; vm[0] = HUNG; vm[1] = HUNG; noticed = true
    :: job == POST_COPY -> job = UNATTENDED; vm[0] = HUNG; noticed = true
    fi;
    if :: call == OUT -> call = FAILED :: else fi
}

proctype Libvirt()
{
    byte h;
end:
    do
    /* Pre-copy converges; post-copy begins. */
    :: atomic { job == COPYING && vm[1] == INCOMING && vm[0] == RUN -> printf("L2\n"); vm[0] = PAUSED; job = SWITCHED }
    :: atomic { job == SWITCHED && up[0] && up[1] && vm[1] == INCOMING -> printf("L3 Finish runs it there\n"); runs(1); job = FINISHED }
    :: atomic { job == FINISHED && up[0] -> printf("L4\n"); job = COMMITTED }
#ifdef LOST_FINISH
    :: atomic { job == FINISHED -> printf("L5 Finish's answer is lost\n"); ran_there = false; /* libvirt's own resume, not Drover's */ fail_job() }
#endif
    :: atomic { job == COPYING && wanted && vm[1] == INCOMING && vm[0] == RUN -> printf("L8 post-copy\n"); vm[0] = POST; vm[1] = POST; ran_there = true; job = POST_COPY }
    :: atomic { job == POST_COPY && !noticed && up[0] -> printf("L9\n"); noticed = true }
    :: atomic { (job == POST_COPY || job == UNATTENDED) && noticed && up[0] && vm[1] == POST && (job == UNATTENDED || up[1]) -> printf("L10 the last page\n"); vm[1] = RUN; job = COMMITTED }
    :: atomic { job == COMMITTED && up[0] -> printf("L6\n"); vm[0] = OFF_MIGRATED;
        if :: call == OUT -> call = SUCCEEDED :: else fi;
        job = NO_JOB }
    :: atomic { job == COPYING || (job == SWITCHED && vm[1] == INCOMING) -> printf("L5 fails\n"); fail_job() }
    :: atomic { job == COMMITTED && call == OUT && !told && S == MIGRATING -> printf("L6 commit point\n"); told = true }
    /* A call that fails in post-copy is no end: its job is watched on (transfer.c: watch_on). */
    :: atomic { call == SUCCEEDED || call == FAILED -> printf("L7\n"); told = told || (call == SUCCEEDED && S == MIGRATING); call = NO_CALL }
    :: atomic { faults > 0 && (job == COPYING || job == POST_COPY) -> printf("F7\n"); faults--; break_stream() }
    :: atomic { faults > 0 && (up[0] || up[1] || ALIVE(0) || ALIVE(1)) -> faults--;
        if
        :: up[0] -> printf("F4 libvirtd 0\n");
            if
            :: job == COPYING -> fail_job()
            :: job == SWITCHED -> vm[1] = OFF; job = NO_JOB /* left behind, paused */
            :: job == FINISHED -> job = NO_JOB             /* left behind, and it runs there */
            :: job == COMMITTED -> vm[0] = OFF; job = NO_JOB
            :: job == COMMITTED -> vm[0] = OFF_MIGRATED; job = NO_JOB
            :: job == POST_COPY -> noticed = true; job = UNATTENDED; vm[0] = HUNG
            :: job == NO_JOB && vm[0] == OFF_MIGRATED -> vm[0] = OFF
            :: else
            fi;
            if :: call == OUT -> call = FAILED :: else fi;
            up[0] = false
        :: up[1] -> printf("F4 libvirtd 1\n");
            if
            :: job == COPYING || (job == SWITCHED && vm[1] == INCOMING) -> fail_job()
            :: job == POST_COPY -> noticed = true; job = UNATTENDED; vm[0] = HUNG;
                if :: call == OUT -> call = FAILED :: else fi
            :: job == FINISHED -> job = COMMITTED /* its answer is on its way: see LOST_FINISH */
            :: else
            fi;
            up[1] = false
        :: ALIVE(0) && job != COMMITTED -> printf("F5 QEMU 0\n");
            if :: vm[1] == RUN -> skip :: else -> died = true fi;
            if :: vm[1] == INCOMING -> vm[1] = OFF :: vm[1] == POST -> vm[1] = HUNG :: else fi;
            vm[0] = OFF; job = NO_JOB;
            if :: call == OUT -> call = FAILED :: else fi
        :: ALIVE(1) -> printf("F5 QEMU 1\n");
            if
            :: vm[1] == INCOMING -> fail_job()
            :: else -> died = true; vm[1] = OFF;
                if :: vm[0] == POST -> vm[0] = HUNG; noticed = true :: else fi;
                if
                :: job != COMMITTED -> job = NO_JOB; if :: call == OUT -> call = FAILED :: else fi
                :: else
                fi
            fi
        fi }
    :: atomic { !up[0] -> up[0] = true }
    :: atomic { !up[1] -> up[1] = true }
    od
}

/* In doubt, and told so: what is of no use any more is ended by hand (virsh destroy). */
proctype Operator()
{
end:
    do
    :: atomic { c != TRANSFER && vm[0] == HUNG && IS_OFF(1) && job == NO_JOB -> printf("O the half at the source\n"); vm[0] = OFF }
    :: atomic { c != TRANSFER && vm[1] == HUNG && IS_OFF(0) -> printf("O the half at the destination\n"); vm[1] = OFF }
    :: atomic { c != TRANSFER && vm[0] == PAUSED && job == NO_JOB && vm[1] == RUN && S != KEPT && S != FENCED -> printf("O what was left paused\n"); vm[0] = OFF }
    :: atomic { c != TRANSFER && vm[0] == PAUSED && job == NO_JOB && ran_there && IS_OFF(1) && S != KEPT -> printf("O what was left paused\n"); vm[0] = OFF }
    od
}

#define TWO_RUN (vm[0] == RUN && (vm[1] == RUN || vm[1] == POST))
#define COPY(h) (vm[h] == RUN || vm[h] == PAUSED)
#define TWO_HALVES ((vm[0] == POST || vm[0] == HUNG) && (vm[1] == POST || vm[1] == HUNG))
#define MEMORY_LOST (!died && !(COPY(0) && (vm[0] == RUN || !ran_there)) && !COPY(1) && !TWO_HALVES)

proctype Watch()
{
end:
    if
    :: atomic { TWO_RUN || MEMORY_LOST -> assert(!TWO_RUN); assert(!MEMORY_LOST) }
    :: atomic { timeout ->
        if
        :: lost_s && S == NONE && (job == BROKEN || job == UNATTENDED) -> printf("in doubt: nobody knows that the stream is to be taken up\n")
        :: lost_d && D == NONE && c == ACTIVATING && IS_OFF(1) -> printf("in doubt: it may have run there\n")
        :: else ->
            assert(c == DONE || c == ABORTED);
            assert(S != PREPARED && S != MIGRATING && S != FENCED && D != PREPARED && D != OWNER && D != ACTIVATED);
            assert((vm[0] == RUN && IS_OFF(1)) || (vm[1] == RUN && IS_OFF(0)) || died)
        fi }
    fi
}

init
{
    atomic { vm[0] = RUN; run Source(); run Destination(); run Libvirt(); run Coordinator(); run Operator(); run Watch() }
}
