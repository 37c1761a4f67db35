// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <span>
#include <utility>

#include <omnibus/backend.hpp>
#include <omnibus/backends/redis/group_consumer.hpp>
#include <omnibus/backends/redis/log_consumer.hpp>

// One subscription: a member of a group, or a reader of its own.

namespace omnibus::redis {

/// Thread safety: one thread, the dispatcher's, but for `wake`.
class StreamsConsumer {
 public:
  StreamsConsumer(const ConnectOptions& connect, GroupPlan plan) {
    member_.emplace(connect, std::move(plan));
  }
  StreamsConsumer(const ConnectOptions& connect, LogPlan plan) {
    reader_.emplace(connect, std::move(plan));
  }
  StreamsConsumer(const StreamsConsumer&) = delete;

  void poll(Intake& intake, Instant until) {
    member_ ? member_->poll(intake, until) : reader_->poll(intake, until);
  }
  void settle(std::span<const Settlement> settlements) {
    member_ ? member_->settle(settlements) : reader_->settle(settlements);
  }
  void wake() { member_ ? member_->wake() : reader_->wake(); }
  Result<> close(Instant until) { return member_ ? member_->close(until) : reader_->close(until); }

 private:
  std::optional<GroupConsumer> member_;
  std::optional<LogConsumer> reader_;
};

}  // namespace omnibus::redis
