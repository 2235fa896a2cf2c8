#include "agent/io/host_pools.h"

#include "agent/io/xml.h"
#include "common/base/memory.h"
#include "common/message/message.h"

#include <libvirt/virterror.h>
#include <string.h>

static void add_vlan(Drover__V1__Network *n, const char *group, const xmlNode *node)
{
    _cleanup_free_ char *tags = xml_vlan(node);
    if (!tags)
        return;
    _cleanup_free_ char *vlan = group ? xasprintf("%s:%s", group, tags) : xstrdup(tags);
    message_append_text(&n->vlans, &n->n_vlans, vlan);
}

/* An interface that names no port group is in the default one; what a group does not say the network does. */
void host_network_parse(const char *xml, Drover__V1__Network *n)
{
    _cleanup_(xml_freep) xmlDocPtr doc = NULL;
    if (xml_parse("a network's XML", xml, strlen(xml), "network", &doc, NULL) < 0)
        return;
    const xmlNode *top = xmlDocGetRootElement(doc);
    for (const xmlNode *g = xml_child(top, "portgroup"); g; g = xml_next(g, "portgroup")) {
        _cleanup_free_ char *name = xml_attr(g, "name"), *is_default = xml_attr(g, "default");
        if (name)
            add_vlan(n, name, g);
        if (streq(is_default, "yes"))
            add_vlan(n, NULL, g);
    }
    add_vlan(n, NULL, top);
}

void host_networks_read(virConnectPtr conn, Drover__V1__HostReport *r)
{
    virNetworkPtr *networks = NULL;
    int n = virConnectListAllNetworks(conn, &networks, 0);
    r->networks = xcalloc(n > 0 ? (size_t)n : 0, sizeof(*r->networks));
    for (int i = 0; i < n; i++) {
        Drover__V1__Network *to = new0(Drover__V1__Network);
        drover__v1__network__init(to);
        to->name = xstrdup(virNetworkGetName(networks[i]));
        to->active = virNetworkIsActive(networks[i]) == 1;
        xml_set(&to->bridge, virNetworkGetBridgeName(networks[i])); /* NULL for one without a bridge */
        _cleanup_free_ char *xml = virNetworkGetXMLDesc(networks[i], 0);
        if (xml)
            host_network_parse(xml, to);
        r->networks[r->n_networks++] = to;
        virNetworkFree(networks[i]);
    }
    free(networks);
}

static void parse_pool(const char *xml, Drover__V1__StoragePool *pool)
{
    _cleanup_(xml_freep) xmlDocPtr doc = NULL;
    if (xml_parse("a pool's XML", xml, strlen(xml), "pool", &doc, NULL) < 0)
        return;
    const xmlNode *top = xmlDocGetRootElement(doc);
    xml_set(&pool->type, xml_attr(top, "type"));
    xml_set(&pool->target_path, xml_text(xml_child(xml_child(top, "target"), "path")));
}

void host_pools_read(virConnectPtr conn, Drover__V1__HostReport *r)
{
    virStoragePoolPtr *pools = NULL;
    int n = virConnectListAllStoragePools(conn, &pools, 0);
    r->pools = xcalloc(n > 0 ? (size_t)n : 0, sizeof(*r->pools));
    for (int i = 0; i < n; i++) {
        Drover__V1__StoragePool *to = new0(Drover__V1__StoragePool);
        drover__v1__storage_pool__init(to);
        to->name = xstrdup(virStoragePoolGetName(pools[i]));
        _cleanup_free_ char *xml = virStoragePoolGetXMLDesc(pools[i], 0);
        virStoragePoolInfo info;
        if (xml)
            parse_pool(xml, to);
        if (virStoragePoolGetInfo(pools[i], &info) == 0) {
            to->active = info.state == VIR_STORAGE_POOL_RUNNING || info.state == VIR_STORAGE_POOL_DEGRADED;
            to->capacity = info.capacity;
            to->available = info.available;
        }
        r->pools[r->n_pools++] = to;
        virStoragePoolFree(pools[i]);
    }
    free(pools);
}

char *host_volume_path(virConnectPtr conn, const char *volume, struct error *err)
{
    const char *slash = strchr(volume, '/');
    _cleanup_free_ char *name = slash ? strndup(volume, (size_t)(slash - volume)) : NULL;
    virStoragePoolPtr pool = name ? virStoragePoolLookupByName(conn, name) : NULL;
    virStorageVolPtr found = pool ? virStorageVolLookupByName(pool, slash + 1) : NULL;
    char *path = found ? virStorageVolGetPath(found) : NULL;
    if (!path)
        error_set(err, STATUS_NOT_FOUND, "libvirt can't tell where volume %s is: %s", volume,
                  name ? virGetLastErrorMessage() : "expected POOL/VOLUME");
    if (found)
        virStorageVolFree(found);
    if (pool)
        virStoragePoolFree(pool);
    return path;
}

static Drover__V1__Volume *volume_read(virStorageVolPtr from, const char *pool)
{
    static const char *const kinds[] = {"file", "block", "dir", "network", "netdir", "ploop"};
    Drover__V1__Volume *to = new0(Drover__V1__Volume);
    drover__v1__volume__init(to);
    virStorageVolInfo info;
    xml_set(&to->pool, xstrdup(pool));
    xml_set(&to->name, xstrdup(virStorageVolGetName(from)));
    xml_set(&to->path, virStorageVolGetPath(from));
    if (virStorageVolGetInfo(from, &info) == 0) {
        if (info.type >= 0 && (size_t)info.type < sizeof(kinds) / sizeof(kinds[0]))
            xml_set(&to->kind, xstrdup(kinds[info.type]));
        to->capacity = info.capacity;
        to->allocation = info.allocation;
    }
    return to;
}

size_t host_volumes_read(virConnectPtr conn, size_t max, Drover__V1__Volume ***ret)
{
    Drover__V1__Volume **list = NULL;
    virStoragePoolPtr *pools = NULL;
    size_t n_list = 0;
    int n = virConnectListAllStoragePools(conn, &pools, VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE);
    for (int i = 0; i < n; i++) {
        virStorageVolPtr *volumes = NULL;
        int count = virStoragePoolListAllVolumes(pools[i], &volumes, 0);
        for (int v = 0; v < count; v++) {
            if (n_list < max)
                message_append(&list, &n_list, volume_read(volumes[v], virStoragePoolGetName(pools[i])));
            virStorageVolFree(volumes[v]);
        }
        free(volumes);
        virStoragePoolFree(pools[i]);
    }
    free(pools);
    *ret = list;
    return n_list;
}
