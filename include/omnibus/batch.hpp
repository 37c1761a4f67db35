// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

#include <omnibus/delivery.hpp>
#include <omnibus/handler.hpp>
#include <omnibus/result.hpp>
#include <omnibus/time.hpp>

// Handlers of several messages at once: for what costs as much for one as for a hundred, such as a
// transaction.

namespace omnibus {

/// What bounds a batch. The first message waits for others until one of these is reached.
struct BatchOptions {
  std::size_t count = 64;     ///< messages
  std::size_t bytes = 0;      ///< of payloads; 0: any number. A larger message is a batch of its own
  Duration time = std::chrono::milliseconds{5};  ///< on the machine's clock
};

/// Messages that are handled together. Each is settled on its own.
/// Thread safety: one thread at a time. Lifetime: until the handler returns.
class Batch {
 public:
  std::size_t size() const noexcept { return parts_.size(); }
  const Delivery& operator[](std::size_t index) const noexcept { return *parts_[index]->delivery; }
  /// Fails one message; those that are not failed are handled. What is returned or thrown by the handler
  /// fails all of them.
  void fail(std::size_t index, Error error) { parts_[index]->result = std::move(error); }

 private:
  template <class H>
  friend class BatchHandler;

  struct Part {
    const Delivery* delivery;
    Result<> result{};
  };
  std::vector<Part*> parts_;
  std::size_t bytes_ = 0;
  bool closed_ = false;
  bool done_ = false;
  std::condition_variable signal_;
};

/// The handler that `in_batches` makes. Copies share their batches.
template <class H>
class BatchHandler {
 public:
  /// Throws std::invalid_argument.
  BatchHandler(H handler, BatchOptions options) : shared_{std::make_shared<Shared>(std::move(handler), options)} {
    if (options.count < 1) throw std::invalid_argument{"omnibus: in_batches: count must be at least 1"};
    if (options.time < Duration::zero()) {
      throw std::invalid_argument{"omnibus: in_batches: time must not be negative"};
    }
  }

  Result<> operator()(const Delivery& delivery) const { return shared_->handle(delivery); }

 private:
  class Shared {
   public:
    Shared(H handler, BatchOptions options) : handler_{std::move(handler)}, options_{options} {}

    Result<> handle(const Delivery& delivery) {
      Batch::Part mine{&delivery};
      const std::size_t bytes = delivery.payload().size();
      std::unique_lock lock{mutex_};
      if (open_ && options_.bytes != 0 && open_->bytes_ + bytes > options_.bytes) close();
      const bool leads = !open_;
      const std::shared_ptr<Batch> batch = leads ? std::make_shared<Batch>() : open_;
      batch->parts_.push_back(&mine);
      open_ = batch;
      batch->bytes_ += bytes;
      const bool full = batch->parts_.size() >= options_.count ||
                        (options_.bytes != 0 && batch->bytes_ >= options_.bytes);
      if (full) close();
      if (leads) {
        lead(*batch, lock);
      } else {
        batch->signal_.wait(lock, [&] { return batch->done_; });
      }
      return std::move(mine.result);
    }

   private:
    /// No more go into the open batch. Who leads it hears of it.
    void close() {
      open_->closed_ = true;
      open_->signal_.notify_all();
      open_.reset();
    }

    void lead(Batch& batch, std::unique_lock<std::mutex>& lock) {
      const Instant until = after(std::chrono::steady_clock::now(), options_.time);
      if (!batch.signal_.wait_until(lock, until, [&] { return batch.closed_; })) close();
      lock.unlock();
      const Result<> result = detail::call_handler(handler_, batch);
      lock.lock();
      if (!result) {
        for (Batch::Part* each : batch.parts_) each->result = result.error();
      }
      batch.done_ = true;
      batch.signal_.notify_all();
    }

    H handler_;
    const BatchOptions options_;
    std::mutex mutex_;
    std::shared_ptr<Batch> open_;
  };

  std::shared_ptr<Shared> shared_;
};

/// A handler of several messages at once: `handler(Batch&)`, which returns nothing or a Result<>. It runs on the
/// subscription's workers, each of which waits with one message: give the subscription a concurrency of at
/// least `count`. Several batches may run at once. Stages around it treat each message by itself, so that one
/// that fails is tried again without the others.
/// Order: of one key, since its messages follow one another: no two of a key are in one batch.
///
///     bus.subscribe("orders", ob::in_batches(insert_all, {.count = 100}) | ob::retry({}), {.concurrency = 100});
template <class H>
auto in_batches(H&& handler, BatchOptions options = {}) {
  using Handler = std::decay_t<H>;
  constexpr bool callable = std::is_invocable_v<Handler&, Batch&>;
  static_assert(callable, "omnibus: this is no handler of batches. Write a callable with a parameter omnibus::Batch&");
  if constexpr (callable) {
    using R = std::invoke_result_t<Handler&, Batch&>;
    constexpr bool returns = std::is_void_v<R> || std::is_same_v<R, Result<>>;
    static_assert(returns, "omnibus: a handler of batches returns void or omnibus::Result<>");
    if constexpr (returns) return BatchHandler<Handler>{std::forward<H>(handler), options};
  } else {
    return [](const Delivery&) {};
  }
}

}  // namespace omnibus
