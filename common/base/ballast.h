/* Disk space kept beside a file, to be given up when the disk is full, so that what is running can still be recorded. */
#pragma once

#include <stdbool.h>

#define BALLAST_BYTES (1024 * 1024)

struct ballast {
    char *path;
    bool laid;
};

/* Sees whether "PATH-ballast" lies there. */
void ballast_init(struct ballast *ballast, const char *path);

/* Frees memory; the file stays for the next time. */
void ballast_deinit(struct ballast *ballast);

/* True if it lies there; tries to lay it if not. */
bool ballast_lay(struct ballast *ballast);

/* True if there was some to give up. */
bool ballast_drop(struct ballast *ballast);
