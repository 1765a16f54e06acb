// SPDX-License-Identifier: Apache-2.0
#include "server/models/readers.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "runtime/base/cancel.h"
#include "runtime/base/fault.h"
#include "runtime/base/file.h"
#include "runtime/base/safetensors.h"
#include "runtime/cache/blob_store.h"
#include "runtime/ir/text.h"
#include "runtime/wire/message_cost.h"
#include "runtime/wire/module.h"
#include "server/models/onnx_reader.h"

namespace rlx::server {
namespace {

constexpr size_t kPieceBytes = size_t{4} << 20;
constexpr std::chrono::milliseconds kBusyPause{50};

// One pass over a file. `take` sees the bytes in order.
template <class Take>
absl::Status ReadPieces(const Fd& fd, const std::string& path, const CancelToken& cancel,
                        const Take& take) {
  std::string piece(kPieceBytes, '\0');
  for (off_t at = 0;;) {
    RLX_TRY(cancel.Check());
    const ssize_t got = pread(fd.get(), piece.data(), piece.size(), at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, "read", path);
    if (got == 0) return absl::OkStatus();
    RLX_TRY(take(std::string_view(piece.data(), static_cast<size_t>(got))));
    at += got;
  }
}

// The second pass. InvalidArgument: these are other bytes than the first saw.
absl::Status Copy(const Fd& fd, const std::string& path, cache::BlobWriter& writer,
                  uint64_t committed, const CancelToken& cancel) {
  uint64_t skip = committed;
  RLX_TRY(ReadPieces(fd, path, cancel, [&](std::string_view piece) {
    const size_t known = std::min<uint64_t>(skip, piece.size());
    skip -= known;
    piece.remove_prefix(known);
    return piece.empty() ? absl::OkStatus() : writer.Append(piece);
  }));
  RLX_ASSIGN(const cache::UploadState state, writer.Finish());
  return state.complete ? absl::OkStatus() : InvalidArgument("it has become shorter");
}

// Params find their tensors by name, in all *.safetensors of the folder.
absl::Status ReadWeights(const ReadContext& context, ReadModel& model) {
  std::set<std::string_view> params;
  for (NodeId param : model.module.graph.params()) {
    params.insert(model.module.graph.node(param).name);
  }
  std::set<std::string, std::less<>> bound;
  for (const std::string& name : context.files.names) {
    if (params.empty() || !name.ends_with(".safetensors")) continue;
    RLX_ASSIGN(const Digest256 digest,
               StoreFile(context.path(name), context.blobs, context.cancel));
    RLX_ASSIGN(SharedBytes bytes, context.blobs.Read(kRepositoryOwner, digest));
    auto tensors = ParseSafetensors(bytes.view());
    if (!tensors.ok()) return Annotate(tensors.status(), name);
    model.held.push_back(std::move(bytes));
    for (const auto& [tensor, slice] : *tensors) {
      if (!params.contains(tensor)) continue;
      if (!bound.insert(tensor).second) {
        return InvalidArgument("tensor \"", tensor, "\" is in more than one file");
      }
      const auto dtype = ParseDType(DTypeNameFromSafetensors(slice.dtype));
      if (!dtype) {
        return InvalidArgument(name, ": tensor \"", tensor, "\": there is no element type \"",
                               slice.dtype, "\" here");
      }
      model.weights.push_back({tensor, *dtype, slice.shape,
                               engine::WeightSource::Slice{digest, slice.offset, slice.length}});
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadModule(const ReadContext& context) {
  RLX_ASSIGN(const std::string path, ResolvePath(context.path(context.file)));
  return ReadFile(path, static_cast<uint64_t>(context.limits.max_module_bytes));
}

absl::StatusOr<ReadModel> ReadText(const ReadContext& context) {
  RLX_ASSIGN(const std::string text, ReadModule(context));
  ReadModel model;
  RLX_ASSIGN(model.module, ParseModule(text));
  RLX_TRY(ReadWeights(context, model));
  return model;
}

absl::StatusOr<ReadModel> ReadBinary(const ReadContext& context) {
  RLX_ASSIGN(const std::string bytes, ReadModule(context));
  const std::span<const uint8_t> span(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  const size_t most = static_cast<size_t>(context.limits.max_module_bytes);
  if (wire::ParsedBytes(span, *v1::GraphModule::descriptor(), most) >= most) {
    return LimitExceeded("max_module_bytes", context.limits.max_module_bytes,
                         "the module takes as many bytes of memory");
  }
  v1::GraphModule message;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return InvalidArgument("is no serialized rlx.v1.GraphModule");
  }
  ReadModel model;
  const auto no_blobs = [](const v1::BlobSlice&) -> absl::StatusOr<SharedBytes> {
    return NotFound("constants of a module in the repository stand in the module");
  };
  RLX_ASSIGN(model.module, wire::ModuleFromWire(message, context.limits, no_blobs));
  RLX_TRY(ReadWeights(context, model));
  return model;
}

// The order is that of the error message alone: a folder with two of them is refused.
constexpr ModelReader kReaders[] = {
    {"module.rlx.pb", "rlx", "rlx", ReadBinary},
    {"module.txt", "rlx", "rlx", ReadText},
    {"model.onnx", "onnxruntime_onnx", "onnxruntime", ReadOnnxModel},
};

}  // namespace

std::span<const ModelReader> ModelReaders() { return kReaders; }

absl::StatusOr<ChosenReader> ChooseReader(const VersionFiles& files, std::string_view wanted) {
  ChosenReader chosen;
  for (const ModelReader& reader : kReaders) {
    // A file of another name is of the kind that its ending says.
    const std::string_view ending = reader.file.substr(reader.file.find('.'));
    for (const std::string& name : files.names) {
      if (wanted.empty() ? name != reader.file : name != wanted || !name.ends_with(ending))
        continue;
      if (chosen.reader != nullptr) {
        return FailedPrecondition("holds ", chosen.file, " and ", name, ": one is the model");
      }
      chosen = {&reader, name};
    }
  }
  if (chosen.reader != nullptr) return chosen;
  if (!wanted.empty()) return NotFound("holds no model ", wanted);
  return NotFound("holds no model: ", Join(kReaders, ", ", [](std::string& out, const auto& row) {
                    out.append(row.file);
                  }));
}

absl::StatusOr<Digest256> StoreFile(const std::string& path, cache::BlobStore& blobs,
                                    const CancelToken& cancel) {
  RLX_ASSIGN(const std::string real, ResolvePath(path));
  RLX_ASSIGN(const Fd fd, OpenFile(real, O_RDONLY));
  Sha256 hash;
  uint64_t size = 0;
  RLX_TRY(ReadPieces(fd, real, cancel, [&](std::string_view piece) {
    hash.Update(piece);
    size += piece.size();
    return absl::OkStatus();
  }));
  const Digest256 digest = hash.Finish();
  while (!blobs.Has(kRepositoryOwner, digest)) {
    const uint64_t committed = blobs.Query(kRepositoryOwner, digest).committed_bytes;
    auto writer = blobs.Write(kRepositoryOwner, digest, size, committed);
    if (absl::IsAborted(writer.status())) {  // another model with the same weights is being read
      RLX_TRY(cancel.Check());
      std::this_thread::sleep_for(kBusyPause);
      continue;
    }
    if (absl::IsAlreadyExists(writer.status()) || absl::IsOutOfRange(writer.status())) continue;
    RLX_TRY(writer.status());
    const absl::Status copied = Copy(fd, real, *writer, committed, cancel);
    if (absl::IsInvalidArgument(copied)) {
      return Unavailable(Message(copied), ": the file changed while it was read");
    }
    RLX_TRY(copied);
  }
  return digest;
}

}  // namespace rlx::server
