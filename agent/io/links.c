#include "agent/io/links.h"

#include "common/base/memory.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

struct links {
    int fd;
    struct loop_fd *watch;
    void (*fn)(void *arg);
    void *arg;
};

static void on_readable(void *arg, int fd)
{
    struct links *l = arg;
    char message[8192];
    ssize_t n;
    /* What has changed is read from sysfs. ENOBUFS: messages were lost, so something has changed. */
    do
        n = recv(fd, message, sizeof(message), MSG_DONTWAIT);
    while (n > 0 || (n < 0 && (errno == EINTR || errno == ENOBUFS)));
    l->fn(l->arg);
}

int links_new(struct loop *loop, void (*fn)(void *arg), void *arg, struct links **ret, struct error *err)
{
    _cleanup_(links_freep) struct links *l = new0(struct links);
    l->fn = fn;
    l->arg = arg;
    l->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
    if (l->fd < 0 || bind(l->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return error_errno(err, errno, "cannot watch the network interfaces");
    l->watch = loop_watch_fd(loop, l->fd, on_readable, l);
    if (!l->watch)
        return error_set(err, STATUS_INTERNAL, "cannot watch the network interfaces");
    *ret = steal(&l);
    return 0;
}

void links_free(struct links *l)
{
    if (!l)
        return;
    loop_unwatch_fd(l->watch);
    if (l->fd >= 0)
        close(l->fd);
    free(l);
}
