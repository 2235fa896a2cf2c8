#include "agent/io/host_facts.h"
#include "common/base/cleanup.h"
#include "common/base/loop.h"
#include "common/base/memory.h"
#include "tests/unit/made_tree.h"
#include "tests/unit/rpc_certs.h"

#include <netdb.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

static void facts_drop(Drover__V1__HostFacts **f)
{
    drover__v1__host_facts__free_unpacked(*f, NULL);
}

#define _cleanup_facts_ _cleanup_(facts_drop)

static Drover__V1__HostFacts *facts_new(void)
{
    Drover__V1__HostFacts *f = new0(Drover__V1__HostFacts);
    drover__v1__host_facts__init(f);
    return f;
}

static const Drover__V1__Setting *setting(const Drover__V1__HostFacts *f, const char *key, size_t nth)
{
    for (size_t i = 0; i < f->n_settings; i++)
        if (streq(f->settings[i]->key, key) && nth-- == 0)
            return f->settings[i];
    fail_msg("no setting %s", key);
    return NULL;
}

static void settings_name_the_file_and_line_that_say_so(void **state)
{
    (void)state;
    _cleanup_(made_tree_deinit) struct made_tree t;
    _cleanup_facts_ Drover__V1__HostFacts *f = facts_new();
    made_tree_init(&t);
    made_tree_add(&t, "libvirtd.conf",
                  "# listen_tcp = 1\n"
                  "listen_tls = 0   # no\n"
                  "tls_port_extra = 1\n"
                  "\tlisten_tls=1\n"
                  "auth_tcp = \"none\"\n"
                  "tls_allowed_dn_list = [\"CN=a\", \"CN=b\"]\n"
                  "tcp_port=\n"
                  "host_uuid");
    made_tree_add(&t, "qemu.conf", "migration_port_min = 50000\n");
    settings_read(t.root, f);
    _cleanup_free_ char *file = xasprintf("%s/libvirtd.conf", t.root);
    const Drover__V1__Setting *tls = setting(f, "listen_tls", 0);
    assert_string_equal(tls->value, "1"); /* the last line counts */
    assert_string_equal(tls->file, file);
    assert_int_equal(tls->line, 4);
    assert_string_equal(setting(f, "listen_tcp", 0)->value, "0");
    assert_string_equal(setting(f, "listen_tcp", 0)->file, "");
    assert_string_equal(setting(f, "auth_tcp", 0)->value, "none");
    assert_string_equal(setting(f, "tls_allowed_dn_list", 0)->value, "[\"CN=a\", \"CN=b\"]");
    assert_string_equal(setting(f, "tcp_port", 0)->value, "");
    assert_string_equal(setting(f, "host_uuid", 0)->file, "");
    assert_string_equal(setting(f, "migration_port_min", 0)->value, "50000");
    assert_int_equal(setting(f, "migration_port_min", 0)->line, 1);
    assert_string_equal(setting(f, "migration_port_max", 0)->value, "49215");
}

static void modular_daemons_count_where_their_files_are(void **state)
{
    (void)state;
    _cleanup_(made_tree_deinit) struct made_tree t;
    made_tree_init(&t);
    _cleanup_facts_ Drover__V1__HostFacts *without = facts_new(), *with = facts_new();
    settings_read(t.root, without);
    made_tree_add(&t, "virtproxyd.conf", "listen_tcp = 1\n");
    settings_read(t.root, with);
    assert_string_equal(setting(with, "listen_tcp", 1)->value, "1");
    assert_true(with->n_settings > without->n_settings);
}

static void services_of_systemd(void **state)
{
    (void)state;
    _cleanup_facts_ Drover__V1__HostFacts *f = facts_new();
    services_parse("Id=libvirtd.service\nLoadState=loaded\nActiveState=active\nUnitFileState=enabled\n"
                   "\n"
                   "Id=virtqemud.service\nLoadState=not-found\nActiveState=inactive\nUnitFileState=\n"
                   "\n"
                   "Id=firewalld.service\nLoadState=loaded\nActiveState=inactive\nUnitFileState=disabled",
                   f);
    assert_int_equal(f->n_services, 2);
    assert_string_equal(f->services[0]->unit, "libvirtd.service");
    assert_string_equal(f->services[0]->active, "active");
    assert_string_equal(f->services[0]->enabled, "enabled");
    assert_string_equal(f->services[1]->unit, "firewalld.service");
    assert_string_equal(f->services[1]->active, "inactive");
    services_parse("", f);
    services_parse("\n\nId=", f);
    assert_int_equal(f->n_services, 2);
}

static void without_systemd_a_pid_file_and_its_process_tell(void **state)
{
    (void)state;
    _cleanup_(made_tree_deinit) struct made_tree t;
    _cleanup_facts_ Drover__V1__HostFacts *f = facts_new();
    made_tree_init(&t);
    made_tree_add(&t, "run/libvirtd.pid", "4711\n");
    made_tree_add(&t, "run/virtqemud.pid", "4712\n");
    made_tree_add(&t, "proc/4711/comm", "libvirtd\n");
    made_tree_add(&t, "proc/4712/comm", "bash\n"); /* the number was used again */
    _cleanup_free_ char *run = xasprintf("%s/run", t.root), *proc = xasprintf("%s/proc", t.root);
    struct limit limit = {clock_monotonic_ms() + 10000, -1};
    services_read(&limit, run, proc, f);
    assert_string_equal(f->services[0]->active, "running");
    assert_string_equal(f->services[1]->active, "absent");
    assert_string_equal(f->services[2]->active, "absent");
}

/* ---- the firewall ---- */

#define CHAIN(policy)                                                                                        \
    "{\"nftables\": [{\"metainfo\": {\"version\": \"1.0.6\"}}, {\"table\": {\"family\": \"inet\", "          \
    "\"name\": \"f\"}},"                                                                                     \
    "{\"chain\": {\"family\": \"inet\", \"table\": \"f\", \"name\": \"in\", \"type\": \"filter\", "          \
    "\"hook\": \"input\", \"prio\": 0, "                                                                     \
    "\"policy\": \"" policy                                                                                  \
    "\"}}, {\"chain\": {\"family\": \"inet\", \"table\": \"f\", \"name\": \"out\", \"hook\": \"output\", "   \
    "\"policy\": \"drop\"}}"
#define RULE(expr)                                                                                           \
    ", {\"rule\": {\"family\": \"inet\", \"table\": \"f\", \"chain\": \"in\", \"expr\": [" expr "]}}"

static void a_firewall_is_judged_only_as_far_as_can_be_said(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        bool readable;
        int filters;
        size_t chains;
    } cases[] = {
        {"{\"nftables\": []}", true, DROVER__V1__ANSWER__NO, 0},
        {CHAIN("accept") "]}", true, DROVER__V1__ANSWER__NO, 1},
        {CHAIN("drop") "]}", true, DROVER__V1__ANSWER__YES, 1},
        {CHAIN("accept") RULE("{\"accept\": null}") "]}", true, DROVER__V1__ANSWER__NO, 1},
        {CHAIN("accept") RULE("{\"match\": {}}, {\"reject\": {}}") "]}", true, DROVER__V1__ANSWER__YES, 1},
        {CHAIN("accept") RULE("{\"jump\": {\"target\": \"x\"}}") "]}", true, DROVER__V1__ANSWER__YES, 1},
        {"{\"nftables\": [{\"chain\": {\"family\": \"ip\", \"table\": \"n\", \"name\": \"p\", \"type\": "
         "\"nat\", "
         "\"hook\": \"prerouting\", \"policy\": \"accept\"}}]}",
         true, DROVER__V1__ANSWER__NO, 0},
        {"", false, DROVER__V1__ANSWER__ANSWER_UNKNOWN, 0},
        {"[]", false, DROVER__V1__ANSWER__ANSWER_UNKNOWN, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        Drover__V1__Firewall *f = new0(Drover__V1__Firewall);
        drover__v1__firewall__init(f);
        assert_int_equal(firewall_parse(cases[i].json, f), cases[i].readable);
        assert_int_equal(f->filters, cases[i].filters);
        assert_int_equal(f->n_chains, cases[i].chains);
        assert_true(!f->n_chains || f->chains[0]->refuses == (f->filters == DROVER__V1__ANSWER__YES));
        drover__v1__firewall__free_unpacked(f, NULL);
    }
}

/* ---- certificates ---- */

static void a_certificate_tells_its_end_and_names(void **state)
{
    (void)state;
    _cleanup_(made_tree_deinit) struct made_tree t;
    _cleanup_facts_ Drover__V1__HostFacts *f = facts_new();
    made_tree_init(&t);
    made_tree_add(&t, "bad.pem", "-----BEGIN CERTIFICATE-----\nzzzz\n");
    _cleanup_free_ char *bad = xasprintf("%s/bad.pem", t.root), *none = xasprintf("%s/none.pem", t.root);
    certificate_read(none, "drover", f);
    assert_int_equal(f->n_certificates, 0); /* not there: nothing to tell */
    certificate_read(bad, "libvirt-ca", f);
    assert_int_equal(f->n_certificates, 1);
    assert_non_null(strstr(f->certificates[0]->error, "holds no certificate"));
    assert_string_equal(f->certificates[0]->purpose, "libvirt-ca");
    struct authority *ca = authority_new("A CA");
    struct cert_spec spec = {
        .uri = "drover://agent/kvm1", .other = "IP:10.0.0.11", .from_s = -3600, .to_s = 7200};
    _cleanup_free_ char *good = xasprintf("%s/good.pem", t.root);
    certificate_write(ca, &spec, good);
    certificate_read(good, "drover", f);
    const Drover__V1__Certificate *c = f->certificates[1];
    assert_string_equal(c->error, "");
    assert_non_null(strstr(c->issuer, "A CA"));
    assert_int_equal(c->not_after - c->not_before, 3 * 3600 * 1000);
    assert_int_equal(c->n_names, 2);
    authority_free(ca);
}

/* ---- the rest ---- */

static void huge_pages_of_the_host_and_its_nodes(void **state)
{
    (void)state;
    _cleanup_(made_tree_deinit) struct made_tree t;
    _cleanup_facts_ Drover__V1__HostFacts *f = facts_new();
    made_tree_init(&t);
    made_tree_add(&t, "kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "512\n");
    made_tree_add(&t, "kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "500\n");
    made_tree_add(&t, "devices/system/node/node1/hugepages/hugepages-1048576kB/nr_hugepages", "4\n");
    made_tree_add(&t, "devices/system/node/possible", "0-1\n");
    made_tree_add(&t, "meminfo", "MemTotal: 5 kB\nHugepagesize:       2048 kB\n");
    hugepages_read(t.root, t.root, f);
    assert_int_equal(f->hugepage_default, 2 << 20);
    assert_int_equal(f->n_hugepages, 2);
    assert_int_equal(f->hugepages[0]->page, 2 << 20);
    assert_int_equal(f->hugepages[0]->free, 500);
    assert_int_equal(f->hugepages[0]->node, -1);
    assert_int_equal(f->hugepages[1]->node, 1);
    assert_int_equal(f->hugepages[1]->total, 4);
}

static void the_system_by_its_release_file(void **state)
{
    (void)state;
    static const struct {
        const char *text, *id, *version;
    } cases[] = {
        {"PRETTY_NAME=\"Red Hat Enterprise Linux 9.4 "
         "(Plow)\"\nID=\"rhel\"\nVERSION_ID=\"9.4\"\nID_LIKE=\"fedora\"\n",
         "rhel", "9.4"},
        {"NAME='Debian GNU/Linux'\nVERSION_ID='12'\nID=debian\n", "debian", "12"},
        {"ID", "", ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        _cleanup_(made_tree_deinit) struct made_tree t;
        _cleanup_facts_ Drover__V1__HostFacts *f = facts_new();
        made_tree_init(&t);
        made_tree_add(&t, "os-release", cases[i].text);
        made_tree_add(&t, "iscsi/initiatorname.iscsi",
                      "## comment\nInitiatorName=iqn.1993-08.org.debian:01:abc\n");
        os_read(t.root, f);
        assert_string_equal(f->os_id, cases[i].id);
        assert_string_equal(f->os_version, cases[i].version);
        assert_string_equal(f->initiator, "iqn.1993-08.org.debian:01:abc");
    }
}

/* Enterprise Linux 5 and 6, whose directions Red Hat's table is about. */
static void an_older_system_by_its_release_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *id, *version;
    } cases[] = {
        {"Red Hat Enterprise Linux Server release 6.3 (Santiago)\n", "rhel", "6.3"},
        {"Red Hat Enterprise Linux Server release 5.8 (Tikanga)\n", "rhel", "5.8"},
        {"CentOS release 6.10 (Final)\n", "centos", "6.10"},
        {"Scientific Linux release 6.4 (Carbon)\n", "", "6.4"},
        {"something else\n", "", ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        _cleanup_(made_tree_deinit) struct made_tree t;
        _cleanup_facts_ Drover__V1__HostFacts *f = facts_new(), *newer = facts_new();
        made_tree_init(&t);
        made_tree_add(&t, "redhat-release", cases[i].text);
        os_read(t.root, f);
        assert_string_equal(f->os_id, cases[i].id);
        assert_string_equal(f->os_version, cases[i].version);
        made_tree_add(&t, "os-release", "ID=rhel\nVERSION_ID=9.4\n");
        os_read(t.root, newer);
        assert_string_equal(newer->os_version, "9.4");
    }
}

/* However short the time is, it is kept, and what is given up harms nothing. */
static void a_name_is_looked_up_for_as_long_as_there_is_time(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 300; i++) {
        _cleanup_facts_ Drover__V1__HostFacts *f = facts_new();
        const struct limit limit = {clock_monotonic_ms() + i % 3, -1};
        host_resolve(&limit, i % 2 ? "localhost" : "127.0.0.1", &f->resolves, &f->n_resolves,
                     &f->resolve_error);
        assert_true(f->n_resolves || f->resolve_error[0]);
    }
    _cleanup_facts_ Drover__V1__HostFacts *f = facts_new();
    const struct limit limit = {clock_monotonic_ms() + 20000, -1};
    host_resolve(&limit, "127.0.0.1", &f->resolves, &f->n_resolves, &f->resolve_error);
    assert_int_equal(f->n_resolves, 1);
    assert_string_equal(f->resolves[0], "127.0.0.1");
}

/* ---- names that are looked up for as long as not all of them are ---- */

enum { MET = 3 };
static pthread_barrier_t meeting;

int __real_getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                       struct addrinfo **result);
int __wrap_getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                       struct addrinfo **result);
int __wrap_getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                       struct addrinfo **result)
{
    if (!streq(name, "127.0.0.3"))
        return __real_getaddrinfo(name, service, hints, result);
    pthread_barrier_wait(&meeting);
    return __real_getaddrinfo(name, service, hints, result);
}

static void names_are_looked_up_side_by_side(void **state)
{
    (void)state;
    struct lookup *lookups[MET];
    _cleanup_facts_ Drover__V1__HostFacts *f = facts_new();
    const struct limit limit = {clock_monotonic_ms() + 20000, -1};
    pthread_barrier_init(&meeting, NULL, MET);
    for (unsigned i = 0; i < MET; i++)
        lookups[i] = lookup_begin("127.0.0.3");
    for (unsigned i = 0; i < MET; i++) {
        lookup_end(lookups[i], &limit, &f->resolves, &f->n_resolves, &f->resolve_error);
        assert_string_equal(f->resolve_error, "");
    }
    assert_int_equal(f->n_resolves, 1);
    assert_string_equal(f->resolves[0], "127.0.0.3");
}

static void a_lookup_is_left_when_it_is_cancelled(void **state)
{
    (void)state;
    _cleanup_facts_ Drover__V1__HostFacts *f = facts_new();
    _cleanup_close_ int cancelled = eventfd(1, EFD_CLOEXEC);
    const struct limit limit = {clock_monotonic_ms() + 1000000, cancelled};
    pthread_barrier_init(&meeting, NULL, 2);
    lookup_end(lookup_begin("127.0.0.3"), &limit, &f->resolves, &f->n_resolves, &f->resolve_error);
    assert_non_null(strstr(f->resolve_error, "no answer within"));
    pthread_barrier_wait(&meeting);
}

static void userfaultfd_by_the_setting_or_the_kernels_release(void **state)
{
    (void)state;
    static const struct {
        const char *setting, *release, *told;
    } cases[] = {
        {"1\n", "6.1.0-18-amd64\n", "1"},
        {"0\n", "6.1.0-18-amd64\n", "0"},
        {NULL, "6.1.0-18-amd64\n", "none"},
        {NULL, "5.2.1\n", "none"},
        {NULL, "4.18.0-372.el8\n", NULL},
        {NULL, "5.1.9\n", NULL},
        {NULL, NULL, NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        _cleanup_(made_tree_deinit) struct made_tree t;
        made_tree_init(&t);
        if (cases[i].setting)
            made_tree_add(&t, "sys/vm/unprivileged_userfaultfd", cases[i].setting);
        if (cases[i].release)
            made_tree_add(&t, "sys/kernel/osrelease", cases[i].release);
        _cleanup_free_ char *told = userfaultfd_read(t.root);
        assert_true(cases[i].told ? told && streq(told, cases[i].told) : !told);
    }
}

static void one_setting_alone(void **state)
{
    (void)state;
    _cleanup_(made_tree_deinit) struct made_tree t;
    made_tree_init(&t);
    _cleanup_free_ char *none = setting_read(t.root, "qemu.conf", "user");
    assert_null(none);
    made_tree_add(&t, "qemu.conf", "#user = \"qemu\"\nuser = \"root\"\nuser = 'libvirt-qemu'\n");
    _cleanup_free_ char *user = setting_read(t.root, "qemu.conf", "user");
    assert_string_equal(user, "libvirt-qemu");
    assert_null(setting_read(t.root, "qemu.conf", "group"));
}

static void the_boot_id_is_the_kernels(void **state)
{
    (void)state;
    _cleanup_(made_tree_deinit) struct made_tree t;
    made_tree_init(&t);
    assert_null(boot_id_read(t.root));
    made_tree_add(&t, "sys/kernel/random/boot_id", "5e1b6c1f-31c4-4e1f-9d2a-0d2f3a4b5c6d\n");
    _cleanup_free_ char *id = boot_id_read(t.root);
    assert_string_equal(id, "5e1b6c1f-31c4-4e1f-9d2a-0d2f3a4b5c6d");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_name_the_file_and_line_that_say_so),
        cmocka_unit_test(modular_daemons_count_where_their_files_are),
        cmocka_unit_test(services_of_systemd),
        cmocka_unit_test(without_systemd_a_pid_file_and_its_process_tell),
        cmocka_unit_test(a_firewall_is_judged_only_as_far_as_can_be_said),
        cmocka_unit_test(a_certificate_tells_its_end_and_names),
        cmocka_unit_test(huge_pages_of_the_host_and_its_nodes),
        cmocka_unit_test(the_system_by_its_release_file),
        cmocka_unit_test(a_name_is_looked_up_for_as_long_as_there_is_time),
        cmocka_unit_test(names_are_looked_up_side_by_side),
        cmocka_unit_test(a_lookup_is_left_when_it_is_cancelled),
        cmocka_unit_test(an_older_system_by_its_release_line),
        cmocka_unit_test(userfaultfd_by_the_setting_or_the_kernels_release),
        cmocka_unit_test(one_setting_alone),
        cmocka_unit_test(the_boot_id_is_the_kernels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
