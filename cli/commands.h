/* One per file cli/cmd_*.c. */
#pragma once

struct command;

extern const struct command cmd_pki_init, cmd_pki_issue, cmd_pki_list;
