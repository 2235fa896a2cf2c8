/* Bare TCP: what the kernel alone takes. */
#include "tests/bench/rpc/bench.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void no_delay(int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static void send_all(int fd, const char *data, size_t len)
{
    while (len) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n <= 0)
            abort();
        data += n;
        len -= (size_t)n;
    }
}

static void *echo(void *arg)
{
    int listener = (int)(intptr_t)arg, fd = accept(listener, NULL, NULL);
    char buf[65536];
    ssize_t n;
    no_delay(fd);
    while ((n = recv(fd, buf, sizeof(buf), 0)) > 0)
        send_all(fd, buf, (size_t)n);
    return NULL;
}

static int serve(void)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sa);
    pthread_t thread;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0 || listen(fd, 8) != 0 ||
        getsockname(fd, (struct sockaddr *)&sa, &len) != 0 ||
        pthread_create(&thread, NULL, echo, (void *)(intptr_t)fd) != 0)
        abort();
    return ntohs(sa.sin_port);
}

/* Echoes come back in order, so the slots go round. */
static void run(struct bench *b, int port, unsigned in_flight)
{
    struct sockaddr_in sa = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    static char out[IN_FLIGHT_MAX * ECHO_BYTES], in[65536];
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0)
        abort();
    no_delay(fd);
    bench_start(b);
    for (unsigned i = 0; i < in_flight; i++)
        bench_asked(b, i);
    send_all(fd, out, in_flight * ECHO_BYTES);
    unsigned left = in_flight, slot = 0;
    size_t have = 0;
    while (left) {
        ssize_t n = recv(fd, in, sizeof(in), 0);
        if (n <= 0)
            abort();
        unsigned again = 0;
        for (have += (size_t)n; have >= ECHO_BYTES; have -= ECHO_BYTES) {
            if (bench_answered(b, slot)) {
                bench_asked(b, slot);
                again++;
            } else {
                left--;
            }
            slot = (slot + 1) % in_flight;
        }
        send_all(fd, out, again * ECHO_BYTES);
    }
    close(fd);
}

const struct bench_system bench_tcp = {"bare TCP", serve, run};
