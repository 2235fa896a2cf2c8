/* Bounds: what a peer that doesn't keep to them gets, over raw sockets; and the pure parts that keep them. */
#include "tests/unit/rpc_fixture.h"

#include "common/base/memory.h"
#include "common/rpc/answers.h"
#include "common/rpc/frame.h"
#include "common/rpc/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

/* A peer that says what it wants. */
static int raw_connect(const char *url)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {WAIT_MS / 1000, 0};
    sa.sin_port = htons((uint16_t)atoi(strrchr(url, ':') + 1));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    return fd;
}

static void raw_send(int fd, const Drover__V1__Frame *f)
{
    struct buffer b = {0};
    assert_int_equal(frame_append(&b, f, NULL, 64 << 20, NULL), 0);
    assert_int_equal(send(fd, b.data, buffer_len(&b), MSG_NOSIGNAL), buffer_len(&b));
    buffer_free(&b);
}

/* The next frame; NULL when the server has closed. */
static Drover__V1__Frame *raw_recv(int fd)
{
    uint8_t head[4];
    ssize_t n = recv(fd, head, 4, MSG_WAITALL);
    assert_true(n == 4 || n == 0 || errno == ECONNRESET);
    if (n != 4)
        return NULL;
    size_t len = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
    uint8_t *data = xcalloc(1, len + 1);
    if (len)
        assert_int_equal(recv(fd, data, len, MSG_WAITALL), len);
    Drover__V1__Frame *f = drover__v1__frame__unpack(NULL, len, data);
    assert_non_null(f);
    free(data);
    return f;
}

static int raw_hello(const char *url)
{
    int fd = raw_connect(url);
    Drover__V1__Frame hello = FRAME(HELLO, .version = FRAME_VERSION);
    raw_send(fd, &hello);
    Drover__V1__Frame *f = raw_recv(fd);
    assert_int_equal(f->kind, DROVER__V1__FRAME__KIND__HELLO);
    assert_int_equal(f->instance.len, 16);
    drover__v1__frame__free_unpacked(f, NULL);
    return fd;
}

static void expect_goaway(int fd, const char *text)
{
    Drover__V1__Frame *f = raw_recv(fd);
    assert_non_null(f);
    assert_int_equal(f->kind, DROVER__V1__FRAME__KIND__GOAWAY);
    if (!strstr(f->text, text))
        fail_msg("GOAWAY says: %s", f->text);
    drover__v1__frame__free_unpacked(f, NULL);
    assert_null(raw_recv(fd));
    close(fd);
}

static void expect_end(int fd, enum status_code code, const char *text)
{
    Drover__V1__Frame *f = raw_recv(fd);
    assert_non_null(f);
    assert_int_equal(f->kind, DROVER__V1__FRAME__KIND__END);
    if (f->status != code || !strstr(f->text, text))
        fail_msg("END says: %s: %s", status_name((enum status_code)f->status), f->text);
    drover__v1__frame__free_unpacked(f, NULL);
}

static Drover__V1__Frame request_of(const char *method, uint8_t *id, const void *payload, size_t len)
{
    return FRAME(REQUEST, .call = {16, id}, .method = (char *)method, .payload = {len, (uint8_t *)payload});
}

static void test_bad_peers(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, "tcp", NULL);
    int fd = raw_connect(f.url);
    Drover__V1__Frame hello = FRAME(HELLO, .version = 99);
    raw_send(fd, &hello);
    expect_goaway(fd, "protocol version 99 met version 1");

    fd = raw_connect(f.url);
    Drover__V1__Frame ping = FRAME(PING);
    raw_send(fd, &ping);
    expect_goaway(fd, "did not begin with HELLO");

    fd = raw_hello(f.url);
    Drover__V1__Frame again = FRAME(HELLO, .version = FRAME_VERSION);
    raw_send(fd, &again);
    expect_goaway(fd, "HELLO twice");

    fd = raw_hello(f.url);
    assert_int_equal(send(fd, "\x00\x40\x00\x01", 4, MSG_NOSIGNAL), 4);
    expect_goaway(fd, "larger than the 4194304 bytes");

    fd = raw_hello(f.url);
    assert_int_equal(send(fd, "\x00\x00\x00\x02\x0a\x7f", 6, MSG_NOSIGNAL), 6);
    expect_goaway(fd, "not a valid drover.v1.Frame");

    fd = raw_hello(f.url);
    Drover__V1__Frame short_id = FRAME(CANCEL, .call = {3, (uint8_t *)"abc"});
    raw_send(fd, &short_id);
    expect_goaway(fd, "call id of 3 bytes");

    fd = raw_connect(f.url); /* before the HELLO not even a kilobyte is taken */
    assert_int_equal(send(fd, "\x00\x00\x08\x00", 4, MSG_NOSIGNAL), 4);
    expect_goaway(fd, "doesn't speak Drover's protocol");
    fixture_stop(&f);
}

static void test_bad_requests(void **state)
{
    (void)state;
    struct fixture f;
    struct rpc_server_config config = {.limits = {.unpack_bytes = 64 * 1024}};
    uint8_t id[16] = {1};
    fixture_start(&f, "tcp", &config);
    int fd = raw_hello(f.url);
    Drover__V1__Frame r = request_of("drover.test.Echo/Sing", id, NULL, 0);
    raw_send(fd, &r);
    expect_end(fd, STATUS_UNIMPLEMENTED, "drover.test.Echo/Sing is not known here");
    r = request_of("no slash", id, NULL, 0);
    raw_send(fd, &r);
    expect_end(fd, STATUS_UNIMPLEMENTED, "no slash");
    r = request_of("drover.test.Echo/Say", id, "\x0a\x02\xc0\x80", 4); /* command: an overlong NUL */
    raw_send(fd, &r);
    expect_end(fd, STATUS_INVALID_ARGUMENT, "field 'command' is not UTF-8");
    r = request_of("drover.test.Echo/Say", id,
                   "\x0a\x03"
                   "a\0b",
                   5);
    raw_send(fd, &r);
    expect_end(fd, STATUS_INVALID_ARGUMENT, "field 'command' is not UTF-8");
    uint8_t empties[16000]; /* 8000 empty messages: small on the wire, 40 bytes and more each in memory */
    for (size_t i = 0; i < sizeof(empties); i += 2)
        memcpy(empties + i, "\x22\x00", 2);
    r = request_of("drover.test.Echo/Say", id, empties, sizeof(empties));
    raw_send(fd, &r);
    expect_end(fd, STATUS_RESOURCE_EXHAUSTED, "needs more than the 65536 bytes of memory");
    r = request_of("drover.test.Echo/Say", id, empties, 200);
    raw_send(fd, &r);
    Drover__V1__Frame *answer = raw_recv(fd); /* after all that the connection goes on */
    assert_int_equal(answer->kind, DROVER__V1__FRAME__KIND__RESPONSE);
    drover__v1__frame__free_unpacked(answer, NULL);
    assert_int_equal(f.begun, 1);
    close(fd);
    fixture_stop(&f);
}

static void test_same_id(void **state)
{
    (void)state;
    struct fixture f;
    uint8_t id[16] = {2};
    fixture_start(&f, "tcp", NULL);
    int fd = raw_hello(f.url);
    Drover__V1__Frame r = request_of("drover.test.Echo/Say", id, "\x0a\x04hold", 6);
    raw_send(fd, &r);
    wait_for(&f, f.held_count == 1);
    raw_send(fd, &r);
    expect_end(fd, STATUS_INVALID_ARGUMENT, "used before");
    memset(id, 3, sizeof(id));
    r.flags = DROVER__V1__FRAME__FLAG__ONCE;
    r.payload = (ProtobufCBinaryData){2, (uint8_t *)"\x10\x07"};
    for (unsigned i = 0; i < 3; i++) { /* carried out once, answered each time */
        raw_send(fd, &r);
        Drover__V1__Frame *answer = raw_recv(fd);
        assert_int_equal(answer->kind, DROVER__V1__FRAME__KIND__RESPONSE);
        assert_int_equal(answer->payload.len, 2);
        drover__v1__frame__free_unpacked(answer, NULL);
    }
    assert_int_equal(f.begun, 2);
    close(fd);
    fixture_stop(&f);
}

static void test_too_many_calls(void **state)
{
    (void)state;
    struct fixture f;
    struct rpc_server_config config = {.limits.calls = 8};
    fixture_start(&f, "tcp", &config);
    struct rpc_client *c = fixture_client(&f, f.url, NULL);
    struct outcome o, last;
    outcome_init(&o, &f);
    outcome_init(&last, &f);
    struct rpc_stub stub = ECHO(c, .wait = true);
    for (unsigned i = 0; i < 8; i++)
        say(&stub, "hold", i, &o);
    wait_for(&f, f.held_count == 8);
    say(&stub, "echo", 1, &last);
    wait_for(&f, last.ends == 1);
    assert_int_equal(last.why.code, STATUS_RESOURCE_EXHAUSTED);
    fixture_client_free(&f, c);

    struct rpc_client_config few = {.limits.calls = 2}; /* the client keeps to its own limit, too */
    c = fixture_client(&f, f.url, &few);
    outcome_init(&last, &f);
    stub.client = c;
    for (unsigned i = 0; i < 3; i++)
        say(&stub, "hold", i, &last);
    wait_for(&f, last.ends == 1);
    assert_int_equal(last.why.code, STATUS_RESOURCE_EXHAUSTED);
    fixture_client_free(&f, c);
    fixture_stop(&f);
}

static void test_large(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f, "ipc", NULL);
    struct rpc_client *c = fixture_client(&f, f.url, NULL);
    struct outcome o;
    struct rpc_stub stub = ECHO(c, .wait = true);
    outcome_init(&o, &f);
    say(&stub, "large", (4 << 20) - 1024, &o);
    wait_for(&f, o.items + o.ends == 1);
    assert_int_equal(o.data_len, (4 << 20) - 1024);
    for (unsigned once = 0; once < 2; once++) { /* too large an answer fails its call only */
        outcome_init(&o, &f);
        stub.once = once;
        say(&stub, "large", 5 << 20, &o);
        wait_for(&f, o.items + o.ends == 1);
        assert_int_equal(o.why.code, STATUS_RESOURCE_EXHAUSTED);
    }
    Drover__Test__EchoRequest request = DROVER__TEST__ECHO_REQUEST__INIT;
    request.data.len = 5 << 20;
    request.data.data = xcalloc(1, request.data.len);
    outcome_init(&o, &f);
    drover__test__echo__say(&stub.base, &request, on_reply, &o);
    wait_for(&f, o.ends == 1);
    assert_int_equal(o.why.code, STATUS_RESOURCE_EXHAUSTED);
    free(request.data.data);
    say(&stub, "echo", 1, &o);
    wait_for(&f, o.items == 1);
    fixture_client_free(&f, c);
    fixture_stop(&f);
}

static void test_connections(void **state)
{
    (void)state;
    struct fixture f;
    struct rpc_server_config config = {.limits = {.connections = 3, .handshake_ms = 200}};
    fixture_start(&f, "tcp", &config);
    int fds[3];
    for (unsigned i = 0; i < 3; i++)
        fds[i] = raw_hello(f.url);
    int fd = raw_connect(f.url);
    assert_null(raw_recv(fd)); /* closed at once */
    close(fd);
    wait_for(&f, f.refused == 1);
    assert_int_equal(f.refusal.code, STATUS_RESOURCE_EXHAUSTED);
    close(fds[0]);
    for (bool in = false; !in;) { /* its place becomes free */
        fd = raw_connect(f.url);
        Drover__V1__Frame hello = FRAME(HELLO, .version = FRAME_VERSION), *answer;
        raw_send(fd, &hello);
        if ((answer = raw_recv(fd)))
            drover__v1__frame__free_unpacked(answer, NULL);
        in = answer != NULL;
        close(fd);
    }
    for (unsigned i = 1; i < 3; i++)
        close(fds[i]);
    fixture_stop(&f);
}

static void test_silent(void **state)
{
    (void)state;
    struct fixture f;
    struct rpc_server_config config = {.limits = {.handshake_ms = 100, .keepalive_ms = 50}};
    fixture_start(&f, "tcp", &config);
    int fd = raw_connect(f.url);
    assert_null(raw_recv(fd)); /* no HELLO in time */
    close(fd);
    wait_for(&f, f.refused == 1);
    assert_non_null(strstr(f.refusal.text, "exchange of HELLO within 100 ms"));
    fd = raw_hello(f.url); /* pings are not answered */
    for (unsigned i = 0; i < 2; i++) {
        Drover__V1__Frame *ping = raw_recv(fd);
        assert_int_equal(ping->kind, DROVER__V1__FRAME__KIND__PING);
        drover__v1__frame__free_unpacked(ping, NULL);
    }
    Drover__V1__Frame *next = raw_recv(fd);
    while (next) {
        assert_int_equal(next->kind, DROVER__V1__FRAME__KIND__PING);
        drover__v1__frame__free_unpacked(next, NULL);
        next = raw_recv(fd);
    }
    close(fd);
    fixture_stop(&f);
}

/* A peer asks for large answers and never reads: what waits for it is bounded, then the connection ends. */
static void test_deaf(void **state)
{
    (void)state;
    struct fixture f;
    struct rpc_server_config config = {.limits = {.queued_bytes = 1 << 20, .keepalive_ms = 60000}};
    fixture_start(&f, "tcp", &config);
    int fd = raw_hello(f.url);
    uint8_t payload[16] = "\x0a\x05large\x10\x80\x80\x40", id[16] = {9}; /* 1 MiB each */
    unsigned sent = 0;
    for (; sent < 200; sent++) {
        struct buffer b = {0};
        id[15] = (uint8_t)sent;
        id[14] = (uint8_t)(sent >> 8);
        Drover__V1__Frame r = request_of("drover.test.Quick/Say", id, payload, 11);
        frame_append(&b, &r, NULL, 1 << 20, NULL);
        ssize_t n = send(fd, b.data, buffer_len(&b), MSG_NOSIGNAL);
        buffer_free(&b);
        if (n < 0)
            break;
    }
    wait_for(&f, f.begun > 0);
    char buf[65536];
    size_t got = 0;
    ssize_t n;
    while ((n = recv(fd, buf, sizeof(buf), 0)) > 0) /* ends: the connection was dropped */
        got += (size_t)n;
    assert_true(n == 0 || errno == ECONNRESET);
    assert_true(got < (size_t)64 << 20);
    close(fd);
    fixture_stop(&f);
}

static void release(struct fixture *f, unsigned n)
{
    pthread_mutex_lock(&f->lock);
    f->released = n;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
}

/* A hundred slow calls of one peer wait for a worker; the one call of another peer doesn't wait for all of them. */
static void test_turns(void **state)
{
    (void)state;
    struct fixture f;
    char url[128];
    struct outcome o, other, third;
    fixture_start(&f, "tcp", NULL);
    snprintf(url, sizeof(url), "ipc://%s/socket", f.dir);
    assert_int_equal(rpc_server_listen(f.server, url, NULL), 0);
    struct rpc_client *greedy = fixture_client(&f, f.url, NULL), *modest = fixture_client(&f, url, NULL);
    outcome_init(&o, &f);
    outcome_init(&other, &f);
    outcome_init(&third, &f);
    struct rpc_stub many = WORK(greedy, .wait = true), one = WORK(modest, .wait = true),
                    quick = QUICK(greedy);
    for (unsigned i = 0; i < 100; i++)
        say(&many, "block", i, &o);
    wait_for(&f, f.begun == 4); /* the fixture's workers */
    say(&quick, "echo", 0, &other);
    wait_for(&f, other.items == 1 && f.begun == 5); /* the others have come, and wait */
    say(&one, "begun", 0, &other);
    quick.client = modest;
    say(&quick, "echo", 0, &third);
    wait_for(&f, f.begun == 6);         /* so has this one */
    for (unsigned n = 1; n <= 5; n++) { /* one worker at a time gets free, and takes the next */
        release(&f, n);
        wait_for(&f, f.begun >= 6 + n); /* two, after one that is quick */
    }
    wait_for(&f, other.items == 2);
    release(&f, 100);
    wait_for(&f, o.items == 100);
    fixture_client_free(&f, greedy);
    fixture_client_free(&f, modest);
    fixture_stop(&f);
}

static void test_arena(void **state)
{
    (void)state;
    struct arena a;
    char first[256];
    arena_init(&a, first, sizeof(first), 20000);
    ProtobufCAllocator *alloc = &a.allocator;
    char *p = alloc->alloc(alloc->allocator_data, 100);
    assert_true(p >= first && p < first + sizeof(first));
    size_t total = 0;
    while (alloc->alloc(alloc->allocator_data, 1000))
        total += 1000;
    assert_in_range(total, 10000, 20000);
    assert_null(alloc->alloc(alloc->allocator_data, SIZE_MAX));
    arena_clear(&a, 20000);
    assert_non_null(alloc->alloc(alloc->allocator_data, 15000));
    assert_null(alloc->alloc(alloc->allocator_data, 15000));
    arena_clear(&a, 0);
}

static void test_text(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        bool good;
    } texts[] = {{"", true},
                 {"Tokio", true},
                 {"\xe6\x9d\xb1\xe4\xba\xac", true},
                 {"\xf0\x9f\x90\x91", true},
                 {"\xc3\xa9", true},
                 {"\x80", false},
                 {"\xc1\xbf", false},
                 {"\xe0\x9f\xbf", false},
                 {"\xed\xa0\x80", false},
                 {"\xf4\x90\x80\x80", false},
                 {"\xe6\x9d", false},
                 {"\xff", false}};
    for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        uint8_t packed[32] = {0x0a, (uint8_t)strlen(texts[i].bytes)};
        memcpy(packed + 2, texts[i].bytes, strlen(texts[i].bytes));
        int r = wire_check(&drover__test__echo_request__descriptor, packed, 2 + strlen(texts[i].bytes), NULL);
        assert_int_equal(r, texts[i].good ? 0 : -STATUS_INVALID_ARGUMENT);
    }
}

static void test_answers(void **state)
{
    (void)state;
    struct answers a;
    struct call_id ids[4] = {{{1}}, {{2}}, {{3}}, {{4}}};
    answers_init(&a, 3, 100);
    assert_true(answers_room(&a, 0, 0));
    for (unsigned i = 0; i < 3; i++)
        answers_put(&a, &ids[i], "kvm1", 1000 * (i + 1), 0, STATUS_OK, "answer", 6);
    assert_string_equal((const char *)answers_get(&a, &ids[1])->bytes, "answer");
    assert_false(answers_room(&a, 0, 500)); /* all may still be asked for */
    assert_true(answers_room(&a, 0, 1000)); /* the first one not any more */
    assert_null(answers_get(&a, &ids[0]));
    answers_taken(&a, answers_get(&a, &ids[2]));
    assert_non_null(answers_get(&a, &ids[2])); /* not dropped before its place is needed */
    assert_true(answers_room(&a, 1, 1000));
    assert_null(answers_get(&a, &ids[2]));
    assert_non_null(answers_get(&a, &ids[1]));
    answers_put(&a, &ids[3], "kvm1", 9000, 1000, STATUS_OK, "too large to keep", 95);
    assert_int_equal(answers_get(&a, &ids[3])->code, STATUS_DATA_LOSS); /* remembered all the same */
    answers_deinit(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_peers), cmocka_unit_test(test_bad_requests),
        cmocka_unit_test(test_same_id),   cmocka_unit_test(test_too_many_calls),
        cmocka_unit_test(test_large),     cmocka_unit_test(test_connections),
        cmocka_unit_test(test_silent),    cmocka_unit_test(test_deaf),
        cmocka_unit_test(test_turns),     cmocka_unit_test(test_arena),
        cmocka_unit_test(test_text),      cmocka_unit_test(test_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
