#include "common/rpc/alarm.h"

#include "common/base/loop.h"
#include "common/base/memory.h"

#include <nng/nng.h>
#include <pthread.h>

struct alarm {
    nng_aio *aio;
    void (*fn)(void *arg);
    void *arg;
    pthread_mutex_t lock;
    int64_t at; /* INT64_MAX: not set */
    bool busy;  /* nng sleeps, or fn runs; the aio must not be started again */
    bool asleep, stopped;
};

static void sleep_locked(struct alarm *a)
{
    if (a->stopped || a->at == INT64_MAX) {
        a->busy = a->asleep = false;
        return;
    }
    a->busy = a->asleep = true;
    int64_t delay = a->at - clock_monotonic_ms();
    nng_sleep_aio(delay <= 0 ? 0 : delay > 3600000 ? 3600000 : (nng_duration)delay, a->aio);
}

static void on_wake(void *arg)
{
    struct alarm *a = arg;
    pthread_mutex_lock(&a->lock);
    a->asleep = false;
    if (!a->stopped && clock_monotonic_ms() >= a->at) {
        a->at = INT64_MAX;
        pthread_mutex_unlock(&a->lock);
        a->fn(a->arg);
        pthread_mutex_lock(&a->lock);
    }
    sleep_locked(a);
    pthread_mutex_unlock(&a->lock);
}

struct alarm *alarm_new(void (*fn)(void *arg), void *arg)
{
    struct alarm *a = new0(struct alarm);
    a->fn = fn;
    a->arg = arg;
    a->at = INT64_MAX;
    pthread_mutex_init(&a->lock, NULL);
    if (nng_aio_alloc(&a->aio, on_wake, a) != 0)
        xcalloc(SIZE_MAX, SIZE_MAX); /* out of memory, with its usual end */
    return a;
}

void alarm_at(struct alarm *a, int64_t when)
{
    pthread_mutex_lock(&a->lock);
    if (when < a->at && !a->stopped) {
        a->at = when;
        if (!a->busy)
            sleep_locked(a);
        else if (a->asleep)
            nng_aio_cancel(a->aio);
    }
    pthread_mutex_unlock(&a->lock);
}

void alarm_stop(struct alarm *a)
{
    pthread_mutex_lock(&a->lock);
    a->stopped = true;
    pthread_mutex_unlock(&a->lock);
    nng_aio_stop(a->aio);
}

void alarm_free(struct alarm *a)
{
    if (!a)
        return;
    nng_aio_free(a->aio);
    pthread_mutex_destroy(&a->lock);
    free(a);
}
