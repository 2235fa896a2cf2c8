#include "common/rpc/answers.h"

#include "common/base/memory.h"

#include <stdlib.h>
#include <string.h>

void answers_init(struct answers *a, size_t max_count, size_t max_bytes)
{
    *a = (struct answers){.max_count = max_count, .max_bytes = max_bytes};
    link_init(&a->wanted);
    link_init(&a->spare);
}

static void drop(struct answers *a, struct answer *answer)
{
    a->bytes -= answer->charged;
    idmap_remove(&a->map, &answer->node);
    link_remove(&answer->link);
    free(answer->bytes);
    free(answer);
}

void answers_deinit(struct answers *a)
{
    list_for_each(l, next, &a->spare) drop(a, container_of(l, struct answer, link));
    list_for_each(l, next, &a->wanted) drop(a, container_of(l, struct answer, link));
    idmap_deinit(&a->map);
}

static void make_room(struct answers *a, size_t count, size_t bytes, int64_t now)
{
    while (!link_alone(&a->spare) && (a->map.count > count || a->bytes > bytes))
        drop(a, container_of(a->spare.next, struct answer, link));
    if (a->map.count <= count && a->bytes <= bytes)
        return;
    list_for_each(l, next, &a->wanted)
    {
        struct answer *answer = container_of(l, struct answer, link);
        if (answer->expires <= now)
            drop(a, answer);
    }
}

bool answers_room(struct answers *a, size_t pending, int64_t now)
{
    if (pending >= a->max_count)
        return false;
    size_t count = a->max_count - pending - 1;
    make_room(a, count, a->max_bytes, now);
    return a->map.count <= count;
}

void answers_put(struct answers *a, const struct call_id *id, const void *owner, int64_t expires, int64_t now,
                 enum status_code code, const void *bytes, size_t len)
{
    static const char lost[] =
        "the call was carried out, but its answer was too large to keep for a repetition";
    if (len < a->max_bytes)
        make_room(a, a->max_count - 1, a->max_bytes - len, now);
    if (len >= a->max_bytes || a->bytes + len > a->max_bytes) {
        code = STATUS_DATA_LOSS;
        bytes = lost;
        len = sizeof(lost) - 1;
    }
    struct answer *answer = new0(struct answer);
    answer->node.id = *id;
    answer->owner = owner;
    answer->expires = expires;
    answer->code = code;
    answer->len = len;
    answer->charged = len;
    answer->bytes = xcalloc(1, len + 1);
    if (len)
        memcpy(answer->bytes, bytes, len);
    a->bytes += len;
    idmap_put(&a->map, &answer->node);
    link_append(&a->wanted, &answer->link);
}

struct answer *answers_get(const struct answers *a, const struct call_id *id)
{
    struct idmap_node *n = idmap_get(&a->map, id);
    return n ? container_of(n, struct answer, node) : NULL;
}

void answers_taken(struct answers *a, struct answer *answer)
{
    if (answer->taken)
        return;
    answer->taken = true;
    link_remove(&answer->link);
    link_append(&a->spare, &answer->link);
}
