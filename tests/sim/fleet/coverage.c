#include "coverage.h"

#include "world.h"

static const char *const names[SEEN_KINDS] = {
    [SEEN_LOST] = "message lost",
    [SEEN_ANSWER_LOST] = "answer lost",
    [SEEN_LATE] = "message or answer late by up to 90 s",
    [SEEN_REPEATED] = "message repeated",
    [SEEN_REORDERED] = "message overtaken by a later one",
    [SEEN_NOBODY_LISTENS] = "message to an agent that is down",
    [SEEN_CUT] = "network cut",
    [SEEN_HEALED] = "network healed",
    [SEEN_COORDINATOR_DIED] = "coordinator died",
    [SEEN_COORDINATOR_DIED_UNWRITTEN] = "coordinator died before it had journalled",
    [SEEN_COORDINATOR_DIED_UNSENT] = "coordinator died between journal and send",
    [SEEN_COORDINATOR_DIED_HALF_SENT] = "coordinator died between two sends",
    [SEEN_AGENT_DIED] = "agent died",
    [SEEN_AGENT_DIED_UNWRITTEN] = "agent died between look and write",
    [SEEN_AGENT_DIED_WRITTEN] = "agent died between write and deed",
    [SEEN_AGENT_DIED_UNSAID] = "agent died before it answered",
    [SEEN_HOST_DIED] = "host lost its power",
    [SEEN_TAKEN_OVER] = "two coordinators at once",
    [SEEN_DEPOSED_REFUSED] = "older epoch refused",
    [SEEN_WRITE_REFUSED] = "agent's write failed",
    [SEEN_WRITE_UNSURE] = "agent's write failed after it came through",
    [SEEN_WRITE_UNDONE] = "agent's unsynced write lost",
    [SEEN_RECORD_TORN] = "agent's record torn",
    [SEEN_FENCE_TORN] = "agent's fence torn",
    [SEEN_RESTORED] = "agent's directory restored from yesterday",
    [SEEN_AGENT_DISK_FULL] = "agent's disk full",
    [SEEN_JOURNAL_REFUSED] = "journal's commit failed",
    [SEEN_JOURNAL_UNSURE] = "journal's commit failed after it came through",
    [SEEN_JOURNAL_FULL] = "journal's disk full",
    [SEEN_BALLAST] = "journal written into the ballast's room",
    [SEEN_TIDIED] = "record tidied away",
    [SEEN_COPIED] = "disks copied",
    [SEEN_COPIED_OFF] = "disks of a guest that is shut off copied",
    [SEEN_COPIED_HALF] = "the same, cut short",
    [SEEN_PUT_ASIDE] = "source's images put aside",
    [SEEN_CLOCK_FORWARD] = "wall clock jumped forward",
    [SEEN_CLOCK_BACK] = "wall clock jumped back",
    [SEEN_DAY] = "a day passed, by every clock",
    [SEEN_AGENT_STALLED] = "agent stood still",
    [SEEN_COORDINATOR_STALLED] = "coordinator stood still",
    [SEEN_CANCELLED] = "cancelled",
    [SEEN_SAID_SOURCE] = "operator said: source",
    [SEEN_SAID_DESTINATION] = "operator said: destination",
    [SEEN_SAID_COLD] = "operator said: destination, from its disks",
    [SEEN_GRANTED] = "operator gave the guest to the destination",
    [SEEN_GRANTED_COLD] = "the same, from its disks",
    [SEEN_TAKEN_BACK] = "operator took the guest back to the source",
    [SEEN_TAKEN_BACK_OWNED] = "the same, of a destination that had taken it over",
    [SEEN_BY_HAND] = "operator ended or ran a guest by hand",
    [SEEN_SUSPENDED] = "operator paused the guest in mid-transfer",
    [SEEN_PAUSE_NOTED] = "that is in the source's record",
    [SEEN_PAUSED_ANEW] = "a paused guest that libvirt let run is paused",
    [SEEN_IMAGE_RESUMED] = "operator resumed an image that waits",
    [SEEN_SECOND_ENDED] = "such a second copy is ended",
    [SEEN_LADDER_PAUSED] = "the ladder paused the guest",
    [SEEN_AUTOSTARTED] = "host that booted has started the guest",
    [SEEN_STOPPED] = "job stopped",
    [SEEN_FINISH_LOST] = "Finish's answer lost",
    [SEEN_FINISH_LOST_LOCKED] = "the same, guest run by libvirt, disk locked",
    [SEEN_LEFT_PAUSED] = "source left paused by a libvirt that died",
    [SEEN_LOCKED] = "resume stopped by the disk's lock",
    [SEEN_POST_COPY_ASKED] = "post-copy asked for",
    [SEEN_POST_COPY_REFUSED] = "post-copy refused",
    [SEEN_POST_COPY_TOO_LATE] = "post-copy asked for too late",
    [SEEN_POST_COPY_FAILED] = "job failed before post-copy began",
    [SEEN_POST_COPY_BEGUN] = "post-copy begun",
    [SEEN_POST_COPY_BROKEN] = "post-copy's stream broken",
    [SEEN_POST_COPY_TAKEN_UP] = "post-copy taken up again",
    [SEEN_POST_COPY_DONE] = "post-copy done",
    [SEEN_POST_COPY_UNFINISHED] = "post-copy done, Finish's answer lost",
    [SEEN_POST_COPY_SOURCE_DIED] = "source's QEMU died in post-copy",
    [SEEN_POST_COPY_DESTINATION_DIED] = "destination's QEMU died in post-copy",
    [SEEN_POST_COPY_DOUBT] = "settle in doubt in post-copy",
};

void coverage_transaction(struct coverage *c, enum txn_state from, enum txn_state to)
{
    if (from == to)
        return;
    if (from == TXN_SETTLING &&
        to == TXN_ABORTED) { /* nobody has to forget anything: two moves in one step */
        c->transaction[from][TXN_ABORTING]++;
        from = TXN_ABORTING;
    }
    c->transaction[from][to]++;
}

void coverage_add(struct coverage *sum, const struct coverage *more)
{
    uint64_t *s = (uint64_t *)sum;
    const uint64_t *m = (const uint64_t *)more;
    for (size_t i = 0; i < sizeof(*sum) / sizeof(*s); i++)
        s[i] += m[i];
}

static bool print(const char *kind, const char *what, uint64_t n)
{
    printf("%-12s %-55s %12llu%s\n", kind, what, (unsigned long long)n, n ? "" : "  NEVER");
    return n > 0;
}

/* `excused`: a bit per phase, of the destination's. */
static bool print_deaths(const char *what, const uint64_t died[2][COVERAGE_JOB_PHASES], unsigned excused)
{
    static const char *const phases[COVERAGE_JOB_PHASES] = {
        [JOB_NONE] = "no job",         [JOB_BEGIN] = "begin",       [JOB_COPY] = "copy",
        [JOB_POST_COPY] = "post-copy", [JOB_SWITCHED] = "switched", [JOB_RUNS] = "running there",
        [JOB_COMMITTED] = "committed",
    };
    bool good = true;
    char text[80];
    for (int d = 0; d < 2; d++)
        for (int p = 0; p < COVERAGE_JOB_PHASES; p++) {
            snprintf(text, sizeof(text), "%s's %s, job: %s", d ? "destination" : "source", what, phases[p]);
            if (!(d && excused & 1u << p))
                good &= print("died", text, died[d][p]);
        }
    return good;
}

bool coverage_print(const struct coverage *c)
{
    bool good = true;
    char text[80];
    for (int i = 0; i < SEEN_KINDS; i++)
        good &= print("fault", names[i], c->seen[i]);
    good &= print_deaths("libvirt", c->libvirt_died, 0);
    good &= print_deaths("QEMU", c->qemu_died, 1u << JOB_BEGIN); /* there is none yet */
    for (int from = 0; from < TXN_N_STATES; from++)
        for (int to = 0; to < TXN_N_STATES; to++)
            if (txn_may_move((enum txn_state)from, (enum txn_state)to)) {
                snprintf(text, sizeof(text), "%s -> %s", txn_state_name((enum txn_state)from),
                         txn_state_name((enum txn_state)to));
                good &= print("transaction", text, c->transaction[from][to]);
            }
    for (int role = 0; role < 2; role++)
        for (int from = 0; from < PARTICIPANT_STATES; from++)
            for (int to = 0; to < PARTICIPANT_STATES; to++)
                if (from != to &&
                    participant_may_move((enum participant_role)role, (enum participant_state)from,
                                         (enum participant_state)to)) {
                    snprintf(text, sizeof(text), "%s -> %s",
                             participant_state_name((enum participant_state)from),
                             participant_state_name((enum participant_state)to));
                    good &= print(role == PARTICIPANT_SOURCE ? "source" : "destination", text,
                                  c->participant[role][from][to]);
                }
    return good;
}
