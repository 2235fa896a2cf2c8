/* What is used of late: CPU time of the host, of each guest, and of what is neither. Pure: counters and the time come in.
 *
 * A mean over METER_WINDOW_MS: until that time is full, the plain one; then what is older fades out. A shorter window would make
 * `balance` chase bursts, and a move costs its link for a minute; a longer one would still show an hour later what has moved away. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    METER_WINDOW_MS = 300000,
    METER_SETTLED_MS = 30000, /* over less it says nothing */
};

struct meter {
    int64_t over_ms; /* how long was measured */
    double cpus;     /* CPUs in use, on average */
};

/* In a time of `ms`, so much CPU time was used. */
void meter_add(struct meter *meter, uint64_t used_ns, int64_t ms);
bool meter_settled(const struct meter *meter);

struct meters_guest {
    char uuid[37];
    bool running;      /* not paused: one that comes in by a migration has not begun to run */
    uint64_t cpu_ns;   /* since its process began */
    uint64_t resident; /* bytes; 0: not known */
};

struct meters_reading {
    int64_t at_ms;
    uint64_t busy_ns; /* of all CPUs since the host's start */
    bool guests_read; /* else libvirt could not be asked */
    struct meters_guest *guests;
    size_t n_guests;
};

struct meters_entry {
    struct meters_guest last;
    struct meter meter;
    bool seen; /* in the reading that is being fed */
    bool told;
    uint32_t told_cpu;
    uint64_t told_resident;
};

struct meters {
    bool begun, guests_begun;
    int64_t at_ms, guests_at_ms;      /* of the last reading, and of the last with guests */
    uint64_t busy_ns, guests_busy_ns; /* then */
    struct meter host, other;         /* `other`: what the host used and no guest */
    bool told;
    uint32_t told_cpu, told_other;
    struct meters_entry *guests;
    size_t n_guests;
};

void meters_feed(struct meters *meters, const struct meters_reading *reading);
void meters_deinit(struct meters *meters);

/* libvirt does not answer for so long that what is known of the guests is too old. */
void meters_forget_guests(struct meters *meters);

/* Something is worth telling: it is known now or is no more, or has changed by a twentieth of a CPU and a tenth. What is true now
 * counts as told then. */
bool meters_tell(struct meters *meters);

static inline uint32_t meter_thousandths(const struct meter *meter)
{
    return (uint32_t)(meter->cpus * 1000 + 0.5);
}
