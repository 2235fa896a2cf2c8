#include "run.h"

#include "seeds.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PROGRESS_S = 10, ENOUGH = 5 };

static struct world world;

static void count(struct tally *t, const struct world *w)
{
    t->schedules++;
    t->steps += w->steps;
    t->migrations += (uint64_t)w->orders;
    t->done += w->done;
    t->aborted += w->aborted;
    t->cold += w->cold;
    t->in_doubt += w->in_doubt;
    t->violations += w->violated;
}

static void add(struct tally *sum, const struct tally *more)
{
    sum->schedules += more->schedules;
    sum->steps += more->steps;
    sum->migrations += more->migrations;
    sum->done += more->done;
    sum->aborted += more->aborted;
    sum->cold += more->cold;
    sum->in_doubt += more->in_doubt;
    sum->violations += more->violations;
    coverage_add(&sum->coverage, &more->coverage);
}

static void play(uint64_t seed, struct tally *t)
{
    bool good = world_play(&world, seed, SOUND, NULL, &t->coverage);
    count(t, &world);
    if (good)
        return;
    struct coverage unused = {0};
    printf("seed %llu: %s\n", (unsigned long long)seed, world.violation);
    world_play(&world, seed, SOUND, stdout, &unused);
    fflush(stdout);
}

/* ---- several processes: each takes its share of the seeds, and counts in memory that all see --------------------------- */

static void work(uint64_t seed, uint64_t schedules, struct tally *t)
{
    for (uint64_t i = 0; i < schedules && t->violations < ENOUGH; i++)
        play(seed + i, t);
}

static double since(const struct timespec *began)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - began->tv_sec) + (double)(now.tv_nsec - began->tv_nsec) / 1e9;
}

static void say_progress(const struct tally *tallies, unsigned jobs, uint64_t schedules, double seconds)
{
    uint64_t n = 0, violations = 0;
    for (unsigned i = 0; i < jobs; i++) {
        n += tallies[i].schedules;
        violations += tallies[i].violations;
    }
    fprintf(stderr, "%llu of %llu schedules, %.0f/s, violations=%llu\n", (unsigned long long)n,
            (unsigned long long)schedules, (double)n / seconds, (unsigned long long)violations);
}

static bool wait_for(pid_t pid, const struct tally *tallies, unsigned jobs, uint64_t schedules, bool progress,
                     const struct timespec *began)
{
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    int status;
    pid_t r;
    while ((r = waitpid(pid, &status, WNOHANG)) == 0) {
        const struct timespec tick = {.tv_sec = PROGRESS_S};
        if (sigtimedwait(&child, NULL, &tick) < 0 && progress)
            say_progress(tallies, jobs, schedules, since(began));
    }
    return r == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool run_many(uint64_t seed, uint64_t schedules, unsigned jobs, bool progress, struct tally *ret)
{
    struct tally *tallies =
        mmap(NULL, jobs * sizeof(*tallies), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t *pids = calloc(jobs, sizeof(*pids));
    if (tallies == MAP_FAILED || !pids)
        abort();
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, NULL); /* so that it is pending for sigtimedwait */
    struct timespec began;
    clock_gettime(CLOCK_MONOTONIC, &began);
    bool good = true;
    for (unsigned i = 0; i < jobs; i++) {
        uint64_t first = schedules * i / jobs, end = schedules * (i + 1) / jobs;
        pids[i] = fork();
        if (pids[i] == 0) {
            work(seed + first, end - first, &tallies[i]);
            _exit(0);
        }
    }
    *ret = (struct tally){0};
    for (unsigned i = 0; i < jobs; i++) {
        good &= pids[i] > 0 && wait_for(pids[i], tallies, jobs, schedules, progress, &began);
        add(ret, &tallies[i]);
    }
    free(pids);
    munmap(tallies, jobs * sizeof(*tallies));
    return good;
}

/* ---- broken on purpose ------------------------------------------------------------------------------------------------ */

bool run_until_found(enum mutation mutation, uint64_t seed, uint64_t schedules)
{
    struct coverage unused = {0};
    for (uint64_t i = 0; i < schedules; i++)
        if (!world_play(&world, seed + i, mutation, NULL, &unused)) {
            printf("broken on purpose: %s: found after %llu schedules (seed %llu): %s\n",
                   mutation_names[mutation], (unsigned long long)i + 1, (unsigned long long)(seed + i),
                   world.violation);
            return true;
        }
    printf("broken on purpose: %s: NOT found in %llu schedules\n", mutation_names[mutation],
           (unsigned long long)schedules);
    return false;
}

bool run_replay(void)
{
    struct coverage unused = {0};
    bool good = true, has[MUTATIONS] = {[SOUND] = true};
    for (size_t i = 0; i < seeds_n; i++) {
        const struct seed *s = &seeds[i];
        has[s->broken] = true;
        bool sound = world_play(&world, s->seed, SOUND, NULL, &unused);
        if (!sound)
            printf("seed %llu: %s\n", (unsigned long long)s->seed, world.violation);
        bool found = s->broken == SOUND || !world_play(&world, s->seed, s->broken, NULL, &unused);
        if (!found)
            printf("seed %llu no longer finds %s: a change of the simulation shifts every seed; take the one "
                   "that "
                   "--break %s finds\n",
                   (unsigned long long)s->seed, mutation_names[s->broken], mutation_names[s->broken]);
        good &= sound && found;
    }
    for (int m = 0; m < MUTATIONS; m++)
        if (!has[m]) {
            printf("no seed finds %s\n", mutation_names[m]);
            good = false;
        }
    printf("seeds=%zu %s\n", seeds_n, good ? "ok" : "FAILED");
    return good;
}
