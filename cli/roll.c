#include "cli/roll_internal.h"

#include "cli/text.h"
#include "common/base/memory.h"

#include <signal.h>
#include <stdarg.h>
#include <string.h>

enum { TICK_MS = 500, LOST_MS = 120000, SETTLE_MS = 10000 };

/* ---- telling ----------------------------------------------------------------------------------------------------- */

static void put_event(struct cli *cli, json_t *event)
{
    json_dumpf(event, cli->out, JSON_COMPACT | JSON_PRESERVE_ORDER);
    fputc('\n', cli->out);
    fflush(cli->out);
    json_decref(event);
}

void roll_say(struct cli *cli, const char *host, const char *event, uint64_t job, const char *text)
{
    size_t size = strlen(text) * 4 + 1;
    _cleanup_free_ char *clean = xcalloc(1, size);
    char name[256], clock[TEXT_MAX];
    text_clean(text, clean, size);
    text_clean(host ? host : "", name, sizeof(name));
    int64_t now = clock_realtime_ms();
    if (cli->json) {
        put_event(cli, json_pack("{s:I,s:s,s:s,s:s,s:I}", "at", (json_int_t)now, "host", name, "event", event,
                                 "text", clean, "job", (json_int_t)job));
        return;
    }
    if (streq(event, "output"))
        fprintf(cli->out, "%s | %s\n", name, clean);
    else
        fprintf(cli->out, "%s %s%s%s\n", text_clock(now, clock), name, host ? ": " : "", clean);
    fflush(cli->out);
}

void roll_tell(const struct roll *roll, const char *host, const char *event, uint64_t job, const char *fmt,
               ...)
{
    va_list ap;
    _cleanup_free_ char *text = NULL;
    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0)
        abort();
    va_end(ap);
    roll_say(roll->cli, host, event, job, text);
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

static char *again(const struct roll *roll)
{
    _cleanup_free_ char *rest = rolling_rest(&roll->rolling);
    const struct roll_order *o = roll->order;
    return rest && o->again_before ? xasprintf("%s%s%s", o->again_before, rest, o->again_after) : NULL;
}

static void put_clean(FILE *out, const char *before, const char *text, const char *after)
{
    size_t size = strlen(text) * 4 + 1;
    _cleanup_free_ char *clean = xcalloc(1, size);
    fprintf(out, "%s%s%s", before, text_clean(text, clean, size), after);
}

static void tell_end(const struct roll *roll, int exit)
{
    FILE *out = roll->cli->out;
    _cleanup_free_ char *go_on = again(roll);
    json_t *hosts = json_array();
    fputs(roll->cli->json ? "" : exit ? "\nThe hosts are left like this:\n" : "\n", out);
    for (size_t i = 0; i < roll->rolling.n; i++) {
        const struct rolling_host *h = &roll->rolling.hosts[i];
        _cleanup_free_ char *todo = NULL, *state = rolling_left(&roll->rolling, h, &todo);
        if (roll->cli->json) {
            json_array_append_new(hosts, json_pack("{s:s,s:s,s:b,s:s,s:s,s:s,s:I}", "host", h->name, "phase",
                                                   rolling_word(h), "stopped", h->stopped, "why",
                                                   h->why ? h->why : "", "state", state, "todo",
                                                   todo ? todo : "", "job", (json_int_t)h->job));
            continue;
        }
        put_clean(out, "", h->name, ": ");
        put_clean(out, "", state, ".\n");
        if (h->stopped)
            put_clean(out, "    Stopped: ", h->why, ".\n");
        if (todo)
            put_clean(out, "    Do: ", todo, "\n");
    }
    if (roll->cli->json)
        put_event(roll->cli,
                  json_pack("{s:I,s:s,s:i,s:o,s:s}", "at", (json_int_t)clock_realtime_ms(), "event", "end",
                            "exit", exit, "hosts", hosts, "again", go_on ? go_on : ""));
    else
        json_decref(hosts);
    if (!roll->cli->json && go_on)
        put_clean(out, "To go on: ", go_on, "\n");
}

static bool any_runs(const struct roll *roll)
{
    for (size_t i = 0; i < roll->rolling.n; i++)
        if (roll->tasks[i].exec)
            return true;
    return false;
}

static void finish(struct roll *roll)
{
    if (roll->closing)
        return;
    roll->closing = true;
    loop_stop(roll->loop, 0);
}

/* Nothing begins any more. A command that runs is let end: half an upgrade is worse than a late answer. */
static void leave(struct roll *roll, int exit)
{
    roll->rolling.leaving = true;
    if (!roll->exit)
        roll->exit = exit;
    roll_turn(roll);
}

void roll_turn(struct roll *roll)
{
    for (size_t i; !roll->closing;) {
        switch (rolling_next(&roll->rolling, &i)) {
        case ROLLING_EMPTY: roll_host_empty(&roll->tasks[i]); break;
        case ROLLING_FILL: roll_host_fill(&roll->tasks[i]); break;
        case ROLLING_END: finish(roll); break;
        case ROLLING_NOTHING:
            if (roll->rolling.leaving && !any_runs(roll))
                finish(roll);
            return;
        }
    }
}

/* ---- what happens to it ------------------------------------------------------------------------------------------ */

static void on_interrupt(void *arg, int signo)
{
    struct roll *roll = arg;
    (void)signo;
    bool again_asked = roll->rolling.leaving;
    for (size_t i = 0; i < roll->rolling.n; i++) {
        struct roll_task *t = &roll->tasks[i];
        if (t->exec && again_asked)
            exec_end(t->exec, "the command was ended by a second interrupt");
        else if (t->exec)
            roll_tell(roll, t->h->name, "interrupted", 0,
                      "interrupted: the command that runs is waited for; interrupt once more to end it");
    }
    leave(roll, EXIT_INTERRUPTED);
}

static void on_child(void *arg, int signo)
{
    struct roll *roll = arg;
    (void)signo;
    for (size_t i = 0; i < roll->rolling.n; i++)
        if (roll->tasks[i].exec)
            exec_reap(roll->tasks[i].exec);
}

static void on_state(void *arg, bool up, const struct error *why)
{
    struct roll *roll = arg;
    if (up == !roll->down || roll->closing)
        return;
    roll->down = !up;
    *(up ? &roll->back_since : &roll->down_since) = clock_monotonic_ms();
    if (up)
        roll_tell(roll, NULL, "coordinator-back", 0, "the coordinator is back");
    else
        roll_tell(roll, NULL, "coordinator-lost", 0, "the coordinator can't be reached (%s); trying again",
                  client_without_url(roll->cli, why->text));
}

int64_t roll_settling(const struct roll *roll)
{
    int64_t left = roll->back_since + SETTLE_MS - clock_monotonic_ms();
    return roll->back_since && left > 0 ? left : 0;
}

/* It may run on a host that is just being rebooted: then that host's own time holds. */
static bool somebody_is_away(const struct roll *roll)
{
    for (size_t i = 0; i < roll->rolling.n; i++) {
        const struct rolling_host *h = &roll->rolling.hosts[i];
        if (!h->stopped && (h->phase == ROLLING_RUNS || h->phase == ROLLING_COMES_BACK))
            return true;
    }
    return false;
}

static void on_tick(void *arg)
{
    struct roll *roll = arg;
    int64_t now = clock_monotonic_ms();
    roll->tick = loop_timer_start(roll->loop, TICK_MS, on_tick, roll);
    for (size_t i = 0; i < roll->rolling.n; i++)
        roll_host_check(&roll->tasks[i], now);
    if (roll->down && now - roll->down_since > LOST_MS && !somebody_is_away(roll) && !roll->rolling.leaving) {
        roll_tell(roll, NULL, "coordinator-lost", 0, "the coordinator was not reachable for 2 minutes");
        leave(roll, EXIT_UNREACHABLE);
    }
}

/* ---- all together ------------------------------------------------------------------------------------------------ */

static int set_up(struct roll *roll, struct error *err)
{
    static const int interrupts[] = {SIGINT, SIGTERM, SIGHUP};
    int r = loop_new(&roll->loop, err);
    for (size_t i = 0; i < sizeof(interrupts) / sizeof(interrupts[0]) && r >= 0; i++)
        r = loop_signal(roll->loop, interrupts[i], on_interrupt, roll, err);
    if (r >= 0)
        r = loop_signal(roll->loop, SIGCHLD, on_child, roll, err);
    if (r >= 0)
        r = client_open(roll->cli, roll->loop, on_state, roll, &roll->client, err);
    return r;
}

static void tear_down(struct roll *roll)
{
    roll->closing = true;
    client_close(roll->client);
    for (size_t i = 0; i < roll->rolling.n; i++)
        roll_host_deinit(&roll->tasks[i]);
    loop_timer_cancel(roll->tick);
    loop_free(roll->loop);
    rolling_deinit(&roll->rolling);
    free(roll->tasks);
}

int roll_run(struct cli *cli, const struct roll_order *order)
{
    struct error err = {0};
    struct roll roll = {.cli = cli, .order = order};
    rolling_init(&roll.rolling, order->hosts, order->n);
    roll.rolling.parallel = order->parallel;
    roll.rolling.reboots = order->reboots;
    roll.rolling.power_off = order->power_off;
    roll.rolling.here = order->here;
    roll.rolling.steady = order->steady_ms;
    roll.tasks = xcalloc(order->n + 1, sizeof(*roll.tasks));
    for (size_t i = 0; i < order->n; i++)
        roll.tasks[i] = (struct roll_task){.roll = &roll, .h = &roll.rolling.hosts[i]};
    if (set_up(&roll, &err) < 0) {
        tear_down(&roll);
        return cli_fail(cli, client_exit(&err, EXIT_FAILED), &err);
    }
    on_tick(&roll);
    roll_turn(&roll);
    loop_run(roll.loop);
    int exit = roll.exit ? roll.exit : rolling_exit(&roll.rolling);
    tell_end(&roll, exit);
    tear_down(&roll);
    return exit;
}
