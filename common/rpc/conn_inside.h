/* Inside a connection: what conn.c (its life, writing, keepalive) and conn_read.c (what comes in) share. */
#pragma once

#include "common/rpc/alarm.h"
#include "common/rpc/conn.h"
#include "common/rpc/tls.h"

#include <pthread.h>
#include <stdatomic.h>

#define READ_BYTES (64 * 1024)
#define WRITE_BYTES (256 * 1024) /* encrypted at a time */
#define HELLO_BYTES 1024         /* a frame may not be larger before the peer is known */
#define DRAIN_MS 500
#define SIGN_OF_LIFE_BYTES 4096 /* of a frame that is not whole yet; less is dripping, not life */

struct conn {
    atomic_uint refs;
    struct conn_config config;
    nng_stream *stream;
    nng_aio *rx, *tx;
    struct alarm *alarm;

    /* The reading thread's alone. */
    struct buffer in;
    uint8_t *raw; /* ciphertext as read; NULL without TLS */
    struct arena arena;
    char arena_memory[2048];
    uint8_t instance[16];
    bool took; /* a whole frame, in this read */

    pthread_mutex_t lock; /* guards what follows, and the TLS session */
    struct buffer out;    /* frames */
    struct buffer wire;   /* being written, and not touched meanwhile; ciphertext with TLS */
    struct buffer own;    /* what TLS itself has to say: handshake, alerts */
    unsigned ops, corks;
    bool sending, up, closed, alarm_done;
    bool early;           /* in the TLS handshake: frames wait */
    atomic_bool draining; /* nothing is taken or queued any more; what is queued is written */
    struct error why;
    int64_t started, heard, pinged, drain_until;
    size_t unheard; /* bytes since `heard` */
};

/* conn.c. `_locked`: the connection's lock is held. */
void conn_close_locked(struct conn *c, const struct error *why);
void conn_flush_locked(struct conn *c);
void conn_hello_locked(struct conn *c);
void conn_op_done_unlock(struct conn *c); /* an operation has come back; may call `closed` */

/* conn_read.c */
void conn_read_locked(struct conn *c); /* starts the next read */
void conn_on_read(void *arg);
void conn_explain_end(struct conn *c, int nng_error, struct error *err);
