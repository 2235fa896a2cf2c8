#include "agent/io/limit.h"

#include "common/base/loop.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>

int64_t limit_left_ms(const struct limit *limit)
{
    int64_t left = limit->deadline_ms - clock_monotonic_ms();
    return left > 0 ? left : 0;
}

bool limit_over(const struct limit *limit)
{
    struct pollfd p = {.fd = limit->cancel_fd, .events = POLLIN};
    return limit_left_ms(limit) == 0 || (limit->cancel_fd >= 0 && poll(&p, 1, 0) > 0);
}

bool limit_poll(const struct limit *limit, int fd, short events, int64_t wait_ms)
{
    int64_t end = limit->deadline_ms;
    if (wait_ms >= 0 && clock_monotonic_ms() + wait_ms < end)
        end = clock_monotonic_ms() + wait_ms;
    for (;;) {
        struct pollfd p[2] = {{.fd = fd, .events = events}, {.fd = limit->cancel_fd, .events = POLLIN}};
        int64_t left = end - clock_monotonic_ms();
        int n = poll(p, 2, left <= 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0 || p[1].revents)
            return false;
        return p[0].revents != 0;
    }
}
