/* tests/sim/run --schedules N --seed S [--break RULE] [--trace SEED] */
#include "world.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int usage(FILE *out, int code)
{
    fputs("usage: run [--schedules N] [--seed S] [--break RULE | --break-each] [--trace SEED]\n"
          "Plays N schedules of a simulated fleet from seed S on. A seed that violates an invariant is "
          "printed with its\n"
          "trace, and the exit code is 1. --break plays with a rule broken on purpose: then finding a "
          "violation is\n"
          "success. Rules:",
          out);
    for (int m = 1; m < MUTATIONS; m++)
        fprintf(out, " %s", mutation_names[m]);
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

static struct world world;
static uint64_t steps, done, aborted, cold, in_doubt, orders;

static bool play(uint64_t seed, enum mutation mutation)
{
    bool good = world_play(&world, seed, mutation, NULL);
    steps += world.steps;
    orders += (uint64_t)world.orders;
    done += world.done;
    aborted += world.aborted;
    cold += world.cold;
    in_doubt += world.in_doubt;
    if (good)
        return true;
    if (mutation == SOUND) {
        printf("seed %llu: %s\n", (unsigned long long)seed, world.violation);
        world_play(&world, seed, mutation, stdout);
    }
    return false;
}

/* 0 when it is found. */
static int find(enum mutation mutation, uint64_t seed, uint64_t schedules)
{
    for (uint64_t i = 0; i < schedules; i++)
        if (!play(seed + i, mutation)) {
            printf("broken on purpose: %s: found after %llu schedules (seed %llu): %s\n",
                   mutation_names[mutation], (unsigned long long)i + 1, (unsigned long long)(seed + i),
                   world.violation);
            return 0;
        }
    printf("broken on purpose: %s: NOT found in %llu schedules\n", mutation_names[mutation],
           (unsigned long long)schedules);
    return 1;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"schedules", required_argument, NULL, 'n'},
        {"seed", required_argument, NULL, 's'},
        {"break", required_argument, NULL, 'b'},
        {"break-each", no_argument, NULL, 'e'},
        {"trace", required_argument, NULL, 't'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    uint64_t schedules = 20000, seed = 1, traced = 0;
    enum mutation mutation = SOUND;
    bool each = false, trace = false;
    int c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 'n':
            if (!number(optarg, &schedules))
                return usage(stderr, 2);
            break;
        case 's':
            if (!number(optarg, &seed))
                return usage(stderr, 2);
            break;
        case 't':
            if (!number(optarg, &traced))
                return usage(stderr, 2);
            trace = true;
            break;
        case 'b':
            for (int m = 1; m < MUTATIONS; m++)
                if (strcmp(optarg, mutation_names[m]) == 0)
                    mutation = (enum mutation)m;
            if (mutation == SOUND)
                return usage(stderr, 2);
            break;
        case 'e': each = true; break;
        case 'h': return usage(stdout, 0);
        default: return usage(stderr, 2);
        }
    }
    if (optind < argc)
        return usage(stderr, 2);
    if (trace)
        return !world_play(&world, traced, mutation, stdout);
    if (mutation != SOUND)
        return find(mutation, seed, schedules);
    int r = 0;
    if (each) {
        for (int m = 1; m < MUTATIONS; m++)
            r |= find((enum mutation)m, seed, schedules);
        return r;
    }
    unsigned violations = 0;
    for (uint64_t i = 0; i < schedules && violations < 5; i++)
        violations += !play(seed + i, SOUND);
    printf("steps %llu, migrations %llu: done %llu, aborted %llu, started anew %llu, in doubt %llu\n",
           (unsigned long long)steps, (unsigned long long)orders, (unsigned long long)done,
           (unsigned long long)aborted, (unsigned long long)cold, (unsigned long long)in_doubt);
    printf("sim schedules=%llu violations=%u\n", (unsigned long long)schedules, violations);
    return violations > 0;
}
