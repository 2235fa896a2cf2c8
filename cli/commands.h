/* One per command; those that belong together share a file cli/cmd_*.c. */
#pragma once

#include "common/base/error.h"

#include <stdint.h>

struct command;

extern const struct command cmd_hosts, cmd_vms, cmd_storage, cmd_networks;
extern const struct command cmd_migrate, cmd_check, cmd_doctor;
extern const struct command cmd_evacuate, cmd_return, cmd_move, cmd_balance, cmd_consolidate, cmd_drill;
extern const struct command cmd_pause, cmd_resume, cmd_maintenance_on, cmd_maintenance_off, cmd_rolling;
extern const struct command cmd_jobs, cmd_job, cmd_watch, cmd_cancel, cmd_history;
extern const struct command cmd_free, cmd_fence_list, cmd_fence_release;
extern const struct command cmd_pki_init, cmd_pki_issue, cmd_pki_list;

/* "12" -> 12. */
int job_id_of(const char *text, uint64_t *ret, struct error *err);
