#include "cli/commands.h"

#include "cli/command.h"

/* In the order of help. */
const struct command *const commands[] = {
    &cmd_hosts,         &cmd_vms,         &cmd_storage,   &cmd_networks,       &cmd_doctor,
    &cmd_check,         &cmd_migrate,     &cmd_evacuate,  &cmd_return,         &cmd_move,
    &cmd_balance,       &cmd_consolidate, &cmd_drill,     &cmd_maintenance_on, &cmd_maintenance_off,
    &cmd_rolling,       &cmd_jobs,        &cmd_job,       &cmd_watch,          &cmd_pause,
    &cmd_resume,        &cmd_cancel,      &cmd_history,   &cmd_free,           &cmd_fence_list,
    &cmd_fence_release, &cmd_pki_init,    &cmd_pki_issue, &cmd_pki_list,
};
const size_t n_commands = sizeof(commands) / sizeof(commands[0]);
