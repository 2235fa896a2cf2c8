/* Red Hat's table of supported directions (Enterprise Linux 6, Virtualization Administration Guide, table 4.1), as data. Other
 * hosts have the general rules: versions, machine types, CPU models. */
#include "coordinator/core/rules.h"

#include <string.h>

enum direction { FORWARD, BACKWARD };

struct supported {
    enum direction direction;
    bool major;                    /* from one major release to another */
    unsigned from, from_minor_min; /* the releases that the row names */
    const char *what;              /* the row's words */
    Drover__V1__Severity severity; /* SEVERITY_UNSET: fully supported */
};

static const struct supported table_4_1[] = {
    {FORWARD, true, 5, 0, "forward, major release, 5.x to 6.y: not supported", DROVER__V1__SEVERITY__BLOCK},
    {FORWARD, false, 5, 4, "forward, minor release, 5.x to 5.y with x >= 4: fully supported",
     DROVER__V1__SEVERITY__SEVERITY_UNSET},
    {FORWARD, false, 5, 0, "forward, minor release, 5.x to 5.y with x < 4: not in the table",
     DROVER__V1__SEVERITY__WARN},
    {FORWARD, false, 6, 0, "forward, minor release, 6.x to 6.y: fully supported",
     DROVER__V1__SEVERITY__SEVERITY_UNSET},
    {BACKWARD, true, 6, 0, "backward, major release, 6.x to 5.y: not supported", DROVER__V1__SEVERITY__BLOCK},
    {BACKWARD, false, 5, 0, "backward, minor release, 5.x to 5.y: supported, with known issues",
     DROVER__V1__SEVERITY__INFO},
    {BACKWARD, false, 6, 0, "backward, minor release, 6.x to 6.y: supported, with known issues",
     DROVER__V1__SEVERITY__INFO},
};

struct release {
    unsigned major, minor;
};

static bool release_of(const struct preflight *in, const struct fleet_host *host, struct release *ret)
{
    const Drover__V1__Inspection *seen = evidence_inspection(in->evidence, host);
    if (!seen || !seen->host || !(streq(seen->host->os_id, "rhel") || streq(seen->host->os_id, "centos")))
        return false;
    char *end;
    ret->major = (unsigned)strtoul(seen->host->os_version, &end, 10);
    ret->minor = *end == '.' ? (unsigned)strtoul(end + 1, NULL, 10) : 0;
    return ret->major > 0;
}

static const struct supported *row_of(const struct release *from, const struct release *to)
{
    bool major = from->major != to->major;
    bool back = major ? to->major < from->major : to->minor < from->minor;
    if (!major && from->minor == to->minor)
        return NULL;
    for (size_t i = 0; i < sizeof(table_4_1) / sizeof(table_4_1[0]); i++) {
        const struct supported *s = &table_4_1[i];
        if (s->direction == (back ? BACKWARD : FORWARD) && s->major == major && s->from == from->major &&
            from->minor >= s->from_minor_min &&
            (!major || to->major == (back ? from->major - 1 : from->major + 1)))
            return s;
    }
    return NULL;
}

/* One rule for each severity that a row can have: the table of rules says what a finding weighs. */
static void tell(const struct preflight *in, const struct rule *rule, struct findings *out)
{
    struct release from, to;
    if (!release_of(in, in->source, &from) || !release_of(in, in->destination, &to))
        return;
    const struct supported *row = row_of(&from, &to);
    if (row && row->severity == rule->severity)
        found(("host %s", in->destination->name),
              ("release %u.%u, from %u.%u on %s: %s", to.major, to.minor, from.major, from.minor,
               in->source->name, row->what),
              ("a direction that Red Hat supports"),
              ("choose a host with the source's release or a newer minor one"));
}

RULE(release_unsupported)
{
    tell(in, rule, out);
}

RULE(release_untested)
{
    tell(in, rule, out);
}

RULE(release_backward)
{
    tell(in, rule, out);
}
