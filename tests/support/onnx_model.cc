// SPDX-License-Identifier: Apache-2.0
#include "tests/support/onnx_model.h"

#include <cstring>

#include "runtime/base/text.h"

namespace rlx::test {
namespace {

void PutVarint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}

template <class T>
std::string Raw(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

Message TensorOf(std::string_view name, int element, const std::vector<int64_t>& dims,
                 const std::string& raw) {
  Message out;
  for (const int64_t dim : dims) out.Int(1, dim);
  return out.Int(2, element).Bytes(8, name).Bytes(9, raw);
}

Message Attribute(std::string_view name, int type) {
  Message out;
  return out.Bytes(1, name).Int(20, type);
}

}  // namespace

Message& Message::Int(uint32_t field, int64_t value) {
  PutVarint(bytes, field << 3);
  PutVarint(bytes, static_cast<uint64_t>(value));
  return *this;
}

Message& Message::Float(uint32_t field, float value) {
  PutVarint(bytes, field << 3 | 5);
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
  return *this;
}

Message& Message::Bytes(uint32_t field, std::string_view value) {
  PutVarint(bytes, field << 3 | 2);
  PutVarint(bytes, value.size());
  bytes.append(value);
  return *this;
}

Message ValueOf(std::string_view name, int element, const std::vector<DimText>& dims) {
  Message shape;
  for (const DimText& dim : dims) {
    Message one;
    if (dim.name.empty())
      one.Int(1, dim.value);
    else
      one.Bytes(2, dim.name);
    shape.Add(1, one);
  }
  Message tensor, type, out;
  tensor.Int(1, element).Add(2, shape);
  type.Add(1, tensor);
  return out.Bytes(1, name).Add(2, type);
}

Message Floats(std::string_view name, const std::vector<int64_t>& dims,
               const std::vector<float>& values) {
  return TensorOf(name, kFloat, dims, Raw(values));
}

Message Ints(std::string_view name, const std::vector<int64_t>& dims,
             const std::vector<int64_t>& values) {
  return TensorOf(name, kInt64, dims, Raw(values));
}

Message IntAttr(std::string_view name, int64_t value) { return Attribute(name, 2).Int(3, value); }
Message FloatAttr(std::string_view name, float value) { return Attribute(name, 1).Float(2, value); }
Message TextAttr(std::string_view name, std::string_view value) {
  return Attribute(name, 3).Bytes(4, value);
}
Message IntsAttr(std::string_view name, const std::vector<int64_t>& values) {
  Message out = Attribute(name, 7);
  for (const int64_t value : values) out.Int(8, value);
  return out;
}
Message GraphAttr(std::string_view name, const Message& graph) {
  return Attribute(name, 5).Add(6, graph);
}
Message TensorAttr(std::string_view name, const Message& tensor) {
  return Attribute(name, 4).Add(5, tensor);
}

Message NodeOf(std::string_view op, std::string_view inputs, std::string_view outputs,
               const std::vector<Message>& attributes, std::string_view domain) {
  Message out;
  const auto names = [&](std::string_view words, uint32_t field) {
    if (words.empty()) return;
    for (std::string_view word : Split(words, ' ')) out.Bytes(field, word == "-" ? "" : word);
  };
  names(inputs, 1);
  names(outputs, 2);
  out.Bytes(4, op);
  for (const Message& attribute : attributes) out.Add(5, attribute);
  if (!domain.empty()) out.Bytes(7, domain);
  return out;
}

Message GraphOf(const GraphText& graph) {
  Message out;
  for (const Message& node : graph.nodes) out.Add(1, node);
  out.Bytes(2, "test");
  for (const Message& tensor : graph.initializers) out.Add(5, tensor);
  for (const Message& input : graph.inputs) out.Add(11, input);
  for (const Message& output : graph.outputs) out.Add(12, output);
  return out;
}

std::string ModelOf(const GraphText& graph, int64_t opset, int64_t ir_version,
                    const std::vector<Message>& functions) {
  Message model, own, microsoft;
  own.Bytes(1, "").Int(2, opset);
  microsoft.Bytes(1, "com.microsoft").Int(2, 1);
  model.Int(1, ir_version).Add(7, GraphOf(graph)).Add(8, own).Add(8, microsoft);
  for (const Message& function : functions) model.Add(25, function);
  return model.bytes;
}

}  // namespace rlx::test
