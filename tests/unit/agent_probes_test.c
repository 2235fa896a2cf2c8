#include "agent/io/image.h"
#include "agent/io/iscsi_identity.h"
#include "agent/io/layer2.h"
#include "agent/io/libvirt_port.h"
#include "agent/io/ports.h"
#include "agent/io/run.h"
#include "common/base/cleanup.h"
#include "common/base/loop.h"
#include "common/base/memory.h"
#include "tests/unit/made_tree.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <cmocka.h>

#define NONCE "0f8fad5b-d9cb-469f-a165-70867728950e"
#define OTHER "7c9e6679-7425-40de-944b-e07fc1f90ae7"

enum { FAR_MS = 60000, MIN = 20000, SPAN = 8 };

static struct limit in(int64_t ms)
{
    return (struct limit){clock_monotonic_ms() + ms, -1};
}

static void result_drop(Drover__V1__ProbeResult **r)
{
    drover__v1__probe_result__free_unpacked(*r, NULL);
}

#define _cleanup_result_ _cleanup_(result_drop)

static Drover__V1__ProbeResult *result_new(void)
{
    Drover__V1__ProbeResult *r = new0(Drover__V1__ProbeResult);
    drover__v1__probe_result__init(r);
    return r;
}

static void expect(const Drover__V1__ProbeResult *r, Drover__V1__ProbeOutcome outcome, const char *reason)
{
    assert_string_equal(r->reason, reason);
    assert_int_equal(r->outcome, outcome);
    assert_true(*r->seen);
}

/* ---- programs ---- */

static int run_words(const struct limit *limit, char **ret, struct error *err, const char *a, const char *b,
                     const char *c)
{
    const char *argv[] = {a, b, c, NULL};
    return run_program(limit, argv, ret, err);
}

static void a_program_that_ends_well_gives_what_it_said(void **state)
{
    (void)state;
    struct limit limit = in(FAR_MS);
    struct error err;
    _cleanup_free_ char *text = NULL, *empty = NULL;
    assert_int_equal(run_words(&limit, &text, &err, "echo", "$HOME; ls", NULL), 0);
    assert_string_equal(text, "$HOME; ls\n"); /* no shell */
    assert_int_equal(run_words(&limit, &empty, &err, "true", NULL, NULL), 0);
    assert_string_equal(empty, "");
}

static void a_program_that_fails_says_why(void **state)
{
    (void)state;
    struct limit limit = in(FAR_MS);
    struct error err;
    char *text = NULL;
    assert_int_equal(run_words(&limit, &text, &err, "drover-no-such-program", NULL, NULL), -STATUS_NOT_FOUND);
    assert_int_equal(
        run_words(&limit, &text, &err, "sh", "-c", "echo first >&2; echo 'last line' >&2; exit 3"),
        -STATUS_FAILED_PRECONDITION);
    assert_non_null(strstr(err.text, "status 3: last line"));
    assert_int_equal(run_words(&limit, &text, &err, "sh", "-c", "kill -9 $$"), -STATUS_FAILED_PRECONDITION);
    assert_non_null(strstr(err.text, "signal 9"));
    assert_null(text);
}

static void a_program_that_complains_has_failed_if_it_is_to_be_silent(void **state)
{
    (void)state;
    struct limit limit = in(FAR_MS);
    struct error err = {0};
    const char *quiet[] = {"echo", "fine", NULL}, *complains[] = {"sh", "-c", "echo 'lost it' >&2", NULL};
    assert_int_equal(run_silent(&limit, quiet, &err), 0);
    assert_int_equal(run_silent(&limit, complains, &err), -STATUS_FAILED_PRECONDITION);
    assert_non_null(strstr(err.text, "lost it"));
}

static void a_program_that_hangs_or_talks_too_much_is_killed_with_its_children(void **state)
{
    (void)state;
    struct error err;
    char *text = NULL;
    struct limit soon = in(100);
    /* The child holds the pipe open: only its end makes this return. */
    assert_int_equal(run_words(&soon, &text, &err, "sh", "-c", "sleep 1000 & wait"),
                     -STATUS_DEADLINE_EXCEEDED);
    struct limit limit = in(FAR_MS);
    assert_int_equal(run_words(&limit, &text, &err, "yes", NULL, NULL), -STATUS_RESOURCE_EXHAUSTED);
    struct limit cancelled = {clock_monotonic_ms() + FAR_MS, eventfd(1, EFD_CLOEXEC)};
    assert_int_equal(run_words(&cancelled, &text, &err, "sleep", "1000", NULL), -STATUS_CANCELLED);
    assert_true(limit_over(&cancelled));
    close(cancelled.cancel_fd);
    assert_null(text);
}

/* ---- ports ---- */

#define HEADER                                                                                               \
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"

static void the_last_free_port_of_the_range_is_opened(void **state)
{
    (void)state;
    _cleanup_(made_tree_deinit) struct made_tree t;
    made_tree_init(&t);
    /* 4E20 is 20000, 4E21 is 20001; a connection is no listener */
    made_tree_add(&t, "net/tcp",
                  HEADER "   0: 0100007F:4E20 00000000:0000 0A 0:0 0:0 0 0 0 1\n"
                         "   1: 0100007F:4E21 0100007F:4E20 01 0:0 0:0 0 0 0 1\n");
    made_tree_add(&t, "net/tcp6",
                  HEADER "   0: 00000000000000000000000000000000:4E20 0:0 0A 0:0 0:0 0 0 0 1\n"
                         "   1: 00000000000000000000000000000000:4E22 0:0 0A 0:0 0:0 0 0 0 1\n");
    _cleanup_result_ Drover__V1__ProbeResult *first = result_new(), *second = result_new();
    _cleanup_close_ int a = port_open(t.root, "127.0.0.1", MIN, MIN + SPAN, first);
    _cleanup_close_ int b = port_open(t.root, "127.0.0.1", MIN, MIN + SPAN, second);
    assert_true(a >= 0 && b >= 0);
    expect(first, DROVER__V1__PROBE_OUTCOME__PROBE_PROVEN, "");
    assert_int_equal(first->ports_taken, 2);
    assert_int_equal(first->ports_total, SPAN + 1);
    assert_true(second->port < first->port);
    assert_string_equal(first->address, "127.0.0.1");
}

static void a_full_range_and_a_foreign_address_are_results(void **state)
{
    (void)state;
    _cleanup_result_ Drover__V1__ProbeResult *one = result_new(), *full = result_new(),
                                             *foreign = result_new(), *name = result_new();
    _cleanup_close_ int held = port_open("/proc", "127.0.0.1", MIN + 20, MIN + 40, one);
    assert_true(held >= 0);
    assert_int_equal(port_open("/proc", "127.0.0.1", one->port, one->port, full), -1);
    expect(full, DROVER__V1__PROBE_OUTCOME__PROBE_REFUTED, "range-full");
    assert_int_equal(full->ports_taken, 1);
    assert_int_equal(port_open("/proc", "192.0.2.1", MIN, MIN + SPAN, foreign), -1);
    expect(foreign, DROVER__V1__PROBE_OUTCOME__PROBE_REFUTED, "no-address");
    assert_int_equal(port_open("/proc", "not an address", MIN, MIN + SPAN, name), -1);
    expect(name, DROVER__V1__PROBE_OUTCOME__PROBE_UNDECIDED, "no-address");
}

static void a_reserved_port_is_nobody_elses(void **state)
{
    (void)state;
    _cleanup_result_ Drover__V1__ProbeResult *r = result_new();
    uint32_t a = port_reserve("/proc", "127.0.0.1", MIN, MIN + SPAN, r);
    uint32_t b = port_reserve("/proc", "127.0.0.1", MIN, MIN + SPAN, r);
    assert_true(a > b && b >= MIN);
    assert_int_equal(port_reserve("/proc", "127.0.0.1", a, a, r), 0);
    expect(r, DROVER__V1__PROBE_OUTCOME__PROBE_REFUTED, "range-full");
    port_give_back(a);
    assert_int_equal(port_reserve("/proc", "127.0.0.1", MIN, MIN + SPAN, r), a);
    port_give_back(a);
    port_give_back(b);
}

/* A listener that greets one connection with `text`, or hangs up at once (NULL). */
struct greeter {
    int fd;
    uint16_t port;
    const char *text;
};

static void greeter_init(struct greeter *g, const char *text)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(at);
    g->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g->text = text;
    assert_int_equal(bind(g->fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(g->fd, 4), 0);
    assert_int_equal(getsockname(g->fd, (struct sockaddr *)&at, &size), 0);
    g->port = ntohs(at.sin_port);
}

static void *greet(void *arg)
{
    struct greeter *g = arg;
    int peer = accept(g->fd, NULL, NULL);
    if (peer >= 0 && g->text)
        for (const char *p = g->text; *p; p++) /* byte by byte: it may come in pieces */
            if (send(peer, p, 1, MSG_NOSIGNAL) != 1)
                break;
    if (peer >= 0)
        close(peer);
    return NULL;
}

static void the_agent_that_listens_is_known_by_its_greeting(void **state)
{
    (void)state;
    static const struct {
        const char *text, *nonce;
        Drover__V1__ProbeOutcome outcome;
        const char *reason;
    } cases[] = {
        {"drover-probe " NONCE "\n", NONCE, DROVER__V1__PROBE_OUTCOME__PROBE_PROVEN, ""},
        {"drover-probe " OTHER "\n", NONCE, DROVER__V1__PROBE_OUTCOME__PROBE_REFUTED, "wrong-peer"},
        {"SSH-2.0-OpenSSH_9.2\r\n", NONCE, DROVER__V1__PROBE_OUTCOME__PROBE_REFUTED, "wrong-peer"},
        {NULL, NONCE, DROVER__V1__PROBE_OUTCOME__PROBE_REFUTED, "wrong-peer"},
        {NULL, "", DROVER__V1__PROBE_OUTCOME__PROBE_PROVEN, ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct greeter g;
        pthread_t thread;
        greeter_init(&g, cases[i].text);
        assert_int_equal(pthread_create(&thread, NULL, greet, &g), 0);
        _cleanup_result_ Drover__V1__ProbeResult *r = result_new();
        struct limit limit = in(FAR_MS);
        port_connect(&limit, "127.0.0.1", "127.0.0.1", g.port, cases[i].nonce, r);
        pthread_join(thread, NULL);
        close(g.fd);
        expect(r, cases[i].outcome, cases[i].reason);
        assert_string_equal(r->address, "127.0.0.1");
    }
}

static void what_does_not_answer_is_told_apart(void **state)
{
    (void)state;
    struct greeter silent;
    greeter_init(&silent, NULL); /* nobody accepts: the kernel does, nobody speaks */
    _cleanup_result_ Drover__V1__ProbeResult *r = result_new(), *refused = result_new(),
                                             *foreign = result_new();
    struct limit limit = in(150), far = in(FAR_MS);
    port_connect(&limit, "", "127.0.0.1", silent.port, NONCE, r);
    expect(r, DROVER__V1__PROBE_OUTCOME__PROBE_REFUTED, "timeout");
    close(silent.fd);
    port_connect(&far, "", "127.0.0.1", silent.port, NONCE, refused);
    expect(refused, DROVER__V1__PROBE_OUTCOME__PROBE_REFUTED, "refused");
    port_connect(&far, "192.0.2.1", "127.0.0.1", silent.port, NONCE, foreign);
    expect(foreign, DROVER__V1__PROBE_OUTCOME__PROBE_UNDECIDED, "no-address");
}

/* ---- libvirt's port ---- */

static void urls_of_libvirt(void **state)
{
    (void)state;
    static const struct {
        const char *url, *host;
        uint32_t port;
        bool tls;
    } good[] = {
        {"qemu+tls://kvm2/system", "kvm2", 16514, true},
        {"qemu://kvm2/system", "kvm2", 16514, true},
        {"qemu+tcp://10.0.0.12/system", "10.0.0.12", 16509, false},
        {"qemu+tcp://root@10.0.0.12:99/system?x=y", "10.0.0.12", 99, false},
        {"qemu+tls://[fd00::2]:16999/system", "fd00::2", 16999, true},
        {"qemu+tls://[fd00::2]", "fd00::2", 16514, true},
    };
    static const char *const bad[] = {
        "",     "qemu+ssh://kvm2/system", "qemu+unix:///system", "qemu:///system",  "qemu+tcp://:1/",
        "kvm2", "qemu+tcp://a:0/",        "qemu+tcp://a:70000/", "qemu+tcp://a:x/", "qemu+tcp://[fd00/",
        "://",  "qemu+tcp://[]/"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct libvirt_url u;
        assert_true(libvirt_url_parse(good[i].url, &u));
        assert_string_equal(u.host, good[i].host);
        assert_int_equal(u.port, good[i].port);
        assert_int_equal(u.tls, good[i].tls);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct libvirt_url u;
        if (libvirt_url_parse(bad[i], &u))
            fail_msg("%s was taken", bad[i]);
    }
}

static void libvirt_without_tls_and_without_certificates(void **state)
{
    (void)state;
    struct greeter g;
    greeter_init(&g, NULL);
    _cleanup_(made_tree_deinit) struct made_tree t;
    made_tree_init(&t);
    _cleanup_free_ char *tcp = xasprintf("qemu+tcp://127.0.0.1:%u/system", g.port);
    _cleanup_free_ char *tls = xasprintf("qemu+tls://127.0.0.1:%u/system", g.port);
    _cleanup_result_ Drover__V1__ProbeResult *a = result_new(), *b = result_new(), *c = result_new();
    struct limit limit = in(FAR_MS);
    libvirt_port_connect(&limit, t.root, "", tcp, a);
    expect(a, DROVER__V1__PROBE_OUTCOME__PROBE_PROVEN, "");
    libvirt_port_connect(&limit, t.root, "", tls, b);
    expect(b, DROVER__V1__PROBE_OUTCOME__PROBE_UNDECIDED, "tls-credentials");
    libvirt_port_connect(&limit, t.root, "", "qemu+ssh://kvm2/system", c);
    assert_int_equal(c->outcome, DROVER__V1__PROBE_OUTCOME__PROBE_NOT_APPLICABLE);
    close(g.fd);
}

/* ---- layer 2 ---- */

static void a_frame_is_known_by_its_nonce(void **state)
{
    (void)state;
    static const unsigned char mac[6] = {2, 0, 0, 0, 0, 1};
    unsigned char frame[LAYER2_FRAME_MAX];
    size_t n = layer2_make(mac, NONCE, frame);
    assert_true(n >= LAYER2_FRAME_MIN);
    assert_true(layer2_is(frame, n, NONCE));
    assert_false(layer2_is(frame, n, OTHER));
    assert_false(layer2_is(frame, n, ""));
    for (size_t k = 0; k < 50; k++)
        assert_false(layer2_is(frame, k, NONCE));
    frame[12] = 8; /* another protocol */
    assert_false(layer2_is(frame, n, NONCE));
}

static void a_bridge_that_is_not_there_is_told(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip(); /* no packet sockets */
    _cleanup_result_ Drover__V1__ProbeResult *a = result_new(), *b = result_new();
    struct limit limit = in(FAR_MS);
    layer2_listen(&limit, "drover-none", NONCE, a);
    expect(a, DROVER__V1__PROBE_OUTCOME__PROBE_REFUTED, "no-bridge");
    layer2_send(&limit, "drover-none", NONCE, b);
    expect(b, DROVER__V1__PROBE_OUTCOME__PROBE_REFUTED, "no-bridge");
}

/* ---- who an iSCSI unit is ---- */

static void a_unit_is_known_by_its_serial_number_or_a_designator_in_text(void **state)
{
    (void)state;
    static const struct {
        const char *output, *identity;
    } cases[] = {
        {"Unit Serial Number:[                              beaf11]\n", "serial beaf11"},
        {"Unit Serial Number:[        ]\n", NULL},
        {"Page Code:(0x83) DEVICE_IDENTIFICATION\nDEVICE DESIGNATOR #0\nCode Set:(1) BINARY\nDesignator:[`]\n"
         "DEVICE DESIGNATOR #1\nCode Set:(2) ASCII\nDesignator:[IET     00010001]\n",
         "designator IET     00010001"},
        {"Code Set:(1) BINARY\nDesignator:[abc]\n", NULL},
        {"Code Set:(2) ASCII\nDesignator:[a\x01"
         "b]\n",
         NULL},
        {"Unit Serial Number:[never ends", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        _cleanup_free_ char *identity = iscsi_identity_parse(cases[i].output);
        if (!identity != !cases[i].identity || (identity && !streq(identity, cases[i].identity)))
            fail_msg("case %zu: '%s', expected '%s'", i, identity, cases[i].identity);
    }
}

static void qemu_img_logs_in_as_the_guests_qemu_does(void **state)
{
    (void)state;
    static const struct {
        const char *url, *name;
    } cases[] = {
        {"iscsi://10.0.0.20:3260/iqn.2026-01.lab:a/1",
         "json:{\"file\":{\"driver\":\"iscsi\",\"transport\":\"tcp\",\"portal\":\"10.0.0.20:3260\","
         "\"target\":\"iqn.2026-01.lab:a\",\"lun\":1,\"initiator-name\":\"iqn.x:\\\"q\"}}"},
        {"iscsi://[fd00::20]/iqn.2026-01.lab:a/b/17",
         "json:{\"file\":{\"driver\":\"iscsi\",\"transport\":\"tcp\",\"portal\":\"[fd00::20]\","
         "\"target\":\"iqn.2026-01.lab:a/b\",\"lun\":17,\"initiator-name\":\"iqn.x:\\\"q\"}}"},
        {"iscsi://10.0.0.20/iqn.2026-01.lab:a", NULL},
        {"iscsi://10.0.0.20", NULL},
        {"nfs://10.0.0.20/a/1", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        _cleanup_free_ char *name = image_of_initiator(cases[i].url, "iqn.x:\"q");
        if (!name != !cases[i].name || (name && !streq(name, cases[i].name)))
            fail_msg("case %zu: '%s', expected '%s'", i, name, cases[i].name);
    }
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_program_that_ends_well_gives_what_it_said),
        cmocka_unit_test(a_program_that_fails_says_why),
        cmocka_unit_test(a_program_that_complains_has_failed_if_it_is_to_be_silent),
        cmocka_unit_test(a_program_that_hangs_or_talks_too_much_is_killed_with_its_children),
        cmocka_unit_test(the_last_free_port_of_the_range_is_opened),
        cmocka_unit_test(a_reserved_port_is_nobody_elses),
        cmocka_unit_test(a_full_range_and_a_foreign_address_are_results),
        cmocka_unit_test(the_agent_that_listens_is_known_by_its_greeting),
        cmocka_unit_test(what_does_not_answer_is_told_apart),
        cmocka_unit_test(urls_of_libvirt),
        cmocka_unit_test(libvirt_without_tls_and_without_certificates),
        cmocka_unit_test(a_frame_is_known_by_its_nonce),
        cmocka_unit_test(a_bridge_that_is_not_there_is_told),
        cmocka_unit_test(qemu_img_logs_in_as_the_guests_qemu_does),
        cmocka_unit_test(a_unit_is_known_by_its_serial_number_or_a_designator_in_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
