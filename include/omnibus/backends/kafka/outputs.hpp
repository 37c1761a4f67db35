// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include <omnibus/backends/kafka/progress.hpp>
#include <omnibus/message_batch.hpp>

// What the handled records of one partition want published, until the transaction that does it and says that they
// are done. Without I/O.

namespace omnibus::kafka {

/// What fits into one transaction: it ends long before the broker would end it.
struct TransactionRoom {
  std::size_t messages = 10'000;
  std::size_t bytes = 16u << 20;
  bool untouched = true;

  /// Takes room for a batch. The first one always fits.
  bool take(const MessageBatch& batch) noexcept {
    if (!std::exchange(untouched, false) && (batch.size() > messages || batch.bytes() > bytes)) return false;
    messages -= batch.size() < messages ? batch.size() : messages;
    bytes -= batch.bytes() < bytes ? batch.bytes() : bytes;
    return true;
  }
};

/// The outputs of one record.
struct RecordOutputs {
  std::uint64_t number = 0;  ///< of the record, in the partition's progress
  std::int64_t offset = 0;
  MessageBatch batch;
};

/// The outputs of one partition, in the order of its records. Those of a record leave when all records before it are
/// done, so that the offset which a transaction commits says exactly whose outputs it has.
class Outputs {
 public:
  /// What a transaction takes: its outputs, and the offset that says: everything before it is done.
  struct Share {
    std::int64_t offset = 0;
    std::vector<RecordOutputs> outputs;
  };

  /// Those of a record that is done.
  void add(std::uint64_t number, std::int64_t offset, MessageBatch batch) {
    messages_ += batch.size();
    bytes_ += batch.bytes();
    waiting_.insert_or_assign(number, RecordOutputs{number, offset, std::move(batch)});
  }

  std::size_t messages() const noexcept { return messages_; }
  std::size_t bytes() const noexcept { return bytes_; }
  /// True when a transaction would say more than the last one did.
  bool has_news(std::int64_t committable) const noexcept {
    return committable != Progress::none && committable != taken_;
  }

  /// Takes what fits of the records before number `first_open`, all of which are done: `committable` says so.
  /// Nothing when there is no news or no room. Until it is `committed` or `put_back` there is no other.
  std::optional<Share> take(std::uint64_t first_open, std::int64_t committable, TransactionRoom& room) {
    if (!has_news(committable)) return {};
    Share share{committable, {}};
    while (!waiting_.empty() && waiting_.begin()->first < first_open) {
      RecordOutputs& first = waiting_.begin()->second;
      if (!room.take(first.batch)) {
        if (share.outputs.empty()) return {};
        share.offset = share.outputs.back().offset + 1;
        break;
      }
      messages_ -= first.batch.size();
      bytes_ -= first.batch.bytes();
      share.outputs.push_back(std::move(first));
      waiting_.erase(waiting_.begin());
    }
    taken_ = share.offset;
    return share;
  }
  /// The transaction that has the share was committed.
  void committed() noexcept { committed_ = taken_; }
  /// It was aborted: the share waits again.
  void put_back(Share share) {
    taken_ = committed_;
    for (RecordOutputs& each : share.outputs) add(each.number, each.offset, std::move(each.batch));
  }

 private:
  std::map<std::uint64_t, RecordOutputs> waiting_;  // by number
  std::size_t messages_ = 0;
  std::size_t bytes_ = 0;
  std::int64_t taken_ = Progress::none;
  std::int64_t committed_ = Progress::none;
};

}  // namespace omnibus::kafka
