#include "agent/io/nonce.h"
#include "agent/io/path_facts.h"
#include "agent/io/tree.h"
#include "common/base/cleanup.h"
#include "common/base/loop.h"
#include "common/base/memory.h"
#include "tests/unit/made_tree.h"

#include <errno.h>
#include <linux/capability.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#define NONCE "0f8fad5b-d9cb-469f-a165-70867728950e"
#define OTHER "7c9e6679-7425-40de-944b-e07fc1f90ae7"
#define FILE_NAME ".drover-probe-" NONCE

struct world {
    struct made_tree t;
    char *state, *images, *image;
    Drover__V1__ProbeResult *result;
    void (*obeying)(struct world *w); /* in_a_thread */
    int removed;
};

static void world_init(struct world *w)
{
    made_tree_init(&w->t);
    made_tree_add(&w->t, "state", NULL);
    made_tree_add(&w->t, "images/vm.img", "an image");
    w->state = xasprintf("%s/state", w->t.root);
    w->images = xasprintf("%s/images", w->t.root);
    w->image = xasprintf("%s/vm.img", w->images);
    w->result = NULL;
}

static void world_deinit(struct world *w)
{
    if (w->result)
        drover__v1__probe_result__free_unpacked(w->result, NULL);
    free(w->state);
    free(w->images);
    free(w->image);
    made_tree_deinit(&w->t);
}

#define _cleanup_world_ _cleanup_(world_deinit)

static Drover__V1__ProbeResult *anew(struct world *w)
{
    if (w->result)
        drover__v1__probe_result__free_unpacked(w->result, NULL);
    w->result = new0(Drover__V1__ProbeResult);
    drover__v1__probe_result__init(w->result);
    return w->result;
}

static void expect(const struct world *w, Drover__V1__ProbeOutcome outcome, const char *reason)
{
    assert_string_equal(w->result->reason, reason);
    assert_int_equal(w->result->outcome, outcome);
    assert_true(*w->result->seen);
}

static struct limit soon(int64_t ms)
{
    return (struct limit){clock_monotonic_ms() + ms, -1};
}

static bool there(const struct world *w, const char *name)
{
    _cleanup_free_ char *path = xasprintf("%s/%s", w->t.root, name);
    struct stat st;
    return lstat(path, &st) == 0;
}

static void write_it(struct world *w)
{
    nonce_write(w->state, "kvm1", NONCE, w->image, anew(w));
    expect(w, DROVER__V1__PROBE_OUTCOME__PROBE_PROVEN, "");
}

static void written_beside_the_image_read_found_and_removed(void **state)
{
    (void)state;
    _cleanup_world_ struct world w;
    world_init(&w);
    write_it(&w);
    assert_string_equal(w.result->path->kind, "directory");
    assert_true(there(&w, "images/" FILE_NAME));
    assert_true(there(&w, "state/probes/" NONCE));
    struct limit limit = soon(10000);
    nonce_read(&limit, NONCE, w.image, anew(&w));
    expect(&w, DROVER__V1__PROBE_OUTCOME__PROBE_PROVEN, "");
    assert_true(w.result->writable);
    assert_true(nonce_find(&limit, NONCE, w.t.root, "images", anew(&w)));
    assert_true(nonce_find(&limit, NONCE, w.t.root, "elsewhere",
                           anew(&w))); /* a mount of a directory further up or down */
    assert_false(nonce_find(&limit, OTHER, w.t.root, "images", anew(&w)));
    assert_int_equal(nonce_remove(w.state, NONCE, NULL), 1);
    assert_false(there(&w, "images/" FILE_NAME));
    assert_false(there(&w, "state/probes/" NONCE));
    assert_int_equal(nonce_remove(w.state, NONCE, NULL), 0);
    _cleanup_free_ char *image = tree_text("%s", w.image);
    assert_string_equal(image, "an image");
}

/* More than is looked at: then it is not said to be absent. */
static void what_is_too_large_to_be_searched_is_undecided(void **state)
{
    (void)state;
    _cleanup_world_ struct world w;
    world_init(&w);
    _cleanup_free_ char *command =
        xasprintf("cd %s && mkdir many && cd many && seq 50001 | xargs touch", w.t.root);
    assert_int_equal(system(command), 0);
    struct limit limit = soon(60000);
    assert_false(nonce_find(&limit, OTHER, w.t.root, "images", anew(&w)));
    expect(&w, DROVER__V1__PROBE_OUTCOME__PROBE_UNDECIDED, "timeout");
}

static void what_was_not_looked_into_is_undecided(void **state)
{
    (void)state;
    static const struct {
        const char *at;
        bool skipped;
    } cases[] = {
        {"images/.hidden/a", true}, {"1/2/3/4/5/6/7/8/a", true},
        {".glusterfs/ab/a", false}, {".glusterfs-anonymous-inode-1/a", false},
        {"lost+found/a", false},    {"1/2/3/a", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        _cleanup_world_ struct world w;
        world_init(&w);
        made_tree_add(&w.t, cases[i].at, "");
        struct limit limit = soon(60000);
        assert_false(nonce_find(&limit, OTHER, w.t.root, "images", anew(&w)));
        assert_string_equal(w.result->reason, cases[i].skipped ? "skipped" : "");
    }
}

static void another_directory_of_the_same_name_is_found_out(void **state)
{
    (void)state;
    _cleanup_world_ struct world w;
    world_init(&w);
    write_it(&w);
    made_tree_add(&w.t, "other/vm.img", "an image");
    _cleanup_free_ char *other = xasprintf("%s/other/vm.img", w.t.root);
    struct limit limit = soon(150);
    nonce_read(&limit, NONCE, other, anew(&w));
    expect(&w, DROVER__V1__PROBE_OUTCOME__PROBE_REFUTED, "absent");
    made_tree_add(&w.t, "other/" FILE_NAME, "drover-probe " OTHER " kvm9\n");
    nonce_read(&limit, NONCE, other, anew(&w));
    expect(&w, DROVER__V1__PROBE_OUTCOME__PROBE_REFUTED, "other-content");
}

static void nothing_is_written_beside_devices(void **state)
{
    (void)state;
    _cleanup_world_ struct world w;
    world_init(&w);
    static const char *const paths[] = {"/dev/null", "/dev/not-there", "/proc/self/status", "/sys/kernel"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        nonce_write(w.state, "kvm1", NONCE, paths[i], anew(&w));
        expect(&w, DROVER__V1__PROBE_OUTCOME__PROBE_NOT_APPLICABLE, "is-device");
    }
    assert_false(there(&w, "state/probes"));
}

static void a_path_that_leads_nowhere_is_told(void **state)
{
    (void)state;
    _cleanup_world_ struct world w;
    world_init(&w);
    _cleanup_free_ char *away = xasprintf("%s/away/vm.img", w.t.root), *below = xasprintf("%s/x", w.image);
    nonce_write(w.state, "kvm1", NONCE, away, anew(&w));
    expect(&w, DROVER__V1__PROBE_OUTCOME__PROBE_UNDECIDED, "no-directory");
    nonce_write(w.state, "kvm1", NONCE, below, anew(&w));
    expect(&w, DROVER__V1__PROBE_OUTCOME__PROBE_UNDECIDED, "no-directory");
    struct limit limit = soon(1000);
    nonce_read(&limit, NONCE, away, anew(&w));
    expect(&w, DROVER__V1__PROBE_OUTCOME__PROBE_UNDECIDED, "no-directory");
}

static void what_lies_there_already_is_neither_overwritten_nor_followed_nor_removed(void **state)
{
    (void)state;
    _cleanup_world_ struct world w;
    world_init(&w);
    made_tree_add(&w.t, "victim", "precious");
    made_tree_link(&w.t, "images/" FILE_NAME, "../victim");
    nonce_write(w.state, "kvm1", NONCE, w.image, anew(&w));
    expect(&w, DROVER__V1__PROBE_OUTCOME__PROBE_UNDECIDED, "failed");
    assert_false(there(&w, "state/probes/" NONCE));
    struct limit limit = soon(100);
    nonce_read(&limit, NONCE, w.image, anew(&w));
    assert_int_not_equal(w.result->outcome, DROVER__V1__PROBE_OUTCOME__PROBE_PROVEN);
    assert_false(nonce_find(&limit, NONCE, w.t.root, "images", anew(&w)));
    _cleanup_free_ char *victim = tree_text("%s/victim", w.t.root);
    assert_string_equal(victim, "precious");
    assert_true(there(&w, "images/" FILE_NAME));
}

static void a_file_of_that_name_that_is_not_ours_stays(void **state)
{
    (void)state;
    _cleanup_world_ struct world w;
    world_init(&w);
    write_it(&w);
    made_tree_add(&w.t, "images/" FILE_NAME, "somebody else's");
    assert_int_equal(nonce_remove(w.state, NONCE, NULL), 1); /* the record goes */
    assert_true(there(&w, "images/" FILE_NAME));
}

/* ---- a file system that lets a file be made, and neither finished nor removed ---- */

static bool broken_finish, broken_unlink;

int __real_fchmod(int fd, mode_t mode);
int __wrap_fchmod(int fd, mode_t mode);
int __wrap_fchmod(int fd, mode_t mode)
{
    if (!broken_finish)
        return __real_fchmod(fd, mode);
    errno = EIO;
    return -1;
}

int __real_unlinkat(int dir, const char *name, int flags);
int __wrap_unlinkat(int dir, const char *name, int flags);
int __wrap_unlinkat(int dir, const char *name, int flags)
{
    if (!broken_unlink)
        return __real_unlinkat(dir, name, flags);
    errno = EIO;
    return -1;
}

static void a_file_that_can_be_neither_finished_nor_removed_keeps_its_record(void **state)
{
    (void)state;
    for (int removable = 0; removable < 2; removable++) {
        _cleanup_world_ struct world w;
        world_init(&w);
        broken_finish = true;
        broken_unlink = !removable;
        bool left = nonce_write(w.state, "kvm1", NONCE, w.image, anew(&w));
        broken_finish = broken_unlink = false;
        expect(&w, DROVER__V1__PROBE_OUTCOME__PROBE_UNDECIDED, "stale");
        assert_int_equal(left, !removable);
        assert_int_equal(there(&w, "images/" FILE_NAME), !removable);
        assert_int_equal(there(&w, "state/probes/" NONCE), !removable);
        assert_int_equal(nonce_remove(w.state, NONCE, NULL), !removable); /* by a later sweep */
        assert_false(there(&w, "images/" FILE_NAME));
        assert_false(there(&w, "state/probes/" NONCE));
    }
}

/* A crash after the record, in the middle of the file, or after it: the next start finds it and nothing is left. */
static void a_crash_leaves_a_record_that_suffices(void **state)
{
    (void)state;
    static const char *const contents[] = {NULL, "", "drover-probe 0f8fad5b",
                                           "drover-probe " NONCE " kvm1\n"};
    for (size_t i = 0; i < sizeof(contents) / sizeof(contents[0]); i++) {
        _cleanup_world_ struct world w;
        world_init(&w);
        write_it(&w);
        _cleanup_free_ char *file = xasprintf("%s/" FILE_NAME, w.images);
        assert_int_equal(unlink(file), 0);
        if (contents[i])
            made_tree_add(&w.t, "images/" FILE_NAME, contents[i]);
        char **names;
        size_t n = nonces_recorded(w.state, &names);
        assert_int_equal(n, 1);
        assert_string_equal(names[0], NONCE);
        assert_int_equal(nonce_remove(w.state, names[0], NULL), 1);
        tree_list_free(names, n);
        assert_false(there(&w, "images/" FILE_NAME));
        assert_false(there(&w, "state/probes/" NONCE));
    }
}

static void storage_that_is_away_keeps_the_record(void **state)
{
    (void)state;
    _cleanup_world_ struct world w;
    world_init(&w);
    write_it(&w);
    _cleanup_free_ char *aside = xasprintf("%s/aside", w.t.root);
    assert_int_equal(rename(w.images, aside), 0); /* as when its file system is not mounted */
    struct error err;
    assert_true(nonce_remove(w.state, NONCE, &err) < 0);
    made_tree_add(&w.t, "images", NULL); /* the empty mount point */
    assert_true(nonce_remove(w.state, NONCE, &err) < 0);
    assert_non_null(strstr(err.text, "not mounted"));
    assert_int_equal(rmdir(w.images), 0);
    assert_int_equal(rename(aside, w.images), 0);
    assert_int_equal(nonce_remove(w.state, NONCE, &err), 1);
    assert_false(there(&w, "images/" FILE_NAME));
}

static void a_torn_record_is_dropped(void **state)
{
    (void)state;
    _cleanup_world_ struct world w;
    world_init(&w);
    made_tree_add(&w.t, "state/probes/" NONCE, "12");
    assert_int_equal(nonce_remove(w.state, NONCE, NULL), 0);
    assert_false(there(&w, "state/probes/" NONCE));
}

static void a_full_state_directory_or_a_used_nonce_writes_nothing(void **state)
{
    (void)state;
    _cleanup_world_ struct world w;
    world_init(&w);
    nonce_write("/proc/self", "kvm1", NONCE, w.image, anew(&w)); /* no record can be made there */
    expect(&w, DROVER__V1__PROBE_OUTCOME__PROBE_UNDECIDED, "failed");
    assert_false(there(&w, "images/" FILE_NAME));
    write_it(&w);
    nonce_write(w.state, "kvm1", NONCE, w.image, anew(&w));
    expect(&w, DROVER__V1__PROBE_OUTCOME__PROBE_UNDECIDED, "failed");
    assert_true(there(&w, "images/" FILE_NAME)); /* the first one's, still to be removed */
    assert_int_equal(nonce_remove(w.state, NONCE, NULL), 1);
}

static void an_image_by_a_symbolic_link_is_probed_where_it_is(void **state)
{
    (void)state;
    _cleanup_world_ struct world w;
    world_init(&w);
    made_tree_link(&w.t, "links/vm.img", "../images/vm.img");
    _cleanup_free_ char *link = xasprintf("%s/links/vm.img", w.t.root);
    nonce_write(w.state, "kvm1", NONCE, link, anew(&w));
    expect(&w, DROVER__V1__PROBE_OUTCOME__PROBE_PROVEN, "");
    assert_true(there(&w, "images/" FILE_NAME));
    assert_int_equal(nonce_remove(w.state, NONCE, NULL), 1);
}

/* ---- as the owner ---- */

/* A thread in which root is judged by modes, as by a server that squashes it; capabilities are a thread's own. */
static void *obey_modes(void *arg)
{
    struct world *w = arg;
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    uint32_t both = 1U << CAP_DAC_OVERRIDE | 1U << CAP_DAC_READ_SEARCH;
    if (syscall(SYS_capget, &header, data) < 0)
        return NULL;
    data[0].effective &= ~both;
    data[0].permitted &= ~both;
    if (syscall(SYS_capset, &header, data) == 0)
        w->obeying(w);
    return NULL;
}

static void in_a_thread(struct world *w, void (*obeying)(struct world *w))
{
    pthread_t thread;
    w->obeying = obeying;
    assert_int_equal(pthread_create(&thread, NULL, obey_modes, w), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static void obeying_write(struct world *w)
{
    nonce_write(w->state, "kvm1", NONCE, w->image, w->result);
}

static void obeying_read(struct world *w)
{
    struct limit limit = soon(10000);
    nonce_read(&limit, NONCE, w->image, w->result);
}

static void obeying_remove(struct world *w)
{
    w->removed = nonce_remove(w->state, NONCE, NULL);
}

static void what_root_may_not_the_owner_of_the_image_does(void **state)
{
    (void)state;
    enum { OWNER = 64055 };
    if (geteuid() != 0)
        skip();
    _cleanup_world_ struct world w;
    world_init(&w);
    assert_int_equal(chmod(w.t.root, 0711), 0);
    assert_int_equal(chown(w.images, OWNER, OWNER) | chmod(w.images, 0700), 0);
    assert_int_equal(chown(w.image, OWNER, OWNER) | chmod(w.image, 0600), 0);
    anew(&w);
    in_a_thread(&w, obeying_write);
    expect(&w, DROVER__V1__PROBE_OUTCOME__PROBE_PROVEN, "");
    _cleanup_free_ char *file = xasprintf("%s/" FILE_NAME, w.images);
    struct stat st;
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_uid, OWNER);
    anew(&w);
    in_a_thread(&w, obeying_read);
    expect(&w, DROVER__V1__PROBE_OUTCOME__PROBE_PROVEN, "");
    assert_true(w.result->writable);
    in_a_thread(&w, obeying_remove);
    assert_int_equal(w.removed, 1);
    assert_false(there(&w, "images/" FILE_NAME));
    assert_false(there(&w, "state/probes/" NONCE));
    /* The owner may not either: that is told. */
    assert_int_equal(chmod(w.images, 0500), 0);
    anew(&w);
    in_a_thread(&w, obeying_write);
    expect(&w, DROVER__V1__PROBE_OUTCOME__PROBE_UNDECIDED, "denied");
    assert_false(there(&w, "state/probes/" NONCE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(written_beside_the_image_read_found_and_removed),
        cmocka_unit_test(what_is_too_large_to_be_searched_is_undecided),
        cmocka_unit_test(what_was_not_looked_into_is_undecided),
        cmocka_unit_test(another_directory_of_the_same_name_is_found_out),
        cmocka_unit_test(nothing_is_written_beside_devices),
        cmocka_unit_test(a_path_that_leads_nowhere_is_told),
        cmocka_unit_test(what_lies_there_already_is_neither_overwritten_nor_followed_nor_removed),
        cmocka_unit_test(a_file_of_that_name_that_is_not_ours_stays),
        cmocka_unit_test(a_file_that_can_be_neither_finished_nor_removed_keeps_its_record),
        cmocka_unit_test(a_crash_leaves_a_record_that_suffices),
        cmocka_unit_test(storage_that_is_away_keeps_the_record),
        cmocka_unit_test(a_torn_record_is_dropped),
        cmocka_unit_test(a_full_state_directory_or_a_used_nonce_writes_nothing),
        cmocka_unit_test(an_image_by_a_symbolic_link_is_probed_where_it_is),
        cmocka_unit_test(what_root_may_not_the_owner_of_the_image_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
