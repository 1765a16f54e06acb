// SPDX-License-Identifier: Apache-2.0
// The drawing of docs/design.md, section 2, as a test: no file includes what its room may not.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/file.h"
#include "runtime/base/text.h"

namespace rlx {
namespace {

using Names = std::vector<std::string_view>;

// The arrows: each room with those it points to. Reaching is transitive.
const std::map<std::string_view, Names> kArrows = {
    {"base", {}},
    {"tensor", {"base"}},
    {"ir", {"tensor"}},
    {"kernel", {"tensor"}},
    {"device", {"ir", "kernel"}},
    {"passes", {"ir"}},
    {"lower", {"ir", "kernel", "device"}},
    {"cache", {"base"}},
    {"wire", {"ir", "device"}},
    {"import", {"ir", "wire"}},
    {"stages", {"passes", "lower", "cache", "wire", "import"}},
    {"engine", {"stages"}},
};

// Headers of libraries, and the folders that may include them.
struct Library {
  std::string_view name;
  Names prefixes;
  Names folders;
};
const Library kLibraries[] = {
    {"LLVM", {"llvm/", "llvm-c/"}, {"backends/cpu/", "tests/unit/cpu"}},
    {"oneDNN", {"oneapi/", "dnnl"}, {"backends/cpu/", "bench/"}},
    {"CUDA", {"cuda", "nvrtc", "cublas", "cudnn", "nccl"}, {"backends/cuda/", "tests/unit/cuda"}},
    {"HIP", {"hip/", "rocblas", "hipblas"}, {"backends/rocm/", "tests/unit/rocm"}},
    {"hiredis", {"hiredis/"}, {"runtime/cache/"}},
    {"Vulkan", {"vulkan/"}, {"backends/vulkan/", "tests/unit/vulkan"}},
    {"gRPC",
     {"grpc/", "grpcpp/", "grpc++/"},
     {"server/", "clients/", "tests/server/", "tests/tsan/", "tests/unit/server/",
      "tests/unit/rlxctl/", "bench/"}},
    {"protobuf",
     {"google/", "rlx/", "inference/"},
     {"runtime/wire/", "runtime/import/", "server/", "clients/", "tests/", "bench/"}},
    {"prometheus-cpp", {"prometheus/"}, {"server/", "tests/server/", "tests/unit/server/"}},
};

// Heavy or forbidden in a header: each of them costs every unit that includes it.
const std::set<std::string_view> kNotInHeaders = {"regex", "iostream", "filesystem"};

std::set<std::string_view> Reach(std::string_view room) {
  std::set<std::string_view> reached = {room};
  for (std::string_view next : kArrows.at(room)) reached.merge(Reach(next));
  return reached;
}

bool StartsWithAny(std::string_view text, const Names& prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](std::string_view p) { return text.starts_with(p); });
}

// The folders of ours from which `file` may include.
std::vector<std::string> Allowed(std::string_view file) {
  std::vector<std::string_view> parts = Split(file, '/');
  auto rooms = [](std::string_view room) {
    std::vector<std::string> folders;
    for (std::string_view reached : Reach(room)) folders.push_back(Cat("runtime/", reached, "/"));
    return folders;
  };
  if (parts[0] == "runtime" && kArrows.contains(parts[1])) return rooms(parts[1]);
  if (parts[0] == "backends") {
    std::vector<std::string> folders = rooms("device");
    folders.push_back(Cat("backends/", parts[1], "/"));
    if (parts[1] == "cuda" || parts[1] == "rocm") folders.push_back("backends/gpu/");
    return folders;
  }
  if (parts[0] == "server") return {"server/", "runtime/"};
  if (parts[0] == "clients") {
    std::vector<std::string> folders = rooms("wire");
    folders.push_back("clients/");
    return folders;
  }
  if (parts[0] == "tests" || parts[0] == "bench")
    return {"tests/", "bench/", "runtime/", "backends/", "server/", "clients/"};
  return {};
}

struct Include {
  int line;
  std::string_view path;
};

std::vector<Include> IncludesOf(std::string_view text) {
  std::vector<Include> includes;
  int number = 0;
  for (std::string_view line : Split(text, '\n')) {
    ++number;
    line = Trim(line);
    if (!line.starts_with("#include")) continue;
    line = Trim(line.substr(8));
    size_t end = line.find_first_of(">\"", 1);
    if (line.empty() || end == std::string_view::npos) continue;
    includes.push_back({number, line.substr(1, end - 1)});
  }
  return includes;
}

// "" when the file may include that path, else why not.
std::string Objection(std::string_view file, std::string_view included) {
  static const Names kOurs = {"runtime/", "backends/", "server/", "clients/", "tests/", "bench/"};
  if (StartsWithAny(included, kOurs)) {
    for (const std::string& folder : Allowed(file)) {
      if (included.starts_with(folder)) return "";
    }
    return "follows an arrow that is not drawn";
  }
  for (const Library& library : kLibraries) {
    if (StartsWithAny(included, library.prefixes) && !StartsWithAny(file, library.folders)) {
      return Cat(library.name, " is not known here");
    }
  }
  if (file.ends_with(".h") && kNotInHeaders.contains(included)) return "too heavy for a header";
  return "";
}

std::vector<std::string> Complaints(const std::string& file, std::string_view text) {
  std::vector<std::string> complaints;
  if (!text.starts_with("// SPDX-License-Identifier: Apache-2.0\n"))
    complaints.push_back(Cat(file, ":1: no SPDX line"));
  for (const Include& include : IncludesOf(text)) {
    std::string objection = Objection(file, include.path);
    if (!objection.empty())
      complaints.push_back(Cat(file, ":", include.line, ": ", include.path, " ", objection));
  }
  return complaints;
}

std::vector<std::string> SourceFiles() {
  std::vector<std::string> files;
  for (std::string_view top : {"runtime", "backends", "server", "clients", "tests", "bench"}) {
    if (!std::filesystem::exists(top)) continue;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(top)) {
      std::string extension = entry.path().extension();
      if (extension == ".cc" || extension == ".h" || extension == ".cu")
        files.push_back(entry.path());
    }
  }
  return files;
}

TEST(Arrows, EveryIncludeIsDrawn) {
  std::vector<std::string> files = SourceFiles();
  ASSERT_GT(files.size(), 20u) << "not run from the root of the sources";
  for (const std::string& file : files) {
    absl::StatusOr<std::string> text = ReadFile(file, 1 << 24);
    ASSERT_TRUE(text.ok()) << text.status();
    for (const std::string& complaint : Complaints(file, *text)) ADD_FAILURE() << complaint;
  }
}

// The daemon's environment is read in one place.
TEST(Arrows, OnlyTheServersConfigReadsTheEnvironment) {
  int readers = 0;
  for (const std::string& file : SourceFiles()) {
    if (!StartsWithAny(file, {"runtime/", "backends/", "server/"})) continue;
    const bool reads = ReadFile(file, 1 << 24)->find("getenv(") != std::string::npos;
    EXPECT_TRUE(!reads || file == "server/config.cc") << file;
    readers += reads ? 1 : 0;
  }
  EXPECT_EQ(readers, 1);
}

// The build links what the drawing says, and draws no room that is not here.
TEST(Arrows, TheBuildLinksTheSame) {
  std::string build = *ReadFile("CMakeLists.txt", 1 << 20);
  std::set<std::string_view> built;
  for (std::string_view line : Split(build, '\n')) {
    if (!line.starts_with("rlx_room(")) continue;
    std::vector<std::string_view> words = Split(line.substr(9, line.find(')') - 9), ' ');
    std::erase(words, "");
    ASSERT_TRUE(kArrows.contains(words[0])) << words[0];
    built.insert(words[0]);
    Names links;
    auto word = std::find(words.begin(), words.end(), "LINKS");
    for (; word != words.end() && *word != "PACKAGES"; ++word) {
      if (*word != "LINKS") links.push_back(*word);
    }
    EXPECT_EQ(links, kArrows.at(words[0])) << words[0];
  }
  EXPECT_EQ(built.size(), kArrows.size());
}

TEST(Arrows, TheCheckObjects) {
  auto objects = [](std::string_view file, std::string_view included) {
    return !Objection(file, included).empty();
  };
  EXPECT_TRUE(objects("runtime/tensor/a.h", "runtime/ir/graph.h"));
  EXPECT_TRUE(objects("runtime/ir/a.cc", "runtime/kernel/b.h"));
  EXPECT_TRUE(objects("runtime/cache/a.cc", "runtime/tensor/b.h"));
  EXPECT_TRUE(objects("backends/cpu/a.cc", "runtime/lower/b.h"));
  EXPECT_TRUE(objects("backends/cuda/a.cc", "backends/rocm/b.h"));
  EXPECT_TRUE(objects("server/a.cc", "backends/cpu/b.h"));
  EXPECT_TRUE(objects("runtime/engine/a.cc", "server/b.h"));
  EXPECT_TRUE(objects("runtime/lower/a.cc", "llvm/IR/Module.h"));
  EXPECT_TRUE(objects("runtime/engine/a.cc", "rlx/v1/types.pb.h"));
  EXPECT_TRUE(objects("runtime/wire/a.cc", "grpcpp/grpcpp.h"));
  EXPECT_TRUE(objects("runtime/base/a.h", "iostream"));
  EXPECT_TRUE(objects("clients/rlxctl/a.cc", "runtime/passes/b.h"));
  EXPECT_TRUE(objects("clients/rlxctl/a.cc", "server/b.h"));
  EXPECT_FALSE(objects("runtime/base/a.cc", "iostream"));
  EXPECT_FALSE(objects("clients/rlxctl/a.cc", "runtime/wire/module.h"));
  EXPECT_FALSE(objects("runtime/stages/a.cc", "runtime/base/status.h"));
  EXPECT_FALSE(objects("backends/cuda/a.cc", "backends/gpu/b.h"));
  EXPECT_FALSE(objects("backends/cpu/a.cc", "llvm/IR/Module.h"));
  EXPECT_FALSE(objects("runtime/wire/a.cc", "rlx/v1/types.pb.h"));

  EXPECT_EQ(Complaints("runtime/base/a.cc",
                       "// SPDX-License-Identifier: Apache-2.0\n  #include <llvm/x.h>\n"),
            std::vector<std::string>{"runtime/base/a.cc:2: llvm/x.h LLVM is not known here"});
  EXPECT_EQ(Complaints("runtime/base/a.cc", "int x;\n").size(), 1u);
}

}  // namespace
}  // namespace rlx
