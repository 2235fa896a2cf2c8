#include "common/model/model.h"

#include <math.h>

enum { RATES = 46 };

/* A curve with a given shape and k = h/W leaves W and c, in which it is linear. */
struct candidate {
    double k, hot, cold_rate, misfit;
    bool sweep;
};

static double saturation(bool sweep, double k, double t)
{
    return sweep ? fmin(1, k * t) : 1 - exp(-k * t);
}

double model_dirtied(const struct model_curve *c, double seconds)
{
    double u = 0;
    if (c->hot > 0)
        u += c->hot * saturation(c->sweep, c->hot_rate / c->hot, seconds);
    if (c->cold > 0)
        u += c->cold * (1 - exp(-c->cold_rate * seconds / c->cold));
    return u;
}

/* Standard deviation of a sample in bytes. Page sampling is a binomial draw of 512 pages per GiB. */
static double deviation(const struct model_window *w, double memory)
{
    double u = fmin((double)w->dirtied, memory);
    if (w->exact)
        return 0.05 * u + 65536;
    double n = fmax(512 * memory / (1 << 30), 16);
    double p = fmin(fmax(u / memory, 1 / n), 1);
    return memory * sqrt(p * (1 - p) / n) + 0.03 * u;
}

static struct model_curve curve_of(const struct candidate *c, double memory)
{
    return (struct model_curve){.hot = c->hot,
                                .hot_rate = c->k * c->hot,
                                .cold = memory - c->hot,
                                .cold_rate = c->cold_rate,
                                .sweep = c->sweep};
}

/* Least squares of W >= 0 and c >= 0. */
static void solve(const struct model_window *w, unsigned n, double memory, struct candidate *c)
{
    double ff = 0, ft = 0, tt = 0, fu = 0, tu = 0;
    for (unsigned i = 0; i < n; i++) {
        double s = deviation(&w[i], memory), t = (double)w[i].length / 1e3 / s, u = (double)w[i].dirtied / s;
        double f = saturation(c->sweep, c->k, (double)w[i].length / 1e3) / s;
        ff += f * f;
        ft += f * t;
        tt += t * t;
        fu += f * u;
        tu += t * u;
    }
    double det = ff * tt - ft * ft;
    /* Nearly parallel: the windows are all in the straight part, and W alone explains them. */
    double hot = det > 1e-9 * ff * tt ? (fu * tt - tu * ft) / det : fu / ff;
    double cold = det > 1e-9 * ff * tt ? (tu * ff - fu * ft) / det : 0;
    if (hot < 0) {
        hot = 0;
        cold = tu / tt;
    } else if (cold < 0) {
        cold = 0;
        hot = fu / ff;
    }
    if (hot > memory) {
        hot = memory;
        cold = fmax(0, (tu - ft * hot) / tt);
    }
    c->hot = hot;
    c->cold_rate = cold;
    struct model_curve curve = curve_of(c, memory);
    c->misfit = 0;
    for (unsigned i = 0; i < n; i++) {
        double seen = (double)w[i].dirtied, d = model_dirtied(&curve, (double)w[i].length / 1e3) - seen;
        c->misfit += pow(d / deviation(&w[i], memory), 2);
    }
}

/* Of the sample that says most about the horizon. */
static double relative_deviation(const struct model_window *w, unsigned n, double memory, double horizon)
{
    const struct model_window *best = w;
    for (unsigned i = 1; i < n; i++)
        if (fabs(log((double)w[i].length / 1e3 / horizon)) < fabs(log((double)best->length / 1e3 / horizon)))
            best = &w[i];
    return deviation(best, memory) / fmax((double)best->dirtied, 1);
}

void model_fit(const struct model_window *w, unsigned n, int64_t memory_bytes, double horizon, double limit,
               struct model_fit *ret)
{
    struct candidate all[2 * RATES];
    double memory = fmax((double)memory_bytes, 1), least = INFINITY;
    *ret = (struct model_fit){.curve = {.cold = memory}, .below = 0.5};
    if (n == 0)
        return;

    /* k from 0.02 to 73 per second: slower is a straight line in any window, faster is full in any. */
    for (unsigned i = 0; i < 2 * RATES; i++) {
        all[i] = (struct candidate){.k = 0.02 * pow(1.2, i % RATES), .sweep = i >= RATES};
        solve(w, n, memory, &all[i]);
        least = fmin(least, all[i].misfit);
    }
    double sum = 0, mean = 0, below = 0;
    double deviation_at_horizon = relative_deviation(w, n, memory, horizon);
    for (unsigned i = 0; i < 2 * RATES; i++) {
        struct model_curve curve = curve_of(&all[i], memory);
        double u = model_dirtied(&curve, horizon), weight = exp(-(all[i].misfit - least) / 2);
        sum += weight;
        mean += weight * u;
        below += weight * 0.5 * erfc((u - limit) / (fmax(deviation_at_horizon * u, 1) * M_SQRT2));
    }
    ret->dirtied = mean / sum;
    ret->below = below / sum;
    ret->misfit = least;

    double closest = INFINITY;
    for (unsigned i = 0; i < 2 * RATES; i++) {
        struct model_curve curve = curve_of(&all[i], memory);
        double distance = fabs(model_dirtied(&curve, horizon) - ret->dirtied);
        if (all[i].misfit <= least + 1 && distance < closest) {
            closest = distance;
            ret->curve = curve;
        }
    }
}
