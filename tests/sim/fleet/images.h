/* What becomes of a guest's disks that are copied with it. All of them do nothing of a guest whose disks the hosts share. */
#pragma once

#include "world.h"

void images_init(struct world *w);
/* PREPARE: nothing is in the way. */
bool images_vote(const struct world *w, int host, enum participant_role role);
/* The vote: the destination makes empty ones. */
void images_prepared(struct world *w, int host, struct record *record, bool yes);
/* MIGRATE of a guest that is shut off. False: they have not all come. */
bool images_send(struct world *w, int source, int txn);
/* libvirt's job has switched over. */
void images_switched(struct world *w, int source);
/* The guest runs there from now on, and writes. */
void images_run(struct world *w, int host);
/* What is missing can't be opened: a guest does not start from it. */
bool images_can_start(const struct world *w, int host);
bool images_are_incomplete(const struct world *w, const struct record *record);
void images_stepped(const struct world *w, struct record *record, enum participant_state first);
/* Deeds. `abort`: it is for an ABORT. */
void images_undo(struct world *w, int host, struct record *record, bool abort);
void images_put_aside(struct world *w, int host, const struct record *record);
/* design.md: no image is removed that a domain uses; and none that holds what is nowhere else. */
void images_check(struct world *w);
