#include "cli/commands.h"

#include "cli/command.h"

const struct command *const commands[] = {
    &cmd_pki_init,
    &cmd_pki_issue,
    &cmd_pki_list,
};
const size_t n_commands = sizeof(commands) / sizeof(commands[0]);
