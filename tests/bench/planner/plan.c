/* Plans the evacuation of nodes of a fleet in Ganeti's text format (htools(1)), so that hbal can plan and score the same one:
 *   planner_plan FILE NODE,NODE... [RESULT]
 * Prints "plan_ms=... process_ms=... moves=... stuck=..." (CPU time); RESULT is the fleet after the plan. */
#include "coordinator/core/planner.h"

#include "common/base/memory.h"

#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MIB 1048576ULL

enum { FIELDS = 16, NODE_FIELDS = 12, GUEST_FIELDS = 10 };

struct text {
    char *fields[FIELDS];
    int n;
};

struct fleet_text {
    struct text *nodes, *guests;
    struct planner_host *hosts;
    struct planner_guest *list;
    struct planner_group *groups;
    uint32_t n_nodes, n_guests, n_groups;
    struct hsearch_data names;
};

static double cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void die(const char *what)
{
    fprintf(stderr, "planner_plan: %s\n", what);
    exit(2);
}

static struct text split(char *line)
{
    struct text t = {0};
    for (char *field; t.n < FIELDS && (field = strsep(&line, "|"));)
        t.fields[t.n++] = field;
    return t;
}

/* A number for a name, the same each time; `n` if it is new. */
static uint32_t number(struct fleet_text *f, char *name, uint32_t n)
{
    ENTRY wanted = {.key = name, .data = (void *)(uintptr_t)n}, *found;
    if (!hsearch_r(wanted, ENTER, &found, &f->names))
        die("too many names");
    return (uint32_t)(uintptr_t)found->data;
}

static void add_node(struct fleet_text *f, struct text t)
{
    if (t.n < NODE_FIELDS)
        die("a node has fewer fields than expected");
    f->nodes = xrealloc(f->nodes, f->n_nodes + 1, sizeof(*f->nodes));
    f->hosts = xrealloc(f->hosts, f->n_nodes + 1, sizeof(*f->hosts));
    f->hosts[f->n_nodes] = (struct planner_host){
        .name = t.fields[0],
        .memory_total = strtoull(t.fields[1], NULL, 10) * MIB,
        .memory_free = strtoull(t.fields[3], NULL, 10) * MIB,
        .cpus = (uint32_t)strtoul(t.fields[6], NULL, 10),
        .takes = true,
    };
    f->nodes[f->n_nodes] = t;
    number(f, t.fields[0], f->n_nodes++);
}

static void add_guest(struct fleet_text *f, struct text t)
{
    if (t.n < GUEST_FIELDS)
        die("an instance has fewer fields than expected");
    f->guests = xrealloc(f->guests, f->n_guests + 1, sizeof(*f->guests));
    f->list = xrealloc(f->list, f->n_guests + 1, sizeof(*f->list));
    uint64_t memory = strtoull(t.fields[1], NULL, 10) * MIB;
    struct planner_guest *g = &f->list[f->n_guests];
    *g = (struct planner_guest){
        .name = t.fields[0],
        .uuid = t.fields[0],
        .host = number(f, t.fields[6], PLANNER_NONE),
        .memory = memory,
        .memory_now = memory,
        .vcpus = (uint32_t)strtoul(t.fields[3], NULL, 10),
        .vcpu_percent = 200,
    };
    if (g->host >= f->n_nodes)
        die("an instance is on a node that is not there");
    if (t.fields[9][0]) {
        uint32_t *group = xcalloc(1, sizeof(*group));
        *group = number(f, t.fields[9], f->n_groups);
        if (*group == f->n_groups) {
            f->groups = xrealloc(f->groups, f->n_groups + 1, sizeof(*f->groups));
            f->groups[f->n_groups++] = (struct planner_group){t.fields[9], true};
        }
        g->groups = group;
        g->n_groups = 1;
    }
    f->guests[f->n_guests++] = t;
}

static char *slurp(const char *name)
{
    FILE *file = fopen(name, "re");
    if (!file || fseek(file, 0, SEEK_END) < 0)
        die("can't read the fleet");
    size_t size = (size_t)ftell(file);
    char *text = xcalloc(size + 1, 1);
    rewind(file);
    if (fread(text, 1, size, file) != size)
        die("can't read the fleet");
    fclose(file);
    return text;
}

/* Sections are parted by empty lines: groups, nodes, instances, tags, policies. Returns the rest, as it is. */
static char *read_fleet(struct fleet_text *f, char *text, char **ret_head)
{
    int section = 0;
    char *line;
    *ret_head = xstrdup(text);
    if (!hcreate_r(1000000, &f->names))
        die("no memory");
    while (section < 3 && (line = strsep(&text, "\n"))) {
        if (!line[0])
            section++;
        else if (section == 1)
            add_node(f, split(line));
        else if (section == 2)
            add_guest(f, split(line));
    }
    *strstr(*ret_head, "\n\n") = '\0';
    return text;
}

static void write_line(FILE *out, const struct text *t)
{
    for (int i = 0; i < t->n; i++)
        fprintf(out, "%s%s", i ? "|" : "", t->fields[i]);
    fputc('\n', out);
}

static void write_fleet(const char *name, struct fleet_text *f, const struct planner_plan *plan,
                        const char *head, const char *rest)
{
    FILE *out = fopen(name, "we");
    if (!out)
        die("can't write the result");
    for (uint32_t i = 0; i < plan->n_moves; i++) {
        const struct planner_move *m = &plan->moves[i];
        f->hosts[m->from].memory_free += f->list[m->guest].memory;
        f->hosts[m->to].memory_free -= f->list[m->guest].memory;
        f->guests[m->guest].fields[6] = f->nodes[m->to].fields[0];
    }
    fprintf(out, "%s\n\n", head);
    for (uint32_t i = 0; i < f->n_nodes; i++) {
        char *free_mib = xasprintf("%llu", f->hosts[i].memory_free / MIB);
        f->nodes[i].fields[3] = free_mib;
        write_line(out, &f->nodes[i]);
        free(free_mib);
    }
    fputc('\n', out);
    for (uint32_t i = 0; i < f->n_guests; i++)
        write_line(out, &f->guests[i]);
    fprintf(out, "\n%s", rest);
    fclose(out);
}

int main(int argc, char **argv)
{
    struct fleet_text f = {0};
    struct planner_plan plan;
    char *head, *rest;
    if (argc < 3)
        die("expected FILE NODE,NODE... [RESULT]");
    rest = read_fleet(&f, slurp(argv[1]), &head);
    bool *from = xcalloc(f.n_nodes + 1, sizeof(*from));
    for (char *list = argv[2], *node; (node = strsep(&list, ","));) {
        uint32_t host = number(&f, node, PLANNER_NONE);
        if (host >= f.n_nodes)
            die("no such node");
        from[host] = true;
    }
    const struct planner_fleet fleet = {
        .hosts = f.hosts,
        .guests = f.list,
        .groups = f.groups,
        .n_hosts = f.n_nodes,
        .n_guests = f.n_guests,
        .n_groups = f.n_groups,
    };
    /* What hbal's score counts: memory and vCPUs at half weight, now and forthcoming; and the number of guests four times, as their
     * load on CPU, memory, disk and network, which is 1 where nothing is measured. */
    const struct planner_request request = {
        .goal = PLANNER_EVACUATE,
        .from = from,
        .others_stay = true,
        .weights = {.memory = 1, .vcpus = 1, .guests = 4},
    };
    double before = cpu_ms();
    struct planner *planner = planner_new(&fleet);
    planner_run(planner, &request, &plan);
    double plan_ms = cpu_ms() - before;
    printf("plan_ms=%.3f process_ms=%.3f moves=%u stuck=%u\n", plan_ms, cpu_ms(), plan.n_moves, plan.n_stuck);
    if (argc > 3)
        write_fleet(argv[3], &f, &plan, head, rest);
    return 0;
}
