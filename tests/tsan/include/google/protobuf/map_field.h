// SPDX-License-Identifier: Apache-2.0
// In front of protobuf's own header in builds with ThreadSanitizer, where that one gives maps a
// member that Debian's libprotobuf, which is built without, does not know of.
#pragma once

// What else looks at the macro, before it is hidden.
#include <google/protobuf/message.h>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>

#pragma push_macro("__SANITIZE_THREAD__")
#undef __SANITIZE_THREAD__
#include_next <google/protobuf/map_field.h>
#pragma pop_macro("__SANITIZE_THREAD__")
