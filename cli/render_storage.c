/* Tables of storage and networks. */
#include "cli/render.h"
#include "cli/table.h"
#include "cli/text.h"
#include "common/base/cleanup.h"
#include "common/base/memory.h"

#include <string.h>

static void size_cell(struct table *table, uint64_t bytes)
{
    char size[TEXT_MAX];
    table_cell(table, bytes ? text_size(bytes, size) : NULL);
}

static void mount_row(struct table *t, const char *host, const Drover__V1__Mount *m)
{
    table_cell(t, host);
    table_cell(t, m->fs_type);
    table_cell(t, m->source);
    table_cell(t, m->target);
    size_cell(t, m->size);
    size_cell(t, m->available);
    table_cell(t, *m->error ? m->error : m->read_only ? "read-only" : "");
}

static void lun_row(struct table *t, const char *host, const Drover__V1__Lun *l)
{
    table_cell(t, host);
    table_cell(t, l->transport);
    table_cell(t, *l->wwid ? l->wwid : l->target);
    table_cellf(t, "%s%s", l->n_links ? "" : "/dev/", l->n_links ? l->links[0] : l->name);
    size_cell(t, l->size);
    table_cell(t, NULL);
    table_cellf(t, "%s%s%s%s%s", l->state, *l->state && *l->target ? ", " : "", l->target,
                *l->portal ? " at " : "", l->portal);
}

/* "fc adapter", its port, and which targets it has logged in to. */
static void adapter_row(struct table *t, const char *host, const Drover__V1__Adapter *a)
{
    table_cell(t, host);
    table_cellf(t, "%s adapter", a->transport);
    table_cell(t, a->port_name);
    table_cellf(t, "%s%s%s", a->host, *a->interface ? " on " : "", a->interface);
    table_cell(t, NULL);
    table_cell(t, NULL);
    _cleanup_free_ char *state = xstrdup(a->state);
    for (size_t i = 0; i < a->n_targets; i++) {
        char *more = xasprintf("%s%s%s", state, i ? " " : *state ? ", to " : "to ", a->targets[i]);
        free(state);
        state = more;
    }
    table_cell(t, state);
}

static void export_row(struct table *t, const char *host, const Drover__V1__Export *e)
{
    table_cell(t, host);
    table_cellf(t, "%s export", e->kind);
    if (strcmp(e->kind, "iscsi") == 0)
        table_cellf(t, "%s/%llu", e->name, (unsigned long long)e->lun);
    else
        table_cell(t, e->name);
    table_cell(t, e->path);
    size_cell(t, e->size);
    table_cell(t, NULL);
    _cleanup_free_ char *clients = xstrdup(e->active == DROVER__V1__ANSWER__NO ? "not served" : "");
    for (size_t i = 0; i < e->n_clients; i++) {
        char *more = xasprintf("%s%s%s%s", clients, *clients ? " " : "to ", e->clients[i]->who,
                               e->clients[i]->write ? "" : " (read-only)");
        free(clients);
        clients = more;
    }
    table_cell(t, clients);
}

static void pool_row(struct table *t, const char *host, const Drover__V1__StoragePool *p,
                     const Drover__V1__Inspection *seen)
{
    unsigned volumes = 0;
    for (size_t i = 0; seen && i < seen->n_volumes; i++)
        volumes += strcmp(seen->volumes[i]->pool, p->name) == 0;
    table_cell(t, host);
    table_cellf(t, "%s pool", p->type);
    table_cell(t, p->name);
    table_cell(t, p->target_path);
    size_cell(t, p->capacity);
    size_cell(t, p->available);
    if (p->active)
        table_cellf(t, "%u volume%s", volumes, volumes == 1 ? "" : "s");
    else
        table_cell(t, "inactive");
}

static void volume_row(struct table *t, const char *host, const Drover__V1__Volume *v)
{
    table_cell(t, host);
    table_cell(t, "volume");
    table_cellf(t, "%s/%s", v->pool, v->name);
    table_cell(t, v->path);
    size_cell(t, v->capacity);
    table_cell(t, NULL);
    table_cell(t, v->kind);
}

static size_t host_rows(struct table *t, const Drover__V1__HostStorage *h, bool all)
{
    const Drover__V1__Inspection *seen = h->inspection;
    size_t n = 0;
    for (size_t i = 0; seen && i < seen->n_mounts; i++)
        if (all || seen->mounts[i]->network)
            mount_row(t, h->host, seen->mounts[i]), n++;
    for (size_t i = 0; seen && i < seen->n_adapters; i++)
        adapter_row(t, h->host, seen->adapters[i]), n++;
    for (size_t i = 0; seen && i < seen->n_luns; i++)
        if (all || strcmp(seen->luns[i]->transport, "other") != 0)
            lun_row(t, h->host, seen->luns[i]), n++;
    for (size_t i = 0; seen && i < seen->n_exports; i++)
        export_row(t, h->host, seen->exports[i]), n++;
    for (size_t i = 0; i < h->n_pools; i++)
        pool_row(t, h->host, h->pools[i], seen), n++;
    for (size_t i = 0; all && seen && i < seen->n_volumes; i++)
        volume_row(t, h->host, seen->volumes[i]), n++;
    return n;
}

void render_storage(const Drover__V1__ListStorageReply *reply, bool all, FILE *out)
{
    struct table *t = table_new("HOST|KIND|WHAT|WHERE|>SIZE|>FREE|STATE");
    size_t rows = 0;
    for (size_t i = 0; i < reply->n_hosts; i++)
        rows += host_rows(t, reply->hosts[i], all);
    if (rows)
        table_print(t, out);
    else
        table_free(t);
    for (size_t i = 0; i < reply->n_hosts; i++) {
        const Drover__V1__HostStorage *h = reply->hosts[i];
        char why[512];
        if (!h->inspection)
            fprintf(out, "%s did not tell: %s\n", h->host, text_clean(h->why, why, sizeof(why)));
        for (size_t e = 0; h->inspection && e < h->inspection->n_errors; e++)
            fprintf(out, "%s: %s\n", h->host, text_clean(h->inspection->errors[e], why, sizeof(why)));
    }
    if (!rows)
        fputs("No network file system, adapter, LUN, export or pool.\n", out);
}

/* ---- networks ---------------------------------------------------------------------------------------------------- */

static json_t *text_json(const char *text)
{
    char clean[512];
    return json_string(text_clean(text, clean, sizeof(clean)));
}

/* Which guest's interface is this tap? Only one that runs has any. */
static json_t *port_json(const char *host, const char *port, const Drover__V1__ListGuestsReply *guests)
{
    json_t *o = json_object();
    json_object_set_new(o, "name", text_json(port));
    for (size_t g = 0; g < guests->n_guests; g++) {
        const Drover__V1__GuestStatus *s = guests->guests[g];
        for (size_t i = 0; s->guest && strcmp(s->host, host) == 0 && i < s->guest->n_interfaces; i++) {
            const Drover__V1__Interface *nic = s->guest->interfaces[i];
            if (strcmp(nic->target, port) != 0)
                continue;
            json_object_set_new(o, "guest", text_json(s->guest->name));
            json_object_set_new(o, "mac", text_json(nic->mac));
        }
    }
    return o;
}

static json_t *bridge_json(const char *host, const Drover__V1__Bridge *b,
                           const Drover__V1__ListGuestsReply *guests)
{
    json_t *o = json_object(), *ports = json_array();
    json_object_set_new(o, "name", text_json(b->name));
    json_object_set_new(o, "kind", text_json(b->kind));
    json_object_set_new(o, "mtu", json_integer(b->mtu));
    for (size_t i = 0; i < b->n_ports; i++)
        json_array_append_new(ports, port_json(host, b->ports[i], guests));
    json_object_set_new(o, "ports", ports);
    return o;
}

json_t *render_networks_json(const Drover__V1__ListHostsReply *hosts,
                             const Drover__V1__ListGuestsReply *guests, const char *host)
{
    json_t *document = json_object(), *list = json_array();
    for (size_t i = 0; i < hosts->n_hosts; i++) {
        const Drover__V1__HostStatus *h = hosts->hosts[i];
        const Drover__V1__HostReport *r = h->report;
        if (host && strcmp(h->name, host) != 0)
            continue;
        json_t *o = json_object(), *bridges = json_array(), *networks = json_array();
        json_object_set_new(o, "host", text_json(h->name));
        json_object_set_new(o, "stale", json_boolean(!h->up));
        for (size_t b = 0; r && b < r->n_bridges; b++)
            json_array_append_new(bridges, bridge_json(h->name, r->bridges[b], guests));
        for (size_t n = 0; r && n < r->n_networks; n++) {
            json_t *network = json_object();
            json_object_set_new(network, "name", text_json(r->networks[n]->name));
            json_object_set_new(network, "bridge", text_json(r->networks[n]->bridge));
            json_object_set_new(network, "active", json_boolean(r->networks[n]->active));
            json_array_append_new(networks, network);
        }
        json_object_set_new(o, "bridges", bridges);
        json_object_set_new(o, "networks", networks);
        json_array_append_new(list, o);
    }
    json_object_set_new(document, "hosts", list);
    return document;
}

static const char *text_at(const json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));
    return text ? text : "";
}

static void ports_cell(struct table *t, const json_t *ports)
{
    char text[1024] = "";
    size_t used = 0, i;
    json_t *p;
    json_array_foreach(ports, i, p)
    {
        const char *guest = text_at(p, "guest");
        if (used < sizeof(text))
            used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s%s%s%s", i ? " " : "",
                                     text_at(p, "name"), *guest ? "(" : "", guest, *guest ? ")" : "");
    }
    table_cell(t, text);
}

void render_networks(const json_t *document, FILE *out)
{
    struct table *t = table_new("HOST|KIND|NAME|>MTU|STATE|PORTS");
    size_t i, k, rows = 0;
    json_t *h, *o;
    json_array_foreach(json_object_get(document, "hosts"), i, h)
    {
        json_array_foreach(json_object_get(h, "bridges"), k, o)
        {
            table_cell(t, text_at(h, "host"));
            table_cellf(t, "%s bridge", text_at(o, "kind"));
            table_cell(t, text_at(o, "name"));
            table_cellf(t, "%lld", (long long)json_integer_value(json_object_get(o, "mtu")));
            table_cell(t, json_is_true(json_object_get(h, "stale")) ? "host is down" : "");
            ports_cell(t, json_object_get(o, "ports"));
            rows++;
        }
        json_array_foreach(json_object_get(h, "networks"), k, o)
        {
            bool active = json_is_true(json_object_get(o, "active"));
            table_cell(t, text_at(h, "host"));
            table_cell(t, "libvirt network");
            table_cell(t, text_at(o, "name"));
            table_cell(t, NULL);
            table_cell(t, active ? "active" : "inactive");
            table_cell(t, text_at(o, "bridge"));
            rows++;
        }
    }
    if (rows) {
        table_print(t, out);
        return;
    }
    table_free(t);
    fputs("No bridges and no libvirt networks.\n", out);
}
