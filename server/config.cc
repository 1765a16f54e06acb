// SPDX-License-Identifier: Apache-2.0
#include "server/config.h"

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>
#include <unistd.h>

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "runtime/base/file.h"
#include "runtime/base/status.h"
#include "runtime/cache/shared_store.h"
#include "server/address.h"
#include "server/models/keeper.h"

namespace rlx::server {
namespace {

using config::ServerConfig;
using google::protobuf::FieldDescriptor;

constexpr uint64_t kMaxConfigBytes = 1 << 20;
constexpr uint64_t kMaxSecretBytes = 4096;
constexpr size_t kMinSecretBytes = 32;
constexpr std::string_view kShared = "shared.";  // paths of fields that need cache::HasSharedStore

// One flag: a field of the configuration by its path, and what --help says.
struct Flag {
  std::string_view name;
  std::string_view path;  // "limits.max_nodes"
  std::string_view doc;
};

constexpr Flag kFlags[] = {
    {"listen", "listen",
     "gRPC address, HOST:PORT, [IPv6]:PORT or unix:PATH; may be repeated (127.0.0.1:8001)"},
    {"metrics_listen", "metrics_listen",
     "HTTP address of /metrics, /livez and /readyz; empty: none (127.0.0.1:8002)"},
    {"cache_dir", "cache_dir",
     "folder for compiled modules and uploaded blobs; empty: memory only (empty)"},
    {"backend_dir", "backend_dir",
     "folder of back-end plug-ins (../lib/rlxd/backends beside the binary)"},
    {"threads", "threads", "threads that the CPU device computes with; 0: one per core (0)"},
    {"compile_threads", "compile_threads", "compiles at a time (2)"},
    {"drain_delay_seconds", "drain_delay_seconds",
     "at SIGTERM, time between not ready and refusing work (0)"},
    {"drain_timeout_seconds", "drain_timeout_seconds",
     "at SIGTERM, time for what runs to finish (30)"},
    {"log_level", "log_level", "debug, info, warning or error (info)"},
    {"reflection", "reflection", "serve gRPC reflection (true)"},
    {"model_repository", "model_repository",
     "folder of models to serve, MODEL/VERSION/FILE; empty: none (empty)"},
    {"model_control_mode", "model_control_mode",
     "when models are loaded: none (all at start), poll or explicit (none)"},
    {"repository_poll_seconds", "repository_poll_seconds",
     "time between looks at the repository, with poll (15)"},
    {"load_model", "load_model",
     "a model to load at start, with explicit; may be repeated; *: all (none)"},
    {"strict_readiness", "strict_readiness",
     "ready only once every model that is loaded at start serves (true)"},
    {"system_shared_memory", "system_shared_memory",
     "let callers name POSIX shared memory that tensors of ModelInfer lie in (false)"},
    {"admit_by_latency", "admit_by_latency",
     "refuse requests at once whose deadline even a fast run of the model would miss (true)"},
    {"cache_salt", "cache_salt", "disowns every compiled module made under another (empty)"},
    {"shared_cache", "shared.shared_cache",
     "Redis that replicas share compiled modules in: redis://[USER@]HOST[:PORT][/DATABASE], "
     "rediss://..., unix:PATH; empty: none (empty)"},
    {"shared_cache_key_file", "shared.shared_cache_key_file",
     "file with the fleet's secret, at least 32 bytes; needed with shared_cache (empty)"},
    {"shared_cache_password_file", "shared.shared_cache_password_file",
     "file with Redis' password (empty)"},
    {"shared_cache_ca_file", "shared.shared_cache_ca_file",
     "certificates that Redis' must come from; empty: the system's (empty)"},
    {"shared_cache_cert_file", "shared.shared_cache_cert_file",
     "certificate to show to Redis (empty)"},
    {"shared_cache_cert_key_file", "shared.shared_cache_cert_key_file", "its key (empty)"},
    {"shared_cache_timeout_seconds", "shared.shared_cache_timeout_seconds",
     "what a caller waits for an answer of Redis; one that is slower counts as gone (0.02)"},
    {"shared_cache_lease_seconds", "shared.shared_cache_lease_seconds",
     "when a replica dies in a compile, another takes over after that time (3)"},
    {"shared_cache_keep_seconds", "shared.shared_cache_keep_seconds",
     "how long Redis keeps a module since its last use (604800)"},
    {"shared_cache_max_entry_bytes", "shared.shared_cache_max_entry_bytes",
     "larger modules are not shared (268435456)"},
    {"max_message_bytes", "limits.max_message_bytes", "one gRPC message (67108864)"},
    {"max_nodes", "limits.max_nodes", "nodes of a module (100000)"},
    {"max_constant_bytes", "limits.max_constant_bytes", "constants of a module (67108864)"},
    {"max_inline_weight_bytes", "limits.max_inline_weight_bytes",
     "weights given by value at Open (16777216)"},
    {"max_nesting", "limits.max_nesting", "depth of nested graphs (64)"},
    {"max_sessions", "limits.max_sessions", "open sessions (1024)"},
    {"max_blob_bytes", "limits.max_blob_bytes", "one blob (68719476736)"},
    {"max_lease_seconds", "limits.max_lease_seconds", "a session's lease (86400)"},
    {"max_tensor_bytes", "limits.max_tensor_bytes", "any tensor of a module (1099511627776)"},
    {"max_queued_compiles", "limits.max_queued_compiles", "compiles that may wait (256)"},
    {"max_variants", "limits.max_variants",
     "sizes that a session of a symbolic module keeps ready (16)"},
    {"max_queued_requests", "limits.max_queued_requests",
     "requests that wait in a model's queue, of each priority (1024)"},
    {"max_queued_bytes", "limits.max_queued_bytes",
     "inputs of all requests in the queues of models (1073741824)"},
    {"memory_cache_bytes", "budgets.memory_cache_bytes", "compiled modules in memory (268435456)"},
    {"disk_cache_bytes", "budgets.disk_cache_bytes", "compiled modules in cache_dir (10737418240)"},
    {"blob_bytes", "budgets.blob_bytes",
     "uploaded blobs; without cache_dir at most a quarter of the machine's memory (53687091200)"},
    {"host_memory_bytes", "budgets.host_memory_bytes",
     "bound weights and arenas; 0: three quarters of the machine's or container's memory (0)"},
    {"variant_bytes", "budgets.variant_bytes",
     "arenas and code of the sizes that one session keeps ready (1073741824)"},
};

const Flag* FindFlag(std::string_view name) {
  for (const Flag& flag : kFlags) {
    if (flag.name == name) return &flag;
  }
  return nullptr;
}

template <typename T>
bool ParseNumber(std::string_view text, T& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size();
}

// A value by the words of flags: "info" is LOG_LEVEL_INFO. Null for any other text.
const google::protobuf::EnumValueDescriptor* ParseEnum(const google::protobuf::EnumDescriptor& type,
                                                       std::string_view text) {
  constexpr std::string_view unspecified = "UNSPECIFIED";
  std::string name = type.FindValueByNumber(0)->name();
  name.resize(name.size() - unspecified.size());
  for (const char c : text) {
    if (c < 'a' || c > 'z') return nullptr;
    name.push_back(static_cast<char>(c - 'a' + 'A'));
  }
  const auto* value = type.FindValueByName(name);
  return value != nullptr && value->number() != 0 ? value : nullptr;
}

// A field of the configuration, and the message that it is in.
struct Place {
  google::protobuf::Message* message;
  const FieldDescriptor* field;
};
Place PlaceOf(ServerConfig& config, std::string_view path) {
  google::protobuf::Message* message = &config;
  size_t dot = path.find('.');
  if (dot != std::string_view::npos) {
    const FieldDescriptor* outer =
        message->GetDescriptor()->FindFieldByName(std::string(path.substr(0, dot)));
    message = message->GetReflection()->MutableMessage(message, outer);
    path = path.substr(dot + 1);
  }
  return {message, message->GetDescriptor()->FindFieldByName(std::string(path))};
}

bool IsSwitch(std::string_view name) {
  const Flag* flag = FindFlag(name);
  ServerConfig config;
  return flag != nullptr &&
         PlaceOf(config, flag->path).field->cpp_type() == FieldDescriptor::CPPTYPE_BOOL;
}

// Sets the field at `path` from text; false when the text does not fit its type.
bool SetField(ServerConfig& config, std::string_view path, const std::string& text) {
  const auto [message, field] = PlaceOf(config, path);
  const google::protobuf::Reflection* reflection = message->GetReflection();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      if (field->is_repeated()) {
        reflection->AddString(message, field, text);
      } else {
        reflection->SetString(message, field, text);
      }
      return true;
    case FieldDescriptor::CPPTYPE_UINT64: {
      uint64_t value = 0;
      if (!ParseNumber(text, value)) return false;
      return reflection->SetUInt64(message, field, value), true;
    }
    case FieldDescriptor::CPPTYPE_UINT32: {
      uint32_t value = 0;
      if (!ParseNumber(text, value)) return false;
      return reflection->SetUInt32(message, field, value), true;
    }
    case FieldDescriptor::CPPTYPE_DOUBLE: {
      double value = 0;
      if (!ParseNumber(text, value)) return false;
      return reflection->SetDouble(message, field, value), true;
    }
    case FieldDescriptor::CPPTYPE_BOOL:
      if (text != "true" && text != "false") return false;
      return reflection->SetBool(message, field, text == "true"), true;
    case FieldDescriptor::CPPTYPE_ENUM: {
      const auto* value = ParseEnum(*field->enum_type(), text);
      if (value == nullptr) return false;
      return reflection->SetEnum(message, field, value), true;
    }
    default:
      return false;
  }
}

class FirstError final : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int line, int column, const std::string& message) override {
    if (text.empty()) text = Cat(line + 1, ":", column + 1, ": ", message);
  }
  std::string text;
};

absl::StatusOr<ServerConfig> ReadConfigFile(const std::string& path) {
  const auto text = ReadFile(path, kMaxConfigBytes);
  if (!text.ok()) return Annotate(text.status(), "--config ", path);
  ServerConfig config;
  FirstError error;
  google::protobuf::TextFormat::Parser parser;
  parser.RecordErrorsTo(&error);
  if (!parser.ParseFromString(*text, &config)) {
    return InvalidArgument("--config ", path, ":", error.text);
  }
  return config;
}

std::string DefaultBackendDir() {
  char path[4096];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof path);
  const std::string_view exe(path, length > 0 ? static_cast<size_t>(length) : 0);
  const std::string bin(exe.substr(0, exe.rfind('/')));
  return Cat(bin, "/../lib/rlxd/backends");
}

template <typename T>
uint64_t Or(bool has, T value, uint64_t otherwise) {
  return has ? static_cast<uint64_t>(value) : otherwise;
}

void FillShared(config::SharedCache& s) {
  const cache::RedisOptions standard;
  const google::protobuf::Reflection* reflection = s.GetReflection();
  for (int i = 0; i < s.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor* field = s.GetDescriptor()->field(i);
    const bool text = field->cpp_type() == FieldDescriptor::CPPTYPE_STRING;
    if (text && !reflection->HasField(s, field)) reflection->SetString(&s, field, "");
  }
  if (!s.has_shared_cache_timeout_seconds()) {
    s.set_shared_cache_timeout_seconds(standard.timeout_seconds);
  }
  if (!s.has_shared_cache_lease_seconds()) s.set_shared_cache_lease_seconds(standard.lease_seconds);
  if (!s.has_shared_cache_keep_seconds()) s.set_shared_cache_keep_seconds(standard.keep_seconds);
  s.set_shared_cache_max_entry_bytes(Or(s.has_shared_cache_max_entry_bytes(),
                                        s.shared_cache_max_entry_bytes(),
                                        standard.max_entry_bytes));
}

// Every field set, so that nothing else knows a default.
void FillDefaults(ServerConfig& c) {
  if (c.listen().empty()) c.add_listen("127.0.0.1:8001");
  if (!c.has_metrics_listen()) c.set_metrics_listen("127.0.0.1:8002");
  if (!c.has_cache_dir()) c.set_cache_dir("");
  if (!c.has_backend_dir()) c.set_backend_dir(DefaultBackendDir());
  if (!c.has_threads()) c.set_threads(0);
  if (!c.has_compile_threads()) c.set_compile_threads(2);
  if (!c.has_drain_delay_seconds()) c.set_drain_delay_seconds(0);
  if (!c.has_drain_timeout_seconds()) c.set_drain_timeout_seconds(30);
  if (c.log_level() == config::LOG_LEVEL_UNSPECIFIED) c.set_log_level(config::LOG_LEVEL_INFO);
  if (!c.has_reflection()) c.set_reflection(true);
  if (!c.has_model_repository()) c.set_model_repository("");
  if (c.model_control_mode() == config::MODEL_CONTROL_MODE_UNSPECIFIED) {
    c.set_model_control_mode(config::MODEL_CONTROL_MODE_NONE);
  }
  if (!c.has_repository_poll_seconds()) c.set_repository_poll_seconds(15);
  if (!c.has_strict_readiness()) c.set_strict_readiness(true);
  if (!c.has_system_shared_memory()) c.set_system_shared_memory(false);
  if (!c.has_admit_by_latency()) c.set_admit_by_latency(true);
  if (!c.has_cache_salt()) c.set_cache_salt("");
  FillShared(*c.mutable_shared());
  config::Limits& l = *c.mutable_limits();
  l.set_max_message_bytes(Or(l.has_max_message_bytes(), l.max_message_bytes(), 64ull << 20));
  l.set_max_nodes(Or(l.has_max_nodes(), l.max_nodes(), 100'000));
  l.set_max_constant_bytes(Or(l.has_max_constant_bytes(), l.max_constant_bytes(), 64ull << 20));
  l.set_max_inline_weight_bytes(
      Or(l.has_max_inline_weight_bytes(), l.max_inline_weight_bytes(), 16ull << 20));
  if (!l.has_max_nesting()) l.set_max_nesting(64);
  if (!l.has_max_sessions()) l.set_max_sessions(1024);
  l.set_max_blob_bytes(Or(l.has_max_blob_bytes(), l.max_blob_bytes(), 64ull << 30));
  if (!l.has_max_lease_seconds()) l.set_max_lease_seconds(86'400);
  l.set_max_tensor_bytes(Or(l.has_max_tensor_bytes(), l.max_tensor_bytes(), 1ull << 40));
  if (!l.has_max_queued_compiles()) l.set_max_queued_compiles(256);
  if (!l.has_max_variants()) l.set_max_variants(16);
  if (!l.has_max_queued_requests()) l.set_max_queued_requests(1024);
  l.set_max_queued_bytes(Or(l.has_max_queued_bytes(), l.max_queued_bytes(), 1ull << 30));
  config::Budgets& b = *c.mutable_budgets();
  b.set_memory_cache_bytes(Or(b.has_memory_cache_bytes(), b.memory_cache_bytes(), 256ull << 20));
  b.set_disk_cache_bytes(Or(b.has_disk_cache_bytes(), b.disk_cache_bytes(), 10ull << 30));
  b.set_blob_bytes(Or(b.has_blob_bytes(), b.blob_bytes(), 50ull << 30));
  b.set_host_memory_bytes(Or(b.has_host_memory_bytes(), b.host_memory_bytes(), 0));
  b.set_variant_bytes(Or(b.has_variant_bytes(), b.variant_bytes(), 1ull << 30));
}

absl::Status CheckAddress(std::string_view flag, const std::string& text, bool unix_sockets) {
  const auto address = ParseAddress(text);
  absl::Status status = address.status();
  if (address.ok() && address->kind == Address::Kind::kUnix && !unix_sockets) {
    status = InvalidArgument("HTTP is served on HOST:PORT only");
  }
  return Annotate(status, "--", flag, ": \"", text, "\"");
}

absl::Status CheckAddresses(const ServerConfig& c) {
  for (const std::string& listen : c.listen()) RLX_TRY(CheckAddress("listen", listen, true));
  if (c.metrics_listen().empty()) return absl::OkStatus();
  return CheckAddress("metrics_listen", c.metrics_listen(), false);
}

absl::Status Refuse(std::string_view flag, auto value, std::string_view why) {
  return InvalidArgument("--", flag, ": ", value, " ", why);
}

// Below the configuration sizes are signed.
absl::Status CheckSizes(const google::protobuf::Message& part) {
  const google::protobuf::Descriptor* fields = part.GetDescriptor();
  for (int i = 0; i < fields->field_count(); ++i) {
    const FieldDescriptor* field = fields->field(i);
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_UINT64) continue;
    const uint64_t value = part.GetReflection()->GetUInt64(part, field);
    if (value > INT64_MAX) return Refuse(field->name(), value, "is above 9223372036854775807");
  }
  return absl::OkStatus();
}

absl::Status CheckSeconds(std::string_view flag, double seconds) {
  if (std::isfinite(seconds) && seconds >= 0) return absl::OkStatus();
  return Refuse(flag, seconds, "is no time in seconds");
}

absl::Status CheckModels(const ServerConfig& c) {
  const bool polls = c.model_control_mode() == config::MODEL_CONTROL_MODE_POLL;
  if (polls && c.repository_poll_seconds() < 0.01) {
    return Refuse("repository_poll_seconds", c.repository_poll_seconds(), "is below 0.01");
  }
  const bool by_request = c.model_control_mode() == config::MODEL_CONTROL_MODE_EXPLICIT;
  if (!c.load_model().empty() && !by_request) {
    return InvalidArgument("--load_model takes --model_control_mode=explicit");
  }
  if (c.model_repository().empty() && c.model_control_mode() > config::MODEL_CONTROL_MODE_NONE) {
    return InvalidArgument("--model_control_mode takes a --model_repository");
  }
  return absl::OkStatus();
}

absl::Status CheckBetween(std::string_view flag, double value, double least, double most) {
  if (value >= least && value <= most) return absl::OkStatus();
  return Refuse(flag, value, Cat("is not in [", least, ", ", most, "]"));
}

// A file's text without the line's end that editors leave. A link is followed, since Kubernetes
// mounts secrets as links.
absl::StatusOr<std::string> ReadSecret(std::string_view flag, const std::string& path) {
  const std::unique_ptr<char, decltype(&std::free)> real(realpath(path.c_str(), nullptr),
                                                         &std::free);
  auto text = ReadFile(real != nullptr ? std::string(real.get()) : path, kMaxSecretBytes);
  if (!text.ok()) return Annotate(text.status(), "--", flag);
  while (text->ends_with('\n') || text->ends_with('\r')) text->pop_back();
  return text;
}

// The shared cache as the engine takes it, its secrets read; nothing where none is wanted.
absl::StatusOr<std::optional<cache::RedisOptions>> ReadShared(const config::SharedCache& s) {
  if (s.shared_cache().empty()) return std::nullopt;
  if (!cache::HasSharedStore()) {
    return InvalidArgument(
        "--shared_cache: this build has none, since it was made without hiredis");
  }
  cache::RedisOptions out;
  auto server = cache::ParseRedisUrl(s.shared_cache());
  if (!server.ok()) return Annotate(server.status(), "--shared_cache");
  out.server = *std::move(server);
  if (s.shared_cache_key_file().empty()) {
    return InvalidArgument("--shared_cache needs --shared_cache_key_file");
  }
  RLX_ASSIGN(out.secret, ReadSecret("shared_cache_key_file", s.shared_cache_key_file()));
  if (out.secret.size() < kMinSecretBytes) {
    return Refuse("shared_cache_key_file", out.secret.size(), "bytes are too few for a secret");
  }
  if (!s.shared_cache_password_file().empty()) {
    RLX_ASSIGN(out.server.password,
               ReadSecret("shared_cache_password_file", s.shared_cache_password_file()));
  }
  out.server.ca_file = s.shared_cache_ca_file();
  out.server.cert_file = s.shared_cache_cert_file();
  out.server.key_file = s.shared_cache_cert_key_file();
  if (out.server.cert_file.empty() != out.server.key_file.empty()) {
    return InvalidArgument("--shared_cache_cert_file and --shared_cache_cert_key_file go together");
  }
  if (!out.server.tls && !(out.server.ca_file.empty() && out.server.cert_file.empty())) {
    return InvalidArgument("--shared_cache_ca_file and --shared_cache_cert_file take rediss://");
  }
  out.timeout_seconds = s.shared_cache_timeout_seconds();
  out.lease_seconds = s.shared_cache_lease_seconds();
  out.keep_seconds = s.shared_cache_keep_seconds();
  out.max_entry_bytes = s.shared_cache_max_entry_bytes();
  RLX_TRY(CheckBetween("shared_cache_timeout_seconds", out.timeout_seconds, 0.001, 10));
  RLX_TRY(CheckBetween("shared_cache_lease_seconds", out.lease_seconds, 0.1, 3600));
  RLX_TRY(CheckBetween("shared_cache_keep_seconds", out.keep_seconds, 1, 1e9));
  return out;
}

absl::Status CheckRanges(const ServerConfig& c) {
  RLX_TRY(CheckSizes(c.limits()));
  RLX_TRY(CheckSizes(c.budgets()));
  RLX_TRY(CheckSizes(c.shared()));
  RLX_TRY(CheckSeconds("drain_delay_seconds", c.drain_delay_seconds()));
  RLX_TRY(CheckSeconds("drain_timeout_seconds", c.drain_timeout_seconds()));
  RLX_TRY(CheckSeconds("repository_poll_seconds", c.repository_poll_seconds()));
  RLX_TRY(CheckModels(c));
  if (c.threads() > 1024) return Refuse("threads", c.threads(), "is above 1024");
  if (c.compile_threads() < 1 || c.compile_threads() > 256) {
    return Refuse("compile_threads", c.compile_threads(), "is not in [1, 256]");
  }
  if (c.limits().max_message_bytes() > INT32_MAX) {
    return Refuse("max_message_bytes", c.limits().max_message_bytes(), "is above 2147483647");
  }
  if (c.limits().max_nodes() > 10'000'000) {
    return Refuse("max_nodes", c.limits().max_nodes(), "is above 10000000");
  }
  if (c.limits().max_nesting() > 256) {
    return Refuse("max_nesting", c.limits().max_nesting(), "is above 256");
  }
  if (c.limits().max_tensor_bytes() > uint64_t{1} << 46) {
    return Refuse("max_tensor_bytes", c.limits().max_tensor_bytes(), "is above 2^46");
  }
  const uint32_t queued = c.limits().max_queued_requests();
  if (queued < 1 || queued > 1'000'000) {
    return Refuse("max_queued_requests", queued, "is not in [1, 1000000]");
  }
  if (c.limits().max_variants() > 4096) {
    return Refuse("max_variants", c.limits().max_variants(), "is above 4096");
  }
  return absl::OkStatus();
}

std::string_view Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string_view() : std::string_view(value);
}

bool IsOn(const char* name) {
  const std::string_view text = Environment(name);
  return !text.empty() && text != "0" && text != "false" && text != "off" && text != "no";
}

absl::Status ReadAlignment(CompileOptions& out) {
  const std::string_view text = Environment("RLX_ARENA_ALIGN");
  if (text.empty()) return absl::OkStatus();
  const auto bytes = ParseInt(text);
  if (!bytes || *bytes < 16 || *bytes > 4096 || (*bytes & (*bytes - 1)) != 0) {
    return InvalidArgument("RLX_ARENA_ALIGN: \"", text, "\" is no power of two from 16 to 4096");
  }
  out.arena_alignment = *bytes;
  return absl::OkStatus();
}

// Read once, here and nowhere below; a field that a request sets wins.
absl::Status ReadEnvironment(Settings& out) {
  out.log_fusion = IsOn("RLX_FUSION_REPORT");
  out.log_dispatch = IsOn("RLX_DISPATCH_REPORT");
  out.ir_dump_dir = Environment("RLX_IR_DUMP");
  out.trace_dir = Environment("RLX_TRACE_PERFETTO");
  if (IsOn("RLX_VERBOSE")) out.defaults.verbose = true;
  if (IsOn("RLX_METAL_NO_FUSION")) out.metal.fusion.skip_fusion = true;
  if (IsOn("RLX_METAL_UNFUSE_REGIONS")) out.metal.fusion.unfuse_elementwise_regions = true;
  RLX_TRY(ReadAlignment(out.defaults));
  const std::string_view text = Environment("RLX_KERNEL_DISPATCH");
  if (text == "common" || text == "force_common" || text == "ForceCommon") {
    out.defaults.kernel_dispatch.policy = DispatchPolicy::kForceCommon;
  } else if (text == "native" || text == "force_native" || text == "ForceNative") {
    out.defaults.kernel_dispatch.policy = DispatchPolicy::kForceNative;
  } else if (!text.empty() && text != "prefer_native") {
    return InvalidArgument("RLX_KERNEL_DISPATCH: \"", text,
                           "\" is none of prefer_native, force_common, force_native");
  }
  return absl::OkStatus();
}

struct Given {
  std::string name, value;
};

// "--name=value", "--name value", and "--flag" or "--noflag" for booleans.
absl::StatusOr<std::vector<Given>> SplitArgs(const std::vector<std::string>& args) {
  std::vector<Given> out;
  for (size_t i = 0; i < args.size(); ++i) {
    std::string_view arg = args[i];
    if (!arg.starts_with("--")) return InvalidArgument("unexpected argument \"", arg, "\"");
    arg.remove_prefix(2);
    const size_t equals = arg.find('=');
    if (equals != std::string_view::npos) {
      out.push_back({std::string(arg.substr(0, equals)), std::string(arg.substr(equals + 1))});
    } else if (arg == "help" || arg == "version" || IsSwitch(arg)) {
      out.push_back({std::string(arg), "true"});
    } else if (arg.starts_with("no") && IsSwitch(arg.substr(2))) {
      out.push_back({std::string(arg.substr(2)), "false"});
    } else {
      if (i + 1 == args.size()) return InvalidArgument("--", arg, " needs a value");
      out.push_back({std::string(arg), args[++i]});
    }
  }
  return out;
}

}  // namespace

absl::StatusOr<Settings> ReadSettings(const std::vector<std::string>& args) {
  Settings out;
  RLX_ASSIGN(const std::vector<Given> given, SplitArgs(args));
  for (const Given& flag : given) {
    if (flag.name == "config") {
      RLX_ASSIGN(out.config, ReadConfigFile(flag.value));
    }
  }
  std::set<std::string> given_lists;
  for (const auto& [name, value] : given) {
    if (name == "config") continue;
    if (name == "help" || name == "version") {
      (name == "help" ? out.help : out.version) = true;
      continue;
    }
    const Flag* flag = FindFlag(name);
    if (flag == nullptr) return InvalidArgument("unknown flag --", name);
    const auto [message, field] = PlaceOf(out.config, flag->path);
    if (field->is_repeated() && given_lists.insert(name).second) {  // flags win over the file
      message->GetReflection()->ClearField(message, field);
    }
    if (!SetField(out.config, flag->path, value)) {
      return InvalidArgument("--", name, ": \"", value, "\" is no valid value");
    }
  }
  FillDefaults(out.config);
  RLX_TRY(CheckAddresses(out.config));
  RLX_TRY(CheckRanges(out.config));
  RLX_ASSIGN(out.shared_cache, ReadShared(out.config.shared()));
  RLX_TRY(ReadEnvironment(out));
  return out;
}

std::string HelpText() {
  std::string out =
      "rlxd compiles tensor graphs and runs them on the accelerators of this machine, behind "
      "gRPC.\n"
      "\n"
      "usage: rlxd [--flag=value ...]\n"
      "\n"
      "  --config FILE  rlx.config.ServerConfig as protobuf text; flags win over it\n"
      "  --help, --version\n"
      "\n";
  for (const Flag& flag : kFlags) {
    if (flag.path.starts_with(kShared) && !cache::HasSharedStore()) continue;
    out += Cat("  --", flag.name, "\n      ", flag.doc, "\n");
  }
  out +=
      "\nenvironment, read once at start; what a request says wins, but for the RLX_METAL_ ones:\n"
      "  RLX_FUSION_REPORT=1         log the fusion report of every compile\n"
      "  RLX_DISPATCH_REPORT=1       log the dispatch report of every compile\n"
      "  RLX_IR_DUMP=FOLDER          leave HIR, MIR and LIR of every compile there, as KEY.ir.txt\n"
      "  RLX_TRACE_PERFETTO=FOLDER   leave a trace of every compile there, as KEY.compile.json, "
      "and\n"
      "                              of each executable's last run, as KEY.run.json (slows runs)\n"
      "  RLX_VERBOSE=1               report remarks that nobody can act on, too\n"
      "  RLX_KERNEL_DISPATCH         prefer_native, force_common or force_native\n"
      "  RLX_ARENA_ALIGN             arena_alignment in bytes, a power of two from 16 to 4096\n"
      "  RLX_METAL_NO_FUSION=1       skip_fusion on Metal, always\n"
      "  RLX_METAL_UNFUSE_REGIONS=1  unfuse_elementwise_regions on Metal, always\n";
  return out;
}

engine::EngineOptions ToEngineOptions(const Settings& settings) {
  const ServerConfig& c = settings.config;
  engine::EngineOptions out;
  out.cache_dir = c.cache_dir();
  out.memory_cache_bytes = c.budgets().memory_cache_bytes();
  out.disk_cache_bytes = c.budgets().disk_cache_bytes();
  out.shared_cache = settings.shared_cache;
  out.salt = c.cache_salt();
  out.blobs.max_blob_bytes = c.limits().max_blob_bytes();
  out.blobs.budget_bytes = c.budgets().blob_bytes();
  out.host_memory_bytes = static_cast<int64_t>(c.budgets().host_memory_bytes());
  out.compile_threads = static_cast<int>(c.compile_threads());
  out.max_queued_compiles = static_cast<int>(c.limits().max_queued_compiles());
  out.max_variants = static_cast<int>(c.limits().max_variants());
  out.max_variant_bytes = static_cast<int64_t>(c.budgets().variant_bytes());
  out.threads = static_cast<int>(c.threads());
  out.max_sessions = c.limits().max_sessions();
  out.max_lease_seconds = c.limits().max_lease_seconds();
  out.default_lease_seconds = std::min(out.default_lease_seconds, out.max_lease_seconds);
  out.max_inline_weight_bytes = c.limits().max_inline_weight_bytes();
  out.limits.max_nodes = static_cast<int64_t>(c.limits().max_nodes());
  out.limits.max_sources = 4 * out.limits.max_nodes;
  out.limits.max_constant_bytes = static_cast<int64_t>(c.limits().max_constant_bytes());
  out.limits.max_nesting = c.limits().max_nesting();
  out.limits.max_tensor_bytes = static_cast<int64_t>(c.limits().max_tensor_bytes());
  out.defaults = settings.defaults;
  out.device_defaults[DeviceKind::kMetal] = settings.metal;
  out.ir_dump_dir = settings.ir_dump_dir;
  out.trace_dir = settings.trace_dir;
  return out;
}

WireLimits ToWireLimits(const ServerConfig& config) {
  WireLimits out;
  out.max_message_bytes = config.limits().max_message_bytes();
  out.max_chunk_bytes = std::min(out.max_chunk_bytes, out.max_message_bytes / 2);
  out.preferred_chunk_bytes =
      static_cast<uint32_t>(std::min<uint64_t>(out.preferred_chunk_bytes, out.max_chunk_bytes));
  out.max_queued_requests = config.limits().max_queued_requests();
  out.max_queued_bytes = config.limits().max_queued_bytes();
  return out;
}

KeeperOptions ToKeeperOptions(const ServerConfig& config) {
  KeeperOptions out;
  out.root = config.model_repository();
  if (config.model_control_mode() == config::MODEL_CONTROL_MODE_POLL) out.mode = ControlMode::kPoll;
  if (config.model_control_mode() == config::MODEL_CONTROL_MODE_EXPLICIT) {
    out.mode = ControlMode::kExplicit;
  }
  out.poll_seconds = config.repository_poll_seconds();
  out.load_at_start.insert(config.load_model().begin(), config.load_model().end());
  out.strict = config.strict_readiness();
  out.queues.max_size = config.limits().max_queued_requests();
  std::error_code none;
  out.scratch = std::filesystem::temp_directory_path(none).string();  // by TMPDIR
  if (none) out.scratch = "/tmp";
  return out;
}

LogLevel ToLogLevel(config::LogLevel level) {
  switch (level) {
    case config::LOG_LEVEL_DEBUG:
      return LogLevel::kDebug;
    case config::LOG_LEVEL_WARNING:
      return LogLevel::kWarning;
    case config::LOG_LEVEL_ERROR:
      return LogLevel::kError;
    default:
      return LogLevel::kInfo;
  }
}

}  // namespace rlx::server
