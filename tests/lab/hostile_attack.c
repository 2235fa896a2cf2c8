#include "tests/lab/hostile_attack.h"

#include "common/base/loop.h"
#include "common/base/memory.h"
#include "common/rpc/frame.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define BYTES_MAX (5u << 20)
#define PATIENCE_MS 30000 /* keepalive needs 15 s for a peer that has said HELLO */
#define DRIP_MS 50

static size_t client_hello(uint8_t *buf, size_t size, unsigned index)
{
    static size_t len;
    static uint8_t hello[4096];
    (void)index;
    if (!len) { /* a real one, of OpenSSL */
        SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
        SSL *ssl = SSL_new(ctx);
        BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
        SSL_set_bio(ssl, in, out);
        SSL_connect(ssl);
        int n = BIO_read(out, hello, sizeof(hello));
        len = n > 0 ? (size_t)n : 0;
        SSL_free(ssl);
        SSL_CTX_free(ctx);
    }
    memcpy(buf, hello, len < size ? len : size);
    return len;
}

static size_t half_a_hello(uint8_t *buf, size_t size, unsigned index)
{
    return client_hello(buf, size, index) / 2;
}

static size_t garbage(uint8_t *buf, size_t size, unsigned index)
{
    size_t n = 1 + index * 37 % 2000;
    uint64_t x = index * 0x9e3779b97f4a7c15u + 1;
    for (size_t i = 0; i < n && i < size; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        buf[i] = (uint8_t)x;
    }
    return n;
}

static size_t hello_and_garbage(uint8_t *buf, size_t size, unsigned index)
{
    size_t n = client_hello(buf, size, index);
    return n + garbage(buf + n, size - n, index);
}

static size_t http(uint8_t *buf, size_t size, unsigned index)
{
    (void)index;
    return (size_t)snprintf((char *)buf, size, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
}

static size_t put_frame(uint8_t *buf, const Drover__V1__Frame *f)
{
    struct buffer b = {0};
    frame_append(&b, f, NULL, BYTES_MAX, NULL);
    size_t n = buffer_len(&b);
    memcpy(buf, b.data, n);
    buffer_free(&b);
    return n;
}

static size_t hello(uint8_t *buf)
{
    Drover__V1__Frame f = FRAME(HELLO, .version = FRAME_VERSION);
    return put_frame(buf, &f);
}

static size_t huge_length(uint8_t *buf, size_t size, unsigned index)
{
    (void)size;
    size_t n = index % 2 ? hello(buf) : 0;
    memset(buf + n, 0xff, 4);
    if (index % 3 == 0)
        memcpy(buf + n, "\x00\x40\x00\x01", 4); /* one more than is allowed */
    return n + 4;
}

/* Well framed, badly packed. */
static size_t malformed(uint8_t *buf, size_t size, unsigned index)
{
    size_t n = hello(buf), len = garbage(buf + n + 4, size - n - 4, index);
    buf[n] = buf[n + 1] = 0;
    buf[n + 2] = (uint8_t)(len >> 8);
    buf[n + 3] = (uint8_t)len;
    return n + 4 + len;
}

/* Two million empty metadata entries: each would take 80 bytes of memory. */
static size_t amplifying(uint8_t *buf, size_t size, unsigned index)
{
    (void)size;
    (void)index;
    size_t n = hello(buf), len = 4u << 20;
    for (unsigned i = 0; i < 4; i++)
        buf[n + i] = (uint8_t)(len >> (24 - 8 * i));
    for (size_t i = 0; i < len; i += 2) {
        buf[n + 4 + i] = 5 << 3 | 2;
        buf[n + 5 + i] = 0;
    }
    return n + 4 + len;
}

static size_t other_version(uint8_t *buf, size_t size, unsigned index)
{
    (void)size;
    Drover__V1__Frame f = FRAME(HELLO, .version = FRAME_VERSION + 1 + index);
    return put_frame(buf, &f);
}

/* Pings for which the answers are never read. */
static size_t pings(uint8_t *buf, size_t size, unsigned index)
{
    (void)index;
    size_t n = hello(buf);
    Drover__V1__Frame f = FRAME(PING);
    while (n + 64 < size / 16)
        n += put_frame(buf + n, &f);
    return n;
}

const struct attack attacks[] = {
    {"TLS: hang up in the handshake", TO_TLS, HANG_UP, 10000, 64, client_hello},
    {"TLS: hang up in the middle of ClientHello", TO_TLS, HANG_UP, 2000, 64, half_a_hello},
    {"TLS: connect and hang up", TO_TLS, HANG_UP, 2000, 64, NULL},
    {"TLS: silent", TO_TLS, WAIT, 400, 400, NULL},
    {"TLS: silent after ClientHello", TO_TLS, WAIT, 400, 400, client_hello},
    {"TLS: dripping ClientHello", TO_TLS, DRIP, 200, 200, client_hello},
    {"TLS: plain text", TO_TLS, WAIT, 1000, 200, http},
    {"TLS: garbage", TO_TLS, WAIT, 1000, 200, garbage},
    {"TLS: garbage after ClientHello", TO_TLS, WAIT, 1000, 200, hello_and_garbage},
    {"TLS: frames without TLS", TO_TLS, WAIT, 500, 200, malformed},
    {"TLS: more connections than allowed", TO_TLS, WAIT, 2500, 2500, NULL},
    {"TCP: silent", TO_TCP, WAIT, 400, 400, NULL},
    {"TCP: dripping HELLO", TO_TCP, DRIP, 200, 200, malformed},
    {"TCP: plain text", TO_TCP, WAIT, 1000, 200, http},
    {"TCP: frames that are too large", TO_TCP, WAIT, 2000, 200, huge_length},
    {"TCP: malformed frames", TO_TCP, WAIT, 2000, 200, malformed},
    {"TCP: frames that amplify", TO_TCP, WAIT, 60, 8, amplifying},
    {"TCP: another version", TO_TCP, WAIT, 500, 100, other_version},
    {"TCP: pings whose answers are not read", TO_TCP, DEAF, 16, 4, pings},
    {"IPC: connect and close", TO_IPC, HANG_UP, 5000, 64, NULL},
    {"IPC: silent", TO_IPC, WAIT, 200, 200, NULL},
    {"IPC: malformed frames", TO_IPC, WAIT, 1000, 200, malformed},
    {"IPC: frames that are too large", TO_IPC, WAIT, 1000, 200, huge_length},
};
const unsigned attack_count = sizeof(attacks) / sizeof(attacks[0]);

struct stranger {
    int fd;
    uint8_t *bytes;
    size_t len, sent;
    int64_t begun, next_drip;
    bool connected;
};

static int dial(const struct attack *a, const struct target *t)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    in.sin_port = htons((uint16_t)(a->where == TO_TLS ? t->tls_port : t->tcp_port));
    snprintf(un.sun_path, sizeof(un.sun_path), "%s", t->socket);
    int fd = socket(a->where == TO_IPC ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int r = a->where == TO_IPC ? connect(fd, (struct sockaddr *)&un, sizeof(un))
                               : connect(fd, (struct sockaddr *)&in, sizeof(in));
    if (fd < 0 || r != 0) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void hang_up(int fd)
{
    struct linger now = {1, 0}; /* a reset, not a polite end */
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(fd);
}

/* Sends what can be sent; false when the connection has ended. */
static bool push(const struct attack *a, struct stranger *s, int64_t now)
{
    while (s->sent < s->len) {
        size_t n = s->len - s->sent;
        if (a->manner == DRIP) {
            if (now < s->next_drip)
                break;
            s->next_drip = now + DRIP_MS;
            n = 1;
        }
        ssize_t r = send(s->fd, s->bytes + s->sent, n, MSG_NOSIGNAL);
        if (r < 0)
            return errno == EAGAIN;
        s->sent += (size_t)r;
        if (a->manner == DEAF && s->sent == s->len)
            s->sent = 0;
    }
    return true;
}

static bool ended(const struct attack *a, struct stranger *s)
{
    char buf[4096];
    ssize_t r = 1;
    while (a->manner != DEAF && (r = recv(s->fd, buf, sizeof(buf), 0)) > 0)
        ;
    return r == 0 || (r < 0 && errno != EAGAIN);
}

static void release(struct stranger *s, bool reset)
{
    if (reset)
        hang_up(s->fd);
    else
        close(s->fd);
    free(s->bytes);
    *s = (struct stranger){.fd = -1};
}

unsigned attack_run(const struct attack *a, const struct target *t, unsigned count)
{
    unsigned parallel = a->parallel < count ? a->parallel : count, begun = 0, over = 0, held = 0;
    struct stranger *all = xcalloc(parallel, sizeof(*all));
    struct pollfd *fds = xcalloc(parallel, sizeof(*fds));
    uint8_t *scratch = xcalloc(1, BYTES_MAX + 4096);
    for (unsigned i = 0; i < parallel; i++)
        all[i].fd = -1;
    while (over < count) {
        int64_t now = clock_monotonic_ms();
        for (unsigned i = 0; i < parallel; i++) {
            struct stranger *s = &all[i];
            if (s->fd < 0 && begun < count) {
                *s = (struct stranger){.fd = dial(a, t), .begun = now};
                if (s->fd < 0) /* the queue of the listener is full for a moment */
                    continue;
                s->len = a->bytes ? a->bytes(scratch, BYTES_MAX, begun) : 0;
                s->bytes = xcalloc(1, s->len + 1);
                memcpy(s->bytes, scratch, s->len);
                begun++;
            }
            if (s->fd < 0)
                continue;
            bool alive = push(a, s, now);
            if (alive && a->manner == HANG_UP && s->sent == s->len) {
                release(s, true);
                over++;
            } else if (!alive || ended(a, s) || now - s->begun > PATIENCE_MS) {
                held += alive && now - s->begun > PATIENCE_MS;
                release(s, false);
                over++;
            }
        }
        unsigned n = 0;
        for (unsigned i = 0; i < parallel; i++)
            if (all[i].fd >= 0)
                fds[n++] = (struct pollfd){
                    all[i].fd, POLLIN | (all[i].sent < all[i].len && a->manner != DRIP ? POLLOUT : 0), 0};
        if (n)
            poll(fds, n, a->manner == DRIP ? DRIP_MS : 200);
    }
    free(all);
    free(fds);
    free(scratch);
    return held;
}
