#include "agent/io/run.h"

#include "common/base/cleanup.h"
#include "common/base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OUTPUT_MAX = 1 << 20, COMPLAINT_MAX = 4096, TAKE = 16384 };

struct output {
    int fd;
    char *text;
    size_t n, max;
    bool cut;
};

/* False at the end of the pipe. */
static bool take(struct output *o)
{
    char chunk[TAKE];
    ssize_t got = read(o->fd, chunk, sizeof(chunk));
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (got <= 0)
        return false;
    size_t n = (size_t)got;
    if (o->n + n > o->max) {
        n = o->max - o->n;
        o->cut = true;
    }
    o->text = xrealloc(o->text, o->n + n + 1, 1);
    memcpy(o->text + o->n, chunk, n);
    o->n += n;
    o->text[o->n] = 0;
    return true;
}

static const char *last_line(char *text)
{
    if (!text)
        return "";
    size_t n = strlen(text);
    while (n && (text[n - 1] == '\n' || text[n - 1] == '\r'))
        text[--n] = 0;
    const char *line = strrchr(text, '\n');
    return line ? line + 1 : text;
}

/* `in` -1: nothing. */
static int start(const char *const *argv, int in, int out, int complaints, pid_t *ret, struct error *err)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t all, none;
    sigfillset(&all);
    sigemptyset(&none);
    sigdelset(&all, SIGKILL);
    sigdelset(&all, SIGSTOP);
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attr);
    if (in < 0)
        posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    else
        posix_spawn_file_actions_adddup2(&files, in, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&files, complaints, STDERR_FILENO);
    /* A group of its own, so that its children end with it; the agent's blocked and ignored signals are not for it. */
    posix_spawnattr_setpgroup(&attr, 0);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    static char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin", locale[] = "LC_ALL=C";
    static char *const environment[] = {path, locale, NULL};
    int e = posix_spawnp(ret, argv[0], &files, &attr, (char *const *)argv, environment);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&files);
    if (e == ENOENT)
        return error_set(err, STATUS_NOT_FOUND, "%s is not installed", argv[0]);
    if (e == EACCES)
        return error_set(err, STATUS_NOT_FOUND, "%s is there and can't be run", argv[0]);
    return e ? error_errno(err, e, "cannot start %s", argv[0]) : 0;
}

/* True when there is nothing more to read: it has ended, or has closed what it says. */
static bool listen_to(const struct limit *limit, struct output *out, struct output *complaints)
{
    bool out_open = true, complaints_open = true;
    while (out_open || complaints_open) {
        struct pollfd p[3] = {{.fd = out_open ? out->fd : -1, .events = POLLIN},
                              {.fd = complaints_open ? complaints->fd : -1, .events = POLLIN},
                              {.fd = limit->cancel_fd, .events = POLLIN}};
        int64_t left = limit_left_ms(limit);
        if (left == 0)
            return false;
        int n = poll(p, 3, left > 60000 ? 60000 : (int)left);
        if (n < 0 && errno != EINTR)
            return false;
        if (n > 0 && p[2].revents)
            return false;
        if (n > 0 && p[0].revents)
            out_open = take(out);
        if (n > 0 && p[1].revents)
            complaints_open = take(complaints);
        if (out->cut)
            return true;
    }
    return true;
}

static int reap(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}

/* `ret_pid` NULL: nobody watches it. */
static int run(const struct limit *limit, const char *const *argv, int in, bool silent, atomic_int *ret_pid,
               char **ret_output, struct error *err)
{
    _cleanup_close_ int out_read = -1, out_write = -1, err_read = -1, err_write = -1;
    int pipes[2];
    if (pipe2(pipes, O_CLOEXEC) < 0)
        return error_errno(err, errno, "cannot run %s", argv[0]);
    out_read = pipes[0], out_write = pipes[1];
    if (pipe2(pipes, O_CLOEXEC) < 0)
        return error_errno(err, errno, "cannot run %s", argv[0]);
    err_read = pipes[0], err_write = pipes[1];
    pid_t pid;
    int r = start(argv, in, out_write, err_write, &pid, err);
    if (r < 0)
        return r;
    _cleanup_close_ int running = pidfd_open(pid, 0);
    if (running < 0) {
        r = error_errno(err, errno, "cannot wait for %s", argv[0]);
        kill(-pid, SIGKILL);
        reap(pid);
        return r;
    }
    if (ret_pid)
        *ret_pid = pid;
    close(steal_fd(&out_write));
    close(steal_fd(&err_write));
    struct output out = {.fd = out_read, .max = OUTPUT_MAX};
    struct output complaints = {.fd = err_read, .max = COMPLAINT_MAX};
    bool ended = listen_to(limit, &out, &complaints);
    /* Also one that has closed its output (exec >log 2>&1), as hooks do, is waited for no longer than the limit. */
    if (ended && !out.cut)
        ended = limit_poll(limit, running, POLLIN, -1);
    _cleanup_free_ char *text = out.text ? out.text : xstrdup(""), *complaint = complaints.text;
    if (!ended || out.cut)
        kill(-pid, SIGKILL);
    if (ret_pid)
        *ret_pid = 0; /* before another process may have that number */
    int status = reap(pid);
    if (out.cut)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "%s said more than %d KiB", argv[0],
                         OUTPUT_MAX >> 10);
    if (!ended && limit_left_ms(limit) > 0)
        return error_set(err, STATUS_CANCELLED, "%s was ended: nobody waits for it", argv[0]);
    if (!ended)
        return error_set(err, STATUS_DEADLINE_EXCEEDED, "%s did not end in time and was killed", argv[0]);
    if (WIFSIGNALED(status))
        return error_set(err, STATUS_FAILED_PRECONDITION, "%s was killed by signal %d", argv[0],
                         WTERMSIG(status));
    if (WEXITSTATUS(status) != 0)
        return error_set(err, STATUS_FAILED_PRECONDITION, "%s ended with status %d: %s", argv[0],
                         WEXITSTATUS(status), last_line(complaint));
    if (silent && complaint && complaint[0])
        return error_set(err, STATUS_FAILED_PRECONDITION, "%s said: %s", argv[0], last_line(complaint));
    *ret_output = steal(&text);
    return 0;
}

int run_program(const struct limit *limit, const char *const *argv, char **ret_output, struct error *err)
{
    return run(limit, argv, -1, false, NULL, ret_output, err);
}

int run_silent(const struct limit *limit, const char *const *argv, struct error *err)
{
    _cleanup_free_ char *output = NULL;
    return run(limit, argv, -1, true, NULL, &output, err);
}

int run_with_input(const struct limit *limit, const char *const *argv, const char *input, char **ret_output,
                   struct error *err)
{
    _cleanup_close_ int fd = memfd_create("input", MFD_CLOEXEC);
    if (fd < 0)
        return error_errno(err, errno, "cannot run %s", argv[0]);
    for (size_t at = 0, size = strlen(input); at < size;) {
        ssize_t n = write(fd, input + at, size - at);
        if (n < 0 && errno != EINTR)
            return error_errno(err, errno, "cannot run %s", argv[0]);
        at += n > 0 ? (size_t)n : 0;
    }
    if (lseek(fd, 0, SEEK_SET) < 0)
        return error_errno(err, errno, "cannot run %s", argv[0]);
    return run(limit, argv, fd, false, NULL, ret_output, err);
}

int run_watched(const struct limit *limit, const char *const *argv, atomic_int *ret_pid, struct error *err)
{
    _cleanup_free_ char *output = NULL;
    return run(limit, argv, -1, false, ret_pid, &output, err);
}

bool run_has_read(int pid, uint64_t *ret_bytes)
{
    char path[32], text[512];
    snprintf(path, sizeof(path), "/proc/%d/io", pid);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (n <= 0)
        return false;
    text[n] = 0;
    char *end = text;
    uint64_t bytes = strncmp(text, "rchar:", 6) == 0 ? strtoull(text + 6, &end, 10) : 0;
    if (end == text || *end != '\n')
        return false;
    *ret_bytes = bytes;
    return true;
}
