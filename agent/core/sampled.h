/* What is kept of a guest's dirty samples: those of the last try that came whole. Pure. */
#pragma once

#include "common/model/model.h"

enum { SAMPLED_WINDOWS = 2 };

struct sampled {
    int64_t tried_ms; /* monotonic */
    int64_t at_ms;    /* of what is kept */
    unsigned n;       /* windows, all or none */
    int64_t resident; /* bytes of its memory that it has touched; 0: not known */
    struct model_window windows[SAMPLED_WINDOWS];
};

/* `got`: its windows and `resident`. What was broken off or failed leaves what is known as it is; what was given up for a migration was
 * no try, so that it comes again soon. True if there is something new. */
bool sampled_learn(struct sampled *known, const struct sampled *got, bool given_up, int64_t now_ms);
