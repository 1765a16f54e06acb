// SPDX-License-Identifier: Apache-2.0
#include "runtime/import/import.h"

#include <google/protobuf/arena.h>

#include "runtime/base/fault.h"
#include "runtime/import/importer.h"
#include "runtime/import/slim.h"
#include "runtime/wire/message_cost.h"

namespace rlx::onnx {

absl::StatusOr<Imported> Import(const SharedBytes& model, const ExternalFiles& external,
                                const Limits& limits) {
  const auto fail = [](absl::Status status) { return Annotate(std::move(status), "onnx model"); };
  const auto slim = Slim(model.view());
  if (!slim.ok()) return fail(slim.status());
  const auto most = static_cast<size_t>(limits.max_module_bytes);
  const std::span bytes(reinterpret_cast<const uint8_t*>(slim->data()), slim->size());
  if (slim->size() > INT32_MAX || wire::ParsedBytes(bytes, *ModelProto::descriptor(), most) >= most)
    return fail(LimitExceeded("max_module_bytes", limits.max_module_bytes,
                              "its graph would take more bytes of memory without its weights"));
  google::protobuf::Arena arena;
  auto* proto = google::protobuf::Arena::CreateMessage<ModelProto>(&arena);
  if (!proto->ParseFromArray(slim->data(), static_cast<int>(slim->size())))
    return fail(InvalidArgument("the bytes are no ModelProto"));
  auto imported = Importer(model, external, limits).Run(*proto);
  if (!imported.ok()) return fail(imported.status());
  return imported;
}

}  // namespace rlx::onnx
