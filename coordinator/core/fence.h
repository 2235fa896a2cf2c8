/* Fencing at the storage: what the storage nodes say of a guest's disks, and whether that is enough. Pure. */
#pragma once

#include "common/base/error.h"
#include "proto/agent.pb-c.h"

#include <stdbool.h>
#include <stddef.h>

/* One storage node: its answer, or why there is none. */
struct fence_word {
    const char *node;
    const Drover__V1__CloseStorageReply *reply;
    const char *error;
};

/* 0 when each disk is served by exactly one of them, which has closed it or could. Else FAILED_PRECONDITION with all that is
 * missing. No disk at all is nothing to close, and not enough. */
int fence_judge(Drover__V1__Disk *const *disks, size_t n_disks, const struct fence_word *words,
                size_t n_words, struct error *err);

/* It serves one of the disks. */
bool fence_serves(const struct fence_word *word);

/* What is known of a guest to whose disks a host has been shut out. */
struct fence_copies {
    bool asked;     /* that host can be asked... */
    bool off;       /* ...or an operator knows that it is switched off */
    bool here;      /* a copy is left there */
    bool elsewhere; /* also at another host, or that can't be asked */
    bool given;     /* to the destination: it may have run there, and written, also if it has ended since */
};

/* Whether the host may be let in again: a copy there would write to the disks beside another, or after it. */
bool fence_may_open(const struct fence_copies *copies);
