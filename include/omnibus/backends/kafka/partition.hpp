// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <queue>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/backends/kafka/client.hpp>
#include <omnibus/backends/kafka/outputs.hpp>
#include <omnibus/backends/kafka/progress.hpp>
#include <omnibus/backends/kafka/record.hpp>
#include <omnibus/backends/kafka/refill.hpp>
#include <omnibus/headers.hpp>
#include <omnibus/message.hpp>

// One partition that is assigned to us, and its records.

namespace omnibus::kafka {

struct Partition;

/// A record that has come and is not settled. Kept and used again, with its memory.
struct Held {
  MessageView message;
  Partition* partition = nullptr;
  std::uint64_t number = 0;  ///< in the partition's progress
  std::int64_t offset = 0;
  std::int64_t due = 0;
  std::uint32_t attempts = 0;
  std::string_view meant_for;  ///< a group; empty: for all
  rd_kafka_message_t* raw = nullptr;
  std::string own, envelope, headers, scratch;  ///< what the message shows besides key and payload of `raw`
  Held* next = nullptr;

  /// Takes the record, and reads of it what costs nothing.
  void take(rd_kafka_message_t* record) {
    raw = record;
    offset = record->offset;
    due = 0;
    attempts = 0;
    meant_for = {};
    message = {};
    message.key = {static_cast<const char*>(record->key), record->key_len};
    message.payload = {static_cast<const char*>(record->payload), record->len};
    rd_kafka_timestamp_type_t type{};
    message.time = from_ms(rd_kafka_message_timestamp(record, &type));
  }
  /// To be called when it is no longer needed: does not hold on to unusual amounts of memory.
  void release() noexcept {
    for (std::string* each : {&envelope, &headers, &scratch}) {
      if (each->capacity() > 64 * 1024) std::string{}.swap(*each);
    }
  }
  /// Reads the rest, which stands in headers: librdkafka takes them apart when they are first asked for,
  /// at about the cost of all else. Whatever a foreign or hostile producer put in, it costs this record
  /// alone. Thread safety: of one record from one thread at a time.
  void complete() {
    if (!message.id.empty()) return;  // it is
    headers.clear();
    rd_kafka_headers_t* found = nullptr;
    if (rd_kafka_message_detach_headers(raw, &found) == RD_KAFKA_RESP_ERR_NO_ERROR) {
      // Copied and let go here: memory that one thread takes and another one gives back costs both a lock.
      const std::unique_ptr<rd_kafka_headers_t, LetGo> owned{found};
      read(found);
    }
    if (message.id.empty()) message.id = place();
  }

 private:
  struct LetGo {
    void operator()(rd_kafka_headers_t* each) const noexcept { rd_kafka_headers_destroy(each); }
  };

  /// A foreign record is known by its place, which is the same whenever it comes.
  std::string_view place();
  void read(rd_kafka_headers_t* found) {
    const char* name = nullptr;
    const void* value = nullptr;
    std::size_t size = 0;
    for (std::size_t i = 0; rd_kafka_header_get_all(found, i, &name, &value, &size) == 0; ++i) {
      const std::string_view text{static_cast<const char*>(value), value != nullptr ? size : 0};
      if (name != own_header) {
        append_header(name, text);
        continue;
      }
      envelope.assign(text);
      const Envelope says = parse_envelope(envelope, scratch);
      message.id = says.id;
      message.type = says.type;
      message.sequence = says.sequence;
      due = says.due;
      attempts = says.attempts;
      meant_for = says.group;
    }
    message.headers = HeadersView{headers};
  }
  /// As Headers would.
  void append_header(std::string_view name, std::string_view value) {
    for (const std::size_t size : {name.size(), value.size()}) {
      const auto small = static_cast<std::uint32_t>(size);
      char bytes[sizeof small];
      __builtin_memcpy(bytes, &small, sizeof small);
      headers.append(bytes, sizeof bytes);
    }
    headers.append(name).append(value);
  }
};

/// A partition while it is ours, and afterwards until its last record is settled.
struct Partition {
  static constexpr std::uint64_t never = ~std::uint64_t{0};
  /// What is done of it is to be committed.
  bool counts() const noexcept { return assigned && !gone; }
  /// Something is to be committed.
  bool has_news() const noexcept {
    return counts() && progress.committable() != Progress::none && progress.finished() != committed;
  }

  struct DueLater {
    bool operator()(const Held* a, const Held* b) const noexcept { return a->due > b->due; }
  };

  const std::string* topic = nullptr;  ///< as Kafka names it
  bool waits = false;                  ///< its messages wait until they are due
  std::int32_t number = 0;             ///< in its topic
  std::int32_t id = 0;                 ///< among all of the subscription
  std::uint64_t incarnation = 0;       ///< another one each time it becomes ours
  Queue queue;
  Taken taken;
  Progress progress;
  Outputs outputs;                         ///< of records that are done, where these are transactional
  std::uint64_t committed = never;         ///< how many were done when we last committed
  std::uint64_t committing = 0;            ///< and at the commit that is under way
  bool plain = false;                      ///< the broker takes no marks
  std::int64_t expected = Progress::none;  ///< the offset that should come next; none: any
  std::size_t held = 0;                    ///< records that are not settled
  bool assigned = true;
  bool recorded = false;  ///< the group has committed an offset of this log
  bool gone = false;      ///< the log is; under its name there is another one, or none
  std::priority_queue<Held*, std::vector<Held*>, DueLater> waiting;  ///< what is due first is on top
};

inline std::string_view Held::place() {
  own.assign(*partition->topic).append("/").append(std::to_string(raw->partition));
  return own.append("/").append(std::to_string(offset));
}

/// Where records that have come are kept.
class HeldPool {
 public:
  Held& take() {
    if (free_ == nullptr) {
      all_.emplace_back();
      return all_.back();
    }
    return *std::exchange(free_, free_->next);
  }
  /// It is settled.
  void give_back(Held& held) noexcept {
    rd_kafka_message_destroy(std::exchange(held.raw, nullptr));
    held.release();
    --held.partition->held;
    held.next = std::exchange(free_, &held);
  }
  /// Whatever is still kept is let go.
  void clear() noexcept {
    for (Held& each : all_) {
      if (each.raw != nullptr) rd_kafka_message_destroy(std::exchange(each.raw, nullptr));
    }
  }

 private:
  std::deque<Held> all_;
  Held* free_ = nullptr;
};

}  // namespace omnibus::kafka
