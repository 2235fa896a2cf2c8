/* A proxy for tests: two threads per connection, that cut when told. */
#include "tests/unit/rpc_fixture.h"

#include "common/base/memory.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX 64

struct proxy {
    pthread_t thread;
    pthread_mutex_t lock;
    int listener, stop[2];
    unsigned short server_port;
    bool blocked;
    int pairs[MAX][2];
    unsigned count;
};

static int tcp(unsigned short port, bool listening)
{
    struct sockaddr_in sa = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int r = listening ? bind(fd, (struct sockaddr *)&sa, sizeof(sa))
                      : connect(fd, (struct sockaddr *)&sa, sizeof(sa));
    if (r == 0 && listening)
        r = listen(fd, 16);
    if (r != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static void drop_locked(struct proxy *p, unsigned i)
{
    close(p->pairs[i][0]);
    close(p->pairs[i][1]);
    p->count--;
    memmove(p->pairs[i], p->pairs[p->count], sizeof(p->pairs[i]));
}

static void take_connection_locked(struct proxy *p)
{
    int client = accept(p->listener, NULL, NULL);
    int server = client >= 0 && !p->blocked && p->count < MAX ? tcp(p->server_port, false) : -1;
    if (server < 0) {
        close(client);
        return;
    }
    p->pairs[p->count][0] = client;
    p->pairs[p->count][1] = server;
    p->count++;
}

static bool pass(int from, int to)
{
    char buf[65536];
    ssize_t n = recv(from, buf, sizeof(buf), MSG_DONTWAIT);
    return n > 0 && send(to, buf, (size_t)n, MSG_NOSIGNAL) == n;
}

static void *run(void *arg)
{
    struct proxy *p = arg;
    for (;;) {
        struct pollfd fds[2 + 2 * MAX] = {{p->stop[0], POLLIN, 0}, {p->listener, POLLIN, 0}};
        pthread_mutex_lock(&p->lock);
        unsigned n = p->count;
        for (unsigned i = 0; i < n; i++)
            for (unsigned k = 0; k < 2; k++)
                fds[2 + 2 * i + k] = (struct pollfd){p->pairs[i][k], POLLIN, 0};
        pthread_mutex_unlock(&p->lock);
        poll(fds, 2 + 2 * n, -1);
        char c = 0;
        if (fds[0].revents && read(p->stop[0], &c, 1) == 1 && c == 's')
            return NULL;
        pthread_mutex_lock(&p->lock);
        for (unsigned i = n; i-- > 0;)
            if (c == 'c' || (fds[2 + 2 * i].revents && !pass(p->pairs[i][0], p->pairs[i][1])) ||
                (fds[3 + 2 * i].revents && !pass(p->pairs[i][1], p->pairs[i][0])))
                drop_locked(p, i);
        if (fds[1].revents)
            take_connection_locked(p);
        pthread_mutex_unlock(&p->lock);
    }
}

struct proxy *proxy_new(const char *server_url, char *ret_url, size_t size)
{
    struct proxy *p = new0(struct proxy);
    struct sockaddr_in sa;
    socklen_t len = sizeof(sa);
    p->server_port = (unsigned short)atoi(strrchr(server_url, ':') + 1);
    p->listener = tcp(0, true);
    assert_true(p->listener >= 0);
    assert_int_equal(getsockname(p->listener, (struct sockaddr *)&sa, &len), 0);
    assert_int_equal(pipe(p->stop), 0);
    pthread_mutex_init(&p->lock, NULL);
    snprintf(ret_url, size, "%.*s://127.0.0.1:%d", (int)(strstr(server_url, "://") - server_url), server_url,
             ntohs(sa.sin_port));
    assert_int_equal(pthread_create(&p->thread, NULL, run, p), 0);
    return p;
}

void proxy_cut(struct proxy *p)
{
    assert_int_equal(write(p->stop[1], "c", 1), 1);
}

void proxy_block(struct proxy *p, bool block)
{
    pthread_mutex_lock(&p->lock);
    p->blocked = block;
    pthread_mutex_unlock(&p->lock);
}

void proxy_free(struct proxy *p)
{
    assert_int_equal(write(p->stop[1], "s", 1), 1);
    pthread_join(p->thread, NULL);
    while (p->count)
        drop_locked(p, p->count - 1);
    close(p->listener);
    close(p->stop[0]);
    close(p->stop[1]);
    pthread_mutex_destroy(&p->lock);
    free(p);
}
