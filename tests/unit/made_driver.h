/* A driver that carries nothing out: it takes orders down, and its jobs change when the test says so. */
#pragma once

#include "coordinator/driver.h"

struct made_order { /* the last one */
    unsigned count;
    char *guest, *source, *destination, *by, *cancelled_by;
    Drover__V1__Mode mode;
    Drover__V1__Policy policy;
    size_t n_findings;
};
extern struct made_order made_order;

struct driver *made_driver_new(void);

/* An open job; changed by the test, then made_driver_tell. */
Drover__V1__Job *made_driver_job(struct driver *driver, uint64_t id, const char *guest, const char *uuid);

/* Tells the watchers; a job that has ended is no longer the driver's afterwards, and is freed. */
void made_driver_tell(struct driver *driver, Drover__V1__Job *job);
unsigned made_driver_watches(const struct driver *driver);
