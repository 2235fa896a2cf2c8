#include "common/base/loop.h"
#include "common/base/memory.h"

#include <pthread.h>

struct job {
    struct job *next;
    void (*fn)(void *arg);
    void (*done)(void *arg);
    void *arg;
};

struct workers {
    struct loop *loop;
    unsigned max, running, idle, queued;
    bool stopping;
    pthread_t *threads;
    pthread_mutex_t lock;
    pthread_cond_t ready;
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
        if (j->done)
            loop_post(w->loop, j->done, j->arg);
        free(j);
        pthread_mutex_lock(&w->lock);
    }
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

void workers_free(struct workers *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    pthread_cond_broadcast(&w->ready);
    pthread_mutex_unlock(&w->lock);
    for (unsigned i = 0; i < w->running; i++)
        pthread_join(w->threads[i], NULL);
    pthread_cond_destroy(&w->ready);
    pthread_mutex_destroy(&w->lock);
    free(w->threads);
    free(w);
}
