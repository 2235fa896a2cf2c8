/* An operator's hooks: what is run, what isn't because others could have put it there, and when each phase is due. */
#include "agent/core/hook.h"
#include "agent/io/hooks.h"
#include "agent/io/tree.h"
#include "common/base/cleanup.h"
#include "common/base/loop.h"
#include "common/base/memory.h"
#include "made_tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct made_tree tree;

static int setup(void **state)
{
    (void)state;
    made_tree_init(&tree);
    made_tree_add(&tree, "hooks.d/prepare", NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    made_tree_deinit(&tree);
    return 0;
}

static void change(const char *path, mode_t mode)
{
    _cleanup_free_ char *whole = xasprintf("%s/%s", tree.root, path);
    assert_int_equal(chmod(whole, mode), 0);
}

static void hook(const char *name, const char *script)
{
    _cleanup_free_ char *path = xasprintf("hooks.d/prepare/%s", name);
    made_tree_add(&tree, path, script);
    change(path, 0755);
}

static int run_for(const char *name, const char *input, int64_t ms, char **ret, struct error *err)
{
    _cleanup_free_ char *dir = xasprintf("%s/hooks.d", tree.root);
    const struct limit limit = {.deadline_ms = clock_monotonic_ms() + ms, .cancel_fd = -1};
    return hooks_run(dir, "prepare", name, geteuid(), input, &limit, ret, err);
}

static int run(const char *name, char **ret, struct error *err)
{
    return run_for(name, "{}", 20000, ret, err);
}

static void the_executables_run_in_order(void **state)
{
    (void)state;
    char **names;
    size_t n;
    hook("20-b", "#!/bin/sh\n");
    hook("10-a", "#!/bin/sh\n");
    hook("10-a~", "#!/bin/sh\n");
    hook(".hidden", "#!/bin/sh\n");
    made_tree_add(&tree, "hooks.d/prepare/README", "not a hook\n");
    made_tree_add(&tree, "hooks.d/prepare/directory", NULL);
    _cleanup_free_ char *dir = xasprintf("%s/hooks.d", tree.root);
    assert_int_equal(hooks_list(dir, "prepare", &names, &n, NULL), 0);
    assert_int_equal(n, 2);
    assert_string_equal(names[0], "10-a");
    assert_string_equal(names[1], "20-b");
    tree_list_free(names, n);
    assert_int_equal(hooks_list(dir, "commit", &names, &n, NULL), 0); /* not there: none */
    assert_int_equal(n, 0);
    tree_list_free(names, n);
}

static void it_reads_json_and_its_output_is_taken(void **state)
{
    (void)state;
    const char *prepared[] = {"/etc/drover/hooks.d/prepare/10-a"};
    const struct hook_facts facts = {.phase = "abort",
                                     .role = "destination",
                                     .transaction = "5d0c",
                                     .guest_name = "web1",
                                     .guest_uuid = "4dea",
                                     .source = "kvm1",
                                     .destination = "kvm2",
                                     .mode = "auto",
                                     .xml = "<domain type=\"kvm\"/>",
                                     .generation = 7,
                                     .prepared = prepared,
                                     .n_prepared = 1};
    _cleanup_free_ char *input = hooks_input(&facts), *output = NULL;
    struct error err = {0};
    hook("10-a", "#!/bin/sh\ncat\n");
    if (run_for("10-a", input, 20000, &output, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(
        output, "{\"version\":1,\"phase\":\"abort\",\"role\":\"destination\",\"transaction\":\"5d0c\","
                "\"generation\":7,\"guest\":{\"name\":\"web1\",\"uuid\":\"4dea\"},\"source\":\"kvm1\","
                "\"destination\":\"kvm2\",\"mode\":\"auto\",\"xml\":\"<domain type=\\\"kvm\\\"/>\","
                "\"prepared\":[\"/etc/drover/hooks.d/prepare/10-a\"]}");
}

static void input_that_nobody_reads_holds_up_nothing(void **state)
{
    (void)state;
    _cleanup_free_ char *big = xcalloc(1, (4 << 20) + 1), *output = NULL;
    memset(big, 'x', 4 << 20);
    hook("10-a", "#!/bin/sh\nexit 0\n");
    assert_int_equal(run_for("10-a", big, 20000, &output, NULL), 0);
    assert_string_equal(output, "");
}

static void a_failure_names_path_status_and_last_words(void **state)
{
    (void)state;
    struct error err = {0};
    char *output = NULL;
    hook("10-a", "#!/bin/sh\necho first >&2\necho no address is free >&2\nexit 3\n");
    assert_int_equal(run("10-a", &output, &err), -STATUS_FAILED_PRECONDITION);
    _cleanup_free_ char *expected =
        xasprintf("%s/hooks.d/prepare/10-a ended with status 3: no address is free", tree.root);
    assert_string_equal(err.text, expected);
}

static void one_that_hangs_is_ended_with_its_children(void **state)
{
    (void)state;
    struct error err = {0};
    char *output = NULL;
    hook("10-a", "#!/bin/sh\nsleep 1000 & sleep 1000\n");
    assert_int_equal(run_for("10-a", "{}", 300, &output, &err), -STATUS_DEADLINE_EXCEEDED);
    assert_non_null(strstr(err.text, "10-a did not end in time"));
}

/* As hooks do that write a log of their own: nothing is left to read of it, and it may hang all the same. */
static void one_that_has_closed_its_output_is_ended_too(void **state)
{
    (void)state;
    struct error err = {0};
    char *output = NULL;
    hook("10-a", "#!/bin/sh\nexec >/dev/null 2>&1\nsleep 1000\n");
    assert_int_equal(run_for("10-a", "{}", 300, &output, &err), -STATUS_DEADLINE_EXCEEDED);
    assert_non_null(strstr(err.text, "10-a did not end in time"));
    hook("20-b", "#!/bin/sh\nexec >/dev/null 2>&1\nexit 3\n");
    assert_int_equal(run("20-b", &output, &err), -STATUS_FAILED_PRECONDITION);
    assert_non_null(strstr(err.text, "20-b ended with status 3"));
}

static void one_that_nobody_waits_for_is_ended(void **state)
{
    (void)state;
    struct error err = {0};
    char *output = NULL;
    int cancel[2];
    assert_int_equal(pipe(cancel), 0);
    assert_int_equal(write(cancel[1], "x", 1), 1);
    hook("10-a", "#!/bin/sh\nexec >/dev/null 2>&1\nsleep 1000\n");
    _cleanup_free_ char *dir = xasprintf("%s/hooks.d", tree.root);
    const struct limit limit = {.deadline_ms = clock_monotonic_ms() + 20000, .cancel_fd = cancel[0]};
    assert_int_equal(hooks_run(dir, "prepare", "10-a", geteuid(), "{}", &limit, &output, &err),
                     -STATUS_CANCELLED);
    close(cancel[0]);
    close(cancel[1]);
}

static void expect_unsafe(const char *words)
{
    struct error err = {0};
    char *output = NULL;
    assert_int_equal(run("10-a", &output, &err), -STATUS_PERMISSION_DENIED);
    if (!strstr(err.text, words))
        fail_msg("expected \"%s\" in: %s", words, err.text);
}

static void what_others_could_have_written_is_not_run(void **state)
{
    (void)state;
    _cleanup_free_ char *output = NULL;
    hook("10-a", "#!/bin/sh\nexit 0\n");
    assert_int_equal(run("10-a", &output, NULL), 0);
    change("hooks.d/prepare/10-a", 0775);
    expect_unsafe("prepare/10-a can be written by others (mode 0775)");
    change("hooks.d/prepare/10-a", 0755);
    change("hooks.d/prepare", 0777);
    expect_unsafe("hooks.d/prepare can be written by others");
    change("hooks.d/prepare", 01777); /* sticky, but a name can be added */
    expect_unsafe("hooks.d/prepare can be written by others");
    change("hooks.d/prepare", 0755);
    change("hooks.d", 0757);
    expect_unsafe("hooks.d can be written by others");
    change("hooks.d", 0755);
    change(".", 0777);
    expect_unsafe("can be written by others");
    change(".", 0700);
    free(output);
    assert_int_equal(run("10-a", &output, NULL), 0);
}

static void a_link_is_not_followed(void **state)
{
    (void)state;
    hook("real", "#!/bin/sh\nexit 0\n");
    made_tree_link(&tree, "hooks.d/prepare/10-a", "real");
    expect_unsafe("is a symbolic link");
}

static void somebody_elses_is_not_run(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip(); /* only root can give a file away */
    hook("10-a", "#!/bin/sh\nexit 0\n");
    _cleanup_free_ char *path = xasprintf("%s/hooks.d/prepare/10-a", tree.root);
    assert_int_equal(chown(path, 12345, 0), 0);
    expect_unsafe("belongs to user 12345; expected root");
}

static void each_phase_is_due_once(void **state)
{
    (void)state;
    static const struct {
        enum participant_state state;
        struct hooks_ran ran; /* prepared, committed, done, aborted */
        enum hook_phase due;
    } cases[] = {
        {PARTICIPANT_PREPARED, {true, false, false, false}, HOOK_PHASES},
        {PARTICIPANT_MIGRATING, {true, false, false, false}, HOOK_PHASES},
        {PARTICIPANT_OWNER, {true, false, false, false}, HOOK_PHASES}, /* it doesn't run yet */
        {PARTICIPANT_FENCED, {false, false, false, false}, HOOK_COMMIT},
        {PARTICIPANT_FENCED, {true, true, false, false}, HOOK_PHASES},
        {PARTICIPANT_ACTIVATED, {false, false, false, false}, HOOK_COMMIT},
        {PARTICIPANT_RELEASED, {true, false, false, false}, HOOK_COMMIT}, /* then done */
        {PARTICIPANT_RELEASED, {true, true, false, false}, HOOK_DONE},
        {PARTICIPANT_RELEASED, {true, true, true, false}, HOOK_PHASES},
        {PARTICIPANT_KEPT, {true, false, false, false}, HOOK_ABORT},
        {PARTICIPANT_KEPT, {true, false, false, true}, HOOK_PHASES},
        {PARTICIPANT_KEPT, {false, false, false, false}, HOOK_PHASES}, /* nothing to undo */
        {PARTICIPANT_TOMBSTONE, {true, false, false, false}, HOOK_ABORT},
        {PARTICIPANT_TOMBSTONE, {false, true, false, false}, HOOK_ABORT}, /* it ran, and was taken back */
        {PARTICIPANT_TOMBSTONE, {false, true, false, true}, HOOK_PHASES},
        {PARTICIPANT_COLD, {false, true, false, false}, HOOK_ABORT},
        {PARTICIPANT_COLD, {true, true, false, true}, HOOK_PHASES},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (hook_due(cases[i].state, &cases[i].ran) != cases[i].due)
            fail_msg("case %zu: %s", i, hook_phase_name(hook_due(cases[i].state, &cases[i].ran)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_executables_run_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(it_reads_json_and_its_output_is_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(input_that_nobody_reads_holds_up_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failure_names_path_status_and_last_words, setup, teardown),
        cmocka_unit_test_setup_teardown(one_that_hangs_is_ended_with_its_children, setup, teardown),
        cmocka_unit_test_setup_teardown(one_that_has_closed_its_output_is_ended_too, setup, teardown),
        cmocka_unit_test_setup_teardown(one_that_nobody_waits_for_is_ended, setup, teardown),
        cmocka_unit_test_setup_teardown(what_others_could_have_written_is_not_run, setup, teardown),
        cmocka_unit_test_setup_teardown(a_link_is_not_followed, setup, teardown),
        cmocka_unit_test_setup_teardown(somebody_elses_is_not_run, setup, teardown),
        cmocka_unit_test(each_phase_is_due_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
