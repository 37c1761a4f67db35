// SPDX-License-Identifier: MIT
#pragma once

#include <pthread.h>

#include <cstddef>
#include <memory>
#include <system_error>
#include <utility>

#include <omnibus/detail/unique_function.hpp>

// A thread whose stack does not depend on the machine's settings.

namespace omnibus::detail {

/// A thread with a stack of 16 MiB, of which only what is touched costs memory. For threads that
/// decode what brokers send: client libraries recurse into nested tables, and a hostile one must not
/// end the process (rabbitmq-c 0.11 needs 3 MiB for the deepest table that fits in a frame).
/// Thread safety: distinct objects: safe.
class DeepThread {
 public:
  DeepThread() = default;
  /// Starts the thread. Throws std::system_error when there is none to be had.
  explicit DeepThread(UniqueFunction<void()> body) {
    auto start = std::make_unique<UniqueFunction<void()>>(std::move(body));
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, stack_size);
    const int failed = pthread_create(&handle_, &attributes, &run, start.get());
    pthread_attr_destroy(&attributes);
    if (failed != 0) throw std::system_error{failed, std::generic_category(), "omnibus: thread"};
    (void)start.release();
    running_ = true;
  }
  DeepThread(DeepThread&& other) noexcept
      : handle_{other.handle_}, running_{std::exchange(other.running_, false)} {}
  /// To be assigned to only when it is not joinable.
  DeepThread& operator=(DeepThread&& other) noexcept {
    handle_ = other.handle_;
    running_ = std::exchange(other.running_, false);
    return *this;
  }
  /// Waits for the thread's end.
  ~DeepThread() {
    if (joinable()) join();
  }

  bool joinable() const noexcept { return running_; }
  /// Waits for the thread's end.
  void join() noexcept {
    pthread_join(handle_, nullptr);
    running_ = false;
  }
  /// True on this thread itself.
  bool is_current() const noexcept {
    return running_ && pthread_equal(handle_, pthread_self()) != 0;
  }

 private:
  static constexpr std::size_t stack_size = 16u << 20;

  static void* run(void* body) {
    const std::unique_ptr<UniqueFunction<void()>> owned{static_cast<UniqueFunction<void()>*>(body)};
    (*owned)();
    return nullptr;
  }

  pthread_t handle_{};
  bool running_ = false;
};

}  // namespace omnibus::detail
