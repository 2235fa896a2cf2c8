/* May this guest move from here to there? Pure rules over what the agents reported; all findings are told. */
#pragma once

#include "coordinator/core/evidence.h"

/* What moves bring to a host and its report does not tell yet: bytes, and vCPUs. */
struct promised {
    uint64_t memory;
    uint64_t pages_2m, pages_1g; /* of huge pages */
    uint64_t vcpus;
};

struct preflight {
    const struct fleet *fleet;
    const struct fleet_host *source, *destination;
    const struct fleet_guest *guest; /* as it is at the source */
    Drover__V1__Mode mode;           /* as preflight_mode says */
    const Drover__V1__Policy *policy;
    struct promised promised; /* to the destination, by open jobs */
    const Drover__V1__Job *const
        *open; /* moves that are under way or to come: who will be at the destination, too */
    size_t n_open;
    uint64_t open_job; /* on this guest; 0: none */
    bool copy_storage; /* disks that the hosts don't share are copied */
    bool own;          /* only the rules that are of the guest itself, wherever it goes, are asked */
    const struct evidence
        *evidence; /* what the agents proved; NULL: they were not asked, and those rules keep still */
    const Drover__V1__Guest
        *there;          /* as the destination names its disks and networks; preflight_run fills it */
    char *const *accept; /* ids that the operator accepts; placement heeds them */
    size_t n_accept;
    const char *site;   /* of a placement: only hosts of this site are candidates; NULL: of any */
    char *const *avoid; /* of a placement: these hosts are none */
    size_t n_avoid;
    bool enough; /* of a placement: hosts that were not tried are none any more, whoever they are */
};

struct findings {
    Drover__V1__Finding **list; /* owned */
    size_t n;
};

void preflight_run(const struct preflight *in, struct findings *out);

struct finding_about {
    const char *id, *about; /* what it means, and why it matters */
    Drover__V1__Severity severity;
    bool can_accept; /* --accept may override it */
};

/* The id of the rule at that place in the table; NULL past the last. */
const char *preflight_rule_id(size_t index);

/* The same, with what it means. False past the last. */
bool preflight_about(size_t index, struct finding_about *ret);

void findings_deinit(struct findings *findings);

/* The first that blocks, NULL if none does. */
const Drover__V1__Finding *findings_block(const struct findings *findings);

/* Something blocks, and all that does is such that another destination may do (proto/types.proto, Finding.elsewhere). */
bool findings_elsewhere(Drover__V1__Finding *const *list, size_t n);

/* Adds one; takes over the four texts, which were allocated. */
void finding_add(struct findings *findings, const char *id, Drover__V1__Severity severity, char *subject,
                 char *seen, char *expected, char *todo);

/* Of a guest that is shut off, MODE_AUTO and MODE_OFFLINE move the definition; of one that runs, the source's agent chooses
 * with MODE_AUTO. What does not fit the guest's state otherwise is left for the rules to refuse. */
Drover__V1__Mode preflight_mode(Drover__V1__Mode asked, const Drover__V1__Guest *guest);

/* What the guest may come to use, and what would be left at the destination for others (negative: missing). */
uint64_t preflight_need(const Drover__V1__Guest *guest);
int64_t preflight_room(const struct fleet_host *destination, const struct promised *promised,
                       const Drover__V1__Guest *guest);

/* Bytes of huge pages that the guest is made of, and of which size; 0: of none, or of several sizes, of which only its NUMA nodes
 * tell how many of each. */
uint64_t preflight_pages(const struct fleet_guest *guest, uint64_t *ret_size);

/* Of that size, what open transactions and `promised` hold: free by the kernel's count alone. */
uint64_t preflight_pages_held(const struct fleet_host *host, const struct promised *promised, uint64_t size);

void promised_add(struct promised *promised, const struct fleet_guest *guest);
