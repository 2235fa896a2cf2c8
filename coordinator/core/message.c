#include "coordinator/core/message.h"

#include "common/base/memory.h"

#include <stdlib.h>
#include <string.h>

enum { LOG_KEPT_FIRST = 20 };

static const char *or_empty(const char *s)
{
    return s ? s : "";
}

void set_text(char **field, const char *text)
{
    char *old = *field;
    *field = xstrdup(or_empty(text));
    if (old && old != protobuf_c_empty_string)
        free(old);
}

void findings_add(size_t *n, Drover__V1__Finding ***list, Drover__V1__Finding *const *more, size_t n_more)
{
    if (n_more == 0)
        return;
    *list = xrealloc(*list, *n + n_more, sizeof(**list));
    for (size_t i = 0; i < n_more; i++)
        (*list)[(*n)++] = (Drover__V1__Finding *)message_copy(&more[i]->base);
}

void job_log(Drover__V1__Job *job, uint64_t now, const char *text, size_t max)
{
    if (job->n_log >= max && job->n_log > LOG_KEPT_FIRST) {
        drover__v1__job_entry__free_unpacked(job->log[LOG_KEPT_FIRST], NULL);
        memmove(&job->log[LOG_KEPT_FIRST], &job->log[LOG_KEPT_FIRST + 1],
                (job->n_log - LOG_KEPT_FIRST - 1) * sizeof(*job->log));
        job->n_log--;
    }
    Drover__V1__JobEntry *entry = new0(Drover__V1__JobEntry);
    drover__v1__job_entry__init(entry);
    entry->at = now;
    entry->text = xstrdup(text);
    job->log = xrealloc(job->log, job->n_log + 1, sizeof(*job->log));
    job->log[job->n_log++] = entry;
}
