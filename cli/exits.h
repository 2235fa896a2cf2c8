/* Exit codes of `drover`, the same for every command and with --json. */
#pragma once

enum exit_code {
    EXIT_DONE = 0,
    EXIT_FAILED = 1, /* the guest is safe where it was */
    EXIT_USAGE = 2,
    EXIT_REFUSED = 3,      /* by a check */
    EXIT_PARTLY = 4,       /* several guests: some moved, some didn't */
    EXIT_UNREACHABLE = 5,  /* the coordinator */
    EXIT_IN_DOUBT = 6,     /* open until a host can be asked */
    EXIT_INTERRUPTED = 130 /* Ctrl-C on a watch: the job goes on */
};
