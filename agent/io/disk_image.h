/* Image files of disks that are copied: what they are at the source, and making, removing and putting them aside. Everything blocks:
 * workers only. Paths were checked by disk_image_check. */
#pragma once

#include "agent/io/limit.h"
#include "common/base/error.h"
#include "proto/probe.pb-c.h"
#include "proto/types.pb-c.h"

#include <stdbool.h>
#include <stdint.h>

/* INVALID_ARGUMENT unless target, paths and format are such as Drover itself would give. */
int disk_image_check(const Drover__V1__DiskCopy *copy, struct error *err);

/* The file's content as a hash, in `result->identity`. Blocks. */
void disk_image_hash(const struct limit *limit, const char *path, Drover__V1__ProbeResult *result);

/* At the source: fills format, size, bytes, and of a chain of backing files their size and hash; of what is no file, and of large ones
 * the hash stays empty. FAILED_PRECONDITION if it can't be opened, or is something that can't be copied. */
int disk_image_inspect(const struct limit *limit, Drover__V1__DiskCopy *copy, struct error *err);

/* At the destination: is the file at `path`, with all that it is backed by, the very image that the source's copy is backed by? By size
 * and hash. */
bool disk_image_same_backing(const struct limit *limit, const char *path, const Drover__V1__DiskCopy *copy);

/* Room for unprivileged writers where the file would be. NOT_FOUND if its directory isn't there. */
int disk_image_room(const char *path, uint64_t *ret_available, char ret_where[64], struct error *err);

/* Makes an empty image of that format, size and backing under a name that only this transaction gives (disk_image_draft), and tells the
 * file's inode; disk_image_place then gives it its name. ALREADY_EXISTS if that is taken: nothing is overwritten. */
char *disk_image_draft(const char *path, const char *transaction);
int disk_image_make(const struct limit *limit, const Drover__V1__DiskCopy *copy, const char *draft,
                    uint64_t *ret_inode, struct error *err);
int disk_image_place(const char *draft, const char *path, struct error *err);

/* The file's name is on its storage for good. */
int disk_image_sync_name(const char *path, struct error *err);

/* Takes in what one connection to nbd://ADDRESS:PORT/NAME writes. Success: all of it is on its storage for good, as far as that connection
 * has gone, which only its other end knows. Blocks for as long as that takes. */
int disk_image_receive(const struct limit *limit, const char *path, const char *format, const char *address,
                       uint32_t port, const char *name, struct error *err);

/* Removes the file if it is that one (inode 0: whichever). Success if it is not there; FAILED_PRECONDITION if it is another. */
int disk_image_remove(const char *path, uint64_t inode, struct error *err);

/* The name under which a source keeps a disk that was copied away: "PATH.moved-TRANSACTION". */
char *disk_image_aside(const char *path, const char *transaction);
