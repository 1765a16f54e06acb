// SPDX-License-Identifier: Apache-2.0
#include "clients/rlxctl/module_file.h"

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/text_format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "runtime/base/file.h"
#include "runtime/ir/text.h"
#include "runtime/wire/module.h"

namespace rlx::ctl {
namespace {

constexpr uint64_t kMaxModuleBytes = INT32_MAX;  // protobuf's own limit

bool IsText(std::string_view path) { return path.ends_with(".pbtxt") || path.ends_with(".txtpb"); }

// Past white space and comments, which the text form allows in front.
std::string_view SkipBlank(std::string_view text) {
  while (true) {
    text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
    if (!text.starts_with("//")) return text;
    text.remove_prefix(std::min(text.find('\n'), text.size()));
  }
}

// Whether the bytes are the text form of the IR: a stage, then white space, and no control
// characters, which every serialized module has (its stage is a number).
bool IsIr(std::string_view bytes) {
  const std::string_view text = SkipBlank(bytes);
  const bool stage = text.starts_with("hir") || text.starts_with("mir") || text.starts_with("lir");
  if (!stage || text.find_first_of(" \t\r\n\"/") != 3) return false;
  return std::ranges::none_of(bytes, [](char c) {
    return static_cast<unsigned char>(c) < ' ' && c != '\t' && c != '\r' && c != '\n';
  });
}

// `m.rlx: 3:7: expected …` where it is not well formed; what it says is the server's to judge.
absl::StatusOr<v1::GraphModule> ParseIr(std::string_view bytes, std::string_view path) {
  const absl::StatusOr<Module> parsed = rlx::ParseModule(bytes);
  if (!parsed.ok()) return Annotate(parsed.status(), path);
  v1::GraphModule module;
  wire::ModuleToWire(*parsed, module);
  return module;
}

// The first complaint of protobuf's parser.
class FirstError : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int line, int column, const std::string& message) override {
    if (text_.empty()) text_ = Cat(line + 1, ":", column + 1, ": ", message);
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

absl::StatusOr<v1::GraphModule> ParseText(std::string_view bytes, std::string_view path) {
  FirstError error;
  google::protobuf::TextFormat::Parser parser;
  parser.RecordErrorsTo(&error);
  parser.SetRecursionLimit(100);
  google::protobuf::io::ArrayInputStream stream(bytes.data(), static_cast<int>(bytes.size()));
  v1::GraphModule module;
  if (!parser.Parse(&stream, &module)) return InvalidArgument(path, ":", error.text());
  return module;
}

absl::StatusOr<std::string> ReadStdin() {
  std::string bytes;
  std::string piece(1 << 16, '\0');
  while (true) {
    const ssize_t size = read(STDIN_FILENO, piece.data(), piece.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return ErrnoStatus(errno, "read", "stdin");
    if (size == 0) return bytes;
    bytes.append(piece, 0, static_cast<size_t>(size));
    if (bytes.size() > kMaxModuleBytes) return InvalidArgument("stdin: no module is that large");
  }
}

}  // namespace

absl::StatusOr<std::string> RealPath(std::string_view path) {
  const std::string given(path);
  char* found = realpath(given.c_str(), nullptr);
  if (found == nullptr) return ErrnoStatus(errno, "open", path);
  std::string real(found);
  std::free(found);
  return real;
}

absl::StatusOr<v1::GraphModule> ParseModule(std::string_view bytes, std::string_view path) {
  if (bytes.size() > kMaxModuleBytes) return InvalidArgument(path, ": no module is that large");
  if (bytes.empty()) return InvalidArgument(path, ": is empty");
  if (path.ends_with(".rlx") || (!path.ends_with(".pb") && IsIr(bytes)))
    return ParseIr(bytes, path);
  if (IsText(path)) return ParseText(bytes, path);
  v1::GraphModule module;
  if (module.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return module;
  if (path.ends_with(".pb")) return InvalidArgument(path, ": is no serialized GraphModule");
  return ParseText(bytes, path);
}

absl::StatusOr<v1::GraphModule> ReadModule(std::string_view path) {
  if (path == "-") {
    RLX_ASSIGN(const std::string bytes, ReadStdin());
    return ParseModule(bytes, "stdin");
  }
  RLX_ASSIGN(const std::string real, RealPath(path));
  RLX_ASSIGN(const std::string bytes, ReadFile(real, kMaxModuleBytes));
  return ParseModule(bytes, path);
}

absl::Status WriteModule(const v1::GraphModule& module, std::string_view path) {
  std::string bytes;
  const bool written = IsText(path) ? google::protobuf::TextFormat::PrintToString(module, &bytes)
                                    : module.SerializeToString(&bytes);
  if (!written) return ResourceExhausted(path, ": the module is too large to be written");
  return WriteFileAtomic(std::string(path), {bytes}, 0644);
}

}  // namespace rlx::ctl
