// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/object.h"

#include <optional>

#include "runtime/base/status.h"
#include "runtime/kernel/kernel.h"

namespace rlx::cuda {
namespace {

constexpr std::string_view kMagic = "rlx-cubin-2";

absl::Status Fault() { return DataLoss("the object is not of cubins"); }

// Up to the next line's end, which is taken too.
std::optional<std::string_view> TakeLine(std::string_view& rest) {
  const size_t end = rest.find('\n');
  if (end == rest.npos) return std::nullopt;
  const std::string_view line = rest.substr(0, end);
  rest.remove_prefix(end + 1);
  return line;
}

absl::StatusOr<ObjectPart::Entry> ReadEntry(std::string_view& rest) {
  const auto line = TakeLine(rest);
  if (!line) return Fault();
  const std::vector<std::string_view> words = Split(*line, ' ');
  if (words.size() < 2) return Fault();
  const auto lanes = ParseInt(words[1]);
  const auto notes = ReadNotes(std::span(words).subspan(2));
  if (!lanes || *lanes < 1 || *lanes > kernel::kMaxLocal || !notes) return Fault();
  return ObjectPart::Entry{std::string(words[0]), static_cast<int>(*lanes), *notes};
}

absl::StatusOr<ObjectPart> ReadPart(std::string_view& rest) {
  const auto line = TakeLine(rest);
  if (!line) return Fault();
  const std::vector<std::string_view> words = Split(*line, ' ');
  if (words.size() != 3 || words[0] != kMagic) return Fault();
  const auto kernels = ParseInt(words[1]), bytes = ParseInt(words[2]);
  if (!kernels || !bytes || *kernels < 0 || *bytes < 0) return Fault();
  ObjectPart part;
  for (int64_t k = 0; k < *kernels; ++k) {
    RLX_ASSIGN(ObjectPart::Entry entry, ReadEntry(rest));
    part.kernels.push_back(std::move(entry));
  }
  if (rest.size() < static_cast<size_t>(*bytes)) return Fault();
  part.cubin = rest.substr(0, static_cast<size_t>(*bytes));
  rest.remove_prefix(static_cast<size_t>(*bytes));
  return part;
}

}  // namespace

std::string WriteObject(const std::vector<ObjectPart>& parts) {
  std::string out;
  for (const ObjectPart& part : parts) {
    out += Cat(kMagic, " ", part.kernels.size(), " ", part.cubin.size(), "\n");
    for (const ObjectPart::Entry& entry : part.kernels) {
      out += Cat(entry.name, " ", entry.lanes, " ", NotesWords(entry.notes), "\n");
    }
    out += part.cubin;
  }
  return out;
}

absl::StatusOr<std::vector<ObjectPart>> ReadObject(std::string_view object) {
  std::vector<ObjectPart> parts;
  while (!object.empty()) {
    RLX_ASSIGN(ObjectPart part, ReadPart(object));
    parts.push_back(std::move(part));
  }
  return parts;
}

}  // namespace rlx::cuda
