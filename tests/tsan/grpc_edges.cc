// SPDX-License-Identifier: Apache-2.0
// Tells the thread sanitizer what gRPC orders. Debian's libgrpc is not instrumented and its locks
// are Abseil's, so the sanitizer takes everything that one thread hands to gRPC and another gets
// back for a race. This file stands in front of the few C functions through which that happens, in
// every program of a tsan build that links gRPC, and is itself not instrumented, so that it orders
// nothing else:
//
//   starting a batch                happens before    the end of that batch, by its tag
//   a call's last callback          happens before    its reactor's OnDone
//   giving gRPC a reactor           happens before    its OnCancel
//   unlocking an absl::Mutex        happens before    locking it, in gRPC's headers
//   whatever a callback has done    happens before    the end of the server's shutdown
#include <dlfcn.h>
#include <grpc/grpc.h>
#include <grpcpp/support/server_callback.h>
#include <link.h>
#include <sanitizer/tsan_interface.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>

extern "C" char __executable_start, etext;  // the linker's: where this program's code is

namespace {

bool IsOurs(const void* address) { return address >= &__executable_start && address < &etext; }

template <class Fn>
Fn* Original(const char* name) {
  auto* found = reinterpret_cast<Fn*>(dlsym(RTLD_NEXT, name));
  if (found == nullptr) std::abort();
  return found;
}

char callbacks_have_run;  // its address stands for that

bool IsCode(const void* address) {
  return dl_iterate_phdr(
             [](dl_phdr_info* info, size_t, void* wanted) {
               const auto at = reinterpret_cast<uintptr_t>(wanted) - info->dlpi_addr;
               for (int i = 0; i < info->dlpi_phnum; ++i) {
                 const ElfW(Phdr)& part = info->dlpi_phdr[i];
                 const bool runs = part.p_type == PT_LOAD && (part.p_flags & PF_X) != 0;
                 if (runs && at >= part.p_vaddr && at < part.p_vaddr + part.p_memsz) return 1;
               }
               return 0;
             },
             const_cast<void*>(address)) == 1;
}

// A callback's tag is an object whose first word is the function to call, any other tag's is a
// pointer to data. There are a handful of such functions; each gets a shell around it.
using Callback = void (*)(grpc_completion_queue_functor*, int);
constexpr size_t kCallbacks = 8;
std::atomic<Callback> originals[kCallbacks];

template <size_t kIndex>
void Shell(grpc_completion_queue_functor* tag, int ok) {
  __tsan_acquire(tag);
  originals[kIndex].load()(tag, ok);  // after this, the tag may be gone
  __tsan_release(&callbacks_have_run);
}

constexpr Callback kShells[kCallbacks] = {Shell<0>, Shell<1>, Shell<2>, Shell<3>,
                                          Shell<4>, Shell<5>, Shell<6>, Shell<7>};

Callback ShellOf(Callback callback) {
  for (Callback shell : kShells) {
    if (callback == shell) return shell;
  }
  for (size_t i = 0; i < kCallbacks; ++i) {
    Callback none = nullptr;
    if (originals[i].compare_exchange_strong(none, callback) || none == callback) return kShells[i];
  }
  std::abort();
}

}  // namespace

extern "C" {

grpc_call_error grpc_call_start_batch(grpc_call* call, const grpc_op* ops, size_t count, void* tag,
                                      void* reserved) {
  static auto* const original = Original<decltype(grpc_call_start_batch)>("grpc_call_start_batch");
  auto* callback = static_cast<grpc_completion_queue_functor*>(tag);
  if (IsCode(reinterpret_cast<void*>(callback->functor_run))) {
    callback->functor_run = ShellOf(callback->functor_run);
  }
  __tsan_release(tag);
  return original(call, ops, count, tag, reserved);
}

grpc_event grpc_completion_queue_next(grpc_completion_queue* queue, gpr_timespec deadline,
                                      void* reserved) {
  static auto* const original =
      Original<decltype(grpc_completion_queue_next)>("grpc_completion_queue_next");
  const grpc_event event = original(queue, deadline, reserved);
  if (event.type == GRPC_OP_COMPLETE) __tsan_acquire(event.tag);
  return event;
}

grpc_event grpc_completion_queue_pluck(grpc_completion_queue* queue, void* tag,
                                       gpr_timespec deadline, void* reserved) {
  static auto* const original =
      Original<decltype(grpc_completion_queue_pluck)>("grpc_completion_queue_pluck");
  const grpc_event event = original(queue, tag, deadline, reserved);
  if (event.type == GRPC_OP_COMPLETE) __tsan_acquire(event.tag);
  return event;
}

void grpc_server_destroy(grpc_server* server) {
  static auto* const original = Original<decltype(grpc_server_destroy)>("grpc_server_destroy");
  __tsan_acquire(&callbacks_have_run);
  original(server);
}

// absl::Mutex::Lock and Unlock: as any lock, where code of this program calls them. Locks inside of
// gRPC would order what only gRPC's timing orders.
void LockMutex(void* mutex) asm("_ZN4absl7debian35Mutex4LockEv");
void LockMutex(void* mutex) {
  static auto* const original = Original<void(void*)>("_ZN4absl7debian35Mutex4LockEv");
  original(mutex);
  if (IsOurs(__builtin_return_address(0))) __tsan_acquire(mutex);
}
void UnlockMutex(void* mutex) asm("_ZN4absl7debian35Mutex6UnlockEv");
void UnlockMutex(void* mutex) {
  static auto* const original = Original<void(void*)>("_ZN4absl7debian35Mutex6UnlockEv");
  if (IsOurs(__builtin_return_address(0))) __tsan_release(mutex);
  original(mutex);
}

// grpc::internal::ServerCallbackCall::ScheduleOnDone: always here and now, where the edges lead,
// and not on a thread of gRPC's. A call like any other, to a reactor that holds no lock when it
// calls gRPC.
void ScheduleOnDone(void* call,
                    bool) asm("_ZN4grpc8internal18ServerCallbackCall14ScheduleOnDoneEb");
void ScheduleOnDone(void* call, bool) {
  static auto* const original =
      Original<void(void*, bool)>("_ZN4grpc8internal18ServerCallbackCall14ScheduleOnDoneEb");
  original(call, true);
}

// grpc::internal::ServerCallbackCall::CallOnCancel: likewise. The handler's thread has counted down
// one of the call's atomics when the reactor was ready.
void CallOnCancel(char* call, grpc::internal::ServerReactor* reactor) asm(
    "_ZN4grpc8internal18ServerCallbackCall12CallOnCancelEPNS0_13ServerReactorE");
void CallOnCancel(char* call, grpc::internal::ServerReactor* reactor) {
  for (size_t at = 0; at < sizeof(grpc::internal::ServerCallbackCall); at += sizeof(int)) {
    __tsan_acquire(call + at);
  }
  reactor->OnCancel();
}

}  // extern "C"
