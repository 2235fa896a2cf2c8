#include "cli/forecast.h"

#include "cli/text.h"

static void put(FILE *out, const char *text)
{
    char clean[1024];
    fputs(text_clean(text, clean, sizeof(clean)), out);
}

static void put_link(const Drover__V1__Forecast *f, FILE *out)
{
    char rate[TEXT_MAX], age[TEXT_MAX];
    if (!f->bandwidth)
        return;
    fprintf(out, "; link %s", text_rate(f->bandwidth, rate));
    if (*f->bandwidth_source) {
        fputs(" (", out);
        put(out, f->bandwidth_source);
        if (f->bandwidth_age > 0)
            fprintf(out, " %s ago", text_ms(f->bandwidth_age, age));
        fputc(')', out);
    }
}

void render_forecast(const Drover__V1__Forecast *f, FILE *out)
{
    char time[TEXT_MAX], pause[TEXT_MAX], size[TEXT_MAX], age[TEXT_MAX];
    fputs("forecast: ", out);
    if (!*f->way) {
        fputs("not known: ", out);
    } else {
        put(out, f->way);
        fprintf(out, ", %s in all, pause %s, %s", text_ms(f->time, time), text_ms(f->pause, pause),
                text_size(f->bytes, size));
        if (f->disk_bytes)
            fprintf(out, " (%s of it disks)", text_size(f->disk_bytes, age));
        if (f->throttle)
            fprintf(out, ", slowed down by up to %u %%", f->throttle);
        if (f->confidence > 0)
            fprintf(out, " (%.0f %% sure)", f->confidence * 100);
        fputs(f->allowed ? ": " : ", WHICH THE POLICY DOES NOT ALLOW, so it would be cancelled: ", out);
    }
    put(out, f->why);
    put_link(f, out);
    if (f->samples)
        fprintf(out, "; sampled %s ago", text_ms(f->samples_age, age));
    fputs(".\n", out);
}

const char *at_least(const Drover__V1__Result *r)
{
    return r->seen_late ? "at least " : "";
}

int64_t fact_time(const Drover__V1__Result *r)
{
    return r->transfer + r->handover;
}

void render_forecast_and_fact(const Drover__V1__Job *job, FILE *out)
{
    char a[TEXT_MAX], b[TEXT_MAX], c[TEXT_MAX];
    const Drover__V1__Forecast *f = job->forecast;
    const Drover__V1__Result *r = job->result;
    if (!f)
        return;
    if (!*f->way) {
        fputs("forecast     none: ", out);
        put(out, f->why);
        fputc('\n', out);
        return;
    }
    fputs("forecast     ", out);
    put(out, f->way);
    fprintf(out, ", %s, pause %s, %s%s\n", text_ms(f->time, a), text_ms(f->pause, b), text_size(f->bytes, c),
            f->allowed ? "" : ", which the policy does not allow");
    if (!r || !r->transfer)
        return;
    if (job->state == DROVER__V1__JOB_STATE__JOB_FAILED || job->state == DROVER__V1__JOB_STATE__JOB_CANCELLED)
        fprintf(out, "fact         %s after %s, pause %s\n", r->given_up ? "given up" : "broken off",
                text_ms(r->transfer, a), text_ms(r->pause, b));
    if (job->state == DROVER__V1__JOB_STATE__JOB_DONE)
        fprintf(out, "fact         %s, pause %s, %s\n", text_ms(fact_time(r), a),
                text_ms(r->pause > 0 ? r->pause : r->downtime, b), text_size(r->bytes, c));
}
