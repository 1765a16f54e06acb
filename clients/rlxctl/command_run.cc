// SPDX-License-Identifier: Apache-2.0
// run: compile or find an executable, open a session, run it, close it.
#include "clients/rlxctl/commands.h"
#include "clients/rlxctl/compile.h"
#include "clients/rlxctl/compile_flags.h"
#include "clients/rlxctl/context.h"
#include "clients/rlxctl/inputs.h"
#include "clients/rlxctl/outputs.h"
#include "clients/rlxctl/table.h"
#include "clients/rlxctl/trace.h"
#include "clients/rlxctl/weights.h"
#include "clients/rlxctl/words.h"
#include "rlx/v1/capabilities.pb.h"
#include "rlx/v1/compiler.grpc.pb.h"
#include "rlx/v1/sessions.grpc.pb.h"
#include "runtime/base/clock.h"

namespace rlx::ctl {
namespace {

constexpr FlagSpec kFlags[] = {
    {"key", "HEX", "run the executable of that key"},
    {"weights", "FILE.safetensors",
     "tensors for the params, by name; uploaded once; an ONNX model has its own", true},
    {"random-weights", "SEED", "make up all weights"},
    {"input", "NAME=FILE.npy|random|zeros|ones", "one input; NAME * is all others", true},
    {"extent", "SYMBOL=N", "size of a symbolic dim of made-up inputs", true},
    {"seed", "N", "of random inputs (0)"},
    {"repeat", "N", "run so often, and tell how long it took (1)"},
    {"trace", "FILE", "time each step of the last run, for Perfetto and chrome://tracing"},
    {"output", "DIR", "write each output to DIR/NAME.npy"},
    {"values", "N", "elements of each output to print (8)"},
    {"skip-cache-lookup", "", "compile even if the cache has it"},
};

// What is to be opened.
struct Executable {
  std::string key;
  v1::Manifest manifest;
  std::optional<v1::CompileResult> compiled;  // now, from a module
};

absl::StatusOr<Executable> FindExecutable(Context& context) {
  const bool has_module = !context.flags.operands().empty();
  if (has_module == context.flags.Has("key")) return Usage("run takes either MODULE or --key HEX");
  if (has_module) {
    RLX_ASSIGN(v1::CompileSpec spec, MakeSpec(context.flags.operands()[0], context));
    RLX_ASSIGN(v1::CompileResult result, Compile(std::move(spec), context));
    std::string key = result.key();
    v1::Manifest manifest = result.manifest();
    return Executable{std::move(key), std::move(manifest), std::move(result)};
  }
  const auto key = Digest256::FromHex(context.flags.Text("key"));
  if (!key) return Usage("--key is 64 lower-case hexadecimal digits");
  v1::InspectRequest request;
  request.set_key(std::string(key->view()));
  RLX_ASSIGN(v1::CompileResult known,
             context.server.Call<v1::Compiler>(&v1::Compiler::Stub::Inspect, request, kQuick));
  return Executable{request.key(), std::move(*known.mutable_manifest()), std::nullopt};
}

absl::StatusOr<Weights> MakeWeights(const Executable& executable, Context& context) {
  const Flags& flags = context.flags;
  if (flags.Has("random-weights")) {
    if (flags.Has("weights")) return Usage("either --weights or --random-weights");
    RLX_ASSIGN(const int64_t seed, flags.Int("random-weights", 0, 0, INT64_MAX));
    RLX_ASSIGN(const v1::Limits* limits, context.server.Limits());
    return RandomWeights(executable.manifest, static_cast<uint64_t>(seed),
                         limits->max_blob_bytes());
  }
  if (flags.Has("weights")) context.progress.Step("reading weights");
  RLX_ASSIGN(const std::vector<WeightFile> files, ReadWeightFiles(flags.All("weights")));
  return BindParams(executable.manifest, files,
                    executable.compiled ? executable.compiled->weights() : OwnWeights{});
}

// A session that is closed with this, unless Close has told how that went.
class OpenSession {
 public:
  OpenSession(Connection& server, v1::OpenResponse opened)
      : server_(server), opened_(std::move(opened)) {}
  ~OpenSession() {
    if (open_) Close().IgnoreError();
  }
  OpenSession(const OpenSession&) = delete;
  OpenSession& operator=(const OpenSession&) = delete;

  const v1::OpenResponse& opened() const { return opened_; }

  absl::Status Close() {
    open_ = false;
    v1::CloseRequest request;
    request.set_handle(opened_.handle());
    return server_.Call<v1::Sessions>(&v1::Sessions::Stub::Close, request, kQuick).status();
  }

 private:
  Connection& server_;
  const v1::OpenResponse opened_;
  bool open_ = true;
};

absl::StatusOr<v1::OpenResponse> Open(const Executable& executable, Weights weights,
                                      Context& context, uint64_t& uploaded) {
  for (const Blob& blob : weights.blobs) {
    RLX_ASSIGN(const uint64_t travelled, Upload(blob, context.server, context.progress));
    uploaded += travelled;
  }
  v1::OpenRequest request;
  request.set_key(executable.key);
  for (v1::WeightBinding& binding : weights.bindings) *request.add_weights() = std::move(binding);
  context.progress.Step("opening a session");
  return context.server.Call<v1::Sessions>(&v1::Sessions::Stub::Open, request, kLong);
}

struct Runs {
  v1::RunResponse last;
  std::vector<double> seconds;  // of each run, as seen from here; sorted
};

absl::StatusOr<Runs> RunOften(const v1::OpenResponse& opened, Context& context) {
  RLX_ASSIGN(const int64_t repeat, context.flags.Int("repeat", 1, 1, 1'000'000));
  RLX_ASSIGN(std::vector<v1::NamedTensor> inputs, MakeInputs(opened.manifest(), context.flags));
  v1::RunRequest request;
  request.set_handle(opened.handle());
  for (v1::NamedTensor& input : inputs) *request.add_inputs() = std::move(input);
  Runs runs;
  for (int64_t i = 0; i < repeat; ++i) {
    if (i == 0) context.progress.Step("running");
    request.set_trace(i + 1 == repeat && context.flags.Has("trace"));
    const double begin = MonotonicSeconds();
    RLX_ASSIGN(runs.last,
               context.server.Call<v1::Sessions>(&v1::Sessions::Stub::Run, request, kLong));
    runs.seconds.push_back(MonotonicSeconds() - begin);
  }
  if (context.flags.Has("trace")) {
    RLX_TRY(
        WriteTrace(RunTrace(runs.last.timing(), runs.seconds.back()), context.flags.Text("trace")));
  }
  std::sort(runs.seconds.begin(), runs.seconds.end());
  return runs;
}

std::string TimesText(const Runs& runs) {
  const v1::RunTiming& timing = runs.last.timing();
  std::string out = Cat("compute ", SecondsText(timing.compute_seconds()), ", queue ",
                        SecondsText(timing.queue_seconds()));
  if (runs.seconds.size() == 1) return Cat(out, ", round trip ", SecondsText(runs.seconds[0]));
  return Cat(out, " (the last of ", runs.seconds.size(), "), round trip ",
             SecondsText(runs.seconds.front()), " at best, ",
             SecondsText(runs.seconds[runs.seconds.size() / 2]), " median");
}

void WriteRun(const Executable& executable, const v1::OpenResponse& opened, uint64_t uploaded,
              const Runs& runs, JsonWriter& json) {
  const auto key = Digest256::FromBytes(executable.key);
  json.BeginObject().Field("key", key ? key->ToHex() : "");
  if (executable.compiled) json.Field("cache", Word(executable.compiled->cache()));
  json.Field("weight_bytes", opened.weight_bytes());
  json.Field("weights_shared", opened.weights_shared()).Field("uploaded_bytes", uploaded);
  json.Key("timing").BeginObject();
  json.Field("queue_seconds", runs.last.timing().queue_seconds());
  json.Field("compute_seconds", runs.last.timing().compute_seconds());
  json.Key("round_trip_seconds").BeginArray();
  for (const double seconds : runs.seconds) json.Value(seconds);
  json.EndArray().EndObject().Key("outputs").BeginArray();
}

}  // namespace

const std::span<const FlagSpec> kRunFlags = kFlags;

absl::Status RunRun(Context& context) {
  RLX_ASSIGN(const int64_t values, context.flags.Int("values", 8, 0, INT64_MAX));
  RLX_ASSIGN(const Executable executable, FindExecutable(context));
  RLX_ASSIGN(Weights weights, MakeWeights(executable, context));
  uint64_t uploaded = 0;
  RLX_ASSIGN(v1::OpenResponse answer, Open(executable, std::move(weights), context, uploaded));
  OpenSession session(context.server, std::move(answer));
  RLX_ASSIGN(const Runs runs, RunOften(session.opened(), context));
  RLX_TRY(session.Close());
  RLX_ASSIGN(const std::vector<Output> outputs,
             WriteOutputs(runs.last, context.flags.Text("output")));

  const v1::OpenResponse& opened = session.opened();
  Table table({"", ""});
  if (executable.compiled) table.Row({"executable", OriginText(*executable.compiled)});
  table.Row(
      {"weights", Cat(BytesText(opened.weight_bytes()), opened.weights_shared() ? ", shared" : "",
                      ", ", BytesText(uploaded), " uploaded")});
  table.Row({"run", TimesText(runs)});
  context.text = Cat(table.ToString(), OutputsText(outputs, static_cast<uint64_t>(values)));
  WriteRun(executable, opened, uploaded, runs, context.document);
  WriteOutputValues(outputs, static_cast<uint64_t>(values), context.document);
  context.document.EndArray().EndObject();
  return absl::OkStatus();
}

}  // namespace rlx::ctl
