/*
 * A guest of a few KB for tests of migration. On COM1 it writes one line per tick, "tick N"; it dirties the
 * pages of its working set in turn at a set rate, and halts in between, so that it costs the host next to
 * nothing. If it has an IDE disk, it writes each tick to the first sector, too.
 *
 * The command line: tick_ms=N (1000), dirty=N MiB/s or dirty=max (0), working_set=N MiB (0: none), dirty_from=N and
 * dirty_until=N: ticks between which it dirties (from the start, for ever), disk=off.
 *
 * Time comes from the TSC, calibrated once against the PIT: interrupts get lost on a busy host, cycles don't.
 */
#include "tick.h"

enum {
    PAGE = 4096,
    PAGES_PER_MIB = 256,
    BASE = 4 << 20, /* below are BIOS data, this program and what multiboot passes to it */
    DIRTY_MAX = -1,
    PAGES_PER_TURN = 256, /* between two looks at the clock */
};

struct multiboot {
    uint32_t flags;
    uint32_t lower_kib, upper_kib;
    uint32_t boot_device;
    uint32_t command_line;
};

struct options {
    uint32_t tick_ms;
    int32_t dirty;
    uint32_t working_set;
    uint32_t dirty_from, dirty_until; /* ticks; until 0: for ever */
    bool disk;
};

static bool starts_with(const char *text, const char *prefix, const char **ret_rest)
{
    for (; *prefix; text++, prefix++)
        if (*text != *prefix)
            return false;
    *ret_rest = text;
    return true;
}

static uint32_t number(const char *text)
{
    uint32_t value = 0;

    for (; *text >= '0' && *text <= '9'; text++)
        value = value * 10 + (uint32_t)(*text - '0');
    return value;
}

static void options_parse(const char *text, struct options *options)
{
    const char *value;

    while (*text) {
        if (starts_with(text, "tick_ms=", &value))
            options->tick_ms = number(value);
        else if (starts_with(text, "dirty=max", &value))
            options->dirty = DIRTY_MAX;
        else if (starts_with(text, "dirty=", &value))
            options->dirty = (int32_t)number(value);
        else if (starts_with(text, "working_set=", &value))
            options->working_set = number(value);
        else if (starts_with(text, "dirty_from=", &value))
            options->dirty_from = number(value);
        else if (starts_with(text, "dirty_until=", &value))
            options->dirty_until = number(value);
        else if (starts_with(text, "disk=off", &value))
            options->disk = false;
        while (*text && *text != ' ')
            text++;
        while (*text == ' ')
            text++;
    }
    if (options->tick_ms == 0)
        options->tick_ms = 1000;
}

static void report(const char *name, uint32_t value)
{
    serial_text(name);
    serial_number(value);
}

/* Writes "tick N" to the start of the disk. */
static bool mark_write(uint32_t tick)
{
    static char sector[512] __attribute__((aligned(4)));
    char digits[11];
    char *p = digits + sizeof(digits), *q = sector;

    *--p = '\0';
    do {
        *--p = (char)('0' + tick % 10);
        tick /= 10;
    } while (tick);
    for (const char *word = "tick "; *word; word++)
        *q++ = *word;
    while (*p)
        *q++ = *p++;
    *q++ = '\n';
    *q = '\0';
    return disk_write(0, sector);
}

/* The tick an earlier run left on the disk; 0 if none. */
static uint32_t mark_read(void)
{
    static char sector[513];
    const char *digits;

    if (!disk_read(0, sector) || !starts_with(sector, "tick ", &digits))
        return 0;
    return number(digits);
}

void tick_main(const struct multiboot *boot);

void tick_main(const struct multiboot *boot)
{
    struct options options = {.tick_ms = 1000, .disk = true};
    uint32_t cycles_per_ms, pages, next_page = 0, tick = 0, cycles_per_page = 0;
    uint64_t period, next_tick, dirtied;

    serial_init();
    if (boot->flags & 4)
        options_parse((const char *)(uintptr_t)boot->command_line, &options);
    cycles_per_ms = timer_init(options.tick_ms < 100 ? 1000 : 100);

    pages = (boot->upper_kib * 1024 + (1 << 20) - BASE) / PAGE;
    if (options.working_set * PAGES_PER_MIB < pages)
        pages = options.working_set * PAGES_PER_MIB;
    if (pages == 0)
        options.dirty = 0;
    if (options.dirty > 0) {
        uint64_t per_second = (uint64_t)cycles_per_ms * 1000;
        uint32_t rate = (uint32_t)options.dirty * PAGES_PER_MIB, remainder;

        __asm__("divl %4"
                : "=a"(cycles_per_page), "=d"(remainder)
                : "a"((uint32_t)per_second), "d"((uint32_t)(per_second >> 32)), "r"(rate));
    }

    report("boot tick_ms=", options.tick_ms);
    report(" working_set_pages=", pages);
    report(" khz=", cycles_per_ms);
    options.disk = options.disk && disk_init(cycles_per_ms);
    if (options.disk)
        report(" disk_tick=", mark_read());
    serial_text("\n");

    /* The whole working set holds data from the start: a page of zeros migrates for free. */
    for (uint32_t i = 0; i < pages; i++)
        *(volatile uint32_t *)(BASE + i * PAGE) = i | 1;

    period = (uint64_t)cycles_per_ms * options.tick_ms;
    dirtied = rdtsc();
    next_tick = dirtied;
    for (;;) {
        uint64_t now = rdtsc();
        uint32_t due = 0;
        tlb_flush();
        bool dirties = tick >= options.dirty_from && (options.dirty_until == 0 || tick < options.dirty_until);

        if (now >= next_tick) {
            serial_text("tick ");
            serial_number(++tick);
            serial_text("\n");
            if (options.disk && !mark_write(tick))
                report("disk error at tick ", tick), serial_text("\n");
            /* Late ticks are not caught up: a pause must show as one gap. */
            next_tick += period;
            if (next_tick <= now)
                next_tick = now + period;
        }
        if (!dirties) {
            dirtied = now;
        } else if (options.dirty == DIRTY_MAX) {
            due = PAGES_PER_TURN;
        } else if (options.dirty > 0) {
            if (now - dirtied > (uint64_t)cycles_per_ms * 100)
                dirtied = now - (uint64_t)cycles_per_ms * 100;
            while (due < PAGES_PER_TURN && now - dirtied >= cycles_per_page) {
                dirtied += cycles_per_page;
                due++;
            }
        }
        for (uint32_t i = 0; i < due; i++) {
            *(volatile uint32_t *)(BASE + next_page * PAGE) += 2;
            next_page = next_page + 1 < pages ? next_page + 1 : 0;
        }
        if (due < PAGES_PER_TURN)
            __asm__ volatile("sti; hlt; cli" : : : "memory");
    }
}
