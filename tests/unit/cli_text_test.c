#include "cli/args.h"
#include "cli/table.h"
#include "cli/text.h"
#include "common/base/cleanup.h"
#include "common/base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* ---- text -------------------------------------------------------------------------------------------------------- */

static void names_cannot_steer_a_terminal(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"web1", "web1"},
        {"wëb→1", "wëb→1"},
        {"a\033[31mb", "a\\x1b[31mb"},
        {"a\nb\tc\x7f", "a\\x0ab\\x09c\\x7f"},
        {"c1\xc2\x9b", "c1\\u009b"},
        {"rtl\xe2\x80\xae", "rtl\\u202e"},
        {"bad\xff\xc3", "bad\\xff\\xc3"},
        {"overlong\xc0\xaf", "overlong\\xc0\\xaf"},
        {"surrogate\xed\xa0\x80", "surrogate\\xed\\xa0\\x80"},
    };
    char buffer[100];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_string_equal(text_clean(cases[i][0], buffer, sizeof(buffer)), cases[i][1]);
    assert_string_equal(text_clean(NULL, buffer, sizeof(buffer)), "");
    /* Cut between characters, not within one. */
    assert_string_equal(text_clean("aaa\xc3\xbc", buffer, 5), "aaa");
    assert_string_equal(text_clean("aa\n", buffer, 5), "aa");
}

static void widths_are_columns(void **state)
{
    (void)state;
    char buffer[100];
    assert_int_equal(text_width("web1"), 4);
    assert_int_equal(text_width("wëb"), 3);
    assert_int_equal(text_width("東京"), 4);
    assert_int_equal(text_width("e\xcc\x81"), 1);
    assert_string_equal(text_fit("web-server", 6, buffer, sizeof(buffer)), "web-s…");
    assert_string_equal(text_fit("東京東京", 6, buffer, sizeof(buffer)), "東京…");
    assert_string_equal(text_fit("web1", 4, buffer, sizeof(buffer)), "web1");
    assert_string_equal(text_fit("web1", 0, buffer, sizeof(buffer)), "");
}

static void figures(void **state)
{
    (void)state;
    char b[TEXT_MAX];
    assert_string_equal(text_size(0, b), "0 B");
    assert_string_equal(text_size(1023, b), "1023 B");
    assert_string_equal(text_size(1024, b), "1 KiB");
    assert_string_equal(text_size(1288490189, b), "1.2 GiB");
    assert_string_equal(text_size(312ull << 20, b), "312 MiB");
    assert_string_equal(text_size((1ull << 30) - 1, b), "1 GiB");
    assert_string_equal(text_size(UINT64_MAX, b), "16 EiB");
    assert_string_equal(text_rate(100 << 20, b), "100 MiB/s");
    assert_string_equal(text_ms(0, b), "0 ms");
    assert_string_equal(text_ms(999, b), "999 ms");
    assert_string_equal(text_ms(3100, b), "3.1 s");
    assert_string_equal(text_ms(59949, b), "59.9 s");
    assert_string_equal(text_ms(59999, b), "1 min 0 s");
    assert_string_equal(text_ms(3600000, b), "1 h 0 min");
    assert_string_equal(text_ms(183600000, b), "2 d 3 h");
    assert_string_equal(text_ms(-1, b), "-");
    assert_string_equal(text_ms(INT64_MAX, b), "106751991167 d 7 h");
    assert_string_equal(text_moment(1800014400000, b), "2027-01-15 12:00:00");
    assert_string_equal(text_moment(0, b), "-");
    assert_string_equal(text_version(9000000, b), "9.0.0");
    assert_string_equal(text_version(0, b), "-");
}

static void tables_are_aligned(void **state)
{
    (void)state;
    char *text = NULL;
    size_t length;
    FILE *f = open_memstream(&text, &length);
    struct table *t = table_new("NAME|>N|WHY");
    table_cell(t, "wëb1");
    table_cellf(t, "%d", 7);
    table_cell(t, "a\nb");
    table_cell(t, "東");
    table_cellf(t, "%d", 1234);
    table_cell(t, NULL);
    table_print(t, f);
    fclose(f);
    assert_string_equal(text, "NAME     N  WHY\n"
                              "wëb1     7  a\\x0ab\n"
                              "東    1234  -\n");
    free(text);
}

/* ---- the command line -------------------------------------------------------------------------------------------- */

static const struct option_spec global[] = {{"json", NULL, "", false}, {"timeout", "TIME", "", false}, {0}};
static const struct option_spec own[] = {{"host", "HOST", "", false}, {"address", "A", "", true}, {0}};

static int parse(struct args *args, struct error *err, const char *line)
{
    static char words[256];
    char *argv[16] = {(char *)"drover"};
    int argc = 1;
    snprintf(words, sizeof(words), "%s", line);
    for (char *p = strtok(words, " "); p; p = strtok(NULL, " "))
        argv[argc++] = p;
    return args_parse(args, argc, argv, global, own, err);
}

static void options_may_stand_anywhere(void **state)
{
    (void)state;
    struct args a = {0};
    assert_int_equal(parse(&a, NULL, "--timeout 5s vms --host=kvm1 x --json --address 1 --address=2 -- --y"),
                     0);
    assert_true(args_flag(&a, "json"));
    assert_false(args_flag(&a, "nothing"));
    assert_string_equal(args_value(&a, "timeout"), "5s");
    assert_string_equal(args_value(&a, "host"), "kvm1");
    assert_string_equal(args_nth(&a, "address", 1), "2");
    assert_null(args_nth(&a, "address", 2));
    assert_int_equal(a.n_rest, 3);
    assert_string_equal(a.rest[0], "vms");
    assert_string_equal(a.rest[1], "x");
    assert_string_equal(a.rest[2], "--y");
    args_deinit(&a);
}

static void wrong_options_are_told(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"--jsno", "did you mean --json?"},
        {"--hots kvm1", "did you mean --host?"},
        {"--frobnicate", "--help lists"},
        {"-x", "two dashes"},
        {"--host", "needs a value"},
        {"--host=", "is empty; expected --host HOST"},
        {"--json=yes", "takes no value"},
        {"--host a --host b", "is given twice"},
        {"--timeou 5", "did you mean --timeout?"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct args a = {0};
        struct error err = {0};
        assert_int_equal(parse(&a, &err, cases[i][0]), -STATUS_INVALID_ARGUMENT);
        assert_non_null(strstr(err.text, cases[i][1]));
        assert_null(a.rest);
    }
    struct args a = {0};
    struct error err = {0};
    char *unset[] = {(char *)"drover", (char *)"doctor", (char *)""};
    assert_int_equal(args_parse(&a, 3, unset, global, own, &err), -STATUS_INVALID_ARGUMENT);
    assert_non_null(strstr(err.text, "word 2 is empty"));
}

static void near_words_are_suggested(void **state)
{
    (void)state;
    static const char *const words[] = {"hosts", "vms", "migrate", "jobs", "job", "history"};
    static const char *const cases[][2] = {
        {"migrat", "migrate"}, {"mirgate", "migrate"}, {"host", "hosts"},
        {"jbos", "jobs"},      {"hist", "history"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_string_equal(args_suggest(cases[i][0], words, 6), cases[i][1]);
    assert_null(args_suggest("frobnicate", words, 6));
    assert_null(args_suggest("xx", words, 6));
    char longest[4096];
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = 0;
    const char *one[] = {"vms"};
    (void)args_suggest(longest, one, 1);
}

static void numbers_have_bounds(void **state)
{
    (void)state;
    long n = 7;
    struct error err;
    assert_int_equal(args_number("12", "--limit", 1, 100, &n, &err), 0);
    assert_int_equal(n, 12);
    static const char *const bad[] = {"", "x", "0", "101", "1x", "99999999999999999999", "1.5"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(args_number(bad[i], "--limit", 1, 100, &n, &err), -STATUS_INVALID_ARGUMENT);
    assert_int_equal(n, 12);
}

static void words_for_a_shell(void **state)
{
    (void)state;
    static const char *const cases[][2] = {{"kvm1,kvm2", "kvm1,kvm2"},
                                           {"", "''"},
                                           {"ssh $DROVER_HOST reboot", "'ssh $DROVER_HOST reboot'"},
                                           {"echo 'a'", "'echo '\\''a'\\'''"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        _cleanup_free_ char *word = text_shell_word(cases[i][0]);
        assert_string_equal(word, cases[i][1]);
    }
}

static void the_host_of_a_url(void **state)
{
    (void)state;
    static const char *const cases[][2] = {{"tls+tcp://10.0.0.11:7460", "10.0.0.11"},
                                           {"tcp://kvm1:7460", "kvm1"},
                                           {"tls+tcp://[fe80::1]:7460", "fe80::1"},
                                           {"ipc:///run/agent.sock", ""},
                                           {"kvm1", ""}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char host[64];
        assert_string_equal(text_url_host(cases[i][0], host, sizeof(host)), cases[i][1]);
    }
}

int main(void)
{
    setenv("TZ", "UTC", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_for_a_shell),
        cmocka_unit_test(the_host_of_a_url),
        cmocka_unit_test(names_cannot_steer_a_terminal),
        cmocka_unit_test(widths_are_columns),
        cmocka_unit_test(figures),
        cmocka_unit_test(tables_are_aligned),
        cmocka_unit_test(options_may_stand_anywhere),
        cmocka_unit_test(wrong_options_are_told),
        cmocka_unit_test(near_words_are_suggested),
        cmocka_unit_test(numbers_have_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
