/* What a transfer tells: kept by the agent, heard by a coordinator once. */
#include "common/base/memory.h"
#include "common/story/story.h"
#include "coordinator/core/heard.h"
#include "coordinator/core/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

enum { LOG = 200 };

struct made {
    Drover__V1__Story *story;
    Drover__V1__Job *job;
    Drover__V1__Journal journal;
};

static int setup(void **state)
{
    static struct made m;
    m.story = story_new(4711);
    m.job = new0(Drover__V1__Job);
    drover__v1__job__init(m.job);
    drover__v1__journal__init(&m.journal);
    *state = &m;
    return 0;
}

static int teardown(void **state)
{
    struct made *m = *state;
    story_free(m->story);
    drover__v1__job__free_unpacked(m->job, NULL);
    return 0;
}

/* One that the coordinator hears as it is taken. */
static void live(struct made *m, const char *text)
{
    const Drover__V1__Decision *d = story_decide(m->story, 1000, text);
    if (heard_anew(&m->journal, m->story->run, d->number))
        job_log(m->job, d->at, d->text, LOG);
}

static void pass(Drover__V1__Story *s, unsigned iteration)
{
    Drover__V1__Progress p = DROVER__V1__PROGRESS__INIT;
    p.bytes_total = 1 << 20;
    p.iteration = iteration;
    p.elapsed = iteration * 100;
    story_pass(&s->n_passes, &s->passes, &p);
    story_pass(&s->n_passes, &s->passes, &p); /* within the pass */
}

static void what_was_missed_is_heard_and_the_rest_not_twice(void **state)
{
    struct made *m = *state;
    live(m, "starts live");
    story_decide(m->story, 2000, "paused for 2 s");
    for (unsigned again = 0; again < 2; again++) {
        heard_story(m->job, &m->journal, m->story, LOG);
        assert_int_equal(m->job->n_log, 2);
    }
    assert_string_equal(m->job->log[1]->text, "paused for 2 s");
    assert_int_equal(m->job->log[1]->at, 2000);
}

static void a_restarted_agent_numbers_anew(void **state)
{
    struct made *m = *state;
    live(m, "starts live");
    live(m, "waits");
    assert_true(heard_anew(&m->journal, 4712, 1));
    assert_false(heard_anew(&m->journal, 4712, 1));
    assert_true(heard_anew(&m->journal, 4712, 2));
    assert_true(heard_anew(&m->journal, 0, 0)); /* an older one numbers nothing */
    assert_true(heard_anew(&m->journal, 0, 0));
}

static void the_forecast_and_the_passes_come_with_it(void **state)
{
    struct made *m = *state;
    Drover__V1__Forecast f = DROVER__V1__FORECAST__INIT;
    f.pause = 61;
    story_foretell(m->story, &f);
    pass(m->story, 1);
    heard_story(m->job, &m->journal, m->story, LOG);
    assert_int_equal(m->job->forecast->pause, 61);
    pass(m->story, 2);
    heard_story(m->job, &m->journal, m->story, LOG);
    heard_story(m->job, &m->journal, m->story, LOG);
    assert_int_equal(m->job->n_passes, 2);
    assert_int_equal(m->job->passes[1]->iteration, 2);
}

static void passes_that_were_missed_come_between_those_that_were_heard(void **state)
{
    struct made *m = *state;
    for (unsigned i = 1; i <= 5; i++)
        pass(m->story, i);
    Drover__V1__Progress late = DROVER__V1__PROGRESS__INIT;
    late.bytes_total = 1 << 20;
    for (unsigned i = 1; i <= 5;
         i += 4) { /* the stream was broken meanwhile, and back within the last pass */
        late.iteration = i;
        late.elapsed = i * 100 + i / 4 * 50;
        story_pass(&m->job->n_passes, &m->job->passes, &late);
    }
    for (unsigned again = 0; again < 2; again++) {
        heard_story(m->job, &m->journal, m->story, LOG);
        assert_int_equal(m->job->n_passes, 5);
        for (unsigned i = 0; i < 5; i++) {
            assert_int_equal(m->job->passes[i]->iteration, i + 1);
            assert_int_equal(m->job->passes[i]->elapsed, (i + 1) * 100);
        }
    }
}

static void the_beginning_and_the_end_are_kept(void **state)
{
    struct made *m = *state;
    char text[32];
    for (unsigned i = 1; i <= 3 * STORY_KEPT; i++) {
        snprintf(text, sizeof(text), "%u", i);
        story_decide(m->story, i, text);
        pass(m->story, i);
    }
    const Drover__V1__Story *s = m->story;
    assert_int_equal(s->n_decisions, STORY_KEPT);
    assert_int_equal(s->n_passes, STORY_KEPT);
    assert_int_equal(s->decisions[STORY_KEPT_FIRST - 1]->number, STORY_KEPT_FIRST);
    assert_int_equal(s->passes[STORY_KEPT_FIRST - 1]->iteration, STORY_KEPT_FIRST);
    assert_int_equal(s->decisions[STORY_KEPT - 1]->number, 3 * STORY_KEPT);
    assert_int_equal(s->passes[STORY_KEPT_FIRST]->iteration, 2 * STORY_KEPT + STORY_KEPT_FIRST + 1);
}

int main(void)
{
#define told(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        told(what_was_missed_is_heard_and_the_rest_not_twice),
        told(a_restarted_agent_numbers_anew),
        told(the_forecast_and_the_passes_come_with_it),
        told(passes_that_were_missed_come_between_those_that_were_heard),
        told(the_beginning_and_the_end_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
