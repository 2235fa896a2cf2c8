/* Backing files: the links of a disk's chain below the image itself, and what proves that both hosts have the same. Pure.
 *
 * A chain is known from the definition (of a guest that runs), or from what qemu-img found (PROBE_IMAGE), which tells of both hosts
 * where each link really lies. A link beside the image is proven with it; one in another directory gets a nonce of its own there. */
#pragma once

#include "coordinator/core/evidence.h"

/* Link `n` of disk `d` (0: the image itself) at both hosts, as paths or URLs; `there`: the disk as the destination names it. Both
 * may be NULL: then only what was found counts. Borrowed. False past the end. */
bool backing_link(const struct evidence *evidence, const char *target, const Drover__V1__Disk *d,
                  const Drover__V1__Disk *there, size_t n, const char **ret_here, const char **ret_there);

/* The first link that lies beside link `n` at both hosts, `n` itself if none does before: what proves the one proves the other. */
size_t backing_beside(const struct evidence *evidence, const char *target, const Drover__V1__Disk *d,
                      const Drover__V1__Disk *there, size_t n);

/* What requests about a link are called. Owned by the caller. */
char *backing_key(const char *target, const char *here, const char *there);

/* Asks about the links that the definition names. */
void plan_backing(struct evidence *evidence, const Drover__V1__Disk *d, const Drover__V1__Disk *there);

/* Asks about those that were found since. */
void plan_backing_found(struct evidence *evidence);
