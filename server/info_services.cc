// SPDX-License-Identifier: Apache-2.0
#include "server/info_services.h"

#include <algorithm>
#include <limits>
#include <set>

#include "runtime/device/registry.h"
#include "runtime/ir/op_info.h"
#include "runtime/stages/pipeline.h"
#include "runtime/wire/enums.h"
#include "server/compile_wire.h"
#include "server/unary.h"
#include "server/version.h"

namespace rlx::server {
namespace {

constexpr uint32_t kDefaultCacheList = 1000;

v1::DeviceState StateOf(const engine::DeviceStatus& status) {
  return status.available ? v1::DEVICE_STATE_AVAILABLE : v1::DEVICE_STATE_UNAVAILABLE;
}

void DeviceToWire(const engine::DeviceStatus& status, v1::DeviceInfo& out) {
  out.set_device(wire::ToWire(status.kind));
  out.set_display_name(std::string(DisplayName(status.kind)));
  out.set_state(StateOf(status));
  out.set_reason(status.reason);
  out.set_generates_code(status.generates_code);
  out.set_backend(status.backend);
  out.set_fusion_target(wire::ToWire(status.fusion_target));
  if (status.available) {
    TargetToWire(status.target, status.fusion_target, *out.mutable_target());
  }
  v1::DeviceLimits& limits = *out.mutable_limits();
  limits.set_memory_bytes(static_cast<uint64_t>(status.memory_bytes));
  limits.set_threads(static_cast<uint32_t>(status.threads));
  limits.set_max_elementwise_steps(status.limits.max_elementwise_steps);
  limits.set_max_elementwise_inputs(status.limits.max_elementwise_inputs);
  for (const std::string& claim : status.claims) out.add_claims(claim);
  for (const std::string& claim : status.fusion_claims) out.add_fusion_claims(claim);
  for (const std::string& claim : status.full_claims) out.add_full_claims(claim);
  for (const std::string& profile : status.profiles) out.add_profiles(profile);
}

void LimitsToWire(const engine::EngineOptions& options, const WireLimits& wire, v1::Limits& out) {
  const auto u64 = [](int64_t v) { return static_cast<uint64_t>(v); };
  out.set_max_message_bytes(wire.max_message_bytes);
  out.set_max_nodes(u64(options.limits.max_nodes));
  out.set_max_rank(static_cast<uint32_t>(options.limits.max_rank));
  out.set_max_constant_bytes(u64(options.limits.max_constant_bytes));
  out.set_max_inline_weight_bytes(options.max_inline_weight_bytes);
  out.set_max_nesting(static_cast<uint32_t>(options.limits.max_nesting));
  out.set_max_name_bytes(static_cast<uint32_t>(options.limits.max_name_bytes));
  out.set_max_sessions(options.max_sessions);
  out.set_max_blob_bytes(options.blobs.max_blob_bytes);
  out.set_max_chunk_bytes(wire.max_chunk_bytes);
  out.set_preferred_chunk_bytes(wire.preferred_chunk_bytes);
  out.set_max_lease_seconds(options.max_lease_seconds);
  out.set_max_tensor_bytes(u64(options.limits.max_tensor_bytes));
  out.set_max_concurrent_compiles(static_cast<uint32_t>(options.compile_threads));
  out.set_max_queued_compiles(static_cast<uint32_t>(options.max_queued_compiles));
  out.set_max_operands(static_cast<uint32_t>(options.limits.max_operands));
  out.set_max_symbols(static_cast<uint32_t>(options.limits.max_symbols));
  out.set_max_stream_requests(wire.max_stream_requests);
  out.set_max_constraints(static_cast<uint32_t>(options.limits.max_constraints));
  out.set_max_variants(static_cast<uint32_t>(options.max_variants));
  out.set_max_queued_requests(wire.max_queued_requests);
  out.set_max_queued_bytes(wire.max_queued_bytes);
  out.set_max_sources(static_cast<uint64_t>(options.limits.max_sources));
  out.set_max_module_bytes(static_cast<uint64_t>(options.limits.max_module_bytes));
}

std::string_view ClassName(OpClass op_class) {
  switch (op_class) {
    case OpClass::kLeaf:
      return "leaf";
    case OpClass::kElementwise:
      return "elementwise";
    case OpClass::kReduction:
      return "reduction";
    case OpClass::kContraction:
      return "contraction";
    case OpClass::kNormalization:
      return "normalization";
    case OpClass::kMovement:
      return "movement";
    case OpClass::kComposite:
      return "composite";
    case OpClass::kSpecial:
      return "special";
    case OpClass::kControlFlow:
      return "control_flow";
    case OpClass::kBlock:
      return "block";
  }
  return "";
}

uint32_t CountToWire(int count) {
  return count < 0 ? std::numeric_limits<uint32_t>::max() : static_cast<uint32_t>(count);
}

void OpToWire(const OpInfo& info, v1::OpInfo& out) {
  out.set_name(std::string(info.name));
  out.set_stage(wire::ToWire(info.level));
  out.set_op_class(std::string(ClassName(info.op_class)));
  out.set_min_operands(CountToWire(info.min_operands));
  out.set_max_operands(CountToWire(info.max_operands));
  out.set_results(CountToWire(info.results));
  for (const AttrSpec& spec : info.attrs) {
    v1::AttributeInfo& to = *out.add_attributes();
    to.set_name(std::string(spec.name));
    to.set_type(static_cast<v1::AttributeInfo::Type>(static_cast<int>(spec.type) + 1));
    to.set_required(spec.required);
    for (std::string_view choice : spec.choices) to.add_choices(std::string(choice));
    to.set_doc(std::string(spec.doc));
  }
  out.set_claim(std::string(info.claim));
  out.set_doc(std::string(info.doc));
}

}  // namespace

DeviceService::DeviceService(Frontend& frontend) : frontend_(frontend) {}
DeviceService::~DeviceService() = default;

CapabilityService::~CapabilityService() = default;

AdminService::AdminService(Frontend& frontend, std::function<void()> begin_drain)
    : frontend_(frontend), begin_drain_(std::move(begin_drain)) {}
AdminService::~AdminService() = default;

grpc::ServerUnaryReactor* DeviceService::List(grpc::CallbackServerContext* context,
                                              const v1::ListDevicesRequest* request,
                                              v1::ListDevicesResponse* response) {
  const auto handle = [response](Call& call) {
    for (const engine::DeviceStatus& status : call.engine().Devices()) {
      DeviceToWire(status, *response->add_devices());
    }
    for (engine::Warning& warning : call.engine().Warnings()) {
      response->add_warnings(std::move(warning.what));
    }
    return absl::OkStatus();
  };
  return UnaryReactor::Start(frontend_, list_, *context, *request, *response, Where::kExecutor,
                             handle);
}

CapabilityService::CapabilityService(Frontend& frontend) : frontend_(frontend) {
  fixed_.set_api_version(kApiVersion);
  fixed_.set_min_api_version(kMinApiVersion);
  fixed_.set_version(std::string(kVersion));
  fixed_.set_build_id(std::string(device::BuildId()));
  LimitsToWire(frontend.engine.options(), frontend.limits, *fixed_.mutable_limits());
  for (const char* feature : {"explain_nodes", "export_source", "run_stream", "run_trace"}) {
    fixed_.add_features(feature);  // sorted
  }
  std::vector<const OpInfo*> ops(AllOps().begin(), AllOps().end());
  std::sort(ops.begin(), ops.end(), [](const OpInfo* a, const OpInfo* b) {
    return std::pair(a->level, a->name) < std::pair(b->level, b->name);
  });
  for (const OpInfo* info : ops) OpToWire(*info, *fixed_.add_ops());
  for (const passes::Pass& pass : stages::AllPasses()) fixed_.add_passes(std::string(pass.name));
}

grpc::ServerUnaryReactor* CapabilityService::GetCapabilities(
    grpc::CallbackServerContext* context, const v1::GetCapabilitiesRequest* request,
    v1::GetCapabilitiesResponse* response) {
  const auto handle = [this, response](Call& call) {
    *response = fixed_;
    std::set<std::string> libraries;
    for (const engine::DeviceStatus& status : call.engine().Devices()) {
      v1::DeviceSummary& to = *response->add_devices();
      to.set_device(wire::ToWire(status.kind));
      to.set_state(StateOf(status));
      if (!status.compiler_version.empty()) libraries.insert(status.compiler_version);
    }
    for (const std::string& library : libraries) {  // "llvm 19.1.7"
      v1::LibraryVersion& to = *response->add_libraries();
      const size_t space = library.find(' ');
      to.set_name(library.substr(0, space));
      if (space != std::string::npos) to.set_version(library.substr(space + 1));
    }
    for (engine::Warning& warning : call.engine().Warnings()) {
      response->add_warnings(std::move(warning.what));
    }
    return absl::OkStatus();
  };
  return UnaryReactor::Start(frontend_, get_, *context, *request, *response, Where::kExecutor,
                             handle);
}

grpc::ServerUnaryReactor* AdminService::Drain(grpc::CallbackServerContext* context,
                                              const v1::DrainRequest* request,
                                              v1::DrainResponse* response) {
  const auto handle = [this, response](Call& call) {
    begin_drain_();
    response->set_in_flight(static_cast<uint32_t>(DrainAll(call.frontend(), call.cancel())));
    return absl::OkStatus();
  };
  return UnaryReactor::Start(frontend_, drain_, *context, *request, *response, Where::kExecutor,
                             handle);
}

grpc::ServerUnaryReactor* AdminService::CacheStats(grpc::CallbackServerContext* context,
                                                   const v1::CacheStatsRequest* request,
                                                   v1::CacheStatsResponse* response) {
  const auto handle = [response](Call& call) {
    for (const cache::TierStats& tier : call.engine().CacheStats()) {
      v1::CacheTier& to = *response->add_tiers();
      to.set_tier(std::string(tier.tier));
      to.set_entries(tier.entries);
      to.set_size_bytes(tier.size_bytes);
      to.set_limit_bytes(tier.limit_bytes);
      to.set_hits(tier.hits);
      to.set_misses(tier.misses);
      to.set_puts(tier.puts);
      to.set_evicted_bytes(tier.evicted_bytes);
      to.set_corrupt(tier.corrupt);
      to.set_errors(tier.errors);
    }
    return absl::OkStatus();
  };
  return UnaryReactor::Start(frontend_, cache_stats_, *context, *request, *response,
                             Where::kExecutor, handle);
}

grpc::ServerUnaryReactor* AdminService::CacheList(grpc::CallbackServerContext* context,
                                                  const v1::CacheListRequest* request,
                                                  v1::CacheListResponse* response) {
  const auto handle = [request, response](Call& call) {
    size_t total = 0;
    const uint32_t limit = request->limit() == 0 ? kDefaultCacheList : request->limit();
    for (const cache::EntryInfo& entry : call.engine().CacheList(limit, total)) {
      v1::CacheEntry& to = *response->add_entries();
      to.set_key(std::string(entry.key.view()));
      to.set_size_bytes(entry.size_bytes);
      to.set_idle_seconds(entry.idle_seconds);
      for (std::string_view tier : entry.tiers) to.add_tiers(std::string(tier));
    }
    response->set_total(total);
    return absl::OkStatus();
  };
  return UnaryReactor::Start(frontend_, cache_list_, *context, *request, *response,
                             Where::kExecutor, handle);
}

grpc::ServerUnaryReactor* AdminService::CacheClear(grpc::CallbackServerContext* context,
                                                   const v1::CacheClearRequest* request,
                                                   v1::CacheClearResponse* response) {
  const auto handle = [request, response](Call& call) -> absl::Status {
    const std::vector<std::string> tiers(request->tiers().begin(), request->tiers().end());
    RLX_ASSIGN(const cache::Cleared cleared, call.engine().CacheClear(tiers));
    response->set_entries(cleared.entries);
    response->set_bytes(cleared.bytes);
    return absl::OkStatus();
  };
  return UnaryReactor::Start(frontend_, cache_clear_, *context, *request, *response,
                             Where::kExecutor, handle);
}

}  // namespace rlx::server
