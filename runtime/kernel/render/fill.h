// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace rlx::kernel {

using Part = std::pair<char, std::string_view>;

// `text` with each $x replaced by what `parts` have under x. A letter that is not there stays.
inline std::string Fill(std::string_view text, std::initializer_list<Part> parts) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const Part* found = nullptr;
    for (const Part& part : parts) {
      if (text[i] == '$' && i + 1 < text.size() && part.first == text[i + 1]) found = &part;
    }
    if (found == nullptr) {
      out += text[i];
    } else {
      out += found->second;
      ++i;
    }
  }
  return out;
}

}  // namespace rlx::kernel
