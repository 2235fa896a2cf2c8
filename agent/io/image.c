#include "agent/io/image.h"

#include "agent/io/probe_say.h"
#include "agent/io/run.h"
#include "agent/io/xml.h"
#include "common/base/memory.h"
#include "common/message/message.h"

#include <ctype.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static void drop(json_t **j)
{
    json_decref(*j);
}

static const char *text_of(const json_t *j, const char *key)
{
    const char *text = json_string_value(json_object_get(j, key));
    return text ? text : "";
}

bool image_parse(const char *json, Drover__V1__ProbeResult *r)
{
    _cleanup_(drop) json_t *root = json_loads(json, 0, NULL);
    size_t i;
    json_t *one;
    if (!json_is_array(root) || json_array_size(root) == 0)
        return false;
    json_array_foreach(root, i, one)
    {
        Drover__V1__ImageFacts *f = new0(Drover__V1__ImageFacts);
        drover__v1__image_facts__init(f);
        xml_set(&f->name, xstrdup(text_of(one, "filename")));
        xml_set(&f->format, xstrdup(text_of(one, "format")));
        const char *full = text_of(one, "full-backing-filename");
        xml_set(&f->backing, xstrdup(*full ? full : text_of(one, "backing-filename")));
        f->virtual_size = (uint64_t)json_integer_value(json_object_get(one, "virtual-size"));
        f->actual_size = (uint64_t)json_integer_value(json_object_get(one, "actual-size"));
        message_append(&r->images, &r->n_images, f);
    }
    return true;
}

/* Where the files really lie: a name may lead through "..", or be a link to another storage. */
static void resolve(Drover__V1__ProbeResult *r)
{
    for (size_t i = 0; i < r->n_images; i++) {
        _cleanup_free_ char *real = r->images[i]->name[0] == '/' ? realpath(r->images[i]->name, NULL) : NULL;
        if (real)
            xml_set(&r->images[i]->resolved, steal(&real));
    }
}

static const char *reason_of(const struct error *err)
{
    static const char *const words[][2] = {
        {"No such file", "absent"},
        {"NOENT", "absent"},
        {"does not exist", "absent"},
        {"MNT3ERR_ACCES", "refused"},
        {"Permission denied", "denied"},
        {"EACCES", "denied"},
        {"ACCESS", "denied"},
        {"refused", "refused"},
        {"No route", "unreachable"},
        {"unreachable", "unreachable"},
        {"Stale", "stale"},
        {"LOGICAL UNIT", "absent"},
    };
    if (err->code == STATUS_DEADLINE_EXCEEDED)
        return "timeout";
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strstr(err->text, words[i][0]))
            return words[i][1];
    return "failed";
}

/* The driver is that of `file`: qemu-img's -f says which format is on it. libiscsi gives each session an ISID of its own, so that none
 * takes the place of the guest's. */
char *image_of_initiator(const char *url, const char *initiator)
{
    static const char scheme[] = "iscsi://";
    if (strncmp(url, scheme, strlen(scheme)) != 0)
        return NULL;
    const char *portal = url + strlen(scheme), *target = strchr(portal, '/');
    const char *lun = target ? strrchr(target + 1, '/') : NULL;
    if (!lun || !isdigit((unsigned char)lun[1]))
        return NULL;
    _cleanup_(drop) json_t *root = json_pack(
        "{s:{s:s, s:s, s:s%, s:s%, s:I, s:s}}", "file", "driver", "iscsi", "transport", "tcp", "portal",
        portal, (size_t)(target - portal), "target", target + 1, (size_t)(lun - target - 1), "lun",
        (json_int_t)strtoull(lun + 1, NULL, 10), "initiator-name", initiator);
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    char *name = text ? xasprintf("json:%s", text) : NULL;
    free(text);
    return name;
}

void image_open(const struct limit *limit, const char *name, const char *format, Drover__V1__ProbeResult *r)
{
    struct error err;
    _cleanup_free_ char *output = NULL;
    const char *argv[16] = {"qemu-img", "info", "--force-share", "--output=json", "--backing-chain"};
    size_t n = 5;
    if (*format) {
        argv[n++] = "-f";
        argv[n++] = format;
    }
    argv[n++] = "--";
    argv[n++] = name;
    int e = run_program(limit, argv, &output, &err);
    if (e == -STATUS_NOT_FOUND)
        probe_say(r, DROVER__V1__PROBE_OUTCOME__PROBE_UNDECIDED, "no-program", "%s", err.text);
    else if (e < 0) /* what the agent's user may not read, QEMU's may: libvirt gives the image to that one */
        probe_say(r,
                  streq(reason_of(&err), "denied") ? DROVER__V1__PROBE_OUTCOME__PROBE_UNDECIDED
                                                   : DROVER__V1__PROBE_OUTCOME__PROBE_REFUTED,
                  reason_of(&err), "%s", err.text);
    else if (!image_parse(output, r))
        probe_say(r, DROVER__V1__PROBE_OUTCOME__PROBE_UNDECIDED, "failed",
                  "qemu-img gave no list of images for %s", name);
    else {
        resolve(r);
        probe_say(r, DROVER__V1__PROBE_OUTCOME__PROBE_PROVEN, "",
                  "%s opens: %s, %llu bytes, %zu in its chain", name, r->images[0]->format,
                  (unsigned long long)r->images[0]->virtual_size, r->n_images);
    }
}
