#include "cli/order.h"

#include "common/base/memory.h"
#include "common/config/yaml.h"

#include <string.h>

void order_deinit(struct order *order)
{
    free(order->accept);
}

static int parse_mode(const char *text, Drover__V1__Mode *ret, struct error *err)
{
    static const struct {
        const char *name;
        Drover__V1__Mode mode;
    } modes[] = {{"auto", DROVER__V1__MODE__MODE_AUTO},
                 {"live", DROVER__V1__MODE__MODE_LIVE},
                 {"post-copy", DROVER__V1__MODE__MODE_POST_COPY},
                 {"offline", DROVER__V1__MODE__MODE_OFFLINE}};
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
        if (streq(text, modes[i].name)) {
            *ret = modes[i].mode;
            return 0;
        }
    return error_set(err, STATUS_INVALID_ARGUMENT,
                     "--mode is '%s'; expected auto, live, post-copy or offline", text);
}

static int parse_allow(const char *text, Drover__V1__Policy *policy, struct error *err)
{
    for (const char *p = text;;) {
        size_t n = strcspn(p, ",");
        if (n == 7 && memcmp(p, "offline", n) == 0)
            policy->offline = true;
        else if (n == 13 && memcmp(p, "auto-converge", n) == 0)
            policy->auto_converge = true;
        else if (n == 9 && memcmp(p, "post-copy", n) == 0)
            policy->post_copy = true;
        else if (!(n == 4 && strcmp(text, "none") == 0))
            return error_set(
                err, STATUS_INVALID_ARGUMENT,
                "--allow has '%.*s' in it; expected offline, post-copy and auto-converge with commas "
                "between them, or none",
                (int)n, p);
        if (!p[n])
            return 0;
        p += n + 1;
    }
}

static int positive(const char *option, const char *text, int64_t value, int r, struct error *err)
{
    if (r < 0)
        return error_prefix(err, "--%s", option);
    if (value <= 0)
        return error_set(err, STATUS_INVALID_ARGUMENT, "--%s is '%s'; expected more than nothing", option,
                         text);
    return 0;
}

int order_parse(const struct args *args, struct order *order, struct error *err)
{
    *order = (struct order){DROVER__V1__MIGRATE_GUEST_REQUEST__INIT, DROVER__V1__POLICY__INIT, {0}, NULL};
    Drover__V1__MigrateGuestRequest *r = &order->request;
    const char *to = args_value(args, "to"), *mode = args_value(args, "mode"),
               *pause = args_value(args, "max-pause"), *deadline = args_value(args, "deadline"),
               *bandwidth = args_value(args, "bandwidth"), *allow = args_value(args, "allow");
    int64_t rate = 0;
    int result = 0;
    if (to)
        r->to = (char *)to;
    if (mode)
        result = parse_mode(mode, &r->mode, err);
    if (result >= 0 && pause) {
        result = parse_duration_ms(pause, &order->policy.max_pause, err);
        result = positive("max-pause", pause, order->policy.max_pause, result, err);
        order->given[r->n_policy_given++] = (char *)"max_pause";
    }
    if (result >= 0 && deadline) {
        result = parse_duration_ms(deadline, &order->policy.deadline, err);
        result = positive("deadline", deadline, order->policy.deadline, result, err);
        order->given[r->n_policy_given++] = (char *)"deadline";
    }
    if (result >= 0 && bandwidth) {
        result = parse_rate(bandwidth, &rate, err);
        result = positive("bandwidth", bandwidth, rate, result, err);
        order->policy.bandwidth = (uint64_t)rate;
        order->given[r->n_policy_given++] = (char *)"bandwidth";
    }
    if (result >= 0 && allow) {
        result = parse_allow(allow, &order->policy, err);
        order->given[r->n_policy_given++] = (char *)"allow";
    }
    for (const char *id; (id = args_nth(args, "accept", r->n_accept)); r->n_accept++) {
        order->accept = xrealloc(order->accept, r->n_accept + 1, sizeof(char *));
        order->accept[r->n_accept] = (char *)id;
    }
    r->copy_storage = args_flag(args, "copy-storage");
    r->accept = order->accept;
    r->policy = &order->policy;
    r->policy_given = order->given;
    return result;
}

void order_of_plan(const struct order *order, Drover__V1__PlanRequest *plan)
{
    const Drover__V1__MigrateGuestRequest *r = &order->request;
    plan->mode = r->mode;
    plan->policy = r->policy;
    plan->policy_given = r->policy_given;
    plan->n_policy_given = r->n_policy_given;
    plan->accept = r->accept;
    plan->n_accept = r->n_accept;
    plan->copy_storage = r->copy_storage;
}
