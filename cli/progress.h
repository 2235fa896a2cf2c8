/* The progress display's text: pure, from the jobs as they were last heard of. */
#pragma once

#include "proto/coordinator.pb-c.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct progress_screen {
    int columns, rows;
    bool utf8; /* else ASCII only */
};

struct progress_guest {
    const Drover__V1__Job *job; /* open */
    int64_t elapsed;            /* ms since it was made */
};

/* Writes lines, each ending in '\n' and narrower than the screen, fewer than it has rows: two per guest, or one when there
 * are many, or a summary of those that don't fit. */
void progress_draw(const struct progress_guest *guests, size_t n, const struct progress_screen *screen,
                   FILE *out);

/* Of a plan: what is done of all, then a line for each step that runs. Called by progress_draw. */
void progress_draw_plan(const struct progress_guest *plan, const struct progress_screen *screen, FILE *out);

/* "transfer, 61 %, 190 MiB sent, 98 MiB/s, dirtied at 20 MiB/s, 1.2 s left": for logs and plain output. */
void progress_line(const Drover__V1__Progress *progress, FILE *out);

/* A bar of so many columns (two more without UTF-8). */
void progress_bar(int percent, int width, bool utf8, FILE *out);

/* 0 to 100, or -1 when nothing can be said. */
int progress_percent(const Drover__V1__Progress *progress);
