#include "coordinator/core/policies.h"

#include "common/base/cleanup.h"
#include "common/base/memory.h"
#include "common/model/model.h"
#include "coordinator/core/text.h"

#include <stdlib.h>

void policies_deinit(struct policies *p)
{
    for (size_t i = 0; i < p->n; i++) {
        free(p->list[i].name);
        names_deinit(&p->list[i].guests);
        names_deinit(&p->list[i].labels);
    }
    free(p->list);
    *p = (struct policies){0};
}

static bool fits(const struct intent *intent, const Drover__V1__Guest *guest)
{
    if (names_match(&intent->guests, guest->name))
        return true;
    for (size_t i = 0; i < guest->n_labels; i++)
        if (names_match(&intent->labels, guest->labels[i]))
            return true;
    return false;
}

const struct intent *policies_find(const struct policies *p, const Drover__V1__Guest *guest)
{
    for (size_t i = 0; p && i < p->n; i++)
        if (fits(&p->list[i], guest))
            return &p->list[i];
    return NULL;
}

int policies_hold(const struct policies *policies, const Drover__V1__Policy *fallback,
                  const Drover__V1__Guest *guest, const Drover__V1__Policy *given, char *const *fields,
                  size_t n_fields, Drover__V1__Policy *ret, const struct intent **ret_intent,
                  struct error *err)
{
    const struct intent *intent = policies_find(policies, guest);
    static const Drover__V1__Policy none = DROVER__V1__POLICY__INIT;
    given = given ? given : &none;
    Drover__V1__Policy p = intent ? intent->policy : *fallback;
    for (size_t i = 0; i < n_fields; i++) {
        const char *field = fields[i];
        if (streq(field, "max_pause")) {
            p.max_pause = given->max_pause;
        } else if (streq(field, "deadline")) {
            p.deadline = given->deadline;
        } else if (streq(field, "bandwidth")) {
            p.bandwidth = given->bandwidth;
        } else if (streq(field, "allow")) {
            p.auto_converge = given->auto_converge;
            p.post_copy = given->post_copy;
            p.offline = given->offline;
        } else {
            return error_set(
                err, STATUS_INVALID_ARGUMENT,
                "policy_given: unknown field '%s'; expected max_pause, deadline, bandwidth or allow", field);
        }
    }
    if (p.max_pause < 0 || p.deadline < 0)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "policy: %s is negative; expected milliseconds, 0 or more",
                         p.max_pause < 0 ? "max_pause" : "deadline");
    *ret = p;
    if (ret_intent)
        *ret_intent = intent;
    return 0;
}

static void say_patterns(char **text, const char *what, const struct names *names)
{
    for (size_t i = 0; i < names->n; i++)
        text_append(text, ", ", "%s%s", what, names->list[i]);
}

char *policies_say(const struct intent *intent, const Drover__V1__Policy *policy)
{
    char pause[24], deadline[24];
    _cleanup_free_ char *patterns = NULL, *may = NULL;
    if (intent) {
        say_patterns(&patterns, "", &intent->guests);
        say_patterns(&patterns, "label ", &intent->labels);
    }
    if (policy->offline)
        text_append(&may, ", ", "pause it");
    if (policy->auto_converge)
        text_append(&may, ", ", "slow it down");
    if (policy->post_copy)
        text_append(&may, ", ", "use post-copy");
    char *text = NULL;
    text_append(&text, "", intent ? "%s (%s)" : "%s%s", intent ? intent->name : "default",
                patterns ? patterns : "");
    text_append(&text, ": ", policy->max_pause ? "a pause of up to %s" : "no limit of the pause%s",
                policy->max_pause ? model_say_time(pause, sizeof(pause), (double)policy->max_pause) : "");
    text_append(&text, ", ", policy->deadline ? "a deadline of %s" : "no deadline%s",
                policy->deadline ? model_say_time(deadline, sizeof(deadline), (double)policy->deadline) : "");
    text_append(&text, ", ", "may %s", may ? may : "only stay live");
    return text;
}
