/* What was measured of guests and links: over a restart, and from files that are none. */
#include "agent/io/known.h"

#include "common/base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[] = "/tmp/known-XXXXXX";
static char path[64];

static int make(void **state)
{
    (void)state;
    snprintf(path, sizeof(path), "%s/samples", mkdtemp(dir));
    return 0;
}

static int drop(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(dir);
}

static void write_text(const char *text, size_t n)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    fclose(f);
}

static void what_was_written_is_read(void **state)
{
    (void)state;
    struct error err = {0};
    Drover__V1__Known *back = NULL;
    assert_int_equal(known_read(dir, &back, &err), -STATUS_NOT_FOUND);
    Drover__V1__KnownLink link = DROVER__V1__KNOWN_LINK__INIT, *links[] = {&link};
    link.host = (char *)"kvm2";
    link.bandwidth = 1000;
    Drover__V1__Known known = DROVER__V1__KNOWN__INIT;
    known.setup = 700;
    known.links = links;
    known.n_links = 1;
    assert_int_equal(known_write(dir, &known, &err), 0);
    assert_int_equal(known_read(dir, &back, &err), 0);
    assert_int_equal(back->setup, 700);
    assert_int_equal(back->n_links, 1);
    assert_string_equal(back->links[0]->host, "kvm2");
    drover__v1__known__free_unpacked(back, NULL);
}

static void what_is_none_is_refused(void **state)
{
    (void)state;
    struct error err = {0};
    Drover__V1__Known *back = NULL;
    static const char *const texts[] = {"", "x", "12345678", "something else altogether"};
    for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        write_text(texts[i], strlen(texts[i]));
        assert_int_equal(known_read(dir, &back, &err), -STATUS_DATA_LOSS);
        assert_non_null(strstr(err.text, "measured anew"));
    }
    Drover__V1__Known known = DROVER__V1__KNOWN__INIT;
    known.setup = 700;
    assert_int_equal(known_write(dir, &known, &err), 0);
    assert_int_equal(truncate(path, 9), 0);
    assert_int_equal(known_read(dir, &back, &err), -STATUS_DATA_LOSS);
    assert_int_equal(truncate(path, 64 << 20), 0);
    assert_int_equal(known_read(dir, &back, &err), -STATUS_DATA_LOSS);
    assert_null(back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read),
        cmocka_unit_test(what_is_none_is_refused),
    };
    return cmocka_run_group_tests(tests, make, drop);
}
