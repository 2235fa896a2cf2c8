/* tests/bench/run rpc [ROUNDS [SECONDS]]: unary echo of 64 bytes, 1 and 64 in flight on one connection: Drover's RPC with
 * handlers and closures on the library's threads, as in gRPC's callback API, and on the programs' loops; gRPC C++; bare TCP.
 * Server and client are processes of their own; rounds alternate; the table shows medians. CPU is of both processes. */
#include "tests/bench/rpc/bench.h"

#include "common/base/memory.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SAMPLES_MAX 4000000

static const struct bench_system *const systems[] = {&bench_drover, &bench_drover_loop, &bench_grpc,
                                                     &bench_tcp};
#define SYSTEMS (sizeof(systems) / sizeof(systems[0]))
static const unsigned in_flights[] = {1, IN_FLIGHT_MAX};

struct result {
    double p50_us, p99_us, calls_per_s, cpu_us;
};

struct bench {
    unsigned in_flight;
    pid_t server;
    double seconds;
    int64_t begun, until, asked[IN_FLIGHT_MAX];
    int64_t cpu;
    _Atomic uint32_t count;
    atomic_uint left;
    uint32_t *ns; /* per echo */
    pthread_mutex_t lock;
    pthread_cond_t done;
};

static int64_t now_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t cpu_of_both(pid_t server)
{
    clockid_t clock;
    if (clock_getcpuclockid(server, &clock) != 0)
        abort();
    return now_ns(clock) + now_ns(CLOCK_PROCESS_CPUTIME_ID);
}

void bench_start(struct bench *b)
{
    atomic_store(&b->left, b->in_flight);
    b->cpu = cpu_of_both(b->server);
    b->begun = now_ns(CLOCK_MONOTONIC);
    b->until = b->begun + (int64_t)(b->seconds * 1e9);
}

void bench_asked(struct bench *b, unsigned slot)
{
    b->asked[slot] = now_ns(CLOCK_MONOTONIC);
}

bool bench_answered(struct bench *b, unsigned slot)
{
    int64_t now = now_ns(CLOCK_MONOTONIC);
    uint32_t i = atomic_fetch_add(&b->count, 1);
    if (i < SAMPLES_MAX)
        b->ns[i] = (uint32_t)(now - b->asked[slot]);
    if (now < b->until)
        return true;
    if (atomic_fetch_sub(&b->left, 1) == 1) {
        pthread_mutex_lock(&b->lock);
        pthread_cond_signal(&b->done);
        pthread_mutex_unlock(&b->lock);
    }
    return false;
}

void bench_wait(struct bench *b)
{
    pthread_mutex_lock(&b->lock);
    while (atomic_load(&b->left))
        pthread_cond_wait(&b->done, &b->lock);
    pthread_mutex_unlock(&b->lock);
}

static int compare_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static int compare_double(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* In a process of its own: what it measures goes to `out`. */
static void client(const struct bench_system *s, int port, pid_t server, unsigned in_flight, double seconds,
                   int out)
{
    struct bench b = {.in_flight = in_flight,
                      .server = server,
                      .seconds = seconds,
                      .lock = PTHREAD_MUTEX_INITIALIZER,
                      .done = PTHREAD_COND_INITIALIZER};
    b.ns = xcalloc(SAMPLES_MAX, sizeof(*b.ns));
    s->run(&b, port, in_flight);
    double took = (double)(now_ns(CLOCK_MONOTONIC) - b.begun);
    double cpu = (double)(cpu_of_both(server) - b.cpu);
    uint32_t n = b.count < SAMPLES_MAX ? b.count : SAMPLES_MAX;
    qsort(b.ns, n, sizeof(*b.ns), compare_u32);
    struct result r = {b.ns[n / 2] / 1e3, b.ns[(uint64_t)n * 99 / 100] / 1e3, b.count / took * 1e9,
                       cpu / b.count / 1e3};
    if (write(out, &r, sizeof(r)) != sizeof(r))
        _exit(1);
    _exit(0);
}

/* Runs one round; false when the system isn't there. */
static bool round_of(const struct bench_system *s, unsigned in_flight, double seconds, struct result *ret)
{
    int to_parent[2], port = 0, status;
    if (pipe(to_parent) != 0)
        abort();
    pid_t server = fork();
    if (server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        port = s->serve();
        if (write(to_parent[1], &port, sizeof(port)) != sizeof(port))
            _exit(1);
        for (;;)
            pause();
    }
    if (read(to_parent[0], &port, sizeof(port)) != sizeof(port))
        abort();
    bool there = port > 0;
    if (there) {
        pid_t pid = fork();
        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            client(s, port, server, in_flight, seconds, to_parent[1]);
        }
        there = waitpid(pid, &status, 0) == pid && status == 0 &&
                read(to_parent[0], ret, sizeof(*ret)) == sizeof(*ret);
        if (!there)
            fprintf(stderr, "rpc: the client of %s failed\n", s->name);
    }
    kill(server, SIGKILL);
    waitpid(server, &status, 0);
    close(to_parent[0]);
    close(to_parent[1]);
    return there;
}

static double median(const struct result *r, unsigned n, size_t offset)
{
    double v[64];
    for (unsigned i = 0; i < n; i++)
        memcpy(&v[i], (const char *)&r[i] + offset, sizeof(double));
    qsort(v, n, sizeof(v[0]), compare_double);
    return n ? v[n / 2] : 0;
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 7;
    double seconds = argc > 2 ? atof(argv[2]) : 1;
    static struct result all[SYSTEMS][2][64];
    struct result m[SYSTEMS][2];
    unsigned got[SYSTEMS][2] = {{0}};
    if (rounds < 1 || rounds > 64 || seconds <= 0) {
        fprintf(stderr, "usage: tests/bench/run rpc [ROUNDS (1..64) [SECONDS]]\n");
        return 2;
    }
    for (unsigned i = 0; i < rounds; i++)
        for (unsigned s = 0; s < SYSTEMS; s++)
            for (unsigned f = 0; f < 2; f++)
                got[s][f] += round_of(systems[s], in_flights[f], seconds, &all[s][f][got[s][f]]);
    printf("%-22s %9s %9s %9s %10s %9s\n", "echo of 64 bytes", "in flight", "p50 us", "p99 us", "calls/s",
           "CPU us");
    for (unsigned s = 0; s < SYSTEMS; s++)
        for (unsigned f = 0; f < 2; f++) {
            const struct result *r = all[s][f];
            unsigned n = got[s][f];
            m[s][f] = (struct result){median(r, n, offsetof(struct result, p50_us)),
                                      median(r, n, offsetof(struct result, p99_us)),
                                      median(r, n, offsetof(struct result, calls_per_s)),
                                      median(r, n, offsetof(struct result, cpu_us))};
            if (n)
                printf("%-22s %9u %9.1f %9.1f %10.0f %9.2f\n", systems[s]->name, in_flights[f],
                       m[s][f].p50_us, m[s][f].p99_us, m[s][f].calls_per_s, m[s][f].cpu_us);
            else
                printf("%-22s %9u %9s\n", systems[s]->name, in_flights[f], "not built");
        }
    double grpc_cpu = m[2][1].cpu_us;
    printf("rpc p50_us=%.1f grpc_p50_us=%.1f tcp_p50_us=%.1f loop_p50_us=%.1f cpu_us_64=%.2f "
           "grpc_cpu_us_64=%.2f "
           "cpu_ratio_64=%.2f loop_cpu_ratio_64=%.2f rounds=%u\n",
           m[0][0].p50_us, m[2][0].p50_us, m[3][0].p50_us, m[1][0].p50_us, m[0][1].cpu_us, grpc_cpu,
           grpc_cpu > 0 ? m[0][1].cpu_us / grpc_cpu : 0, grpc_cpu > 0 ? m[1][1].cpu_us / grpc_cpu : 0,
           rounds);
    return got[0][0] == rounds && got[0][1] == rounds ? 0 : 1;
}
