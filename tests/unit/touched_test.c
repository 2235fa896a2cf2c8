/* How much of a guest's memory counts as touched, from texts as Linux 6.1 gives them. */
#include "agent/io/touched.h"
#include "common/base/cleanup.h"
#include "made_tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define GIB (INT64_C(1) << 30)
#define KIB INT64_C(1024)

/* A guest of 4 GiB; the mappings beside it are QEMU's. */
#define BEFORE                                                                                               \
    "55d0a8e00000-55d0a9000000 r-xp 00000000 fd:00 42 /usr/bin/qemu-system-x86_64\nSize:     2048 kB\n"      \
    "Rss:      1800 kB\nSwap:        0 kB\nVmFlags: rd ex mr mw me\n"
#define AFTER                                                                                                \
    "7ffd1c000000-7ffd1c021000 rw-p 00000000 00:00 0 [stack]\nSize:      132 kB\nRss:        40 kB\n"        \
    "Private_Hugetlb:       0 kB\nSwap:        4 kB\n"
#define MAPPED(rss, shared, private, swap)                                                                   \
    BEFORE "7f1200000000-7f1300000000 rw-p 00000000 00:00 0\nSize:  4194304 kB\nKernelPageSize: 4 kB\n"      \
           "Rss:  " rss " kB\nPss:  " rss " kB\nAnonymous: " rss " kB\nShared_Hugetlb: " shared              \
           " kB\nPrivate_Hugetlb: " private " kB\nSwap: " swap " kB\nSwapPss: 0 kB\nVmFlags: rd wr\n" AFTER

static void a_mapping_has_what_is_resident_huge_or_swapped_out(void **state)
{
    (void)state;
    static const struct {
        const char *smaps;
        int64_t touched;
    } cases[] = {
        {MAPPED("300000", "0", "0", "0"), 300000 * KIB},
        {MAPPED("0", "0", "4190208", "0"), 4190208 * KIB}, /* hugetlb: no Rss at all */
        {MAPPED("0", "2097152", "0", "0"), 2097152 * KIB},
        {MAPPED("300000", "0", "0", "3000000"), 3300000 * KIB},
        {MAPPED("0", "0", "0", "0"), 0},
        {BEFORE AFTER, 0},
        {"", 0},
        {NULL, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(touched_mapping(cases[i].smaps, 4 * GIB), cases[i].touched);
}

static void a_process_has_what_is_resident_huge_or_swapped_out(void **state)
{
    (void)state;
    static const struct {
        const char *status;
        int64_t touched;
    } cases[] = {
        {"Name:\tqemu\nVmSize:\t9 kB\nVmRSS:\t  1040960 kB\nVmSwap:\t0 kB\nHugetlbPages:\t0 kB\n",
         1000000 * KIB},
        {"VmRSS:\t80000 kB\nVmSwap:\t0 kB\nHugetlbPages:\t4194304 kB\n", (80000 + 4194304 - 40960) * KIB},
        {"VmRSS:\t80000 kB\nVmSwap:\t900000 kB\nHugetlbPages:\t0 kB\n", (980000 - 40960) * KIB},
        {"VmRSS:\t20000 kB\nVmSwap:\t0 kB\nHugetlbPages:\t0 kB\n", 1},
        {"VmRSS:\t80000 kB\nVmSwap:\t0 kB\n", 0}, /* huge pages or not: nobody knows */
        {"VmRSS:\t80000 kB\nHugetlbPages:\t0 kB\n", 0},
        {NULL, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(touched_process(cases[i].status), cases[i].touched);
}

static void the_mapping_tells_more_than_the_process(void **state)
{
    (void)state;
    _cleanup_(made_tree_deinit) struct made_tree t;
    made_tree_init(&t);
    assert_int_equal(touched_memory(t.root, t.root, "web1", 4 * GIB), 0);
    made_tree_add(&t, "web1.pid", "4711\n");
    assert_int_equal(touched_memory(t.root, t.root, "web1", 4 * GIB), 0);
    made_tree_add(&t, "4711/status", "VmRSS:\t80000 kB\nVmSwap:\t0 kB\nHugetlbPages:\t4194304 kB\n");
    assert_int_equal(touched_memory(t.root, t.root, "web1", 4 * GIB), (80000 + 4194304 - 40960) * KIB);
    made_tree_add(&t, "4711/smaps", MAPPED("0", "0", "2097152", "0"));
    assert_int_equal(touched_memory(t.root, t.root, "web1", 4 * GIB), 2 * GIB);
    /* Its memory is of several mappings. */
    assert_int_equal(touched_memory(t.root, t.root, "web1", 8 * GIB), (80000 + 4194304 - 40960) * KIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mapping_has_what_is_resident_huge_or_swapped_out),
        cmocka_unit_test(a_process_has_what_is_resident_huge_or_swapped_out),
        cmocka_unit_test(the_mapping_tells_more_than_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
