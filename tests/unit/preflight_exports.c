/* Cases of who serves the disks: file systems of other kinds than NFS, several servers, exports in each other. */
#include "preflight_cases.h"

#include "common/base/memory.h"
#include "made_proof.h"

#include <string.h>

#define SPOIL(name) static void name(struct move *m)
#define KIND(k) DROVER__V1__PROBE_KIND__PROBE_##k

/* ---- mounts ---- */

/* The image is on this mount, and no export node found the proof's file. */
static Drover__V1__Mount *mounted(struct move *m, const char *source, const char *fs_type)
{
    Drover__V1__Mount *mount = move_asked(m, m->source, KIND(NONCE_WRITE))->result->path->mount;
    made_string(&mount->source, source);
    made_string(&mount->fs_type, fs_type);
    made_answer(move_asked(m, m->third, KIND(NONCE_FIND)), DROVER__V1__PROBE_OUTCOME__PROBE_REFUTED, "absent",
                "not found");
    return mount;
}
SPOIL(share_of_the_destination)
{
    mounted(m, "//kvm2/share", "cifs");
}
SPOIL(monitor_of_the_destination)
{
    mounted(m, "10.0.0.98:6789,kvm2:6789:/vms", "ceph");
}
SPOIL(monitor_of_the_source_among_the_options)
{
    made_string(&m->from->migration_address, "fd00::11");
    made_string(&mounted(m, "admin@07fe3187.fs=/", "ceph")->options,
                "rw,mon_addr=10.0.0.98:6789/[fd00::11]:6789,x");
}
SPOIL(directory_of_the_destination_by_ssh)
{
    mounted(m, "root@kvm2:/srv", "fuse.sshfs");
}
SPOIL(lustre_of_the_destination)
{
    mounted(m, "kvm2@tcp:/vms", "lustre");
}
SPOIL(monitors_of_strangers)
{
    mounted(m, "10.0.0.97:6789,10.0.0.98:6789:/vms", "ceph");
}
SPOIL(servers_that_are_not_named)
{
    mounted(m, "ceph-fuse", "fuse.ceph-fuse");
}

static void on_device(struct move *m, const char *transport, const char *portal)
{
    mounted(m, "/dev/mapper/cluster", "gfs2");
    Drover__V1__Lun *l = move_seen(m, m->source)->paths[0]->lun = new0(Drover__V1__Lun);
    drover__v1__lun__init(l);
    made_string(&l->transport, transport);
    made_string(&l->target, "iqn.2026-01.lab:one");
    made_string(&l->portal, portal);
    l->has_lun = true;
}
SPOIL(cluster_on_a_unit_of_the_destination)
{
    on_device(m, "iscsi", "kvm2:3260");
}
SPOIL(cluster_on_a_strangers_unit)
{
    on_device(m, "iscsi", "10.0.0.98:3260");
}
SPOIL(cluster_on_what_is_not_told)
{
    mounted(m, "/dev/mapper/cluster", "gfs2");
}
void move_with_cluster_on_fc(struct move *m)
{
    on_device(m, "fc", "");
}

/* ---- network disks ---- */

static Drover__V1__Disk *network_disk(struct move *m, const char *protocol, const char *server)
{
    Drover__V1__Disk *d = made_disk(m->guest, "network", "/srv/nfs/vms/web1.raw");
    made_string(&d->target, "vdb");
    made_string(&d->protocol, protocol);
    made_string(&d->source_host, server);
    return d;
}
SPOIL(second_server_is_the_destination)
{
    Drover__V1__Disk *d = network_disk(m, "gluster", "10.0.0.98");
    d->more_hosts = xcalloc(1, sizeof(d->more_hosts[0]));
    drover__v1__disk_host__init(d->more_hosts[d->n_more_hosts++] = new0(Drover__V1__DiskHost));
    made_string(&d->more_hosts[0]->name, "kvm2");
    move_with_proof(m);
}
SPOIL(server_of_a_kind_that_is_not_read)
{
    network_disk(m, "nbd", "10.0.0.98");
    move_with_proof(m);
}

/* Third exports /srv, and in that /srv/nfs, where the disk is; `closed` of the two lets kvm2 only read. */
static Drover__V1__Export *nested(struct move *m, unsigned closed)
{
    network_disk(m, "nfs", "kvm3");
    move_with_proof(m);
    made_string(&move_asked(m, m->third, KIND(NONCE_FIND))->result->export_name,
                "/other"); /* of the other disk */
    Drover__V1__Inspection *seen = move_seen(m, m->third);
    Drover__V1__Export *outer = new0(Drover__V1__Export);
    drover__v1__export__init(outer);
    made_string(&outer->kind, "nfs");
    made_string(&outer->name, "/srv");
    made_string(&outer->pseudo, "/");
    seen->exports = xrealloc(seen->exports, 2, sizeof(seen->exports[0]));
    seen->exports[1] = seen->exports[0];
    seen->exports[0] = outer;
    seen->n_exports = 2;
    Drover__V1__Export *e = seen->exports[closed];
    Drover__V1__ExportAccess *a = new0(Drover__V1__ExportAccess);
    drover__v1__export_access__init(a);
    made_string(&a->host, "kvm2");
    made_string(&a->why, "10.0.0.12 matches * (read-only)");
    a->allowed = DROVER__V1__ANSWER__YES;
    a->write = DROVER__V1__ANSWER__NO;
    e->access = xcalloc(1, sizeof(e->access[0]));
    e->access[e->n_access++] = a;
    return e;
}
void move_with_outer_export_closed(struct move *m)
{
    nested(m, 0);
}
SPOIL(innermost_export_is_closed)
{
    nested(m, 1);
}
void move_with_export_not_served(struct move *m)
{
    nested(m, 1)->active = DROVER__V1__ANSWER__NO;
}

#define W DROVER__V1__SEVERITY__WARN
#define B DROVER__V1__SEVERITY__BLOCK
#define I DROVER__V1__SEVERITY__INFO

const struct spoiled preflight_exports[] = {
    {share_of_the_destination, "export-is-host", "kvm2 itself serves", ONLY, B},
    {monitor_of_the_destination, "export-is-host", "kvm2 itself serves", ONLY, B},
    {monitor_of_the_source_among_the_options, "export-is-host", "kvm1 itself serves", ONLY, B},
    {directory_of_the_destination_by_ssh, "export-is-host", "kvm2 itself serves", ONLY, B},
    {lustre_of_the_destination, "export-is-host", "kvm2 itself serves", ONLY, B},
    {monitors_of_strangers, "export-untraced", "10.0.0.97 serves /srv/nfs/web1.raw by ceph", ONLY, I},
    {servers_that_are_not_named, "export-untraced", "a server that isn't named", ONLY, I},
    {cluster_on_a_unit_of_the_destination, "export-is-host", "kvm2 itself serves", ONLY, B},
    {cluster_on_a_strangers_unit, "export-untraced", "10.0.0.98 serves", ONLY, W},
    {cluster_on_what_is_not_told, "export-untraced", "by gfs2", ONLY, I},
    {second_server_is_the_destination, "export-is-host", "kvm2 itself serves", MORE, B},
    {server_of_a_kind_that_is_not_read, "export-untraced", "10.0.0.98 serves /srv/nfs/vms/web1.raw by nbd",
     ONLY, I},
    {innermost_export_is_closed, "export-closed", "only read /srv/nfs", ONLY, B},
};
const size_t n_preflight_exports = sizeof(preflight_exports) / sizeof(preflight_exports[0]);
