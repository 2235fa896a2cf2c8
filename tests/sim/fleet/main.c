/* tests/sim/run --schedules N --seed S [--jobs N] [--coverage]; --help tells the rest. */
#include "run.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

static int usage(FILE *out, int code)
{
    fputs("usage: run [--schedules N] [--seed S] [--jobs N] [--progress] [--coverage]\n"
          "       run --break RULE | --break-each [--schedules N] [--seed S]\n"
          "       run --replay\n"
          "       run --trace SEED [--break RULE]\n"
          "Plays N schedules of a simulated fleet from seed S on, in as many processes as --jobs says. A "
          "seed that\n"
          "violates an invariant is printed with its trace, and the exit code is 1. --coverage prints how "
          "often each\n"
          "fault and each move of the state machines was exercised; one that never was is a failure. --break "
          "plays\n"
          "with a rule broken on purpose: then finding a violation is success. --replay plays the seeds that "
          "once\n"
          "failed. --trace shows one schedule. Rules:",
          out);
    for (int m = 1; m < MUTATIONS; m++)
        fprintf(out, "%s%s", m % 5 == 1 ? "\n  " : " ", mutation_names[m]);
    fputc('\n', out);
    return code;
}

static bool number(const char *text, uint64_t *ret)
{
    char *end;
    unsigned long long n = strtoull(text, &end, 0);
    if (!*text || *end)
        return false;
    *ret = n;
    return true;
}

static enum mutation mutation_of(const char *name)
{
    for (int m = 1; m < MUTATIONS; m++)
        if (strcmp(name, mutation_names[m]) == 0)
            return (enum mutation)m;
    return SOUND;
}

static bool show(uint64_t seed, enum mutation mutation)
{
    static struct world world;
    static struct coverage unused;
    return world_play(&world, seed, mutation, stdout, &unused);
}

static int play(uint64_t seed, uint64_t schedules, unsigned jobs, bool progress, bool coverage)
{
    struct tally t;
    bool good = run_many(seed, schedules, jobs, progress, &t);
    if (!good)
        fprintf(stderr, "a process of the simulation has died\n");
    if (coverage && !coverage_print(&t.coverage))
        good = false;
    printf("steps %llu, migrations %llu: done %llu, aborted %llu, started anew %llu, in doubt %llu\n",
           (unsigned long long)t.steps, (unsigned long long)t.migrations, (unsigned long long)t.done,
           (unsigned long long)t.aborted, (unsigned long long)t.cold, (unsigned long long)t.in_doubt);
    printf("sim schedules=%llu violations=%llu\n", (unsigned long long)t.schedules,
           (unsigned long long)t.violations);
    return !good || t.violations > 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"schedules", required_argument, NULL, 'n'},
        {"seed", required_argument, NULL, 's'},
        {"jobs", required_argument, NULL, 'j'},
        {"break", required_argument, NULL, 'b'},
        {"break-each", no_argument, NULL, 'e'},
        {"trace", required_argument, NULL, 't'},
        {"progress", no_argument, NULL, 'p'},
        {"coverage", no_argument, NULL, 'c'},
        {"replay", no_argument, NULL, 'r'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    uint64_t schedules = 20000, seed = 1, jobs = 1, traced = 0;
    enum mutation mutation = SOUND;
    bool each = false, trace = false, progress = false, coverage = false, replay = false, good = true;
    int c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 'n': good &= number(optarg, &schedules); break;
        case 's': good &= number(optarg, &seed); break;
        case 'j': good &= number(optarg, &jobs) && jobs >= 1 && jobs <= 1024; break;
        case 't': good &= trace = number(optarg, &traced); break;
        case 'b':
            mutation = mutation_of(optarg);
            good &= mutation != SOUND;
            break;
        case 'e': each = true; break;
        case 'p': progress = true; break;
        case 'c': coverage = true; break;
        case 'r': replay = true; break;
        case 'h': return usage(stdout, 0);
        default: good = false; break;
        }
    }
    if (!good || optind < argc)
        return usage(stderr, 2);
    if (trace)
        return !show(traced, mutation);
    if (replay)
        return !run_replay();
    if (mutation != SOUND)
        return !run_until_found(mutation, seed, schedules);
    if (!each)
        return play(seed, schedules, (unsigned)jobs, progress, coverage);
    for (int m = 1; m < MUTATIONS; m++)
        good &= run_until_found((enum mutation)m, seed, schedules);
    return !good;
}
