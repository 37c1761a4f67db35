// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <omnibus/backends/kafka/client.hpp>
#include <omnibus/backends/kafka/partition.hpp>
#include <omnibus/backends/kafka/tiers.hpp>
#include <omnibus/detail/smaller.hpp>

// The partitions that are ours: which records of them are unsettled, and what may be committed. No I/O.

namespace omnibus::kafka {

/// Partitions of a topic, and of the topics in which its messages wait. One that was taken away stays
/// until its last record is settled.
class Assignment {
 public:
  explicit Assignment(const std::string& topic) : topics_{topic} {
    for (std::size_t tier = 0; tier < tiers.size(); ++tier) topics_.push_back(later_topic(topic, tier));
  }
  ~Assignment() {
    for (Partition& each : partitions_) each.queue.reset();
    held_.clear();
  }
  Assignment(const Assignment&) = delete;

  /// The topic, and those in which its messages wait, by tier.
  const std::vector<std::string>& topics() const noexcept { return topics_; }

  auto begin() const noexcept { return partitions_.begin(); }
  auto end() const noexcept { return partitions_.end(); }
  auto begin() noexcept { return partitions_.begin(); }
  auto end() noexcept { return partitions_.end(); }
  /// The partition, where it is ours.
  Partition* find(const rd_kafka_topic_partition_t& what) noexcept {
    for (Partition& each : partitions_) {
      if (each.assigned && each.number == what.partition && *each.topic == what.topic) return &each;
    }
    return nullptr;
  }

  /// Likewise, of those that became ours at one time.
  Partition* find(std::uint64_t incarnation) noexcept {
    for (Partition& each : partitions_) {
      if (each.assigned && each.incarnation == incarnation) return &each;
    }
    return nullptr;
  }

  std::vector<Partition*> all_ours() {
    std::vector<Partition*> ours;
    for (Partition& each : partitions_) {
      if (each.assigned) ours.push_back(&each);
    }
    return ours;
  }
  /// Whether records of partitions that were taken away are unsettled.
  bool has_leavers() const noexcept {
    for (const Partition& each : partitions_) {
      if (!each.assigned) return true;
    }
    return false;
  }

  /// Partitions become ours, each from its offset on. `queue_of(partition)` is where its records come.
  template <class QueueOf>
  void add(const rd_kafka_topic_partition_list_t& list, QueueOf queue_of) {
    std::int32_t most = 0;
    for (int i = 0; i < list.cnt; ++i) {
      most = omnibus::detail::larger(most, list.elems[i].partition + 1);
    }
    // Numbers among all of the subscription stay as they are while any is in use.
    if (partitions_.empty()) {
      while (stride_ < most * 2) stride_ *= 2;
    }
    for (int i = 0; i < list.cnt; ++i) add_one(list.elems[i], queue_of(list.elems[i]));
  }

  /// All of these partitions, from where each of them is; those that were `added`, from their offsets.
  Offsets all_again(const rd_kafka_topic_partition_list_t& all,
                    const rd_kafka_topic_partition_list_t& added) noexcept {
    Offsets whole = new_offsets();
    for (int i = 0; i < all.cnt; ++i) {
      const auto& each = all.elems[i];
      auto* one = rd_kafka_topic_partition_list_add(whole.get(), each.topic, each.partition);
      const auto* fresh = rd_kafka_topic_partition_list_find(
          const_cast<rd_kafka_topic_partition_list_t*>(&added), each.topic, each.partition);
      if (fresh != nullptr) {
        one->offset = fresh->offset;
      } else {
        const Partition* known = find(each);
        one->offset =
            known->expected != Progress::none ? known->expected : RD_KAFKA_OFFSET_BEGINNING;
      }
    }
    return whole;
  }

  /// A partition is no longer ours.
  void remove(Partition& partition) {
    partition.queue.reset();
    partition.assigned = false;
    reap();
  }

  /// A record has come.
  Held& hold(Partition& partition) {
    Held& held = held_.take();
    held.partition = &partition;
    ++partition.held;
    return held;
  }
  /// It is settled.
  void finish(Held& held, bool done) {
    Partition& partition = *held.partition;
    if (done) partition.progress.done(held.number);
    held_.give_back(held);
    if (!partition.assigned && partition.held == 0) reap();
  }

  // ── commits ────────────────────────────────────────────────────────────────────────────────────

  bool needs_commit() const noexcept {
    for (const Partition& each : partitions_) {
      if (each.has_news()) return true;
    }
    return false;
  }
  /// Where there is something to commit: all partitions of which the group has committed an offset.
  template <class HasNews>
  Offsets recorded(HasNews has_news) const {
    Offsets found = new_offsets();
    if (std::none_of(partitions_.begin(), partitions_.end(), has_news)) return found;
    for (const Partition& each : partitions_) {
      if (each.recorded && each.counts()) {
        rd_kafka_topic_partition_list_add(found.get(), each.topic->c_str(), each.number);
      }
    }
    return found;
  }
  /// The broker says what the group has committed of those. It removes that together with a topic, and never else while
  /// a group has members: where nothing is left of one partition, all logs of the topic are gone, and what is done of
  /// them is not to be committed.
  void note_recorded(const rd_kafka_topic_partition_list_t& list) noexcept {
    for (int i = 0; i < list.cnt; ++i) {
      const Partition* missed = find(list.elems[i]);
      if (missed == nullptr || !missed->recorded || list.elems[i].offset >= 0) continue;
      remade_ = true;
      for (Partition& each : partitions_) each.gone |= each.topic == missed->topic;
    }
  }
  /// Whether a log of ours went away, ever.
  bool remade() const noexcept { return remade_; }
  /// What is wrong with those that are ours: a log is gone.
  std::optional<Error> problem() const {
    for (const Partition& each : partitions_) {
      if (!each.assigned || !each.gone) continue;
      return Error::make(Errc::position_lost, "",
                         "topic \"" + *each.topic + "\" was deleted; made again, it is read from its beginning");
    }
    return {};
  }

  /// What is done and not committed. Marks it as being committed.
  Offsets uncommitted() {
    Offsets offsets = new_offsets();
    for (Partition& each : partitions_) {
      if (!each.has_news()) continue;
      each.committing = each.progress.finished();
      auto& added = *rd_kafka_topic_partition_list_add(offsets.get(), each.topic->c_str(), each.number);
      added.offset = each.progress.committable();
      if (!each.plain) set_metadata(added, each.progress.marks().text());
    }
    return offsets;
  }
  /// The broker's answer to a commit.
  void note_committed(rd_kafka_resp_err_t all, const rd_kafka_topic_partition_list_t& list) noexcept {
    for (int i = 0; i < list.cnt; ++i) {
      Partition* partition = find(list.elems[i]);
      if (partition == nullptr) continue;
      const auto code = list.elems[i].err;
      partition->plain |= code == RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE;
      // Where one fails, `all` may be its error.
      if (all == RD_KAFKA_RESP_ERR_NO_ERROR && code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        partition->committed = partition->committing;
        partition->recorded = true;
      }
    }
  }

 private:
  void add_one(const rd_kafka_topic_partition_t& what, Queue queue) {
    Partition& added = partitions_.emplace_back();
    std::size_t kind = topics_.size();
    while (kind > 0 && topics_[--kind] != what.topic) {
    }
    added.topic = &topics_[kind];
    added.waits = kind > 0;
    added.number = what.partition;
    added.incarnation = ++incarnations_;
    added.recorded = is_recorded(what);
    added.id = what.partition + static_cast<std::int32_t>(kind) * stride_;
    if (what.offset >= 0) {
      const std::string_view marks{static_cast<const char*>(what.metadata), what.metadata_size};
      added.progress = Progress{what.offset, {what.offset, marks}};
      added.expected = what.offset;
    }
    added.queue = std::move(queue);
  }
  void reap() {
    partitions_.remove_if([](const Partition& each) { return !each.assigned && each.held == 0; });
  }

  std::vector<std::string> topics_;
  std::list<Partition> partitions_;
  HeldPool held_;
  std::uint64_t incarnations_ = 0;
  bool remade_ = false;
  std::int32_t stride_ = 64;  // from one topic's numbers to the next one's
};

}  // namespace omnibus::kafka
