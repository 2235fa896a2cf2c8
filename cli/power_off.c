#include "cli/power_off.h"

#include "cli/roll.h"
#include "cli/rolling_options.h"
#include "common/base/memory.h"

#include <string.h>

/* A host that a guest has not left is not to be emptied by force: there was a reason. */
static bool somebody_stayed(const Drover__V1__Job *job, const char *host)
{
    for (size_t i = 0; i < job->n_steps; i++)
        if (streq(job->steps[i]->from, host) && job->steps[i]->state != DROVER__V1__STEP_STATE__STEP_DONE)
            return true;
    return false;
}

int power_off(struct cli *cli, const struct args *args, const Drover__V1__PlanRequest *request,
              const Drover__V1__Job *job)
{
    struct error err = {0};
    _cleanup_free_ char *list = xstrdup(job->emptied), *here = own_boot_id();
    _cleanup_free_ const char **hosts = xcalloc(strlen(list) + 1, sizeof(*hosts));
    Drover__V1__PlanRequest evacuate = *request;
    struct roll_order order = {.command = args_value(args, "power-off-hook"),
                               .hosts = hosts,
                               .parallel = 1,
                               .power_off = true,
                               .here = here,
                               .evacuate = &evacuate};
    evacuate.from_site = (char *)"";
    if (option_time(args, "exec-timeout", EXEC_TIMEOUT, &order.exec_ms, &err) < 0)
        return cli_fail(cli, EXIT_USAGE, &err); /* it was checked before the consolidation */
    char *rest = NULL;
    for (char *name = strtok_r(list, ",", &rest); name; name = strtok_r(NULL, ",", &rest)) {
        if (!somebody_stayed(job, name))
            hosts[order.n++] = name;
        else
            roll_say(cli, name, "not-run", job->id, "has a guest that stayed: the hook is not run for it");
    }
    if (!order.n) {
        roll_say(cli, NULL, "not-run", job->id, "no host is to be powered off");
        return EXIT_DONE;
    }
    return roll_run(cli, &order);
}
