/* Red Hat's table of supported directions (Enterprise Linux 6, Virtualization Administration Guide, table 4.1), as data. Other
 * hosts have the general rules: versions, machine types, CPU models. */
#include "coordinator/core/rules.h"

#include <string.h>

enum direction { FORWARD, BACKWARD };

enum { ANY = 0 };

struct supported {
    const char *what; /* the row's words */
    enum direction direction;
    bool major;                                  /* from one major release to another */
    unsigned from, from_minor_min, to_minor_min; /* the releases that the row names */
    Drover__V1__Severity severity;               /* SEVERITY_UNSET: fully supported */
};

/* The first row that fits. */
static const struct supported table_4_1[] = {
    {"forward, major release, 5.x to 6.y: not supported", FORWARD, true, 5, 0, 0,
     DROVER__V1__SEVERITY__BLOCK},
    {"forward, minor release, 5.x to 5.y with x >= 4: fully supported", FORWARD, false, 5, 4, 0,
     DROVER__V1__SEVERITY__SEVERITY_UNSET},
    {"forward, minor release, 5.x to 5.y with x < 4: not in the table", FORWARD, false, 5, 0, 0,
     DROVER__V1__SEVERITY__WARN},
    {"forward, minor release, 6.x to 6.y: fully supported", FORWARD, false, 6, 0, 0,
     DROVER__V1__SEVERITY__SEVERITY_UNSET},
    {"backward, major release: not supported", BACKWARD, true, ANY, 0, 0, DROVER__V1__SEVERITY__BLOCK},
    {"backward, minor release, 5.x to 5.y with y >= 4: supported, with known issues", BACKWARD, false, 5, 0,
     4, DROVER__V1__SEVERITY__INFO},
    {"backward, minor release, 6.x to 6.y: supported, with known issues", BACKWARD, false, 6, 0, 0,
     DROVER__V1__SEVERITY__INFO},
    {"forward, major release: not in the table", FORWARD, true, ANY, 0, 0, DROVER__V1__SEVERITY__WARN},
    {"forward, minor release: not in the table", FORWARD, false, ANY, 0, 0, DROVER__V1__SEVERITY__WARN},
    {"backward, minor release: not in the table", BACKWARD, false, ANY, 0, 0, DROVER__V1__SEVERITY__WARN},
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
        bool named = s->from == from->major && from->minor >= s->from_minor_min &&
                     to->minor >= s->to_minor_min && (!major || to->major == from->major + 1);
        if (s->direction == (back ? BACKWARD : FORWARD) && s->major == major && (s->from == ANY || named))
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
              ("%s", rule->severity == DROVER__V1__SEVERITY__WARN
                         ? "choose a host with the source's release, or see what Red Hat says of these two"
                         : "choose a host with the source's release or a newer minor one"));
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
