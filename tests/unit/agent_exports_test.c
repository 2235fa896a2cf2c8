#include "agent/io/exports.h"
#include "common/base/cleanup.h"
#include "common/base/memory.h"
#include "tests/unit/made_tree.h"
#include "tests/unit/message_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define HEADER                                                                                               \
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
#define NFS_LISTENS                                                                                          \
    HEADER                                                                                                   \
    "   0: 00000000:0801 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0\n"
#define NOBODY_LISTENS HEADER

/* One line for each export: "KIND NAME -> PATH active=... [WHO rw|ro]...", then errors. */
static char *brief(const struct exports *e)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    for (size_t i = 0; i < e->n; i++) {
        const Drover__V1__Export *x = e->list[i];
        fprintf(f, "%s %s -> %s active=%d", x->server, x->name, x->path, (int)x->active);
        for (size_t k = 0; k < x->n_clients; k++)
            fprintf(f, " [%s %s]", x->clients[k]->who, x->clients[k]->write ? "rw" : "ro");
        fputc('\n', f);
    }
    for (size_t i = 0; i < e->n_errors; i++)
        fprintf(f, "error: %s\n", e->errors[i]);
    fclose(f);
    return text;
}

static void expect(const struct exports *e, const char *expected)
{
    _cleanup_free_ char *text = brief(e);
    assert_string_equal(text, expected);
}

#define _cleanup_exports_ _cleanup_(exports_deinit)

struct roots {
    struct made_tree t;
    char *etc, *proc, *nfs, *sys, *glusterd;
};

static void roots_init(struct roots *r)
{
    made_tree_init(&r->t);
    r->etc = xasprintf("%s/etc", r->t.root);
    r->proc = xasprintf("%s/proc", r->t.root);
    r->nfs = xasprintf("%s/nfs", r->t.root);
    r->sys = xasprintf("%s/sys", r->t.root);
    r->glusterd = xasprintf("%s/glusterd", r->t.root);
}

static void roots_deinit(struct roots *r)
{
    free(r->etc);
    free(r->proc);
    free(r->nfs);
    free(r->sys);
    free(r->glusterd);
    made_tree_deinit(&r->t);
}

#define _cleanup_roots_ _cleanup_(roots_deinit)

/* ---- NFS of the kernel ---- */

static void exports_of_the_kernel(void **state)
{
    (void)state;
    _cleanup_roots_ struct roots r;
    _cleanup_exports_ struct exports e = {0};
    roots_init(&r);
    made_tree_add(&r.t, "etc/exports",
                  "# comment /not (rw)\n"
                  "/srv/images 10.0.0.0/24(rw,no_root_squash) \\\n"
                  "    kvm9(ro)   # tail\n"
                  "\n"
                  "/srv/iso\n"
                  "\"/srv/with space\" -rw,sync kvm1 kvm2(ro) @group\n"
                  "/srv/oct\\040al *.example.com(rw)\n");
    made_tree_add(&r.t, "etc/exports.d/more.exports", "/srv/more *(rw)\n");
    made_tree_add(&r.t, "etc/exports.d/ignored.txt", "/srv/ignored *(rw)\n");
    exports_read_kernel_nfs(r.etc, r.proc, r.nfs, &e);
    expect(&e, "kernel /srv/images -> /srv/images active=0 [10.0.0.0/24 rw] [kvm9 ro]\n"
               "kernel /srv/iso -> /srv/iso active=0 [* ro]\n"
               "kernel /srv/with space -> /srv/with space active=0 [kvm1 rw] [kvm2 ro] [@group rw]\n"
               "kernel /srv/oct al -> /srv/oct al active=0 [*.example.com rw]\n"
               "kernel /srv/more -> /srv/more active=0 [* rw]\n");
    _cleanup_free_ char *source = xasprintf("%s/exports:2", r.etc);
    assert_string_equal(e.list[0]->source, source);
}

static void what_nfsd_serves_is_active_and_nothing_is_when_nobody_listens(void **state)
{
    (void)state;
    _cleanup_roots_ struct roots r;
    roots_init(&r);
    made_tree_add(&r.t, "etc/exports", "/srv/a *(rw)\n");
    made_tree_add(&r.t, "proc/net/tcp", NFS_LISTENS);
    made_tree_add(
        &r.t, "proc/fs/nfsd/exports",
        "# Version 1.1\n# Path Client(Flags) # IPs\n/srv/a\t*(rw,root_squash)\n/srv/by-hand\t10.0.0.1(ro)\n");
    {
        _cleanup_exports_ struct exports e = {0};
        exports_read_kernel_nfs(r.etc, r.proc, r.nfs, &e);
        expect(&e, "kernel /srv/a -> /srv/a active=1 [* rw]\nkernel /srv/by-hand -> /srv/by-hand active=1 "
                   "[10.0.0.1 ro]\n");
    }
    made_tree_add(&r.t, "proc/net/tcp", NOBODY_LISTENS);
    made_tree_add(&r.t, "proc/fs/nfsd/exports", "");
    _cleanup_exports_ struct exports e = {0};
    exports_read_kernel_nfs(r.etc, r.proc, r.nfs, &e);
    expect(&e, "kernel /srv/a -> /srv/a active=2 [* rw]\n");
}

/* exports(5) allows it; a cluster's exportfs gives each client a line in any case. */
static void several_lines_of_one_directory_are_one_export(void **state)
{
    (void)state;
    _cleanup_roots_ struct roots r;
    roots_init(&r);
    made_tree_add(&r.t, "etc/exports", "/srv/a kvm1(rw)\n/srv/b kvm1(rw)\n/srv/a -ro kvm2(rw) kvm3\n");
    made_tree_add(&r.t, "etc/exports.d/more.exports", "/srv/a kvm4(rw)\n/srv/b\n");
    made_tree_add(&r.t, "proc/net/tcp", NFS_LISTENS);
    made_tree_add(&r.t, "proc/fs/nfsd/exports", "/srv/by-hand\t10.0.0.1(ro)\n/srv/by-hand\t10.0.0.2(rw)\n");
    _cleanup_exports_ struct exports e = {0};
    exports_read_kernel_nfs(r.etc, r.proc, r.nfs, &e);
    expect(&e, "kernel /srv/a -> /srv/a active=1 [kvm1 rw] [kvm2 rw] [kvm3 ro] [kvm4 rw]\n"
               "kernel /srv/b -> /srv/b active=1 [kvm1 rw] [* ro]\n"
               "kernel /srv/by-hand -> /srv/by-hand active=1 [10.0.0.1 ro] [10.0.0.2 rw]\n");
}

static void what_exportfs_has_exported_counts_whatever_the_files_say(void **state)
{
    (void)state;
    _cleanup_roots_ struct roots r;
    roots_init(&r);
    made_tree_add(&r.t, "etc/exports", "/srv/a kvm1(rw)\n/srv/later kvm1(rw)\n");
    made_tree_add(
        &r.t, "nfs/etab",
        "/srv/a\tkvm1(ro,sync,sec=sys,ro,root_squash)\n/srv/a\tkvm2(rw,sync,sec=sys,rw,root_squash)\n"
        "/srv/by\\040hand\t*(rw,sync)\n");
    {
        _cleanup_exports_ struct exports e = {0};
        exports_read_kernel_nfs(r.etc, r.proc, r.nfs, &e); /* without nfsd it is of another time */
        expect(&e, "kernel /srv/a -> /srv/a active=0 [kvm1 rw]\nkernel /srv/later -> /srv/later active=0 "
                   "[kvm1 rw]\n");
    }
    made_tree_add(&r.t, "proc/net/tcp", NFS_LISTENS);
    made_tree_add(&r.t, "proc/fs/nfsd/exports", "/srv/a\tkvm2,*(rw,sync)\n");
    _cleanup_exports_ struct exports e = {0};
    exports_read_kernel_nfs(r.etc, r.proc, r.nfs, &e);
    expect(&e, "kernel /srv/a -> /srv/a active=1 [kvm1 ro] [kvm2 rw]\n"
               "kernel /srv/later -> /srv/later active=1 [kvm1 rw]\n"
               "kernel /srv/by hand -> /srv/by hand active=1 [* rw]\n");
    _cleanup_free_ char *source = xasprintf("%s/exports:1", r.etc);
    assert_string_equal(e.list[0]->source, source);
}

/* The root of NFSv4, read-only to all, and below it what the hosts write to: in whichever order they are told. */
static void of_exports_in_each_other_the_innermost_holds_the_file(void **state)
{
    (void)state;
    _cleanup_roots_ struct roots r;
    roots_init(&r);
    made_tree_add(&r.t, "srv/vms/deep/file", "x");
    made_tree_add(&r.t, "srv/vms2/file", "x");
    made_tree_add(&r.t, "elsewhere/file", "x");
    const char *root = r.t.root;
    for (unsigned i = 0; i < 2; i++) {
        _cleanup_exports_ struct exports e = {0};
        _cleanup_free_ char *lines = i ? xasprintf("%s/srv/vms kvm*(rw)\n%s/srv *(ro,fsid=0)\n", root, root)
                                       : xasprintf("%s/srv *(ro,fsid=0)\n%s/srv/vms kvm*(rw)\n", root, root);
        made_tree_add(&r.t, "etc/exports", lines);
        exports_read_kernel_nfs(r.etc, r.proc, r.nfs, &e);
        assert_int_equal(e.n, 2);
        _cleanup_free_ char *deep = xasprintf("%s/srv/vms/deep/file", root),
                            *beside = xasprintf("%s/srv/vms2/file", root),
                            *outside = xasprintf("%s/elsewhere/file", root);
        assert_ptr_equal(exports_nearest(&e, deep), e.list[1 - i]);
        assert_ptr_equal(exports_nearest(&e, beside), e.list[i]);
        assert_null(exports_nearest(&e, outside));
    }
}

/* ---- ganesha ---- */

static void exports_of_ganesha(void **state)
{
    (void)state;
    _cleanup_roots_ struct roots r;
    _cleanup_exports_ struct exports e = {0};
    roots_init(&r);
    made_tree_add(&r.t, "proc/net/tcp", NFS_LISTENS);
    made_tree_add(&r.t, "etc/ganesha/ganesha.conf",
                  "NFS_CORE_PARAM { Protocols = 3, 4; }  # comment }\n"
                  "EXPORT_DEFAULTS { Access_Type = RO; }\n"
                  "EXPORT\n{\n\tExport_Id = 1;\n\tPath = /srv/nfs;\n\tPseudo = \"/p seudo\";\n\tAccess_Type "
                  "= RW; // comment\n"
                  "\tFSAL { Name = VFS; }\n"
                  "\tCLIENT { Clients = 10.0.0.11, kvm2; Access_Type = None; }\n}\n"
                  "%include more.conf\n"
                  "%url rados://pool/conf\n");
    made_tree_add(&r.t, "etc/ganesha/more.conf", "export { path = /srv/more; }");
    exports_read_ganesha(r.etc, r.proc, &e);
    _cleanup_free_ char *expected =
        xasprintf("ganesha /srv/nfs -> /srv/nfs active=1 [10.0.0.11 ro] [kvm2 ro] [* rw]\n"
                  "ganesha /srv/more -> /srv/more active=1 [* ro]\n"
                  "error: %s/ganesha/ganesha.conf:13: what %%url names is not read\n",
                  r.etc);
    expect(&e, expected);
    assert_string_equal(e.list[0]->pseudo, "/p seudo");
}

static void nonsense_in_ganeshas_file_is_told_and_ends(void **state)
{
    (void)state;
    static const char *const texts[] = {"EXPORT {",
                                        "}}}}",
                                        "EXPORT { Path = ",
                                        "= ; { } EXPORT { Path /x; }",
                                        "%",
                                        "%include",
                                        "a{b{c{d{e{f{g{h{i{j{k{l{m{n{",
                                        "EXPORT { Path = \"unclosed",
                                        "/",
                                        "//",
                                        "#"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        _cleanup_roots_ struct roots r;
        _cleanup_exports_ struct exports e = {0};
        roots_init(&r);
        made_tree_add(&r.t, "etc/ganesha/ganesha.conf", texts[i]);
        exports_read_ganesha(r.etc, r.proc, &e);
        assert_true(e.n <= 1);
    }
}

static void a_file_that_includes_itself_ends(void **state)
{
    (void)state;
    _cleanup_roots_ struct roots r;
    _cleanup_exports_ struct exports e = {0};
    roots_init(&r);
    made_tree_add(&r.t, "etc/ganesha/ganesha.conf", "%include ganesha.conf\nEXPORT { Path = /x; }");
    exports_read_ganesha(r.etc, r.proc, &e);
    assert_true(e.n >= 1 && e.n <= 17);
}

/* ---- iSCSI ---- */

#define TPG "sys/kernel/config/target/iscsi/iqn.2026-01.lab:disk1/tpgt_1"

static void targets_of_lio_with_acls(void **state)
{
    (void)state;
    _cleanup_roots_ struct roots r;
    _cleanup_exports_ struct exports e = {0};
    roots_init(&r);
    made_tree_add(&r.t, TPG "/enable", "1\n");
    made_tree_add(&r.t, TPG "/np/10.0.0.20:3260/iser", "0\n");
    made_tree_add(&r.t, TPG "/attrib/generate_node_acls", "0\n");
    made_tree_add(&r.t, TPG "/lun/lun_3/alua_tg_pt_gp", "x\n");
    made_tree_link(&r.t, TPG "/lun/lun_3/5a3c", "../../../../../../target/core/iblock_0/vol1");
    made_tree_add(&r.t, "sys/kernel/config/target/core/iblock_0/vol1/udev_path", "/dev/vg0/vol1\n");
    made_tree_add(&r.t, "sys/kernel/config/target/core/iblock_0/vol1/wwn/vpd_unit_serial",
                  "T10 VPD Unit Serial Number: 8f1e2d3c-1111\n");
    made_tree_add(&r.t, TPG "/acls/iqn.1994-05.com.redhat:kvm1/lun_3/write_protect", "0\n");
    made_tree_add(&r.t, TPG "/acls/iqn.1994-05.com.redhat:kvm2/lun_3/write_protect", "1\n");
    made_tree_add(&r.t, TPG "/acls/iqn.1994-05.com.redhat:kvm3/lun_7/write_protect", "0\n");
    made_tree_add(&r.t, "sys/kernel/config/target/iscsi/discovery_auth/userid", "\n");
    exports_read_lio(r.sys, &e);
    expect(&e, "lio iqn.2026-01.lab:disk1 -> /dev/vg0/vol1 active=1 [iqn.1994-05.com.redhat:kvm1 rw] "
               "[iqn.1994-05.com.redhat:kvm2 ro]\n");
    assert_int_equal(e.list[0]->lun, 3);
    assert_string_equal(e.list[0]->wwid, "8f1e2d3c-1111");
    assert_string_equal(e.list[0]->portals[0], "10.0.0.20:3260");
}

static void targets_of_lio_for_anybody(void **state)
{
    (void)state;
    _cleanup_roots_ struct roots r;
    _cleanup_exports_ struct exports e = {0};
    roots_init(&r);
    made_tree_add(&r.t, TPG "/enable", "0\n");
    made_tree_add(&r.t, TPG "/attrib/generate_node_acls", "1\n");
    made_tree_add(&r.t, TPG "/attrib/demo_mode_write_protect", "1\n");
    made_tree_link(&r.t, TPG "/lun/lun_0/aa", "../../../../../../target/core/fileio_1/img");
    made_tree_add(&r.t, "sys/kernel/config/target/core/fileio_1/img/udev_path", "/srv/img.raw\n");
    made_tree_add(
        &r.t, "sys/kernel/config/target/core/fileio_1/img/info",
        "Status: ACTIVATED\n  TCM FILEIO ID: 0        File: /srv/img.raw  Size: 1048576  Mode: O_DSYNC\n");
    exports_read_lio(r.sys, &e);
    expect(&e, "lio iqn.2026-01.lab:disk1 -> /srv/img.raw active=2 [ALL ro]\n");
    assert_int_equal(e.list[0]->size, 1048576);
}

static const char tgt_shows[] =
    "Target 1: iqn.2026-01.lab.drover:vm1\n"
    "    System information:\n        Driver: iscsi\n        State: ready\n"
    "    I_T nexus information:\n        I_T nexus: 3\n            Initiator: iqn.x:y alias: none\n"
    "    LUN information:\n"
    "        LUN: 0\n            Type: controller\n            SCSI SN: beaf10\n"
    "            Size: 0 MB, Block size: 1\n            Online: Yes\n            Readonly: No\n"
    "            Backing store type: null\n            Backing store path: None\n"
    "            Backing store flags: \n"
    "        LUN: 1\n            Type: disk\n            SCSI SN: beaf11\n"
    "            Size: 64 MB, Block size: 512\n            Online: Yes\n            Readonly: Yes\n"
    "            Backing store type: rdwr\n            Backing store path: /srv/iscsi/vm1.img\n"
    "            Backing store flags: \n"
    "    Account information:\n    ACL information:\n        10.0.0.11\n        iqn.1994-05.com.redhat:kvm2\n"
    "Target 2: iqn.2026-01.lab.drover:vm2\n    System information:\n        State: offline\n"
    "    LUN information:\n        LUN: 1\n            Online: Yes\n"
    "            Backing store path: /srv/iscsi/vm2.img\n    ACL information:\n";

static void targets_of_tgt(void **state)
{
    (void)state;
    _cleanup_exports_ struct exports e = {0};
    exports_parse_tgt(tgt_shows, "Portal: 10.0.0.20:3260,1\nPortal: [fd00::1]:3260,1\n", &e);
    expect(&e, "tgt iqn.2026-01.lab.drover:vm1 -> /srv/iscsi/vm1.img active=1 [10.0.0.11 rw] "
               "[iqn.1994-05.com.redhat:kvm2 rw]\n"
               "tgt iqn.2026-01.lab.drover:vm2 -> /srv/iscsi/vm2.img active=2\n");
    assert_int_equal(e.list[0]->lun, 1);
    assert_true(e.list[0]->read_only);
    assert_string_equal(e.list[0]->wwid, "beaf11");
    assert_int_equal(e.list[0]->size, 64 << 20);
    assert_int_equal(e.list[0]->n_portals, 2);
    assert_string_equal(e.list[0]->portals[1], "[fd00::1]:3260");
}

static void nonsense_of_tgt_is_nothing(void **state)
{
    (void)state;
    _cleanup_exports_ struct exports e = {0};
    exports_parse_tgt("", "", &e);
    exports_parse_tgt("LUN: 1\nTarget\nTarget x: y\nACL information:\nzzz", "Portal\nPortal:", &e);
    exports_parse_tgt("\n\n\n\xff\n", "\xff", &e);
    expect(&e, "");
}

/* ---- GlusterFS ---- */

static void volumes_of_glusterfs(void **state)
{
    (void)state;
    _cleanup_roots_ struct roots r;
    _cleanup_exports_ struct exports e = {0};
    roots_init(&r);
    made_tree_add(&r.t, "glusterd/glusterd.info", "UUID=aaaa\noperating-version=100000\n");
    made_tree_add(
        &r.t, "glusterd/vols/gv0/info",
        "type=2\ncount=2\nstatus=1\nvolume-id=1234\nauth.allow=10.0.0.11,10.0.1.*\nauth.reject=10.0.1.9\n");
    made_tree_add(&r.t, "glusterd/vols/gv0/bricks/other:-srv-b0",
                  "uuid=bbbb\nhostname=other\npath=/srv/b0\n");
    made_tree_add(&r.t, "glusterd/vols/gv0/bricks/this:-srv-b1", "uuid=aaaa\nhostname=this\npath=/srv/b1\n");
    made_tree_add(&r.t, "glusterd/vols/stopped/info", "status=2\nfeatures.read-only=on\n");
    made_tree_add(&r.t, "glusterd/vols/torn", NULL);
    exports_read_gluster(r.glusterd, &e);
    _cleanup_free_ char *expected =
        xasprintf("glusterd gv0 -> /srv/b1 active=1 [10.0.0.11 rw] [10.0.1.* rw] [10.0.1.9 ro]\n"
                  "glusterd stopped ->  active=2 [* rw]\n"
                  "error: cannot read %s/vols/torn/info: No such file or directory\n",
                  r.glusterd);
    expect(&e, expected);
    assert_int_equal(e.list[0]->n_bricks, 2);
    assert_string_equal(e.list[0]->bricks[0], "other:/srv/b0");
    assert_true(e.list[1]->read_only);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exports_of_the_kernel),
        cmocka_unit_test(what_nfsd_serves_is_active_and_nothing_is_when_nobody_listens),
        cmocka_unit_test(several_lines_of_one_directory_are_one_export),
        cmocka_unit_test(what_exportfs_has_exported_counts_whatever_the_files_say),
        cmocka_unit_test(of_exports_in_each_other_the_innermost_holds_the_file),
        cmocka_unit_test(exports_of_ganesha),
        cmocka_unit_test(nonsense_in_ganeshas_file_is_told_and_ends),
        cmocka_unit_test(a_file_that_includes_itself_ends),
        cmocka_unit_test(targets_of_lio_with_acls),
        cmocka_unit_test(targets_of_lio_for_anybody),
        cmocka_unit_test(targets_of_tgt),
        cmocka_unit_test(nonsense_of_tgt_is_nothing),
        cmocka_unit_test(volumes_of_glusterfs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
