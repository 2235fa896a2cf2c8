#include "agent/core/stop.h"

enum {
    NOISE = 4096, /* bytes: QEMU counts marks, too */
    GROWN = 3     /* samples: the pass of a switch-over, an event, may come behind one or two of them */
};

void stop_begins(struct stop *s)
{
    s->state = STOP_OPEN;
    s->sent = -1;
    s->grown = 0;
}

void stop_ends(struct stop *s)
{
    s->state = STOP_NONE;
}

void stop_pass(struct stop *s)
{
    s->passes = true;
    if (s->state == STOP_OPEN)
        s->state = STOP_SWITCH_OVER;
    else if (s->state == STOP_SWITCH_OVER)
        s->state = STOP_OTHER;
}

void stop_sample(struct stop *s, bool paused, int64_t total, int64_t sent)
{
    if (s->state == STOP_NONE && paused)
        stop_begins(s);
    if (s->state != STOP_OPEN || !paused)
        return;
    if (total == 0)
        s->state = STOP_OTHER;
    else if (s->sent < 0)
        s->sent = sent;
    else if (s->passes && sent - s->sent > NOISE) {
        s->sent = sent;
        if (++s->grown == GROWN)
            s->state = STOP_OTHER;
    }
}
