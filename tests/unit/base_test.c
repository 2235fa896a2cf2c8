#include "common/base/loop.h"
#include "common/base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>

static void error_keeps_code_and_text(void **state)
{
    (void)state;
    struct error e = {0};
    assert_int_equal(error_set(&e, STATUS_NOT_FOUND, "guest %s", "web1"), -STATUS_NOT_FOUND);
    assert_string_equal(e.text, "guest web1");
    assert_int_equal(error_prefix(&e, "host %s", "kvm1"), -STATUS_NOT_FOUND);
    assert_string_equal(e.text, "host kvm1: guest web1");
    assert_int_equal(error_errno(&e, EACCES, "open /x"), -STATUS_PERMISSION_DENIED);
    assert_string_equal(e.text, "open /x: Permission denied");
    assert_string_equal(status_name(STATUS_UNAVAILABLE), "UNAVAILABLE");
    assert_string_equal(status_name((enum status_code)99), "UNKNOWN");
}

static void a_long_error_is_cut_and_says_so(void **state)
{
    (void)state;
    char text[2000];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    struct error e;
    error_set(&e, STATUS_INTERNAL, "%s", text);
    assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
    assert_string_equal(e.text + sizeof(e.text) - 4, "...");
}

struct seen {
    struct loop *loop;
    pthread_t worker;
    int order[8], n;
    bool done_on_loop;
};

static void note1(void *arg)
{
    struct seen *s = arg;
    s->order[s->n++] = 1;
}

static void note2(void *arg)
{
    struct seen *s = arg;
    s->order[s->n++] = 2;
}

static void stop(void *arg)
{
    struct seen *s = arg;
    loop_stop(s->loop, 7);
}

static void posts_keep_their_order(void **state)
{
    (void)state;
    _cleanup_(loop_freep) struct loop *loop = NULL;
    assert_int_equal(loop_new(&loop, NULL), 0);
    struct seen s = {.loop = loop};
    loop_post(loop, note1, &s);
    loop_post(loop, note2, &s);
    loop_timer_cancel(loop_timer_start(loop, 0, note1, &s));
    loop_timer_start(loop, 1, stop, &s);
    assert_int_equal(loop_run(loop), 7);
    assert_int_equal(s.n, 2);
    assert_int_equal(s.order[0], 1);
    assert_int_equal(s.order[1], 2);
}

static void work(void *arg)
{
    struct seen *s = arg;
    s->worker = pthread_self();
}

static void finished(void *arg)
{
    struct seen *s = arg;
    s->done_on_loop = loop_is_current(s->loop) && !pthread_equal(s->worker, pthread_self());
    loop_stop(s->loop, 0);
}

static void workers_finish_on_the_loop(void **state)
{
    (void)state;
    _cleanup_(loop_freep) struct loop *loop = NULL;
    assert_int_equal(loop_new(&loop, NULL), 0);
    struct seen s = {.loop = loop};
    struct workers *w = workers_new(loop, 2);
    workers_submit(w, work, finished, &s);
    assert_int_equal(loop_run(loop), 0);
    assert_true(s.done_on_loop);
    workers_free(w);
}

struct rendezvous {
    pthread_barrier_t barrier;
    struct loop *loop;
    int left;
};

static void meet(void *arg)
{
    struct rendezvous *r = arg;
    pthread_barrier_wait(&r->barrier);
}

static void met(void *arg)
{
    struct rendezvous *r = arg;
    if (--r->left == 0)
        loop_stop(r->loop, 0);
}

/* Two jobs that wait for each other end only if the second does not queue behind the first. */
static void a_blocked_worker_does_not_hold_up_the_next(void **state)
{
    (void)state;
    _cleanup_(loop_freep) struct loop *loop = NULL;
    assert_int_equal(loop_new(&loop, NULL), 0);
    struct rendezvous r = {.loop = loop, .left = 2};
    pthread_barrier_init(&r.barrier, NULL, 2);
    struct workers *w = workers_new(loop, 4);
    workers_submit(w, meet, met, &r);
    workers_submit(w, meet, met, &r);
    assert_int_equal(loop_run(loop), 0);
    workers_free(w);
    pthread_barrier_destroy(&r.barrier);
}

struct hanging {
    pthread_barrier_t begun, released;
    int done;
};

static void hang(void *arg)
{
    struct hanging *h = arg;
    pthread_barrier_wait(&h->begun);
    pthread_barrier_wait(&h->released);
}

static void count_done(void *arg)
{
    struct hanging *h = arg;
    h->done++;
}

static void work_that_never_ends_is_left_behind(void **state)
{
    (void)state;
    static struct workers *kept; /* nobody frees them: that is what is asked for */
    _cleanup_(loop_freep) struct loop *loop = NULL;
    assert_int_equal(loop_new(&loop, NULL), 0);
    struct hanging h = {.done = 0};
    pthread_barrier_init(&h.begun, NULL, 2);
    pthread_barrier_init(&h.released, NULL, 2);
    kept = workers_new(loop, 2);
    workers_submit(kept, hang, count_done, &h);
    pthread_barrier_wait(&h.begun);
    assert_false(workers_free_within(kept, 50));
    assert_true(workers_free_within(workers_new(loop, 2), 50));
    loop_free(steal(&loop));
    pthread_barrier_wait(&h.released); /* it comes back to a loop that is gone */
    pthread_barrier_destroy(&h.released);
    pthread_barrier_destroy(&h.begun);
    assert_int_equal(h.done, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(error_keeps_code_and_text),
        cmocka_unit_test(a_long_error_is_cut_and_says_so),
        cmocka_unit_test(posts_keep_their_order),
        cmocka_unit_test(workers_finish_on_the_loop),
        cmocka_unit_test(a_blocked_worker_does_not_hold_up_the_next),
        cmocka_unit_test(work_that_never_ends_is_left_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
