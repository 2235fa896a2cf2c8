#include "coordinator/socket.h"

#include "common/base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cmocka.h>

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 4), 0);
    return fd;
}

static void a_dead_socket_is_cleared_a_live_one_is_not(void **state)
{
    (void)state;
    char directory[] = "/tmp/drover-socket-XXXXXX", path[64], inner[80];
    struct error err = {0};
    struct stat st;
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/run", directory);
    snprintf(inner, sizeof(inner), "%s/c.sock", path);

    assert_int_equal(socket_clear(inner, &err), 0); /* nothing there; its directory is made */
    assert_int_equal(stat(path, &st), 0);
    int fd = listen_at(inner);
    assert_int_equal(socket_clear(inner, &err), -STATUS_FAILED_PRECONDITION);
    assert_non_null(strstr(err.text, "someone listens"));
    assert_int_equal(socket_grant(inner, -1, &err), 0);
    assert_int_equal(stat(inner, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0660);
    close(fd);
    assert_int_equal(socket_clear(inner, &err), 0);
    assert_int_equal(stat(inner, &st), -1);

    fclose(fopen(inner, "we"));
    assert_int_equal(socket_clear(inner, &err), -STATUS_FAILED_PRECONDITION);
    assert_non_null(strstr(err.text, "is no socket"));
    assert_int_equal(stat(inner, &st), 0);
    unlink(inner);
    rmdir(path);
    assert_int_equal(rmdir(directory), 0);
}

static void odd_paths_are_refused(void **state)
{
    (void)state;
    char path[300];
    struct error err = {0};
    memset(path, 'x', sizeof(path) - 1);
    path[0] = '/';
    path[sizeof(path) - 1] = 0;
    assert_int_equal(socket_clear(path, &err), -STATUS_INVALID_ARGUMENT);
    assert_true(socket_clear("/nonexistent/deeper/c.sock", &err) < 0);
    assert_string_equal(socket_path("ipc:///run/c.sock"), "/run/c.sock");
    assert_null(socket_path("tcp://127.0.0.1:1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_dead_socket_is_cleared_a_live_one_is_not),
        cmocka_unit_test(odd_paths_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
