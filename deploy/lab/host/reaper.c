/*
 * Runs a daemon of the lab as its child and waits for every process that the daemon leaves behind.
 *
 * libvirt ends a QEMU by signals and waits until its pid is gone. QEMU is nobody's child by then, so that depends on how
 * soon process 1 waits for it: at once under systemd, but as late as a second in containers and small virtual machines,
 * which would show in every migration. Here, QEMU becomes this program's child.
 *
 * The daemon's log then says how the daemon ended, if not with status 0: nobody else learns that.
 *
 * Usage: reaper FD CMD... The daemon's pid is written to FD, and the errno after it if CMD can't be started; then FD ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *program, int status)
{
    if (WIFSIGNALED(status))
        fprintf(stderr, "%s: ended by signal %d (%s)\n", program, WTERMSIG(status),
                strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status))
        fprintf(stderr, "%s: ended with status %d\n", program, WEXITSTATUS(status));
}

int main(int argc, char **argv)
{
    int fd, status;
    pid_t child, gone;

    if (argc < 3) {
        fprintf(stderr, "usage: reaper FD CMD...\n");
        return 2;
    }
    fd = atoi(argv[1]);
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) {
        perror("reaper");
        return 1;
    }
    child = fork();
    if (child < 0) {
        perror("reaper: fork");
        return 1;
    }
    if (child == 0) {
        dprintf(fd, "%d\n", (int)getpid());
        execvp(argv[2], argv + 2);
        dprintf(fd, "%d\n", errno);
        _exit(127);
    }
    close(fd);
    while ((gone = wait(&status)) >= 0 || errno == EINTR)
        if (gone == child)
            say(argv[2], status);
    return 0;
}
