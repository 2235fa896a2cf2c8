/* What is wrong with an agent.yaml is said in these words. */
#include "agent/config.h"
#include "common/base/cleanup.h"
#include "common/base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct agent_config *parse(const char *text)
{
    struct agent_config *c = NULL;
    struct error err = {0};
    if (agent_config_parse("/etc/drover/agent.yaml", text, strlen(text), &c, &err) < 0)
        fail_msg("%s", err.text);
    return c;
}

static void the_example_of_the_design_is_read(void **state)
{
    (void)state;
    _cleanup_(agent_config_freep) struct agent_config *c = parse("name: kvm1\n"
                                                                 "roles: [hypervisor]\n"
                                                                 "listen: tls+tcp://10.0.0.11:7460\n"
                                                                 "libvirt: qemu:///system\n"
                                                                 "migration_address: 10.0.1.11\n"
                                                                 "state_dir: /var/lib/drover-agent\n"
                                                                 "tls: {ca: ca.pem, cert: /srv/kvm1.pem}\n");
    assert_string_equal(c->name, "kvm1");
    assert_true(c->hypervisor);
    assert_false(c->storage);
    assert_string_equal(c->agent_url, "tls+tcp://10.0.0.11:7460");
    assert_string_equal(c->migration_address, "10.0.1.11");
    assert_string_equal(c->libvirt_remote, "qemu+tls://10.0.1.11/system");
    assert_string_equal(c->tls_ca, "/etc/drover/ca.pem");
    assert_string_equal(c->tls_cert, "/srv/kvm1.pem");
    assert_int_equal(c->log, LOG_LEVEL_INFO);
    assert_false(agent_config_exposed(c));
}

static void what_is_not_given_has_a_default(void **state)
{
    (void)state;
    _cleanup_(agent_config_freep) struct agent_config *c =
        parse("name: kvm1\nlisten: tcp://[fd00::11]:7460\n");
    assert_true(c->hypervisor);
    assert_string_equal(c->libvirt, "qemu:///system");
    assert_string_equal(c->migration_address, "fd00::11");
    assert_string_equal(c->libvirt_remote, "qemu+tls://[fd00::11]/system");
    assert_string_equal(c->state_dir, "/var/lib/drover-agent");
    assert_string_equal(c->hooks_dir, "/etc/drover/hooks.d");
    assert_int_equal(c->hook_timeout_ms, 10000);
    assert_null(c->tls_ca);
}

static void a_storage_node_needs_no_libvirt(void **state)
{
    (void)state;
    _cleanup_(agent_config_freep) struct agent_config *c =
        parse("name: export1\nroles: [storage]\nlisten: ipc:///run/drover/agent.sock\nlog: debug\n");
    assert_false(c->hypervisor);
    assert_true(c->storage);
    assert_null(c->libvirt);
    assert_null(c->libvirt_remote);
    assert_int_equal(c->log, LOG_LEVEL_DEBUG);
}

static void plain_tcp_beyond_loopback_is_exposed(void **state)
{
    (void)state;
    static const struct {
        const char *listen;
        bool exposed;
    } cases[] = {
        {"tcp://10.0.0.11:7460", true},  {"tcp://[fd00::11]:7460", true},
        {"tcp://127.0.0.1:7460", false}, {"tcp://[::1]:7460", false},
        {"tcp://localhost:7460", false}, {"ipc:///run/drover/agent.sock", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        _cleanup_free_ char *text = xasprintf("{name: a, roles: [storage], listen: \"%s\"}", cases[i].listen);
        _cleanup_(agent_config_freep) struct agent_config *c = parse(text);
        assert_int_equal(agent_config_exposed(c), cases[i].exposed);
    }
}

static void each_mistake_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *error;
    } cases[] = {
#include "tests/unit/agent_config_errors.h"
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct agent_config *c = NULL;
        struct error err = {0};
        int r = agent_config_parse("agent.yaml", cases[i].yaml, strlen(cases[i].yaml), &c, &err);
        assert_null(c);
        assert_int_equal(r, -STATUS_INVALID_ARGUMENT);
        assert_string_equal(err.text, cases[i].error);
    }
}

static void a_file_that_is_not_there_is_named(void **state)
{
    (void)state;
    struct agent_config *c = NULL;
    struct error err = {0};
    assert_int_equal(agent_config_load("/nonexistent/agent.yaml", &c, &err), -STATUS_NOT_FOUND);
    assert_non_null(strstr(err.text, "/nonexistent/agent.yaml"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_of_the_design_is_read),
        cmocka_unit_test(what_is_not_given_has_a_default),
        cmocka_unit_test(a_storage_node_needs_no_libvirt),
        cmocka_unit_test(plain_tcp_beyond_loopback_is_exposed),
        cmocka_unit_test(each_mistake_is_named),
        cmocka_unit_test(a_file_that_is_not_there_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
