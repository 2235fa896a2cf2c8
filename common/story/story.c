#include "common/story/story.h"

#include "common/base/memory.h"
#include "common/message/message.h"

#include <string.h>

Drover__V1__Story *story_new(uint64_t run)
{
    Drover__V1__Story *story = new0(Drover__V1__Story);
    drover__v1__story__init(story);
    story->run = run;
    return story;
}

Drover__V1__Story *story_free(Drover__V1__Story *story)
{
    drover__v1__story__free_unpacked(story, NULL);
    return NULL;
}

void story_foretell(Drover__V1__Story *story, const Drover__V1__Forecast *forecast)
{
    drover__v1__forecast__free_unpacked(story->forecast, NULL);
    story->forecast = (Drover__V1__Forecast *)message_copy(&forecast->base);
}

const Drover__V1__Decision *story_decide(Drover__V1__Story *story, uint64_t at, const char *text)
{
    size_t n = story->n_decisions;
    Drover__V1__Decision *d = new0(Drover__V1__Decision);
    drover__v1__decision__init(d);
    d->number = n ? story->decisions[n - 1]->number + 1 : 1;
    d->at = at;
    d->text = xstrdup(text);
    if (n == STORY_KEPT) {
        drover__v1__decision__free_unpacked(story->decisions[STORY_KEPT_FIRST], NULL);
        n--;
        memmove(&story->decisions[STORY_KEPT_FIRST], &story->decisions[STORY_KEPT_FIRST + 1],
                (n - STORY_KEPT_FIRST) * sizeof(*story->decisions));
    }
    story->decisions = xrealloc(story->decisions, n + 1, sizeof(*story->decisions));
    story->decisions[n] = d;
    story->n_decisions = n + 1;
    return d;
}

void story_pass(size_t *n, Drover__V1__Progress ***list, const Drover__V1__Progress *p)
{
    const Drover__V1__Progress *last = *n ? (*list)[*n - 1] : NULL;
    if (!p->bytes_total || (last && last->iteration == p->iteration && last->paused == p->paused &&
                            last->post_copy == p->post_copy))
        return;
    if (*n == STORY_KEPT) {
        drover__v1__progress__free_unpacked((*list)[STORY_KEPT_FIRST], NULL);
        (*n)--;
        memmove(&(*list)[STORY_KEPT_FIRST], &(*list)[STORY_KEPT_FIRST + 1],
                (*n - STORY_KEPT_FIRST) * sizeof(**list));
    }
    *list = xrealloc(*list, *n + 1, sizeof(**list));
    (*list)[(*n)++] = (Drover__V1__Progress *)message_copy(&p->base);
}
