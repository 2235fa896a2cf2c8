#include "coordinator/core/fence.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const Drover__V1__DiskClosure *said_of(const struct fence_word *w, const char *disk)
{
    for (size_t i = 0; w->reply && i < w->reply->n_disks; i++)
        if (strcmp(w->reply->disks[i]->disk, disk) == 0)
            return w->reply->disks[i];
    return NULL;
}

bool fence_serves(const struct fence_word *w)
{
    for (size_t i = 0; w->reply && i < w->reply->n_disks; i++)
        if (w->reply->disks[i]->served)
            return true;
    return false;
}

static void __attribute__((format(printf, 3, 4))) add(char *text, size_t size, const char *fmt, ...)
{
    size_t used = strlen(text);
    va_list ap;
    va_start(ap, fmt);
    if (used < size)
        vsnprintf(text + used, size - used, fmt, ap);
    va_end(ap);
}

/* What is missing of one disk; nothing if it is closed. */
static void judge(const Drover__V1__Disk *d, const struct fence_word *words, size_t n, char *text,
                  size_t size)
{
    unsigned serve = 0;
    const char *first = "", *sep = text[0] ? "; " : "";
    for (size_t i = 0; i < n; i++) {
        const Drover__V1__DiskClosure *said = said_of(&words[i], d->target);
        if (!said || !said->served)
            continue;
        if (serve++) {
            add(text, size, "%sdisk %s is served by %s and by %s", sep, d->target, first, words[i].node);
            return;
        }
        first = words[i].node;
        if (!said->closed) {
            add(text, size, "%sdisk %s on %s: %s", sep, d->target, first, said->text);
            return;
        }
    }
    if (serve)
        return;
    add(text, size, "%sdisk %s is not on an iSCSI target that a storage node's agent can close", sep,
        d->target);
    for (size_t i = 0; i < n; i++) {
        const Drover__V1__DiskClosure *said = said_of(&words[i], d->target);
        add(text, size, "%s%s: %s", i ? ", " : " (", words[i].node, said ? said->text : words[i].error);
    }
    add(text, size, n ? ")" : " (no host has the role storage)");
}

int fence_judge(Drover__V1__Disk *const *disks, size_t n_disks, const struct fence_word *words,
                size_t n_words, struct error *err)
{
    char text[900] = "";
    for (size_t i = 0; i < n_disks; i++)
        judge(disks[i], words, n_words, text, sizeof(text));
    if (!n_disks)
        add(text, sizeof(text), "the guest has no disk that it writes to, so there is nothing to close");
    return text[0] ? error_set(err, STATUS_FAILED_PRECONDITION,
                               "the storage can't be closed to the source: %s", text)
                   : 0;
}

bool fence_may_open(const struct fence_copies *c)
{
    if (!c->asked)
        return c->off;
    return !c->here || (!c->elsewhere && !c->given);
}
