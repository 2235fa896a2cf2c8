#include "coordinator/core/fleet.h"

#include "common/base/cleanup.h"
#include "common/base/memory.h"
#include "common/message/message.h"
#include "coordinator/core/near.h"
#include "coordinator/core/text.h"

#include <string.h>
#include <strings.h>

void fleet_init(struct fleet *fleet)
{
    *fleet = (struct fleet){0};
}

static void guest_free(Drover__V1__Guest *guest)
{
    drover__v1__guest__free_unpacked(guest, NULL);
}

void fleet_deinit(struct fleet *fleet)
{
    for (size_t i = 0; i < fleet->n_hosts; i++) {
        struct fleet_host *h = &fleet->hosts[i];
        for (size_t g = 0; g < h->n_guests; g++)
            guest_free(h->guests[g].guest);
        free(h->guests);
        drover__v1__host_report__free_unpacked(h->report, NULL);
        free(h->name);
        free(h->site);
        free(h->agent_url);
        free(h->why);
    }
    free(fleet->hosts);
    free(fleet->by_name);
    copies_deinit(&fleet->copies);
    free(fleet->site_links);
    fleet_init(fleet);
}

/* FNV-1a, of small and large letters alike. */
static uint64_t key_of(const char *text)
{
    uint64_t key = 0xcbf29ce484222325;
    for (; *text; text++)
        key = (key ^ (unsigned char)(*text | 0x20)) * 0x100000001b3;
    return key;
}

/* The place of that name, or the free one where it would be. */
static uint32_t *place_of(const struct fleet *fleet, const char *name)
{
    size_t i = (size_t)key_of(name) & (fleet->n_by_name - 1);
    while (fleet->by_name[i] && !streq(fleet->hosts[fleet->by_name[i] - 1].name, name))
        i = (i + 1) & (fleet->n_by_name - 1);
    return &fleet->by_name[i];
}

static void enter_name(struct fleet *fleet, const char *name)
{
    if (2 * fleet->n_hosts >= fleet->n_by_name) {
        fleet->n_by_name = fleet->n_by_name ? 2 * fleet->n_by_name : 16;
        free(fleet->by_name);
        fleet->by_name = xcalloc(fleet->n_by_name, sizeof(*fleet->by_name));
        for (size_t i = 0; i + 1 < fleet->n_hosts; i++)
            *place_of(fleet, fleet->hosts[i].name) = (uint32_t)i + 1;
    }
    uint32_t *place = place_of(fleet, name);
    *place = *place ? *place : (uint32_t)fleet->n_hosts;
}

struct fleet_host *fleet_add_host(struct fleet *fleet, const char *name, const char *site,
                                  const char *agent_url)
{
    fleet->hosts = xrealloc(fleet->hosts, fleet->n_hosts + 1, sizeof(fleet->hosts[0]));
    for (size_t i = 0; i < fleet->n_hosts; i++)
        for (size_t g = 0; g < fleet->hosts[i].n_guests; g++)
            fleet->hosts[i].guests[g].host = &fleet->hosts[i];
    struct fleet_host *h = &fleet->hosts[fleet->n_hosts++];
    *h = (struct fleet_host){
        .fleet = fleet,
        .name = xstrdup(name),
        .site = xstrdup(site ? site : ""),
        .agent_url = xstrdup(agent_url ? agent_url : ""),
    };
    enter_name(fleet, name);
    return h;
}

struct fleet_host *fleet_host(const struct fleet *fleet, const char *name)
{
    uint32_t place = fleet->n_hosts ? *place_of(fleet, name) : 0;
    return place ? &fleet->hosts[place - 1] : NULL;
}

void fleet_session(struct fleet_host *host, bool up, int64_t now_ms, const char *why)
{
    if (host->up != up || host->since_ms == 0)
        host->since_ms = now_ms;
    host->up = up;
    host->synced = false;
    char *text = up ? NULL : xstrdup(why); /* `why` may be the old text */
    free(host->why);
    host->why = text;
    if (up)
        for (size_t g = 0; g < host->n_guests; g++)
            host->guests[g].told = false;
}

static struct fleet_guest *guest_on(const struct fleet_host *host, const char *uuid)
{
    uint64_t key = key_of(uuid);
    for (size_t g = 0; g < host->n_guests; g++)
        if (host->guests[g].key == key && strcasecmp(host->guests[g].guest->uuid, uuid) == 0)
            return &host->guests[g];
    return NULL;
}

bool fleet_has_copies(const struct fleet *fleet, const struct fleet_guest *guest)
{
    return copies_count(&fleet->copies, guest->key) > 1;
}

const struct fleet_guest *fleet_guest_on(const struct fleet_host *host, const char *uuid)
{
    return guest_on(host, uuid);
}

static void drop_guest(struct fleet_host *host, struct fleet_guest *guest)
{
    copies_remove(&host->fleet->copies, guest->key);
    guest_free(guest->guest);
    size_t after = (size_t)(host->guests + host->n_guests - (guest + 1));
    memmove(guest, guest + 1, after * sizeof(*guest));
    host->n_guests--;
}

/* What was measured of it on another host. Asked only of guests that come to a host that has told all others: few. */
static struct fleet_usage usage_elsewhere(const struct fleet *fleet, const char *uuid)
{
    for (size_t i = 0; i < fleet->n_hosts; i++) {
        const struct fleet_guest *g = guest_on(&fleet->hosts[i], uuid);
        if (g && g->usage.known)
            return g->usage;
    }
    return (struct fleet_usage){0};
}

static void put_guest(struct fleet_host *host, const Drover__V1__Guest *guest)
{
    if (!guest->uuid[0])
        return;
    Drover__V1__Guest *copy = (Drover__V1__Guest *)message_copy(&guest->base);
    if (!copy)
        return;
    struct fleet_guest *old = guest_on(host, guest->uuid);
    struct fleet_usage usage = {0};
    if (old) {
        usage = old->usage;
        guest_free(old->guest);
    } else {
        if (host->synced && fleet_guest_active(guest))
            usage = usage_elsewhere(host->fleet, guest->uuid);
        host->guests = xrealloc(host->guests, host->n_guests + 1, sizeof(host->guests[0]));
        old = &host->guests[host->n_guests++];
        copies_add(&host->fleet->copies, key_of(copy->uuid));
    }
    *old = (struct fleet_guest){
        .guest = copy, .host = host, .key = key_of(copy->uuid), .told = true, .usage = usage};
}

static struct fleet_usage usage_of(const Drover__V1__Usage *u)
{
    return u ? (struct fleet_usage){true, u->cpu, u->cpu_other, u->memory} : (struct fleet_usage){0};
}

/* A guest that is not named has just come or been started: what is known of it holds until it has been measured here. */
static void put_measured(struct fleet_host *host, const Drover__V1__Measured *measured)
{
    host->usage = usage_of(measured->host);
    for (size_t g = 0; g < host->n_guests && !measured->host; g++)
        host->guests[g].usage.known = false;
    for (size_t i = 0; i < measured->n_guests; i++) {
        struct fleet_guest *g = guest_on(host, measured->guests[i]->guest);
        if (g && measured->guests[i]->usage)
            g->usage = usage_of(measured->guests[i]->usage);
    }
}

void fleet_event(struct fleet_host *host, const Drover__V1__AgentEvent *event)
{
    if (event->host) {
        Drover__V1__HostReport *copy = (Drover__V1__HostReport *)message_copy(&event->host->base);
        if (copy) {
            drover__v1__host_report__free_unpacked(host->report, NULL);
            host->report = copy;
        }
    }
    if (event->guest)
        put_guest(host, event->guest);
    if (event->guest_gone && event->guest_gone[0]) {
        struct fleet_guest *gone = guest_on(host, event->guest_gone);
        if (gone)
            drop_guest(host, gone);
    }
    if (event->measured)
        put_measured(host, event->measured);
    if (event->synced && !host->synced) {
        for (size_t g = host->n_guests; g-- > 0;)
            if (!host->guests[g].told)
                drop_guest(host, &host->guests[g]);
        host->synced = host->told = true;
    }
}

bool fleet_host_tells(const struct fleet_host *host)
{
    return host->up && host->synced && host->report && host->report->libvirt_up;
}

bool fleet_guest_active(const Drover__V1__Guest *guest)
{
    return guest->state != DROVER__V1__GUEST_STATE__GUEST_SHUTOFF &&
           guest->state != DROVER__V1__GUEST_STATE__GUEST_CRASHED &&
           guest->state != DROVER__V1__GUEST_STATE__GUEST_UNKNOWN;
}

/* A running copy before a paused one before a definition; of two equal ones, that of the host that is up. */
static int rank(const struct fleet_guest *g)
{
    int r = g->guest->state == DROVER__V1__GUEST_STATE__GUEST_RUNNING ? 4
            : fleet_guest_active(g->guest)                            ? 2
                                                                      : 0;
    return r + (g->host->up ? 1 : 0);
}

static bool fits(const struct fleet_guest *g, const char *name)
{
    return streq(g->guest->name, name) || strcasecmp(g->guest->uuid, name) == 0;
}

static int not_found(const struct fleet *fleet, const char *only_host, const char *name, struct error *err)
{
    _cleanup_free_ char *unknown = NULL;
    struct near near = near_to(name);
    size_t up = 0;
    for (size_t i = 0; i < fleet->n_hosts; i++) {
        const struct fleet_host *h = &fleet->hosts[i];
        if (only_host && !streq(h->name, only_host))
            continue;
        if (h->synced)
            up++;
        else
            text_append(&unknown, ", ", "%s (%s)", h->name, h->up ? "not all told yet" : "down");
        for (size_t g = 0; g < h->n_guests; g++)
            near_offer(&near, h->guests[g].guest->name);
    }
    _cleanup_free_ char *names = near_text(&near);
    return error_set(err, STATUS_NOT_FOUND, "no guest '%s' on %s%s (%zu host%s asked)%s%s%s%s%s", name,
                     only_host ? "host " : "any host", only_host ? only_host : "", up, up == 1 ? "" : "s",
                     names ? "; near: " : "", names ? names : "", unknown ? "; not known, may have it: " : "",
                     unknown ? unknown : "", names || unknown ? "" : "; `drover vms` lists what there is");
}

int fleet_find_guest(const struct fleet *fleet, const char *spec, const struct fleet_guest **ret,
                     struct error *err)
{
    if (!spec || !spec[0])
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "no guest given; expected a name, a UUID or HOST/NAME");
    const char *name = spec;
    _cleanup_free_ char *only_host = NULL;
    const char *slash = strchr(spec, '/');
    if (slash) {
        struct fleet_host *host;
        only_host = strndup(spec, (size_t)(slash - spec));
        name = slash + 1;
        int r = fleet_find_host(fleet, only_host, &host, err);
        if (r < 0)
            return r;
    }

    const struct fleet_guest *best = NULL;
    _cleanup_free_ char *several = NULL;
    size_t different = 0;
    for (size_t i = 0; i < fleet->n_hosts; i++) {
        const struct fleet_host *h = &fleet->hosts[i];
        if (only_host && !streq(h->name, only_host))
            continue;
        for (size_t g = 0; g < h->n_guests; g++) {
            const struct fleet_guest *guest = &h->guests[g];
            if (!fits(guest, name))
                continue;
            text_append(&several, ", ", "%s/%s", h->name, guest->guest->name);
            if (best && strcasecmp(best->guest->uuid, guest->guest->uuid) != 0)
                different++;
            if (!best || rank(guest) > rank(best))
                best = guest;
        }
    }
    if (!best)
        return not_found(fleet, only_host, name, err);
    if (different)
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "'%s' fits several guests: %s; name one as HOST/NAME or by UUID", name, several);
    *ret = best;
    return 0;
}

int fleet_find_host(const struct fleet *fleet, const char *name, struct fleet_host **ret, struct error *err)
{
    struct fleet_host *host = fleet_host(fleet, name);
    if (host) {
        *ret = host;
        return 0;
    }
    struct near near = near_to(name);
    for (size_t i = 0; fleet->hosts && i < fleet->n_hosts; i++)
        near_offer(&near, fleet->hosts[i].name);
    _cleanup_free_ char *names = near_text(&near);
    return error_set(err, STATUS_NOT_FOUND, "no host '%s' in the inventory%s%s", name,
                     names ? "; near: " : "", names ? names : "; `drover hosts` lists them");
}
