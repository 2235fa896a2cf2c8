#include "common/config/yaml.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct unit {
    const char *name;
    double factor;
};

static const struct unit durations[] = {{"ms", 1},     {"s", 1e3},     {"m", 60e3}, {"min", 60e3},
                                        {"h", 3600e3}, {"d", 86400e3}, {0}};
static const struct unit rates[] = {
    {"bit", 1.0 / 8},
    {"kbit", 1e3 / 8},
    {"mbit", 1e6 / 8},
    {"gbit", 1e9 / 8},
    {"tbit", 1e12 / 8},
    {"B/s", 1},
    {"kB/s", 1e3},
    {"MB/s", 1e6},
    {"GB/s", 1e9},
    {"KiB/s", 1024},
    {"MiB/s", 1048576},
    {"GiB/s", 1073741824},
    {0},
};
static const struct unit sizes[] = {
    {"B", 1},
    {"kB", 1e3},
    {"MB", 1e6},
    {"GB", 1e9},
    {"TB", 1e12},
    {"KiB", 1024},
    {"MiB", 1048576},
    {"GiB", 1073741824},
    {"TiB", 1099511627776},
    {0},
};

/* "1.5GiB", also "1.5 GiB". No sign, exponent, infinity or hexadecimal, which strtod would take. */
static int parse(const char *text, const struct unit *units, const char *what, const char *forms,
                 int64_t *ret, struct error *err)
{
    size_t whole = strspn(text, "0123456789");
    size_t number = whole;
    if (text[number] == '.')
        number += 1 + strspn(text + number + 1, "0123456789");
    const char *unit = text + number;
    unit += strspn(unit, " ");
    if (whole == 0 || whole > 18 || number > 32 || text[number - 1] == '.')
        return error_set(err, STATUS_INVALID_ARGUMENT, "\"%.60s\" is no %s; write %s", text, what, forms);

    /* By hand: strtod would want the locale's decimal sign. */
    double value = 0, place = 1;
    for (size_t i = 0; i < number; i++) {
        if (text[i] == '.')
            continue;
        value = i < whole ? value * 10 + (text[i] - '0') : value + (text[i] - '0') * (place /= 10);
    }
    for (const struct unit *u = units; u->name; u++) {
        if (strcmp(unit, u->name) != 0)
            continue;
        double product = round(value * u->factor);
        if (product >= 0x1p63)
            return error_set(err, STATUS_INVALID_ARGUMENT, "\"%.60s\" is too large for a %s; write %s", text,
                             what, forms);
        *ret = (int64_t)product;
        return 0;
    }
    if (value == 0 && !*unit) {
        *ret = 0;
        return 0;
    }
    return error_set(err, STATUS_INVALID_ARGUMENT, "\"%.60s\" has %s unit of a %s; write %s", text,
                     *unit ? "an unknown" : "no", what, forms);
}

int parse_duration_ms(const char *text, int64_t *ret, struct error *err)
{
    return parse(text, durations, "duration", "500ms, 2s, 30m, 1.5h or 1d", ret, err);
}

int parse_rate(const char *text, int64_t *ret_bytes_per_s, struct error *err)
{
    return parse(text, rates, "rate", "200mbit, 1gbit, 100MB/s or 100MiB/s", ret_bytes_per_s, err);
}

int parse_size(const char *text, int64_t *ret_bytes, struct error *err)
{
    return parse(text, sizes, "size", "512MiB, 4GiB or 500MB", ret_bytes, err);
}
