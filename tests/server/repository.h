// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "inference/grpc_service.grpc.pb.h"
#include "tests/server/fixture.h"

namespace rlx::server {

// A daemon with a model repository, and a stub to what serves it.
class RepositoryTest : public DaemonTest {
 protected:
  using Infer = inference::ModelInferRequest;
  using Answer = inference::ModelInferResponse;

  void SetUp() override {}  // a test fills the repository first

  std::string root() const { return dir_.path() + "/models"; }
  // Writes a file of the repository, whole at once: "double/1/module.txt".
  void Write(const std::string& file, const std::string& contents) const;
  void Remove(const std::string& file_or_folder) const;
  // With the repository; returns once the daemon is ready.
  void Serve(std::vector<std::string> flags = {});
  // Without waiting.
  void StartServing(std::vector<std::string> flags = {});

  grpc::Status Call(const Infer& request, Answer& answer) const;
  // Requests one input "x" of f32 in raw form.
  static Infer Request(const std::string& model, const std::vector<float>& x,
                       std::vector<int64_t> dims, const std::string& version = "");
  // Its output 0; empty, and a failure of the test, when the call fails.
  std::vector<float> Run(const Infer& request) const;
  inference::RepositoryIndexResponse Index() const;
  // State and reason of a version, "" when there is none.
  std::pair<std::string, std::string> StateOf(const std::string& model,
                                              const std::string& version) const;
  bool StateBecomes(const std::string& model, const std::string& version,
                    const std::string& state) const;
  grpc::Status Load(const std::string& model) const;
  grpc::Status Unload(const std::string& model) const;

  std::unique_ptr<inference::GRPCInferenceService::Stub> stub_;
};

std::vector<float> FloatsOf(const std::string& bytes);
std::string BytesOf(const std::vector<float>& values);
// y = x * factor, f32[4].
std::string Times(const std::string& factor);

}  // namespace rlx::server
