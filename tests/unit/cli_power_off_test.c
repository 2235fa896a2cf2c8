/* drover consolidate --power-off-hook, against the hosts of cli_fake_fleet.c. */
#include "cli/exits.h"
#include "common/base/cleanup.h"
#include "common/base/memory.h"
#include "tests/unit/cli_operator.h"
#include "tests/unit/cli_run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>
#include <signal.h>

static void a_hook_powers_off_what_is_proven_empty(void **state)
{
    (void)state;
    struct cli_run r;
    script("off", "touch $DROVER_HOST.down");
    _cleanup_free_ char *line = xasprintf("consolidate --power-off-hook %s/off", dir);
    run(&r, line);
    assert_int_equal(r.exit, EXIT_DONE);
    assert_in_order(
        r.out, (const char *const[]){
                   "to be powered off if you like: hv3,hv4", "hv3: hv3 is empty: libvirt there has no guest",
                   "hv3: is in maintenance and empty; runs: ", "hv4: is in maintenance and empty; runs: ",
                   "hv3: in maintenance and empty; the command has been run.",
                   "once it is on again: drover maintenance off hv3", NULL});
    assert_noted("hv3 10.0.0.11 tokyo\nhv4 10.0.0.11 tokyo\n");
    assert_true(there("hv3.down") && there("hv4.down"));
    clean(state);
    script("off", "");
    put("hv3.stays", "", 0644); /* something has appeared there, and does not leave */
    run(&r, line);
    assert_int_equal(r.exit, EXIT_PARTLY);
    assert_has(r.out, "drover evacuate hv3 proves that it is empty");
    assert_noted("");
    put("hv3.bare", "", 0644); /* no host that had guests has none now */
    run(&r, line);
    assert_int_equal(r.exit, EXIT_DONE);
    assert_has(r.out, "no host is to be powered off");
    assert_noted("");
    run(&r, "consolidate --dry-run");
    assert_noted("");
}

static void what_the_hook_is_not_run_for_is_json_too(void **state)
{
    (void)state;
    struct cli_run r;
    script("off", "");
    _cleanup_free_ char *json = xasprintf("consolidate --power-off-hook %s/off --json", dir);
    put("hv3.bare", "", 0644);
    run(&r, json);
    assert_int_equal(r.exit, EXIT_DONE);
    assert_has(r.out, "\"event\":\"not-run\",\"text\":\"no host is to be powered off\"");
    drop("hv3.bare");
    put("hv3.stayed", "", 0644);
    run(&r, json);
    assert_in_order(r.out, (const char *const[]){"\"emptied\": \"hv3,hv4\"",
                                                 "\"host\":\"hv3\",\"event\":\"not-run\",\"text\":\"has a "
                                                 "guest that stayed: the hook is not run for it\"",
                                                 "\"event\":\"end\"", NULL});
    assert_noted("hv4 10.0.0.11 tokyo\n");
    drop("noted");
    put("hv3.cancelled", "", 0644);
    run(&r, json);
    assert_int_equal(r.exit, EXIT_FAILED);
    assert_has(r.out, "\"event\":\"not-run\",\"text\":\"the power-off hook is not run");
    assert_noted("");
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_hook_powers_off_what_is_proven_empty, clean),
        cmocka_unit_test_setup(what_the_hook_is_not_run_for_is_json_too, clean),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
