#include "cli_fake_storage.h"

#include <stdbool.h>

void list_storage(Drover__V1__Coordinator_Service *service, const Drover__V1__ListStorageRequest *request,
                  Drover__V1__ListStorageReply_Closure reply, void *call)
{
    (void)service;
    (void)request;
    Drover__V1__Mount nfs = DROVER__V1__MOUNT__INIT, root = nfs, *mounts[] = {&nfs, &root};
    nfs.source = (char *)"export1:/srv/nfs";
    nfs.target = (char *)"/srv/nfs";
    nfs.fs_type = (char *)"nfs4";
    nfs.network = true;
    root.source = (char *)"/dev/vda1";
    root.target = (char *)"/";
    root.fs_type = (char *)"ext4";
    Drover__V1__Lun lun = DROVER__V1__LUN__INIT, *luns[] = {&lun};
    lun.name = (char *)"dm-0";
    lun.transport = (char *)"multipath";
    lun.wwid = (char *)"naa.6001405aa";
    Drover__V1__Adapter fc = DROVER__V1__ADAPTER__INIT, *adapters[] = {&fc};
    char *targets[] = {(char *)"0x500a", (char *)"0x500b"};
    fc.host = (char *)"host3";
    fc.transport = (char *)"fcoe";
    fc.port_name = (char *)"0x2100";
    fc.interface = (char *)"eno1";
    fc.state = (char *)"Online";
    fc.targets = targets;
    fc.n_targets = 2;
    Drover__V1__Volume one = DROVER__V1__VOLUME__INIT, two = one, *volumes[] = {&one, &two};
    one.pool = two.pool = (char *)"images";
    one.name = (char *)"web1.qcow2";
    two.name = (char *)"web2.qcow2";
    Drover__V1__StoragePool pool = DROVER__V1__STORAGE_POOL__INIT, *pools[] = {&pool};
    pool.name = (char *)"images";
    pool.type = (char *)"dir";
    pool.active = true;
    Drover__V1__Inspection seen = DROVER__V1__INSPECTION__INIT;
    seen.mounts = mounts;
    seen.n_mounts = 2;
    seen.luns = luns;
    seen.n_luns = 1;
    seen.adapters = adapters;
    seen.n_adapters = 1;
    seen.volumes = volumes;
    seen.n_volumes = 2;
    Drover__V1__HostStorage good = DROVER__V1__HOST_STORAGE__INIT, bad = good, *hosts[] = {&good, &bad};
    good.host = (char *)"kvm1";
    good.inspection = &seen;
    good.pools = pools;
    good.n_pools = 1;
    bad.host = (char *)"kvm2";
    bad.why = (char *)"no route to host";
    Drover__V1__ListStorageReply message = DROVER__V1__LIST_STORAGE_REPLY__INIT;
    message.hosts = hosts;
    message.n_hosts = 2;
    reply(&message, call);
}
