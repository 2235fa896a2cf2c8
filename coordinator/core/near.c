#include "coordinator/core/near.h"

#include "common/base/memory.h"
#include "coordinator/core/text.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST = 63 }; /* longer names are compared by their first 63 characters */

/* Levenshtein's distance, where a swap of neighbours counts as one and case as none. */
static size_t distance(const char *a, const char *b)
{
    size_t la = strnlen(a, LONGEST), lb = strnlen(b, LONGEST);
    size_t row[3][LONGEST + 1];
    for (size_t j = 0; j <= lb; j++)
        row[0][j] = j;
    for (size_t i = 1; i <= la; i++) {
        size_t *now = row[i % 3], *above = row[(i + 2) % 3], *two_above = row[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            int ca = tolower((unsigned char)a[i - 1]), cb = tolower((unsigned char)b[j - 1]);
            size_t best = above[j - 1] + (ca != cb);
            if (above[j] + 1 < best)
                best = above[j] + 1;
            if (now[j - 1] + 1 < best)
                best = now[j - 1] + 1;
            if (i > 1 && j > 1 && ca == tolower((unsigned char)b[j - 2]) &&
                cb == tolower((unsigned char)a[i - 2]) && two_above[j - 2] + 1 < best)
                best = two_above[j - 2] + 1;
            now[j] = best;
        }
    }
    return row[la % 3][lb];
}

struct near near_to(const char *wanted)
{
    return (struct near){.wanted = wanted};
}

void near_offer(struct near *near, const char *name)
{
    size_t d = distance(near->wanted, name);
    if (d > 1 + strlen(near->wanted) / 4)
        return;
    for (size_t i = 0; i < near->n; i++)
        if (streq(near->names[i], name))
            return;
    size_t at = near->n;
    while (at > 0 && near->distance[at - 1] > d)
        at--;
    if (at == NEAR_MAX)
        return;
    if (near->n < NEAR_MAX)
        near->n++;
    for (size_t i = near->n - 1; i > at; i--) {
        near->names[i] = near->names[i - 1];
        near->distance[i] = near->distance[i - 1];
    }
    near->names[at] = name;
    near->distance[at] = d;
}

char *near_text(const struct near *near)
{
    char *text = NULL;
    for (size_t i = 0; i < near->n; i++)
        text_append(&text, ", ", "%s", near->names[i]);
    return text;
}
