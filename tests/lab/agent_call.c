/* Asks an agent, as the coordinator or (Peer.METHOD) another agent would: agent_call URL CA CERT METHOD [KEY=VALUE]... prints the answer
 * as text.
 *     agent_call tls+tcp://10.77.0.11:7460 ca.pem coordinator.pem Probe kind=1 nonce=UUID path=/srv/x/vm.img
 *     agent_call tls+tcp://10.77.0.12:7460 ca.pem agent-kvm1.pem Peer.Activate step.transaction=UUID
 * Values are numbers or texts, as the field is; a repeated text is given several times. Exit 1: the call failed. */
#include "common/base/memory.h"
#include "common/message/message.h"
#include "common/rpc/rpc.h"
#include "proto/agent.pb-c.h"
#include "proto/peer.pb-c.h"
#include "tests/unit/message_text.h"

#include <stdio.h>
#include <string.h>

enum { TIMEOUT_MS = 40000 };

/* The message that KEY.REST is in; made if need be. */
static ProtobufCMessage *inside(ProtobufCMessage *m, const char *key, size_t length)
{
    _cleanup_free_ char *name = xasprintf("%.*s", (int)length, key);
    const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field_by_name(m->descriptor, name);
    if (!f || f->type != PROTOBUF_C_TYPE_MESSAGE || f->label == PROTOBUF_C_LABEL_REPEATED)
        return NULL;
    ProtobufCMessage **at = (void *)((char *)m + f->offset);
    if (!*at) {
        const ProtobufCMessageDescriptor *d = f->descriptor;
        *at = xcalloc(1, d->sizeof_message);
        d->message_init(*at);
    }
    return *at;
}

static bool set_field(ProtobufCMessage *m, const char *key, const char *value)
{
    const char *dot = strchr(key, '.');
    if (dot) {
        m = inside(m, key, (size_t)(dot - key));
        key = dot + 1;
    }
    const ProtobufCFieldDescriptor *f =
        m ? protobuf_c_message_descriptor_get_field_by_name(m->descriptor, key) : NULL;
    if (!f)
        return false;
    void *at = (char *)m + f->offset;
    if (f->label == PROTOBUF_C_LABEL_REPEATED && f->type == PROTOBUF_C_TYPE_STRING) {
        message_append_text(at, (size_t *)((char *)m + f->quantifier_offset), value);
        return true;
    }
    switch (f->type) {
    case PROTOBUF_C_TYPE_STRING: *(char **)at = xstrdup(value); return true;
    case PROTOBUF_C_TYPE_BOOL: *(protobuf_c_boolean *)at = strtol(value, NULL, 10) != 0; return true;
    case PROTOBUF_C_TYPE_ENUM:
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_UINT32: *(uint32_t *)at = (uint32_t)strtoul(value, NULL, 10); return true;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64: *(uint64_t *)at = strtoull(value, NULL, 10); return true;
    default: return false;
    }
}

int main(int argc, char **argv)
{
    struct error err = {0};
    bool peer = argc > 4 && strncmp(argv[4], "Peer.", 5) == 0;
    const ProtobufCServiceDescriptor *d =
        peer ? &drover__v1__peer__descriptor : &drover__v1__agent__descriptor;
    const ProtobufCMethodDescriptor *method =
        argc > 4 ? protobuf_c_service_descriptor_get_method_by_name(d, argv[4] + (peer ? 5 : 0)) : NULL;
    if (!method) {
        fprintf(stderr, "usage: agent_call URL CA CERT METHOD [KEY=VALUE]...\n");
        return 2;
    }
    ProtobufCMessage *request = xcalloc(1, method->input->sizeof_message), *reply = NULL;
    method->input->message_init(request);
    for (int i = 5; i < argc; i++) {
        char *equals = strchr(argv[i], '=');
        if (equals)
            *equals = 0;
        if (!equals || !set_field(request, argv[i], equals + 1)) {
            fprintf(stderr, "agent_call: %s has no field \"%s\" that could be set\n", method->input->name,
                    argv[i]);
            return 2;
        }
    }
    _cleanup_(rpc_tls_freep) struct rpc_tls *tls = NULL;
    _cleanup_(rpc_client_freep) struct rpc_client *client = NULL;
    int r = rpc_tls_new(argv[2], argv[3], &tls, &err);
    struct rpc_client_config config = {.url = argv[1], .tls = tls, .peer_role = RPC_AGENT};
    if (r == 0)
        r = rpc_client_new(&config, &client, &err);
    if (r == 0) {
        struct rpc_stub stub = rpc_stub(client, d, .timeout_ms = TIMEOUT_MS, .wait = true);
        r = rpc_call_sync(&stub, method->name, request, &reply, &err);
    }
    protobuf_c_message_free_unpacked(request, NULL);
    if (r < 0) {
        fprintf(stderr, "agent_call: %s: %s\n", status_name(err.code), err.text);
        return 1;
    }
    _cleanup_free_ char *text = message_text(reply);
    fputs(text, stdout);
    protobuf_c_message_free_unpacked(reply, NULL);
    return 0;
}
