/* Named instants at which a test ends or stops the program: before and after each durable write, each deed and each message.
 *
 * Only a build with Meson's option `failpoints` has them (failpoint.c); any other does nothing (failpoint_off.c). There the
 * environment's DROVER_FAILPOINT is NAME:ACTION, or @FILE: a file with that in it, read at each instant and removed when it
 * has acted, so that a test chooses while the program runs. ACTION is kill (SIGKILL) or stop (SIGSTOP: the test looks, then
 * continues it). Each acts once. */
#pragma once

/* Any thread. The name is built as by printf, like "agent.source.FENCED.before_write". */
void failpoint(const char *format, ...) __attribute__((format(printf, 1, 2)));
