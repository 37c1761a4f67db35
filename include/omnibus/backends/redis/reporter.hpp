// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <omnibus/backend.hpp>
#include <omnibus/backends/redis/stream_id.hpp>
#include <omnibus/error.hpp>

// What a consumer says of itself.

namespace omnibus::redis {

/// Thread safety: one thread at a time.
class Reporter {
 public:
  explicit Reporter(std::string topic) : topic_{std::move(topic)} {}

  bool registered() const noexcept { return registered_; }
  /// Something is wrong. Nobody hears of it who does not poll: `intake` is nullptr.
  void tell(Intake* intake, const Error& problem) {
    registered_ = false;
    if (intake == nullptr) return;
    Error told = problem;
    told.operation = "subscribe " + topic_;
    if (!problem.operation.empty()) told.context = problem.operation + ": " + problem.context;
    intake->report(&told);
  }
  /// Messages can come.
  void well(Intake* intake) {
    if (registered_ || intake == nullptr) return;
    registered_ = true;
    intake->report(nullptr);
  }
  /// There is another connection.
  void begin() noexcept { registered_ = false; }

 private:
  const std::string topic_;
  bool registered_ = false;
};

namespace problems {

/// Entries were deleted that were still to be handled.
inline Error gone(std::int64_t count, const std::string& stream) {
  return Error::make(Errc::position_lost, "",
                     std::to_string(count) + " entries of \"" + stream +
                         "\" have been deleted before they were finished");
}
/// Entries were deleted that the group had not read.
inline Error dropped(std::int64_t count, const std::string& stream) {
  return Error::make(
      Errc::position_lost, "",
      std::to_string(count) + " entries of \"" + stream + "\" were dropped before they were read");
}
inline Error too_large(Position id, const std::string& stream) {
  const IdText text{id};
  return Error::make(Errc::too_large, "",
                     "entry " + std::string{std::string_view{text}} + " of \"" + stream +
                         "\" is too large, and is passed over");
}
/// The server came back without the group.
inline Error forgotten() {
  return Error::make(Errc::position_lost, "",
                     "the server has lost the group and what was in its streams; the group begins anew");
}
/// Nobody listened for a while.
inline Error missed(std::int64_t ms, const std::string& why) {
  return Error::make(Errc::position_lost, "",
                     "messages may have been missed for " + std::to_string(ms) + " ms: " + why);
}
inline Error shards(std::int64_t there, std::size_t ours) {
  return Error::make(Errc::topology_mismatch, "",
                     "the topic has " + std::to_string(there) + " shards, and .shards says " +
                         std::to_string(ours));
}

}  // namespace problems

}  // namespace omnibus::redis
