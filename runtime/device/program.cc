// SPDX-License-Identifier: Apache-2.0
#include "runtime/device/program.h"

namespace rlx::device {

bool Overlap(const Buffer& a, const Buffer& b) {
  return a.storage == b.storage && a.index == b.index && a.offset < b.offset + b.bytes &&
         b.offset < a.offset + a.bytes;
}

}  // namespace rlx::device
