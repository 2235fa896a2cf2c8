#include "coordinator/core/preflight.h"

#include "common/base/memory.h"

#include <stdlib.h>

void finding_add(struct findings *findings, const char *id, Drover__V1__Severity severity, char *subject,
                 char *seen, char *expected, char *todo)
{
    Drover__V1__Finding *f = new0(Drover__V1__Finding);
    drover__v1__finding__init(f);
    f->id = xstrdup(id);
    f->severity = severity;
    f->subject = subject;
    f->seen = seen;
    f->expected = expected;
    f->todo = todo;
    findings->list = xrealloc(findings->list, findings->n + 1, sizeof(findings->list[0]));
    findings->list[findings->n++] = f;
}

void findings_deinit(struct findings *findings)
{
    for (size_t i = 0; i < findings->n; i++)
        drover__v1__finding__free_unpacked(findings->list[i], NULL);
    free(findings->list);
    *findings = (struct findings){0};
}

const Drover__V1__Finding *findings_block(const struct findings *findings)
{
    for (size_t i = 0; i < findings->n; i++)
        if (findings->list[i]->severity == DROVER__V1__SEVERITY__BLOCK)
            return findings->list[i];
    return NULL;
}

bool findings_elsewhere(Drover__V1__Finding *const *list, size_t n)
{
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        if (list[i]->severity != DROVER__V1__SEVERITY__BLOCK)
            continue;
        any = true;
        if (!list[i]->elsewhere)
            return false;
    }
    return any;
}
