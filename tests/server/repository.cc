// SPDX-License-Identifier: Apache-2.0
#include "tests/server/repository.h"

#include <filesystem>
#include <thread>

#include "runtime/base/clock.h"
#include "runtime/base/file.h"
#include "runtime/base/text.h"

namespace rlx::server {

void RepositoryTest::Write(const std::string& file, const std::string& contents) const {
  const std::filesystem::path path = root() + "/" + file;
  std::filesystem::create_directories(path.parent_path());
  ASSERT_TRUE(WriteFileAtomic(path, {contents}).ok());
}

void RepositoryTest::Remove(const std::string& file_or_folder) const {
  std::filesystem::remove_all(root() + "/" + file_or_folder);
}

void RepositoryTest::StartServing(std::vector<std::string> flags) {
  std::filesystem::create_directories(root());
  flags.push_back("--model_repository=" + root());
  Start(flags);
  ASSERT_NE(daemon_, nullptr);
  stub_ = inference::GRPCInferenceService::NewStub(NewChannel());
}

void RepositoryTest::Serve(std::vector<std::string> flags) {
  StartServing(std::move(flags));
  ASSERT_TRUE(BecomesEventually("rlxd_ready", 1));
}

grpc::Status RepositoryTest::Call(const Infer& request, Answer& answer) const {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  return stub_->ModelInfer(&context, request, &answer);
}

RepositoryTest::Infer RepositoryTest::Request(const std::string& model, const std::vector<float>& x,
                                              std::vector<int64_t> dims,
                                              const std::string& version) {
  Infer request;
  request.set_model_name(model);
  request.set_model_version(version);
  auto& input = *request.add_inputs();
  input.set_name("x");
  input.set_datatype("FP32");
  input.mutable_shape()->Add(dims.begin(), dims.end());
  request.add_raw_input_contents(BytesOf(x));
  return request;
}

std::vector<float> RepositoryTest::Run(const Infer& request) const {
  Answer answer;
  const grpc::Status status = Call(request, answer);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return answer.raw_output_contents().empty() ? std::vector<float>()
                                              : FloatsOf(answer.raw_output_contents(0));
}

inference::RepositoryIndexResponse RepositoryTest::Index() const {
  grpc::ClientContext context;
  inference::RepositoryIndexResponse response;
  const grpc::Status status = stub_->RepositoryIndex(&context, {}, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response;
}

std::pair<std::string, std::string> RepositoryTest::StateOf(const std::string& model,
                                                            const std::string& version) const {
  const inference::RepositoryIndexResponse index = Index();
  for (const auto& entry : index.models()) {
    if (entry.name() == model && entry.version() == version) return {entry.state(), entry.reason()};
  }
  return {};
}

bool RepositoryTest::StateBecomes(const std::string& model, const std::string& version,
                                  const std::string& state) const {
  const double until = MonotonicSeconds() + 60;
  while (StateOf(model, version).first != state) {
    if (MonotonicSeconds() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

grpc::Status RepositoryTest::Load(const std::string& model) const {
  grpc::ClientContext context;
  inference::RepositoryModelLoadRequest request;
  request.set_model_name(model);
  inference::RepositoryModelLoadResponse response;
  return stub_->RepositoryModelLoad(&context, request, &response);
}

grpc::Status RepositoryTest::Unload(const std::string& model) const {
  grpc::ClientContext context;
  inference::RepositoryModelUnloadRequest request;
  request.set_model_name(model);
  inference::RepositoryModelUnloadResponse response;
  return stub_->RepositoryModelUnload(&context, request, &response);
}

std::vector<float> FloatsOf(const std::string& bytes) {
  std::vector<float> out(bytes.size() / sizeof(float));
  std::memcpy(out.data(), bytes.data(), out.size() * sizeof(float));
  return out;
}

std::string BytesOf(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

std::string Times(const std::string& factor) {
  return Cat("mir \"times\" {\n  %0 = input \"x\" : f32[4]\n  %1 = constant {value = f32[] (",
             factor, ")} : f32[]\n  %2 = mul(%0, %1)\n  output \"y\" = %2\n}\n");
}

}  // namespace rlx::server
