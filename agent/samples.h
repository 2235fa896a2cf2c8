/* What is known beforehand of guests and links: dirty samples, one guest at a time, in the background at a low rate; and what each
 * link carried, measured or learnt. Kept with its age, over a restart, too (io/known.h). Never samples or measures while a migration is on at this
 * host. All is the loop's. */
#pragma once

#include "agent/agent.h"
#include "agent/core/correction.h"
#include "common/model/model.h"
#include "proto/agent.pb-c.h"

struct samples;

struct samples *samples_new(struct agent *agent);
struct samples *samples_free(struct samples *samples);

/* Fills the windows of *in (n_windows 0: none), and by its memory what was never touched; returns their age in ms, -1: none. */
int64_t samples_guest(const struct samples *samples, const char *guest, struct model_input *in);

/* What the link to a host carries, bytes per second; 0: not known. *ret_source is static. */
int64_t samples_link(const struct samples *samples, const char *host, const char **ret_source,
                     int64_t *ret_age);
/* A migration over the link to a host has ended: what was forecast, what it was; ms. */
void samples_learn_fact(struct samples *samples, const char *host, const Drover__V1__Forecast *forecast,
                        const Drover__V1__Result *fact);

/* ms that a switch-over may take besides the sending, as far as that is known. */
int64_t samples_overhead(const struct samples *samples, const char *host);

/* What was learnt of a link's fixed times, with the line's round trips; zero: nothing. */
struct correction samples_correction(const struct samples *samples, const char *host);

/* How long the line to a host takes, one way, as the coordinator says; 0: no such line is configured. */
void samples_line(struct samples *samples, const char *host, int64_t delay_ms);

/* ms that libvirt takes before QEMU sends anything. */
int64_t samples_setup(const struct samples *samples);
void samples_learn_setup(struct samples *samples, int64_t ms);
void samples_learn_link(struct samples *samples, const char *host, int64_t bandwidth, const char *source);

/* A guest is about to leave or to come: what is being sampled is given up. NULL is fine. */
void samples_give_up(struct samples *samples);

/* Takes samples of the guest now; fn is called once, also when that isn't possible (then `why` is not NULL). */
void samples_refresh(struct samples *samples, const char *guest,
                     void (*fn)(void *arg, const struct error *why), void *arg);

/* forecast.c: a guest's move to a host. `limit`: bytes per second that it may use; 0: none. `disk_bytes` are copied before the memory. `r->why` and the static
 * texts are the message's. */
void samples_forecast(const struct samples *samples, const Drover__V1__Guest *guest, Drover__V1__Mode mode,
                      const Drover__V1__Policy *policy, uint64_t limit, const char *host, uint64_t disk_bytes,
                      Drover__V1__Forecast *r, char why[256]);
