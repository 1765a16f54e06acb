// SPDX-License-Identifier: Apache-2.0
// cache, sessions: what the server keeps.
#include "clients/rlxctl/commands.h"
#include "clients/rlxctl/context.h"
#include "clients/rlxctl/message_json.h"
#include "clients/rlxctl/table.h"
#include "clients/rlxctl/words.h"
#include "rlx/v1/admin.grpc.pb.h"
#include "rlx/v1/sessions.grpc.pb.h"
#include "runtime/base/hex.h"

namespace rlx::ctl {
namespace {

constexpr FlagSpec kCache[] = {{"limit", "N", "ls: entries to show, last used first (1000)"}};

std::string Hex(std::string_view bytes) {
  return HexEncode({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
}

absl::Status List(Context& context) {
  v1::CacheListRequest request;
  RLX_ASSIGN(const int64_t limit, context.flags.Int("limit", 0, 1, UINT32_MAX));
  request.set_limit(static_cast<uint32_t>(limit));
  RLX_ASSIGN(const v1::CacheListResponse answer,
             context.server.Call<v1::Admin>(&v1::Admin::Stub::CacheList, request, kQuick));
  if (context.json) WriteMessage(answer, context.document);
  Table table({"key", ">size", "tiers", ">last used"});
  for (const v1::CacheEntry& entry : answer.entries()) {
    table.Row({Hex(entry.key()), BytesText(entry.size_bytes()), Join(entry.tiers(), ","),
               Cat(SecondsText(entry.idle_seconds()), " ago")});
  }
  if (!table.empty()) context.text = table.ToString();
  context.text += Cat(answer.entries_size(), " of ", answer.total(), " entries\n");
  return absl::OkStatus();
}

absl::Status Stats(Context& context) {
  RLX_ASSIGN(const v1::CacheStatsResponse answer,
             context.server.Call<v1::Admin>(&v1::Admin::Stub::CacheStats, {}, kQuick));
  if (context.json) WriteMessage(answer, context.document);
  Table table({"tier", ">entries", ">size", ">limit", ">hits", ">misses", ">puts", ">evicted",
               ">corrupt", ">errors"});
  for (const v1::CacheTier& tier : answer.tiers()) {
    table.Row({tier.tier(), Cat(tier.entries()), BytesText(tier.size_bytes()),
               BytesText(tier.limit_bytes()), Cat(tier.hits()), Cat(tier.misses()),
               Cat(tier.puts()), BytesText(tier.evicted_bytes()), Cat(tier.corrupt()),
               Cat(tier.errors())});
  }
  context.text = table.ToString();
  return absl::OkStatus();
}

absl::Status Clear(Context& context) {
  v1::CacheClearRequest request;
  const auto& operands = context.flags.operands();
  for (size_t i = 1; i < operands.size(); ++i) request.add_tiers(std::string(operands[i]));
  RLX_ASSIGN(const v1::CacheClearResponse answer,
             context.server.Call<v1::Admin>(&v1::Admin::Stub::CacheClear, request, kQuick));
  if (context.json) WriteMessage(answer, context.document);
  context.text = Cat("removed ", answer.entries(), " entries, ", BytesText(answer.bytes()), "\n");
  return absl::OkStatus();
}

}  // namespace

const std::span<const FlagSpec> kCacheFlags = kCache;

absl::Status RunCache(Context& context) {
  const std::string_view what = context.flags.operands()[0];
  if (what == "clear") return Clear(context);
  if (context.flags.operands().size() > 1) return Usage("cache ", what, " takes nothing more");
  if (what == "ls") return List(context);
  if (what == "stats") return Stats(context);
  return Usage("cache ls, stats or clear, not \"", what, "\"");
}

absl::Status RunSessions(Context& context) {
  RLX_ASSIGN(const v1::ListSessionsResponse answer,
             context.server.Call<v1::Sessions>(&v1::Sessions::Stub::List, {}, kQuick));
  if (context.json) WriteMessage(answer, context.document);
  Table table({"handle", "module", "target", ">runs", ">weights", ">lease", "key"});
  for (const v1::SessionInfo& session : answer.sessions()) {
    table.Row({Hex(session.handle()), session.module_name(), TargetWord(session.target()),
               Cat(session.runs()), BytesText(session.weight_bytes()),
               SecondsText(session.lease_remaining_seconds()), Hex(session.key()).substr(0, 16)});
  }
  if (!table.empty()) context.text = table.ToString();
  context.text += Cat(answer.sessions_size(), " sessions\n");
  return absl::OkStatus();
}

}  // namespace rlx::ctl
