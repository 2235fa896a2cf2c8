#include "agent/io/openvswitch.h"

#include "common/base/cleanup.h"
#include "common/base/loop.h"
#include "common/base/memory.h"
#include "common/message/message.h"

#include <jansson.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { ANSWER_MS = 500, ANSWER_MAX = 4 << 20 };

static const char question[] =
    "{\"id\":0,\"method\":\"transact\",\"params\":[\"Open_vSwitch\","
    "{\"op\":\"select\",\"table\":\"Bridge\",\"where\":[],\"columns\":[\"name\",\"ports\"]},"
    "{\"op\":\"select\",\"table\":\"Port\",\"where\":[],\"columns\":[\"_uuid\",\"name\"]}]}";

static void drop(json_t **j)
{
    json_decref(*j);
}

/* ["uuid", "..."]: the text; NULL for anything else. */
static const char *uuid_of(const json_t *pair)
{
    const char *tag = json_string_value(json_array_get(pair, 0));
    return tag && streq(tag, "uuid") ? json_string_value(json_array_get(pair, 1)) : NULL;
}

static const char *port_named(const json_t *ports, const char *uuid)
{
    size_t i;
    json_t *row;
    json_array_foreach(ports, i, row)
    {
        const char *is = uuid_of(json_object_get(row, "_uuid"));
        if (uuid && is && streq(is, uuid))
            return json_string_value(json_object_get(row, "name"));
    }
    return NULL;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* One port stands alone, several are ["set", [...]] (RFC 7047, 5.1). */
static void put_ports(Drover__V1__Bridge *b, const json_t *set, const json_t *ports)
{
    const json_t *list = uuid_of(set) ? NULL : json_array_get(set, 1);
    size_t n = list ? json_array_size(list) : 1;
    for (size_t i = 0; i < n; i++) {
        const char *name = port_named(ports, uuid_of(list ? json_array_get(list, i) : set));
        if (name && !streq(name, b->name))
            message_append_text(&b->ports, &b->n_ports, name);
    }
    if (b->n_ports)
        qsort(b->ports, b->n_ports, sizeof(b->ports[0]), compare);
}

bool openvswitch_parse(const char *json, Drover__V1__Bridge **bridges, size_t n)
{
    _cleanup_(drop) json_t *root = json_loads(json, JSON_DISABLE_EOF_CHECK, NULL);
    const json_t *result = json_object_get(root, "result");
    const json_t *rows = json_object_get(json_array_get(result, 0), "rows"),
                 *ports = json_object_get(json_array_get(result, 1), "rows");
    size_t i;
    json_t *row;
    if (!json_is_array(rows) || !json_is_array(ports))
        return false;
    json_array_foreach(rows, i, row)
    {
        const char *name = json_string_value(json_object_get(row, "name"));
        for (size_t k = 0; name && k < n; k++)
            if (streq(bridges[k]->kind, "openvswitch") && streq(bridges[k]->name, name) &&
                !bridges[k]->n_ports)
                put_ports(bridges[k], json_object_get(row, "ports"), ports);
    }
    return true;
}

/* True once what was read is a whole answer. */
static bool take(int fd, char **text, size_t *length)
{
    char chunk[65536];
    ssize_t got = recv(fd, chunk, sizeof(chunk), 0);
    if (got <= 0 || *length + (size_t)got > ANSWER_MAX)
        return false;
    *text = xrealloc(*text, *length + (size_t)got + 1, 1);
    memcpy(*text + *length, chunk, (size_t)got);
    *length += (size_t)got;
    (*text)[*length] = 0;
    return true;
}

static bool is_whole(const char *text)
{
    _cleanup_(drop) json_t *root = json_loads(text, JSON_DISABLE_EOF_CHECK, NULL);
    return root != NULL;
}

static char *ask(const char *socket_path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(socket_path) >= sizeof(address.sun_path))
        return NULL;
    memcpy(address.sun_path, socket_path, strlen(socket_path) + 1);
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        send(fd, question, strlen(question), MSG_NOSIGNAL) != (ssize_t)strlen(question))
        return NULL;
    _cleanup_free_ char *text = NULL;
    size_t length = 0;
    int64_t ends = clock_monotonic_ms() + ANSWER_MS;
    for (int64_t left; (left = ends - clock_monotonic_ms()) > 0;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, (int)left) > 0 && !take(fd, &text, &length))
            return NULL;
        if (text && text[length - 1] == '}' && is_whole(text))
            return steal(&text);
    }
    return NULL;
}

void openvswitch_ports(const char *run, Drover__V1__Bridge **bridges, size_t n)
{
    bool any = false;
    for (size_t i = 0; i < n; i++)
        any = any || streq(bridges[i]->kind, "openvswitch");
    if (!any)
        return;
    _cleanup_free_ char *path = xasprintf("%s/openvswitch/db.sock", run), *answer = ask(path);
    if (answer)
        openvswitch_parse(answer, bridges, n);
}
