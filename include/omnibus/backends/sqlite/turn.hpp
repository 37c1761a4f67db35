// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <omnibus/backends/sqlite/shares.hpp>
#include <omnibus/detail/wakeup.hpp>
#include <omnibus/result.hpp>
#include <omnibus/subscription_spec.hpp>

// What a consumer asks the writing thread for, and what it answers.

namespace omnibus::sqlite {

/// What a consumer is. Does not change.
struct Plan {
  std::string topic;
  std::string group;  ///< empty: a reader of its own
  Start start;
  bool reads_only = false;  ///< takes nothing: a reader, or one who looks at a group
  bool picks = false;       ///< what it releases stays aside until it has left
  std::int64_t member = 0;  ///< its name among those of its group
};

/// Where a topic and a group stand in the file.
struct Place {
  std::int64_t first = 0;  ///< the partition of shard 0
  std::int32_t shards = 0;
  std::int64_t group = 0;
};

/// A message that is not done, apart from the cursor.
struct LeftChange {
  std::uint64_t position = 0;
  std::int64_t due = 0;
  std::uint32_t attempts = 0;
  bool gone = false;  ///< it is done now
};

/// What has become of a shard.
struct ShareChange {
  std::int32_t shard = 0;
  std::int64_t fence = 0;
  std::uint64_t cursor = 0;
  std::uint64_t seen = 0;
  bool give_up = false;
  std::vector<LeftChange> left;
  bool lost = false;  ///< the answer: it has another owner, and nothing was changed
};

/// One turn of a consumer: all of it happens in one transaction, or nothing does.
/// Thread safety: the asker's until it is posted, the writing thread's until `finished`.
struct Turn {
  std::shared_ptr<const Plan> plan;
  std::shared_ptr<detail::Wakeup> asker;  ///< is rung at the end
  bool join = false;                      ///< finds or makes the topic and the group
  bool tend = false;                      ///< shows a sign of life, and divides the shards
  bool move = false;                      ///< moves what is due into the log
  bool care = false;                      ///< removes what nobody needs
  bool leave = false;
  std::vector<ShareChange> shares;

  Result<> result;
  Place place;                        ///< of `join`, kept for the next ones
  std::vector<ShareRow> taken;        ///< of `tend`: they are the asker's now; of a reader: where it begins
  std::vector<std::int32_t> give_up;  ///< of `tend`: they are to go to others
  bool waits = false;                 ///< of `tend`
  std::int64_t members = 0;           ///< of `tend`
  bool start_lost = false;            ///< of `join`
  std::atomic<bool> finished{false};
};

}  // namespace omnibus::sqlite
