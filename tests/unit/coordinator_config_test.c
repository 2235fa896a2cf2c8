#include "coordinator/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define HOST(name, port) "  - {name: " name ", agent: tcp://127.0.0.1:" port "}\n"

#define TWO                                                                                                  \
    "hosts:\n  - {name: a, agent: 'tcp://127.0.0.1:1', site: tokyo}\n  - {name: b, agent: "                  \
    "'tcp://127.0.0.1:2', site: "                                                                            \
    "osaka}\n"

static struct coordinator_config *load(const char *text)
{
    struct coordinator_config *c = NULL;
    struct error err = {0};
    if (coordinator_config_parse("/etc/drover/c.yaml", text, strlen(text), &c, &err) < 0)
        fail_msg("%s", err.text);
    return c;
}

static void a_full_file_loads(void **state)
{
    (void)state;
    _cleanup_(coordinator_config_freep) struct coordinator_config *c = load(
        "listen: [ipc:///run/a.sock, tls+tcp://10.0.0.5:7461]\n"
        "store: /srv/jobs.db\n"
        "history: 30d\n"
        "tls: {ca: ca.pem, cert: /etc/pki/coordinator.pem}\n"
        "group: herders\n"
        "hosts:\n"
        "  - {name: kvm1, agent: 'tls+tcp://[fd00::11]:7460', site: tokyo}\n"
        "  - {name: kvm2, agent: 'tls+tcp://10.0.0.12:7460'}\n"
        "policies:\n"
        "  default: {max_pause: 500ms, deadline: 10m, bandwidth: 800mbit, allow: [offline, auto-converge],\n"
        "    vcpu_ratio: 1.5, older_versions: block}\n"
        "log: debug\n");
    assert_int_equal(c->n_listen, 2);
    assert_string_equal(c->listen[1], "tls+tcp://10.0.0.5:7461");
    assert_string_equal(c->store, "/srv/jobs.db");
    assert_int_equal(c->history_ms, 30 * INT64_C(86400000));
    assert_string_equal(c->tls_ca, "/etc/drover/ca.pem");
    assert_string_equal(c->tls_cert, "/etc/pki/coordinator.pem");
    assert_string_equal(c->group, "herders");
    assert_true(c->group_given);
    assert_int_equal(c->n_hosts, 2);
    assert_string_equal(c->hosts[0].site, "tokyo");
    assert_string_equal(c->hosts[1].name, "kvm2");
    assert_string_equal(c->hosts[1].site, "");
    assert_int_equal(c->policy.max_pause, 500);
    assert_int_equal(c->policy.deadline, 600000);
    assert_int_equal(c->policy.bandwidth, 100000000);
    assert_true(c->policy.offline);
    assert_true(c->policy.auto_converge);
    assert_false(c->policy.post_copy);
    assert_int_equal(c->policy.vcpu_percent, 150);
    assert_true(c->policy.block_older);
    assert_int_equal(c->log, LOG_LEVEL_DEBUG);
}

static void the_first_policy_that_fits_holds(void **state)
{
    (void)state;
    _cleanup_(coordinator_config_freep) struct coordinator_config *c =
        load("policies:\n"
             "  db: {guests: ['db-*', sql], max_pause: 200ms, allow: [post-copy]}\n"
             "  careful: {labels: [critical], deadline: 5m}\n"
             "  default: {max_pause: 1s, bandwidth: 800mbit, allow: [offline, auto-converge]}\n");
    Drover__V1__Guest guest = DROVER__V1__GUEST__INIT;
    char *labels[] = {(char *)"web", (char *)"critical"};
    guest.labels = labels;
    guest.name = (char *)"db-1";
    guest.n_labels = 2;
    const struct intent *intent = policies_find(&c->policies, &guest);
    assert_non_null(intent);
    assert_string_equal(intent->name, "db");
    assert_int_equal(intent->policy.max_pause, 200);
    assert_int_equal(intent->policy.bandwidth, 100000000); /* the default's, though that comes later */
    assert_true(intent->policy.post_copy && !intent->policy.offline);
    _cleanup_free_ char *said = policies_say(intent, &intent->policy);
    assert_string_equal(said,
                        "db (db-*, sql): a pause of up to 200 ms, a deadline of 30 min, may use post-copy");
    guest.name = (char *)"web1";
    intent = policies_find(&c->policies, &guest);
    assert_non_null(intent);
    assert_string_equal(intent->name, "careful");
    assert_int_equal(intent->policy.max_pause, 1000);
    assert_true(intent->policy.auto_converge);
    guest.n_labels = 1;
    assert_null(policies_find(&c->policies, &guest));
    assert_null(policies_find(NULL, &guest));
    _cleanup_free_ char *otherwise = policies_say(NULL, &c->policy);
    assert_string_equal(otherwise,
                        "default: a pause of up to 1 s, a deadline of 30 min, may pause it, slow it down");
}

static void what_is_left_out_has_defaults(void **state)
{
    (void)state;
    _cleanup_(coordinator_config_freep) struct coordinator_config *c = load("");
    assert_int_equal(c->n_listen, 1);
    assert_string_equal(c->listen[0], "ipc:///run/drover/coordinator.sock");
    assert_string_equal(c->store, "/var/lib/drover/coordinator.db");
    assert_int_equal(c->history_ms, 400 * INT64_C(86400000));
    assert_null(c->tls_ca);
    assert_string_equal(c->group, "drover");
    assert_false(c->group_given);
    assert_int_equal(c->n_hosts, 0);
    assert_int_equal(c->policy.max_pause, 2000);
    assert_true(c->policy.offline);
    assert_int_equal(c->policy.vcpu_percent, 0);
    assert_false(c->policy.block_older);
    assert_int_equal(c->log, LOG_LEVEL_INFO);
}

static void errors_name_the_place(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *start, *word; /* the text's start after "/etc/drover/c.yaml", and a word in it */
    } cases[] = {
        {"hosts:\n" HOST("a", "1") HOST("a", "2"), ":3:12: hosts[1].name: a second host 'a'", "hosts[0]"},
        {"hosts:\n" HOST("a", "1") HOST("b", "1"), ":3:22: hosts[1].agent: ", "the agent of a"},
        {"hosts:\n" HOST("a/b", "1"), ":2:12: hosts[0].name: 'a/b' is no name", "letters"},
        {"hosts:\n  a/b: {agent: 'tcp://h:1'}\n", ":2:3: hosts[0].name: 'a/b' is no name", "letters"},
        {"hosts:\n  a: {agent: 'tcp://h:1'}\n  b: {agent: 'http://h:1'}\n",
         ":3:14: hosts[1].agent: 'http://h:1'", "tls+tcp"},
        {"hosts:\n" HOST("a", "x"), ":2:22: hosts[0].agent: 'tcp://127.0.0.1:x': ", "HOST:PORT"},
        {"hosts:\n" HOST("a", "70000"), ":2:22: hosts[0].agent: ", "65535"},
        {"hosts:\n" HOST("a", "1/x"), ":2:22: hosts[0].agent: ", "HOST:PORT"},
        {"hosts:\n  - {name: a, agent: 'tls+tcp://h:1'}\n", ":2:22: hosts[0].agent: ", "certificate"},
        {"hosts:\n  - {name: a}\n", ":2:5: hosts[0].agent: ", "missing"},
        {"listen: [ipc://run/x.sock]\n", ":1:10: listen[0]: ", "absolute"},
        {"listen: ['tcp://h:1', 'tcp://h:1']\n", ":1:23: listen[1]: ", "twice"},
        {"policies: {other: {}}\n", ":1:12: policies[0].name: policy 'other' says for no guest", "labels"},
        {"policies: {a/b: {guests: [x]}}\n", ":1:12: policies[0].name: 'a/b'", "letters"},
        {"policies: {default: {guests: [x]}}\n", ":1:12: policies[0].name: ", "every guest"},
        {"policies:\n  default: {}\n  db: {guests: [x], max_pause: 3}\n",
         ":3:32: policies[1].max_pause: ", "no unit"},
        {"policies: {db: {guests: x}}\n", ":1:25: policies.db.guests: ", "expected a list"},
        {"policies: {default: {deadline: 5}}\n", ":1:32: policies[0].deadline: ", "no unit"},
        {"policies: {default: {max_pause: 0s}}\n",
         ":1:33: policies[0].max_pause: '0s': expected more than nothing", "500ms"},
        {"policies:\n  default: {}\n  db: {guests: [x], deadline: 0.4ms}\n",
         ":3:31: policies[1].deadline: '0.4ms': expected more than nothing", "30m"},
        {"policies: {default: {bandwidth: fast}}\n", ":1:33: policies[0].bandwidth: ", "200mbit"},
        {"policies: {default: {allow: [offline, postcopy]}}\n",
         ":1:39: ", "auto-converge, post-copy, offline"},
        {"policies: {default: {vcpu_ratio: many}}\n", ":1:34: policies[0].vcpu_ratio: 'many'", "1.5"},
        {"policies: {default: {vcpu_ratio: 0}}\n", ":1:34: policies[0].vcpu_ratio: '0'", "1.5"},
        {"policies: {default: {vcpu_ratio: 2.505}}\n", ":1:34: policies[0].vcpu_ratio: '2.505'", "1.5"},
        {"policies: {default: {older_versions: no}}\n", ":1:38: ", "warn, block"},
        {"history: 1h\n", ":1:10: history: '1h': expected 1d", "36500d"},
        {"history: 90\n", ":1:10: history: ", "no unit"},
        {"log: loud\n", ":1:6: log: ", "debug"},
        {TWO "mappings:\n  - {from: a, to: c, paths: [{from: /a, to: /b}]}\n",
         ":5:19: mappings[0].to: 'c' is neither", "site"},
        {TWO "mappings:\n  - {from: a, to: osaka, paths: [{from: /a, to: /b}]}\n",
         ":5:19: mappings[0].to: 'a' is a host", "two sites"},
        {TWO "mappings:\n  - {from: a, to: b}\n", ":5:12: mappings[0].from: nothing", "bridges"},
        {TWO "mappings:\n  - {from: a, to: a, pools: [{from: x, to: y}]}\n",
         ":5:19: mappings[0].to: ", "hosts"},
        {TWO "mappings:\n  - {from: a, to: b, paths: [{from: a, to: /b}]}\n",
         ":5:37: mappings[0].paths[0].from: ", "absolute"},
        {TWO "mappings:\n  - from: a\n    to: b\n    both: true\n    bridges:\n      - {from: br0, to: br1}\n"
             "      - {from: br2, to: br1}\n",
         ":10:25: mappings[0].bridges[1].to: 'br1' is 'br0' on a", "keep one"},
        {TWO "mappings:\n  - {from: a, to: b, pools: [{from: x, to: y}]}\n"
             "  - {from: b, to: a, both: true, pools: [{from: x, to: y}]}\n",
         ":6:28: mappings[1].both: ", "already"},
        {TWO "links:\n  - {sites: [tokyo, osaka], bandwidth: 1gbit}\n"
             "  - {sites: [osaka, tokyo], bandwidth: 8mbit}\n",
         ":6:13: links[1].sites: a second link between osaka and tokyo (the first is links[0])", "both"},
        {"hots: []\n", ":1:1: hots: unknown key", "hosts"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct coordinator_config *c = NULL;
        struct error err = {0};
        int r =
            coordinator_config_parse("/etc/drover/c.yaml", cases[i].yaml, strlen(cases[i].yaml), &c, &err);
        const char *file = "/etc/drover/c.yaml";
        if (r != -STATUS_INVALID_ARGUMENT || c)
            fail_msg("case %zu was taken", i);
        if (strncmp(err.text, file, strlen(file)) != 0 ||
            strncmp(err.text + strlen(file), cases[i].start, strlen(cases[i].start)) != 0 ||
            !strstr(err.text, cases[i].word))
            fail_msg("case %zu: '%s', expected %s%s...%s", i, err.text, file, cases[i].start, cases[i].word);
    }
    struct coordinator_config *c = NULL;
    struct error err = {0};
    assert_int_equal(coordinator_config_load("/nonexistent/c.yaml", &c, &err), -STATUS_NOT_FOUND);
}

static void mappings_go_the_ways_that_are_given(void **state)
{
    (void)state;
    _cleanup_(coordinator_config_freep) struct coordinator_config *c =
        load(TWO "mappings:\n"
                 "  - from: tokyo\n"
                 "    to: osaka\n"
                 "    both: true\n"
                 "    paths: [{from: /srv/vms/, to: /data}]\n"
                 "    bridges: [{from: br0, to: br1}]\n"
                 "  - {from: a, to: b, networks: [{from: lan, to: lan2}]}\n");
    assert_int_equal(c->mappings.n, 3);
    assert_string_equal(c->mappings.pairs[1].from, "osaka");
    assert_false(c->mappings.pairs[1].hosts);
    assert_string_equal(c->mappings.pairs[1].rules[0].from, "/data");
    assert_string_equal(c->mappings.pairs[1].rules[0].to, "/srv/vms");
    assert_true(c->mappings.pairs[2].hosts);
    assert_int_equal(c->mappings.pairs[2].n_rules, 1);
}

static void plain_tcp_beyond_loopback_is_exposed(void **state)
{
    (void)state;
    assert_true(coordinator_config_exposed("tcp://10.0.0.5:7461"));
    assert_true(coordinator_config_exposed("tcp://0.0.0.0:7461"));
    assert_false(coordinator_config_exposed("tcp://127.0.0.1:7461"));
    assert_false(coordinator_config_exposed("tcp://[::1]:7461"));
    assert_false(coordinator_config_exposed("tls+tcp://10.0.0.5:7461"));
    assert_false(coordinator_config_exposed("ipc:///run/a.sock"));
}

#define TWO_HOSTS                                                                                            \
    "hosts:\n"                                                                                               \
    "  - {name: kvm1, agent: tcp://127.0.0.1:1, labels: [ssd, rack1]}\n"                                     \
    "  - {name: kvm2, agent: tcp://127.0.0.1:2, labels: [rack2]}\n"

static void lines_between_sites_load(void **state)
{
    (void)state;
    _cleanup_(coordinator_config_freep) struct coordinator_config *c =
        load("hosts:\n"
             "  - {name: kvm1, agent: tcp://127.0.0.1:1, site: tokyo}\n"
             "  - {name: kvm2, agent: tcp://127.0.0.1:2, site: osaka}\n"
             "  - {name: kvm3, agent: tcp://127.0.0.1:3, site: nara}\n"
             "links:\n"
             "  - {sites: [tokyo, osaka], bandwidth: 800mbit, delay: 40ms}\n"
             "  - {sites: [osaka, nara], bandwidth: 8mbit}\n");
    assert_int_equal(c->links[0].bandwidth, 100000000);
    assert_int_equal(c->links[0].delay_ms, 40);
    assert_int_equal(c->links[1].delay_ms, 0);
}

static void groups_and_guests_load(void **state)
{
    (void)state;
    _cleanup_(coordinator_config_freep) struct coordinator_config *c =
        load(TWO_HOSTS "groups:\n"
                       "  db: {guests: [db1, 'db-*'], keep: apart}\n"
                       "  shop: {guests: [shop, cart], keep: together}\n"
                       "guests:\n"
                       "  'web*': {prefer: [ssd], require: [rack1]}\n"
                       "  billing: {pinned: true}\n"
                       "  gpu: {hosts: ['kvm?']}\n");
    const struct guest_rules *r = &c->rules;
    assert_int_equal(r->n_hosts, 2);
    assert_string_equal(r->hosts[0].host, "kvm1");
    assert_true(names_have(&r->hosts[0].labels, "ssd"));
    assert_int_equal(r->n_groups, 2);
    assert_string_equal(r->groups[0].name, "db");
    assert_true(r->groups[0].apart);
    assert_true(names_match(&r->groups[0].guests, "db-eu"));
    assert_false(names_match(&r->groups[0].guests, "db2"));
    assert_false(r->groups[1].apart);
    assert_int_equal(r->n_rules, 3);
    assert_true(names_match(&r->rules[0].guests, "web7"));
    assert_string_equal(r->rules[0].prefer.list[0], "ssd");
    assert_string_equal(r->rules[0].require.list[0], "rack1");
    assert_false(r->rules[0].pinned);
    assert_true(r->rules[1].pinned);
    assert_true(names_match(&r->rules[2].hosts, "kvm2"));
}

static void mistakes_in_groups_and_guests_say_where(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } cases[] = {
        {TWO_HOSTS "guests:\n  web: {require: [sdd]}\n",
         "c.yaml:5:19: guests[0].require[0]: no host has the label 'sdd'; there are: ssd, rack1, rack2"},
        {TWO_HOSTS "guests:\n  web: {hosts: ['kvm[3-9]']}\n",
         "c.yaml:5:17: guests[0].hosts[0]: 'kvm[3-9]' is no host's name, and no pattern that fits one of "
         "`hosts`"},
        {TWO_HOSTS "groups:\n  - {name: db, guests: [db1], keep: apart}\n"
                   "  - {name: db, guests: [db2], keep: apart}\n",
         "c.yaml:6:12: groups[1].name: a second group 'db' (the first is groups[0])"},
        {"hosts:\n  - {name: kvm1, agent: tcp://127.0.0.1:1, labels: ['a b']}\n",
         "c.yaml:2:53: hosts[0].labels[0]: 'a b' is no label: expected letters, digits, '.', '_' and '-'"},
        {"groups: {db: {guests: [db1], keep: apart-ish}}\n",
         "c.yaml:1:36: groups.db.keep: expected one of together, apart, found \"apart-ish\""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct coordinator_config *c = NULL;
        struct error err = {0};
        assert_int_equal(coordinator_config_parse("c.yaml", cases[i].text, strlen(cases[i].text), &c, &err),
                         -STATUS_INVALID_ARGUMENT);
        assert_string_equal(err.text, cases[i].error);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_between_sites_load),
        cmocka_unit_test(groups_and_guests_load),
        cmocka_unit_test(mistakes_in_groups_and_guests_say_where),
        cmocka_unit_test(a_full_file_loads),
        cmocka_unit_test(the_first_policy_that_fits_holds),
        cmocka_unit_test(what_is_left_out_has_defaults),
        cmocka_unit_test(errors_name_the_place),
        cmocka_unit_test(plain_tcp_beyond_loopback_is_exposed),
        cmocka_unit_test(mappings_go_the_ways_that_are_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
