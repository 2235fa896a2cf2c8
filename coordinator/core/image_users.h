/* Who else in the fleet names an image that a move has copied: an agent sees only the domains of its own host. Pure. */
#pragma once

#include "coordinator/core/fleet.h"

/* Of a move's copied images, at the source (else at the destination), those that a guest of a third host names as a disk or a backing file.
 * It may be another file of that path, on storage of that host alone: nobody has proven it, so it counts. Of a host that is down, what it
 * said last counts; while one has said nothing since the start, each image counts. Returns how many; *ret is the caller's, its strings are
 * the relocation's. */
size_t image_users_find(const struct fleet *fleet, const char *source, const char *destination,
                        const char *guest_uuid, const Drover__V1__Relocation *relocation, bool at_source,
                        char ***ret);

/* The same of these images. `guest_uuid`: whose they are, and who doesn't count; "": everyone does. */
size_t image_users_of(const struct fleet *fleet, const char *source, const char *destination,
                      const char *guest_uuid, char *const *images, size_t n_images, char ***ret);

/* A third host that has not told all its guests since the start; NULL: there is none. */
const struct fleet_host *image_users_unknown(const struct fleet *fleet, const char *source,
                                             const char *destination);
