/* What a transfer costs its guest, whether or not it comes to its end. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct harm {
    int64_t elapsed;   /* of the last sample, ms */
    double throttled;  /* ms of vCPU time */
    uint32_t throttle; /* percent, the most; libvirt's statistics of a job that has ended have none */
    int64_t stood;     /* ms in pauses that ended here */
    bool late;         /* of an adopted job: what came before the first sample is not known */
};

/* From libvirt's samples. */
void harm_sample(struct harm *harm, int64_t elapsed, uint32_t throttle);

/* A pause of the transfer's ended, and the guest runs here again; monotonic ms, `from` 0: it ran. */
void harm_resumed(struct harm *harm, int64_t from, int64_t to);

/* ms that it stood still, where it stays: `from` as above, of the pause that ends about now. */
int64_t harm_pause(const struct harm *harm, int64_t from, int64_t now);
