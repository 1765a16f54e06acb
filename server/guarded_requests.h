// SPDX-License-Identifier: Apache-2.0
// How requests are read off the wire. gRPC answers one that it cannot parse as UNIMPLEMENTED,
// without words, and parses all that it can, whatever memory that takes. Here a bad one is left
// empty and says why, so that it ends like every other call: with a status, counted and logged.
#pragma once

#include <grpcpp/impl/codegen/proto_utils.h>

#include "absl/status/status.h"
#include "inference/grpc_service.pb.h"
#include "rlx/v1/admin.pb.h"
#include "rlx/v1/blobs.pb.h"
#include "rlx/v1/capabilities.pb.h"
#include "rlx/v1/compiler.pb.h"
#include "rlx/v1/devices.pb.h"
#include "rlx/v1/sessions.pb.h"

namespace rlx::server {

// Parses a request. Bytes that are no message of its type, or that would take far more memory than
// their own, leave it empty but for the reason. Any thread.
void ReadGuarded(grpc::ByteBuffer& bytes, google::protobuf::Message& request);

// OK, or why ReadGuarded left the request empty: InvalidArgument, or ResourceExhausted.
absl::Status Refusal(const google::protobuf::Message& request);

template <class Request>
struct GuardedTraits {
  static grpc::Status Serialize(const Request& from, grpc::ByteBuffer* to, bool* own_buffer) {
    return grpc::GenericSerialize<grpc::ProtoBufferWriter, Request>(from, to, own_buffer);
  }
  static grpc::Status Deserialize(grpc::ByteBuffer* from, Request* to) {
    ReadGuarded(*from, *to);
    return grpc::Status::OK;
  }
};

}  // namespace rlx::server

// Where gRPC looks for the above; every request of every service, held complete by a test.
// clang-format off: it indents a list of this kind further at every call
#define RLX_GUARDED_REQUESTS(X) \
  X(CacheClearRequest) X(CacheListRequest) X(CacheStatsRequest) X(CloseRequest) \
  X(CompileRequest) X(DrainRequest) X(ExplainKeyRequest) X(ExplainRequest) \
  X(ExportSourceRequest) X(FindMissingRequest) X(GetCapabilitiesRequest) X(InspectRequest) \
  X(KeepAliveRequest) X(ListDevicesRequest) X(ListSessionsRequest) X(LowerRequest) \
  X(OpenRequest) X(QueryWriteRequest) X(ReadRequest) X(RunRequest) X(RunStreamRequest) \
  X(WaitCompileRequest) X(WriteRequest)
#define RLX_GUARDED_INFERENCE_REQUESTS(X) \
  X(CudaSharedMemoryRegisterRequest) X(CudaSharedMemoryStatusRequest) \
  X(CudaSharedMemoryUnregisterRequest) X(LogSettingsRequest) X(ModelConfigRequest) \
  X(ModelInferRequest) X(TraceSettingRequest) \
  X(ModelMetadataRequest) X(ModelReadyRequest) X(ModelStatisticsRequest) \
  X(RepositoryIndexRequest) X(RepositoryModelLoadRequest) X(RepositoryModelUnloadRequest) \
  X(ServerLiveRequest) X(ServerMetadataRequest) X(ServerReadyRequest) \
  X(SystemSharedMemoryRegisterRequest) X(SystemSharedMemoryStatusRequest) \
  X(SystemSharedMemoryUnregisterRequest)
// clang-format on

#define RLX_GUARDED_TRAITS(Type) \
  template <>                    \
  class grpc::SerializationTraits<Type, void> : public rlx::server::GuardedTraits<Type> {};
#define RLX_GUARDED_V1(Request) RLX_GUARDED_TRAITS(rlx::v1::Request)
#define RLX_GUARDED_INFERENCE(Request) RLX_GUARDED_TRAITS(inference::Request)
RLX_GUARDED_REQUESTS(RLX_GUARDED_V1)
RLX_GUARDED_INFERENCE_REQUESTS(RLX_GUARDED_INFERENCE)
#undef RLX_GUARDED_TRAITS
#undef RLX_GUARDED_V1
#undef RLX_GUARDED_INFERENCE
