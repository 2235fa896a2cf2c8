#include "cli/rolling_options.h"

#include "common/base/memory.h"
#include "common/config/yaml.h"

#include <string.h>

int option_time(const struct args *args, const char *name, const char *fallback, int64_t *ret,
                struct error *err)
{
    const char *text = args_value(args, name);
    int r = parse_duration_ms(text ? text : fallback, ret, err);
    if (r < 0)
        return error_prefix(err, "--%s", name);
    return *ret > 0 ? 0
                    : error_set(err, STATUS_INVALID_ARGUMENT,
                                "--%s is '%s'; expected more than nothing, e.g. %s", name, text, fallback);
}

char *own_boot_id(void)
{
    char text[64] = "";
    _cleanup_fclose_ FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (!f || !fgets(text, sizeof(text), f))
        return NULL;
    text[strcspn(text, "\n")] = 0;
    return xstrdup(text);
}
