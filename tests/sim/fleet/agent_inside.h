/* Shared by agent*.c. */
#pragma once

#include "world.h"

/* agent_admit.c: 0: the core is to be asked; -1: refused; 1: late, see agent_late_answer. */
int agent_admit(struct world *w, int host, const struct message *m);
enum txn_answer agent_late_answer(const struct world *w, int host, const struct message *m);
enum participant_event agent_event_of(struct world *w, int host, const struct message *m);

/* agent_say.c */
void agent_tell_peer(struct world *w, int host, int txn);
void agent_answer(struct world *w, int host, const struct message *m, enum txn_answer answer);
void agent_fail(struct world *w, int host, const struct message *m, const char *why);
void agent_end_listener(struct world *w, int host, int txn, bool succeeded);
void agent_transfer_stepped(struct world *w, int host, int txn);
