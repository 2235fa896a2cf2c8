/* The lower part of a terminal, redrawn in place, while finished text scrolls away above it. Keys come unbuffered and
 * unechoed from standard input; everything is put back by terminal_leave. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* True if standard input and output are this process's own terminal (in the foreground), and it can move its cursor. */
bool terminal_usable(void);
bool terminal_utf8(void);
void terminal_size(int *ret_columns, int *ret_rows);

void terminal_enter(void);
void terminal_leave(void); /* harmless if not entered; leaves what was drawn last on the screen */

/* Replaces the drawn lines (each ends in '\n') by `lines`, after `above`, which stays; either may be "". */
void terminal_draw(const char *above, const char *lines);
