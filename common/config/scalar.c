#include "common/config/scalar.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const char *scalar_expected(const cyaml_schema_value_t *v)
{
    switch (v->type) {
    case CYAML_INT:
    case CYAML_UINT: return "a whole number";
    case CYAML_BOOL: return "true or false";
    case CYAML_ENUM:
    case CYAML_FLAGS: return "a word";
    case CYAML_FLOAT: return "a number";
    case CYAML_MAPPING:
    case CYAML_BITFIELD: return "keys with values";
    case CYAML_SEQUENCE:
    case CYAML_SEQUENCE_FIXED: return "a list";
    default: return "text";
    }
}

bool scalar_is_null(const char *text)
{
    return !text[0] || strcmp(text, "~") == 0 || strcasecmp(text, "null") == 0;
}

bool scalar_may_be_null(const cyaml_schema_value_t *v, const char *text)
{
    unsigned flag = text[0] ? CYAML_FLAG_POINTER_NULL_STR : CYAML_FLAG_POINTER_NULL;
    return ((unsigned)v->flags & flag) == flag;
}

static bool no(char *why, size_t size, const char *expected, const char *text)
{
    snprintf(why, size, "expected %s, found \"%.40s\"%s", expected, text, strlen(text) > 40 ? "..." : "");
    return false;
}

/* Decimal digits, no leading zero: libcyaml would read "010" as eight and stop at the "_" of "5_000". */
static bool is_decimal(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    return digits > 0 && !text[digits] && (digits == 1 || text[0] != '0');
}

static unsigned bits_of(const cyaml_schema_value_t *v)
{
    return v->data_size >= 8 ? 64 : v->data_size * 8;
}

static bool int_fits(const cyaml_schema_value_t *v, const char *text, char *why, size_t size)
{
    if (!is_decimal(text + (text[0] == '-')))
        return no(why, size, "a whole number", text);
    int64_t max = INT64_MAX >> (64 - bits_of(v));
    errno = 0;
    long long n = strtoll(text, NULL, 10);
    if (!errno && n <= max && n >= -max - 1)
        return true;
    char range[80];
    snprintf(range, sizeof(range), "a whole number from %" PRId64 " to %" PRId64, -max - 1, max);
    return no(why, size, range, text);
}

static bool uint_fits(const cyaml_schema_value_t *v, const char *text, char *why, size_t size)
{
    uint64_t max = UINT64_MAX >> (64 - bits_of(v));
    errno = 0;
    if (is_decimal(text)) {
        unsigned long long n = strtoull(text, NULL, 10);
        if (!errno && n <= max)
            return true;
    }
    char range[80];
    snprintf(range, sizeof(range), "a whole number from 0 to %" PRIu64, max);
    return no(why, size, range, text);
}

static bool float_fits(const char *text, char *why, size_t size)
{
    char *end = NULL;
    double value = strtod(text, &end);
    if (end != text && !*end && isfinite(value) && !isspace((unsigned char)text[0]))
        return true;
    return no(why, size, "a number", text);
}

static bool bool_fits(const char *text, char *why, size_t size)
{
    static const char *const words[] = {"true", "false", "yes", "no", "on", "off"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcasecmp(text, words[i]) == 0)
            return true;
    return no(why, size, "true or false", text);
}

static bool word_fits(const cyaml_schema_value_t *v, const char *text, char *why, size_t size)
{
    char list[200] = "one of ";
    size_t n = strlen(list);
    for (unsigned i = 0; i < v->enumeration.count; i++) {
        const char *word = v->enumeration.strings[i].str;
        if (strcmp(word, text) == 0)
            return true;
        int len = n < sizeof(list) ? snprintf(list + n, sizeof(list) - n, "%s%s", i ? ", " : "", word) : 0;
        n += len > 0 ? (size_t)len : 0;
    }
    return no(why, size, list, text);
}

static bool string_fits(const cyaml_schema_value_t *v, const char *text, char *why, size_t size)
{
    size_t length = strlen(text);
    char expected[80];
    if (length < v->string.min)
        snprintf(expected, sizeof(expected), "text of %u or more bytes", v->string.min);
    else if (length > v->string.max)
        snprintf(expected, sizeof(expected), "text of at most %u bytes", v->string.max);
    else
        return true;
    return no(why, size, expected, text);
}

bool scalar_fits(const cyaml_schema_value_t *v, const char *text, char *why, size_t size)
{
    switch (v->type) {
    case CYAML_INT: return int_fits(v, text, why, size);
    case CYAML_UINT: return uint_fits(v, text, why, size);
    case CYAML_FLOAT: return float_fits(text, why, size);
    case CYAML_BOOL: return bool_fits(text, why, size);
    case CYAML_ENUM:
    case CYAML_FLAGS: return word_fits(v, text, why, size);
    case CYAML_STRING: return string_fits(v, text, why, size);
    default: return true;
    }
}
