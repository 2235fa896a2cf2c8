/* An operator's hooks: before the vote in the turn of PREPARE, later ones beside the transaction (agent/core/hook.h). */
#include "agent/transaction.h"

#include "agent/core/hook.h"
#include "agent/io/hooks.h"
#include "agent/io/tree.h"
#include "agent/io/xml.h"
#include "common/base/failpoint.h"
#include "common/base/memory.h"

#include <ctype.h>
#include <string.h>

enum { NOTES_MAX = 16 }; /* kept of one transaction */

/* ---- what they are told ---- */

static const char *mode_word(Drover__V1__Mode mode)
{
    switch (mode) {
    case DROVER__V1__MODE__MODE_LIVE: return "live";
    case DROVER__V1__MODE__MODE_POST_COPY: return "post-copy";
    case DROVER__V1__MODE__MODE_OFFLINE: return "offline";
    case DROVER__V1__MODE__MODE_DEFINITION: return "definition";
    default: return "auto";
    }
}

static char *input_of(const struct transaction *txn, enum hook_phase phase)
{
    const Drover__V1__Record *r = txn->record;
    const char *me = txn->all->agent->config->name;
    const char *peer = r->peer && r->peer->host ? r->peer->host : "";
    bool source = txn->role == PARTICIPANT_SOURCE;
    _cleanup_free_ const char **begun = xcalloc(r->n_made + 1, sizeof(*begun));
    size_t n = 0;
    for (size_t i = 0; i < r->n_made; i++)
        if (r->made[i]->kind == DROVER__V1__MADE__KIND__HOOK && !r->made[i]->undone)
            begun[n++] = r->made[i]->what;
    const struct hook_facts facts = {
        .phase = hook_phase_name(phase),
        .role = source ? "source" : "destination",
        .transaction = txn->id,
        .generation = r->step->generation,
        .guest_name = transaction_guest_name(txn),
        .guest_uuid = txn->guest,
        .source = source ? me : peer,
        .destination = source ? peer : me,
        .mode = mode_word(r->mode),
        .xml = r->definition && r->definition->xml ? r->definition->xml : "",
        .prepared = begun,
        .n_prepared = n,
    };
    return hooks_input(&facts);
}

static struct limit limit_of(const struct transactions *all)
{
    return (struct limit){.deadline_ms = clock_monotonic_ms() + all->agent->config->hook_timeout_ms,
                          .cancel_fd = all->stop_fd};
}

/* ---- prepare ---- */

/* Hooks that are installed while a guest moves are for the next one: what a phase undoes, another has done. */
static bool any_installed(const char *dir)
{
    bool any = false;
    for (unsigned p = 0; p < HOOK_PHASES; p++) {
        char **names = NULL;
        size_t n = 0;
        any |= hooks_list(dir, hook_phase_name(p), &names, &n, NULL) < 0 || n;
        tree_list_free(names, n);
    }
    return any;
}

static void no(struct transaction *txn, struct findings *f, const char *name, const char *seen)
{
    const struct agent_config *c = txn->all->agent->config;
    _cleanup_free_ char *subject =
        xasprintf("hook %s/prepare%s%s on %s", c->hooks_dir, name ? "/" : "", name ? name : "", c->name);
    findings_add(f, DROVER__V1__SEVERITY__BLOCK, "hook", subject, seen, "status 0 in time",
                 "do what it says, or mend the hook; `chmod -x` takes it out of use");
}

/* The destination's hook has printed the definition as it is to be there. */
static int take_xml(struct transaction *txn, const char *name, char *output, struct error *err)
{
    Drover__V1__Definition *d = txn->record->definition;
    const char *at = output;
    while (isspace((unsigned char)*at))
        at++;
    if (txn->role != PARTICIPANT_DESTINATION || !d || !*at)
        return 0;
    _cleanup_(xml_freep) xmlDocPtr doc = NULL;
    _cleanup_free_ char *what = xasprintf("what %s printed", name);
    int r = xml_parse(what, at, strlen(at), "domain", &doc, err);
    if (r < 0)
        return r;
    const xmlNode *root = xmlDocGetRootElement(doc);
    _cleanup_free_ char *guest = xml_text(xml_child(root, "name"));
    _cleanup_free_ char *uuid = xml_text(xml_child(root, "uuid"));
    if (!guest || !streq(guest, transaction_guest_name(txn)) || !uuid || strcasecmp(uuid, txn->guest) != 0)
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "%s is a domain of name %s and UUID %s; expected the same guest: %s, %s", what,
                         guest ? guest : "(none)", uuid ? uuid : "(none)", transaction_guest_name(txn),
                         txn->guest);
    Drover__V1__Relocation *relocation = txn->record->relocation;
    if (!relocation) {
        relocation = txn->record->relocation = new0(Drover__V1__Relocation);
        drover__v1__relocation__init(relocation);
    }
    xml_set(&d->xml, xstrdup(at));
    if (txn->record->mode != DROVER__V1__MODE__MODE_DEFINITION)
        xml_set(&relocation->xml, xstrdup(at)); /* the running guest is started by it, too */
    log_info("transaction %s: the definition is as %s/prepare/%s printed it", txn->id,
             txn->all->agent->config->hooks_dir, name);
    return 0;
}

/* One of them. 0 also if it said no. */
static int prepare_one(struct transaction *txn, const char *name, const struct limit *limit,
                       struct findings *f, struct error *err)
{
    const char *dir = txn->all->agent->config->hooks_dir;
    _cleanup_free_ char *path = xasprintf("%s/prepare/%s", dir, name), *output = NULL;
    _cleanup_free_ char *input = input_of(txn, HOOK_PREPARE);
    struct error why = {0};
    transaction_made_also(txn, DROVER__V1__MADE__KIND__HOOK, path);
    int r = transaction_write(txn, PARTICIPANT_NONE, err);
    if (r < 0)
        return r;
    failpoint("agent.hook.prepare.before");
    if (!input)
        error_set(&why, STATUS_INVALID_ARGUMENT, "the definition is not in UTF-8");
    else if (hooks_run(dir, "prepare", name, 0, input, limit, &output, &why) == 0)
        take_xml(txn, name, output, &why);
    failpoint("agent.hook.prepare.after");
    if (why.code)
        no(txn, f, name, why.text);
    return 0;
}

int hooks_prepare(struct transaction *txn, struct findings *f, struct error *err)
{
    const char *dir = txn->all->agent->config->hooks_dir;
    if (!any_installed(dir))
        return 0;
    Drover__V1__Hooks *hooks = txn->record->hooks = new0(Drover__V1__Hooks);
    drover__v1__hooks__init(hooks);
    char **names = NULL;
    size_t n = 0;
    struct error why = {0};
    struct limit limit = limit_of(txn->all);
    int r = 0;
    if (hooks_list(dir, "prepare", &names, &n, &why) < 0)
        no(txn, f, NULL, why.text);
    for (size_t i = 0; i < n && r == 0 && !findings_block(f); i++)
        r = prepare_one(txn, names[i], &limit, f, err);
    tree_list_free(names, n);
    return r;
}

/* ---- the later ones ---- */

struct hooking {
    struct operation op; /* writes what came of it */
    struct transaction *txn;
    enum hook_phase phase;
    char *input;
    char id[37];
    char *notes[NOTES_MAX];
    size_t n_notes;
};

static void note(struct hooking *h, char *text)
{
    log_warn("transaction %s: %s", h->id, text);
    if (h->n_notes < NOTES_MAX)
        h->notes[h->n_notes++] = text;
    else
        free(text);
}

static void run_work(void *arg)
{
    struct hooking *h = arg;
    const struct agent_config *c = h->op.all->agent->config;
    const char *phase = hook_phase_name(h->phase);
    struct limit limit = limit_of(h->op.all);
    char **names = NULL;
    size_t n = 0;
    struct error why = {0};
    failpoint("agent.hook.%s.before", phase);
    if (hooks_list(c->hooks_dir, phase, &names, &n, &why) < 0)
        note(h, xasprintf("%s hooks on %s: %s", phase, c->name, why.text));
    for (size_t i = 0; i < n && !h->op.all->closing; i++) {
        _cleanup_free_ char *output = NULL;
        error_clear(&why);
        if (!h->input)
            error_set(&why, STATUS_INVALID_ARGUMENT, "the definition is not in UTF-8");
        else if (hooks_run(c->hooks_dir, phase, names[i], 0, h->input, &limit, &output, &why) == 0)
            log_info("transaction %s: hook %s/%s/%s has run", h->id, c->hooks_dir, phase, names[i]);
        if (why.code)
            note(h, xasprintf("%s hook %s on %s failed, which changes nothing: %s", phase, names[i], c->name,
                              why.text));
    }
    failpoint("agent.hook.%s.after", phase);
    tree_list_free(names, n);
}

static void hooking_free(struct hooking *h)
{
    for (size_t i = 0; i < h->n_notes; i++)
        free(h->notes[i]);
    free(h->input);
    free(h);
}

static void write_work(struct operation *op)
{
    struct hooking *h = (struct hooking *)op;
    Drover__V1__Hooks *hooks = op->txn->record->hooks;
    hooks->committed |= h->phase == HOOK_COMMIT;
    hooks->done |= h->phase == HOOK_DONE;
    hooks->aborted |= h->phase == HOOK_ABORT;
    for (size_t i = 0; i < h->n_notes; i++) {
        hooks->notes = xrealloc(hooks->notes, hooks->n_notes + 1, sizeof(*hooks->notes));
        hooks->notes[hooks->n_notes++] = xstrdup(h->notes[i]);
    }
    struct error err = {0};
    if (transaction_write(op->txn, transaction_state(op->txn), &err) < 0)
        log_error("transaction %s: %s; its %s hooks may run again when the agent is restarted", h->id,
                  err.text, hook_phase_name(h->phase));
}

/* For who asks on the loop. */
static void copy_notes(struct transaction *txn)
{
    const Drover__V1__Hooks *hooks = txn->record->hooks;
    if (!hooks->n_notes)
        return;
    free(txn->hook_notes);
    txn->hook_notes = xstrdup("");
    for (size_t i = 0; i < hooks->n_notes; i++) {
        _cleanup_free_ char *before = steal(&txn->hook_notes);
        txn->hook_notes = xasprintf("%s%s\n", before, hooks->notes[i]);
    }
}

static void write_done(struct operation *op)
{
    struct hooking *h = (struct hooking *)op;
    h->txn->hooking = NULL;
    hooking_free(h);
}

static void run_done(void *arg)
{
    struct hooking *h = arg;
    struct transactions *all = h->op.all;
    if (all->closing) { /* cut short: it runs again */
        h->txn->hooking = NULL;
        hooking_free(h);
    } else {
        turn_take(&h->op);
    }
    transactions_unref(all);
}

bool hooks_running(const struct transaction *txn)
{
    return txn->hooking != NULL;
}

void hooks_step(struct transaction *txn)
{
    const Drover__V1__Hooks *hooks = txn->record->hooks;
    if (!hooks || txn->hooking || txn->all->closing)
        return;
    copy_notes(txn);
    if (txn->state == PARTICIPANT_NONE) {
        drive_look_later(txn);
        return;
    }
    const struct hooks_ran ran = {
        .prepared = transaction_has_made(txn, DROVER__V1__MADE__KIND__HOOK),
        .committed = hooks->committed,
        .done = hooks->done,
        .aborted = hooks->aborted,
    };
    enum hook_phase phase = hook_due(txn->state, &ran);
    if (phase == HOOK_PHASES)
        return;
    struct hooking *h = txn->hooking = new0(struct hooking);
    h->txn = txn;
    h->phase = phase;
    h->input = input_of(txn, phase);
    memcpy(h->id, txn->id, sizeof(h->id));
    memcpy(h->op.guest, txn->guest, sizeof(h->op.guest));
    h->op.all = txn->all;
    h->op.id = h->id;
    h->op.work = write_work;
    h->op.done = write_done;
    txn->all->refs++;
    workers_submit(txn->all->hook_workers, run_work, run_done, h);
}
