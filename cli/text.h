/* Text for people: names made safe to print, sizes, rates, times. Functions that return a pointer fill `buffer`. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define TEXT_MAX 32 /* bytes for one size, rate or time */

/* Copies valid UTF-8; control characters (also U+0080 to U+009F) and invalid bytes become "\x1b" in four characters, so
 * that no name from the fleet can steer a terminal. Cut at a character when `size` is too small. */
char *text_clean(const char *in, char *buffer, size_t size);

/* Columns that it takes on a terminal. */
int text_width(const char *utf8);

/* Cuts to `columns`, with "…" at the end if something was cut. */
char *text_fit(const char *utf8, int columns, char *buffer, size_t size);

char *text_size(uint64_t bytes, char buffer[TEXT_MAX]); /* "312 MiB", "3.9 GiB", "0 B" */
char *text_rate(uint64_t bytes, char buffer[TEXT_MAX]); /* "100 MiB/s" */
char *text_ms(int64_t ms, char buffer[TEXT_MAX]); /* "61 ms", "3.1 s", "2 min 5 s", "1 h 4 min", "3 d 2 h" */
char *text_moment(int64_t ms, char buffer[TEXT_MAX]); /* "2024-11-05 14:03:22", local time; "-" for 0 */
char *text_clock(int64_t ms, char buffer[TEXT_MAX]);  /* "14:03:22", local time */
/* "tls+tcp://10.0.0.11:7460" -> "10.0.0.11"; "" of a URL without one. */
char *text_url_host(const char *url, char *buffer, size_t size);

/* As a word for a POSIX shell. The caller's. */
char *text_shell_word(const char *text);

char *text_version(uint32_t n, char buffer[TEXT_MAX]); /* 9000000 -> "9.0.0"; "-" for 0 */
