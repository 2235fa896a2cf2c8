#include "agent/transaction.h"

#include "common/base/memory.h"

void findings_add(struct findings *f, Drover__V1__Severity severity, const char *id, const char *subject,
                  const char *seen, const char *expected, const char *todo)
{
    Drover__V1__Finding *one = new0(Drover__V1__Finding);
    drover__v1__finding__init(one);
    one->severity = severity;
    one->id = xstrdup(id);
    one->subject = xstrdup(subject);
    one->seen = xstrdup(seen);
    one->expected = xstrdup(expected);
    one->todo = xstrdup(todo);
    f->list = xrealloc(f->list, f->n + 1, sizeof(*f->list));
    f->list[f->n++] = one;
}

bool findings_block(const struct findings *f)
{
    for (size_t i = 0; i < f->n; i++)
        if (f->list[i]->severity == DROVER__V1__SEVERITY__BLOCK)
            return true;
    return false;
}

void findings_accept(struct findings *f, char *const *ids, size_t n)
{
    static const char *const acceptable[] = {"mac-in-use"};
    for (size_t i = 0; i < f->n; i++)
        for (size_t k = 0; k < n; k++)
            for (size_t a = 0; a < sizeof(acceptable) / sizeof(acceptable[0]); a++)
                if (f->list[i]->severity == DROVER__V1__SEVERITY__BLOCK && streq(f->list[i]->id, ids[k]) &&
                    streq(ids[k], acceptable[a])) {
                    f->list[i]->severity = DROVER__V1__SEVERITY__WARN;
                    f->list[i]->accepted = true;
                }
}

void findings_free(struct findings *f)
{
    for (size_t i = 0; i < f->n; i++)
        drover__v1__finding__free_unpacked(f->list[i], NULL);
    free(f->list);
    *f = (struct findings){0};
}
