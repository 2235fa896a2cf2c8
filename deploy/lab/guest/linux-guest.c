/*
 * What the Linux guest runs: ticks on the console, dirties its working set at a set rate, and leaves each tick on a disk.
 * The same lines and options as the tick guest's (tick.c). Usage: guest TICK_MS DIRTY WORKING_SET [DISK]
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, PAGES_PER_MIB = 256, SECTOR = 512, TURNS_PER_SECOND = 100 };

struct dirtier {
    volatile uint32_t *memory;
    uint32_t pages;
    int rate; /* MiB/s, or -1: as fast as it can */
};

static void *dirtier_run(void *argument)
{
    struct dirtier *dirtier = argument;
    struct timespec turn = {.tv_nsec = 1000000000 / TURNS_PER_SECOND};
    uint32_t page = 0, owed = 0;

    for (;;) {
        uint32_t due = PAGES_PER_MIB;

        if (dirtier->rate >= 0) {
            owed += (uint32_t)dirtier->rate * PAGES_PER_MIB;
            due = owed / TURNS_PER_SECOND;
            owed %= TURNS_PER_SECOND;
        }
        for (uint32_t i = 0; i < due; i++) {
            dirtier->memory[(size_t)page * PAGE / sizeof(uint32_t)] += 2;
            page = (page + 1) % dirtier->pages;
        }
        if (dirtier->rate >= 0)
            nanosleep(&turn, NULL);
    }
    return NULL;
}

static bool mark_write(int disk, char *sector, unsigned tick)
{
    memset(sector, 0, SECTOR);
    snprintf(sector, SECTOR, "tick %u\n", tick);
    return pwrite(disk, sector, SECTOR, 0) == SECTOR;
}

static unsigned mark_read(int disk, char *sector)
{
    unsigned tick = 0;

    if (pread(disk, sector, SECTOR, 0) == SECTOR && sscanf(sector, "tick %u", &tick) == 1)
        return tick;
    return 0;
}

int main(int argc, char **argv)
{
    static struct dirtier dirtier;
    struct timespec next;
    char *sector = NULL;
    long tick_ms, working_set;
    int disk = -1;

    if (argc < 4) {
        fprintf(stderr, "usage: guest TICK_MS DIRTY WORKING_SET [DISK]\n");
        return 2;
    }
    tick_ms = atol(argv[1]);
    dirtier.rate = strcmp(argv[2], "max") == 0 ? -1 : atoi(argv[2]);
    working_set = atol(argv[3]);
    dirtier.pages = (uint32_t)working_set * PAGES_PER_MIB;
    printf("boot tick_ms=%ld working_set_pages=%u", tick_ms, dirtier.pages);
    if (argc > 4) {
        disk = open(argv[4], O_RDWR | O_DIRECT | O_SYNC);
        if (disk >= 0 && posix_memalign((void **)&sector, PAGE, SECTOR) == 0)
            printf(" disk_tick=%u", mark_read(disk, sector));
    }
    printf("\n");
    fflush(stdout);

    if (dirtier.pages > 0) {
        pthread_t thread;

        dirtier.memory = mmap(NULL, (size_t)dirtier.pages * PAGE, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        if (dirtier.memory == MAP_FAILED) {
            perror("working set");
            return 1;
        }
        for (size_t i = 0; i < dirtier.pages; i++)
            dirtier.memory[i * PAGE / sizeof(uint32_t)] = (uint32_t)i | 1;
        if (dirtier.rate != 0)
            pthread_create(&thread, NULL, dirtier_run, &dirtier);
    }

    clock_gettime(CLOCK_MONOTONIC, &next);
    for (unsigned tick = 1;; tick++) {
        struct timespec now;

        printf("tick %u\n", tick);
        fflush(stdout);
        if (sector && !mark_write(disk, sector, tick))
            printf("disk error at tick %u\n", tick);
        /* Late ticks are not caught up: a pause must show as one gap. */
        next.tv_nsec += tick_ms % 1000 * 1000000;
        next.tv_sec += tick_ms / 1000 + next.tv_nsec / 1000000000;
        next.tv_nsec %= 1000000000;
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec > next.tv_sec || (now.tv_sec == next.tv_sec && now.tv_nsec > next.tv_nsec))
            next = now;
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
    }
}
