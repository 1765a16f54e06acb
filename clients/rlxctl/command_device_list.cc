// SPDX-License-Identifier: Apache-2.0
// devices: what each of the twelve follows, claims and lacks.
#include "clients/rlxctl/commands.h"
#include "clients/rlxctl/context.h"
#include "clients/rlxctl/message_json.h"
#include "clients/rlxctl/table.h"
#include "clients/rlxctl/words.h"
#include "rlx/v1/devices.grpc.pb.h"

namespace rlx::ctl {
namespace {

std::string LimitText(uint32_t limit) { return limit == UINT32_MAX ? "unbounded" : Cat(limit); }

// The claims that decide: the back end's, or the table's.
int Claims(const v1::DeviceInfo& device) {
  return device.claims_size() > 0 ? device.claims_size() : device.full_claims_size();
}

std::string Overview(const v1::ListDevicesResponse& all) {
  Table table({"device", "state", "code", "fusion", ">ops", ">inputs", "target", ">threads",
               ">claims", "reason"});
  for (const v1::DeviceInfo& device : all.devices()) {
    const v1::DeviceLimits& limits = device.limits();
    table.Row({Word(device.device()), Word(device.state()), device.generates_code() ? "yes" : "no",
               Word(device.fusion_target()), LimitText(limits.max_elementwise_steps()),
               LimitText(limits.max_elementwise_inputs()),
               device.has_target() ? device.target().arch() : "",
               limits.threads() == 0 ? "" : Cat(limits.threads()), Cat(Claims(device)),
               device.state() == v1::DEVICE_STATE_AVAILABLE ? "" : device.reason()});
  }
  return table.ToString();
}

// Comma-separated names in lines of a readable width, the first after `title`.
std::string Wrapped(std::string_view title,
                    const google::protobuf::RepeatedPtrField<std::string>& names) {
  constexpr size_t kWidth = 100;
  constexpr size_t kIndent = 15;
  std::string out, line = Cat(title, std::string(kIndent - title.size(), ' '));
  if (names.empty()) line += "none";
  for (int i = 0; i < names.size(); ++i) {
    const std::string word = Cat(names[i], i + 1 < names.size() ? "," : "");
    if (line.size() + 1 + word.size() > kWidth) {
      out += Cat(line, "\n");
      line = std::string(kIndent, ' ');
    }
    line += Cat(line.size() == kIndent ? "" : " ", word);
  }
  return Cat(out, line, "\n");
}

std::string Whole(const v1::DeviceInfo& device) {
  const bool here = device.state() == v1::DEVICE_STATE_AVAILABLE;
  const v1::DeviceLimits& limits = device.limits();
  Table table({"", ""});
  table.Row({"device", Cat(Word(device.device()), " (", device.display_name(), ")")});
  table.Row({"state", here ? "available" : Cat("unavailable: ", device.reason())});
  table.Row({"back end", device.backend().empty() ? "none" : device.backend()});
  if (here) table.Row({"target", Cat(TargetWord(device.target()), " ", device.target().arch())});
  if (device.profiles_size() > 0) table.Row({"profiles", Join(device.profiles(), ", ")});
  if (limits.threads() > 0) table.Row({"threads", Cat(limits.threads())});
  if (limits.memory_bytes() > 0) table.Row({"memory", BytesText(limits.memory_bytes())});
  table.Row({"fusion target", Word(device.fusion_target())});
  table.Row({"region limits", Cat(LimitText(limits.max_elementwise_steps()), " ops, ",
                                  LimitText(limits.max_elementwise_inputs()), " inputs")});
  return Cat(table.ToString(), Wrapped("own claims", device.claims()),
             Wrapped("fusion claims", device.fusion_claims()),
             Wrapped("full claims", device.full_claims()));
}

// The devices asked for, in the order asked; all without names.
absl::StatusOr<v1::ListDevicesResponse> Select(v1::ListDevicesResponse all,
                                               const std::vector<std::string_view>& names) {
  if (names.empty()) return all;
  v1::ListDevicesResponse out;
  for (std::string_view name : names) {
    const auto kind = Parse<v1::Device>(name);
    if (!kind.ok()) return Usage("devices: ", Message(kind.status()));
    for (const v1::DeviceInfo& device : all.devices()) {
      if (device.device() == *kind) *out.add_devices() = device;
    }
  }
  return out;
}

}  // namespace

absl::Status RunDevices(Context& context) {
  RLX_ASSIGN(v1::ListDevicesResponse all,
             context.server.Call<v1::Devices>(&v1::Devices::Stub::List, {}, kQuick));
  RLX_ASSIGN(all, Select(std::move(all), context.flags.operands()));
  if (context.json) WriteMessage(all, context.document);
  if (context.flags.operands().empty()) {
    context.text = Cat(Overview(all), WarningLines(all.warnings()));
    return absl::OkStatus();
  }
  context.text = Join(all.devices(), "\n",
                      [](std::string& out, const v1::DeviceInfo& device) { out += Whole(device); });
  return absl::OkStatus();
}

}  // namespace rlx::ctl
