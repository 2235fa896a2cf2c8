/* Shared by agent*.c. */
#pragma once

#include "images.h"

enum { AGENT_LEASE_MS = 20000 };

/* agent.c */
void agent_take(struct world *w, int host, const struct operation *op);
void agent_soon(struct world *w, int host, int64_t ms);
void agent_done(struct world *w, int host);
/* The operation fails: what is not durable is not said. */
void agent_give_up(struct world *w, int host);
/* Durable if it returns true; else the record in memory is as it was. */
bool agent_write(struct world *w, int host, int txn, enum participant_state state);

/* agent_admit.c: 0: the core is to be asked; -1: refused; 1: late, see agent_late_answer. */
int agent_admit(struct world *w, int host, const struct message *m);
enum txn_answer agent_late_answer(const struct world *w, int host, const struct message *m);
void agent_check_rights(struct world *w, int host, const struct message *m);
/* False if that can't be done now. */
bool agent_takes_up_autostart(struct world *w, int host, const struct message *m);
enum participant_event agent_next_event(struct world *w, int host, const struct operation *op);

/* agent_say.c */
void agent_tell_peer(struct world *w, int host, int txn);
void agent_answer(struct world *w, int host, const struct message *m, enum txn_answer answer);
void agent_conclude(struct world *w, int host, const struct message *m, enum participant_answer said,
                    const char *why);
void agent_fail(struct world *w, int host, const struct message *m, const char *why);
void agent_end_listener(struct world *w, int host, int txn, bool succeeded);
void agent_transfer_stepped(struct world *w, int host, int txn);
void agent_tell_later(struct world *w, int host, int txn);
void agent_tell_listener(struct world *w, int host, int txn);

/* agent_ask.c */
void agent_watch(struct world *w, int host, int txn);
void agent_ask(struct world *w, int host, int txn, bool pause);
void agent_ask_step(struct world *w, int host);

/* agent_pause.c: true if that is all for now */
bool agent_notes_pause(struct world *w, int host, const struct message *m);
void agent_strike_off(struct world *w, int host, int txn, enum participant_action done);
void agent_pause_step(struct world *w, int host);
