#include "common/base/failpoint.h"

#include "common/base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool spent; /* the one that the environment names itself */

/* False: there is none (any more). */
static bool read_file(const char *path, char *text, size_t size)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);
    if (n <= 0)
        return false;
    text[n] = 0;
    text[strcspn(text, "\n")] = 0;
    return true;
}

/* Under the lock: of two threads at the same instant one acts. */
static int signal_of(const char *name)
{
    const char *chosen = getenv("DROVER_FAILPOINT");
    char text[200];
    if (!chosen || !chosen[0])
        return 0;
    bool file = chosen[0] == '@';
    if (file ? !read_file(chosen + 1, text, sizeof(text)) : spent)
        return 0;
    if (!file)
        snprintf(text, sizeof(text), "%s", chosen);
    char *action = strchr(text, ':');
    if (!action)
        return 0;
    *action++ = 0;
    if (strcmp(text, name) != 0)
        return 0;
    if (file && unlink(chosen + 1) < 0 && errno == ENOENT)
        return 0; /* another program took it */
    spent = true;
    return strcmp(action, "stop") == 0 ? SIGSTOP : SIGKILL;
}

void failpoint(const char *format, ...)
{
    char name[120];
    va_list ap;
    va_start(ap, format);
    vsnprintf(name, sizeof(name), format, ap);
    va_end(ap);
    pthread_mutex_lock(&lock);
    int number = signal_of(name);
    pthread_mutex_unlock(&lock);
    if (number) {
        fprintf(stderr, "failpoint %s: signal %d\n", name, number);
        kill(getpid(), number);
    }
}
