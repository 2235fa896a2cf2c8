/* What is cleared away of a move that no job knows, by what both hosts say. */
#include "coordinator/core/freeing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define WITH(images_, host_, state_, seen_)                                                                  \
    {                                                                                                        \
        .host = host_, .asked = true, .state = state_, .seen = FREEING_##seen_,                              \
        .images = FREEING_IMAGES_##images_                                                                   \
    }
#define SIDE(host_, state_, seen_) WITH(NONE, host_, state_, seen_)
#define SILENT(host_)                                                                                        \
    {                                                                                                        \
        .host = host_, .seen = FREEING_UNKNOWN                                                               \
    }

enum { NO = -1 }; /* nothing may be done */

static const struct row {
    struct freeing_side source, destination;
    int deed;
    const char *third, *maybe;
    bool kept, released;
} rows[] = {
    /* The source still has the right to keep it: it is asked. */
    {SIDE("kvm1", "PREPARED", RUNNING), SIDE("kvm2", "PREPARED", ABSENT), FREEING_SETTLE},
    {SIDE("kvm1", "MIGRATING", RUNNING), SIDE("kvm2", "PREPARED", PAUSED), FREEING_SETTLE},
    {SIDE("kvm1", "MIGRATING", OFF), SILENT("kvm2"), FREEING_SETTLE},
    /* It has kept it, or never had it to give. */
    {SIDE("kvm1", NULL, RUNNING), SIDE("kvm2", "PREPARED", PAUSED), FREEING_ABORT},
    {SIDE("kvm1", NULL, OFF), SIDE("kvm2", "PREPARED", ABSENT), FREEING_ABORT},
    {SIDE("kvm1", NULL, OFF), SIDE("kvm2", "PREPARED", PAUSED), FREEING_ABORT, .kept = true},
    {SIDE("kvm1", NULL, OFF), SIDE("kvm2", "PREPARED", PAUSED), NO},
    {SILENT("kvm1"), SIDE("kvm2", "PREPARED", PAUSED), NO},
    {SILENT("kvm1"), SIDE("kvm2", "PREPARED", ABSENT), FREEING_ABORT},
    {SILENT("kvm1"), SIDE("kvm2", "PREPARED", PAUSED), FREEING_ABORT, .third = "kvm3"},
    /* Copied disks are removed with it: they may be all that is left of those of a guest that is shut off. */
    {SILENT("kvm1"), WITH(SOME, "kvm2", "PREPARED", ABSENT), NO},
    {SILENT(NULL), WITH(SOME, "kvm2", "PREPARED", ABSENT), NO},
    {SIDE("kvm1", NULL, UNKNOWN), WITH(SOME, "kvm2", "PREPARED", ABSENT), NO},
    {SIDE("kvm1", NULL, OFF), WITH(SOME, "kvm2", "PREPARED", ABSENT), FREEING_ABORT},
    {SILENT("kvm1"), WITH(SOME, "kvm2", "PREPARED", ABSENT), FREEING_ABORT, .kept = true},
    {SILENT("kvm1"), WITH(SOME, "kvm2", "PREPARED", ABSENT), FREEING_ABORT, .third = "kvm3"},
    /* An agent that does not tell of them can't be told either what others use of them. */
    {SIDE("kvm1", NULL, OFF), WITH(UNTOLD, "kvm2", "PREPARED", ABSENT), NO},
    {WITH(UNTOLD, "kvm1", "FENCED", OFF), SIDE("kvm2", "ACTIVATED", RUNNING), NO},
    {WITH(SOME, "kvm1", "FENCED", OFF), WITH(SOME, "kvm2", "ACTIVATED", RUNNING), FREEING_RELEASE_SOURCE},
    /* It has given it away, and the destination has it. */
    {SIDE("kvm1", "FENCED", OFF), SIDE("kvm2", "ACTIVATED", RUNNING), FREEING_RELEASE_SOURCE},
    {SIDE("kvm1", "FENCED", OFF), SIDE("kvm2", "ACTIVATED", OFF), FREEING_RELEASE_SOURCE},
    {SIDE("kvm1", "FENCED", ABSENT), SIDE("kvm2", "OWNER", RUNNING), FREEING_RELEASE_SOURCE},
    {SIDE("kvm1", "FENCED", OFF), SIDE("kvm2", NULL, RUNNING), FREEING_RELEASE_SOURCE},
    {SIDE("kvm1", "FENCED", OFF), SIDE("kvm2", NULL, OFF), FREEING_RELEASE_SOURCE},
    {SIDE("kvm1", "FENCED", OFF), SIDE("kvm2", NULL, ABSENT), FREEING_RELEASE_SOURCE, .third = "kvm3"},
    {SIDE("kvm1", NULL, ABSENT), SIDE("kvm2", "ACTIVATED", RUNNING), FREEING_RELEASE_DESTINATION},
    {SIDE("kvm1", NULL, OFF), SIDE("kvm2", "ACTIVATED", RUNNING), FREEING_RELEASE_DESTINATION,
     .released = true},
    /* Or may not have it yet, or any more. */
    {SIDE("kvm1", "FENCED", OFF), SIDE("kvm2", "PREPARED", PAUSED), NO},
    {SIDE("kvm1", "FENCED", OFF), SIDE("kvm2", "PREPARED", RUNNING), NO},
    {SIDE("kvm1", "FENCED", OFF), SIDE("kvm2", "OWNER", PAUSED), NO},
    {SIDE("kvm1", "FENCED", OFF), SIDE("kvm2", "ACTIVATED", ABSENT), NO},
    {SIDE("kvm1", "FENCED", OFF), SIDE("kvm2", NULL, ABSENT), NO},
    {SIDE("kvm1", "FENCED", OFF), SIDE("kvm2", NULL, PAUSED), NO}, /* an image whose record is lost? */
    {SIDE("kvm1", "FENCED", OFF), SILENT("kvm2"), NO},
    {SIDE("kvm1", "FENCED", OFF), SILENT("kvm2"), NO, .third = "kvm3"},
    {SIDE("kvm1", "FENCED", RUNNING), SIDE("kvm2", "ACTIVATED", RUNNING), NO},
    {SIDE("kvm1", "FENCED", PAUSED), SIDE("kvm2", "ACTIVATED", RUNNING), NO},
    {SIDE("kvm1", "FENCED", UNKNOWN), SIDE("kvm2", "ACTIVATED", RUNNING), NO},
    {SIDE("kvm1", NULL, RUNNING), SIDE("kvm2", "ACTIVATED", OFF), NO}, /* it was taken back */
    {SIDE("kvm1", NULL, OFF), SIDE("kvm2", "ACTIVATED", OFF), NO},
    {SILENT("kvm1"), SIDE("kvm2", "ACTIVATED", RUNNING), NO},
    {SIDE("kvm1", NULL, ABSENT), SIDE("kvm2", "ACTIVATED", ABSENT), NO},
    {SIDE("kvm1", NULL, ABSENT), SIDE("kvm2", "ACTIVATED", RUNNING), NO, .third = "kvm3"},
    {SIDE("kvm1", NULL, ABSENT), SIDE("kvm2", "ACTIVATED", OFF), NO, .maybe = "kvm3"},
    {SIDE("kvm1", NULL, ABSENT), SIDE("kvm2", "OWNER", RUNNING), NO},
    {SIDE("kvm1", "HOVERING", OFF), SIDE("kvm2", NULL, RUNNING), NO},
    {SIDE("kvm1", NULL, RUNNING), SIDE("kvm2", NULL, ABSENT), FREEING_NOTHING},
    {SIDE("kvm1", NULL, RUNNING), SILENT(NULL), FREEING_NOTHING},
};

static void each_pair_of_states_has_its_deed(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *r = &rows[i];
        const struct freeing f = {.guest = "web1",
                                  .source = r->source,
                                  .destination = r->destination,
                                  .third = r->third,
                                  .maybe = r->maybe,
                                  .kept = r->kept,
                                  .released = r->released};
        enum freeing_deed deed = FREEING_NOTHING;
        struct error err = {0};
        int e = freeing_next(&f, &deed, &err);
        if (e < 0 ? r->deed != NO : (int)deed != r->deed)
            fail_msg("row %zu: deed %d, %s", i, e < 0 ? NO : (int)deed, err.text);
        if (e < 0) {
            assert_int_equal(err.code, STATUS_FAILED_PRECONDITION);
            assert_non_null(strstr(err.text, "Nothing was touched"));
            assert_non_null(strstr(err.text, r->source.host ? r->source.host : "not known"));
            assert_null(strstr(err.text, "...")); /* it fits */
        }
    }
}

/* Whatever is said: a source that may still run its guest is never released, one that has fenced itself loses no destination, and one that
 * can't be asked no copy of its disks. */
static void no_deed_goes_against_a_hosts_word(void **state)
{
    (void)state;
    static const char *const sources[] = {NULL, "PREPARED", "MIGRATING", "FENCED"};
    static const char *const destinations[] = {NULL, "PREPARED", "OWNER", "ACTIVATED"};
    for (unsigned i = 0; i < 4 * 4 * 5 * 5 * 4 * 3 * 2; i++) {
        enum freeing_images images = (enum freeing_images)(i / 1600 % 3);
        const struct freeing f = {
            .guest = "web1",
            .source = {"kvm1", true, sources[i % 4], (enum freeing_seen)(i / 16 % 5), images},
            .destination = {"kvm2", i / 400 % 2, NULL, (enum freeing_seen)(i / 80 % 5), images},
            .third = i / 800 % 2 ? "kvm3" : NULL,
        };
        struct freeing g = f;
        g.source.asked = i / 4800 == 0;
        if (!g.source.asked)
            g.source.state = NULL;
        g.destination.state = f.destination.asked ? destinations[i / 4 % 4] : NULL;
        enum freeing_deed deed = FREEING_NOTHING;
        if (freeing_next(&g, &deed, NULL) < 0)
            continue;
        bool fenced = g.source.state && i % 4 == 3, may_run = g.source.state && (i % 4 == 1 || i % 4 == 2);
        assert_true(deed != FREEING_SETTLE || may_run);
        assert_true(!may_run || deed == FREEING_SETTLE);
        assert_true(!fenced || deed == FREEING_RELEASE_SOURCE);
        if (deed == FREEING_RELEASE_SOURCE)
            assert_true(fenced && g.destination.asked && g.source.seen != FREEING_RUNNING);
        if (deed == FREEING_ABORT && g.destination.seen >= FREEING_PAUSED)
            assert_true(g.source.seen == FREEING_RUNNING || g.third);
        if (deed == FREEING_ABORT || deed == FREEING_RELEASE_SOURCE)
            assert_int_not_equal(images, FREEING_IMAGES_UNTOLD);
        if (deed == FREEING_ABORT && images == FREEING_IMAGES_SOME)
            assert_true(g.source.asked || g.source.seen == FREEING_RUNNING || g.third);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_pair_of_states_has_its_deed),
        cmocka_unit_test(no_deed_goes_against_a_hosts_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
