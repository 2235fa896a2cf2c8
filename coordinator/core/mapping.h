/* `mappings:` of coordinator.yaml: what one site or host calls otherwise than another. Pure.
 *
 * A pair goes one way; `both: true` makes two of it. Between two hosts, the rules of their own pair come first, then those of their sites'
 * pair; of paths the longest prefix wins. So who plans a move between sites asks, for each pair of hosts that it considers,
 *
 *     Drover__V1__Mapping *m = mapping_between(fleet->mappings, source, destination);
 *     Drover__V1__Guest *there = mapping_guest(m, guest);   // as the destination will name its disks, bridges and networks
 *
 * and judges the destination by `there`. Whoever goes by preflight_run, plan_check and relocation_make (core/relocation.h) need not:
 * they do it themselves, by fleet->mappings. */
#pragma once

#include "common/base/error.h"
#include "common/mapping/mapping.h"
#include "coordinator/core/fleet.h"

struct mapping_rule {
    Drover__V1__MappingKind kind;
    char *from, *to;
};

struct mapping_pair { /* one way */
    char *from, *to;  /* both hosts, or both sites */
    bool hosts;
    struct mapping_rule *rules;
    size_t n_rules;
};

struct mappings {
    struct mapping_pair *pairs;
    size_t n;
};

/* A new pair, without rules; ALREADY_EXISTS if there is one that way. Good until the next is added. */
struct mapping_pair *mappings_add(struct mappings *mappings, const char *from, const char *to, bool hosts,
                                  struct error *err);

/* Slashes at the end of paths are dropped. INVALID_ARGUMENT for what can't be a name or path of that kind, or a second rule for `from`. */
int mapping_pair_add(struct mapping_pair *pair, Drover__V1__MappingKind kind, const char *from,
                     const char *to, struct error *err);
void mappings_deinit(struct mappings *mappings);

/* What applies from one host to the other, in the order in which rules are tried; NULL if nothing does. Freed with
 * drover__v1__mapping__free_unpacked. NULL for the mappings is none. */
Drover__V1__Mapping *mapping_between(const struct mappings *mappings, const struct fleet_host *from,
                                     const struct fleet_host *to);

/* A copy of the guest with disks, backing files, files of its boot and interfaces as the destination names them; a plain copy without
 * a mapping. Freed with drover__v1__guest__free_unpacked. */
Drover__V1__Guest *mapping_guest(const Drover__V1__Mapping *mapping, const Drover__V1__Guest *guest);
