#include "agent/io/tcp_table.h"

#include "common/base/cleanup.h"
#include "common/base/memory.h"

#include <stdio.h>

enum { TCP_LISTEN = 0x0a };

bool tcp_listeners(const char *proc, void (*fn)(void *arg, unsigned port), void *arg)
{
    static const char *const tables[] = {"net/tcp", "net/tcp6"};
    bool known = false;
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        _cleanup_free_ char *path = xasprintf("%s/%s", proc, tables[i]);
        _cleanup_fclose_ FILE *f = fopen(path, "re");
        char line[512];
        known = known || f;
        while (f && fgets(line, sizeof(line), f)) {
            /* " 0: LOCAL:PORT REMOTE:PORT STATE ...", in hexadecimal */
            char local[5], state[3];
            if (sscanf(line,
                       " %*[0-9]: %*[0-9A-Fa-f]:%4[0-9A-Fa-f] %*[0-9A-Fa-f]:%*[0-9A-Fa-f] %2[0-9A-Fa-f]",
                       local, state) == 2 &&
                strtoul(state, NULL, 16) == TCP_LISTEN)
                fn(arg, (unsigned)strtoul(local, NULL, 16));
        }
    }
    return known;
}
