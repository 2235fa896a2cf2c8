/* Files named .drover-probe-UUID, written beside an image to see who else sees them. Each is recorded in STATE_DIR/probes, durable,
 * before it is made, so that a crash leaves none behind: the next start finds what is recorded and removes it.
 *
 * All of this blocks as long as the file system does: workers only, and nobody waits for them without a deadline. Nothing but files of
 * that name is ever opened for writing or removed; an existing one is never overwritten (O_EXCL, O_NOFOLLOW). */
#pragma once

#include "agent/io/limit.h"
#include "common/base/error.h"
#include "proto/probe.pb-c.h"

/* Writes the nonce beside the image; fills outcome, reason, seen. `host` goes into the file. True if a file is there, or may be though
 * the writing failed: then its record stays, for nonce_remove. */
bool nonce_write(const char *state_dir, const char *host, const char *nonce, const char *image,
                 Drover__V1__ProbeResult *result);

/* Reads it beside the same path, again and again until it is there or the limit is over; once where it can't come later. */
void nonce_read(const struct limit *limit, const char *nonce, const char *image,
                Drover__V1__ProbeResult *result);

/* Looks for it in directory/relative, then everywhere in the directory (6 levels, 50000 entries). True when found. */
bool nonce_find(const struct limit *limit, const char *nonce, const char *directory, const char *relative,
                Drover__V1__ProbeResult *result);

/* Removes it and its record. 1: it is gone, 0: there is no such record, negative: it could not be removed, and the record stays. */
int nonce_remove(const char *state_dir, const char *nonce, struct error *err);

/* Where it was written, by its record alone; NULL without one. Owned by the caller. */
char *nonce_directory(const char *state_dir, const char *nonce);

/* All that are recorded: UUIDs for nonce_remove; tree_list_free frees them. */
size_t nonces_recorded(const char *state_dir, char ***ret);
