// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <mutex>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>

namespace rlx {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

std::string_view LogLevelName(LogLevel level);

// A key and what it was. Refers to the text it was made from: lives for one call of Logger::Log.
struct LogField {
  template <class T>
  LogField(std::string_view key, const T& value) : key(key) {
    if constexpr (std::is_same_v<T, bool>) {
      this->value = value;
    } else if constexpr (std::is_floating_point_v<T>) {
      this->value = static_cast<double>(value);
    } else if constexpr (std::is_integral_v<T> && std::is_signed_v<T>) {
      this->value = static_cast<int64_t>(value);
    } else if constexpr (std::is_integral_v<T>) {
      this->value = static_cast<uint64_t>(value);
    } else {
      this->value = std::string_view(value);
    }
  }

  std::string_view key;
  std::variant<bool, int64_t, uint64_t, double, std::string_view> value;
};

// One JSON object a line: {"time":"...","level":"info","event":"session opened","session":"..."}.
//
//   logger.Info("session opened", {{"session", id.ToHex()}, {"weights", 42}});
//
// `event` is a constant phrase of ours; what varies, and whatever a client said, goes into fields,
// where it is escaped and cut at kMaxTextBytes. Thread safe; a line is written whole. A line that
// cannot be written is lost: logging never fails its caller.
class Logger {
 public:
  static constexpr size_t kMaxTextBytes = 1024;

  // Writes to `fd` (stderr), which it does not own, lines of at least `minimum`.
  explicit Logger(LogLevel minimum = LogLevel::kInfo, int fd = 2) : minimum_(minimum), fd_(fd) {}

  using Fields = std::initializer_list<LogField>;
  void Log(LogLevel level, std::string_view event, Fields fields = {});
  void Debug(std::string_view event, Fields fields = {}) { Log(LogLevel::kDebug, event, fields); }
  void Info(std::string_view event, Fields fields = {}) { Log(LogLevel::kInfo, event, fields); }
  void Warning(std::string_view event, Fields fields = {}) {
    Log(LogLevel::kWarning, event, fields);
  }
  void Error(std::string_view event, Fields fields = {}) { Log(LogLevel::kError, event, fields); }

  bool Enabled(LogLevel level) const { return level >= minimum(); }

  // From now on.
  void SetMinimum(LogLevel minimum) { minimum_.store(minimum, std::memory_order_relaxed); }
  LogLevel minimum() const { return minimum_.load(std::memory_order_relaxed); }

 private:
  std::atomic<LogLevel> minimum_;
  const int fd_;
  std::mutex mutex_;
};

}  // namespace rlx
