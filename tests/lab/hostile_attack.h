/* Kinds of bad connections, and throwing them at a server, some at a time. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct target {
    int tls_port, tcp_port;
    const char *socket;
};

enum where { TO_TLS, TO_TCP, TO_IPC };

/* What it does after its bytes are sent. */
enum manner {
    HANG_UP, /* resets the connection at once */
    WAIT,    /* waits for the server to end the connection */
    DRIP,    /* sends one byte at a time, until the server ends it */
    DEAF,    /* goes on sending for as long as the server lets it, and never reads */
};

struct attack {
    const char *name;
    enum where where;
    enum manner manner;
    unsigned count, parallel;
    size_t (*bytes)(uint8_t *buf, size_t size, unsigned index); /* what to send first; NULL: nothing */
};

extern const struct attack attacks[];
extern const unsigned attack_count;

/* Returns how many connections the server did not end within 30 s. */
unsigned attack_run(const struct attack *a, const struct target *t, unsigned count);
