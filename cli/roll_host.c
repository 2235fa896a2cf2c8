/* One host of a rolling maintenance: each function begins a step, whose answer begins the next one. */
#include "cli/roll_internal.h"

#include "cli/text.h"
#include "common/base/memory.h"

#include <string.h>

enum { STATUS_MS = 5000, LOOK_MS = 500, DOCTOR_AGAIN_MS = 2000 };

/* ---- the command ------------------------------------------------------------------------------------------------- */

static const Drover__V1__HostStatus *status_in(const struct roll_task *t,
                                               const Drover__V1__ListHostsReply *reply)
{
    for (size_t i = 0; i < reply->n_hosts; i++)
        if (streq(reply->hosts[i]->name, t->h->name))
            return reply->hosts[i];
    return NULL;
}

static void ask_status(struct roll_task *t, roll_answered *fn)
{
    Drover__V1__ListHostsRequest request = DROVER__V1__LIST_HOSTS_REQUEST__INIT;
    request.host = (char *)t->h->name;
    roll_ask(t, "ListHosts", &request.base, STATUS_MS, false, fn);
}

static void look(struct roll_task *t);

static void on_line(void *arg, const char *line)
{
    struct roll_task *t = arg;
    roll_tell(t->roll, t->h->name, "output", 0, "%s", line);
}

static void on_command_end(void *arg, const char *why)
{
    struct roll_task *t = arg;
    _cleanup_free_ char *text = xstrdup(why);
    exec_free(steal(&t->exec));
    if (text) {
        roll_host_stop(t, EXIT_FAILED, text, NULL);
        return;
    }
    roll_tell(t->roll, t->h->name, "command-ended", 0, "the command has ended well");
    if (t->roll->order->power_off) {
        roll_host_done(t);
        return;
    }
    t->h->phase = ROLLING_COMES_BACK;
    t->deadline = clock_monotonic_ms() + t->roll->order->back_ms;
    if (!t->roll->rolling.leaving)
        look(t);
    roll_turn(t->roll);
}

static void run_command(struct roll_task *t, const Drover__V1__HostStatus *s)
{
    struct error err;
    char address[256];
    text_url_host(s->agent, address, sizeof(address));
    if (!*address)
        snprintf(address, sizeof(address), "%s", s->report->migration_address);
    _cleanup_free_ char *host = xasprintf("DROVER_HOST=%s", s->name),
                        *site = xasprintf("DROVER_SITE=%s", s->site),
                        *at = xasprintf("DROVER_ADDRESS=%s", address);
    const char *const environment[] = {host, at, site, NULL};
    const struct exec_config config = {.loop = t->roll->loop,
                                       .command = t->roll->order->command,
                                       .environment = environment,
                                       .timeout_ms = t->roll->order->exec_ms,
                                       .on_line = on_line,
                                       .on_end = on_command_end,
                                       .arg = t};
    t->h->phase = ROLLING_RUNS;
    roll_tell(t->roll, t->h->name, "command", 0, "is in maintenance and empty; runs: %s",
              t->roll->order->command);
    if (exec_start(&config, &t->exec, &err) < 0)
        roll_host_stop(t, EXIT_FAILED, err.text, NULL);
}

static void on_proven(struct roll_task *t, const void *reply, const struct error *why)
{
    struct error err = {0};
    if (t->roll->rolling.leaving)
        return;
    if (why) {
        roll_failed(t, why, roll_host_emptied);
        return;
    }
    const Drover__V1__HostStatus *s = status_in(t, reply);
    if (!s)
        error_set(&err, STATUS_NOT_FOUND, "the coordinator does not know it any more");
    if (!s || rolling_before(&t->roll->rolling, t->h, s, &err) < 0) {
        roll_host_stop(t, EXIT_REFUSED, err.text, NULL);
        return;
    }
    run_command(t, s);
    roll_turn(t->roll); /* while it runs, another host may be emptied */
}

void roll_host_emptied(struct roll_task *t)
{
    int64_t wait = roll_settling(t->roll);
    if (wait) {
        roll_later(t, wait, roll_host_emptied);
        return;
    }
    ask_status(t, on_proven);
}

/* ---- back -------------------------------------------------------------------------------------------------------- */

static void tell_missing(struct roll_task *t, char *missing, int64_t again_ms)
{
    if (!t->missing || !streq(t->missing, missing))
        roll_tell(t->roll, t->h->name, "not-back", 0, "not back yet: %s", missing);
    free(t->missing);
    t->missing = missing;
    roll_later(t, again_ms, look);
}

static void on_doctor(struct roll_task *t, const void *reply, const struct error *why)
{
    const Drover__V1__DoctorReply *d = reply;
    if (t->h->phase != ROLLING_COMES_BACK)
        return;
    char *blocked = why           ? xasprintf("the doctor can't be asked: %s", why->text)
                    : !d->n_hosts ? xstrdup("the doctor does not know it")
                                  : rolling_blocked(d->hosts[0]);
    if (blocked) {
        tell_missing(t, blocked, DOCTOR_AGAIN_MS);
        return;
    }
    t->h->phase = ROLLING_BACK;
    roll_tell(t->roll, t->h->name, "back", 0, "is back, and ready: %s", t->seen);
    roll_turn(t->roll);
}

static void on_look(struct roll_task *t, const void *reply, const struct error *why)
{
    char *missing = NULL;
    const Drover__V1__HostStatus *s = reply ? status_in(t, reply) : NULL;
    if (why)
        missing = xasprintf("the coordinator can't be asked: %s", why->text);
    else if (!s)
        missing = xstrdup("the coordinator does not know it any more");
    if (missing || !rolling_look(&t->roll->rolling, t->h, s, clock_monotonic_ms(), &missing)) {
        tell_missing(t, missing, LOOK_MS);
        return;
    }
    free(t->seen);
    t->seen = rolling_seen(t->h, s);
    Drover__V1__DoctorRequest request = DROVER__V1__DOCTOR_REQUEST__INIT;
    request.host = (char *)t->h->name;
    roll_ask(t, "Doctor", &request.base, ROLL_ANSWER_MS, false, on_doctor);
}

static void look(struct roll_task *t)
{
    ask_status(t, on_look);
}

void roll_host_check(struct roll_task *t, int64_t now)
{
    if (roll_is_over(t) || t->roll->rolling.leaving || t->h->phase != ROLLING_COMES_BACK || now < t->deadline)
        return;
    char waited[TEXT_MAX];
    _cleanup_free_ char *text =
        xasprintf("it is not back after %s: %s", text_ms(t->roll->order->back_ms, waited),
                  t->missing ? t->missing : "it was not heard of");
    roll_host_stop(t, t->roll->down ? EXIT_UNREACHABLE : EXIT_FAILED, text, NULL);
}

void roll_host_deinit(struct roll_task *t)
{
    loop_timer_cancel(t->timer);
    exec_free(t->exec);
    reply_free(t->job);
    free(t->missing);
    free(t->seen);
}
