// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/machine_memory.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "runtime/base/text.h"

namespace rlx {
namespace {

// Empty where it cannot be read. Files of /proc and /sys say that their size is 0.
std::string TextOf(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// `least`, or less: of the group at `path` below `folder` and of those above it.
int64_t LeastAlong(std::string_view path, const std::string& folder, std::string_view file,
                   int64_t least) {
  for (;;) {
    const std::string text = TextOf(Cat(folder, path, path.ends_with('/') ? "" : "/", file));
    const auto limit = ParseInt(Trim(text));  // "max" is none
    if (limit && *limit > 0) least = std::min(least, *limit);
    const size_t slash = path.rfind('/');
    if (path.size() <= 1 || slash == path.npos) return least;
    path = path.substr(0, std::max<size_t>(slash, 1));
  }
}

}  // namespace

int64_t LeastMemoryLimit(int64_t machine, std::string_view membership, const std::string& root) {
  int64_t least = machine;
  for (std::string_view line : Split(membership, '\n')) {  // NUMBER:CONTROLLERS:PATH
    const size_t first = line.find(':');
    const size_t second = first == line.npos ? first : line.find(':', first + 1);
    if (second == line.npos) continue;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    const std::string_view path = line.substr(second + 1);
    if (!path.starts_with('/')) continue;
    if (controllers.empty()) {
      least = LeastAlong(path, root, "memory.max", least);
    } else if (Cat(",", controllers, ",").find(",memory,") != std::string::npos) {
      least = LeastAlong(path, root + "/memory", "memory.limit_in_bytes", least);
    }
  }
  return least;
}

int64_t UsableMemory() {
  const int64_t machine = static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGE_SIZE);
  return LeastMemoryLimit(machine, TextOf("/proc/self/cgroup"), "/sys/fs/cgroup");
}

}  // namespace rlx
