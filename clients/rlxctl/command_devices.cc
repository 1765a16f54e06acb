// SPDX-License-Identifier: Apache-2.0
// capabilities, health: what the server is and can do.
#include "clients/rlxctl/commands.h"
#include "clients/rlxctl/context.h"
#include "clients/rlxctl/message_json.h"
#include "clients/rlxctl/table.h"
#include "clients/rlxctl/words.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "rlx/v1/capabilities.grpc.pb.h"

namespace rlx::ctl {
namespace {

constexpr FlagSpec kCapabilities[] = {{"ops", "", "list the ops too"}};
constexpr FlagSpec kHealth[] = {{"service", "NAME", "of one service instead of the whole server"}};

std::string LimitsText(const v1::Limits& limits) {
  Table table({"", ">"});
  const auto& type = *limits.GetDescriptor();
  for (int i = 0; i < type.field_count(); ++i) {
    const auto& field = *type.field(i);
    const bool wide = field.cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_UINT64;
    const uint64_t value = wide ? limits.GetReflection()->GetUInt64(limits, &field)
                                : limits.GetReflection()->GetUInt32(limits, &field);
    const bool bytes = field.name().ends_with("_bytes") && field.name() != "max_name_bytes";
    table.Row({field.name(), bytes ? BytesText(value) : Cat(value)});
  }
  return table.ToString("  ");
}

std::string Arity(const v1::OpInfo& op) {
  if (op.max_operands() == UINT32_MAX) return Cat(op.min_operands(), "+");
  if (op.max_operands() == op.min_operands()) return Cat(op.min_operands());
  return Cat(op.min_operands(), "-", op.max_operands());
}

std::string OpsText(const v1::GetCapabilitiesResponse& all) {
  Table table({"stage", "op", "class", ">operands", "claim", "attributes"});
  for (const v1::OpInfo& op : all.ops()) {
    const std::string attributes =
        Join(op.attributes(), ", ",
             [](std::string& out, const v1::AttributeInfo& a) { out += a.name(); });
    table.Row({Word(op.stage()), op.name(), op.op_class(), Arity(op), op.claim(), attributes});
  }
  return table.ToString("  ");
}

}  // namespace

const std::span<const FlagSpec> kCapabilitiesFlags = kCapabilities;
const std::span<const FlagSpec> kHealthFlags = kHealth;

absl::Status RunCapabilities(Context& context) {
  RLX_ASSIGN(const v1::GetCapabilitiesResponse all,
             context.server.Call<v1::Server>(&v1::Server::Stub::GetCapabilities, {}, kQuick));
  if (context.json) WriteMessage(all, context.document);
  Table table({"", ""});
  table.Row({"rlxd", all.version()});
  table.Row({"api", Cat(all.min_api_version(), " to ", all.api_version())});
  table.Row({"build", all.build_id()});
  table.Row({"libraries", Join(all.libraries(), ", ", [](std::string& out, const auto& library) {
               out += Cat(library.name(), " ", library.version());
             })});
  std::vector<std::string> here;
  for (const v1::DeviceSummary& device : all.devices()) {
    if (device.state() == v1::DEVICE_STATE_AVAILABLE) here.push_back(Word(device.device()));
  }
  table.Row({"devices", Join(here, ", ")});
  table.Row({"features", Join(all.features(), ", ")});
  table.Row({"passes", Join(all.passes(), ", ")});
  table.Row({"ops", Cat(all.ops_size())});
  context.text = Cat(table.ToString(), "limits\n", LimitsText(all.limits()));
  if (context.flags.IsOn("ops")) context.text += Cat("ops\n", OpsText(all));
  context.text += WarningLines(all.warnings());
  return absl::OkStatus();
}

absl::Status RunHealth(Context& context) {
  using grpc::health::v1::Health;
  using grpc::health::v1::HealthCheckResponse;
  grpc::health::v1::HealthCheckRequest request;
  request.set_service(std::string(context.flags.Text("service")));
  RLX_ASSIGN(const HealthCheckResponse answer,
             context.server.Call<Health>(&Health::Stub::Check, request, kQuick));
  const bool serving = answer.status() == HealthCheckResponse::SERVING;
  context.exit_code = serving ? kExitOk : kExitNotServing;
  const std::string word = Word(answer.status());
  context.document.BeginObject().Field("status", word).EndObject();
  context.text = Cat(word, "\n");
  return absl::OkStatus();
}

}  // namespace rlx::ctl
