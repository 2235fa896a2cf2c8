#include "coordinator/socket.h"

#include "common/base/cleanup.h"
#include "common/base/memory.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

const char *socket_path(const char *url)
{
    return strncmp(url, "ipc://", 6) == 0 ? url + 6 : NULL;
}

static int make_directory(const char *path, struct error *err)
{
    _cleanup_free_ char *directory = xstrdup(path);
    char *slash = strrchr(directory, '/');
    if (!slash || slash == directory)
        return 0;
    *slash = 0;
    if (mkdir(directory, 0755) < 0 && errno != EEXIST)
        return error_errno(err, errno, "can't make %s for the socket", directory);
    return 0;
}

int socket_clear(const char *path, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path))
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "the socket's path is too long: %s; expected at most %zu bytes", path,
                         sizeof(address.sun_path) - 1);
    memcpy(address.sun_path, path, strlen(path) + 1);
    int r = make_directory(path, err);
    struct stat st;
    if (r < 0)
        return r;
    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : error_errno(err, errno, "can't look at %s", path);
    if (!S_ISSOCK(st.st_mode))
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "%s is no socket; remove it, or choose another path for listen", path);
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return error_errno(err, errno, "can't make a socket");
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 || errno == EAGAIN)
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "someone listens on %s already; is a coordinator running? Stop it first", path);
    if (errno != ECONNREFUSED)
        return error_errno(err, errno, "can't tell whether someone listens on %s", path);
    if (unlink(path) < 0 && errno != ENOENT)
        return error_errno(err, errno, "can't remove the socket that a dead coordinator left at %s", path);
    return 0;
}

int socket_grant(const char *path, long gid, struct error *err)
{
    if (gid >= 0 && chown(path, (uid_t)-1, (gid_t)gid) < 0)
        return error_errno(err, errno, "can't give %s to its group", path);
    if (chmod(path, 0660) < 0)
        return error_errno(err, errno, "can't set the mode of %s", path);
    return 0;
}
