/* The two ends of a measurement, over this machine's loopback. */
#include "agent/io/bandwidth.h"
#include "common/base/cleanup.h"
#include "common/base/loop.h"

#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define NONCE "6f1c2a8e-0d3b-4b52-9a51-0c7d7f4b2a10"
#define OTHER "6f1c2a8e-0d3b-4b52-9a51-0c7d7f4b2a11"
enum { LONG_MS = 20000 };

struct ends {
    int listener, fd, cancel_fd;
    struct limit limit;
    pthread_t thread;
};

static void *swallow(void *arg)
{
    struct ends *e = arg;
    bandwidth_swallow(&e->limit, e->listener, NONCE);
    return NULL;
}

static void ends_init(struct ends *e)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(at);
    e->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(e->listener, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(e->listener, 1), 0);
    assert_int_equal(getsockname(e->listener, (struct sockaddr *)&at, &size), 0);
    e->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(e->fd, (struct sockaddr *)&at, sizeof(at)), 0);
    e->cancel_fd = eventfd(0, EFD_CLOEXEC);
    e->limit = (struct limit){clock_monotonic_ms() + LONG_MS, e->cancel_fd};
    assert_int_equal(pthread_create(&e->thread, NULL, swallow, e), 0);
}

static void ends_deinit(struct ends *e)
{
    close(e->fd);
    pthread_join(e->thread, NULL);
    close(e->cancel_fd);
    assert_true(limit_left_ms(&e->limit) > 0); /* nobody waited for it */
}

static void what_a_link_carries_is_measured(void **state)
{
    (void)state;
    struct ends e;
    struct error err = {0};
    int64_t rate = 0;
    ends_init(&e);
    assert_int_equal(bandwidth_send(&e.limit, e.fd, NONCE, &rate, &err), 0);
    assert_true(rate > 1 << 20);
    ends_deinit(&e);
}

static void a_stream_of_somebody_else_is_not_swallowed(void **state)
{
    (void)state;
    struct ends e;
    struct error err = {0};
    int64_t rate = 0;
    ends_init(&e);
    assert_int_equal(bandwidth_send(&e.limit, e.fd, OTHER, &rate, &err), -(int)STATUS_UNAVAILABLE);
    assert_int_equal(rate, 0);
    ends_deinit(&e);
}

static void *give_up(void *arg)
{
    const struct ends *e = arg;
    poll(NULL, 0, 50); /* it has begun by then, or has not: both end the same way */
    eventfd_write(e->cancel_fd, 1);
    return NULL;
}

static void a_measurement_is_given_up_at_once_by_both_ends(void **state)
{
    (void)state;
    struct ends e;
    struct error err = {0};
    int64_t rate = 0;
    pthread_t thread;
    ends_init(&e);
    assert_int_equal(pthread_create(&thread, NULL, give_up, &e), 0);
    assert_int_equal(bandwidth_send(&e.limit, e.fd, NONCE, &rate, &err), -(int)STATUS_CANCELLED);
    assert_int_equal(rate, 0);
    pthread_join(thread, NULL);
    ends_deinit(&e);
}

static void one_that_says_nothing_is_let_go(void **state)
{
    (void)state;
    struct ends e;
    ends_init(&e);
    shutdown(e.fd, SHUT_WR);
    ends_deinit(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_link_carries_is_measured),
        cmocka_unit_test(a_stream_of_somebody_else_is_not_swallowed),
        cmocka_unit_test(a_measurement_is_given_up_at_once_by_both_ends),
        cmocka_unit_test(one_that_says_nothing_is_let_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
