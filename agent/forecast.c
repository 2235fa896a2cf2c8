/* A forecast from what is known of guest, link and policy (samples.h). */
#include "agent/core/correction.h"
#include "agent/core/outlook.h"
#include "agent/ladder_run.h"
#include "agent/samples.h"

#include <string.h>

static void add_round_trips(const struct correction *c, const char *host, char why[256])
{
    size_t n = strlen(why);
    if (c->delay)
        snprintf(why + n, 256 - n, "%s%lld ms of the pause are round trips to %s", n ? "; " : "",
                 (long long)correction_round_trips(c), host);
}

void samples_forecast(const struct samples *s, const Drover__V1__Guest *guest, Drover__V1__Mode mode,
                      const Drover__V1__Policy *policy, uint64_t limit, const char *host, uint64_t disk_bytes,
                      Drover__V1__Forecast *r, char why[256])
{
    static const char *const ways[MODEL_MODES] = {"live", "auto-converge", "pause", "post-copy", "offline"};
    struct ladder_policy p = ladder_run_policy(mode, policy);
    const struct correction correction = samples_correction(s, host);
    struct model_input in = {.memory = (int64_t)guest->memory_max,
                             .overhead = correction_expected(&correction)};
    const char *source = "";
    int64_t link_age = 0, age = samples_guest(s, guest->uuid, &in);
    in.bandwidth = samples_link(s, host, &source, &link_age);
    if (limit && (!in.bandwidth || (int64_t)limit < in.bandwidth)) {
        in.bandwidth = (int64_t)limit;
        source = "limit";
        link_age = 0;
    }
    struct outlook o;
    outlook_make(&p, &in, &o);
    drover__v1__forecast__init(r);
    snprintf(why, 256, "%s", o.why);
    r->why = why;
    r->bandwidth = (uint64_t)in.bandwidth;
    r->bandwidth_source = (char *)source;
    r->bandwidth_age = link_age;
    r->samples = in.n_windows;
    r->samples_age = age;
    r->confidence = o.confidence;
    if (in.n_windows) /* the shortest is of a second */
        r->dirtied = (uint64_t)(in.windows[0].dirtied * 1000 / in.windows[0].length);
    if (!in.bandwidth || (!in.n_windows && o.way != MODEL_OFFLINE))
        return;
    add_round_trips(&correction, host, why);
    r->way = (char *)ways[o.way];
    r->allowed = o.allowed;
    r->disk_bytes = disk_bytes; /* libvirt copies disks before the memory, over the same link */
    r->time = samples_setup(s) + correction_time(&correction) + o.outcome.time +
              (int64_t)(disk_bytes / (uint64_t)in.bandwidth * 1000) +
              (int64_t)(disk_bytes % (uint64_t)in.bandwidth * 1000 / (uint64_t)in.bandwidth);
    r->bytes = (uint64_t)o.outcome.bytes + disk_bytes;
    r->pause = o.outcome.downtime;
    r->time = r->time > r->pause ? r->time : r->pause;
    r->throttle = o.outcome.throttle;
}
