/* May a host use an export, by what the server's configuration says of its clients? */
#include "agent/io/exports.h"
#include "common/base/cleanup.h"
#include "common/base/memory.h"
#include "tests/unit/made_tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define _cleanup_exports_ _cleanup_(exports_deinit)

struct judged {
    const char *server;
    const char *clients[6]; /* who, with "+" before it: may write; "!": what the server refuses */
    int allowed, write;
};

enum {
    UNKNOWN = DROVER__V1__ANSWER__ANSWER_UNKNOWN,
    YES = DROVER__V1__ANSWER__YES,
    NO = DROVER__V1__ANSWER__NO
};

static void a_host_matches_what_the_server_would_match(void **state)
{
    (void)state;
    char *addresses[] = {(char *)"192.168.7.1", (char *)"10.0.0.11", (char *)"fd00::11"};
    char *initiators[] = {(char *)"iqn.1994-05.com.redhat:kvm1"};
    Drover__V1__InspectClient kvm1 = DROVER__V1__INSPECT_CLIENT__INIT;
    kvm1.host = (char *)"kvm1";
    kvm1.addresses = addresses;
    kvm1.n_addresses = 3;
    kvm1.initiators = initiators;
    kvm1.n_initiators = 1;
    Drover__V1__InspectClient *clients[] = {&kvm1};
    static const struct judged cases[] = {
        {"kernel", {"+*"}, YES, YES},
        {"kernel", {"10.0.0.11"}, YES, NO},
        {"kernel", {"+10.0.0.12"}, NO, NO},
        {"kernel", {"+10.0.0.0/24"}, YES, YES},
        {"kernel", {"+10.0.0.0/255.255.255.0"}, YES, YES},
        {"kernel", {"+10.0.0.8/30"}, YES, YES},
        {"kernel", {"+10.0.0.12/30"}, NO, NO},
        {"kernel", {"+fd00::/64"}, YES, YES},
        {"kernel", {"+10.0.0.*"}, YES, YES},
        {"kernel", {"+KVM1"}, YES, YES},
        {"kernel", {"+@hosts"}, UNKNOWN, UNKNOWN},
        {"kernel", {"+10.0.0.0/99"}, UNKNOWN, UNKNOWN},
        {"kernel", {"+*", "10.0.0.11"}, YES, NO},       /* the one host's word counts */
        {"kernel", {"+10.0.0.0/24", "kvm*"}, YES, YES}, /* networks before patterns */
        {"kernel", {"10.0.0.12", "+@hosts"}, UNKNOWN, UNKNOWN},
        {"ganesha", {"10.0.0.11", "+*"}, YES, NO}, /* the first counts */
        {"ganesha", {"!10.0.0.11", "+*"}, NO, NO},
        {"ganesha", {"+@hosts", "!*"}, UNKNOWN, UNKNOWN}, /* it may be in there, and then counts first */
        {"ganesha", {"+@hosts", "+*"}, YES, YES},
        {"glusterd", {"+*", "!10.0.0.11"}, NO, NO},
        {"glusterd", {"+10.0.0.*", "!10.0.0.12"}, YES, YES},
        {"tgt", {"+ALL"}, YES, YES},
        {"lio", {"+iqn.1994-05.com.redhat:kvm2", "+iqn.1994-05.com.redhat:kvm1"}, YES, YES},
        {"lio", {"+iqn.1994-05.com.redhat:kvm2"}, NO, NO},
        {"tgt", {NULL}, NO, NO},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        _cleanup_exports_ struct exports e = {0};
        Drover__V1__Export *x = exports_add(&e, "kind", cases[i].server, "name");
        for (size_t k = 0; cases[i].clients[k]; k++) {
            const char *who = cases[i].clients[k];
            bool refused = who[0] == '!';
            const char *options = !refused                            ? ""
                                  : streq(cases[i].server, "ganesha") ? "Access_Type=None"
                                                                      : "auth.reject";
            exports_add_client(x, who + (refused || who[0] == '+'), who[0] == '+', options);
        }
        exports_judge(x, clients, 1);
        if ((int)x->access[0]->allowed != cases[i].allowed || (int)x->access[0]->write != cases[i].write)
            fail_msg("case %zu: allowed %d write %d, %s", i, (int)x->access[0]->allowed,
                     (int)x->access[0]->write, x->access[0]->why);
        assert_true(*x->access[0]->why);
    }
}

static void what_is_read_only_to_all_can_be_written_by_none(void **state)
{
    (void)state;
    Drover__V1__InspectClient host = DROVER__V1__INSPECT_CLIENT__INIT;
    host.host = (char *)"kvm1";
    Drover__V1__InspectClient *clients[] = {&host};
    _cleanup_exports_ struct exports e = {0};
    Drover__V1__Export *x = exports_add(&e, "gluster", "glusterd", "gv0");
    exports_add_client(x, "*", true, "auth.allow");
    exports_add_client(x, "iqn.x:y", true, "");
    x->read_only = true;
    exports_judge(x, clients, 1);
    assert_int_equal(x->access[0]->allowed, YES);
    assert_int_equal(x->access[0]->write, NO);
}

/* One directory under two names, each for one host: both are let in, also by the one that the directory is known by. */
static void of_two_exports_of_ganesha_the_one_that_lets_a_host_in_counts(void **state)
{
    (void)state;
    _cleanup_(made_tree_deinit) struct made_tree t;
    _cleanup_exports_ struct exports e = {0};
    made_tree_init(&t);
    made_tree_add(&t, "etc/ganesha/ganesha.conf",
                  "EXPORT { Path = /srv/a; Pseudo = /one; CLIENT { Clients = kvm1; Access_Type = RW; } }\n"
                  "EXPORT { Path = /srv/b; Pseudo = /b; CLIENT { Clients = kvm1; Access_Type = RW; } }\n"
                  "EXPORT { Path = /srv/a; Pseudo = /two; CLIENT { Clients = kvm2; Access_Type = RW; } }\n");
    _cleanup_free_ char *etc = xasprintf("%s/etc", t.root);
    exports_read_ganesha(etc, t.root, &e);
    Drover__V1__InspectClient hosts[2];
    Drover__V1__InspectClient *clients[] = {&hosts[0], &hosts[1]};
    char *addresses[] = {(char *)"10.0.0.11", (char *)"10.0.0.12"};
    for (int i = 0; i < 2; i++) {
        drover__v1__inspect_client__init(&hosts[i]);
        hosts[i].host = (char *)(i ? "kvm2" : "kvm1");
        hosts[i].addresses = &addresses[i];
        hosts[i].n_addresses = 1;
    }
    exports_judge_all(&e, clients, 2);
    static const int expected[3][2] = {{YES, YES}, {YES, NO}, {NO, YES}};
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 2; k++) {
            assert_int_equal(e.list[i]->access[k]->allowed, expected[i][k]);
            assert_int_equal(e.list[i]->access[k]->write, expected[i][k]);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_host_matches_what_the_server_would_match),
        cmocka_unit_test(what_is_read_only_to_all_can_be_written_by_none),
        cmocka_unit_test(of_two_exports_of_ganesha_the_one_that_lets_a_host_in_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
