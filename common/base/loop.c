#include "common/base/loop.h"

#include "common/base/memory.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <systemd/sd-event.h>
#include <time.h>

struct post {
    struct post *next;
    void (*fn)(void *arg);
    void *arg;
};

struct loop {
    sd_event *event;
    sd_event_source *wake;
    int wake_fd;
    pthread_t thread;
    bool stopped; /* by loop_stop, with the code below */
    int code;
    pthread_mutex_t lock; /* guards the two below */
    struct post *first, **last;
};

struct loop_timer {
    sd_event_source *source;
    void (*fn)(void *arg);
    void *arg;
};

struct loop_fd {
    sd_event_source *source;
    void (*fn)(void *arg, int fd);
    void *arg;
};

struct signal_watch {
    void (*fn)(void *arg, int signo);
    void *arg;
};

static void run_posts(struct loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    struct post *list = loop->first;
    loop->first = NULL;
    loop->last = &loop->first;
    pthread_mutex_unlock(&loop->lock);
    while (list) {
        struct post *p = list;
        list = p->next;
        p->fn(p->arg);
        free(p);
    }
}

static int on_wake(sd_event_source *source, int fd, uint32_t events, void *data)
{
    (void)source;
    (void)events;
    eventfd_t n;
    eventfd_read(fd, &n);
    run_posts(data);
    return 0;
}

int loop_new(struct loop **ret, struct error *err)
{
    struct loop *loop = new0(struct loop);
    pthread_mutex_init(&loop->lock, NULL);
    loop->last = &loop->first;
    loop->thread = pthread_self();
    loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int r = loop->wake_fd < 0 ? -errno : sd_event_new(&loop->event);
    if (r >= 0)
        r = sd_event_add_io(loop->event, &loop->wake, loop->wake_fd, EPOLLIN, on_wake, loop);
    if (r < 0) {
        loop_free(loop);
        return error_errno(err, -r, "cannot make an event loop");
    }
    *ret = loop;
    return 0;
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    loop->thread = pthread_self();
    while (loop->first)
        run_posts(loop);
    sd_event_source_unref(loop->wake);
    sd_event_unref(loop->event);
    if (loop->wake_fd >= 0)
        close(loop->wake_fd);
    pthread_mutex_destroy(&loop->lock);
    free(loop);
}

int loop_run(struct loop *loop)
{
    /* Not sd_event_loop: sd_event_exit would leave a loop that takes no more timers, and cleaning up may want one. */
    loop->thread = pthread_self();
    loop->stopped = false;
    while (!loop->stopped) {
        int r = sd_event_run(loop->event, UINT64_MAX);
        if (r < 0)
            return r;
    }
    return loop->code;
}

struct stop {
    struct loop *loop;
    int code;
};

static void do_stop(void *arg)
{
    struct stop *s = arg;
    s->loop->stopped = true;
    s->loop->code = s->code;
    free(s);
}

void loop_stop(struct loop *loop, int code)
{
    struct stop *s = new0(struct stop);
    *s = (struct stop){loop, code};
    loop_post(loop, do_stop, s);
}

void loop_post(struct loop *loop, void (*fn)(void *arg), void *arg)
{
    struct post *p = new0(struct post);
    p->fn = fn;
    p->arg = arg;
    pthread_mutex_lock(&loop->lock);
    bool was_empty = !loop->first;
    *loop->last = p;
    loop->last = &p->next;
    if (was_empty)
        eventfd_write(loop->wake_fd, 1);
    pthread_mutex_unlock(&loop->lock);
}

bool loop_is_current(const struct loop *loop)
{
    return pthread_equal(loop->thread, pthread_self());
}

static int64_t clock_ms(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t clock_monotonic_ms(void)
{
    return clock_ms(CLOCK_MONOTONIC);
}

int64_t clock_realtime_ms(void)
{
    return clock_ms(CLOCK_REALTIME);
}

uint64_t clock_realtime_of(int64_t monotonic_ms)
{
    return (uint64_t)(clock_realtime_ms() - (clock_monotonic_ms() - monotonic_ms));
}

int64_t clock_monotonic_of(uint64_t realtime_ms)
{
    int64_t ago = clock_realtime_ms() - (int64_t)realtime_ms;
    return clock_monotonic_ms() - (ago > 0 ? ago : 0);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *data)
{
    (void)source;
    (void)usec;
    struct loop_timer *t = data;
    void (*fn)(void *) = t->fn;
    void *arg = t->arg;
    loop_timer_cancel(t);
    fn(arg);
    return 0;
}

struct loop_timer *loop_timer_start(struct loop *loop, int64_t delay_ms, void (*fn)(void *arg), void *arg)
{
    struct loop_timer *t = new0(struct loop_timer);
    t->fn = fn;
    t->arg = arg;
    uint64_t usec = delay_ms > 0 ? (uint64_t)delay_ms * 1000 : 0;
    if (sd_event_add_time_relative(loop->event, &t->source, CLOCK_MONOTONIC, usec, 1000, on_timer, t) < 0)
        abort(); /* only out of memory or out of descriptors gets here */
    return t;
}

struct loop_timer *loop_timer_cancel(struct loop_timer *t)
{
    if (t) {
        sd_event_source_disable_unref(t->source);
        free(t);
    }
    return NULL;
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *si, void *data)
{
    (void)source;
    struct signal_watch *w = data;
    w->fn(w->arg, (int)si->ssi_signo);
    return 0;
}

int loop_signal(struct loop *loop, int signo, void (*fn)(void *arg, int signo), void *arg, struct error *err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signo);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    struct signal_watch *w = new0(struct signal_watch);
    *w = (struct signal_watch){fn, arg};
    sd_event_source *source = NULL;
    int r = sd_event_add_signal(loop->event, &source, signo, on_signal, w);
    if (r < 0) {
        free(w);
        return error_errno(err, -r, "cannot watch signal %d", signo);
    }
    sd_event_source_set_destroy_callback(source, free);
    sd_event_source_set_floating(source, 1);
    sd_event_source_unref(source);
    return 0;
}

static int on_fd(sd_event_source *source, int fd, uint32_t events, void *data)
{
    (void)source;
    (void)events;
    struct loop_fd *w = data;
    w->fn(w->arg, fd);
    return 0;
}

struct loop_fd *loop_watch_fd(struct loop *loop, int fd, void (*fn)(void *arg, int fd), void *arg)
{
    struct loop_fd *w = new0(struct loop_fd);
    w->fn = fn;
    w->arg = arg;
    if (sd_event_add_io(loop->event, &w->source, fd, EPOLLIN, on_fd, w) < 0) {
        free(w);
        return NULL;
    }
    return w;
}

struct loop_fd *loop_unwatch_fd(struct loop_fd *w)
{
    if (w) {
        sd_event_source_disable_unref(w->source);
        free(w);
    }
    return NULL;
}
