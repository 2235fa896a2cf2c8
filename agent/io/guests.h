/* The host's domains, active and not, kept current by libvirt's events. Each read of a domain runs on a worker; a
 * guest that changes again while it is being read is read once more after that, so bursts cost two reads. */
#pragma once

#include "agent/io/libvirt.h"
#include "proto/facts.pb-c.h"
#include "proto/types.pb-c.h"

/* ---- reading: any thread that may block ---- */

/* ret_xml (may be NULL): the definition as it would start next time (inactive, secure). NOT_FOUND if there is none.
 * Guest.transaction is left empty: libvirt does not know it. */
int guests_get(virConnectPtr conn, const char *uuid, Drover__V1__Guest **ret, char **ret_xml,
               struct error *err);
int guests_read(virDomainPtr domain, Drover__V1__Guest **ret, char **ret_xml, struct error *err);

/* Only what libvirt tells no event of. */
int guests_now(virConnectPtr conn, const char *uuid, Drover__V1__GuestNow **ret, struct error *err);

/* Disks and interfaces of the definition that lead where none of the running guest's does: it has them at its next start. */
void guests_later(const Drover__V1__Guest *running, const Drover__V1__Guest *defined,
                  Drover__V1__GuestNow *now);

/* ---- the table: the loop's thread ---- */

struct guests;

struct guests_config {
    struct loop *loop;
    struct workers *workers;
    struct libvirt *libvirt; /* borrowed, outlives the table */

    /* One of: a guest that is new or has changed; the UUID of one that is gone; `synced`, when all guests have been
     * read after libvirt came (back) up. */
    void (*changed)(void *arg, const Drover__V1__Guest *guest, const char *gone, bool synced);

    /* The open transaction on a guest, or NULL; asked at each read. May be NULL. */
    const char *(*transaction_of)(void *arg, const char *uuid);
    void *arg;
};

struct guests *guests_new(const struct guests_config *config);
void guests_free(struct guests *guests);
DEFINE_CLEANUP(struct guests *, guests_free);

/* Reads one guest again, soon. */
void guests_refresh(struct guests *guests, const char *uuid);

/* Good until the next turn of the loop. When libvirt is down: as they were seen last. */
const Drover__V1__Guest *guests_find(const struct guests *guests, const char *uuid); /* NULL */
size_t guests_count(const struct guests *guests);
const Drover__V1__Guest *guests_at(const struct guests *guests, size_t i); /* in no order */

/* All have been read since libvirt came up; false while libvirt is down. */
bool guests_synced(const struct guests *guests);
