// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/safetensors.h"

#include <cstring>

namespace rlx {
namespace {

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the format's own limit
constexpr int kMaxDepth = 16;                      // of what the header holds besides tensors

// Reads the JSON of headers, front to back: strings, whole numbers, and past everything else. The
// first thing that is not as it should be ends it; `ok` tells.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}

  bool ok() const { return ok_; }
  bool AtEnd() {
    SkipSpace();
    return rest_.empty();
  }

  // Whether `c` comes next; it is then taken.
  bool Take(char c) {
    SkipSpace();
    if (!ok_ || rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  void Expect(char c) {
    if (!Take(c)) ok_ = false;
  }

  std::string String() {
    std::string out;
    Expect('"');
    while (ok_) {
      const size_t plain = rest_.find_first_of("\"\\");
      if (plain == rest_.npos) return Fail(out);
      out.append(rest_.substr(0, plain));
      const char c = rest_[plain];
      rest_.remove_prefix(plain + 1);
      if (c == '"') break;
      Escape(out);
    }
    return out;
  }

  // A whole number of at least 0.
  int64_t Number() {
    SkipSpace();
    const size_t digits = std::min(rest_.find_first_not_of("0123456789"), rest_.size());
    const auto value = ParseInt(rest_.substr(0, digits));
    rest_.remove_prefix(digits);
    const bool more = !rest_.empty() && (rest_[0] == '.' || rest_[0] == 'e' || rest_[0] == 'E');
    if (!value || more) ok_ = false;
    return value.value_or(0);
  }

  // The elements of a list, each read by `element`.
  template <class Element>
  void List(const Element& element) {
    Expect('[');
    if (Take(']')) return;
    do {
      element();
    } while (ok_ && Take(','));
    Expect(']');
  }

  // The members of an object, each read by `member(key)`.
  template <class Member>
  void Object(const Member& member) {
    Expect('{');
    if (Take('}')) return;
    do {
      const std::string key = String();
      Expect(':');
      if (ok_) member(key);
    } while (ok_ && Take(','));
    Expect('}');
  }

  // Past one value of any kind.
  void Skip(int depth = 0) {
    SkipSpace();
    if (depth > kMaxDepth || rest_.empty()) {
      ok_ = false;
    } else if (rest_[0] == '"') {
      String();
    } else if (rest_[0] == '{') {
      Object([&](const std::string&) { Skip(depth + 1); });
    } else if (rest_[0] == '[') {
      List([&] { Skip(depth + 1); });
    } else {
      const size_t word = std::min(rest_.find_first_of(",]} \t\r\n"), rest_.size());
      if (word == 0) ok_ = false;
      rest_.remove_prefix(word);
    }
  }

 private:
  void SkipSpace() {
    const size_t space = std::min(rest_.find_first_not_of(" \t\r\n"), rest_.size());
    rest_.remove_prefix(space);
  }

  std::string Fail(std::string& out) {
    ok_ = false;
    return std::move(out);
  }

  void Escape(std::string& out) {
    if (rest_.empty()) return void(ok_ = false);
    const char c = rest_.front();
    rest_.remove_prefix(1);
    constexpr std::string_view from = "\"\\/bfnrt", to = "\"\\/\b\f\n\r\t";
    const size_t place = from.find(c);
    if (place != from.npos) return out.push_back(to[place]);
    if (c != 'u') return void(ok_ = false);
    uint32_t code = Hex4();
    if (code >= 0xD800 && code < 0xDC00) {  // the first half of a pair
      if (!rest_.starts_with("\\u")) return void(ok_ = false);
      rest_.remove_prefix(2);
      const uint32_t low = Hex4();
      if (low < 0xDC00 || low > 0xDFFF) return void(ok_ = false);
      code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    AppendUtf8(out, code);
  }

  uint32_t Hex4() {
    uint32_t value = 0;
    const auto [end, error] =
        std::from_chars(rest_.data(), rest_.data() + std::min<size_t>(4, rest_.size()), value, 16);
    if (error != std::errc() || end != rest_.data() + 4) {
      ok_ = false;
      return 0;
    }
    rest_.remove_prefix(4);
    return value;
  }

  static void AppendUtf8(std::string& out, uint32_t code) {
    const auto tail = [&](int shift) {
      out.push_back(static_cast<char>(0x80 | ((code >> shift) & 0x3F)));
    };
    if (code < 0x80) return out.push_back(static_cast<char>(code));
    if (code < 0x800) {
      out.push_back(static_cast<char>(0xC0 | (code >> 6)));
    } else {
      if (code < 0x10000) {
        out.push_back(static_cast<char>(0xE0 | (code >> 12)));
      } else {
        out.push_back(static_cast<char>(0xF0 | (code >> 18)));
        tail(12);
      }
      tail(6);
    }
    tail(0);
  }

  std::string_view rest_;
  bool ok_ = true;
};

// `begin` is where the data begin, `size` how many bytes they have.
absl::StatusOr<SafeTensor> ReadTensor(Scanner& scanner, uint64_t begin, uint64_t size) {
  SafeTensor tensor;
  bool shaped = false;
  std::vector<int64_t> offsets;
  scanner.Object([&](const std::string& key) {
    if (key == "dtype") {
      tensor.dtype = scanner.String();
    } else if (key == "shape") {
      shaped = true;
      scanner.List([&] { tensor.shape.push_back(scanner.Number()); });
    } else if (key == "data_offsets") {
      scanner.List([&] { offsets.push_back(scanner.Number()); });
    } else {
      scanner.Skip();
    }
  });
  if (!scanner.ok() || tensor.dtype.empty() || !shaped || offsets.size() != 2) {
    return InvalidArgument("has no dtype, and shape and data_offsets of whole numbers");
  }
  const auto from = static_cast<uint64_t>(offsets[0]), to = static_cast<uint64_t>(offsets[1]);
  if (to < from || to > size) {
    return InvalidArgument("bytes ", from, " to ", to, " are not in the file's ", size,
                           " bytes of data");
  }
  tensor.offset = begin + from;
  tensor.length = to - from;
  return tensor;
}

}  // namespace

std::string DTypeNameFromSafetensors(std::string_view dtype) {
  std::string name;
  if (dtype.starts_with("F8_")) {  // the two that are more than a matter of case
    name = "fp8";
    dtype.remove_prefix(3);
  }
  for (const char c : dtype) name += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return name;
}

absl::StatusOr<std::map<std::string, SafeTensor, std::less<>>> ParseSafetensors(
    std::string_view bytes) {
  uint64_t length = 0;
  if (bytes.size() < sizeof(length)) return InvalidArgument("is no safetensors file");
  std::memcpy(&length, bytes.data(), sizeof(length));
  const std::string_view rest = bytes.substr(sizeof(length));
  if (length == 0 || length > kMaxHeaderBytes || length > rest.size()) {
    return InvalidArgument("is no safetensors file: a header of ", length, " bytes");
  }
  std::map<std::string, SafeTensor, std::less<>> tensors;
  absl::Status status;
  Scanner scanner(rest.substr(0, length));
  scanner.Object([&](const std::string& name) {
    if (name == "__metadata__" || !status.ok()) return scanner.Skip();
    auto tensor = ReadTensor(scanner, sizeof(length) + length, rest.size() - length);
    if (!tensor.ok()) {
      status = Annotate(tensor.status(), "tensor \"", name, "\"");
    } else {
      tensors.emplace(name, *std::move(tensor));
    }
  });
  RLX_TRY(status);
  if (!scanner.ok() || !scanner.AtEnd()) {
    return InvalidArgument("is no safetensors file: the header is no JSON object");
  }
  return tensors;
}

}  // namespace rlx
