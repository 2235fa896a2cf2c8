/* What the storage nodes say of a guest's disks, and whether the source is shut out by it. */
#include "coordinator/core/fence.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static Drover__V1__Disk vda, vdb, *disks[] = {&vda, &vdb};

/* An answer of one node, about vda and vdb: "-" not served, "no" can't be closed, "yes". */
struct node {
    Drover__V1__CloseStorageReply reply;
    Drover__V1__DiskClosure said[2], *list[2];
};

static struct fence_word word(struct node *n, const char *name, const char *a, const char *b)
{
    const char *says[2] = {a, b};
    drover__v1__close_storage_reply__init(&n->reply);
    for (unsigned i = 0; i < 2; i++) {
        drover__v1__disk_closure__init(&n->said[i]);
        n->said[i].disk = disks[i]->target;
        n->said[i].served = strcmp(says[i], "-") != 0;
        n->said[i].closed = strcmp(says[i], "yes") == 0;
        n->said[i].text =
            (char *)(n->said[i].served ? "target t also has unit 2" : "tgtd has no such target here");
        n->list[i] = &n->said[i];
    }
    n->reply.disks = n->list;
    n->reply.n_disks = 2;
    return (struct fence_word){.node = name, .reply = &n->reply};
}

static void expect(const struct fence_word *words, size_t n, const char *why)
{
    struct error err = {0};
    int r = fence_judge(disks, 2, words, n, &err);
    assert_int_equal(r == 0, why == NULL);
    if (why && !strstr(err.text, why))
        fail_msg("expected \"%s\" in: %s", why, err.text);
}

static int setup(void **state)
{
    (void)state;
    drover__v1__disk__init(&vda);
    drover__v1__disk__init(&vdb);
    vda.target = (char *)"vda";
    vdb.target = (char *)"vdb";
    return 0;
}

static void each_disk_is_closed_by_exactly_one_node(void **state)
{
    (void)state;
    struct node a, b;
    struct fence_word words[2] = {word(&a, "export1", "yes", "-"), word(&b, "export2", "-", "yes")};
    expect(words, 2, NULL);
    assert_true(fence_serves(&words[0]));
    words[1] = word(&b, "export2", "-", "-");
    assert_false(fence_serves(&words[1]));
    expect(words, 2,
           "disk vdb is not on an iSCSI target that a storage node's agent can close (export1: tgtd has");
    words[1] = word(&b, "export2", "yes", "yes");
    expect(words, 2, "disk vda is served by export1 and by export2");
    words[1] = word(&b, "export2", "-", "no");
    expect(words, 2, "disk vdb on export2: target t also has unit 2");
}

static void who_can_not_be_asked_is_named(void **state)
{
    (void)state;
    struct node a;
    struct fence_word words[2] = {word(&a, "export1", "yes", "-"),
                                  {.node = "export2", .error = "connection refused"}};
    expect(words, 2, "export2: connection refused");
    expect(words, 0, "no host has the role storage");
}

static void without_a_disk_there_is_nothing_to_close(void **state)
{
    (void)state;
    struct error err = {0};
    assert_int_equal(fence_judge(disks, 0, NULL, 0, &err), -STATUS_FAILED_PRECONDITION);
}

/* Found by tests/model (OPEN_ALONE): a copy that was shut out while the guest ran at the destination has an older memory than the disks,
 * also when the one there has ended. */
static void a_host_is_let_in_when_no_copy_there_can_write(void **state)
{
    (void)state;
    const struct {
        struct fence_copies copies;
        bool may;
    } rows[] = {
        {{.asked = false}, false},
        {{.asked = false, .off = true}, true},
        {{.asked = true}, true},
        {{.asked = true, .elsewhere = true, .given = true}, true},
        {{.asked = true, .here = true}, true}, /* closed, and the coordinator died before it was given away */
        {{.asked = true, .here = true, .off = true, .elsewhere = true}, false},
        {{.asked = true, .here = true, .given = true}, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(fence_may_open(&rows[i].copies), rows[i].may);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(each_disk_is_closed_by_exactly_one_node, setup),
        cmocka_unit_test_setup(who_can_not_be_asked_is_named, setup),
        cmocka_unit_test_setup(without_a_disk_there_is_nothing_to_close, setup),
        cmocka_unit_test(a_host_is_let_in_when_no_copy_there_can_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
