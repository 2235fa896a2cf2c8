#include "agent/io/iscsi_identity.h"

#include "agent/io/probe_say.h"
#include "agent/io/run.h"
#include "agent/io/xml.h"
#include "common/base/memory.h"

#include <ctype.h>
#include <string.h>

#define DEFAULT_INITIATOR "iqn.2008-11.org.linux-kvm" /* QEMU's, block/iscsi.c */

/* What is between the brackets, without spaces around it; NULL if that is nothing, or no text. */
static char *bracketed(const char *line, const char *head)
{
    size_t n = strlen(head);
    const char *end = strncmp(line, head, n) == 0 ? strpbrk(line + n, "]\n") : NULL;
    if (!end || *end != ']')
        return NULL;
    const char *start = line + n;
    while (start < end && *start == ' ')
        start++;
    while (end > start && end[-1] == ' ')
        end--;
    for (const char *p = start; p < end; p++)
        if (!isprint((unsigned char)*p))
            return NULL;
    return end > start ? strndup(start, (size_t)(end - start)) : NULL;
}

char *iscsi_identity_parse(const char *output)
{
    bool in_text = false;
    for (const char *line = output; line && *line;
         line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        _cleanup_free_ char *serial = bracketed(line, "Unit Serial Number:[");
        _cleanup_free_ char *designator = in_text ? bracketed(line, "Designator:[") : NULL;
        if (serial)
            return xasprintf("serial %s", serial);
        if (designator)
            return xasprintf("designator %s", designator);
        if (strncmp(line, "Code Set:", 9) == 0)
            in_text = strncmp(line, "Code Set:(2)", 12) == 0 || strncmp(line, "Code Set:(3)", 12) == 0;
    }
    return NULL;
}

static const char *reason_of(const struct error *err)
{
    static const char *const words[][2] = {
        {"Target not found", "absent"},
        {"LOGICAL_UNIT_NOT_SUPPORTED", "absent"},
        {"Authentication", "denied"},
        {"Authorization", "denied"},
        {"reconnect_if_loggedin", "unreachable"},
        {"refused", "refused"},
    };
    if (err->code == STATUS_DEADLINE_EXCEEDED)
        return "timeout";
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strstr(err->text, words[i][0]))
            return words[i][1];
    return "failed";
}

/* Pages in the order of how well they tell: a serial number is the unit's own. */
void iscsi_identity(const struct limit *limit, const char *url, const char *initiator,
                    Drover__V1__ProbeResult *r)
{
    static const char *const pages[] = {"128", "131"};
    struct error err = {0};
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        _cleanup_free_ char *output = NULL;
        const char *argv[] = {"iscsi-inq", "-i", *initiator ? initiator : DEFAULT_INITIATOR,
                              "-e",        "1",  "-c",
                              pages[i],    url,  NULL};
        int e = run_program(limit, argv, &output, &err);
        char *identity = e < 0 ? NULL : iscsi_identity_parse(output);
        if (identity) {
            xml_set(&r->identity, identity);
            probe_say(r, DROVER__V1__PROBE_OUTCOME__PROBE_PROVEN, "", "%s is %s", url, r->identity);
            return;
        }
    }
    if (err.code == STATUS_NOT_FOUND)
        probe_say(r, DROVER__V1__PROBE_OUTCOME__PROBE_UNDECIDED, "no-program", "%s", err.text);
    else if (err.code)
        probe_say(r, DROVER__V1__PROBE_OUTCOME__PROBE_UNDECIDED, reason_of(&err), "%s", err.text);
    else
        probe_say(r, DROVER__V1__PROBE_OUTCOME__PROBE_UNDECIDED, "failed",
                  "%s tells neither a serial number nor a designator in text", url);
}
