/* Cases of the rules about block devices, where they come from, and backing files. */
#include "preflight_cases.h"

#include "common/base/memory.h"
#include "made_proof.h"

#include <string.h>

#define SPOIL(name) static void name(struct move *m)
#define REFUTED DROVER__V1__PROBE_OUTCOME__PROBE_REFUTED
#define UNDECIDED DROVER__V1__PROBE_OUTCOME__PROBE_UNDECIDED
#define KIND(k) DROVER__V1__PROBE_KIND__PROBE_##k
#define IMAGE "/srv/nfs/web1.raw"

/* ---- block devices ---- */

static Drover__V1__Lun *lun(const char *wwid)
{
    Drover__V1__Lun *l = new0(Drover__V1__Lun);
    drover__v1__lun__init(l);
    made_string(&l->wwid, wwid);
    return l;
}

static void with_block(struct move *m, const char *here, const char *there)
{
    Drover__V1__Disk *d = made_disk(m->guest, "block", "/dev/mapper/mpatha");
    made_string(&d->target, "vdb");
    const struct fleet_host *hosts[2] = {m->source, m->destination};
    const char *wwids[2] = {here, there};
    for (int i = 0; i < 2; i++) {
        Drover__V1__PathFacts *p = move_seen(m, hosts[i])->paths[1];
        made_string(&p->kind, wwids[i] ? "block" : "absent");
        if (wwids[i])
            p->lun = lun(wwids[i]);
    }
}
SPOIL(no_device)
{
    with_block(m, "naa.1", NULL);
}
SPOIL(other_device)
{
    with_block(m, "naa.1", "naa.2");
}
static Drover__V1__Lun *lun_at(struct move *m, const struct fleet_host *host)
{
    return move_seen(m, host)->paths[1]->lun;
}
SPOIL(resized_device)
{
    with_block(m, "naa.1", "naa.1");
    lun_at(m, m->source)->size = 1 << 30;
    lun_at(m, m->destination)->size = 1 << 29;
}
SPOIL(another_partition)
{
    with_block(m, "naa.1", "naa.1");
    lun_at(m, m->source)->partition = 1;
    lun_at(m, m->destination)->partition = 2;
}
SPOIL(protected_device)
{
    with_block(m, "naa.1", "naa.1");
    lun_at(m, m->destination)->read_only = true;
}
SPOIL(offline_device)
{
    with_block(m, "naa.1", "naa.1");
    made_string(&lun_at(m, m->destination)->state, "transport-offline");
}
SPOIL(disk_of_every_virtual_machine)
{
    with_block(m, "t10.ATA     QEMU HARDDISK   QM00001", "t10.ATA     QEMU HARDDISK   QM00001");
    made_string(&lun_at(m, m->source)->transport, "other");
    made_string(&lun_at(m, m->destination)->transport, "other");
}
SPOIL(nameless_device)
{
    with_block(m, "", "");
}
SPOIL(drive_of_the_host)
{
    with_block(m, "", "");
    made_string(&m->guest->disks[1]->device, "cdrom");
}

static void add_unit(struct move *m, const struct fleet_host *host, const char *unit)
{
    Drover__V1__Lun *l = lun_at(m, host);
    l->units = xrealloc(l->units, l->n_units + 1, sizeof(l->units[0]));
    l->units[l->n_units++] = xstrdup(unit);
}
void move_with_volume(struct move *m, const char *here, const char *there)
{
    with_block(m, "LVM-vg0-web1", "LVM-vg0-web1");
    lun_at(m, m->source)->size = lun_at(m, m->destination)->size = 1 << 30;
    if (here)
        add_unit(m, m->source, here);
    if (there)
        add_unit(m, m->destination, there);
}
SPOIL(volume_on_a_replica)
{
    move_with_volume(m, "naa.1", "naa.2");
}
SPOIL(volume_on_one_more_unit)
{
    move_with_volume(m, "naa.1", "naa.1");
    add_unit(m, m->destination, "naa.2");
}
SPOIL(volume_of_cloned_hosts)
{
    move_with_volume(m, NULL, NULL);
}
SPOIL(volume_that_one_host_knows_less_of)
{
    move_with_volume(m, "naa.1", NULL);
}

SPOIL(volume_of_another_size)
{
    move_with_volume(m, NULL, NULL);
    lun_at(m, m->destination)->size = 1 << 29;
}

/* A unit that both hosts log in to by open-iscsi, which `exporter` exports; `paths`: through a multipath map. */
static Drover__V1__Export *with_session(struct move *m, const struct fleet_host *exporter, const char *portal,
                                        bool paths)
{
    const struct fleet_host *hosts[2] = {m->source, m->destination};
    with_block(m, "naa.1", "naa.1");
    for (unsigned i = 0; i < 2; i++) {
        Drover__V1__Inspection *at = move_seen(m, hosts[i]);
        Drover__V1__Lun *l = at->paths[1]->lun;
        if (paths) {
            l->paths = xcalloc(1, sizeof(l->paths[0]));
            l->paths[l->n_paths++] = xstrdup("sda");
            l = lun("naa.1");
            made_string(&l->name, "sda");
            at->luns = xcalloc(1, sizeof(at->luns[0]));
            at->luns[at->n_luns++] = l;
        }
        made_string(&l->transport, "iscsi");
        made_string(&l->target, "iqn.2026-01.lab:one");
        made_string(&l->portal, portal);
        l->lun = 1;
        l->has_lun = true;
    }
    Drover__V1__Inspection *at = move_seen(m, exporter);
    Drover__V1__Export *e = new0(Drover__V1__Export);
    drover__v1__export__init(e);
    made_string(&e->kind, "iscsi");
    made_string(&e->name, "iqn.2026-01.lab:one");
    e->lun = 1;
    at->exports = xrealloc(at->exports, at->n_exports + 1, sizeof(at->exports[0]));
    at->exports[at->n_exports++] = e;
    return e;
}
SPOIL(unit_of_the_destination)
{
    with_session(m, m->destination, "10.0.0.99:3260", false);
}
SPOIL(map_of_the_destinations_unit)
{
    with_session(m, m->destination, "10.0.0.99:3260", true);
}
SPOIL(session_to_the_source)
{
    with_session(m, m->third, "[fd00::11]:3260", true);
    made_string(&m->from->migration_address, "fd00::11");
}
SPOIL(session_to_itself)
{
    with_session(m, m->third, "127.0.0.1:3260", false);
}
SPOIL(session_to_a_stranger)
{
    made_string(&with_session(m, m->third, "10.0.0.98:3260", false)->name, "iqn.2026-01.lab:two");
}
SPOIL(unit_closed_to_the_destination)
{
    Drover__V1__Export *e = with_session(m, m->third, "10.0.0.99:3260", true);
    Drover__V1__ExportAccess *a = new0(Drover__V1__ExportAccess);
    drover__v1__export_access__init(a);
    made_string(&a->host, "kvm2");
    made_string(&a->why, "no initiator of it is listed");
    a->allowed = DROVER__V1__ANSWER__NO;
    e->access = xcalloc(1, sizeof(e->access[0]));
    e->access[e->n_access++] = a;
}

/* tgt names its units alike at every server. */
#define OF_EVERY_TGT "naa.60000000000000000e00000000010001"

void move_with_unnamed_unit(struct move *m, const char *wwid, const char *portal_here,
                            const char *portal_there)
{
    with_session(m, m->third, portal_here, false);
    made_string(&lun_at(m, m->source)->wwid, wwid);
    made_string(&lun_at(m, m->destination)->wwid, wwid);
    made_string(&lun_at(m, m->destination)->portal, portal_there);
}
SPOIL(target_at_two_portals)
{
    move_with_unnamed_unit(m, OF_EVERY_TGT, "10.0.0.99:3260", "10.0.0.98:3260");
}
SPOIL(target_at_each_hosts_own_portal)
{
    move_with_unnamed_unit(m, "t10.IET     00010001", "127.0.0.1:3260", "127.0.0.1:3260");
}
SPOIL(unit_of_another_target)
{
    move_with_unnamed_unit(m, OF_EVERY_TGT, "10.0.0.99:3260", "10.0.0.99:3260");
    made_string(&lun_at(m, m->destination)->target, "iqn.2026-01.lab:two");
}
static void map_of(struct move *m, const char *here, const char *there)
{
    with_block(m, "1IET_00010001", "1IET_00010001");
    if (here)
        add_unit(m, m->source, here);
    if (there)
        add_unit(m, m->destination, there);
}
SPOIL(map_of_a_unit_elsewhere)
{
    map_of(m, "iqn.2026-01.lab:one 1 at 10.0.0.99:3260", "iqn.2026-01.lab:one 1 at 10.0.0.98:3260");
}
SPOIL(map_that_does_not_tell_its_units)
{
    map_of(m, "iqn.2026-01.lab:one 1 at 10.0.0.99:3260", NULL);
}

/* ---- backing files ---- */

static void add_link(struct ask *a, const char *name, uint64_t size)
{
    Drover__V1__ImageFacts *f = new0(Drover__V1__ImageFacts);
    drover__v1__image_facts__init(f);
    made_string(&f->format, "qcow2");
    made_string(&f->name, name);
    f->virtual_size = size;
    a->result->images = xrealloc(a->result->images, a->result->n_images + 1, sizeof(a->result->images[0]));
    a->result->images[a->result->n_images++] = f;
}

void move_backed_by(struct move *m, const char *here, const char *there)
{
    const struct fleet_host *hosts[2] = {m->source, m->destination};
    const char *names[2] = {here, there};
    for (unsigned i = 0; i < 2; i++) {
        struct ask *a = move_asked(m, hosts[i], KIND(IMAGE));
        made_string(&a->result->images[0]->name, IMAGE);
        add_link(a, names[i], 1 << 20);
    }
    made_answers(&m->evidence);
}
#define BASE "/var/lib/libvirt/images/base.qcow2"
static struct ask *about_base(struct move *m, const struct fleet_host *host, Drover__V1__ProbeKind kind)
{
    return made_ask(&m->evidence, host, kind, "vda: " BASE ", " BASE);
}
SPOIL(base_of_each_host)
{
    move_backed_by(m, BASE, BASE);
    made_answer(about_base(m, m->destination, KIND(NONCE_READ)), REFUTED, "absent", "no nonce there");
}
SPOIL(base_where_none_may_write)
{
    move_backed_by(m, BASE, BASE);
    made_answer(about_base(m, m->source, KIND(NONCE_WRITE)), UNDECIDED, "read-only", "read-only file system");
    struct ask *a = &m->evidence.asks[m->evidence.n - 1];
    a->inspection->paths[0]->inode = 7; /* another file of the same name and size */
}
SPOIL(base_behind_a_link)
{
    move_backed_by(m, "/srv/nfs/base.qcow2", "/srv/nfs/base.qcow2");
    const struct fleet_host *hosts[2] = {m->source, m->destination};
    for (unsigned i = 0; i < 2; i++)
        made_string(&move_asked(m, hosts[i], KIND(IMAGE))->result->images[1]->resolved, BASE);
    made_answers(&m->evidence);
    made_answer(about_base(m, m->destination, KIND(NONCE_READ)), REFUTED, "absent", "no nonce there");
}
SPOIL(base_not_asked_about)
{
    m->evidence.closed = true;
    move_backed_by(m, BASE, BASE);
}
SPOIL(base_of_another_size)
{
    move_backed_by(m, "/srv/nfs/base.qcow2", "/srv/nfs/base.qcow2");
    move_asked(m, m->destination, KIND(IMAGE))->result->images[1]->virtual_size = 5;
}
SPOIL(longer_chain_there)
{
    move_backed_by(m, "/srv/nfs/base.qcow2", "/srv/nfs/base.qcow2");
    add_link(move_asked(m, m->destination, KIND(IMAGE)), "/srv/nfs/older.qcow2", 1 << 20);
}

/* ---- disks that are only read, and media ---- */

/* Each host has a file of that name; `same`: with the same content. */
static void only_read(struct move *m, bool same)
{
    m->guest->disks[0]->readonly = true;
    made_answer(move_asked(m, m->destination, KIND(NONCE_READ)), REFUTED, "absent", "nothing there");
    if (!same)
        made_string(&move_asked(m, m->destination, KIND(IMAGE_HASH))->result->identity, "sha256 ffff");
}
SPOIL(another_read_only_disk)
{
    only_read(m, false);
}
SPOIL(another_read_only_disk_is_not_copied)
{
    only_read(m, false);
    m->in.copy_storage = true;
}
SPOIL(read_only_disk_of_another_size)
{
    only_read(m, true);
    move_asked(m, m->destination, KIND(IMAGE))->result->images[0]->virtual_size = 5;
}
SPOIL(base_beside_a_read_only_disk)
{
    only_read(m, true);
    move_backed_by(m, "/srv/nfs/base.qcow2", "/srv/nfs/base.qcow2");
}
SPOIL(read_only_disk_where_none_may_write)
{
    m->guest->disks[0]->readonly = true;
    made_answer(move_asked(m, m->source, KIND(NONCE_WRITE)), UNDECIDED, "read-only", "read-only file system");
    made_answer(move_asked(m, m->destination, KIND(NONCE_READ)), UNDECIDED, "", "");
    made_answer(move_asked(m, m->source, KIND(IMAGE_HASH)), UNDECIDED, "timeout", "not in time");
    move_seen(m, m->source)->paths[0]->inode = 7;
}
static void with_media(struct move *m, const char *type, const char *source)
{
    Drover__V1__Disk *d = made_disk(m->guest, type, source);
    made_string(&d->target, "hdc");
    made_string(&d->device, "cdrom");
    d->readonly = true;
    made_pool(m->from, "isos", "dir", "/srv/isos");
    made_pool(m->to, "isos", "dir", "/srv/isos");
}
SPOIL(media_of_a_pool_not_there)
{
    with_media(m, "volume", "isos/install.iso");
    made_string(&move_seen(m, m->destination)->paths[1]->kind, "absent");
}
SPOIL(other_media_of_a_pool)
{
    with_media(m, "volume", "isos/install.iso");
    move_seen(m, m->destination)->paths[1]->size = 3;
}
SPOIL(network_media_not_there)
{
    with_media(m, "network", "isos/install.iso");
    Drover__V1__Disk *d = m->guest->disks[1];
    made_string(&d->protocol, "http");
    made_string(&d->source_host, "10.0.0.20");
    move_with_proof(m);
    made_answer(made_ask(&m->evidence, m->destination, KIND(IMAGE), "hdc"), REFUTED, "failed", "404");
}

#define W DROVER__V1__SEVERITY__WARN
#define B DROVER__V1__SEVERITY__BLOCK

const struct spoiled preflight_storage[] = {
    {another_read_only_disk, "storage-not-shared", "nothing there", ONLY, B},
    {another_read_only_disk_is_not_copied, "storage-not-shared", "nothing there", ONLY, B},
    {read_only_disk_of_another_size, "image-differs", "5 bytes", ONLY, B},
    {base_beside_a_read_only_disk, "storage-unproven", "nobody was asked", ONLY, B},
    {read_only_disk_where_none_may_write, "storage-unproven", "read-only", ONLY, B},
    {media_of_a_pool_not_there, "cdrom-local", "/srv/isos/install.iso", ONLY, B},
    {other_media_of_a_pool, "cdrom-differs", "3 on kvm2", ONLY, W},
    {network_media_not_there, "image-unreachable", "404", MORE, B},
    {resized_device, "block-device-differs", "536870912 on kvm2", ONLY, B},
    {another_partition, "block-device-differs", "naa.1-part2 on kvm2", ONLY, B},
    {protected_device, "block-device-read-only", "write-protected on kvm2", ONLY, B},
    {offline_device, "block-device-offline", "transport-offline", ONLY, B},
    {disk_of_every_virtual_machine, "block-device-unproven", "mpatha", ONLY, B},
    {nameless_device, "block-device-unproven", "mpatha", ONLY, B},
    {drive_of_the_host, "block-device-unproven", "a drive of the host itself", ONLY, B},
    {volume_on_a_replica, "block-device-differs", "LVM-vg0-web1 (naa.2) on kvm2", ONLY, B},
    {volume_on_one_more_unit, "block-device-differs", "(naa.1, naa.2) on kvm2", ONLY, B},
    {volume_of_cloned_hosts, "volume-units-untold", "don't tell kvm1 who they are", ONLY, B},
    {volume_that_one_host_knows_less_of, "volume-units-untold", "don't tell kvm2 who they are", ONLY, B},
    {volume_of_another_size, "block-device-unproven", "a logical volume on disks", ONLY, B},
    {no_device, "block-device-missing", "mpatha", ONLY, B},
    {other_device, "block-device-differs", "naa.2", ONLY, B},
    {base_of_each_host, "storage-not-shared", "no nonce there", ONLY, B},
    {base_where_none_may_write, "storage-unproven", "read-only", ONLY, B},
    {base_behind_a_link, "storage-not-shared", "no nonce there", ONLY, B},
    {base_not_asked_about, "storage-unproven", "nobody was asked", ONLY, B},
    {base_of_another_size, "image-differs", "qcow2 of 5 bytes on kvm2", ONLY, B},
    {longer_chain_there, "image-differs", "the end of its chain, after 2 on kvm1", ONLY, B},
    {unit_of_the_destination, "export-is-host", "kvm2 itself serves /dev/mapper/mpatha", ONLY, B},
    {map_of_the_destinations_unit, "export-is-host", "from its export iqn.2026-01.lab:one", ONLY, B},
    {session_to_the_source, "export-is-host", "kvm1 itself serves /dev/mapper/mpatha", ONLY, B},
    {session_to_itself, "export-is-host", "itself serves /dev/mapper/mpatha", MORE, B},
    {session_to_a_stranger, "export-untraced", "no agent of the fleet runs there", ONLY, W},
    {target_at_two_portals, "block-device-unproven", "mpatha", MORE, B},
    {target_at_each_hosts_own_portal, "block-device-unproven", "mpatha", MORE, B},
    {unit_of_another_target, "block-device-differs", "iqn.2026-01.lab:two, unit 1 on kvm2", MORE, B},
    {map_of_a_unit_elsewhere, "block-device-unproven", "mpatha", ONLY, B},
    {map_that_does_not_tell_its_units, "block-device-unproven", "mpatha", ONLY, B},
    {unit_closed_to_the_destination, "export-closed", "no initiator of it", ONLY, B},
};
const size_t n_preflight_storage = sizeof(preflight_storage) / sizeof(preflight_storage[0]);
