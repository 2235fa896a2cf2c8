/* rpc_call_sync: for threads that may block. The answer is handed over on nng's thread, so that it comes even while the
 * client's loop is busy or waits for this thread. */
#include "common/rpc/client.h"

#include "common/base/memory.h"

struct sync {
    pthread_mutex_t lock;
    pthread_cond_t done;
    bool ended;
    ProtobufCMessage *reply;
    struct error why;
};

/* The reply is only valid now: a copy, through its packed form, in memory that protobuf-c's own free function frees. */
static void on_end(const ProtobufCMessage *reply, void *arg)
{
    struct sync *s = arg;
    ProtobufCMessage *copy = NULL;
    if (reply) {
        size_t len = protobuf_c_message_get_packed_size(reply);
        uint8_t *packed = xcalloc(1, len + 1);
        protobuf_c_message_pack(reply, packed);
        copy = protobuf_c_message_unpack(reply->descriptor, NULL, len, packed);
        free(packed);
    }
    pthread_mutex_lock(&s->lock);
    s->reply = copy;
    s->why = *rpc_status();
    s->ended = true;
    pthread_cond_signal(&s->done);
    pthread_mutex_unlock(&s->lock);
}

int rpc_call_sync(struct rpc_stub *stub, const char *method, const ProtobufCMessage *request,
                  ProtobufCMessage **ret, struct error *err)
{
    const ProtobufCServiceDescriptor *d = stub->base.descriptor;
    const ProtobufCMethodDescriptor *m = protobuf_c_service_descriptor_get_method_by_name(d, method);
    if (!m)
        return error_set(err, STATUS_UNIMPLEMENTED, "service %s has no method %s", d->name, method);
    struct sync s = {.lock = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER};
    client_invoke(stub, (unsigned)(m - d->methods), request, on_end, &s, true);
    pthread_mutex_lock(&s.lock);
    while (!s.ended) /* the call has a deadline, always */
        pthread_cond_wait(&s.done, &s.lock);
    pthread_mutex_unlock(&s.lock);
    pthread_mutex_destroy(&s.lock);
    pthread_cond_destroy(&s.done);
    if (!s.reply) {
        if (s.why.code == STATUS_OK)
            error_set(&s.why, STATUS_INTERNAL, "%s gave no reply", method);
        if (err)
            *err = s.why;
        return -(int)s.why.code;
    }
    *ret = s.reply;
    return 0;
}
