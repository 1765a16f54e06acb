// SPDX-License-Identifier: Apache-2.0
// Bytes that are no request, through every method of every service.
#include <google/protobuf/descriptor.h>
#include <grpcpp/generic/generic_stub.h>

#include "server/guarded_requests.h"
#include "tests/server/fixture.h"

namespace rlx::server {
namespace {

using google::protobuf::DescriptorPool;
using google::protobuf::MethodDescriptor;
using google::protobuf::ServiceDescriptor;

std::vector<const MethodDescriptor*> Methods() {
  std::vector<const MethodDescriptor*> out;
  for (const char* name : {"rlx.v1.Admin", "rlx.v1.Blobs", "rlx.v1.Compiler", "rlx.v1.Devices",
                           "rlx.v1.Server", "rlx.v1.Sessions", "inference.GRPCInferenceService"}) {
    const ServiceDescriptor* service = DescriptorPool::generated_pool()->FindServiceByName(name);
    EXPECT_NE(service, nullptr) << name;
    for (int m = 0; service != nullptr && m < service->method_count(); ++m)
      out.push_back(service->method(m));
  }
  return out;
}

// An upper bound of the services' number: one more than Methods knows would be unguarded.
TEST(GuardedRequests, AreAllThereAre) {
  std::set<std::string> guarded, needed;
#define RLX_NAME(Request) guarded.insert(v1::Request::descriptor()->full_name());
  RLX_GUARDED_REQUESTS(RLX_NAME)
#undef RLX_NAME
#define RLX_NAME(Request) guarded.insert(inference::Request::descriptor()->full_name());
  RLX_GUARDED_INFERENCE_REQUESTS(RLX_NAME)
#undef RLX_NAME
  int services = 0;
  for (const char* file : {"rlx/v1/admin", "rlx/v1/blobs", "rlx/v1/capabilities", "rlx/v1/compiler",
                           "rlx/v1/devices", "rlx/v1/error", "rlx/v1/module", "rlx/v1/options",
                           "rlx/v1/plan", "rlx/v1/report", "rlx/v1/sessions", "rlx/v1/target",
                           "rlx/v1/types", "inference/grpc_service", "inference/model_config"}) {
    const auto* known =
        DescriptorPool::generated_pool()->FindFileByName(std::string(file) + ".proto");
    ASSERT_NE(known, nullptr) << file;
    services += known->service_count();
  }
  EXPECT_EQ(services, 7) << "a service that Methods does not know";
  for (const MethodDescriptor* method : Methods()) needed.insert(method->input_type()->full_name());
  EXPECT_EQ(guarded, needed);
}

class MalformedTest : public DaemonTest {
 protected:
  // Sends `bytes` as the only message of a call, and takes its status.
  grpc::Status Send(const MethodDescriptor& method, const std::string& bytes) {
    grpc::GenericStub stub(NewChannel());
    grpc::CompletionQueue queue;
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    const auto call = stub.PrepareCall(
        &context, "/" + method.service()->full_name() + "/" + method.name(), &queue);
    void* tag = nullptr;
    bool ok = false;
    call->StartCall(nullptr);
    queue.Next(&tag, &ok);
    const grpc::Slice slice(bytes);
    call->Write(grpc::ByteBuffer(&slice, 1), nullptr);
    queue.Next(&tag, &ok);
    grpc::Status status;
    call->Finish(&status, nullptr);
    queue.Next(&tag, &ok);
    return status;
  }
};

TEST_F(MalformedTest, IsSaidByEveryMethodAndCounted) {
  for (const MethodDescriptor* method : Methods()) {
    SCOPED_TRACE(method->full_name());
    const grpc::Status status = Send(*method, "\xff\xff\xff no message");
    EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT) << status.error_message();
    EXPECT_NE(status.error_message().find(method->input_type()->full_name()), std::string::npos)
        << status.error_message();
    EXPECT_EQ(Metric("rlxd_rpc_requests_total{code=\"INVALID_ARGUMENT\",method=\"" +
                     method->name() + "\",service=\"" + method->service()->name() + "\"}"),
              1);
  }
  EXPECT_TRUE(Serves());
}

TEST_F(MalformedTest, TextThatIsNoUtf8IsSaid) {
  const auto& lower = *v1::LowerRequest::descriptor();
  v1::LowerRequest request;
  AddNode(*request.mutable_spec()->mutable_module()->add_graphs(), "marker", {});
  std::string bytes = request.SerializeAsString();
  bytes[bytes.find("marker")] = '\xff';
  for (const MethodDescriptor* method : Methods()) {
    if (method->input_type() != &lower) continue;
    EXPECT_EQ(Send(*method, bytes).error_code(), grpc::INVALID_ARGUMENT);
  }
}

TEST_F(MalformedTest, AMessageThatWouldSwellIsNotParsed) {
  v1::LowerRequest request;
  v1::Graph& graph = *request.mutable_spec()->mutable_module()->add_graphs();
  for (int i = 0; i < 3'000'000; ++i) graph.add_nodes();  // 6 MB on the wire
  const std::string bytes = request.SerializeAsString();
  for (const MethodDescriptor* method : Methods()) {
    if (method->input_type() != v1::LowerRequest::descriptor()) continue;
    const grpc::Status status = Send(*method, bytes);
    EXPECT_EQ(status.error_code(), grpc::RESOURCE_EXHAUSTED) << status.error_message();
    EXPECT_NE(status.error_message().find("LowerRequest"), std::string::npos);
  }
  EXPECT_TRUE(Serves());
}

}  // namespace
}  // namespace rlx::server
