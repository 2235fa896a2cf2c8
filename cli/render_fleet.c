/* Tables of hosts and guests. */
#include "cli/json.h"
#include "cli/render.h"
#include "cli/table.h"
#include "cli/text.h"

#include <stdbool.h>
#include <string.h>

static const char *host_state(const Drover__V1__HostStatus *h)
{
    return !h->up ? "down" : h->synced ? "up" : "syncing";
}

static void memory_cell(struct table *table, const Drover__V1__HostReport *r)
{
    char used[TEXT_MAX], total[TEXT_MAX];
    if (!r || !r->memory_total)
        table_cell(table, "-");
    else
        table_cellf(table, "%s / %s", text_size(r->memory_guests + r->memory_reserved, used),
                    text_size(r->memory_total, total));
}

static void cpu_cell(struct table *table, const Drover__V1__HostReport *r)
{
    if (r && r->cpu && r->cpu->online)
        table_cellf(table, "%u / %u", r->vcpus_guests, r->cpu->online);
    else
        table_cell(table, "-");
}

/* What is used of the CPUs that it has, as its agent measured it. */
static void usage_cell(struct table *table, const Drover__V1__Usage *usage, uint32_t cpus)
{
    if (usage && cpus)
        table_cellf(table, "%u%%", (unsigned)((usage->cpu / 10 + cpus / 2) / cpus));
    else
        table_cell(table, "-");
}

static void libvirt_cells(struct table *table, const Drover__V1__HostReport *r)
{
    char libvirt[TEXT_MAX], qemu[TEXT_MAX];
    if (!r || !r->hypervisor) {
        table_cell(table, "-");
        table_cell(table, "-");
        return;
    }
    table_cell(table, r->libvirt_up ? text_version(r->libvirt_version, libvirt) : "DOWN");
    table_cell(table, r->libvirt_up ? text_version(r->qemu_version, qemu) : "-");
}

static void why_cell(struct table *table, const Drover__V1__HostStatus *h)
{
    char since[TEXT_MAX];
    text_moment((int64_t)h->since, since);
    if (!h->up && h->since)
        table_cellf(table, "%s: %s", since, *h->why ? h->why : "down");
    else if (!h->up)
        table_cell(table, *h->why ? h->why : "not heard of yet");
    else if (h->report && h->report->hypervisor && !h->report->libvirt_up)
        table_cellf(table, "libvirt: %s", h->report->libvirt_error);
    else
        table_cell(table, since);
}

void render_hosts(const Drover__V1__ListHostsReply *reply, FILE *out)
{
    if (reply->n_hosts == 0) {
        fputs("No hosts: add them to the coordinator's configuration (hosts:), and restart it.\n", out);
        return;
    }
    struct table *table = table_new("NAME|SITE|STATE|>GUESTS|>MEMORY|>VCPUS/CPUS|>CPU|LIBVIRT|QEMU|SINCE");
    for (size_t i = 0; i < reply->n_hosts; i++) {
        const Drover__V1__HostStatus *h = reply->hosts[i];
        table_cell(table, h->name);
        table_cell(table, h->site);
        table_cell(table, h->up && h->synced && h->maintenance ? "maintenance" : host_state(h));
        if (h->report && !h->report->hypervisor)
            table_cell(table, "-");
        else
            table_cellf(table, "%u / %u", h->guests_running, h->guests_total);
        memory_cell(table, h->report);
        cpu_cell(table, h->report);
        usage_cell(table, h->usage, h->report && h->report->cpu ? h->report->cpu->online : 0);
        libvirt_cells(table, h->report);
        why_cell(table, h);
    }
    table_print(table, out);
}

json_t *render_hosts_json(const Drover__V1__ListHostsReply *reply)
{
    json_t *document = json_of_message(&reply->base);
    json_t *rows = json_object_get(document, "hosts");
    for (size_t i = 0; i < reply->n_hosts; i++)
        json_object_set_new(json_array_get(rows, i), "state", json_string(host_state(reply->hosts[i])));
    return document;
}

static void disks_cell(struct table *table, const Drover__V1__Guest *g)
{
    char text[256] = "";
    size_t used = 0;
    for (size_t i = 0; i < g->n_disks && used < sizeof(text); i++) {
        const Drover__V1__Disk *d = g->disks[i];
        if (strcmp(d->device, "disk") != 0 && strcmp(d->device, "lun") != 0)
            continue;
        const char *kind = *d->protocol ? d->protocol : d->type;
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s:%s%s%s", used ? " " : "", d->target,
                                 kind, *d->format ? "/" : "", d->format);
    }
    table_cell(table, text);
}

void render_guests(const Drover__V1__ListGuestsReply *reply, const char *host, FILE *out)
{
    if (reply->n_guests == 0) {
        if (host)
            fprintf(out, "No guests on %s.\n", host);
        else
            fputs("No guests. `drover hosts` says whether all hosts are up.\n", out);
        return;
    }
    struct table *table = table_new("HOST|NAME|STATE|>MEMORY|>VCPUS|>CPU|>JOB|AUTOSTART|DISKS");
    for (size_t i = 0; i < reply->n_guests; i++) {
        const Drover__V1__GuestStatus *s = reply->guests[i];
        const Drover__V1__Guest *g = s->guest;
        char size[TEXT_MAX];
        if (!g)
            continue;
        table_cell(table, s->host);
        table_cell(table, g->name);
        table_cellf(table, "%s%s", enum_word(&drover__v1__guest_state__descriptor, (int)g->state),
                    s->stale ? "?" : "");
        table_cell(table, text_size(g->memory_max, size));
        table_cellf(table, "%u", g->vcpus);
        usage_cell(table, s->usage, g->vcpus);
        if (s->job)
            table_cellf(table, "%llu", (unsigned long long)s->job);
        else
            table_cell(table, "-");
        table_cell(table, !g->persistent ? "transient" : g->autostart ? "yes" : "no");
        disks_cell(table, g);
    }
    table_print(table, out);
}
