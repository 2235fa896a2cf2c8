/* Plans for random fleets: no constraint is broken at any step, the same fleet in another order gives the same plan, and no plan
 * is worse than the first fit's. Then schedules of these plans, carried out with a clock of their own. */
#include "check.h"
#include "play.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tally {
    uint64_t moves, stuck, stopovers, rooms, waits, emptied, better, first_fit_moves, played, huge_moves,
        huge_stuck, dropped;
};

static const char *worse(const struct random_fleet *f, const struct planner_plan *plan, struct tally *tally)
{
    struct planner_plan first;
    struct planner *planner = planner_new(&f->fleet);
    planner_first_fit(planner, &f->request, &first);
    planner_free(planner);
    const char *fault = check_plan(f, &first);
    tally->first_fit_moves += first.n_moves;
    if (!fault && plan->n_stuck > first.n_stuck)
        fault = "more are stuck than with the first fit";
    bool measured = f->request.goal <= PLANNER_MOVE && plan->n_stuck == first.n_stuck;
    if (!fault && measured && plan->n_moves > first.n_moves)
        fault = "more moves than the first fit's, and as many are stuck";
    if (!fault && measured && plan->n_moves == first.n_moves && plan->score_after > first.score_after + 1e-6)
        fault = "a worse score than the first fit's";
    if (!fault && f->request.goal == PLANNER_BALANCE && plan->score_after > plan->score_before + 1e-9)
        fault = "a balance that makes it worse";
    tally->better += plan->n_stuck < first.n_stuck || plan->score_after < first.score_after - 1e-6;
    planner_plan_deinit(&first);
    return fault;
}

static const char *differs(const struct random_fleet *f, const struct planner_plan *plan, uint64_t seed)
{
    struct random_fleet other;
    struct planner_plan again;
    random_shuffle(f, &other, seed ^ 0x5eed);
    struct planner *planner = planner_new(&other.fleet);
    planner_run(planner, &other.request, &again);
    planner_free(planner);
    bool same = plan->n_moves == again.n_moves && plan->n_stuck == again.n_stuck;
    for (uint32_t i = 0; same && i < plan->n_moves; i++) {
        const struct planner_move *a = &plan->moves[i], *b = &again.moves[i];
        same = strcmp(f->guests[a->guest].name, other.guests[b->guest].name) == 0 &&
               strcmp(f->hosts[a->to].name, other.hosts[b->to].name) == 0 && a->waits == b->waits;
    }
    for (uint32_t i = 0; same && i < plan->n_stuck; i++)
        same = strcmp(plan->stuck[i].why, again.stuck[i].why) == 0;
    planner_plan_deinit(&again);
    return same ? NULL : "another plan for the same fleet in another order";
}

/* What a balance has done, another one right after it leaves as it is. Of guests with limits of their own it keeps the stricter ones
 * content while it moves; who is there already is not asked. */
static const char *goes_on(const struct random_fleet *f, const struct planner_plan *plan)
{
    struct random_fleet then;
    struct planner_plan again;
    if (!f->exact || f->ratios == OWN_RATIOS || f->request.goal != PLANNER_BALANCE || f->request.max_moves)
        return NULL;
    random_carry_out(f, plan, &then);
    struct planner *planner = planner_new(&then.fleet);
    planner_run(planner, &then.request, &again);
    planner_free(planner);
    bool moves = again.n_moves > 0;
    planner_plan_deinit(&again);
    return moves ? "another balance right after the first moves more" : NULL;
}

static const char *try_one(uint64_t seed, struct tally *tally)
{
    struct random_fleet f;
    struct planner_plan plan;
    random_fleet(&f, seed);
    struct planner *planner = planner_new(&f.fleet);
    planner_run(planner, &f.request, &plan);
    planner_free(planner);
    const char *fault = check_plan(&f, &plan);
    if (!fault)
        fault = worse(&f, &plan, tally);
    if (!fault)
        fault = differs(&f, &plan, seed);
    if (!fault)
        fault = goes_on(&f, &plan);
    if (!fault && plan.n_moves) {
        fault = play(&f, &plan, seed, &tally->dropped);
        tally->played++;
    }
    tally->moves += plan.n_moves;
    tally->stuck += plan.n_stuck;
    tally->emptied += plan.n_emptied;
    for (uint32_t i = 0; i < plan.n_moves; i++) {
        tally->stopovers += plan.moves[i].reason == PLANNER_STOPOVER;
        tally->rooms += plan.moves[i].reason == PLANNER_MAKES_ROOM;
        tally->waits += plan.moves[i].waits;
        tally->huge_moves += f.guests[plan.moves[i].guest].pages > 0;
    }
    for (uint32_t i = 0; i < plan.n_stuck; i++)
        tally->huge_stuck += strstr(plan.stuck[i].why, "of huge pages of") != NULL;
    planner_plan_deinit(&plan);
    return fault;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"fleets", required_argument, NULL, 'n'}, {"seed", required_argument, NULL, 's'}, {NULL, 0, NULL, 0}};
    uint64_t n = 100000, seed = 1;
    struct tally t = {0};
    for (int c; (c = getopt_long(argc, argv, "n:s:", options, NULL)) != -1;) {
        if (c == 'n')
            n = strtoull(optarg, NULL, 10);
        else if (c == 's')
            seed = strtoull(optarg, NULL, 10);
        else
            return 2;
    }
    for (uint64_t i = 0; i < n; i++) {
        const char *fault = try_one(seed + i, &t);
        if (fault) {
            fprintf(stderr, "seed %llu: %s\n", (unsigned long long)(seed + i), fault);
            return 1;
        }
    }
    printf("fleets=%llu moves=%llu stuck=%llu stopovers=%llu makes_room=%llu waits=%llu emptied=%llu "
           "better_than_first_fit=%llu played=%llu dropped=%llu huge_moves=%llu huge_stuck=%llu\n",
           (unsigned long long)n, (unsigned long long)t.moves, (unsigned long long)t.stuck,
           (unsigned long long)t.stopovers, (unsigned long long)t.rooms, (unsigned long long)t.waits,
           (unsigned long long)t.emptied, (unsigned long long)t.better, (unsigned long long)t.played,
           (unsigned long long)t.dropped, (unsigned long long)t.huge_moves, (unsigned long long)t.huge_stuck);
    /* A test that never meets what it is for says nothing. */
    if (n >= 10000 && !(t.moves && t.stuck && t.stopovers && t.rooms && t.waits && t.emptied && t.better &&
                        t.dropped && t.huge_moves && t.huge_stuck)) {
        fprintf(stderr, "some kind of plan never came up\n");
        return 1;
    }
    return 0;
}
