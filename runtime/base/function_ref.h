// SPDX-License-Identifier: Apache-2.0
// A reference to something callable: two words, no allocation. For parameters only: it does not
// keep the callee alive.
//
//   void Each(int n, FunctionRef<void(int)> fn);
//   Each(3, [&](int i) { sum += i; });
#pragma once

#include <memory>
#include <type_traits>
#include <utility>

namespace rlx {

template <class Signature>
class FunctionRef;

template <class R, class... Args>
class FunctionRef<R(Args...)> {
 public:
  template <class F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, FunctionRef> &&
             std::is_invocable_r_v<R, F&, Args...>)
  FunctionRef(F&& fn)  // NOLINT(google-explicit-constructor): made to be passed a lambda
      : callee_(const_cast<void*>(static_cast<const void*>(std::addressof(fn)))),
        call_([](void* callee, Args... args) -> R {
          return (*static_cast<std::remove_reference_t<F>*>(callee))(std::forward<Args>(args)...);
        }) {}

  R operator()(Args... args) const { return call_(callee_, std::forward<Args>(args)...); }

 private:
  void* callee_;
  R (*call_)(void*, Args...);
};

}  // namespace rlx
