/* A change of what the simulation draws shifts every seed: then `fleet-sim --break RULE` finds the next one for its line. */
#include "seeds.h"

const struct seed seeds[] = {
    {13306, SEND_FIRST,
     "MIGRATE is sent, the journal does not say so, the source's record is lost: its definition stays"},
    {9, IGNORE_EPOCH, "a late message of a coordinator that was restarted"},
    {16, END_EARLY, "Finish fails, the source was to take the guest back, and its QEMU is gone"},
    {309, NO_GENERATION, "a late PREPARE of what is over"},
    {19, ABORT_ON_TIMEOUT, "an abort of what the source has not settled"},
    {143, AUTORESUME, "Finish's answer is lost, both run"},
    {203, LEASE_DESTROYS, "a complete image is dropped by its lease"},
    {9, KEEP_UNASKED, "KEPT, and libvirt's job goes on to its end"},
    {69976, RESUME_OLD, "an old KEPT resumes what a later migration has paused"},
    {8, ACTIVATE_EARLY, "activated before it was settled"},
    {35, ACTIVATE_EARLY, "the same, and both run"},
    {29, FORGET_TRANSFER, "a lost record is taken for none"},
    {33582, RESUME_UNOWED, "yesterday's KEPT ends a pause that is not its own"},
    {2266, OLD_IMAGE, "an operator's word runs an image that is older than the disks"},
    {39, LET_RUN, "an operator's pause ends where the guest arrives"},
    {26212, GO_ON_UNSURE, "a write that failed after it came through, then a cut of the power"},
    {77, SAY_UNWRITTEN, "an answer that is not durable"},
    {11802, TIDY_BY_WALL, "a clock's jump forgets a tombstone that is still asked for"},
    {13, ASK_UNWRITTEN, "post-copy before the record"},
    {153, STOP_POST_COPY, "cancelled after post-copy was asked for"},
    /* The code's own fault, found when post-copy came into the simulation (participant_test.c). */
    {273, RESUME_LEFT,
     "a lock keeps the source from running, the destination runs, and the abort never ends"},
    {7098, RESUME_LEFT, "the source's libvirtd dies right after the handover, its copy is resumed: both run"},
    {243, LEAVE_BROKEN, "a broken post-copy has no end"},
    {238, LOSE_FINISH, "libvirt's own hole: its answer is lost before post-copy began, no lock: both run"},
};
const size_t seeds_n = sizeof(seeds) / sizeof(seeds[0]);
