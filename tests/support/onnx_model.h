// SPDX-License-Identifier: Apache-2.0
// ONNX models for tests, written byte by byte: what the importer reads was not made by its own
// messages.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace rlx::test {

// A protobuf message under construction.
struct Message {
  std::string bytes;
  Message& Int(uint32_t field, int64_t value);
  Message& Float(uint32_t field, float value);
  Message& Bytes(uint32_t field, std::string_view value);
  Message& Add(uint32_t field, const Message& value) { return Bytes(field, value.bytes); }
};

// ONNX's numbers of element types.
inline constexpr int kFloat = 1, kUint8 = 2, kInt8 = 3, kInt64 = 7, kBool = 9;

// A dim is a number, or a name.
struct DimText {
  int64_t value = 0;
  std::string name;
  DimText(int64_t v) : value(v) {}     // NOLINT: a size is a dim
  DimText(const char* n) : name(n) {}  // NOLINT
};

// ValueInfoProto.
Message ValueOf(std::string_view name, int element, const std::vector<DimText>& dims);

// TensorProto with raw_data.
Message Floats(std::string_view name, const std::vector<int64_t>& dims,
               const std::vector<float>& values);
Message Ints(std::string_view name, const std::vector<int64_t>& dims,
             const std::vector<int64_t>& values);

// AttributeProto.
Message IntAttr(std::string_view name, int64_t value);
Message FloatAttr(std::string_view name, float value);
Message TextAttr(std::string_view name, std::string_view value);
Message IntsAttr(std::string_view name, const std::vector<int64_t>& values);
Message GraphAttr(std::string_view name, const Message& graph);
Message TensorAttr(std::string_view name, const Message& tensor);

// NodeProto; names are separated by blanks, "-" is an operand left out.
Message NodeOf(std::string_view op, std::string_view inputs, std::string_view outputs,
               const std::vector<Message>& attributes = {}, std::string_view domain = "");

struct GraphText {
  std::vector<Message> nodes, initializers, inputs, outputs;
};
Message GraphOf(const GraphText& graph);

// A serialized ModelProto.
std::string ModelOf(const GraphText& graph, int64_t opset = 17, int64_t ir_version = 8,
                    const std::vector<Message>& functions = {});

}  // namespace rlx::test
