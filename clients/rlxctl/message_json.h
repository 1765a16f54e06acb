// SPDX-License-Identifier: Apache-2.0
// Protobuf messages as the JSON that scripts want: field names as in the .proto files, numbers as
// numbers, enum values as their short words ("compiled"), bytes in hexadecimal. Fields without a
// value of their own are there too; messages and `optional` fields only when set.
#pragma once

#include "runtime/base/json.h"

namespace google::protobuf {
class Message;
}

namespace rlx::ctl {

void WriteMessage(const google::protobuf::Message& message, JsonWriter& json);

// The fields alone, into an object that the caller has begun.
void WriteFields(const google::protobuf::Message& message, JsonWriter& json);

}  // namespace rlx::ctl
