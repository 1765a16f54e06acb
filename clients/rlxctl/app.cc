// SPDX-License-Identifier: Apache-2.0
#include "clients/rlxctl/app.h"

#include <charconv>
#include <cstdio>

#include "clients/rlxctl/commands.h"
#include "clients/rlxctl/compile.h"
#include "clients/rlxctl/compile_flags.h"
#include "clients/rlxctl/context.h"
#include "clients/rlxctl/table.h"
#include "runtime/base/json.h"

namespace rlx::ctl {
namespace {

using FlagGroups = std::vector<std::span<const FlagSpec>>;

struct Command {
  std::string_view name;
  std::string_view operands;  // as help shows them
  size_t least_operands;
  size_t most_operands;
  absl::Status (*run)(Context&);
  std::string_view summary;
  std::string_view more;  // help alone
};

constexpr FlagSpec kGlobalFlags[] = {
    {"server", "HOST:PORT|unix:PATH", "where rlxd listens (127.0.0.1:8001)"},
    {"deadline", "SECONDS", "for the whole command (30 s a call, 600 s for those that compile)"},
    {"json", "", "one JSON document on stdout"},
    {"progress", "", "tell on stderr what goes on (when stderr is a terminal)"},
    {"help", "", "explain the command"},
};

constexpr std::string_view kModuleHelp =
    "MODULE is a serialized GraphModule (.pb), one in protobuf's text format (.pbtxt, .txtpb), the "
    "IR as\n"
    "text (.rlx, .txt: what lower prints), an ONNX model (.onnx; its external data lies beside "
    "it), "
    "or -\n"
    "for stdin.\n";

constexpr Command kCommands[] = {
    {"devices", "[DEVICE...]", 0, 12, RunDevices,
     "the twelve device kinds, and what this server can do with each",
     "With names, all there is to say of these: target, limits, claims. An op kind in `fusion` is "
     "one\n"
     "that passes may make; `full` stands in where there is no back end.\n"},
    {"capabilities", "", 0, 0, RunCapabilities, "versions, limits, devices, ops and passes", ""},
    {"health", "", 0, 0, RunHealth, "whether it serves: exit code 0, else 3 or 6", ""},
    {"compile", "MODULE", 1, 1, RunCompile, "compile a module, or find it in the cache",
     kModuleHelp},
    {"run", "[MODULE]", 0, 1, RunRun, "open a session, run it once or often, close it",
     "MODULE is as for compile; --key names an executable that is there already instead. Every\n"
     "parameter needs a weight: an ONNX model's own, or one that a safetensors file holds by name. "
     "Inputs come from .npy "
     "files\n"
     "or are made up: NAME=random, NAME=zeros or NAME=ones, with * for all that are not named.\n"
     "With --key all tensors of the files are bound.\n"},
    {"lower", "MODULE", 1, 1, RunLower, "print the module as text at a stage", kModuleHelp},
    {"explain", "MODULE [OTHER]", 1, 2, RunExplain,
     "what became of each block: fused, missed and why, and what would help",
     "A tree of blocks; in each, which nodes (%, as they enter the passes) became what. `!` marks "
     "a\n"
     "miss that can be acted on. --diff shows what two modules, or two sets of flags, have not in\n"
     "common.\n"},
    {"export", "MODULE", 1, 1, RunExport,
     "the module's kernels as text: kernel IR, and what the back end writes", kModuleHelp},
    {"explain-key", "MODULE [OTHER]", 1, 2, RunExplainKey,
     "what the compile key is made of, or what differs between two", kModuleHelp},
    {"cache", "ls|stats|clear [TIER...]", 1, 8, RunCache,
     "entries, counters of each tier, or empty the tiers (all)", ""},
    {"sessions", "", 0, 0, RunSessions, "your open sessions", ""},
};

FlagGroups FlagsOf(const Command& command) {
  FlagGroups groups;
  const auto is = [&](auto function) { return command.run == function; };
  if (is(RunCapabilities)) groups = {kCapabilitiesFlags};
  if (is(RunHealth)) groups = {kHealthFlags};
  if (is(RunCompile)) groups = {kCompileFlags, kCacheUseFlags};
  if (is(RunRun)) groups = {kRunFlags, kCompileFlags};
  if (is(RunLower)) groups = {kLowerFlags, kCompileFlags};
  if (is(RunExplain)) groups = {kExplainFlags, kCompileFlags};
  if (is(RunExport)) groups = {kExportFlags, kCompileFlags};
  if (is(RunExplainKey)) groups = {kExplainKeyFlags, kCompileFlags};
  if (is(RunCache)) groups = {kCacheFlags};
  return groups;
}

const Command* FindCommandNamed(std::string_view name) {
  for (const Command& command : kCommands) {
    if (command.name == name) return &command;
  }
  return nullptr;
}

std::string FlagHelp(std::span<const FlagSpec> flags) {
  Table table({"", ""});
  for (const FlagSpec& flag : flags) {
    std::string left = Cat("--", flag.name);
    if (!flag.value.empty()) left += Cat(" ", flag.value);
    if (flag.repeated) left += " ...";
    table.Row({left, std::string(flag.help)});
  }
  return table.ToString("  ");
}

std::string GeneralHelp() {
  Table commands({"", ""});
  for (const Command& command : kCommands)
    commands.Row({Cat(command.name, " ", command.operands), std::string(command.summary)});
  commands.Row({"help [COMMAND]", "this, or a command's flags"});
  return Cat("rlxctl COMMAND [FLAGS]: talks to rlxd\n\n", commands.ToString("  "),
             "\nflags of all\n", FlagHelp(kGlobalFlags),
             "\nexit codes\n"
             "  0  done\n"
             "  1  the server refused, or a file is wrong\n"
             "  2  the command line is wrong\n"
             "  3  the server cannot be reached, or is going away\n"
             "  4  the deadline passed\n"
             "  5  --assert-fusion-clean, and a fusion was missed\n"
             "  6  health: the server answers that it does not serve\n");
}

std::string CommandHelp(const Command& command) {
  std::string out = Cat("rlxctl ", command.name, command.operands.empty() ? "" : " ",
                        command.operands, ": ", command.summary, "\n");
  if (!command.more.empty()) out += Cat("\n", command.more);
  for (std::span<const FlagSpec> group : FlagsOf(command)) out += Cat("\n", FlagHelp(group));
  return Cat(out, "\n", FlagHelp(kGlobalFlags));
}

void WriteFlags(std::string_view key, const FlagGroups& groups, JsonWriter& out) {
  out.Key(key).BeginArray();
  for (std::span<const FlagSpec> group : groups) {
    for (const FlagSpec& flag : group) {
      out.BeginObject().Field("name", flag.name).Field("value", flag.value);
      out.Field("repeated", flag.repeated).Field("help", flag.help).EndObject();
    }
  }
  out.EndArray();
}

void WriteCommand(const Command& command, JsonWriter& out) {
  out.BeginObject().Field("name", command.name).Field("operands", command.operands);
  out.Field("summary", command.summary);
  WriteFlags("flags", FlagsOf(command), out);
  out.EndObject();
}

// Of one command or, without one, of all.
std::string HelpText(const Command* command, bool json) {
  if (!json) return command == nullptr ? GeneralHelp() : CommandHelp(*command);
  JsonWriter document;
  document.BeginObject();
  WriteFlags("flags_of_all", {kGlobalFlags}, document);
  document.Key("commands").BeginArray();
  for (const Command& one : kCommands) {
    if (command == nullptr || command == &one) WriteCommand(one, document);
  }
  return document.EndArray().EndObject().text() + "\n";
}

absl::StatusOr<std::string> Help(const Flags& flags) {
  const auto& operands = flags.operands();
  const Command* command = operands.empty() ? nullptr : FindCommandNamed(operands[0]);
  if (!operands.empty() && command == nullptr) return Usage("no command \"", operands[0], "\"");
  return HelpText(command, flags.IsOn("json"));
}

absl::StatusOr<std::optional<double>> Deadline(const Flags& flags) {
  if (!flags.Has("deadline")) return std::nullopt;
  const std::string_view text = flags.Text("deadline");
  double seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc() || end != text.data() + text.size() || !(seconds > 0 && seconds < 1e9))
    return Usage("--deadline is a number of seconds, not \"", text, "\"");
  return seconds;
}

int Print(std::string_view text, int exit_code) {
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  return std::fflush(stdout) == 0 && written ? exit_code : kExitError;
}

// Says on stderr what is wrong and, where a document is expected, there too.
int Fail(const absl::Status& status, bool json) {
  const std::string text = Printable(FailureText(status));
  std::fwrite(text.data(), 1, text.size(), stderr);
  if (!json) return ExitCodeOf(status);
  JsonWriter document;
  WriteFailure(status, document);
  return Print(Cat(document.text(), "\n"), ExitCodeOf(status));
}

absl::StatusOr<int> Run(const Command& command, const Flags& flags) {
  const size_t operands = flags.operands().size();
  if (operands < command.least_operands || operands > command.most_operands)
    return Usage(command.name, " takes ", command.operands.empty() ? "nothing" : command.operands);
  RLX_ASSIGN(const std::optional<double> deadline, Deadline(flags));
  Connection server(flags.Text("server", "127.0.0.1:8001"), deadline);
  Progress progress(flags.IsOn("progress"));
  Context context{
      .flags = flags, .server = server, .progress = progress, .json = flags.IsOn("json")};
  RLX_TRY(command.run(context));
  progress.Clear();
  return Print(context.json ? Cat(context.document.text(), "\n") : Printable(context.text),
               context.exit_code);
}

}  // namespace

int Main(const std::vector<std::string_view>& args) {
  std::vector<std::string_view> rest = args;
  const bool json = std::find(args.begin(), args.end(), "--json") != args.end();
  const size_t at = FindCommand(args, kGlobalFlags);
  const std::string_view name = at < args.size() ? args[at] : "help";
  if (at < args.size()) rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(at));
  const Command* command = FindCommandNamed(name);
  if (command == nullptr && name != "help") return Fail(Usage("no command \"", name, "\""), json);
  FlagGroups groups = command == nullptr ? FlagGroups() : FlagsOf(*command);
  groups.push_back(kGlobalFlags);
  const auto flags = Flags::Parse(rest, groups);
  if (!flags.ok()) return Fail(flags.status(), json);
  if (command == nullptr) {
    const auto text = Help(*flags);
    return text.ok() ? Print(*text, kExitOk) : Fail(text.status(), json);
  }
  if (flags->IsOn("help")) return Print(HelpText(command, json), kExitOk);
  const auto exit_code = Run(*command, *flags);
  return exit_code.ok() ? *exit_code : Fail(exit_code.status(), json);
}

}  // namespace rlx::ctl
