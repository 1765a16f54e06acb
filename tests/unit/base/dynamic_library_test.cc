// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/dynamic_library.h"

#include <dlfcn.h>
#include <gtest/gtest.h>

namespace rlx {
namespace {

TEST(DynamicLibrary, CallsASymbol) {
  auto library = DynamicLibrary::Open("libm.so.6");
  ASSERT_TRUE(library.ok()) << library.status();
  DynamicLibrary moved = *std::move(library);
  auto floor = moved.Symbol<double (*)(double)>("floor");
  ASSERT_TRUE(floor.ok()) << floor.status();
  EXPECT_EQ((*floor)(2.5), 2.0);
}

TEST(DynamicLibrary, SaysWhatIsMissing) {
  absl::Status status = DynamicLibrary::Open("libnosuch.so.9").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(Message(status).find("cannot load libnosuch.so.9"), std::string_view::npos);
  auto library = DynamicLibrary::Open("libm.so.6");
  ASSERT_TRUE(library.ok());
  absl::Status symbol = library->Symbol<void (*)()>("no_such_symbol").status();
  EXPECT_EQ(symbol.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Message(symbol), "libm.so.6 has no symbol no_such_symbol");
}

TEST(DynamicLibrary, StaysAsLongAsItShould) {
  const char* const name = "libBrokenLocale.so.1";  // of libc's package, and nobody else's
  const auto loaded = [&] { return dlopen(name, RTLD_LAZY | RTLD_NOLOAD) != nullptr; };
  ASSERT_TRUE(DynamicLibrary::Open(name).ok());
  EXPECT_FALSE(loaded());
  ASSERT_TRUE(DynamicLibrary::Open(name, DynamicLibrary::Stays::kProcess).ok());
  EXPECT_TRUE(loaded());
}

}  // namespace
}  // namespace rlx
