#include "common/base/loop.h"
#include "common/base/memory.h"

#include <pthread.h>
#include <time.h>

struct job {
    struct job *next;
    void (*fn)(void *arg);
    void (*done)(void *arg);
    void *arg;
};

struct workers {
    struct loop *loop;
    unsigned max, running, idle, queued, ended;
    bool stopping, abandoned;
    pthread_t *threads;
    pthread_mutex_t lock;
    pthread_cond_t ready, end;
    struct job *first, **last;
};

static void *worker(void *arg)
{
    struct workers *w = arg;
    pthread_mutex_lock(&w->lock);
    for (;;) {
        w->idle++;
        while (!w->first && !w->stopping)
            pthread_cond_wait(&w->ready, &w->lock);
        w->idle--;
        struct job *j = w->first;
        if (!j)
            break;
        w->first = j->next;
        w->queued--;
        if (!w->first)
            w->last = &w->first;
        pthread_mutex_unlock(&w->lock);
        j->fn(j->arg);
        pthread_mutex_lock(&w->lock);
        bool abandoned = w->abandoned; /* there is no loop any more */
        if (j->done && !abandoned)
            loop_post(w->loop, j->done, j->arg);
        free(j);
        if (abandoned)
            break;
    }
    w->ended++;
    pthread_cond_signal(&w->end);
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

struct workers *workers_new(struct loop *loop, unsigned max)
{
    struct workers *w = new0(struct workers);
    w->loop = loop;
    w->max = max ? max : 1;
    w->threads = xcalloc(w->max, sizeof(*w->threads));
    w->last = &w->first;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->ready, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&w->end, &attr);
    pthread_condattr_destroy(&attr);
    return w;
}

void workers_submit(struct workers *w, void (*fn)(void *arg), void (*done)(void *arg), void *arg)
{
    struct job *j = new0(struct job);
    *j = (struct job){NULL, fn, done, arg};
    pthread_mutex_lock(&w->lock);
    *w->last = j;
    w->last = &j->next;
    w->queued++;
    if (w->queued > w->idle && w->running < w->max) {
        if (pthread_create(&w->threads[w->running], NULL, worker, w) == 0)
            w->running++;
        else if (w->running == 0)
            abort(); /* nobody would ever run it */
    }
    pthread_cond_signal(&w->ready);
    pthread_mutex_unlock(&w->lock);
}

static void stop(struct workers *w)
{
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    pthread_cond_broadcast(&w->ready);
    pthread_mutex_unlock(&w->lock);
}

void workers_free(struct workers *w)
{
    if (!w)
        return;
    stop(w);
    for (unsigned i = 0; i < w->running; i++)
        pthread_join(w->threads[i], NULL);
    pthread_cond_destroy(&w->ready);
    pthread_cond_destroy(&w->end);
    pthread_mutex_destroy(&w->lock);
    free(w->threads);
    free(w);
}

bool workers_free_within(struct workers *w, int64_t ms)
{
    int64_t deadline = clock_monotonic_ms() + ms;
    struct timespec end = {deadline / 1000, deadline % 1000 * 1000000};
    stop(w);
    pthread_mutex_lock(&w->lock);
    while (w->ended < w->running && pthread_cond_timedwait(&w->end, &w->lock, &end) == 0)
        ;
    w->abandoned = w->ended < w->running;
    bool abandoned = w->abandoned;
    pthread_mutex_unlock(&w->lock);
    if (!abandoned)
        workers_free(w);
    return !abandoned;
}
