// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <omnibus/backends/rabbitmq/frames.hpp>

// Which deliveries of one channel are done, and which acknowledgements that makes. A small state
// machine without I/O.

namespace omnibus::rabbitmq {

/// The deliveries of one channel, whose tags count from 1.
class Settled {
 public:
  /// Begins anew, for a new channel.
  void reset() {
    done_.clear();
    base_ = 1;
    watermark_ = 0;
    unsent_ = 0;
    in_prefix_ = 0;
    stuck_ = false;
  }

  /// This delivery is done and may be acknowledged.
  void done(std::uint64_t tag) {
    const auto index = static_cast<std::size_t>(tag - base_);
    if (index >= done_.size()) done_.resize(index + 1, State::open);
    done_[index] = State::done;
    ++unsent_;
    advance();
  }

  /// The first delivery that is not done.
  std::uint64_t first_open() const noexcept { return base_; }
  /// How many are done and not acknowledged.
  std::size_t unsent() const noexcept { return unsent_; }

  /// Appends acknowledgements: one for everything up to the first delivery that is not done. What
  /// lies behind such a delivery is acknowledged one by one, but only when that delivery has not moved
  /// since the last call, so that messages handled in parallel cost one frame and a slow one does not
  /// use up the prefetch. `all`: now, whatever has moved. Never more than a few frames: a channel of
  /// RabbitMQ keeps back what a quorum queue has not applied yet when that is 32 of them
  /// (rabbit_fifo_client, soft limit), and drops that when it is closed.
  void acknowledge(std::string& out, std::uint16_t channel, bool all = false) {
    if (unsent_ == 0) return;
    if (in_prefix_ > 0) {
      // RabbitMQ refuses a tag that it no longer waits for: the highest that was not sent alone.
      append_ack(out, channel, watermark_, true);
      unsent_ -= in_prefix_;
      in_prefix_ = 0;
      stuck_ = false;
    }
    if (!all && !std::exchange(stuck_, unsent_ > 0)) return;
    std::size_t frames = 1;
    for (std::size_t i = 0; i < done_.size() && frames < most_frames; ++i) {
      if (done_[i] != State::done) continue;
      ++frames;
      append_ack(out, channel, base_ + i, false);
      done_[i] = State::acknowledged;
      --unsent_;
    }
  }

 private:
  static constexpr std::size_t most_frames = 12;
  enum class State : std::uint8_t { open, done, acknowledged };

  void advance() {
    std::size_t moved = 0;
    while (moved < done_.size() && done_[moved] != State::open) {
      if (done_[moved] == State::done) {
        ++in_prefix_;
        watermark_ = base_ + moved;
      }
      ++moved;
    }
    if (moved == 0) return;
    base_ += moved;
    done_.erase(done_.begin(), done_.begin() + static_cast<std::ptrdiff_t>(moved));
  }

  std::vector<State> done_;  // of the tags from base_ on
  std::uint64_t base_ = 1;   // everything before it is done
  std::uint64_t watermark_ = 0;  // the last done one before base_
  std::size_t unsent_ = 0;
  std::size_t in_prefix_ = 0;  // of those, how many lie before base_
  bool stuck_ = false;
};

}  // namespace omnibus::rabbitmq
