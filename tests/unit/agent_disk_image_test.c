/* Files of disks that are copied: made under a name of their own, never over another, removed only if they are the ones. */
#include "agent/io/disk_image.h"

#include "common/base/loop.h"
#include "common/base/memory.h"
#include "made_tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define ID "11111111-1111-4111-8111-11111111aaaa"

static uint64_t inode_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? st.st_ino : 0;
}

static void only_plain_names_are_taken(void **state)
{
    (void)state;
    static const struct {
        const char *target, *from, *to, *format;
        bool fine;
    } cases[] = {
        {"vda", "/a/b.raw", "/c/d.raw", "raw", true},
        {"vda", "/a", "/c", "qcow2", true},
        {"", "/a", "/c", "raw", false},
        {"vda,vdb", "/a", "/c", "raw", false},
        {"vda", "a", "/c", "raw", false},
        {"vda", "/a", "/c/../d", "raw", false},
        {"vda", "/a", "/c/", "raw", false},
        {"vda", "/a", "nbd://c", "raw", false},
        {"vda", "/a", "/c", "vmdk", false},
        {"vda", "/a", "", "raw", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        Drover__V1__DiskCopy c = DROVER__V1__DISK_COPY__INIT;
        struct error err = {0};
        c.target = (char *)cases[i].target;
        c.from = (char *)cases[i].from;
        c.to = (char *)cases[i].to;
        c.format = (char *)cases[i].format;
        if ((disk_image_check(&c, &err) == 0) != cases[i].fine)
            fail_msg("case %zu: %s", i, err.text);
    }
}

static void an_image_takes_no_other_ones_place(void **state)
{
    struct made_tree *tree = *state;
    const char *dir = tree->root;
    char *path = xasprintf("%s/web1.raw", dir), *draft = disk_image_draft(path, ID);
    struct error err = {0};
    char *expected = xasprintf("%s/.drover-" ID "-web1.raw", dir);
    assert_string_equal(draft, expected);
    free(expected);
    made_tree_add(tree, ".drover-" ID "-web1.raw", "ours");
    uint64_t ours = inode_of(draft);
    made_tree_add(tree, "web1.raw", "theirs");
    uint64_t theirs = inode_of(path);
    assert_true(disk_image_place(draft, path, &err) < 0);
    assert_int_equal(inode_of(path), theirs);
    assert_int_equal(inode_of(draft), ours);
    assert_int_equal(disk_image_remove(path, ours, &err), -STATUS_FAILED_PRECONDITION);
    assert_int_equal(inode_of(path), theirs);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(disk_image_place(draft, path, &err), 0);
    assert_int_equal(inode_of(path), ours);
    assert_int_equal(inode_of(draft), 0);
    assert_int_equal(disk_image_remove(path, ours, &err), 0);
    assert_int_equal(disk_image_remove(path, ours, &err), 0); /* it is gone already */
    assert_int_equal(inode_of(path), 0);
    char *aside = disk_image_aside(path, ID);
    assert_non_null(strstr(aside, "/web1.raw.moved-11111111"));
    free(aside);
    free(draft);
    free(path);
}

static void a_backing_file_is_the_same_by_size_and_hash(void **state)
{
    struct made_tree *tree = *state;
    const char *dir = tree->root;
    struct limit limit = {clock_monotonic_ms() + 10000, -1};
    Drover__V1__DiskCopy c = DROVER__V1__DISK_COPY__INIT;
    made_tree_add(tree, "base.raw", "abc");
    char *path = xasprintf("%s/base.raw", dir);
    assert_false(disk_image_same_backing(&limit, path, &c)); /* too large to be hashed, said the source */
    c.backing_size = 3;
    c.backing_hash = (char *)"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_true(disk_image_same_backing(&limit, path, &c));
    made_tree_add(tree, "base.raw", "abd");
    assert_false(disk_image_same_backing(&limit, path, &c));
    made_tree_add(tree, "base.raw", "abcd");
    assert_false(disk_image_same_backing(&limit, path, &c));
    assert_int_equal(unlink(path), 0);
    assert_false(disk_image_same_backing(&limit, path, &c));
    free(path);
}

/* With its whole chain: each file is found by the one above it. */
static void a_chain_of_backing_files_is_the_same_as_a_whole(void **state)
{
    struct made_tree *tree = *state;
    struct limit limit = {clock_monotonic_ms() + 60000, -1};
    struct error err = {0};
    if (system("command -v qemu-img >/dev/null") != 0)
        skip();
    static const char make[] =
        "cd %s && for d in here there; do mkdir $d && cd $d && "
        "yes | head -c 4M >base.raw && "
        "qemu-img create -q -f qcow2 -F raw -b base.raw middle.qcow2 && cd ..; done && "
        "qemu-img create -q -f qcow2 -F qcow2 -b middle.qcow2 here/top.qcow2";
    _cleanup_free_ char *command = xasprintf(make, tree->root);
    assert_int_equal(system(command), 0);
    Drover__V1__DiskCopy *c = new0(Drover__V1__DiskCopy);
    drover__v1__disk_copy__init(c);
    c->from = xasprintf("%s/here/top.qcow2", tree->root);
    c->format = xstrdup("qcow2");
    assert_int_equal(disk_image_inspect(&limit, c, &err), 0);
    assert_int_equal(c->backing_files, 2);
    assert_true(c->own_bytes > 0 && c->own_bytes < c->bytes);
    _cleanup_free_ char *there = xasprintf("%s/there/middle.qcow2", tree->root);
    assert_true(disk_image_same_backing(&limit, there, c));
    made_tree_add(tree, "there/base.raw", "another");
    assert_false(disk_image_same_backing(&limit, there, c));
    _cleanup_free_ char *base = xasprintf("%s/there/base.raw", tree->root);
    assert_int_equal(unlink(base), 0);
    assert_false(disk_image_same_backing(&limit, there, c));
    drover__v1__disk_copy__free_unpacked(c, NULL);
}

static void a_hash_is_of_a_file_that_can_be_read(void **state)
{
    struct made_tree *tree = *state;
    struct limit limit = {clock_monotonic_ms() + 60000, -1}, over = {clock_monotonic_ms() - 1, -1};
    made_tree_add(tree, "seed.iso", "abc");
    _cleanup_free_ char *path = xasprintf("%s/seed.iso", tree->root);
    const struct {
        const struct limit *limit;
        const char *path, *identity;
    } cases[] = {
        {&limit, path, "sha256 ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {&over, path, ""},
        {&limit, tree->root, ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        Drover__V1__ProbeResult *r = new0(Drover__V1__ProbeResult);
        drover__v1__probe_result__init(r);
        disk_image_hash(cases[i].limit, cases[i].path, r);
        assert_string_equal(r->identity, cases[i].identity);
        assert_int_equal(r->outcome, cases[i].identity[0] ? DROVER__V1__PROBE_OUTCOME__PROBE_PROVEN
                                                          : DROVER__V1__PROBE_OUTCOME__PROBE_UNDECIDED);
        drover__v1__probe_result__free_unpacked(r, NULL);
    }
}

static void room_is_that_of_the_directory(void **state)
{
    struct made_tree *tree = *state;
    const char *dir = tree->root;
    char where[64], *path = xasprintf("%s/new.raw", dir), *nowhere = xasprintf("%s/none/new.raw", dir);
    uint64_t room = 0;
    struct error err = {0};
    assert_int_equal(disk_image_room(path, &room, where, &err), 0);
    assert_true(room > 0);
    assert_int_equal(disk_image_room(nowhere, &room, where, &err), -STATUS_NOT_FOUND);
    free(nowhere);
    free(path);
}

static int setup(void **state)
{
    struct made_tree *tree = new0(struct made_tree);
    made_tree_init(tree);
    *state = tree;
    return 0;
}

static int teardown(void **state)
{
    made_tree_deinit(*state);
    free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_plain_names_are_taken),
        cmocka_unit_test(an_image_takes_no_other_ones_place),
        cmocka_unit_test(a_backing_file_is_the_same_by_size_and_hash),
        cmocka_unit_test(a_chain_of_backing_files_is_the_same_as_a_whole),
        cmocka_unit_test(a_hash_is_of_a_file_that_can_be_read),
        cmocka_unit_test(room_is_that_of_the_directory),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
