// SPDX-License-Identifier: Apache-2.0
#include "clients/rlxctl/outputs.h"

#include "clients/rlxctl/npy.h"
#include "clients/rlxctl/table.h"
#include "clients/rlxctl/tensor.h"
#include "clients/rlxctl/words.h"
#include "runtime/base/file.h"

namespace rlx::ctl {
namespace {

std::string FileName(std::string_view name, std::set<std::string>& taken) {
  constexpr std::string_view kKept =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
  constexpr size_t kMaxBytes = 200;
  std::string stem(name.substr(0, kMaxBytes));
  for (char& c : stem) {
    if (kKept.find(c) == std::string_view::npos) c = '_';
  }
  if (stem.empty() || stem[0] == '.') stem.insert(0, 1, '_');
  std::string file = stem;
  for (int i = 2; !taken.insert(file).second; ++i) file = Cat(stem, "-", i);
  return Cat(file, ".npy");
}

}  // namespace

absl::StatusOr<std::vector<Output>> WriteOutputs(const v1::RunResponse& response,
                                                 std::string_view folder) {
  std::vector<Output> outputs;
  std::set<std::string> taken;
  if (!folder.empty()) RLX_TRY(EnsureDir(std::string(folder), 0755));
  for (const v1::NamedTensor& named : response.outputs()) {
    const absl::Status good = CheckTensor(named.tensor());
    if (!good.ok()) return Internal("output \"", named.name(), "\": ", Message(good));
    Output& output = outputs.emplace_back(Output{.named = &named});
    if (folder.empty()) continue;
    output.path = Cat(folder, "/", FileName(named.name(), taken));
    RLX_TRY(WriteFileAtomic(output.path, {NpyHeader(named.tensor()), named.tensor().data()}, 0644));
  }
  return outputs;
}

std::string OutputsText(const std::vector<Output>& outputs, uint64_t values) {
  Table table({"output", "type", "values"});
  for (const Output& output : outputs) {
    const v1::Tensor& tensor = output.named->tensor();
    const std::string text = ValuesText(tensor, values);
    table.Row({output.named->name(), TypeText(tensor.dtype(), tensor.shape()),
               output.path.empty() ? text : Cat(text, " -> ", output.path)});
  }
  return table.ToString();
}

void WriteOutputValues(const std::vector<Output>& outputs, uint64_t values, JsonWriter& json) {
  for (const Output& output : outputs) {
    const v1::Tensor& tensor = output.named->tensor();
    json.BeginObject().Field("name", output.named->name()).Field("dtype", Word(tensor.dtype()));
    json.Key("shape").BeginArray();
    for (const int64_t extent : tensor.shape()) json.Value(extent);
    json.EndArray().Key("values").BeginArray();
    const uint64_t count = tensor.data().size() / ElementBytes(tensor.dtype());
    for (uint64_t i = 0; i < std::min(count, values); ++i)
      json.Value(ElementAt(tensor.dtype(), tensor.data(), i));
    json.EndArray();
    if (!output.path.empty()) json.Field("file", output.path);
    json.EndObject();
  }
}

}  // namespace rlx::ctl
