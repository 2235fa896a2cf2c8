#include "tests/unit/cli_run.h"
#include "common/base/cleanup.h"
#include "common/base/loop.h"
#include "common/base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>

#define DEADLINE_MS 20000

static char dir[] = "/tmp/drover-cli-XXXXXX";
static char *url;
static pid_t fake = -1;
static int fake_out = -1;

static bool take(int fd, char *buffer, size_t size, size_t *used)
{
    ssize_t n = read(fd, buffer + *used, size - 1 - *used);
    if (n > 0)
        *used += (size_t)n;
    buffer[*used] = 0;
    return n > 0;
}

bool wait_for(struct cli_run *r, const char *text)
{
    int64_t until = clock_monotonic_ms() + DEADLINE_MS;
    bool out = true, err = r->error_fd >= 0;
    while ((out || err) && !(text && (strstr(r->out, text) || strstr(r->err, text)))) {
        struct pollfd fds[] = {{.fd = out ? r->fd : -1, .events = POLLIN},
                               {.fd = err ? r->error_fd : -1, .events = POLLIN}};
        int64_t left = until - clock_monotonic_ms();
        if (left <= 0 || poll(fds, 2, (int)left) <= 0)
            return false;
        if (fds[0].revents)
            out = take(r->fd, r->out, sizeof(r->out), &r->n_out);
        if (fds[1].revents)
            err = take(r->error_fd, r->err, sizeof(r->err), &r->n_err);
    }
    return !text || strstr(r->out, text) || strstr(r->err, text);
}

void end(struct cli_run *r)
{
    if (!wait_for(r, NULL)) {
        kill(r->pid, SIGKILL);
        waitpid(r->pid, NULL, 0);
        fail_msg("no end within the deadline; output so far:\n%s%s", r->out, r->err);
    }
    int status;
    assert_int_equal(waitpid(r->pid, &status, 0), r->pid);
    r->exit = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
    close(r->fd);
    if (r->error_fd >= 0)
        close(r->error_fd);
}

const char *file_of(const char *variable)
{
    const char *path = getenv(variable);
    return path ? path : variable;
}

static void exec_drover(const char *line)
{
    char words[512], *argv[32] = {(char *)"drover"};
    int argc = 1;
    snprintf(words, sizeof(words), "%s", line);
    for (char *p = strtok(words, " "); p && argc < 31; p = strtok(NULL, " "))
        argv[argc++] = p;
    execv(file_of("DROVER_CLI"), argv);
    _exit(127);
}

void start(struct cli_run *r, const char *line)
{
    *r = (struct cli_run){.exit = -1};
    int out[2], err[2];
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(pipe2(err, O_CLOEXEC), 0);
    r->pid = fork();
    if (r->pid == 0) {
        dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        dup2(err[1], STDERR_FILENO);
        exec_drover(line);
    }
    close(out[1]);
    close(err[1]);
    r->fd = out[0];
    r->error_fd = err[0];
}

void start_on_terminal(struct cli_run *r, const char *line)
{
    *r = (struct cli_run){.exit = -1, .error_fd = -1};
    struct winsize size = {.ws_row = 24, .ws_col = 100};
    r->pid = forkpty(&r->fd, NULL, NULL, &size);
    assert_true(r->pid >= 0);
    if (r->pid == 0) {
        setenv("TERM", "xterm", 1);
        setenv("LC_ALL", "C.UTF-8", 1);
        exec_drover(line);
    }
}

void run(struct cli_run *r, const char *line)
{
    start(r, line);
    end(r);
}

void type(const struct cli_run *r, const char *keys)
{
    assert_int_equal(write(r->fd, keys, strlen(keys)), strlen(keys));
}

void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("'%s' is not in:\n%s", part, text);
}

int start_fake(void **state)
{
    (void)state;
    setenv("TZ", "UTC", 1);
    setenv("HOME", "/nonexistent", 1);
    unsetenv("DROVER_TLS_CA");
    unsetenv("DROVER_TLS_CERT");
    if (!mkdtemp(dir))
        return -1;
    _cleanup_free_ char *path = xasprintf("%s/socket", dir);
    url = xasprintf("ipc://%s", path);
    setenv("DROVER_COORDINATOR", url, 1);
    int out[2];
    if (pipe2(out, O_CLOEXEC) < 0 || (fake = fork()) < 0)
        return -1;
    if (fake == 0) {
        dup2(out[1], STDOUT_FILENO);
        execl(file_of("DROVER_CLI_FAKE"), "cli_fake", path, (char *)NULL);
        _exit(127);
    }
    close(out[1]);
    fake_out = out[0];
    char said[6];
    return read(fake_out, said, sizeof(said)) == 6 && memcmp(said, "ready\n", 6) == 0 ? 0 : -1;
}

bool fake_said(char *buffer, size_t size)
{
    size_t used = 0;
    return take(fake_out, buffer, size, &used);
}

int stop_fake(void **state)
{
    (void)state;
    int status = -1;
    kill(fake, SIGTERM);
    waitpid(fake, &status, 0);
    close(fake_out);
    _cleanup_free_ char *path = xasprintf("%s/socket", dir);
    unlink(path);
    free(url);
    return rmdir(dir) || status;
}

json_t *json_of(const struct cli_run *r)
{
    json_error_t error;
    json_t *document = json_loads(r->out, 0, &error);
    if (!document)
        fail_msg("no JSON (%s):\n%s", error.text, r->out);
    return document;
}
