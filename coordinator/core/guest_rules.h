/* What the operator wishes of guests, by name: groups that stay together or apart, pins, labels of hosts. As coordinator.yaml's
 * `groups:` and `guests:` say it; pure. Patterns are the shell's: *, ?, [a-z]. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct names {
    char **list; /* owned */
    size_t n;
};

struct guest_group {
    char *name;
    struct names guests; /* patterns */
    bool apart;          /* never two on one host; else: all on one host */
};

struct guest_rule {
    struct names guests;          /* patterns */
    bool pinned;                  /* stays where it is */
    struct names hosts;           /* patterns: only these hosts; none: any */
    struct names require, prefer; /* labels of hosts */
};

struct host_labels {
    char *host; /* its name */
    struct names labels;
};

struct guest_rules {
    struct guest_group *groups;
    struct guest_rule *rules;
    struct host_labels *hosts;
    size_t n_groups, n_rules, n_hosts;
};

/* Frees what is in there. */
void guest_rules_deinit(struct guest_rules *rules);

/* A name that one of the patterns fits. */
bool names_match(const struct names *patterns, const char *name);
bool names_have(const struct names *names, const char *name); /* as it is written */
void names_add(struct names *names, const char *name);
void names_deinit(struct names *names);
