#include "agent/io/commit_point.h"

#include "common/base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <libxml/parser.h>
#include <libxml/xpath.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>

#define STATUS_FILE_MAX (8 * 1024 * 1024)

struct commit_point {
    char *path, *file, *uuid; /* file: the last part of path */
    int inotify_fd;
    struct loop_fd *inotify_watch;
    struct loop_timer *first;
    void (*fn)(void *arg);
    void *arg;
};

static char *text_at(xmlXPathContextPtr context, const char *path)
{
    xmlXPathObjectPtr found = xmlXPathEvalExpression((const xmlChar *)path, context);
    xmlChar *value = found ? xmlXPathCastToString(found) : NULL;
    char *text = xstrdup(value ? (const char *)value : "");
    xmlFree(value);
    xmlXPathFreeObject(found);
    return text;
}

struct status {
    char *uuid, *phase;
};

static void status_deinit(struct status *s)
{
    free(s->uuid);
    free(s->phase);
}

static int read_status(const char *path, struct status *ret, struct error *err)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, errno, "libvirt's status file %s", path);
    size_t size = 0, room = 64 * 1024;
    _cleanup_free_ char *text = xcalloc(1, room);
    for (;;) {
        ssize_t n = read(fd, text + size, room - size);
        if (n < 0)
            return error_errno(err, errno, "reading %s", path);
        if (n == 0)
            break;
        size += (size_t)n;
        if (size == room) {
            if (room >= STATUS_FILE_MAX)
                return error_set(err, STATUS_OUT_OF_RANGE, "%s is larger than %d bytes", path,
                                 STATUS_FILE_MAX);
            room *= 2;
            text = xrealloc(text, room, 1);
        }
    }
    xmlDocPtr doc = xmlReadMemory(text, (int)size, "status.xml", NULL,
                                  XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    xmlXPathContextPtr context = doc ? xmlXPathNewContext(doc) : NULL;
    if (!context) {
        xmlFreeDoc(doc);
        return error_set(err, STATUS_DATA_LOSS, "%s is not well-formed XML", path);
    }
    *ret = (struct status){
        .uuid = text_at(context, "string(/domstatus/domain/uuid)"),
        .phase = text_at(context, "string(/domstatus/job[@async='migration out']/@phase)"),
    };
    xmlXPathFreeContext(context);
    xmlFreeDoc(doc);
    return 0;
}

/* Tells the owner at most once; nothing of `w` is touched after that, it may be freed. */
static void look(struct commit_point *w)
{
    struct status now = {0};
    if (!w->fn || read_status(w->path, &now, NULL) < 0)
        return;
    bool committed = streq(now.uuid, w->uuid) && streq(now.phase, "confirm3");
    status_deinit(&now);
    if (!committed)
        return;
    void (*fn)(void *) = w->fn;
    w->fn = NULL;
    fn(w->arg);
}

static void look_first(void *arg)
{
    struct commit_point *w = arg;
    w->first = NULL;
    look(w);
}

static void on_inotify(void *arg, int fd)
{
    struct commit_point *w = arg;
    char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
    bool ours = false;
    ssize_t n;
    while ((n = read(fd, events, sizeof(events))) > 0)
        for (const char *p = events; p < events + n;) {
            const struct inotify_event *e = (const struct inotify_event *)p;
            ours |= (e->mask & IN_Q_OVERFLOW) || (e->len && streq(e->name, w->file));
            p += sizeof(*e) + e->len;
        }
    if (ours)
        look(w);
}

int commit_point_watch(struct loop *loop, const char *status_dir, const char *name, const char *uuid,
                       void (*fn)(void *arg), void *arg, struct commit_point **ret, struct error *err)
{
    struct commit_point *w = new0(struct commit_point);
    struct status now = {0};
    int r = 0;
    w->path = xasprintf("%s/%s.xml", status_dir, name);
    w->file = strrchr(w->path, '/') + 1;
    w->uuid = xstrdup(uuid);
    w->fn = fn;
    w->arg = arg;
    /* Watched before it is read, so that no change falls between. */
    w->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (w->inotify_fd < 0 || inotify_add_watch(w->inotify_fd, status_dir, IN_MOVED_TO | IN_CLOSE_WRITE) < 0) {
        r = error_errno(err, errno, "cannot watch libvirt's status directory %s", status_dir);
        goto out;
    }
    r = read_status(w->path, &now, err);
    if (r < 0)
        goto out;
    if (!streq(now.uuid, uuid)) {
        r = error_set(err, STATUS_FAILED_PRECONDITION, "%s is of domain %s, not of %s", w->path, now.uuid,
                      uuid);
        goto out;
    }
    w->inotify_watch = loop_watch_fd(loop, w->inotify_fd, on_inotify, w);
    if (streq(now.phase, "confirm3")) /* before an agent that was started again watches it, say */
        w->first = loop_timer_start(loop, 0, look_first, w);
    *ret = steal(&w);
out:
    status_deinit(&now);
    commit_point_free(w);
    return r;
}

struct commit_point *commit_point_free(struct commit_point *w)
{
    if (!w)
        return NULL;
    loop_unwatch_fd(w->inotify_watch);
    loop_timer_cancel(w->first);
    if (w->inotify_fd >= 0)
        close(w->inotify_fd);
    free(w->path);
    free(w->uuid);
    free(w);
    return NULL;
}
