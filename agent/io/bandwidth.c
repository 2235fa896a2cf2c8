#include "agent/io/bandwidth.h"

#include "agent/core/bursts.h"
#include "common/base/cleanup.h"
#include "common/base/memory.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 256 * 1024, ACCEPT_MS = 3000 };

static int64_t monotonic_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* What the other end has taken: sent, and no longer in our queue. */
static int64_t arrived(int fd, int64_t sent)
{
    int queued = 0;
    return ioctl(fd, SIOCOUTQ, &queued) == 0 ? sent - queued : sent;
}

/* So that a rest is one, and the end the end: little waits in our queue, and that goes with the connection. */
static void keep_queue_short(int fd)
{
    int waiting = CHUNK;
    struct linger drop = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &waiting, sizeof(waiting));
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &drop, sizeof(drop));
}

int bandwidth_send(const struct limit *limit, int fd, const char *nonce, int64_t *ret, struct error *err)
{
    _cleanup_free_ char *buffer = xcalloc(CHUNK, 1);
    struct bursts b;
    int64_t sent = 0, now = monotonic_us();
    memcpy(buffer, nonce, BANDWIDTH_NONCE);
    keep_queue_short(fd);
    bursts_begin(&b, now);
    for (enum bursts_phase phase; (phase = bursts_step(&b, now, arrived(fd, sent))) != BURSTS_OVER;
         now = monotonic_us()) {
        bool rest = phase == BURSTS_REST;
        bool ready = limit_poll(limit, rest ? -1 : fd, POLLOUT, bursts_left_us(&b, now) / 1000 + 1);
        if (limit_over(limit))
            return error_set(err, STATUS_CANCELLED, "the measurement was given up");
        if (!ready)
            continue;
        ssize_t n = send(fd, buffer, sent ? CHUNK : BANDWIDTH_NONCE, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return error_set(err, STATUS_UNAVAILABLE, "the connection broke: %s", strerror(errno));
        sent += n > 0 ? n : 0;
    }
    if (!bursts_rate(&b))
        return error_set(err, STATUS_UNAVAILABLE, "nothing of what was sent has arrived");
    *ret = bursts_rate(&b);
    return 0;
}

/* False at the end of the stream, or of the time. */
static bool take(const struct limit *limit, int fd, char *buffer, size_t size, ssize_t *ret_n)
{
    *ret_n =
        limit_poll(limit, fd, POLLIN, -1) && !limit_over(limit) ? recv(fd, buffer, size, MSG_DONTWAIT) : 0;
    return *ret_n > 0 || (*ret_n < 0 && (errno == EAGAIN || errno == EINTR));
}

void bandwidth_swallow(const struct limit *limit, int listener, const char *nonce)
{
    _cleanup_close_ int listening = listener;
    bool came = limit_poll(limit, listener, POLLIN, ACCEPT_MS);
    _cleanup_close_ int fd = came ? accept4(listener, NULL, NULL, SOCK_CLOEXEC) : -1;
    _cleanup_free_ char *buffer = xcalloc(CHUNK, 1);
    size_t got = 0;
    ssize_t n = 0;
    close(steal_fd(&listening));
    while (fd >= 0 && got < BANDWIDTH_NONCE && take(limit, fd, buffer + got, BANDWIDTH_NONCE - got, &n))
        got += n > 0 ? (size_t)n : 0;
    if (got < BANDWIDTH_NONCE || memcmp(buffer, nonce, BANDWIDTH_NONCE) != 0)
        return;
    while (take(limit, fd, buffer, CHUNK, &n))
        ;
}
