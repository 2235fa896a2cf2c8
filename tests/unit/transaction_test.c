/* Golden traces: each file in data/transaction is a conversation with a transaction. A line "> ..." is an event, the lines
 * after it are exactly the actions that it causes. `transaction_test FILE` prints the trace of the events in FILE.
 *
 *   > start | restart | timer | cancel WHO | progress [post-copy]
 *   > crash                          the process dies and reads its journal again
 *   > +MS                            the clock moves
 *   > MESSAGE PARTY ANSWER [TEXT]    e.g. "> SETTLE source kept", "> PREPARE destination none no route to host"
 */
#include "common/base/cleanup.h"
#include "coordinator/core/transaction.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <glob.h>

static const char *const parties[] = {"source", "destination"};
static const char *const answers[] = {"ok",   "failed", "yes",     "no",  "unknown",
                                      "kept", "gone",   "running", "lost"};

struct talk {
    struct txn txn, durable;
    bool has_durable;
    int64_t now;
    FILE *out;
};

static struct txn fresh(void)
{
    return (struct txn){.guest = "web1", .host = {"kvm1", "kvm2"}, .generation = 7, .cold_generation = 8};
}

/* Every trace is held to the invariant: what is sent belongs to a state that is durable. */
static void show(struct talk *t, const struct txn_actions *actions)
{
    for (size_t i = 0; i < actions->n; i++) {
        const struct txn_action *a = &actions->list[i];
        switch (a->kind) {
        case TXN_ACTION_JOURNAL:
            t->durable = t->txn;
            t->has_durable = true;
            fprintf(t->out, "journal %s\n", txn_state_name(t->txn.state));
            break;
        case TXN_ACTION_SEND:
            if (!t->has_durable || t->durable.state != t->txn.state)
                fprintf(t->out, "NOT DURABLE: ");
            fprintf(t->out, "send %s to %s%s\n", txn_message_name(a->message), parties[a->party],
                    a->message == TXN_ACTIVATE ? (t->txn.from_disks ? ", from its disks"
                                                  : t->txn.paused   ? ", paused"
                                                                    : "")
                    : a->message == TXN_ABORT
                        ? (t->txn.taken_back ? ", which is told that it was taken back" : "")
                    : a->message != TXN_SETTLE   ? ""
                    : t->txn.granted             ? ", which is told that it was given away"
                    : t->txn.resolve == TXN_KEPT ? " with the word kept"
                    : t->txn.resolve != TXN_GONE ? ""
                    : t->txn.resolve_cold        ? " with the word gone, but its disks"
                                                 : " with the word gone");
            break;
        case TXN_ACTION_ARM: fprintf(t->out, "timer %lld\n", (long long)a->ms); break;
        case TXN_ACTION_TELL: fprintf(t->out, "tell %s\n", a->text); break;
        case TXN_ACTION_FINISH: fprintf(t->out, "finish\n"); break;
        }
    }
}

static int lookup(const char *const *words, size_t n, const char *word)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(words[i], word) == 0)
            return (int)i;
    return -1;
}

static bool parse(const char *line, struct txn_event *e, char text[200])
{
    char a[32] = "", b[32] = "", c[32] = "";
    text[0] = 0;
    sscanf(line, "%31s %31s %31s %199[^\n]", a, b, c, text);
    for (int m = 0; m < TXN_N_MESSAGES; m++) {
        if (strcmp(a, txn_message_name((enum txn_message)m)) != 0)
            continue;
        int party = lookup(parties, 2, b), answer = lookup(answers, 9, c);
        if (party < 0 || (answer < 0 && strcmp(c, "none") != 0))
            return false;
        e->kind = answer < 0 ? TXN_EVENT_NO_ANSWER : TXN_EVENT_ANSWER;
        e->message = (enum txn_message)m;
        e->party = (enum txn_party)party;
        e->answer = answer < 0 ? TXN_OK : (enum txn_answer)answer;
        e->text = text;
        e->paused = strncmp(text, "paused", 6) == 0;
        e->from_disks = strncmp(text, "from its disks", 14) == 0;
        return true;
    }
    static const char *const kinds[] = {"start", "restart", "?",     "?",         "progress",
                                        "timer", "cancel",  "grant", "take-back", "resolve"};
    e->from_disks = (strcmp(a, "grant") == 0 || strcmp(a, "resolve") == 0) && strcmp(c, "memory") != 0;
    int kind = lookup(kinds, 10, a);
    if (kind < 0 || kind == 2 || kind == 3)
        return false;
    e->kind = (enum txn_event_kind)kind;
    e->broken = strcmp(b, "broken") == 0;
    e->post_copy = e->broken || strcmp(b, "post-copy") == 0;
    if (e->kind == TXN_EVENT_RESOLVE) { /* by oncall */
        int answer = lookup(answers, 9, b);
        if (answer < 0)
            return false;
        e->answer = (enum txn_answer)answer;
        snprintf(b, sizeof(b), "oncall");
    }
    snprintf(text, 200, "%s", b);
    e->text = text;
    return true;
}

static void feed(struct talk *t, const char *line)
{
    struct txn_event e = {.now = t->now};
    struct txn_actions actions;
    char text[200];
    if (line[0] == '+') {
        t->now += atoll(line + 1);
        return;
    }
    if (strncmp(line, "crash", 5) == 0) {
        struct txn was = t->durable;
        t->txn = fresh();
        t->txn.state = was.state;
        t->txn.cancelled = was.cancelled;
        t->txn.cold_started = was.cold_started;
        t->txn.granted = was.granted;
        t->txn.taken_back = was.taken_back;
        t->txn.said_cold = was.said_cold;
        t->txn.paused = was.paused;
        t->txn.from_disks = was.from_disks;
        t->txn.post_copy = was.post_copy;
        memcpy(t->txn.why, was.why, sizeof(was.why));
        e.kind = TXN_EVENT_RESTART;
    } else if (!parse(line, &e, text)) {
        fprintf(t->out, "what is that?\n");
        return;
    }
    txn_step(&t->txn, &e, &actions);
    show(t, &actions);
}

/* Reads the events of a trace and writes the trace that they cause. */
static void play(FILE *in, FILE *out)
{
    struct talk t = {.now = 1000, .out = out};
    char line[400];
    bool first = true;
    while (fgets(line, sizeof(line), in)) {
        if (line[0] == '#') {
            fputs(line, out);
            continue;
        }
        if (first)
            t.txn = fresh();
        first = false;
        if (strncmp(line, "> ", 2) != 0)
            continue;
        fputs(line, out);
        if (strncmp(line, "> shut off", 10) == 0)
            t.txn.definition_only = true;
        else if (strncmp(line, "> waiting", 9) == 0) {
            char text[400], todo[400];
            txn_waiting(&t.txn, text, sizeof(text), todo, sizeof(todo));
            fprintf(out, "waiting: %s\ntodo: %s\n", text, todo);
        } else if (strncmp(line, "> cancel?", 9) == 0) {
            char text[400];
            bool can = txn_cancel_text(&t.txn, text, sizeof(text));
            fprintf(out, "cancel %s: %s\n", can ? "possible" : "impossible", text);
        } else {
            feed(&t, line + 2);
        }
    }
}

static char *read_all(const char *path)
{
    _cleanup_fclose_ FILE *f = fopen(path, "r");
    assert_non_null(f);
    char *text = NULL;
    size_t size = 0;
    ssize_t n = getdelim(&text, &size, '\0', f);
    assert_true(n > 0);
    return text;
}

static void each_trace_is_as_written(void **state)
{
    (void)state;
    const char *data = getenv("DROVER_TEST_DATA");
    char pattern[4096];
    snprintf(pattern, sizeof(pattern), "%s/transaction/*.trace", data ? data : "tests/data");
    glob_t files;
    assert_int_equal(glob(pattern, 0, NULL, &files), 0);
    assert_true(files.gl_pathc >= 20);
    unsigned wrong = 0;
    for (size_t i = 0; i < files.gl_pathc; i++) {
        _cleanup_free_ char *want = read_all(files.gl_pathv[i]);
        _cleanup_free_ char *got = NULL;
        size_t size;
        FILE *in = fmemopen(want, strlen(want), "r"), *out = open_memstream(&got, &size);
        play(in, out);
        fclose(in);
        fclose(out);
        if (strcmp(want, got) != 0) {
            print_error("%s: the trace is now:\n%s\n", files.gl_pathv[i], got);
            wrong++;
        }
        assert_null(strstr(got, "NOT DURABLE"));
    }
    globfree(&files);
    assert_int_equal(wrong, 0);
}

static void only_the_moves_of_the_diagram_are_allowed(void **state)
{
    (void)state;
    unsigned moves = 0;
    for (unsigned from = 0; from < TXN_N_STATES; from++)
        for (unsigned to = 0; to < TXN_N_STATES; to++)
            moves += txn_may_move((enum txn_state)from, (enum txn_state)to);
    assert_int_equal(moves, 11);
    assert_false(txn_may_move(TXN_TRANSFER, TXN_ABORTING)); /* never without the source's word */
    assert_false(txn_may_move(TXN_TRANSFER, TXN_ACTIVATING));
    assert_false(txn_may_move(TXN_DONE, TXN_PREPARING));
    assert_false(txn_may_move(TXN_NEW, TXN_N_STATES));
}

static void names_go_both_ways(void **state)
{
    (void)state;
    for (unsigned s = 0; s < TXN_N_STATES; s++) {
        enum txn_state back = TXN_N_STATES;
        assert_true(txn_state_parse(txn_state_name((enum txn_state)s), &back));
        assert_int_equal(back, s);
    }
    enum txn_state untouched = TXN_DONE;
    assert_false(txn_state_parse("", &untouched));
    assert_int_equal(untouched, TXN_DONE);
}

static void a_cold_start_carries_the_next_generation(void **state)
{
    (void)state;
    struct txn t = fresh();
    for (unsigned m = 0; m < TXN_N_MESSAGES; m++)
        assert_int_equal(txn_generation(&t, (enum txn_message)m), m == TXN_COLD ? 8 : 7);
}

/* Found by tests/sim: a journal that does not say that MIGRATE was sent, since it was sent by another coordinator. */
static void who_has_left_was_migrated(void **state)
{
    (void)state;
    struct txn t = fresh();
    struct txn_actions actions;
    t.state = TXN_SETTLING;
    const struct txn_event gone = {
        .kind = TXN_EVENT_ANSWER, .message = TXN_SETTLE, .party = TXN_SOURCE, .answer = TXN_GONE, .now = 1};
    txn_step(&t, &gone, &actions);
    assert_int_equal(t.state, TXN_ACTIVATING);
    assert_true(t.transferred); /* so that a destination without a record looks for its image */
}

/* Then another migration of the guest may begin. */
static void a_settled_one_waits_for_a_host_to_clear_away(void **state)
{
    (void)state;
    struct txn t = fresh();
    enum txn_party left = TXN_N_PARTIES;
    for (unsigned s = 0; s < TXN_N_STATES; s++) {
        t.state = (enum txn_state)s;
        assert_int_equal(txn_is_settled(&t, &left), s == TXN_ABORTING);
    }
    assert_int_equal(left, TXN_DESTINATION);
    t.state = TXN_COLD_START;
    t.cold_started = true;
    left = TXN_N_PARTIES;
    assert_true(txn_is_settled(&t, &left));
    assert_int_equal(left, TXN_DESTINATION);
    t.state = TXN_RELEASING;
    t.cold_started = false;
    t.answered = TXN_BIT(TXN_SOURCE);
    assert_false(txn_is_settled(&t, &left)); /* the guest's own host holds it yet */
    t.answered = TXN_BIT(TXN_DESTINATION);
    assert_true(txn_is_settled(&t, &left));
    assert_int_equal(left, TXN_SOURCE);
    t.granted = true; /* a copy may be left at the source */
    assert_false(txn_is_settled(&t, &left));
    t = (struct txn){.state = TXN_COLD_START, .cold_started = true, .taken_back = true}; /* or here */
    assert_false(txn_is_settled(&t, &left));
}

/* Asked at any moment, in any state, the texts are there and fit. */
static void every_state_says_what_it_waits_for(void **state)
{
    (void)state;
    for (unsigned s = 0; s < TXN_N_STATES; s++)
        for (int doubt = 0; doubt < 2; doubt++)
            for (int cold = 0; cold < 2; cold++) {
                bool may_doubt = s >= TXN_SETTLING && s <= TXN_COLD_START;
                if (doubt && !may_doubt)
                    continue;
                struct txn t = fresh();
                char text[40], todo[40], longer[400];
                t.state = (enum txn_state)s;
                t.in_doubt = doubt;
                t.cold_started = cold;
                snprintf(t.last, sizeof(t.last), "kvm1 says: nothing");
                txn_waiting(&t, text, sizeof(text), todo, sizeof(todo));
                assert_true(strlen(text) > 0 && strlen(text) < sizeof(text));
                assert_int_equal(strlen(todo) > 0, doubt);
                txn_cancel_text(&t, longer, sizeof(longer));
                assert_true(strlen(longer) > 10);
            }
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        _cleanup_fclose_ FILE *in = fopen(argv[1], "r");
        if (!in) {
            perror(argv[1]);
            return 1;
        }
        play(in, stdout);
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_trace_is_as_written),
        cmocka_unit_test(only_the_moves_of_the_diagram_are_allowed),
        cmocka_unit_test(names_go_both_ways),
        cmocka_unit_test(a_cold_start_carries_the_next_generation),
        cmocka_unit_test(who_has_left_was_migrated),
        cmocka_unit_test(a_settled_one_waits_for_a_host_to_clear_away),
        cmocka_unit_test(every_state_says_what_it_waits_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
