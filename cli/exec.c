#include "cli/exec.h"

#include "cli/text.h"
#include "common/base/cleanup.h"
#include "common/base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

enum { LINE_MAX_BYTES = 4096, TAKE = 4096, KILL_MS = 5000 };

struct exec {
    struct exec_config config;
    pid_t pid; /* of the shell, and of the group of all its processes */
    bool exited;
    int status, fd;
    struct loop_fd *output;
    struct loop_timer *timer; /* to SIGTERM; after that, to SIGKILL */
    char *why;                /* it is being ended, because */
    char line[LINE_MAX_BYTES];
    size_t used;
};

extern char **environ;

/* ---- what it says ------------------------------------------------------------------------------------------------ */

static void tell_line(struct exec *e)
{
    e->line[e->used] = 0;
    e->used = 0;
    e->config.on_line(e->config.arg, e->line);
}

/* False when there is no more, for now or for ever. */
static bool take(struct exec *e)
{
    char chunk[TAKE];
    ssize_t n = read(e->fd, chunk, sizeof(chunk));
    if (n < 0 && errno == EINTR)
        return true;
    if (n == 0)
        e->output = loop_unwatch_fd(e->output);
    if (n <= 0)
        return false;
    for (ssize_t i = 0; i < n; i++) {
        if (chunk[i] != '\n')
            e->line[e->used++] = chunk[i];
        if (chunk[i] == '\n' || e->used == sizeof(e->line) - 1)
            tell_line(e);
    }
    return true;
}

/* ---- its end ----------------------------------------------------------------------------------------------------- */

static char *how_it_ended(const struct exec *e)
{
    int status = e->status;
    if (e->why)
        return xstrdup(e->why);
    if (WIFSIGNALED(status))
        return xasprintf("the command was killed by signal %d", WTERMSIG(status));
    if (WEXITSTATUS(status) == 127)
        return xstrdup("the command ended with status 127: is it installed, and spelt right?");
    return WEXITSTATUS(status) ? xasprintf("the command ended with status %d", WEXITSTATUS(status)) : NULL;
}

static void complete(struct exec *e)
{
    e->timer = loop_timer_cancel(e->timer);
    while (take(e))
        ;
    if (e->used)
        tell_line(e);
    e->output = loop_unwatch_fd(e->output);
    _cleanup_free_ char *why = how_it_ended(e);
    e->config.on_end(e->config.arg, why);
}

static void on_output(void *arg, int fd)
{
    struct exec *e = arg;
    (void)fd;
    take(e);
    if (e->exited && !e->output)
        complete(e);
}

/* What the shell left running in the background may hold the pipe open, and is not waited for; unless it is being ended:
 * then the shell is the first to go, and the others may have something to put in order. */
void exec_reap(struct exec *e)
{
    if (e->exited || waitpid(e->pid, &e->status, WNOHANG) != e->pid)
        return;
    e->exited = true;
    if (!e->why || !e->output)
        complete(e);
}

static void on_kill(void *arg)
{
    struct exec *e = arg;
    e->timer = NULL;
    kill(-e->pid, SIGKILL);
    if (e->exited)
        complete(e);
}

void exec_end(struct exec *e, const char *why)
{
    if (e->exited || e->why)
        return;
    e->why = xstrdup(why);
    kill(-e->pid, SIGTERM);
    loop_timer_cancel(e->timer);
    e->timer = loop_timer_start(e->config.loop, KILL_MS, on_kill, e);
}

static void on_timeout(void *arg)
{
    struct exec *e = arg;
    char text[TEXT_MAX];
    e->timer = NULL;
    _cleanup_free_ char *why =
        xasprintf("the command had not ended after %s, and was ended", text_ms(e->config.timeout_ms, text));
    exec_end(e, why);
}

/* ---- its start --------------------------------------------------------------------------------------------------- */

static char **environment_with(const char *const *more)
{
    size_t n = 0, n_more = 0;
    while (environ[n])
        n++;
    while (more[n_more])
        n_more++;
    char **all = xcalloc(n + n_more + 1, sizeof(*all));
    /* The first of two of a name counts for a shell or the last, as it likes: each is given once. */
    for (size_t i = 0; i < n_more; i++)
        all[i] = (char *)more[i];
    size_t used = n_more;
    for (size_t i = 0; i < n; i++) {
        bool given = false;
        for (size_t k = 0; k < n_more; k++)
            given = given || strncmp(environ[i], more[k], strcspn(more[k], "=") + 1) == 0;
        if (!given)
            all[used++] = environ[i];
    }
    return all;
}

static int spawn(const struct exec_config *c, int out, pid_t *ret)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t all, none;
    sigfillset(&all);
    sigdelset(&all, SIGKILL);
    sigdelset(&all, SIGSTOP);
    sigemptyset(&none);
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attr);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&files, out, STDERR_FILENO);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    char *const argv[] = {(char *)"sh", (char *)"-c", (char *)c->command, NULL};
    _cleanup_free_ char **environment = environment_with(c->environment);
    int e = posix_spawn(ret, "/bin/sh", &files, &attr, argv, environment);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&files);
    return e;
}

int exec_start(const struct exec_config *config, struct exec **ret, struct error *err)
{
    int pipes[2];
    if (pipe2(pipes, O_CLOEXEC) < 0)
        return error_errno(err, errno, "the command can't be run");
    _cleanup_close_ int in = pipes[0], out = pipes[1];
    fcntl(in, F_SETFL, O_NONBLOCK);
    pid_t pid;
    int e = spawn(config, out, &pid);
    if (e)
        return error_errno(err, e, "the command can't be run by /bin/sh");
    struct exec *exec = new0(struct exec);
    exec->config = *config;
    exec->pid = pid;
    exec->fd = steal_fd(&in);
    exec->output = loop_watch_fd(config->loop, exec->fd, on_output, exec);
    exec->timer = loop_timer_start(config->loop, config->timeout_ms, on_timeout, exec);
    *ret = exec;
    return 0;
}

void exec_free(struct exec *e)
{
    if (!e)
        return;
    loop_unwatch_fd(e->output);
    loop_timer_cancel(e->timer);
    close(e->fd);
    free(e->why);
    free(e);
}
