#include "cli/explain.h"

#include "common/base/cleanup.h"
#include "common/base/memory.h"
#include "coordinator/core/explain.h"

static json_t *about_json(const struct finding_about *a)
{
    static const char *const words[] = {"unset", "info", "warn", "block"};
    return json_pack("{s:s,s:s,s:s,s:b}", "id", a->id, "severity", words[a->severity], "about", a->about,
                     "can_accept", a->can_accept);
}

static int explain_all(struct cli *cli, bool markdown)
{
    struct finding_about a;
    if (markdown) {
        _cleanup_free_ char *page = explain_page();
        fputs(page, cli->out);
        return EXIT_DONE;
    }
    json_t *list = cli->json ? json_array() : NULL;
    for (size_t i = 0; explain_nth(i, &a); i++) {
        if (cli->json) {
            json_array_append_new(list, about_json(&a));
            continue;
        }
        _cleanup_free_ char *text = explain_text(&a);
        fprintf(cli->out, "%s%s", i ? "\n" : "", text);
    }
    if (cli->json)
        cli_print_json(cli, json_pack("{s:o}", "findings", list));
    return EXIT_DONE;
}

int explain(struct cli *cli, const char *id, bool markdown)
{
    struct finding_about a;
    struct error err;
    if (streq(id, "all"))
        return explain_all(cli, markdown);
    if (!explain_find(id, &a)) {
        const char *ids[256];
        size_t n = 0;
        for (; n < 256 && explain_nth(n, &a); n++)
            ids[n] = a.id;
        const char *near = args_suggest(id, ids, n);
        error_set(&err, STATUS_NOT_FOUND,
                  "there is no finding '%s'%s%s%s `drover check --explain all` lists what there is", id,
                  near ? "; did you mean '" : ";", near ? near : "", near ? "'?" : "");
        return cli_fail(cli, EXIT_USAGE, &err);
    }
    if (cli->json) {
        cli_print_json(cli, about_json(&a));
        return EXIT_DONE;
    }
    _cleanup_free_ char *text = explain_text(&a);
    fputs(text, cli->out);
    return EXIT_DONE;
}
