#include "common/mapping/unit.h"

#include "common/base/memory.h"

#include <string.h>

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

bool unit_is_unnamed(const char *identity)
{
    static const char serial[] = "serial beaf";
    if (begins(identity, serial)) {
        const char *digits = identity + strlen(serial);
        return digits[strspn(digits, "0123456789")] == 0;
    }
    return begins(identity, "designator IET ");
}

/* The SCSI id "IET     <target><unit>", as the kernel and as scsi_id name it, and tgt's NAA, which it makes of any id's hexadecimal digits,
 * with a company of 0: ids of two servers may give one. */
static bool is_tgts(const char *wwid)
{
    return begins(wwid, "naa.6000000") || begins(wwid, "t10.IET ") || begins(wwid, "1IET");
}

/* What sysfs makes of a disk's model and serial: of disks that are no LUN of a storage network (a virtual machine's ATA disks are all
 * "QEMU HARDDISK QM00001") it says nothing. */
static bool is_local(const Drover__V1__Lun *l)
{
    return streq(l->transport, "other") && begins(l->wwid, "t10.");
}

const char *unit_wwid(const Drover__V1__Lun *l)
{
    return is_tgts(l->wwid) || is_local(l) ? "" : l->wwid;
}

char *unit_place(const Drover__V1__Lun *l)
{
    bool iscsi = streq(l->transport, "iscsi");
    if (!l->target[0] || !l->has_lun)
        return NULL;
    if (iscsi && (!l->portal[0] || begins(l->portal, "127.") || begins(l->portal, "[::1]")))
        return NULL;
    return xasprintf("%s %llu%s%s", l->target, (unsigned long long)l->lun, iscsi ? " at " : "",
                     iscsi ? l->portal : "");
}
