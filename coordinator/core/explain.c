#include "coordinator/core/explain.h"

#include "common/base/memory.h"
#include "coordinator/core/doctor.h"
#include "coordinator/core/text.h"

#define B DROVER__V1__SEVERITY__BLOCK

/* Told by others than the tables' rules. */
static const struct finding_about elsewhere[] = {
    {"no-host",
     "No host was named, and the inventory has no hypervisor beside the guest's own, or so many that not all "
     "could be asked.",
     B, false},
    {"libvirt", "In the prepare phase, the agent could not reach its own libvirt.", B, false},
    {"state-full",
     "In the prepare phase, the disk under an agent's state_dir was so full that it might not have been able "
     "to write down how a move goes on.",
     B, false},
    {"copy-backing",
     "In the prepare phase, the destination looked whether it has the file that a copied disk is backed by.",
     DROVER__V1__SEVERITY__INFO, false},
    {"definition", "In the prepare phase, the guest's definition could not be rewritten for the destination.",
     B, false},
    {"mode", "In the prepare phase, the agent was asked for a mode that it does not have.", B, false},
    {"guest-unreadable",
     "In the prepare phase, libvirt on the source did not tell the guest, or its definition.", B, false},
    {"copy-ended",
     "When a migration was undone, a copy of the guest ran at the destination, whose image somebody had "
     "resumed by hand.",
     DROVER__V1__SEVERITY__WARN, false},
    {"hook",
     "An executable of the operator's in a host's hooks.d/prepare said no; of a later phase: failed, which "
     "changed nothing.",
     B, false},
};

static bool is_known(const char *id, size_t before)
{
    struct finding_about a;
    for (size_t i = 0; i < before && explain_nth(i, &a); i++)
        if (streq(a.id, id))
            return true;
    return false;
}

bool explain_nth(size_t index, struct finding_about *ret)
{
    size_t n = 0;
    for (size_t i = 0; preflight_about(i, ret); i++)
        if (n++ == index)
            return true;
    for (size_t i = 0; doctor_about(i, ret); i++)
        if (n++ == index)
            return true;
    if (index - n >= sizeof(elsewhere) / sizeof(elsewhere[0]))
        return false;
    *ret = elsewhere[index - n];
    return true;
}

bool explain_find(const char *id, struct finding_about *ret)
{
    for (size_t i = 0; explain_nth(i, ret); i++)
        if (streq(ret->id, id))
            return true;
    return false;
}

static const char *weight(Drover__V1__Severity severity)
{
    return severity == B ? "block" : severity == DROVER__V1__SEVERITY__WARN ? "warn" : "info";
}

char *explain_text(const struct finding_about *a)
{
    return xasprintf(
        "%s (%s)\n%s\n%s\n", a->id, weight(a->severity), a->about,
        a->severity != B ? "It does not stand in the way of a move."
        : a->can_accept
            ? "It forbids the move, unless it is overridden by --accept, if you know better than the check."
            : "It forbids the move and can't be overridden.");
}

char *explain_page(void)
{
    struct finding_about a;
    char *page = xstrdup("# Findings\n\n"
                         "What `drover check`, `drover migrate` and `drover doctor` may find. *block* "
                         "forbids a move (of `doctor`: "
                         "the host is not\nready), *warn* and *info* don't. Those marked *accept* can be "
                         "overridden with `--accept ID`; "
                         "the job keeps that.\n\n"
                         "This page is made from the tables of rules: `drover check --explain all --markdown "
                         "> doc/findings.md`.\n\n"
                         "| id | weight | what it means |\n|---|---|---|\n");
    for (size_t i = 0; explain_nth(i, &a); i++)
        if (!is_known(a.id, i))
            text_append(&page, "", "| `%s` | %s%s | %s |\n", a.id, weight(a.severity),
                        a.can_accept ? ", accept" : "", a.about);
    return page;
}

int accept_check(char *const *ids, size_t n, struct error *err)
{
    for (size_t i = 0; i < n; i++) {
        struct finding_about a;
        if (!explain_find(ids[i], &a))
            return error_set(
                err, STATUS_INVALID_ARGUMENT,
                "there is no finding '%s' to accept; `drover check --explain all` lists what there is",
                ids[i]);
        if (a.severity == B && !a.can_accept)
            return error_set(
                err, STATUS_INVALID_ARGUMENT,
                "%s can't be accepted: the move could not work, or the guest's data would be in danger. See "
                "`drover check --explain %s`, and remove the cause",
                ids[i], ids[i]);
    }
    return 0;
}

void accept_apply(struct findings *findings, char *const *ids, size_t n)
{
    for (size_t f = 0; f < findings->n; f++)
        for (size_t i = 0; i < n; i++)
            if (findings->list[f]->severity == B && streq(findings->list[f]->id, ids[i])) {
                findings->list[f]->severity = DROVER__V1__SEVERITY__WARN;
                findings->list[f]->accepted = true;
            }
}
