/* Local sockets: who may call is decided by the peer's uid and group; a socket left behind by a crash is no obstacle. */
#include "tests/unit/rpc_fixture.h"

#include "common/rpc/frame.h"

#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>

#define NOBODY 65534

static int ipc_socket(const char *path, bool listening)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    struct timeval patience = {WAIT_MS / 1000, 0};
    snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    int r = listening ? bind(fd, (struct sockaddr *)&sa, sizeof(sa))
                      : connect(fd, (struct sockaddr *)&sa, sizeof(sa));
    if (r == 0 && listening)
        r = listen(fd, 1);
    assert_int_equal(r, 0);
    return fd;
}

/* Connects as another user: the system calls, unlike glibc's functions, change this thread alone. */
static int connect_as(const char *path, uid_t uid, gid_t gid)
{
    assert_int_equal(syscall(SYS_setresgid, -1, gid, -1), 0);
    assert_int_equal(syscall(SYS_setresuid, -1, uid, -1), 0);
    int fd = ipc_socket(path, false);
    assert_int_equal(syscall(SYS_setresuid, -1, 0, -1), 0);
    assert_int_equal(syscall(SYS_setresgid, -1, 0, -1), 0);
    return fd;
}

static void send_frame(int fd, const Drover__V1__Frame *f)
{
    struct buffer b = {0};
    assert_int_equal(frame_append(&b, f, NULL, 4096, NULL), 0);
    assert_int_equal(send(fd, b.data, buffer_len(&b), MSG_NOSIGNAL), buffer_len(&b));
    buffer_free(&b);
}

static Drover__V1__Frame *recv_frame(int fd)
{
    uint8_t head[4], data[4096];
    assert_int_equal(recv(fd, head, 4, MSG_WAITALL), 4);
    size_t len = (size_t)head[2] << 8 | head[3];
    assert_true(len <= sizeof(data));
    assert_int_equal(recv(fd, data, len, MSG_WAITALL), len);
    Drover__V1__Frame *f = drover__v1__frame__unpack(NULL, len, data);
    assert_non_null(f);
    return f;
}

/* Says "who" over a fresh connection of that user; the answer must be of this kind and hold this text. */
static void ask_as(const char *path, uid_t uid, gid_t gid, Drover__V1__Frame__Kind kind, const char *text)
{
    uint8_t id[16] = {1};
    int fd = connect_as(path, uid, gid);
    Drover__V1__Frame hello = FRAME(HELLO, .version = FRAME_VERSION);
    send_frame(fd, &hello);
    drover__v1__frame__free_unpacked(recv_frame(fd), NULL);
    Drover__V1__Frame request = FRAME(REQUEST, .call = {16, id}, .method = (char *)"drover.test.Echo/Say",
                                      .payload = {5, (uint8_t *)"\x0a\x03who"});
    send_frame(fd, &request);
    Drover__V1__Frame *f = recv_frame(fd);
    assert_int_equal(f->kind, kind);
    if (kind == DROVER__V1__FRAME__KIND__END) {
        assert_int_equal(f->status, STATUS_PERMISSION_DENIED);
        assert_non_null(strstr(f->text, text));
    } else {
        assert_non_null(memmem(f->payload.data, f->payload.len, text, strlen(text)));
    }
    drover__v1__frame__free_unpacked(f, NULL);
    close(fd);
}

static void test_peer(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip(); /* only root can be somebody else */
    const struct group *group = getgrgid(NOBODY);
    assert_non_null(group);
    struct fixture f;
    struct rpc_server_config config = {.ipc_group = group->gr_name};
    fixture_start(&f, "ipc", &config);
    const char *path = f.url + strlen("ipc://");
    assert_int_equal(chmod(f.dir, 0755), 0);
    ask_as(path, 0, 0, DROVER__V1__FRAME__KIND__RESPONSE, "4 uid 0");
    ask_as(path, NOBODY - 7, NOBODY - 7, DROVER__V1__FRAME__KIND__END, "uid 65527");
    ask_as(path, NOBODY - 7, NOBODY, DROVER__V1__FRAME__KIND__RESPONSE, "4 uid 65527"); /* by its group */
    ask_as(path, NOBODY, NOBODY - 7, DROVER__V1__FRAME__KIND__RESPONSE,
           "4 uid 65534"); /* by the group database */
    assert_int_equal(f.begun, 3);
    fixture_stop(&f);
}

static void test_left_behind(void **state)
{
    (void)state;
    struct fixture f;
    struct error err;
    fixture_start(&f, "ipc", NULL);
    struct rpc_server_config config = {.loop = f.loop};
    struct rpc_server *second = NULL;
    assert_int_equal(rpc_server_new(&config, &second, NULL), 0);
    assert_int_equal(rpc_server_listen(second, f.url, &err), -STATUS_ALREADY_EXISTS); /* somebody listens */
    assert_non_null(strstr(err.text, f.url));
    rpc_server_free(second);
    fixture_stop_server(&f);
    close(ipc_socket(f.url + strlen("ipc://"), true)); /* the file stays */
    fixture_restart(&f, NULL);
    struct rpc_client *c = fixture_client(&f, f.url, NULL);
    struct outcome o;
    outcome_init(&o, &f);
    struct rpc_stub stub = ECHO(c, .wait = true);
    say(&stub, "echo", 1, &o);
    wait_for(&f, o.items == 1);
    fixture_client_free(&f, c);
    fixture_stop(&f);
}

static void test_urls(void **state)
{
    (void)state;
    struct fixture f;
    static const char *const bad[] = {"",
                                      "http://x:1",
                                      "tcp://host",
                                      "tcp://host:",
                                      "tcp://host:70000",
                                      "tcp://host:1x",
                                      "ipc://relative/path",
                                      "tls+tcp://127.0.0.1:1"};
    fixture_start(&f, "ipc", NULL);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct rpc_client_config config = {.url = bad[i], .loop = f.loop};
        struct rpc_client *c = NULL;
        struct error err;
        assert_int_equal(rpc_client_new(&config, &c, &err), -STATUS_INVALID_ARGUMENT);
        assert_int_equal(strncmp(err.text, bad[i], strlen(bad[i])), 0);
        assert_int_equal(rpc_server_listen(f.server, bad[i], &err), -STATUS_INVALID_ARGUMENT);
    }
    fixture_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_peer), cmocka_unit_test(test_left_behind),
                                       cmocka_unit_test(test_urls)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
