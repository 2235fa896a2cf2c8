/* What the tests of commands that run an operator's command have in common: the hosts of cli_fake_fleet.c, and files in the
 * directory of its socket, which say what the hosts are like, and what the command noted. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

extern char dir[128];

void put(const char *name, const char *text, mode_t mode);
void drop(const char *name);
bool there(const char *name);

/* What the command noted: a line for each run. */
void read_noted(char noted[4096]);
void assert_noted(const char *text);

/* The operator's command: it notes whom it is run for, and does what `text` says. */
void script(const char *name, const char *text);

/* Each test begins with all files gone and every host as at first. */
int clean(void **state);

int set_up(void **state);
int tear_down(void **state);

/* In this order, wherever else there is something between them. */
void assert_in_order(const char *text, const char *const *parts);
