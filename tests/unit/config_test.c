#include "common/base/cleanup.h"
#include "common/base/memory.h"
#include "common/config/yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <stdbool.h>

enum role { ROLE_HYPERVISOR = 1, ROLE_STORAGE };

struct host {
    char *name, *agent;
    bool spare;
};

struct conf {
    char *name;
    int32_t workers;
    uint8_t level;
    bool loud;
    double share;
    enum role role;
    char **listen;
    unsigned listen_count;
    struct host *hosts;
    unsigned hosts_count;
    char *note;
};

static const cyaml_strval_t roles[] = {{"hypervisor", ROLE_HYPERVISOR}, {"storage", ROLE_STORAGE}};
static const cyaml_schema_value_t text = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, 64)};
static const cyaml_schema_field_t host_fields[] = {
    CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct host, name, 1, 64),
    CYAML_FIELD_STRING_PTR("agent", CYAML_FLAG_POINTER, struct host, agent, 1, 64),
    CYAML_FIELD_BOOL("spare", CYAML_FLAG_OPTIONAL, struct host, spare),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t host = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct host, host_fields)};
static const cyaml_schema_field_t fields[] = {
    CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct conf, name, 1, 64),
    CYAML_FIELD_INT("workers", CYAML_FLAG_OPTIONAL, struct conf, workers),
    CYAML_FIELD_UINT("level", CYAML_FLAG_OPTIONAL, struct conf, level),
    CYAML_FIELD_BOOL("loud", CYAML_FLAG_OPTIONAL, struct conf, loud),
    CYAML_FIELD_FLOAT("share", CYAML_FLAG_OPTIONAL, struct conf, share),
    CYAML_FIELD_ENUM("role", CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT, struct conf, role, roles, 2),
    CYAML_FIELD_SEQUENCE("listen", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct conf, listen, &text, 1,
                         3),
    CYAML_FIELD_SEQUENCE("hosts", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct conf, hosts, &host, 0,
                         CYAML_UNLIMITED),
    CYAML_FIELD_STRING_PTR("note", CYAML_FLAG_POINTER_NULL | CYAML_FLAG_OPTIONAL, struct conf, note, 0, 64),
    CYAML_FIELD_IGNORE("comment", CYAML_FLAG_OPTIONAL),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t schema = {CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct conf, fields)};

static const cyaml_schema_field_t lax_fields[] = {
    CYAML_FIELD_INT("workers", CYAML_FLAG_OPTIONAL, struct conf, workers),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t lax = {CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct conf, lax_fields)};

static struct conf *load(const char *yaml)
{
    void *data = NULL;
    struct error err = {0};
    if (yaml_load_text("a.yaml", yaml, strlen(yaml), &schema, &data, &err) < 0)
        fail_msg("%s: %s", yaml, err.text);
    return data;
}

static void a_full_file_loads(void **state)
{
    (void)state;
    struct conf *c = load("name: kvm1\n"
                          "workers: -4\n"
                          "level: 255\n"
                          "loud: Yes\n"
                          "share: 0.25\n"
                          "role: storage\n"
                          "listen: [ipc:///run/a.sock, 'tls+tcp://10.0.0.5:7461']\n"
                          "hosts:\n"
                          "  - {name: kvm1, agent: tls+tcp://10.0.0.11:7460, spare: off}\n"
                          "  - name: kvm2\n"
                          "    agent: \"tls+tcp://[2001:db8::1]:7460\"\n"
                          "note:\n"
                          "comment: {any: [thing, {twice: 1, twice: 2}]}\n");
    assert_string_equal(c->name, "kvm1");
    assert_int_equal(c->workers, -4);
    assert_int_equal(c->level, 255);
    assert_true(c->loud);
    assert_true(c->share == 0.25);
    assert_int_equal(c->role, ROLE_STORAGE);
    assert_int_equal(c->listen_count, 2);
    assert_string_equal(c->listen[1], "tls+tcp://10.0.0.5:7461");
    assert_int_equal(c->hosts_count, 2);
    assert_false(c->hosts[0].spare);
    assert_string_equal(c->hosts[1].agent, "tls+tcp://[2001:db8::1]:7460");
    assert_null(c->note);
    yaml_unload(&schema, c);
}

static void a_list_may_be_given_by_name(void **state)
{
    (void)state;
    struct conf *c = load("name: kvm1\n"
                          "hosts:\n"
                          "  kvm1: {agent: 'a b', spare: yes}\n"
                          "  \"007\":\n"
                          "    agent: |\n"
                          "      two\n"
                          "      lines\n"
                          "listen: ['~', \"\\t\"]\n");
    assert_int_equal(c->hosts_count, 2);
    assert_string_equal(c->hosts[0].name, "kvm1");
    assert_string_equal(c->hosts[0].agent, "a b");
    assert_true(c->hosts[0].spare);
    assert_string_equal(c->hosts[1].name, "007");
    assert_string_equal(c->hosts[1].agent, "two\nlines\n");
    assert_string_equal(c->listen[0], "~");
    assert_string_equal(c->listen[1], "\t");
    yaml_unload(&schema, c);
}

static void nothing_set_gives_zeros(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "# a comment\n", "---\n", "{}", "--- {}\n...\n"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        void *data = NULL;
        struct error err = {0};
        if (yaml_load_text("a.yaml", texts[i], strlen(texts[i]), &lax, &data, &err) < 0)
            fail_msg("%s: %s", texts[i], err.text);
        assert_int_equal(((struct conf *)data)->workers, 0);
        yaml_unload(&lax, data);
    }
    yaml_unload(&lax, NULL);
}

static void errors_name_the_place(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *error;
    } cases[] = {
        {"", "a.yaml:1:1: name: missing; expected text"},
        {"workers: 1\n", "a.yaml:1:1: name: missing; expected text"},
        {"name: a\nwrkers: 1\n",
         "a.yaml:2:1: wrkers: unknown key; known here: comment, hosts, level, listen, loud, name, "
         "note, role, share, workers"},
        {"name: a\nhosts:\n- {name: b, agent: c}\n- {name: b, agnt: c}\n",
         "a.yaml:4:13: hosts[1].agnt: unknown key; known here: agent, name, spare"},
        {"name: a\nhosts:\n- {name: b, agent: c}\n- {name: b}\n",
         "a.yaml:4:3: hosts[1].agent: missing; expected text"},
        {"name: a\nloud: true\nname: b\n", "a.yaml:3:1: name: given twice; keep one of them"},
        {"name: a\nloud: flase\n", "a.yaml:2:7: loud: expected true or false, found \"flase\""},
        {"name: a\nworkers: 5_000\n", "a.yaml:2:10: workers: expected a whole number, found \"5_000\""},
        {"name: a\nworkers: 010\n", "a.yaml:2:10: workers: expected a whole number, found \"010\""},
        {"name: a\nworkers: 2147483648\n", "a.yaml:2:10: workers: expected a whole number from -2147483648 "
                                           "to 2147483647, found \"2147483648\""},
        {"name: a\nlevel: 256\n", "a.yaml:2:8: level: expected a whole number from 0 to 255, found \"256\""},
        {"name: a\nlevel: -1\n", "a.yaml:2:8: level: expected a whole number from 0 to 255, found \"-1\""},
        {"name: a\nlevel: 99999999999999999999999999\n",
         "a.yaml:2:8: level: expected a whole number from 0 to 255, found \"99999999999999999999999999\""},
        {"name: a\nshare: .inf\n", "a.yaml:2:8: share: expected a number, found \".inf\""},
        {"name: a\nrole: hyper\n", "a.yaml:2:7: role: expected one of hypervisor, storage, found \"hyper\""},
        {"name: a\nrole: 1\n", "a.yaml:2:7: role: expected one of hypervisor, storage, found \"1\""},
        {"name:\n", "a.yaml:1:6: name: expected text, found no value"},
        {"name: ~\n", "a.yaml:1:7: name: expected text, found no value"},
        {"name: ''\n", "a.yaml:1:7: name: expected text of 1 or more bytes, found \"\""},
        {"name: [a]\n", "a.yaml:1:7: name: expected text, found a list"},
        {"name: {a: b}\n", "a.yaml:1:7: name: expected text, found keys with values"},
        {"name: a\nlisten: b\n", "a.yaml:2:9: listen: expected a list, such as [a, b], found \"b\""},
        {"name: a\nlisten:\n", "a.yaml:2:8: listen: expected a list, such as [a, b], found no value"},
        {"name: a\nlisten: []\n", "a.yaml:2:9: listen: expected 1 or more entries, found 0"},
        {"name: a\nlisten: [b, c, d, e]\n", "a.yaml:2:9: listen: expected 3 entries at most, found 4"},
        {"name: a\nlisten: [b, [c]]\n", "a.yaml:2:13: listen[1]: expected text, found a list"},
        {"name: a\nhosts: [b]\n",
         "a.yaml:2:9: hosts[0]: expected keys with values (known: agent, name, spare), found \"b\""},
        {"name: a\nhosts: {b: {agnt: c}}\n",
         "a.yaml:2:13: hosts.b.agnt: unknown key; known here: agent, name, spare"},
        {"name: a\nhosts: {b: {spare: true}}\n", "a.yaml:2:12: hosts.b.agent: missing; expected text"},
        {"name: a\nhosts: {b: {agent: c}, b: {agent: d}}\n",
         "a.yaml:2:24: hosts.b: given twice; keep one of them"},
        {"name: a\nhosts: {b: {agent: c, name: d}}\n",
         "a.yaml:2:23: hosts.b.name: given twice; keep one of them"},
        {"name: a\nhosts: {b: c}\n",
         "a.yaml:2:12: hosts.b: expected keys with values (known: agent, name, spare), found \"c\""},
        {"name: a\nhosts: {b: [c]}\n",
         "a.yaml:2:12: hosts.b: expected keys with values (known: agent, name, spare), found a list"},
        {"name: a\nhosts: {\"\": {agent: c}}\n",
         "a.yaml:2:9: hosts.: expected text of 1 or more bytes, found \"\""},
        {"- a\n", "a.yaml:1:1: expected keys with values (known: comment, hosts, level, listen, loud, name, "
                  "note, role, "
                  "share, workers), found a list"},
        {"? [a]\n: b\n", "a.yaml:1:3: a key must be a word, found a list"},
        {"name: &x a\nlisten: [b]\n",
         "a.yaml:1:7: name: anchors (&x) are not supported; write the value where it is used"},
        {"name: *x\n", "a.yaml:1:7: name: aliases (*x) are not supported; write the value out"},
        {"name: a\n---\nname: b\n",
         "a.yaml:2:1: a second document; expected one, without \"---\" in the middle"},
        {"---\n---\nname: b\n", "a.yaml:2:1: a second document; expected one, without \"---\" in the middle"},
        {"name: \"a\\0b\"\n", "a.yaml:1:7: name: the value holds a NUL byte; expected text"},
        {"name: a\n\tworkers: 1\n", "a.yaml:2:1: not valid YAML: found a tab character that violates "
                                    "indentation while scanning a plain scalar"},
        {"name: a\nlisten: [b\n",
         "a.yaml:3:1: not valid YAML: did not find expected ',' or ']' while parsing a flow sequence"},
        {"name: a\nno\xff: b\n", "a.yaml:2:3: not valid YAML: invalid leading UTF-8 octet"},
        {"name: a\ncomment: [[[[[[[[[[[[[[[[[[[[[[[[[[[[",
         "a.yaml:2:25: comment[0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]: "
         "nested deeper than 16"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        void *data = &data;
        struct error err = {0};
        int r = yaml_load_text("a.yaml", cases[i].yaml, strlen(cases[i].yaml), &schema, &data, &err);
        assert_int_equal(r, -STATUS_INVALID_ARGUMENT);
        assert_ptr_equal(data, &data);
        assert_string_equal(err.text, cases[i].error);
    }
}

static void files_are_bounded(void **state)
{
    (void)state;
    void *data = NULL;
    struct error err = {0};
    assert_int_equal(yaml_load_file("/nonexistent/a.yaml", &schema, &data, &err), -STATUS_NOT_FOUND);
    assert_string_equal(err.text,
                        "can't open the configuration /nonexistent/a.yaml: No such file or directory");
    assert_true(yaml_load_file("/", &schema, &data, &err) < 0);
    assert_string_equal(err.text, "can't read the configuration /: Is a directory");
    assert_int_equal(yaml_load_file("/dev/zero", &schema, &data, &err), -STATUS_INVALID_ARGUMENT);
    assert_string_equal(err.text, "/dev/zero: longer than 1048576 bytes; a configuration is shorter");

    _cleanup_free_ char *deep = xcalloc(1, 65536);
    memset(deep, '[', 65536);
    assert_int_equal(yaml_load_text("deep", deep, 65536, &schema, &data, &err), -STATUS_INVALID_ARGUMENT);
}

static void units_parse(void **state)
{
    (void)state;
    static const struct {
        int (*parse)(const char *, int64_t *, struct error *);
        const char *text;
        int64_t value;
    } good[] = {
        {parse_duration_ms, "500ms", 500},
        {parse_duration_ms, "2s", 2000},
        {parse_duration_ms, "1.5 h", 5400000},
        {parse_duration_ms, "30m", 1800000},
        {parse_duration_ms, "0", 0},
        {parse_duration_ms, "0s", 0},
        {parse_rate, "200mbit", 25000000},
        {parse_rate, "1gbit", 125000000},
        {parse_rate, "100MiB/s", 104857600},
        {parse_rate, "100MB/s", 100000000},
        {parse_size, "4GiB", INT64_C(4) << 30},
        {parse_size, "0.5KiB", 512},
        {parse_size, "8388607TiB", INT64_C(8388607) << 40},
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        int64_t value = -1;
        struct error err = {0};
        if (good[i].parse(good[i].text, &value, &err) < 0)
            fail_msg("%s", err.text);
        assert_int_equal(value, good[i].value);
    }
}

static void bad_units_show_what_is_fine(void **state)
{
    (void)state;
    static const struct {
        int (*parse)(const char *, int64_t *, struct error *);
        const char *text, *error;
    } bad[] = {
        {parse_duration_ms, "", "\"\" is no duration; write 500ms, 2s, 30m, 1.5h or 1d"},
        {parse_duration_ms, "-2s", "\"-2s\" is no duration; write 500ms, 2s, 30m, 1.5h or 1d"},
        {parse_duration_ms, ".5s", "\".5s\" is no duration; write 500ms, 2s, 30m, 1.5h or 1d"},
        {parse_duration_ms, "1.s", "\"1.s\" is no duration; write 500ms, 2s, 30m, 1.5h or 1d"},
        {parse_duration_ms, "20", "\"20\" has no unit of a duration; write 500ms, 2s, 30m, 1.5h or 1d"},
        {parse_duration_ms, "2 s ",
         "\"2 s \" has an unknown unit of a duration; write 500ms, 2s, 30m, 1.5h or 1d"},
        {parse_duration_ms, "1e3s",
         "\"1e3s\" has an unknown unit of a duration; write 500ms, 2s, 30m, 1.5h or 1d"},
        {parse_duration_ms, "999999999999999999d",
         "\"999999999999999999d\" is too large for a duration; write 500ms, 2s, 30m, 1.5h or 1d"},
        {parse_duration_ms, "9999999999999999999s",
         "\"9999999999999999999s\" is no duration; write 500ms, 2s, 30m, 1.5h or 1d"},
        {parse_rate, "100MB",
         "\"100MB\" has an unknown unit of a rate; write 200mbit, 1gbit, 100MB/s or 100MiB/s"},
        {parse_size, "4G", "\"4G\" has an unknown unit of a size; write 512MiB, 4GiB or 500MB"},
        {parse_size, "8388608TiB", "\"8388608TiB\" is too large for a size; write 512MiB, 4GiB or 500MB"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int64_t value = -1;
        struct error err = {0};
        assert_int_equal(bad[i].parse(bad[i].text, &value, &err), -STATUS_INVALID_ARGUMENT);
        assert_string_equal(err.text, bad[i].error);
        assert_int_equal(value, -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_file_loads),           cmocka_unit_test(a_list_may_be_given_by_name),
        cmocka_unit_test(nothing_set_gives_zeros),     cmocka_unit_test(errors_name_the_place),
        cmocka_unit_test(files_are_bounded),           cmocka_unit_test(units_parse),
        cmocka_unit_test(bad_units_show_what_is_fine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
