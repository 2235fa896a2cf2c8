#include "coordinator/core/plan_emptied.h"

#include "common/base/cleanup.h"
#include "common/base/memory.h"
#include "coordinator/core/message.h"
#include "coordinator/core/text.h"

#include <string.h>
#include <strings.h>

typedef Drover__V1__PlanStep Step;

bool plan_empties(const Drover__V1__Job *job, const char *host)
{
    size_t length = strlen(host);
    for (const char *at = job->emptied; length && *at; at += strcspn(at, ","), at += *at == ',')
        if (strcspn(at, ",") == length && strncmp(at, host, length) == 0)
            return true;
    return false;
}

static bool has_left(const Drover__V1__Job *job, const char *uuid, const char *host)
{
    for (size_t i = 0; i < job->n_steps; i++) {
        const Step *s = job->steps[i];
        if (s->state == DROVER__V1__STEP_STATE__STEP_DONE && streq(s->from, host) &&
            strcasecmp(s->guest_uuid, uuid) == 0)
            return true;
    }
    return false;
}

/* A stopover: another step of the guest, which is looked at as any, takes it away again. */
static bool goes_on(const Drover__V1__Job *job, size_t step)
{
    for (size_t i = step + 1; i < job->n_steps; i++)
        if (streq(job->steps[i]->from, job->steps[step]->to) &&
            streq(job->steps[i]->guest_uuid, job->steps[step]->guest_uuid))
            return true;
    return false;
}

static bool a_step_fills(const Drover__V1__Job *job, const char *host, bool ended)
{
    for (size_t i = 0; i < job->n_steps; i++) {
        const Step *s = job->steps[i];
        bool dropped = s->state == DROVER__V1__STEP_STATE__STEP_FAILED ||
                       s->state == DROVER__V1__STEP_STATE__STEP_SKIPPED;
        if (streq(s->from, host) && (dropped || (ended && s->state != DROVER__V1__STEP_STATE__STEP_DONE)))
            return true;
        if (streq(s->to, host) && !dropped && !goes_on(job, i))
            return true;
    }
    return false;
}

/* An agent may tell a little later that a guest has left than the end of its move is known. */
static bool somebody_is_there(const Drover__V1__Job *job, const struct fleet *fleet, const char *name)
{
    const struct fleet_host *host = fleet_host(fleet, name);
    if (!host || !host->up || !host->synced)
        return true; /* for all that is known */
    for (size_t g = 0; g < host->n_guests; g++)
        if (!has_left(job, host->guests[g].guest->uuid, name))
            return true;
    return false;
}

void plan_emptied_check(Drover__V1__Job *job, const struct fleet *fleet)
{
    _cleanup_free_ char *list = xstrdup(job->emptied), *left = NULL;
    char *rest = NULL;
    for (char *name = strtok_r(list, ",", &rest); name; name = strtok_r(NULL, ",", &rest))
        if (!a_step_fills(job, name, fleet != NULL) && !(fleet && somebody_is_there(job, fleet, name)))
            text_append(&left, ",", "%s", name);
    set_text(&job->emptied, left);
}
