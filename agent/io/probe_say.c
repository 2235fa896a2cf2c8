#include "agent/io/probe_say.h"

#include "agent/io/xml.h"
#include "common/base/memory.h"

#include <stdarg.h>

void probe_say(Drover__V1__ProbeResult *r, Drover__V1__ProbeOutcome outcome, const char *reason,
               const char *fmt, ...)
{
    char *text = NULL;
    va_list ap;
    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0)
        abort();
    va_end(ap);
    r->outcome = outcome;
    xml_set(&r->reason, xstrdup(reason));
    xml_set(&r->seen, text);
}
