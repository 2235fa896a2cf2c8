/* A move in which everything fits, and the cases that each spoil one thing in it. */
#pragma once

#include "coordinator/core/preflight.h"
#include "coordinator_made.h"

/* A move of web1 from kvm1 to kvm2 in which everything fits; kvm3 stands by. */
struct move {
    struct fleet fleet;
    struct fleet_host *source, *destination, *third;
    Drover__V1__Guest *guest;
    Drover__V1__HostReport *from, *to;
    Drover__V1__Policy policy;
    struct evidence evidence; /* empty; move_with_proof fills it */
    struct preflight in;
    struct findings out;
};

void move_init(struct move *m);
void move_deinit(struct move *m);

struct spoiled {
    void (*spoil)(struct move *m);
    const char *id;
    const char *word; /* in what was seen, or in the subject */
    enum {
        MORE,   /* findings than this one */
        ONLY,   /* this one, and what hides others */
        JOINED, /* only this one, and others can come beside it */
    } how;
    Drover__V1__Severity severity;
};

extern const struct spoiled preflight_cases[];
extern const size_t n_preflight_cases;

/* Cases of what agents proved, in preflight_proofs.c; and the move that they spoil: one disk, a file, everything proven. */
extern const struct spoiled preflight_proofs[];
extern const size_t n_preflight_proofs;
void move_with_proof(struct move *m);
/* Its image is backed by these files, as qemu-img finds it at the source and at the destination; all that is asked of them is proven. */
void move_backed_by(struct move *m, const char *here, const char *there);

/* It has a logical volume of one UUID on both hosts, on a unit of that name (NULL: not told). */
void move_with_volume(struct move *m, const char *here, const char *there);

/* It has a unit of third's, which both hosts log in to at these portals, and which has that WWID. */
void move_with_unnamed_unit(struct move *m, const char *wwid, const char *portal_here,
                            const char *portal_there);

/* Of links and releases, in preflight_links.c. */
extern const struct spoiled preflight_links[];
extern const size_t n_preflight_links;

/* Of the guest's hardware and its network disks, in preflight_hardware.c. */
extern const struct spoiled preflight_hardware[];
extern const size_t n_preflight_hardware;

/* Of block devices, their exports and backing files, in preflight_storage.c. */
extern const struct spoiled preflight_storage[];
extern const size_t n_preflight_storage;

/* Of who serves the disks, in preflight_exports.c. */
extern const struct spoiled preflight_exports[];
extern const size_t n_preflight_exports;

/* Nothing is wrong with these: the image is on a cluster's file system on Fibre Channel; an export that holds the one of a network disk
 * can only be read; another one inside of that, too, which is not served. */
void move_with_cluster_on_fc(struct move *m);
void move_with_outer_export_closed(struct move *m);
void move_with_export_not_served(struct move *m);

/* For spoiling, with all proven if it was not yet. */
struct ask *move_asked(struct move *m, const struct fleet_host *host, Drover__V1__ProbeKind kind);
Drover__V1__Inspection *move_seen(struct move *m, const struct fleet_host *host);
