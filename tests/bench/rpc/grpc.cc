// gRPC C++ with its callback API on both sides, insecure credentials, one channel.
#include "rpc_echo.grpc.pb.h"
#include "tests/bench/rpc/bench.h"

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

using drover::test::EchoReply;
using drover::test::EchoRequest;
using drover::test::Quick;

namespace
{
class Service final : public Quick::CallbackService
{
    grpc::ServerUnaryReactor *Say(grpc::CallbackServerContext *context, const EchoRequest *request,
                                  EchoReply *reply) override
    {
        reply->set_data(request->data());
        auto *reactor = context->DefaultReactor();
        reactor->Finish(grpc::Status::OK);
        return reactor;
    }
};

int serve()
{
    static Service service;
    static std::unique_ptr<grpc::Server> server;
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service);
    server = builder.BuildAndStart();
    return port;
}

struct Call {
    grpc::ClientContext context;
    EchoRequest request;
    EchoReply reply;
};

void ask(struct bench *b, Quick::Stub *stub, unsigned slot)
{
    auto *call = new Call;
    call->request.set_data(std::string(ECHO_BYTES, 'x'));
    bench_asked(b, slot);
    stub->async()->Say(&call->context, &call->request, &call->reply, [=](grpc::Status status) {
        if (!status.ok() || call->reply.data().size() != ECHO_BYTES)
            abort();
        delete call;
        if (bench_answered(b, slot))
            ask(b, stub, slot);
    });
}

void run(struct bench *b, int port, unsigned in_flight)
{
    auto channel =
        grpc::CreateChannel("127.0.0.1:" + std::to_string(port), grpc::InsecureChannelCredentials());
    static auto stub = Quick::NewStub(channel);
    Call warm;
    if (!stub->Say(&warm.context, warm.request, &warm.reply).ok())
        abort();
    bench_start(b);
    for (unsigned i = 0; i < in_flight; i++)
        ask(b, stub.get(), i);
    bench_wait(b);
}
} // namespace

extern "C" const struct bench_system bench_grpc;
const struct bench_system bench_grpc = {"gRPC C++, callbacks", serve, run};
