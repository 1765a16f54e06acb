// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace rlx {

// Immutable bytes with shared ownership: a constant's payload, a slice of an uploaded blob (mapped
// file), a cache entry. Copying copies a reference, slicing shares the owner. Thread safe as any
// const object.
class SharedBytes {
 public:
  SharedBytes() = default;

  // Takes over `bytes`.
  explicit SharedBytes(std::string bytes)
      : SharedBytes(std::make_shared<const std::string>(std::move(bytes))) {}
  explicit SharedBytes(std::shared_ptr<const std::string> bytes)
      : data_(reinterpret_cast<const uint8_t*>(bytes->data())), size_(bytes->size()) {
    owner_ = std::move(bytes);
  }

  // Refers to [data, data + size), which `owner` keeps alive.
  SharedBytes(std::shared_ptr<const void> owner, const void* data, size_t size)
      : owner_(std::move(owner)), data_(static_cast<const uint8_t*>(data)), size_(size) {}

  const uint8_t* data() const { return data_; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::span<const uint8_t> span() const { return {data_, size_}; }
  std::string_view view() const { return {reinterpret_cast<const char*>(data_), size_}; }

  // Requires offset + length <= size(); the caller has checked what came from outside.
  SharedBytes Slice(size_t offset, size_t length) const {
    return SharedBytes(owner_, data_ + offset, length);
  }

  friend bool operator==(const SharedBytes& a, const SharedBytes& b) {
    return a.view() == b.view();
  }

 private:
  std::shared_ptr<const void> owner_;
  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace rlx
