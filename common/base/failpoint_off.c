#include "common/base/failpoint.h"

void failpoint(const char *format, ...)
{
    (void)format;
}
