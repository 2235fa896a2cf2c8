/* The names nearest to one that was mistyped, for "not found" texts. */
#pragma once

#include <stddef.h>

enum { NEAR_MAX = 3 };

struct near {
    const char *wanted;
    const char *names[NEAR_MAX]; /* borrowed; nearest first */
    size_t distance[NEAR_MAX];
    size_t n;
};

struct near near_to(const char *wanted);
void near_offer(struct near *near, const char *name);

/* "web1, web2", owned by the caller; NULL when nothing is near. */
char *near_text(const struct near *near);
