#include "cli/rolling.h"

#include "cli/exits.h"
#include "cli/text.h"
#include "common/base/cleanup.h"
#include "common/base/memory.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void rolling_init(struct rolling *r, const char *const *names, size_t n)
{
    *r = (struct rolling){.hosts = xcalloc(n + 1, sizeof(*r->hosts)), .n = n, .parallel = 1};
    for (size_t i = 0; i < n; i++)
        r->hosts[i].name = names[i];
}

void rolling_deinit(struct rolling *r)
{
    for (size_t i = 0; i < r->n; i++) {
        struct rolling_host *h = &r->hosts[i];
        free(h->why);
        free(h->todo);
        free(h->boot_id);
        free(h->instance);
        free(h->seen);
    }
    free(r->hosts);
    *r = (struct rolling){0};
}

/* ---- who may begin ----------------------------------------------------------------------------------------------- */

static bool under_way(const struct rolling_host *h)
{
    return !h->stopped && h->phase != ROLLING_WAITS && h->phase != ROLLING_DONE;
}

static size_t count_under_way(const struct rolling *r)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n; i++)
        n += under_way(&r->hosts[i]);
    return n;
}

static bool any_stopped(const struct rolling *r)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->hosts[i].stopped)
            return true;
    return false;
}

static bool plan_runs(const struct rolling *r)
{
    for (size_t i = 0; i < r->n; i++) {
        const struct rolling_host *h = &r->hosts[i];
        if (!h->stopped &&
            (h->phase == ROLLING_ASKED || h->phase == ROLLING_EMPTIES || h->phase == ROLLING_RETURNS))
            return true;
    }
    return false;
}

static bool first_in(const struct rolling *r, enum rolling_phase phase, size_t *ret)
{
    for (size_t i = 0; i < r->n; i++)
        if (!r->hosts[i].stopped && r->hosts[i].phase == phase) {
            *ret = i;
            return true;
        }
    return false;
}

enum rolling_deed rolling_next(const struct rolling *r, size_t *ret_host)
{
    size_t busy = count_under_way(r);
    if (r->leaving || plan_runs(r))
        return ROLLING_NOTHING;
    /* Who comes back first gives room to who leaves. */
    if (first_in(r, ROLLING_BACK, ret_host))
        return ROLLING_FILL;
    if (!any_stopped(r) && !r->crowded && busy < r->parallel && first_in(r, ROLLING_WAITS, ret_host))
        return ROLLING_EMPTY;
    return busy ? ROLLING_NOTHING : ROLLING_END;
}

bool rolling_no_room(struct rolling *r, size_t host)
{
    if (count_under_way(r) < 2)
        return false;
    r->hosts[host].phase = ROLLING_WAITS;
    r->crowded = true;
    return true;
}

void rolling_stop(struct rolling_host *h, int exit, const char *why, const char *todo)
{
    free(h->why);
    free(h->todo);
    h->stopped = true;
    h->exit = exit;
    h->why = xstrdup(why);
    h->todo = todo && *todo ? xstrdup(todo) : NULL;
}

/* ---- what a host says of itself ---------------------------------------------------------------------------------- */

static __attribute__((format(printf, 2, 3))) bool missing(char **ret, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    if (vasprintf(ret, fmt, ap) < 0)
        abort();
    va_end(ap);
    return false;
}

/* It is connected, and has told all that it has. */
static bool told(const Drover__V1__HostStatus *s, char **ret_missing)
{
    if (!s->up || !s->report)
        return missing(ret_missing, "its agent has no session%s%s", *s->why ? ": " : "", s->why);
    if (!s->report->libvirt_up)
        return missing(ret_missing, "its libvirt does not answer%s%s", *s->report->libvirt_error ? ": " : "",
                       s->report->libvirt_error);
    if (!s->synced)
        return missing(ret_missing, "its agent has not told all its guests yet");
    return true;
}

bool rolling_is_here(const struct rolling *r, const Drover__V1__HostStatus *s)
{
    return (r->reboots || r->power_off) && r->here && *r->here && s->report &&
           streq(s->report->boot_id, r->here);
}

int rolling_before(const struct rolling *r, struct rolling_host *h, const Drover__V1__HostStatus *s,
                   struct error *err)
{
    _cleanup_free_ char *lacks = NULL;
    if (!told(s, &lacks))
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "it was empty, and can't be asked any more whether it still is: %s", lacks);
    if (!s->maintenance)
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "it was emptied, and somebody has ended its maintenance since");
    if (s->guests_total)
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "it was emptied, and has %u guest%s again: somebody has put them there",
                         s->guests_total, s->guests_total == 1 ? "" : "s");
    if (r->reboots && !*s->report->boot_id)
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "its agent does not tell the kernel's boot id, so a reboot could not be seen");
    if (rolling_is_here(r, s))
        return error_set(err, STATUS_FAILED_PRECONDITION,
                         "it is the machine that this command itself runs on, and would be ended with it");
    free(h->boot_id);
    free(h->instance);
    h->boot_id = xstrdup(s->report->boot_id);
    h->instance = xstrdup(s->report->instance);
    return 0;
}

/* The time that it has been like this, without a break: a reboot command returns at once, and the old system goes on
 * answering for a moment. */
static bool is_steady(const struct rolling *r, struct rolling_host *h, const Drover__V1__HostStatus *s,
                      int64_t now, char **ret_missing)
{
    _cleanup_free_ char *as_now = xasprintf("%s %s %" PRIu64 " %" PRIu64, s->report->boot_id,
                                            s->report->instance, s->since, s->report->libvirt_since);
    char text[TEXT_MAX];
    if (!h->seen || !streq(h->seen, as_now)) {
        free(h->seen);
        h->seen = steal(&as_now);
        h->well_since = now;
    }
    if (now - h->well_since >= r->steady)
        return true;
    return missing(ret_missing, "it answers; it is to stay so for %s", text_ms(r->steady, text));
}

bool rolling_look(const struct rolling *r, struct rolling_host *h, const Drover__V1__HostStatus *s,
                  int64_t now, char **ret_missing)
{
    bool well = told(s, ret_missing);
    if (well && r->reboots && streq(s->report->boot_id, h->boot_id))
        well = missing(ret_missing, "it still has the boot id that it had before: it was not rebooted yet");
    if (!well) {
        free(steal(&h->seen));
        return false;
    }
    return r->reboots || is_steady(r, h, s, now, ret_missing);
}

char *rolling_seen(const struct rolling_host *h, const Drover__V1__HostStatus *s)
{
    const Drover__V1__HostReport *r = s->report;
    const char *boot = !*h->boot_id || !*r->boot_id ? "its boot id is not known, so whether it was rebooted "
                                                      "can't be told"
                       : streq(h->boot_id, r->boot_id)
                           ? "its boot id is the same as before: IT WAS NOT REBOOTED"
                           : "its boot id is another one than before: it was rebooted";
    return xasprintf("%s; its agent %s", boot,
                     streq(h->instance, r->instance) ? "has run all the time" : "was started anew");
}

char *rolling_blocked(const Drover__V1__HostReadiness *readiness)
{
    const Drover__V1__Finding *first = NULL;
    size_t n = 0;
    for (size_t i = 0; i < readiness->n_findings; i++) {
        if (readiness->findings[i]->severity != DROVER__V1__SEVERITY__BLOCK)
            continue;
        first = first ? first : readiness->findings[i];
        n++;
    }
    if (!first)
        return NULL;
    _cleanup_free_ char *more = n > 1 ? xasprintf(" (and %zu more: `drover doctor`)", n - 1) : xstrdup("");
    return xasprintf("%s: seen %s. Do: %s%s", first->id, first->seen, first->todo, more);
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

int rolling_exit(const struct rolling *r)
{
    bool done = false;
    const struct rolling_host *stopped = NULL;
    for (size_t i = 0; i < r->n; i++) {
        const struct rolling_host *h = &r->hosts[i];
        done = done || h->phase == ROLLING_DONE;
        if (h->stopped && (!stopped || h->exit == EXIT_IN_DOUBT || h->exit == EXIT_UNREACHABLE))
            stopped = h;
    }
    if (!stopped)
        return EXIT_DONE;
    bool open = stopped->exit == EXIT_IN_DOUBT || stopped->exit == EXIT_UNREACHABLE;
    return done && !open ? EXIT_PARTLY : stopped->exit;
}

char *rolling_rest(const struct rolling *r)
{
    char *rest = NULL;
    for (size_t i = 0; i < r->n; i++) {
        if (r->hosts[i].phase > ROLLING_RUNS)
            continue;
        char *longer = xasprintf("%s%s%s", rest ? rest : "", rest ? "," : "", r->hosts[i].name);
        free(rest);
        rest = longer;
    }
    return rest;
}

const char *rolling_word(const struct rolling_host *h)
{
    static const char *const words[] = {
        [ROLLING_WAITS] = "waits",           [ROLLING_ASKED] = "asked",
        [ROLLING_EMPTIES] = "empties",       [ROLLING_RUNS] = "runs",
        [ROLLING_COMES_BACK] = "comes-back", [ROLLING_BACK] = "back",
        [ROLLING_RETURNS] = "returns",       [ROLLING_DONE] = "done",
    };
    return words[h->phase];
}

static char *job_advice(const struct rolling_host *h, const char *what)
{
    if (!h->job)
        return xasprintf("%s may have begun: see `drover jobs`", what);
    return xasprintf("%s is job %" PRIu64 ": `drover watch %" PRIu64 "`, `drover cancel %" PRIu64 "`", what,
                     h->job, h->job, h->job);
}

/* By phase: how it is left when it stopped there, and when it was left there. */
static const char *const states[][2] = {
    [ROLLING_WAITS] = {NULL, "as it was; the command was not run"},
    [ROLLING_ASKED] = {"as it was, with its guests; the command was not run",
                       "as it was, with its guests; the command was not run"},
    [ROLLING_EMPTIES] = {"in maintenance, and not proven empty; the command was not run",
                         "in maintenance; it is being emptied; the command was not run"},
    [ROLLING_RUNS] = {"in maintenance and empty; the command was begun, and did not succeed",
                      "in maintenance and empty; the command still runs"},
    [ROLLING_COMES_BACK] = {"in maintenance, its guests run elsewhere; the command has been run",
                            "in maintenance, its guests run elsewhere; the command has been run"},
    [ROLLING_BACK] = {"in maintenance, its guests run elsewhere; the command has been run, and it is back",
                      "in maintenance, its guests run elsewhere; the command has been run, and it is back"},
    [ROLLING_RETURNS] = {"out of maintenance; the command has been run; not all of its guests are back",
                         "out of maintenance; the command has been run; its guests come back"},
    [ROLLING_DONE] = {NULL, "out of maintenance; the command has been run"},
};

static const char *state_of(const struct rolling *r, const struct rolling_host *h)
{
    if (r->power_off && h->phase == ROLLING_DONE)
        return "in maintenance and empty; the command has been run";
    if (r->power_off && h->phase <= ROLLING_ASKED)
        return "without a guest when the consolidation ended; the command was not run";
    return states[h->phase][!h->stopped];
}

static char *own_advice(const struct rolling *r, const struct rolling_host *h)
{
    const char *name = h->name;
    if (r->power_off && h->phase == ROLLING_DONE)
        return xasprintf("once it is on again: drover maintenance off %s", name);
    if (r->power_off)
        return xasprintf("drover evacuate %s proves that it is empty, then run the command by hand; to leave "
                         "it: drover maintenance off %s",
                         name, name);
    switch (h->phase) {
    case ROLLING_EMPTIES: return xasprintf("to leave it: drover return %s brings back what has moved", name);
    case ROLLING_RUNS:
        return xasprintf("to run the command again, go on as below; to leave it: drover return %s", name);
    case ROLLING_COMES_BACK:
        return xasprintf("once it is back (drover doctor %s): drover return %s", name, name);
    case ROLLING_BACK: return xasprintf("drover return %s", name);
    case ROLLING_RETURNS: return xasprintf("to bring back the rest: drover return %s", name);
    default: return NULL;
    }
}

char *rolling_left(const struct rolling *r, const struct rolling_host *h, char **ret_todo)
{
    _cleanup_free_ char *own = own_advice(r, h), *job = NULL;
    if (!h->stopped && h->phase == ROLLING_EMPTIES)
        job = job_advice(h, "its evacuation, which goes on,");
    else if (!h->stopped && h->phase == ROLLING_RETURNS)
        job = job_advice(h, "its return, which goes on,");
    const char *parts[] = {job, h->stopped ? h->todo : NULL, own};
    char *todo = NULL;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (!parts[i] || (job && i == 2 && h->phase == ROLLING_RETURNS))
            continue;
        char *longer = xasprintf("%s%s%s", todo ? todo : "", todo ? "; " : "", parts[i]);
        free(todo);
        todo = longer;
    }
    *ret_todo = todo;
    return xstrdup(state_of(r, h));
}
