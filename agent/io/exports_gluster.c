/* GlusterFS volumes, as glusterd keeps them: vols/NAME/info (key=value) and one file per brick. */
#include "agent/io/exports.h"
#include "agent/io/tree.h"
#include "agent/io/xml.h"
#include "common/base/memory.h"
#include "common/message/message.h"

#include <errno.h>
#include <string.h>

enum { FILE_MAX_BYTES = 1 << 20, STARTED = 1 };

/* The value of a "key=value" line; the caller's. */
static char *value_of(const char *text, const char *key)
{
    size_t n = strlen(key);
    for (const char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (strncmp(line, key, n) == 0 && line[n] == '=')
            return strndup(line + n + 1, strcspn(line + n + 1, "\n"));
    return NULL;
}

static bool is_on(const char *info, const char *key)
{
    _cleanup_free_ char *value = value_of(info, key);
    return value &&
           (streq(value, "on") || streq(value, "enable") || streq(value, "true") || streq(value, "1"));
}

/* A brick is this node's when it has this node's UUID, or, where that is not told, when its directory is here. */
static void read_bricks(const char *glusterd, const char *volume, const char *own, Drover__V1__Export *x)
{
    char **names;
    size_t n = tree_list(&names, "%s/vols/%s/bricks", glusterd, volume);
    for (size_t i = 0; i < n; i++) {
        _cleanup_free_ char *file = xasprintf("%s/vols/%s/bricks/%s", glusterd, volume, names[i]);
        _cleanup_free_ char *text = tree_load(file, FILE_MAX_BYTES);
        _cleanup_free_ char *host = value_of(text, "hostname"), *path = value_of(text, "path"),
                            *uuid = value_of(text, "uuid");
        if (!host || !path)
            continue;
        _cleanup_free_ char *brick = xasprintf("%s:%s", host, path);
        message_append_text(&x->bricks, &x->n_bricks, brick);
        bool mine = uuid && own ? streq(uuid, own) : access(path, F_OK) == 0;
        if (mine && !*x->path)
            xml_set(&x->path, xstrdup(path));
    }
    tree_list_free(names, n);
}

/* auth.allow and auth.reject are lists of address patterns; "*" unless given. */
static void read_clients(const char *info, Drover__V1__Export *x)
{
    _cleanup_free_ char *allow = value_of(info, "auth.allow"), *reject = value_of(info, "auth.reject");
    char *save = NULL;
    if (!allow)
        exports_add_client(x, "*", true, "auth.allow");
    for (char *who = allow ? strtok_r(allow, ",", &save) : NULL; who; who = strtok_r(NULL, ",", &save)) {
        /* "/dir(host|host)" allows subdirectories only */
        char *open = strchr(who, '(');
        exports_add_client(x, open ? open + 1 : who, true, open ? "subdirectory" : "auth.allow");
    }
    for (char *who = reject ? strtok_r(reject, ",", &save) : NULL; who; who = strtok_r(NULL, ",", &save))
        exports_add_client(x, who, false, "auth.reject");
}

void exports_read_gluster(const char *glusterd, struct exports *e)
{
    char **volumes;
    size_t n = tree_list(&volumes, "%s/vols", glusterd);
    _cleanup_free_ char *own_file = xasprintf("%s/glusterd.info", glusterd),
                        *own_text = tree_load(own_file, FILE_MAX_BYTES);
    _cleanup_free_ char *own = value_of(own_text, "UUID");
    for (size_t i = 0; i < n; i++) {
        _cleanup_free_ char *file = xasprintf("%s/vols/%s/info", glusterd, volumes[i]);
        _cleanup_free_ char *info = tree_load(file, FILE_MAX_BYTES);
        if (!info) {
            exports_say(e, "cannot read %s: %s", file, strerror(errno));
            continue;
        }
        Drover__V1__Export *x = exports_add(e, "gluster", "glusterd", volumes[i]);
        _cleanup_free_ char *status = value_of(info, "status"), *id = value_of(info, "volume-id");
        x->active = !status                               ? DROVER__V1__ANSWER__ANSWER_UNKNOWN
                    : strtol(status, NULL, 10) == STARTED ? DROVER__V1__ANSWER__YES
                                                          : DROVER__V1__ANSWER__NO;
        x->read_only = is_on(info, "features.read-only") || is_on(info, "features.worm");
        xml_set(&x->source, xstrdup(file));
        xml_set(&x->wwid, xstrdup(id));
        read_bricks(glusterd, volumes[i], own, x);
        read_clients(info, x);
    }
    tree_list_free(volumes, n);
}
