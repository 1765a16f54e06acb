// SPDX-License-Identifier: Apache-2.0
// What an operator can do wrong, or a disk: the daemon serves on, and says so.
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "runtime/base/sha256.h"
#include "tests/server/fixture.h"

namespace rlx::server {
namespace {

class CacheFolderTest : public DaemonTest {
 protected:
  std::vector<std::string> Warnings() {
    grpc::ClientContext context;
    v1::GetCapabilitiesResponse response;
    EXPECT_TRUE(server_->GetCapabilities(&context, {}, &response).ok());
    return {response.warnings().begin(), response.warnings().end()};
  }
  grpc::Status Upload(const std::string& bytes) {
    grpc::ClientContext context;
    v1::WriteResponse response;
    const auto writer = blobs_->Write(&context, &response);
    v1::WriteRequest first;
    first.mutable_blob()->set_sha256(std::string(Sha256Of(bytes).view()));
    first.mutable_blob()->set_size(bytes.size());
    first.set_data(bytes);
    writer->Write(first);
    writer->WritesDone();
    return writer->Finish();
  }
  bool IsMissing(const std::string& bytes, uint64_t size, grpc::Status* status = nullptr) {
    grpc::ClientContext context;
    v1::FindMissingRequest request;
    request.add_blobs()->set_sha256(std::string(Sha256Of(bytes).view()));
    request.mutable_blobs(0)->set_size(size);
    v1::FindMissingResponse response;
    const grpc::Status got = blobs_->FindMissing(&context, request, &response);
    if (status != nullptr) *status = got;
    return response.missing_size() == 1;
  }
};

TEST_F(CacheFolderTest, ServesFromMemoryWhereNoFolderCanBe) {
  Stop();
  std::filesystem::remove_all(cache_dir());
  std::ofstream(cache_dir()) << "in the way";
  Start();
  ASSERT_EQ(Warnings().size(), 1u);
  EXPECT_NE(Warnings()[0].find("kept in memory"), std::string::npos) << Warnings()[0];
  EXPECT_EQ(Warnings()[0].find(dir_.path()), std::string::npos);
  EXPECT_TRUE(Compile(IdentityModule()).status.ok());
  EXPECT_EQ(Compile(IdentityModule()).result.cache(), v1::CACHE_RESULT_MEMORY);
  EXPECT_TRUE(Upload("bytes").ok());
  EXPECT_FALSE(IsMissing("bytes", 5));
}

TEST_F(CacheFolderTest, AFolderRemovedWhileServingComesBack) {
  ASSERT_TRUE(Upload("before").ok());
  std::filesystem::remove_all(cache_dir());
  EXPECT_TRUE(Compile(IdentityModule()).status.ok());
  EXPECT_TRUE(IsMissing("before", 6));
  EXPECT_TRUE(Upload("before").ok());
  EXPECT_FALSE(IsMissing("before", 6));
  EXPECT_TRUE(Warnings().empty());
  Start();  // what was written then is there
  EXPECT_EQ(Compile(IdentityModule()).result.cache(), v1::CACHE_RESULT_DISK);
  EXPECT_FALSE(IsMissing("before", 6));
}

TEST_F(CacheFolderTest, ACompileNeverFailsForTheDisk) {
  std::filesystem::remove_all(cache_dir());
  std::ofstream(cache_dir()) << "in the way";
  EXPECT_TRUE(Compile(IdentityModule()).status.ok());
  EXPECT_TRUE(Compile(LinearModule(2, 3, 4)).status.ok());
  ASSERT_EQ(Warnings().size(), 1u);
  EXPECT_TRUE(Warnings()[0].starts_with("disk cache: ")) << Warnings()[0];
  EXPECT_GT(Metric("rlxd_cache_errors_total{tier=\"disk\"}"), 0);
  EXPECT_EQ(Upload("bytes").error_code(), grpc::UNAVAILABLE);
  EXPECT_TRUE(Serves());
}

// Whom permissions bind: root, in whose name tests may run, writes anywhere.
class AsNobody {
 public:
  explicit AsNobody(const std::string& folder) {
    if (geteuid() != 0) return;
    EXPECT_EQ(chown(folder.c_str(), kNobody, kNobody), 0);
    EXPECT_EQ(seteuid(kNobody), 0);
    switched_ = true;
  }
  ~AsNobody() {
    if (!switched_) return;
    EXPECT_EQ(seteuid(0), 0);
  }

 private:
  static constexpr uid_t kNobody = 65534;
  bool switched_ = false;
};

void SetWritable(const std::string& folder, bool writable) {
  namespace fs = std::filesystem;
  constexpr fs::perms kWrite = fs::perms::owner_write;
  const auto how = writable ? fs::perm_options::add : fs::perm_options::remove;
  fs::permissions(folder, kWrite, how);
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_directory()) fs::permissions(entry.path(), kWrite, how);
  }
}

TEST_F(CacheFolderTest, AReadOnlyFolderServesWhatItHas) {
  Stop();
  std::filesystem::remove_all(cache_dir());
  const AsNobody nobody(dir_.path());
  Start();
  ASSERT_TRUE(Compile(IdentityModule()).status.ok());
  ASSERT_TRUE(Upload("before").ok());
  SetWritable(cache_dir(), false);
  Start();
  EXPECT_EQ(Compile(IdentityModule()).result.cache(), v1::CACHE_RESULT_DISK);
  EXPECT_FALSE(IsMissing("before", 6));
  EXPECT_TRUE(Compile(LinearModule(2, 3, 4)).status.ok());
  EXPECT_EQ(Upload("after").error_code(), grpc::UNAVAILABLE);
  ASSERT_EQ(Warnings().size(), 1u);
  EXPECT_TRUE(Warnings()[0].starts_with("disk cache: ")) << Warnings()[0];
  EXPECT_TRUE(Serves());
  SetWritable(cache_dir(), true);
}

TEST_F(CacheFolderTest, AnEmptyReadOnlyFolderIsNone) {
  Stop();
  std::filesystem::remove_all(cache_dir());
  const AsNobody nobody(dir_.path());
  std::filesystem::create_directory(cache_dir());
  SetWritable(cache_dir(), false);
  Start();
  ASSERT_EQ(Warnings().size(), 1u);
  EXPECT_NE(Warnings()[0].find("kept in memory"), std::string::npos) << Warnings()[0];
  EXPECT_TRUE(Compile(IdentityModule()).status.ok());
  EXPECT_TRUE(Upload("bytes").ok());
  SetWritable(cache_dir(), true);
}

TEST_F(CacheFolderTest, ABlobThatIsHereIsCompleteAtOnce) {
  const std::string bytes(1 << 20, 'x');
  ASSERT_TRUE(Upload(bytes).ok());
  EXPECT_TRUE(Upload(bytes).ok()) << "someone else has finished it meanwhile";
}

TEST_F(CacheFolderTest, ABlobOfAnotherSizeIsRefusedByName) {
  ASSERT_TRUE(Upload("12345").ok());
  grpc::Status status;
  EXPECT_FALSE(IsMissing("12345", 0, &status));
  EXPECT_TRUE(status.ok());
  IsMissing("12345", 6, &status);
  EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT);
  const std::string digest = Sha256Of("12345").ToHex();
  EXPECT_EQ(status.error_message(), "blob " + digest + " has 5 bytes, not 6");
  v1::ReadRequest read;
  read.mutable_blob()->set_sha256(std::string(Sha256Of("12345").view()));
  read.mutable_blob()->set_size(4);
  grpc::ClientContext context, other;
  const auto reader = blobs_->Read(&context, read);
  v1::ReadResponse piece;
  EXPECT_FALSE(reader->Read(&piece));
  EXPECT_EQ(reader->Finish().error_message(), "blob " + digest + " has 5 bytes, not 4");
  v1::QueryWriteRequest query;
  *query.mutable_blob() = read.blob();
  v1::QueryWriteResponse queried;
  EXPECT_EQ(blobs_->QueryWrite(&other, query, &queried).error_code(), grpc::INVALID_ARGUMENT);
  v1::CompileRequest compile = RequestFor(IdentityModule());
  *compile.mutable_spec()->mutable_module_blob() = read.blob();
  EXPECT_EQ(Compile(compile).status.error_code(), grpc::INVALID_ARGUMENT);
}

TEST_F(CacheFolderTest, WithoutABackEndItSaysSoAndStillCompiles) {
  const auto settings = ReadSettings({"--listen=127.0.0.1:0", "--metrics_listen="});
  Logger quiet(LogLevel::kError);
  auto bare = Daemon::Start(*settings, device::Registry(), quiet);
  ASSERT_TRUE(bare.ok());
  daemon_.swap(*bare);
  server_ = v1::Server::NewStub(NewChannel());
  devices_ = v1::Devices::NewStub(NewChannel());
  compiler_ = v1::Compiler::NewStub(NewChannel());
  ASSERT_EQ(Warnings().size(), 1u);
  EXPECT_TRUE(Warnings()[0].starts_with("no back end is loaded")) << Warnings()[0];
  grpc::ClientContext context;
  v1::ListDevicesResponse devices;
  ASSERT_TRUE(devices_->List(&context, {}, &devices).ok());
  EXPECT_EQ(devices.warnings_size(), 1);
  const Compiled compiled = Compile(IdentityModule());
  EXPECT_TRUE(compiled.status.ok());
  EXPECT_FALSE(compiled.result.runnable());
}

}  // namespace
}  // namespace rlx::server
