/* Answers to calls that the client may repeat (rpc_stub.once), kept until the client says that it has them, or could not
 * ask any more because its deadline has passed. Pure: not locked, no clock. */
#pragma once

#include "common/base/error.h"
#include "common/rpc/idmap.h"
#include "common/rpc/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct answer {
    struct idmap_node node;
    struct link link;
    const void *owner; /* who may have it */
    int64_t expires;
    bool taken; /* the client has it */
    enum status_code code;
    size_t len; /* of the packed reply, or of the text when code is not OK */
    size_t charged;
    uint8_t *bytes; /* ends with a NUL that is not counted */
};

struct answers {
    struct idmap map;
    struct link wanted, spare; /* oldest first; what is spare goes first */
    size_t max_count, max_bytes, bytes;
};

void answers_init(struct answers *a, size_t max_count, size_t max_bytes);
void answers_deinit(struct answers *a);

/* True when `pending` calls and one more could all be stored: makes room by dropping spare and expired answers. */
bool answers_room(struct answers *a, size_t pending, int64_t now);

/* Keeps an answer; one that is too large for what is left is remembered without its bytes, as DATA_LOSS: the call must
 * still not be carried out twice. */
void answers_put(struct answers *a, const struct call_id *id, const void *owner, int64_t expires, int64_t now,
                 enum status_code code, const void *bytes, size_t len);

struct answer *answers_get(const struct answers *a, const struct call_id *id);
void answers_taken(struct answers *a, struct answer *answer);
