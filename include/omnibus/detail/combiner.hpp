// SPDX-License-Identifier: MIT
#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <vector>

// Callers that come while one of them works share the next batch, so that what a batch costs, such as a
// flush of the disk or a round trip, is paid once for all of them.

namespace omnibus::detail {

/// Thread safety: shared objects are safe.
template <class Request>
class Combiner {
 public:
  using Batch = std::vector<Request*>;

  /// Blocks until the request is done. `work(batch)` does the requests of all who wait by then, in the order
  /// in which they came; one caller at a time, on its own thread.
  template <class Work>
  void carry_out(Request& request, Work work) {
    static_assert(noexcept(work(batch_)), "nobody would wake the others");
    Caller self{&request, false};
    std::unique_lock lock{mutex_};
    waiting_.push_back(&self);
    std::condition_variable& signal = signals_[next_ % 2];
    while (!self.done) {
      if (busy_) {
        signal.wait(lock);
      } else {
        lead(lock, work);
      }
    }
  }

 private:
  struct Caller {
    Request* request;
    bool done;
  };

  template <class Work>
  void lead(std::unique_lock<std::mutex>& lock, Work& work) {
    batch_.clear();
    for (const Caller* each : waiting_) batch_.push_back(each->request);
    busy_ = true;
    working_.swap(waiting_);
    std::condition_variable& theirs = signals_[next_++ % 2];
    lock.unlock();
    work(batch_);
    lock.lock();
    for (Caller* each : working_) each->done = true;
    working_.clear();
    busy_ = false;
    theirs.notify_all();
    if (!waiting_.empty()) signals_[next_ % 2].notify_one();  // who leads next
  }

  std::mutex mutex_;
  std::vector<Caller*> waiting_;  // of batch `next_`
  std::vector<Caller*> working_;
  Batch batch_;
  std::size_t next_ = 0;
  std::condition_variable signals_[2];  // of those of even batches, and of odd ones
  bool busy_ = false;
};

}  // namespace omnibus::detail
