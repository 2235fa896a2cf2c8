#include "agent/io/listening.h"
#include "common/base/cleanup.h"
#include "common/base/memory.h"
#include "tests/unit/made_tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define HEADER                                                                                               \
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
#define REST " 00000000:00000000 00:00000000 00000000     0        0 12345 1 0000000000000000 100 0 0 10 0\n"

static void free_listening(Drover__V1__Listening **l)
{
    drover__v1__listening__free_unpacked(*l, NULL);
}

#define _cleanup_listening_ _cleanup_(free_listening)

static Drover__V1__Listening *read_tree(const struct made_tree *t)
{
    _cleanup_free_ char *etc = xasprintf("%s/etc/libvirt", t->root), *run = xasprintf("%s/run", t->root);
    _cleanup_free_ char *proc = xasprintf("%s/proc", t->root);
    return listening_read(etc, run, proc, NULL);
}

/* The path of a file in the tree is as expected. */
static void assert_in_tree(const struct made_tree *t, const char *path, const char *name)
{
    _cleanup_free_ char *expected = xasprintf("%s/%s", t->root, name);
    assert_string_equal(path, expected);
}

static void without_files_libvirts_defaults_hold(void **state)
{
    (void)state;
    _cleanup_(made_tree_deinit) struct made_tree t;
    made_tree_init(&t);
    _cleanup_listening_ Drover__V1__Listening *l = read_tree(&t);
    assert_false(l->tcp);
    assert_true(l->tls);
    assert_int_equal(l->tcp_port, 16509);
    assert_int_equal(l->tls_port, 16514);
    assert_string_equal(l->auth_tcp, "sasl");
    assert_string_equal(l->auth_tls, "none");
    assert_string_equal(l->source, "default");
    assert_int_equal(l->migration_port_min, 49152);
    assert_int_equal(l->migration_port_max, 49215);
    assert_string_equal(l->migration_source, "default");
}

static void the_files_say_otherwise_and_are_named(void **state)
{
    (void)state;
    _cleanup_(made_tree_deinit) struct made_tree t;
    made_tree_init(&t);
    made_tree_add(&t, "etc/libvirt/libvirtd.conf",
                  "# listen_tls = 1\n"
                  "listen_tls = 0\n"
                  "  listen_tcp=1   # for the lab\n"
                  "tcp_port = \"16510\"\n"
                  "auth_tcp = \"none\"\n"
                  "auth_tcp_extra = \"x\"\n"
                  "tls_port = 'libvirts'\n");
    made_tree_add(&t, "etc/libvirt/qemu.conf",
                  "#migration_port_min = 49152\nmigration_port_min = 50000\nmigration_port_max = 50015");
    _cleanup_listening_ Drover__V1__Listening *l = read_tree(&t);
    assert_true(l->tcp);
    assert_false(l->tls);
    assert_int_equal(l->tcp_port, 16510);
    assert_int_equal(l->tls_port, 16514);
    assert_string_equal(l->auth_tcp, "none");
    assert_in_tree(&t, l->source, "etc/libvirt/libvirtd.conf");
    assert_int_equal(l->migration_port_min, 50000);
    assert_int_equal(l->migration_port_max, 50015);
    assert_in_tree(&t, l->migration_source, "etc/libvirt/qemu.conf");
}

static void a_file_of_comments_is_the_default(void **state)
{
    (void)state;
    _cleanup_(made_tree_deinit) struct made_tree t;
    made_tree_init(&t);
    made_tree_add(&t, "etc/libvirt/libvirtd.conf", "#listen_tcp = 1\n\n");
    _cleanup_listening_ Drover__V1__Listening *l = read_tree(&t);
    assert_false(l->tcp);
    assert_string_equal(l->source, "default");
}

static void virtproxyd_counts_where_it_runs(void **state)
{
    (void)state;
    _cleanup_(made_tree_deinit) struct made_tree t;
    made_tree_init(&t);
    made_tree_add(&t, "etc/libvirt/libvirtd.conf", "tls_port = \"1111\"\n");
    made_tree_add(&t, "etc/libvirt/virtproxyd.conf", "tls_port = \"2222\"\n");
    Drover__V1__Listening *l = read_tree(&t);
    assert_int_equal(l->tls_port, 1111);
    free_listening(&l);
    made_tree_add(&t, "run/virtproxyd.pid", "1\n");
    l = read_tree(&t);
    assert_int_equal(l->tls_port, 2222);
    assert_in_tree(&t, l->source, "etc/libvirt/virtproxyd.conf");
    free_listening(&l);
}

/* A socket unit listens although the file says no, or nobody does although it says yes. 407D is 16509, 4082 is 16514. */
static void what_is_listened_on_has_the_last_word(void **state)
{
    (void)state;
    _cleanup_(made_tree_deinit) struct made_tree t;
    made_tree_init(&t);
    made_tree_add(&t, "etc/libvirt/libvirtd.conf", "listen_tcp = 0\nlisten_tls = 1\n");
    made_tree_add(&t, "proc/net/tcp",
                  HEADER "   0: 0B004D0A:407D 00000000:0000 0A" REST
                         "   1: 0B004D0A:4082 0500000A:1234 01" REST);
    made_tree_add(
        &t, "proc/net/tcp6",
        HEADER "   0: 00000000000000000000000001000000:4082 00000000000000000000000000000000:0000 0A" REST);
    _cleanup_listening_ Drover__V1__Listening *l = read_tree(&t);
    assert_true(l->tcp);
    assert_false(l->tls); /* a connection, and a listener on ::1: neither can be reached */
}

/* A socket unit has its own ListenStream=; libvirt_remote names it. 40D8 is 16600. */
static void the_port_that_other_hosts_use_counts(void **state)
{
    (void)state;
    _cleanup_(made_tree_deinit) struct made_tree t;
    made_tree_init(&t);
    made_tree_add(&t, "proc/net/tcp", HEADER "   0: 00000000:40D8 00000000:0000 0A" REST);
    _cleanup_free_ char *proc = xasprintf("%s/proc", t.root);
    struct libvirt_url remote = {"kvm2", 16600, true};
    _cleanup_listening_ Drover__V1__Listening *l = listening_read("/nowhere", "/nowhere", proc, &remote);
    assert_true(l->tls);
    assert_int_equal(l->tls_port, 16600);
    assert_false(l->tcp);
    assert_int_equal(l->tcp_port, 16509);
}

static void nonsense_is_read_as_the_default(void **state)
{
    (void)state;
    _cleanup_(made_tree_deinit) struct made_tree t;
    made_tree_init(&t);
    made_tree_add(
        &t, "etc/libvirt/libvirtd.conf",
        "tcp_port\ntcp_port =\ntcp_port = 99999999999\nauth_tcp = \"unclosed\nlisten_tcp = \"\n=\n");
    made_tree_add(&t, "etc/libvirt/qemu.conf", "migration_port_min = -1\nmigration_port_max = banana\n");
    made_tree_add(&t, "proc/net/tcp", "not a table\n\xff\xfe: :\n");
    _cleanup_listening_ Drover__V1__Listening *l = read_tree(&t);
    assert_int_equal(l->tcp_port, 16509);
    assert_string_equal(l->auth_tcp, "unclosed");
    assert_int_equal(l->migration_port_min, 49152);
    assert_int_equal(l->migration_port_max, 49215);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_files_libvirts_defaults_hold),
        cmocka_unit_test(the_files_say_otherwise_and_are_named),
        cmocka_unit_test(a_file_of_comments_is_the_default),
        cmocka_unit_test(virtproxyd_counts_where_it_runs),
        cmocka_unit_test(what_is_listened_on_has_the_last_word),
        cmocka_unit_test(the_port_that_other_hosts_use_counts),
        cmocka_unit_test(nonsense_is_read_as_the_default),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
