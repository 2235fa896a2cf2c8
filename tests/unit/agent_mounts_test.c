#include "agent/io/image.h"
#include "agent/io/mounts.h"
#include "agent/io/path_facts.h"
#include "common/base/cleanup.h"
#include "common/base/memory.h"
#include "common/message/message.h"
#include "tests/unit/made_tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define ROOT "20 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n"

static struct mounts *read_text(const struct made_tree *t, const char *text)
{
    struct mounts *m = NULL;
    _cleanup_free_ char *path = xasprintf("%s/mountinfo", t->root);
    made_tree_add(t, "mountinfo", text);
    assert_int_equal(mounts_read(path, &m, NULL), 0);
    return m;
}

struct list {
    Drover__V1__Mount **at;
    size_t n;
};

static void list_deinit(struct list *l)
{
    for (size_t i = 0; i < l->n; i++)
        drover__v1__mount__free_unpacked(l->at[i], NULL);
    free(l->at);
}

static void mounts_that_can_hold_images_with_their_options(void **state)
{
    (void)state;
    _cleanup_(made_tree_deinit) struct made_tree t;
    made_tree_init(&t);
    _cleanup_(mounts_freep) struct mounts *m = read_text(
        &t, ROOT "21 20 0:5 / /proc rw - proc proc rw\n"
                 "22 20 0:6 / /sys rw - sysfs sysfs rw\n"
                 "30 20 0:40 / /srv/nfs rw,relatime shared:9 - nfs4 export1:/srv/nfs rw,vers=4.2,hard\n"
                 "31 20 0:41 / /srv/iso ro,relatime - nfs export1:/srv/iso rw,vers=3\n"
                 "32 20 0:42 / /srv/gluster rw - fuse.glusterfs 10.0.0.20:/gv0 rw\n"
                 "33 20 253:3 / /srv/gfs2 rw - gfs2 /dev/mapper/mpatha rw\n"
                 "34 20 253:4 / /srv/ocfs2 rw - ocfs2 /dev/mapper/mpathb ro\n"
                 "35 20 0:43 / /srv/ceph rw - ceph mon1:6789:/ rw\n"
                 "36 20 8:1 /images /var/lib/libvirt/images rw - ext4 /dev/sda1 rw\n"
                 "37 20 0:44 / /srv/with\\040space rw - cifs //nas/share rw\n");
    _cleanup_(list_deinit) struct list l = {0};
    l.n = mounts_list(m, 0, &l.at);
    static const struct {
        const char *target, *type, *root;
        bool network, read_only;
    } expected[] = {
        {"/", "ext4", "/", false, false},
        {"/srv/nfs", "nfs4", "/", true, false},
        {"/srv/iso", "nfs", "/", true, true},
        {"/srv/gluster", "fuse.glusterfs", "/", true, false},
        {"/srv/gfs2", "gfs2", "/", true, false},
        {"/srv/ocfs2", "ocfs2", "/", true, true},
        {"/srv/ceph", "ceph", "/", true, false},
        {"/var/lib/libvirt/images", "ext4", "/images", false, false},
        {"/srv/with space", "cifs", "/", true, false},
    };
    assert_int_equal(l.n, sizeof(expected) / sizeof(expected[0]));
    for (size_t i = 0; i < l.n; i++) {
        assert_string_equal(l.at[i]->target, expected[i].target);
        assert_string_equal(l.at[i]->fs_type, expected[i].type);
        assert_string_equal(l.at[i]->root, expected[i].root);
        assert_int_equal(l.at[i]->network, expected[i].network);
        assert_int_equal(l.at[i]->read_only, expected[i].read_only);
    }
    assert_string_equal(l.at[1]->source, "export1:/srv/nfs");
    assert_non_null(strstr(l.at[1]->options, "vers=4.2"));
    assert_string_equal(l.at[4]->device, "253:3");
}

static void the_mount_of_a_path(void **state)
{
    (void)state;
    _cleanup_(made_tree_deinit) struct made_tree t;
    made_tree_init(&t);
    _cleanup_(mounts_freep) struct mounts *m =
        read_text(&t, ROOT "30 20 0:40 / /drover-none/a rw - nfs4 old:/a rw\n"
                           "31 20 0:41 / /drover-none/a/b rw - nfs4 export1:/b rw\n"
                           "32 30 0:42 / /drover-none/a rw - nfs4 new:/a rw\n");
    static const struct {
        const char *path, *source;
    } cases[] = {
        {"/drover-none/a/vm.img", "new:/a"}, /* the last one on a directory hides the others */
        {"/drover-none/a/b/vm.img", "export1:/b"},
        {"/drover-none/ab/vm.img", "/dev/sda1"},
        {"/drover-none/a", "new:/a"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        Drover__V1__Mount *one = mounts_of_path(m, cases[i].path);
        assert_string_equal(one->source, cases[i].source);
        drover__v1__mount__free_unpacked(one, NULL);
    }
}

/* By names alone: nothing of it is there. */
static void what_hangs_together(void **state)
{
    (void)state;
    _cleanup_(made_tree_deinit) struct made_tree t;
    made_tree_init(&t);
    _cleanup_(mounts_freep) struct mounts *m =
        read_text(&t, ROOT "30 20 0:40 / /drover-none/a rw - nfs4 old:/a rw\n"
                           "32 30 0:42 / /drover-none/a rw - nfs4 new:/a rw\n");
    static const struct {
        const char *path, *place;
    } cases[] = {
        {"/drover-none/a/vm.img", "32 /drover-none/a"},
        {"/drover-none/a/deep/vm.img", "32 /drover-none/a"},
        {"/drover-none/ab/vm.img", "20 /drover-none/ab"},
        {"/vm.img", "20 "},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        _cleanup_free_ char *place = mounts_place(m, cases[i].path);
        assert_string_equal(place, cases[i].place);
    }
}

static void file_systems_of_this_machine_answer(void **state)
{
    (void)state;
    _cleanup_(mounts_freep) struct mounts *m = NULL;
    assert_int_equal(mounts_read("/proc/self/mountinfo", &m, NULL), 0);
    _cleanup_(list_deinit) struct list l = {0};
    l.n = mounts_list(m, 10000, &l.at);
    Drover__V1__Mount *tmp = mounts_of_path(m, "/tmp");
    assert_non_null(tmp);
    mounts_stat(tmp);
    assert_true(tmp->size > 0);
    assert_true(l.n > 0);
    drover__v1__mount__free_unpacked(tmp, NULL);
}

static void an_unreadable_table_is_an_error(void **state)
{
    (void)state;
    struct error err;
    struct mounts *m = NULL;
    assert_true(mounts_read("/nonexistent/mountinfo", &m, &err) < 0);
    assert_null(m);
    assert_non_null(strstr(err.text, "/nonexistent/mountinfo"));
}

/* ---- what lies at a path ---- */

static const unsigned char qcow2[] = {
    'Q',
    'F',
    'I',
    0xfb,
    0,
    0,
    0,
    3, /* version 3 */
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    136,
    0,
    0,
    0,
    13, /* backing file: at 136, 13 bytes */
    0,
    0,
    0,
    16,
    0,
    0,
    0,
    0,
    0,
    4,
    0,
    0, /* cluster bits; 256 KiB */
    [100] = 0,
    0,
    0,
    104, /* header's length */
    [104] = 0xe2,
    0x79,
    0x2a,
    0xca,
    0,
    0,
    0,
    3,
    'r',
    'a',
    'w',
    0,
    0,
    0,
    0,
    0, /* backing format */
    [136] = '/',
    's',
    'r',
    'v',
    '/',
    'b',
    'a',
    's',
    'e',
    '.',
    'i',
    'm',
    'g',
};

static void put_bytes(const struct made_tree *t, const char *name, const void *bytes, size_t n)
{
    _cleanup_free_ char *path = xasprintf("%s/%s", t->root, name);
    _cleanup_fclose_ FILE *f = fopen(path, "we");
    assert_int_equal(fwrite(bytes, 1, n, f), n);
}

static Drover__V1__PathFacts *facts_of(const struct made_tree *t, const char *name)
{
    _cleanup_(mounts_freep) struct mounts *m = NULL;
    _cleanup_free_ char *path = xasprintf("%s/%s", t->root, name);
    assert_int_equal(mounts_read("/proc/self/mountinfo", &m, NULL), 0);
    return path_facts_read(m, "/sys", path);
}

static void drop(Drover__V1__PathFacts **f)
{
    drover__v1__path_facts__free_unpacked(*f, NULL);
}

#define _cleanup_facts_ _cleanup_(drop)

static void images_are_told_by_their_first_bytes(void **state)
{
    (void)state;
    _cleanup_(made_tree_deinit) struct made_tree t;
    made_tree_init(&t);
    put_bytes(&t, "vm.qcow2", qcow2, sizeof(qcow2));
    put_bytes(&t, "vm.raw", "bootsector", 10);
    made_tree_link(&t, "link", "vm.raw");
    made_tree_link(&t, "dangling", "nowhere");
    {
        _cleanup_facts_ Drover__V1__PathFacts *f = facts_of(&t, "vm.qcow2");
        assert_string_equal(f->kind, "file");
        assert_string_equal(f->format, "qcow2");
        assert_int_equal(f->virtual_size, 256 << 10);
        assert_string_equal(f->backing, "/srv/base.img");
        assert_string_equal(f->backing_format, "raw");
        assert_non_null(f->mount);
        assert_non_null(strstr(f->path, f->relative));
    }
    {
        _cleanup_facts_ Drover__V1__PathFacts *f = facts_of(&t, "link");
        assert_string_equal(f->format, "raw");
        assert_int_equal(f->virtual_size, 10);
        assert_non_null(strstr(f->resolved, "vm.raw"));
    }
    static const char *const absent[] = {"dangling", "no/such/place.img", "vm.raw/below"};
    for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++) {
        _cleanup_facts_ Drover__V1__PathFacts *f = facts_of(&t, absent[i]);
        assert_string_equal(f->kind, "absent");
        assert_non_null(f->mount); /* that it would lie on */
        assert_true(f->mount->size > 0);
    }
}

static void a_damaged_header_is_no_way_out_of_the_file(void **state)
{
    (void)state;
    unsigned char bytes[sizeof(qcow2)];
    for (size_t n = 0; n <= sizeof(qcow2); n++) { /* cut anywhere */
        Drover__V1__PathFacts f = DROVER__V1__PATH_FACTS__INIT;
        _cleanup_free_ unsigned char *cut = xcalloc(1, n);
        memcpy(cut, qcow2, n);
        path_facts_qcow2(cut, n, &f);
        protobuf_c_message_free_unpacked(message_copy(&f.base), NULL);
        if (f.format != protobuf_c_empty_string)
            free(f.format);
        if (f.backing != protobuf_c_empty_string)
            free(f.backing);
        if (f.backing_format != protobuf_c_empty_string)
            free(f.backing_format);
    }
    for (size_t i = 4; i < 120; i++) { /* numbers far too large */
        Drover__V1__PathFacts *f = new0(Drover__V1__PathFacts);
        drover__v1__path_facts__init(f);
        memcpy(bytes, qcow2, sizeof(bytes));
        bytes[i] = 0xff;
        path_facts_qcow2(bytes, sizeof(bytes), f);
        drop(&f);
    }
}

static void what_qemu_img_says_of_a_chain(void **state)
{
    (void)state;
    Drover__V1__ProbeResult *r = new0(Drover__V1__ProbeResult);
    drover__v1__probe_result__init(r);
    assert_true(image_parse("[{\"virtual-size\": 1048576, \"filename\": \"/a.qcow2\", \"format\": \"qcow2\", "
                            "\"actual-size\": 200704,"
                            " \"backing-filename\": \"b.img\", \"full-backing-filename\": \"/b.img\"},"
                            " {\"virtual-size\": 512, \"filename\": \"/b.img\", \"format\": \"raw\"}]",
                            r));
    assert_int_equal(r->n_images, 2);
    assert_string_equal(r->images[0]->backing, "/b.img");
    assert_int_equal(r->images[0]->virtual_size, 1048576);
    assert_string_equal(r->images[1]->format, "raw");
    static const char *const nonsense[] = {"", "{}", "[]", "null", "[", "\"x\""};
    for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++)
        assert_false(image_parse(nonsense[i], r));
    assert_true(
        image_parse("[1, null, {\"virtual-size\": \"many\"}]", r)); /* fields that are not there are empty */
    drover__v1__probe_result__free_unpacked(r, NULL);
}

static void bytes_that_are_no_text_become_question_marks(void **state)
{
    (void)state;
    Drover__V1__Inspection *i = new0(Drover__V1__Inspection);
    drover__v1__inspection__init(i);
    Drover__V1__Mount *m = new0(Drover__V1__Mount);
    drover__v1__mount__init(m);
    m->target = xstrdup("a\xff\xc3\xa4\xc3");
    message_append(&i->mounts, &i->n_mounts, m);
    message_append_text(&i->errors, &i->n_errors, "\xed\xa0\x80\xf0\x9f\x90\x84");
    message_clean(&i->base);
    assert_string_equal(m->target, "a?\xc3\xa4?");
    assert_string_equal(i->errors[0], "???\xf0\x9f\x90\x84");
    drover__v1__inspection__free_unpacked(i, NULL);
}

/* GFS2 and OCFS2 are mounted from a device that several hosts have: who serves that is to be known. */
static void a_file_on_a_clusters_file_system_tells_its_device(void **state)
{
    (void)state;
    static const char *const types[] = {"gfs2", "xfs"};
    _cleanup_(made_tree_deinit) struct made_tree t;
    made_tree_init(&t);
    made_tree_add(&t, "sys/devices/virtual/block/dm-7/dm/uuid", "mpath-3600140500000000000000000000000aa\n");
    made_tree_link(&t, "sys/class/block/dm-7", "../../devices/virtual/block/dm-7");
    made_tree_link(&t, "sys/dev/block/253:7", "../../devices/virtual/block/dm-7");
    made_tree_add(&t, "image", "raw");
    _cleanup_free_ char *sysfs = xasprintf("%s/sys", t.root), *info = xasprintf("%s/mountinfo", t.root),
                        *image = xasprintf("%s/image", t.root);
    for (size_t i = 0; i < 2; i++) {
        _cleanup_free_ char *line =
            xasprintf("9000 1 253:7 / %s rw - %s /dev/mapper/cluster rw\n", t.root, types[i]);
        _cleanup_(mounts_freep) struct mounts *m = NULL;
        made_tree_add(&t, "mountinfo", line);
        assert_int_equal(mounts_read(info, &m, NULL), 0);
        _cleanup_facts_ Drover__V1__PathFacts *f = path_facts_read(m, sysfs, image);
        assert_string_equal(f->kind, "file");
        assert_int_equal(f->lun != NULL, i == 0);
        if (f->lun)
            assert_string_equal(f->lun->wwid, "naa.600140500000000000000000000000aa");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_on_a_clusters_file_system_tells_its_device),
        cmocka_unit_test(mounts_that_can_hold_images_with_their_options),
        cmocka_unit_test(the_mount_of_a_path),
        cmocka_unit_test(what_hangs_together),
        cmocka_unit_test(file_systems_of_this_machine_answer),
        cmocka_unit_test(an_unreadable_table_is_an_error),
        cmocka_unit_test(images_are_told_by_their_first_bytes),
        cmocka_unit_test(a_damaged_header_is_no_way_out_of_the_file),
        cmocka_unit_test(what_qemu_img_says_of_a_chain),
        cmocka_unit_test(bytes_that_are_no_text_become_question_marks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
