/* What each finding means: one list made from the tables of rules, for `drover check --explain`, the documentation and --accept. */
#pragma once

#include "coordinator/core/preflight.h"

/* All findings that there are: preflight's, `drover doctor`'s, then those that agents and placement tell. False past the last. */
bool explain_nth(size_t index, struct finding_about *ret);
bool explain_find(const char *id, struct finding_about *ret);

/* One finding in a paragraph; all of them as a page in Markdown. The caller's. */
char *explain_text(const struct finding_about *about);
char *explain_page(void);

/* May these ids be accepted? INVALID_ARGUMENT names the first that may not, and why. */
int accept_check(char *const *ids, size_t n, struct error *err);

/* What blocks and has one of these ids warns instead, and is marked. */
void accept_apply(struct findings *findings, char *const *ids, size_t n);
