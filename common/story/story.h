/* What a transfer has told so far (Story, proto/agent.proto): kept by the source's agent, so that a coordinator that was away
 * hears it with SETTLE. Pure; the coordinator keeps the passes by the same rule. */
#pragma once

#include "proto/agent.pb-c.h"

#include <stddef.h>
#include <stdint.h>

/* Of decisions and of passes; when there are more, the oldest but the first ones go. */
enum { STORY_KEPT = 60, STORY_KEPT_FIRST = 10 };

/* `run`: another one for each watch over the transfer, not 0. The caller's; story_free takes NULL and returns it. */
Drover__V1__Story *story_new(uint64_t run);
Drover__V1__Story *story_free(Drover__V1__Story *story);

/* Takes a copy. */
void story_foretell(Drover__V1__Story *story, const Drover__V1__Forecast *forecast);

/* `at`: ms since 1970. Returns what was added, which is the story's. */
const Drover__V1__Decision *story_decide(Drover__V1__Story *story, uint64_t at, const char *text);

/* A copy of the sample, into an owned list, if it is the first of a pass, of a pause or of post-copy. */
void story_pass(size_t *n, Drover__V1__Progress ***list, const Drover__V1__Progress *sample);
