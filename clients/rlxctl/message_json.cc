// SPDX-License-Identifier: Apache-2.0
#include "clients/rlxctl/message_json.h"

#include <google/protobuf/message.h>

#include <span>

#include "clients/rlxctl/words.h"
#include "runtime/base/hex.h"

namespace rlx::ctl {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

std::string Hex(const std::string& bytes) {
  return HexEncode({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
}

// A field's value, or element `i` of a repeated one (i >= 0), behind one face.
class Field {
 public:
  Field(const Message& message, const FieldDescriptor& field, int i)
      : message_(message), field_(field), reflection_(*message.GetReflection()), i_(i) {}

  void Write(JsonWriter& json) const {
    switch (field_.cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT32:
        json.Value(Get(&Reflection::GetInt32, &Reflection::GetRepeatedInt32));
        return;
      case FieldDescriptor::CPPTYPE_INT64:
        json.Value(Get(&Reflection::GetInt64, &Reflection::GetRepeatedInt64));
        return;
      case FieldDescriptor::CPPTYPE_UINT32:
        json.Value(Get(&Reflection::GetUInt32, &Reflection::GetRepeatedUInt32));
        return;
      case FieldDescriptor::CPPTYPE_UINT64:
        json.Value(Get(&Reflection::GetUInt64, &Reflection::GetRepeatedUInt64));
        return;
      case FieldDescriptor::CPPTYPE_DOUBLE:
        json.Value(Get(&Reflection::GetDouble, &Reflection::GetRepeatedDouble));
        return;
      case FieldDescriptor::CPPTYPE_FLOAT:
        json.Value(Get(&Reflection::GetFloat, &Reflection::GetRepeatedFloat));
        return;
      case FieldDescriptor::CPPTYPE_BOOL:
        json.Value(Get(&Reflection::GetBool, &Reflection::GetRepeatedBool));
        return;
      case FieldDescriptor::CPPTYPE_ENUM:
        json.String(WordOf(*field_.enum_type(),
                           Get(&Reflection::GetEnumValue, &Reflection::GetRepeatedEnumValue)));
        return;
      case FieldDescriptor::CPPTYPE_STRING: {
        const std::string text = Get(&Reflection::GetString, &Reflection::GetRepeatedString);
        json.String(field_.type() == FieldDescriptor::TYPE_BYTES ? Hex(text) : text);
        return;
      }
      case FieldDescriptor::CPPTYPE_MESSAGE:
        WriteMessage(Sub(), json);
        return;
    }
  }

  const Message& Sub() const {
    return i_ < 0 ? reflection_.GetMessage(message_, &field_)
                  : reflection_.GetRepeatedMessage(message_, &field_, i_);
  }

 private:
  template <class T>
  T Get(T (Reflection::*one)(const Message&, const FieldDescriptor*) const,
        T (Reflection::*element)(const Message&, const FieldDescriptor*, int) const) const {
    return i_ < 0 ? (reflection_.*one)(message_, &field_)
                  : (reflection_.*element)(message_, &field_, i_);
  }

  const Message& message_;
  const FieldDescriptor& field_;
  const Reflection& reflection_;
  const int i_;
};

// A map with string keys, which all of ours have.
void WriteMap(const Message& message, const FieldDescriptor& field, JsonWriter& json) {
  json.BeginObject();
  const int size = message.GetReflection()->FieldSize(message, &field);
  for (int i = 0; i < size; ++i) {
    const Message& entry = Field(message, field, i).Sub();
    json.Key(entry.GetReflection()->GetString(entry, field.message_type()->map_key()));
    Field(entry, *field.message_type()->map_value(), -1).Write(json);
  }
  json.EndObject();
}

void WriteRepeated(const Message& message, const FieldDescriptor& field, JsonWriter& json) {
  json.BeginArray();
  const int size = message.GetReflection()->FieldSize(message, &field);
  for (int i = 0; i < size; ++i) Field(message, field, i).Write(json);
  json.EndArray();
}

}  // namespace

void WriteFields(const Message& message, JsonWriter& json) {
  const auto& type = *message.GetDescriptor();
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    if (field.has_presence() && !message.GetReflection()->HasField(message, &field)) continue;
    json.Key(field.name());
    if (field.is_map()) {
      WriteMap(message, field, json);
    } else if (field.is_repeated()) {
      WriteRepeated(message, field, json);
    } else {
      Field(message, field, -1).Write(json);
    }
  }
}

void WriteMessage(const Message& message, JsonWriter& json) {
  json.BeginObject();
  WriteFields(message, json);
  json.EndObject();
}

}  // namespace rlx::ctl
