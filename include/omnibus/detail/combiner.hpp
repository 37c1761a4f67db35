// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <mutex>
#include <vector>

#include <omnibus/detail/milestone.hpp>

// Callers that come while one of them works share the next batch, so that what a batch costs, such as a
// flush of the disk or a round trip, is paid once for all of them.

namespace omnibus::detail {

/// Thread safety: shared objects are safe.
template <class Request>
class Combiner {
 public:
  using Batch = std::vector<Request*>;

  /// Blocks until the request is done. `work(batch)` does the requests of all who wait by then, in the order
  /// in which they came; one caller at a time, on its own thread: the first one of its batch.
  template <class Work>
  void carry_out(Request& request, Work work) {
    static_assert(noexcept(work(batch_)), "nobody would wake the others");
    std::unique_lock lock{mutex_};
    waiting_.push_back(&request);
    const std::uint32_t mine = gathering_;
    if (busy_) {
      const bool leads = waiting_.size() == 1;
      lock.unlock();
      if (!leads) return done_[mine % 2].wait(mine + 1);
      turn_.wait(mine);
      lock.lock();
    }
    busy_ = true;
    batch_.swap(waiting_);
    ++gathering_;
    lock.unlock();
    work(batch_);
    lock.lock();
    const bool shared = batch_.size() > 1, goes_on = !waiting_.empty();
    batch_.clear();
    busy_ = goes_on;
    turn_.reach(mine + 1);
    done_[mine % 2].reach(mine + 1);
    lock.unlock();
    if (goes_on) turn_.wake();
    if (shared) done_[mine % 2].wake();
  }

 private:
  std::mutex mutex_;
  Batch waiting_;  // of batch `gathering_`
  Batch batch_;    // of the one who works
  std::uint32_t gathering_ = 0;
  bool busy_ = false;  // someone works, or is about to: the first one who waits
  Milestone turn_;     // the batch whose first one may work
  Milestone done_[2];  // one more than the last even batch that is done, and than the last odd one
};

}  // namespace omnibus::detail
