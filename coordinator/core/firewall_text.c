#include "coordinator/core/firewall_text.h"

#include "common/base/cleanup.h"
#include "common/base/memory.h"
#include "coordinator/core/text.h"

#include <string.h>

static const Drover__V1__Firewall *firewall_of(const struct evidence *evidence, const struct fleet_host *host)
{
    const Drover__V1__Inspection *seen = evidence_inspection(evidence, host);
    return seen && seen->host ? seen->host->firewall : NULL;
}

static bool is_firewalld(const Drover__V1__FirewallChain *c)
{
    return streq(c->table, "firewalld");
}

static char *with_firewalld(const char *service, const char *ports)
{
    return xasprintf("firewall-cmd --permanent --add-%s=%s%s && firewall-cmd --reload",
                     service ? "service" : "port", service ? service : ports, service ? "" : "/tcp");
}

char *firewall_open(const struct evidence *evidence, const struct fleet_host *host, const char *service,
                    unsigned min, unsigned max)
{
    const Drover__V1__Firewall *f = firewall_of(evidence, host);
    _cleanup_free_ char *ports = max > min ? xasprintf("%u-%u", min, max) : xasprintf("%u", min);
    char *text = NULL;
    bool by_firewalld = false, by_nft = false;
    for (size_t i = 0; f && i < f->n_chains; i++)
        by_firewalld = by_firewalld || is_firewalld(f->chains[i]);
    if (by_firewalld)
        text = with_firewalld(service, ports);
    for (size_t i = 0; f && i < f->n_chains; i++) {
        const Drover__V1__FirewallChain *c = f->chains[i];
        if (!c->refuses || is_firewalld(c))
            continue;
        text_append(&text, " && ", "nft insert rule %s %s %s tcp dport %s accept", c->family, c->table,
                    c->name, ports);
        by_nft = true;
    }
    if (by_nft)
        text_append(&text, "", " (and the same in /etc/nftables.conf, to stay)");
    if (text)
        return text;
    _cleanup_free_ char *firewalld = with_firewalld(service, ports);
    return xasprintf("%s, or: nft insert rule inet filter input tcp dport %s accept%s", firewalld, ports,
                     f && f->filters == DROVER__V1__ANSWER__NO
                         ? "; but this host's own tables refuse nothing: see what lies between, too"
                         : "");
}
