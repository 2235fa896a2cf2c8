/* A change of what the simulation draws shifts every seed: then `fleet-sim --break RULE` finds the next one for its line. */
#include "seeds.h"

const struct seed seeds[] = {
    {53497, SEND_FIRST,
     "MIGRATE is sent, the journal does not say so: what runs at the destination is aborted for ever"},
    {9, IGNORE_EPOCH, "a late message of a coordinator that was restarted"},
    {16, END_EARLY, "paused in mid-transfer, and its QEMU is ended"},
    {1276, NO_GENERATION, "a late PREPARE of what is over"},
    {18, ABORT_ON_TIMEOUT, "an abort of what the source has not settled"},
    {26, AUTORESUME, "Finish's answer is lost, both run"},
    {237, LEASE_DESTROYS, "a complete image is dropped by its lease"},
    {9, KEEP_UNASKED, "KEPT, and libvirt's job goes on to its end"},
    {69976, RESUME_OLD, "an old KEPT resumes what a later migration has paused"},
    {38, ACTIVATE_EARLY, "activated before it was settled"},
    {35, ACTIVATE_EARLY, "the same, and both run"},
    {2, FORGET_TRANSFER, "a lost record is taken for none"},
    {33582, RESUME_UNOWED, "yesterday's KEPT ends a pause that is not its own"},
    {3500, OLD_IMAGE, "an operator's word runs an image that is older than the disks"},
    {54, LET_RUN, "an operator's pause ends where the guest arrives"},
    {30465, GO_ON_UNSURE, "a write that failed after it came through, then a cut of the power"},
    {266, SAY_UNWRITTEN, "an answer that is not durable"},
    {32164, TIDY_BY_WALL, "a clock's jump forgets a tombstone that is still asked for"},
    /* The code's own fault, too: a refused move of a day ago was tidied up, and so overtook an older one that owed an autostart. */
    {101289339, TIDY_OWED, "the autostart that libvirt would not give back at once is lost"},
    {1, ASK_UNWRITTEN, "post-copy before the record"},
    {313, STOP_POST_COPY, "cancelled after post-copy was asked for"},
    /* The code's own fault, found when post-copy came into the simulation (participant_test.c). */
    {534, RESUME_LEFT,
     "a lock keeps the source from running, the destination runs, and the abort never ends"},
    {7253, RESUME_LEFT, "the source's libvirtd dies right after the handover, its copy is resumed: both run"},
    {338, LEAVE_BROKEN, "a broken post-copy has no end"},
    {1077, LEAVE_AUTOSTART,
     "a source that loses its power after the handover starts a second copy when it boots"},
    {11007, LOSE_COPIED,
     "shut down at the destination, and started at the source from the disks that it left with"},
    {467, UNDO_OWNED, "taken back by an operator, and its disks at the destination are removed"},
    {317, LOSE_FINISH, "libvirt's own hole: its answer is lost before post-copy began, no lock: both run"},
    {113848496, SOUND,
     "a lost record is made anew, its DEFINE fails: what was there already was undone as if it had been "
     "made"},
    {111308264, SOUND, "a late mesh ACTIVATE where the record is lost: drover free lets it go"},
    {101951073, SOUND,
     "a late PREPARE after a cut of the power that has torn record and fence: in a connection that has died "
     "with it"},
    {109363589, SOUND,
     "the destination boots and starts the guest: a pause that no record has stays what it is at the source"},
    {203029654, SOUND,
     "the same, while the source still waits: what was defined there goes when ABORT says so"},
    {202227549, SOUND,
     "a record is lost that had raised the fence to its own cold start's generation: its ACTIVATE was late "
     "for ever"},
    {207556906, SOUND,
     "an operator's promise that a host does not start the guest holds until the job has ended"},
    {209104659, SOUND,
     "paused by an operator at the switch-over, and shut off where it went: what is left at the source is "
     "ended by hand"},
};
const size_t seeds_n = sizeof(seeds) / sizeof(seeds[0]);
