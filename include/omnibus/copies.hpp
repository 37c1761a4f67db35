// SPDX-License-Identifier: MIT
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include <omnibus/detail/wakeup.hpp>
#include <omnibus/message.hpp>
#include <omnibus/result.hpp>
#include <omnibus/time.hpp>

// Delivering again later, where the broker can't do it by itself: a copy goes where it waits, and only
// when the broker has it may the original count as done.

namespace omnibus::detail {

/// The bell of a consumer's thread, and what has become of copies. It outlives the consumer where a
/// publish is still under way. Thread safety: shared objects are safe.
template <class Held>
struct Mailbox {
  struct Copied {
    Held* held;
    bool confirmed;
  };
  Wakeup wakeup;
  std::mutex mutex;
  std::vector<Copied> copied;

  void add(Copied each) {
    {
      std::lock_guard lock{mutex};
      copied.push_back(each);
    }
    wakeup.ring();
  }
  std::vector<Copied> take() {
    std::lock_guard lock{mutex};
    return std::exchange(copied, {});
  }
};

/// The copies of a consumer's deliveries: which are under way, and which have to be sent again.
/// Thread safety: one thread at a time.
template <class Held>
class Copies {
 public:
  /// To be called with the ending of a copy's publish. May outlive everything else.
  auto completion(Held& held) const {
    return [mailbox = mailbox_, &held](const Result<Receipt>& result) {
      mailbox->add({&held, result.has_value()});
    };
  }
  Wakeup& wakeup() const noexcept { return mailbox_->wakeup; }
  /// A wakeup that outlives this.
  std::shared_ptr<Mailbox<Held>> mailbox() const noexcept { return mailbox_; }
  std::vector<typename Mailbox<Held>::Copied> take() const { return mailbox_->take(); }

  /// A copy was not confirmed: it is to be sent again after a while.
  void failed(Held& held, Instant now) { retries_.push_back({&held, now + pause}); }
  Instant next_retry() const noexcept {
    return retries_.empty() ? Instant::max() : retries_.front().due;
  }
  /// Calls `send` for what is due.
  template <class Send>
  void retry(Instant now, Send send) {
    for (; !retries_.empty() && retries_.front().due <= now; retries_.pop_front()) {
      send(*retries_.front().held);
    }
  }

 private:
  static constexpr Duration pause = std::chrono::milliseconds{200};
  struct Retry {
    Held* held;
    Instant due;
  };

  const std::shared_ptr<Mailbox<Held>> mailbox_ = std::make_shared<Mailbox<Held>>();
  std::deque<Retry> retries_;
};

}  // namespace omnibus::detail
