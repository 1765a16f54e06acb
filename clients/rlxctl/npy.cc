// SPDX-License-Identifier: Apache-2.0
#include "clients/rlxctl/npy.h"

#include "clients/rlxctl/tensor.h"

namespace rlx::ctl {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr size_t kMaxRank = 64;

struct DTypeName {
  std::string_view numpy;  // without the byte order
  v1::DType dtype;
};
constexpr DTypeName kDTypes[] = {
    {"b1", v1::DTYPE_BOOL}, {"u1", v1::DTYPE_U8},  {"i1", v1::DTYPE_I8},  {"i2", v1::DTYPE_I16},
    {"V2", v1::DTYPE_BF16}, {"f2", v1::DTYPE_F16}, {"u4", v1::DTYPE_U32}, {"i4", v1::DTYPE_I32},
    {"i8", v1::DTYPE_I64},  {"f4", v1::DTYPE_F32}, {"f8", v1::DTYPE_F64}, {"c8", v1::DTYPE_C64},
};

struct Header {
  std::string_view descr;
  bool fortran_order = false;
  std::vector<int64_t> shape;
};

// Reads the dict literal: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }.
class HeaderReader {
 public:
  explicit HeaderReader(std::string_view text) : rest_(Trim(text)) {}

  absl::StatusOr<Header> Read() {
    Header header;
    int seen = 0;
    RLX_TRY(Expect('{'));
    while (!Take('}')) {
      RLX_ASSIGN(const std::string_view key, Quoted());
      RLX_TRY(Expect(':'));
      const int bit = key == "descr" ? 1 : key == "fortran_order" ? 2 : key == "shape" ? 4 : 0;
      if (bit == 0 || (seen & bit) != 0) return Bad();
      seen |= bit;
      if (bit == 1) {
        if (Peek() == '[') return InvalidArgument("structured arrays have no type in rlxd");
        RLX_ASSIGN(header.descr, Quoted());
      } else if (bit == 2) {
        RLX_ASSIGN(header.fortran_order, Boolean());
      } else {
        RLX_ASSIGN(header.shape, Tuple());
      }
      if (!Take(',') && Peek() != '}') return Bad();
    }
    if (seen != 7 || !rest_.empty()) return Bad();
    return header;
  }

 private:
  static absl::Status Bad() {
    return InvalidArgument("the header is no dict of descr, fortran_order and shape");
  }

  char Peek() {
    rest_ = Trim(rest_);
    return rest_.empty() ? '\0' : rest_[0];
  }
  bool Take(char c) {
    if (Peek() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  absl::Status Expect(char c) { return Take(c) ? absl::OkStatus() : Bad(); }

  absl::StatusOr<std::string_view> Quoted() {
    const char quote = Peek();
    if (quote != '\'' && quote != '"') return Bad();
    const size_t end = rest_.find(quote, 1);
    if (end == std::string_view::npos) return Bad();
    const std::string_view text = rest_.substr(1, end - 1);
    rest_.remove_prefix(end + 1);
    return text;
  }

  absl::StatusOr<bool> Boolean() {
    for (const auto& [word, value] : {std::pair("True", true), std::pair("False", false)}) {
      if (Peek() == word[0] && rest_.starts_with(word)) {
        rest_.remove_prefix(std::string_view(word).size());
        return value;
      }
    }
    return Bad();
  }

  absl::StatusOr<std::vector<int64_t>> Tuple() {
    std::vector<int64_t> values;
    RLX_TRY(Expect('('));
    while (!Take(')')) {
      Peek();
      const size_t digits = std::min(rest_.find_first_not_of("0123456789"), rest_.size());
      const std::optional<int64_t> value = ParseInt(rest_.substr(0, digits));
      if (!value || values.size() == kMaxRank) return Bad();
      values.push_back(*value);
      rest_.remove_prefix(digits);
      if (!Take(',') && Peek() != ')') return Bad();
    }
    return values;
  }

  std::string_view rest_;
};

absl::StatusOr<v1::DType> DTypeOf(std::string_view descr) {
  if (descr.starts_with('>')) return InvalidArgument("is big-endian: ", descr);
  std::string_view name = descr;
  if (name.starts_with('<') || name.starts_with('|') || name.starts_with('='))
    name.remove_prefix(1);
  for (const DTypeName& known : kDTypes) {
    if (known.numpy == name) return known.dtype;
  }
  return InvalidArgument("rlxd has no element type ", descr);
}

// Column-major data in row-major order.
std::string RowMajor(std::string_view data, std::span<const int64_t> shape, size_t element) {
  std::string out(data.size(), '\0');
  std::vector<int64_t> index(shape.size(), 0);
  for (size_t to = 0; to < data.size(); to += element) {
    size_t from = 0;
    for (size_t d = shape.size(); d-- > 0;)
      from = from * static_cast<size_t>(shape[d]) + static_cast<size_t>(index[d]);
    std::memcpy(out.data() + to, data.data() + from * element, element);
    for (size_t d = shape.size(); d-- > 0 && ++index[d] == shape[d];) index[d] = 0;
  }
  return out;
}

// The header's text and the data after it.
absl::StatusOr<std::pair<std::string_view, std::string_view>> TakeApart(std::string_view bytes) {
  constexpr size_t kVersion = 2;
  if (!bytes.starts_with(kMagic) || bytes.size() < kMagic.size() + kVersion)
    return InvalidArgument("is no .npy file");
  const int major = static_cast<uint8_t>(bytes[kMagic.size()]);
  if (major < 1 || major > 3) return InvalidArgument("has version ", major, " of the .npy format");
  bytes.remove_prefix(kMagic.size() + kVersion);
  const size_t width = major == 1 ? 2 : 4;
  if (bytes.size() < width) return InvalidArgument("ends in its header");
  uint32_t length = 0;
  std::memcpy(&length, bytes.data(), width);
  bytes.remove_prefix(width);
  if (length > bytes.size()) return InvalidArgument("ends in its header");
  return std::pair(bytes.substr(0, length), bytes.substr(length));
}

}  // namespace

absl::StatusOr<v1::Tensor> ParseNpy(std::string_view bytes) {
  RLX_ASSIGN(const auto parts, TakeApart(bytes));
  RLX_ASSIGN(const Header header, HeaderReader(parts.first).Read());
  v1::Tensor tensor;
  RLX_ASSIGN(const v1::DType dtype, DTypeOf(header.descr));
  tensor.set_dtype(dtype);
  tensor.mutable_shape()->Add(header.shape.begin(), header.shape.end());
  const std::optional<uint64_t> size = TensorBytes(dtype, header.shape);
  if (!size)
    return InvalidArgument("shape (", Join(header.shape, ", "), ") holds nothing, or too much");
  if (*size != parts.second.size()) {
    return InvalidArgument("has ", parts.second.size(), " bytes of data where its shape needs ",
                           *size);
  }
  const bool transposed = header.fortran_order && header.shape.size() > 1;
  tensor.set_data(transposed ? RowMajor(parts.second, header.shape, ElementBytes(dtype))
                             : std::string(parts.second));
  return tensor;
}

std::string NpyHeader(const v1::Tensor& tensor) {
  constexpr size_t kAlignment = 64;
  constexpr size_t kBefore = 10;  // magic, version, length
  std::string_view name = "V1";
  for (const DTypeName& known : kDTypes) {
    if (known.dtype == tensor.dtype()) name = known.numpy;
  }
  const bool ordered = ElementBytes(tensor.dtype()) > 1 && name[0] != 'V';
  std::string dict =
      Cat("{'descr': '", ordered ? '<' : '|', name, "', 'fortran_order': False, 'shape': (",
          Join(tensor.shape(), ", "), tensor.shape_size() == 1 ? ",), }" : "), }");
  dict.append(kAlignment - 1 - (kBefore + dict.size()) % kAlignment, ' ');
  dict += '\n';
  std::string out(kMagic);
  out += {1, 0, static_cast<char>(dict.size() & 0xFF), static_cast<char>(dict.size() >> 8)};
  return out + dict;
}

}  // namespace rlx::ctl
