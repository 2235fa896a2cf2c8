/* The guest is given to the destination while the source can't be asked, as the code has it: an operator's word that no QEMU of it is
 * left there (--source-is-off), or the storage closed to the source beforehand (--fence). And the other way round: taken back to a source
 * that has given it up, as the destination is off (--destination-is-off). coordinator/core/transaction.c and
 * coordinator/api_fence.c (C), agent/core/participant.c (S, D), agent/closures.c (X). One migration whose transfer is on. Labels, and
 * how messages are lost and late, are those of handover.pml, which has what comes before, later migrations, generations and epochs.
 *
 * The source's host is cut off (F9) or loses its power (F8), the destination's its power, and may come back at any time: its QEMU may have gone on, and libvirt may
 * have resumed it, as after any lost answer of Finish. Beside them F1 the source's agent, F2 the coordinator, F4 its libvirtd,
 * F5 a QEMU, F6 the source's record. What writes is a QEMU that runs and to which the storage is open.
 * The operator says only what is true, does not take it back, ends a copy at the source when told to, and opens the storage as soon as
 * he may. What he says of the image is either that it is as new as the disks (ACTIVATE), or nothing (ACTIVATE_COLD): then it may be older,
 * and never runs. Disks that come with the guest are not here (`copies`), nor an operator who resumes the image: tests/sim has him.
 *
 *   C16   on_grant: to the destination        S23   source_granted             X1   closures.c: close_work
 *   C17   on_grant: it never comes back       S24   source_settle of a record  X2   closures.c: open_work
 *   C18   on_reply: the source knows                that is lost               X3   closures.c: look_work
 *   C21   api_fence.c: ask_nodes, apply       C22   api_fence.c: on_closed, open_again
 *   C23   api_fence.c: may_open               D18   own_from_disks: it is decided, and noted
 *   C24   on_take_back: to the source         D19   own_from_disks: the image is ended, the guest started, it runs
 *   C25   on_take_back: it never comes back   D20   destination_taken
 *
 * What the words rest on, each shown by a -D: STALE_WORD (the guest has run on at the source after the switch-over, and is given to
 * the destination all the same), AUTOSTART (the host that comes back had KEPT, and starts it), EXPORT_RESTART (the export node's tgtd is started
 * again and lets everybody in, for 5 s at most).
 *
 * Mistakes, each a -D: GRANT_UNASKED, CLOSE_LATE, OPEN_UNASKED, OPEN_ALONE, GRANT_UNTOLD, GRANT_FORGOTTEN, NO_SECOND_LOOK, LOST_IS_KEPT,
 * KEPT_STAYS, COLD_RUNS_IMAGE, COLD_FORGOTTEN, WORD_UNWRITTEN, TAKE_UNASKED, TAKE_COLD, TAKEN_FORGOTTEN,
 * SAID_COLD_FORGOTTEN (with five faults at once). The code had KEPT_STAYS (a source that had KEPT and did not come back in time: its definition stayed at both hosts,
 * and a lost image was never started again) and OPEN_ALONE (a copy left at the source, alone since the one at the destination had
 * ended, was let in at the disks that the other had written) until this model found them. */
#ifndef FAULTS
#define FAULTS 2
#endif

mtype = { TRANSFER, SETTLING, ABORTING, ACTIVATING, RELEASING, COLD_START, ABORTED, DONE };
mtype = { NONE, MIGRATING, KEPT, FENCED, COLD, RELEASED, PREPARED, OWNER, ACTIVATED, TOMBSTONE };
mtype = { OFF, OFF_MIGRATED, INCOMING, PAUSED, RUN };
mtype = { NO_JOB, COPYING, SWITCHED, COMMITTED };

#define SETTLE 1
#define LEARN 2 /* SETTLE, and that it was granted */
#define ABORT 4
#define ACTIVATE 8
#define RELEASE_S 16
#define RELEASE_D 32
#define START 64
#define ACTIVATE_COLD 128 /* by a word that is not for the memory */
#define IS_KEPT 1
#define IS_GONE 2
#define RUNS 4
#define LOST 8
#define ABORT_OK 16
#define RELEASED_S 32
#define RELEASED_D 64
#define START_OK 128

short sent = 0, back = 0;
bool mesh = false, mesh_cold = false;
byte faults = FAULTS;

mtype c = TRANSFER;
bool said = false; /* `word`, in the source's answer */
bool spoken = false; /* that word: an operator does not take it back */
bool started = false, granted = false, knows = false, given_up = false;
bool said_cold = false; /* that such a word was spoken, in the journal before it was sent */
bool taken = false, gone_there = false; /* the mirror image: from the destination, which never comes back */
bool closing = false; /* the order to close is out, or was answered */
byte orders = 2;      /* an operator tries it again */

mtype vm[2];
bool stale[2];  /* its memory is older than the disks */
bool up = true, on = true, reach = true; /* the source's libvirtd; its power; who has its agent */
bool there = true; /* the destination's power */
mtype job = COPYING;
bool told = false, died = false, closed = false, opened = false;
bool defined[2];

mtype S = MIGRATING, D = PREPARED;
bool word = false;   /* the source is FENCED by an operator's word, which is not for the memory */
bool held = true, from_disks = false, ended = false; /* the destination's manifest */

#define IS_OFF(h) (vm[h] == OFF || vm[h] == OFF_MIGRATED)
#define ALIVE(h) (!IS_OFF(h))
#define OPEN (!closed || opened) /* the storage, to the source */
#define AWAY (told || (up && vm[0] == OFF_MIGRATED))
#define HERE (on && reach)
#define GOT(m, a) (HERE && (sent & (m)) && !(back & (a)))
#define MAY_SAY(a) if :: back = back | (a) :: faults > 0 -> faults--; printf("F9 before the answer\n"); reach = false fi

inline stales(h) /* the other one writes */
{
    if :: ALIVE(h) -> stale[h] = true :: else fi
}

inline writes(h)
{
    if
    :: h == 1 || OPEN -> assert(!stale[h]); stales(1 - h)
    :: else
    fi
}

inline ends(h)
{
    vm[h] = OFF; stale[h] = false
}

inline runs(h)
{
    vm[h] = RUN;
    writes(h)
}

inline source_is(state)
{
    told = told && state == MIGRATING;
    S = state
}

#define ITS_THERE (defined[1] || (IS_OFF(0) && vm[1] == PAUSED && !stale[1]))
#define LEFT_BEHIND (vm[0] == PAUSED && job == NO_JOB)

proctype Source()
{
end:
    do
    :: atomic { GOT(SETTLE, IS_KEPT | IS_GONE) && S == MIGRATING && up && ALIVE(0) && !AWAY && job == NO_JOB ->
        printf("S8\n"); source_is(KEPT); MAY_SAY(IS_KEPT) }
    :: atomic { GOT(SETTLE, IS_KEPT | IS_GONE) && (S == MIGRATING || S == NONE) && AWAY ->
        if :: S == NONE -> printf("S24\n") :: else -> printf("S9\n") fi;
        source_is(FENCED); MAY_SAY(IS_GONE) }
    :: atomic { GOT(SETTLE, IS_KEPT | IS_GONE) && S == NONE && !granted && up && vm[0] == RUN && job == NO_JOB ->
        printf("S24\n"); source_is(KEPT); MAY_SAY(IS_KEPT) }
    :: atomic { GOT(SETTLE, IS_KEPT) && !granted && S == KEPT -> printf("S10\n"); back = back | IS_KEPT }
    :: atomic { GOT(SETTLE | LEARN, IS_GONE) && (S == FENCED || S == RELEASED || S == COLD) -> printf("S11\n"); said = word; back = back | IS_GONE }
    :: atomic { on && S == MIGRATING && AWAY -> printf("S12\n"); source_is(FENCED) }
    :: atomic { HERE && S == FENCED && !word && !mesh -> printf("S13\n"); mesh = true }
    :: atomic { HERE && S == FENCED && word && !mesh_cold -> printf("S13\n"); mesh_cold = true }
    :: atomic { on && S == KEPT && up && vm[0] == PAUSED && job == NO_JOB -> printf("S14\n"); runs(0) }
    /* An operator's word, to a source that can be asked. */
    :: atomic { GOT(SETTLE, IS_KEPT | IS_GONE) && c == SETTLING && !granted && (S == MIGRATING || S == NONE) && up && job == NO_JOB && !AWAY &&
        (IS_OFF(0) || (S == NONE && vm[0] == PAUSED)) -> printf("S22\n");
        if
        :: ITS_THERE -> source_is(FENCED); back = back | IS_GONE
        :: (IS_OFF(0) && vm[1] == PAUSED) || spoken -> spoken = true; word = true; said = true; said_cold = true; source_is(FENCED); back = back | IS_GONE
        :: !ITS_THERE && !spoken -> source_is(KEPT); back = back | IS_KEPT;
            if :: vm[0] == PAUSED -> runs(0) :: else -> died = true fi
        fi }
    /* It is told that the guest was given away. */
    :: atomic { GOT(LEARN, IS_GONE) && (S == NONE || S == MIGRATING || S == KEPT) && up && IS_OFF(0) && job == NO_JOB -> printf("S23\n");
        if
#ifdef KEPT_STAYS
        :: S == KEPT -> skip
#endif
#ifdef LOST_IS_KEPT
        :: S == NONE -> source_is(KEPT)
#endif
        :: else -> source_is(FENCED)
        fi;
        MAY_SAY(IS_GONE) }
    :: atomic { GOT(RELEASE_S, RELEASED_S) && (S == FENCED || S == NONE) && up && (IS_OFF(0) || (S == FENCED && LEFT_BEHIND)) ->
        printf("S16\n"); ends(0); defined[0] = false; source_is(RELEASED); MAY_SAY(RELEASED_S) }
    :: atomic { GOT(RELEASE_S, RELEASED_S) && (S == RELEASED || S == KEPT || S == COLD) -> printf("S17\n"); back = back | RELEASED_S }
    :: atomic { GOT(START, START_OK) && (S == FENCED || S == NONE) && up && OPEN && (IS_OFF(0) || (S == FENCED && LEFT_BEHIND)) -> /* no QEMU starts without its disks */
        printf("S18\n"); assert(died); ends(0); source_is(COLD); runs(0); MAY_SAY(START_OK) }
    :: atomic { GOT(START, START_OK) && S == COLD && up -> printf("S19\n");
        if :: IS_OFF(0) -> ends(0); runs(0) :: else fi;
        back = back | START_OK }
#ifdef WORD_UNWRITTEN
    :: atomic { faults > 0 && on && word -> printf("F1\n"); faults--; word = false }
#endif
    :: atomic { faults > 0 && on && told -> printf("F1\n"); faults--; told = false }
    :: atomic { faults > 0 && S != NONE && S != COLD && S != RELEASED && !(S == KEPT && vm[0] == PAUSED) -> printf("F6\n"); faults--; told = false; word = false; S = NONE }
    od
}

proctype Destination()
{
    bool activating;
end:
    do
    :: atomic { there && ((sent & ACTIVATE) || mesh) && D == PREPARED && (vm[1] == PAUSED || vm[1] == RUN) ->
        printf("D7\n"); assert(granted || S == FENCED || S == RELEASED || S == NONE);
        D = OWNER; defined[1] = true;
        if
        :: vm[1] == PAUSED -> runs(1)
        :: else
        fi;
        D = ACTIVATED; back = back | RUNS }
    :: atomic { there && ((sent & ACTIVATE) || mesh) && D == PREPARED && IS_OFF(1) ->
        printf("D8\n"); D = TOMBSTONE; held = false; defined[1] = false; back = back | LOST }
    :: atomic { there && ((sent & ACTIVATE_COLD) || mesh_cold) && D == PREPARED && (vm[1] == PAUSED || IS_OFF(1)) ->
        printf("D18\n"); assert(granted || S == FENCED || S == RELEASED || S == NONE);
#ifdef COLD_RUNS_IMAGE
        if :: vm[1] == PAUSED -> runs(1); ended = true :: else fi;
#endif
        D = OWNER; from_disks = true; defined[1] = true }
    :: atomic { there && D == OWNER && from_disks && !ended -> printf("D19 ends it\n"); died = true; ends(1); ended = true }
    :: atomic { there && D == OWNER && from_disks && ended && IS_OFF(1) -> printf("D19 starts it\n"); runs(1) }
    :: atomic { there && D == OWNER && from_disks && ended && vm[1] == RUN -> printf("D19\n"); D = ACTIVATED; back = back | RUNS }
    :: atomic { there && (sent & (ACTIVATE | ACTIVATE_COLD)) && !(back & RUNS) && (D == ACTIVATED || D == RELEASED) -> printf("D9\n"); back = back | RUNS }
    :: atomic { there && (sent & (ACTIVATE | ACTIVATE_COLD)) && !(back & LOST) && D == TOMBSTONE -> printf("D10\n"); back = back | LOST }
    :: atomic { there && (sent & ABORT) && !(back & ABORT_OK) && (D == PREPARED || (D == TOMBSTONE && held)) -> printf("D5\n"); D = TOMBSTONE;
        if
        :: vm[1] != RUN -> ends(1); held = false; back = back | ABORT_OK
        :: else
        fi }
    :: atomic { there && (sent & ABORT) && !(back & ABORT_OK) && D == TOMBSTONE && !held -> printf("D6\n"); back = back | ABORT_OK }
    /* It is told that the guest was taken back. */
    :: atomic { there && (sent & ABORT) && taken && !(back & ABORT_OK) && (D == OWNER || D == ACTIVATED) && IS_OFF(1) -> printf("D20\n");
        D = TOMBSTONE; held = false; defined[1] = false; back = back | ABORT_OK }
    :: atomic { there && (sent & RELEASE_D) && !(back & RELEASED_D) && D == ACTIVATED -> printf("D12\n"); D = RELEASED; back = back | RELEASED_D }
    :: atomic { there && (sent & RELEASE_D) && !(back & RELEASED_D) && (D == RELEASED || D == TOMBSTONE) -> printf("D13\n"); back = back | RELEASED_D }
    od
}

#define TELL(m) sent = sent | (m)
#define HEARD(a) (back & (a))
#ifdef GRANT_UNTOLD
#define MUST_LEARN false
#else
#define MUST_LEARN (granted && !knows)
#endif
/* driver_resolve.c, may_grant: its agent can't be asked, and the image is complete. */
#ifdef GRANT_UNASKED
#define IMAGE_THERE true
#else
#define IMAGE_THERE (there && vm[1] == PAUSED)
#endif
#define MAY_GRANT (c == SETTLING && !HERE && IMAGE_THERE)
#ifdef STALE_WORD
#define TRUE_WORD true
#else
#define TRUE_WORD !stale[1]
#endif
#ifdef NO_SECOND_LOOK
#define STILL (c == SETTLING && TRUE_WORD)
#else
#define STILL (MAY_GRANT && TRUE_WORD) /* the word is of all the time until the storage was closed */
#endif

inline grant()
{
    c = ACTIVATING; granted = true; TELL(ACTIVATE)
}

/* The source has given it up, and the destination is off: the same the other way round, as if the image were lost there. Not where it was
 * told to start the guest from its disks: that it does whenever it comes back. */
#ifdef TAKE_UNASKED
#define OFF_THERE (!there || faults > 0)
#else
#define OFF_THERE !there
#endif
#ifdef TAKE_COLD
#define TOLD_COLD false
#else
#define TOLD_COLD ((sent & ACTIVATE_COLD) || said_cold)
#endif
#define MAY_TAKE (c == ACTIVATING && !granted && OFF_THERE && !TOLD_COLD)

/* From the disks: no word of how old the image is. */
#define MAY_GRANT_COLD (c == SETTLING && !HERE && there && (vm[1] == PAUSED || IS_OFF(1)))
inline grant_cold()
{
    c = ACTIVATING; granted = true; TELL(ACTIVATE_COLD)
}

/* The storage is open to the source again: a copy there writes. */
inline open()
{
    printf("X2\n");
    if :: vm[0] == RUN -> writes(0) :: else fi
}

proctype Coordinator()
{
end:
    do
    :: atomic { c == TRANSFER -> printf("C5\n"); c = SETTLING; TELL(SETTLE) }
    :: atomic { c == SETTLING && HEARD(IS_KEPT) -> printf("C6\n"); c = ABORTING; TELL(ABORT) }
    :: atomic { c == SETTLING && HEARD(IS_GONE) -> printf("C7\n"); c = ACTIVATING;
        if :: said -> TELL(ACTIVATE_COLD) :: else -> TELL(ACTIVATE) fi }
    :: atomic { c == ACTIVATING && HEARD(RUNS) -> printf("C8\n"); c = RELEASING; TELL(RELEASE_D);
        if :: MUST_LEARN -> TELL(LEARN) :: else -> TELL(RELEASE_S) fi }
    :: atomic { c == ACTIVATING && HEARD(LOST) -> printf("C9\n"); c = COLD_START;
        if :: MUST_LEARN -> TELL(LEARN) :: else -> TELL(START) fi }
    :: atomic { c == RELEASING && MUST_LEARN && HEARD(IS_GONE) -> printf("C18\n"); knows = true; TELL(RELEASE_S) }
    :: atomic { c == COLD_START && MUST_LEARN && !started && HEARD(IS_GONE) -> printf("C18\n"); knows = true; TELL(START) }
    :: atomic { c == COLD_START && HEARD(START_OK) && !started -> printf("C10\n"); started = true; TELL(ABORT) }
    :: atomic { c == ABORTING && (HEARD(ABORT_OK) || gone_there) -> printf("C11\n"); c = ABORTED }
    :: atomic { c == RELEASING && (HEARD(RELEASED_S) || given_up) && (HEARD(RELEASED_D) || gone_there) -> printf("C12\n"); c = DONE }
    :: atomic { c == COLD_START && started && (HEARD(ABORT_OK) || gone_there) -> printf("C13\n"); c = DONE }
    :: atomic { faults > 0 && c != DONE && c != ABORTED -> printf("F2 C15\n"); faults--; back = 0; said = false; closing = false; knows = false; given_up = false; gone_there = false;
#ifdef TAKEN_FORGOTTEN
        taken = false;
#endif
#ifdef SAID_COLD_FORGOTTEN
        said_cold = false;
#endif
#ifdef GRANT_FORGOTTEN
        granted = false;
#endif
#ifdef COLD_FORGOTTEN
        if :: c == ACTIVATING -> TELL(ACTIVATE) :: else fi;
#endif
        if :: c == TRANSFER -> c = SETTLING; TELL(SETTLE) :: else fi }
    /* --source-is-off: it has no QEMU of it, and gets none. */
    :: atomic { MAY_GRANT && TRUE_WORD && !closed && IS_OFF(0) -> printf("C16\n"); grant() }
    :: atomic { MAY_GRANT_COLD && !closed && IS_OFF(0) -> printf("C16\n"); grant_cold() }
    :: atomic { c == RELEASING && !HEARD(RELEASED_S) && !on && !given_up -> printf("C17\n"); given_up = true }
    /* --destination-is-off. */
    :: atomic { MAY_TAKE -> printf("C24\n"); c = COLD_START; taken = true; TELL(START) }
    :: atomic { (c == ABORTING || c == RELEASING || (c == COLD_START && started)) && !there && !gone_there -> printf("C25\n"); gone_there = true }
    /* --fence: planned, closed, looked at once more, and granted or opened again. */
    :: atomic { MAY_GRANT && !closing && !closed && orders > 0 -> printf("C21\n"); orders--; closing = true;
#ifdef CLOSE_LATE
        if :: TRUE_WORD -> grant() :: else fi
#endif
        }
    :: atomic { closing && !closed -> printf("X1\n"); closed = true }
    :: atomic { closing && closed && STILL -> printf("C22\n"); closing = false; grant() }
    :: atomic { closing && closed && MAY_GRANT_COLD -> printf("C22\n"); closing = false; grant_cold() }
    :: atomic { closing && closed && !STILL -> printf("C22\n"); closing = false;
#ifdef CLOSE_LATE
        if :: granted -> skip :: else -> closed = false fi
#else
        closed = false; open()
#endif
        }
    od
}

/* drover fence release. */
#ifdef OPEN_UNASKED
#define MAY_OPEN true
#else
#ifdef OPEN_ALONE
#define MAY_OPEN ((HERE && IS_OFF(0)) || (HERE && IS_OFF(1)) || !on)
#else
#define MAY_OPEN ((HERE && IS_OFF(0)) || (HERE && IS_OFF(1) && (!granted || started)) || !on)
#endif
#endif

proctype Operator()
{
end:
    do
    :: atomic { closed && !closing && MAY_OPEN -> printf("C23\n"); closed = false; opened = false; open() }
    /* Told that a QEMU is there, of a guest that was given away. */
    :: atomic { HERE && granted && (c == RELEASING || c == COLD_START || c == DONE) && ALIVE(0) && S != COLD && job == NO_JOB ->
        printf("O ends the copy at the source\n"); ends(0) }
    od
}

/* Finish's answer is lost, or the job fails before: libvirt resumes the guest at the source. */
inline fail_job()
{
    if :: vm[1] == INCOMING -> ends(1) :: else fi;
    if :: vm[0] == PAUSED -> runs(0) :: else fi;
    job = NO_JOB
}

proctype Libvirt()
{
end:
    do
    :: atomic { job == COPYING && vm[1] == INCOMING -> printf("L2\n"); vm[0] = PAUSED; vm[1] = PAUSED; job = SWITCHED }
    :: atomic { job == SWITCHED && reach && ALIVE(1) -> printf("L3\n"); job = COMMITTED }
    :: atomic { job == COMMITTED && on && up -> printf("L4\n"); vm[0] = OFF_MIGRATED; stale[0] = false; job = NO_JOB; told = (S == MIGRATING) }
    :: atomic { job == COPYING || job == SWITCHED -> printf("L5\n"); fail_job() }
    :: atomic { faults > 0 && reach && on && job != NO_JOB -> printf("F9 cut off\n"); faults--; reach = false }
    :: atomic { faults > 0 && reach && on && c != TRANSFER -> printf("F9 cut off\n"); faults--; reach = false }
    :: atomic { faults > 0 && on -> printf("F8 power\n"); faults--;
        on = false; reach = false; told = false;
        if :: vm[1] == INCOMING -> ends(1) :: else fi;
        if :: ALIVE(0) && !stale[0] && job != COMMITTED -> died = true :: else fi; /* of two images the one that is left may be the one to go */
        ends(0); job = NO_JOB }
    :: atomic { faults > 0 && there -> printf("F8 power 1\n"); faults--;
        there = false;
        if :: ALIVE(1) && !stale[1] && (vm[0] != RUN || stale[0] || !OPEN) -> died = true :: else fi;
        ends(1);
        if :: job == SWITCHED -> fail_job() :: else fi }
    :: atomic { faults > 0 && on && up -> printf("F4 libvirtd\n"); faults--;
        if
        :: job == COPYING -> fail_job()
        :: job == SWITCHED -> job = NO_JOB /* left behind, paused */
        :: job == COMMITTED -> vm[0] = OFF; job = NO_JOB
        :: job == COMMITTED -> job = NO_JOB
        :: else
        fi;
        if :: vm[0] == OFF_MIGRATED -> vm[0] = OFF :: else fi;
        up = false }
    :: atomic { faults > 0 && (vm[0] == RUN || vm[0] == PAUSED) && job != COMMITTED -> printf("F5 QEMU 0\n"); faults--;
        if :: !stale[0] -> died = true :: else fi;
        if :: vm[1] == INCOMING -> ends(1) :: else fi;
        ends(0); job = NO_JOB }
    :: atomic { faults > 0 && (vm[1] == RUN || vm[1] == PAUSED) -> printf("F5 QEMU 1\n"); faults--;
        if :: !stale[1] && (vm[0] != RUN || stale[0] || !OPEN) -> died = true :: else fi;
        ends(1);
        if :: job == SWITCHED -> fail_job() :: else fi }
    :: atomic { !up -> up = true }
    /* It comes back: unless an operator has said that it never does. */
    :: atomic { !reach && on -> printf("back\n"); reach = true }
    :: atomic { !on -> printf("on again\n"); on = true; reach = true; up = true;
#ifdef AUTOSTART
        if :: defined[0] && S == KEPT -> runs(0) :: true fi /* which has given it back; before, it is off */
#endif
        }
    :: atomic { !there -> printf("on again 1\n"); there = true
#ifdef AUTOSTART
        ; if :: defined[1] && D != ACTIVATED -> runs(1) :: true fi
#endif
        }
#ifdef EXPORT_RESTART
    :: atomic { faults > 0 && closed && !opened -> printf("F10 tgtd\n"); faults--; opened = true; if :: vm[0] == RUN -> writes(0) :: else fi }
#endif
    :: atomic { opened -> printf("X3\n"); opened = false }
    od
}

#define TWO_WRITE (vm[0] == RUN && OPEN && vm[1] == RUN)
#define COPY(h) ((vm[h] == RUN || vm[h] == PAUSED) && !stale[h])
#define MEMORY_LOST (!died && !COPY(0) && !COPY(1))

proctype Watch()
{
end:
    if
    :: atomic { TWO_WRITE || MEMORY_LOST || (!defined[0] && !defined[1]) ->
        assert(!TWO_WRITE); assert(!MEMORY_LOST); assert(false) }
    :: atomic { timeout ->
        assert(c == DONE || c == ABORTED);
        assert(!closed && !closing);
        assert(gone_there || (D != PREPARED && D != OWNER && D != ACTIVATED));
        assert(given_up || gone_there || (S != MIGRATING && S != FENCED && defined[0] != defined[1]));
        assert((vm[0] == RUN && IS_OFF(1)) || (vm[1] == RUN && IS_OFF(0)) || died) }
    fi
}

init
{
    atomic {
        vm[0] = RUN; vm[1] = INCOMING; defined[0] = true;
        run Source(); run Destination(); run Libvirt(); run Coordinator(); run Operator(); run Watch()
    }
}
