/* What the systems under comparison share: one echo of 64 bytes, some in flight on one connection, for a while. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ECHO_BYTES 64
#define IN_FLIGHT_MAX 64

struct bench;

/* Each is a server in one process, and a client in another.
 * serve: starts to serve on loopback and returns the port; the process then only waits.
 * run: connects, keeps `in_flight` echoes going until bench_answered says no, and returns when the last has come. */
struct bench_system {
    const char *name;
    int (*serve)(void);
    void (*run)(struct bench *b, int port, unsigned in_flight);
};

extern const struct bench_system bench_drover, bench_drover_loop, bench_grpc, bench_tcp;

/* Call before each echo in slot 0 .. in_flight - 1, and after it; any thread. False: no other echo in this slot. */
void bench_asked(struct bench *b, unsigned slot);
bool bench_answered(struct bench *b, unsigned slot);

/* After the connection is there and warm, before the first bench_asked. */
void bench_start(struct bench *b);
void bench_wait(struct bench *b); /* until each slot has been told false */

#ifdef __cplusplus
}
#endif
