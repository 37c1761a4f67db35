// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <omnibus/clock.hpp>
#include <omnibus/event_store/checkpoint.hpp>
#include <omnibus/event_store/decide.hpp>
#include <omnibus/event_store/store.hpp>

// Events in memory: for tests, for programs that need no more than a process, and as the plainest example of
// what a store is.

namespace omnibus {

/// What bounds a MemoryEventStore.
struct MemoryEventStoreOptions {
  std::size_t max_bytes = std::size_t{1} << 30;  ///< of events that are kept, beside what finds them again
  event_store::Limits limits{};
  const Clock* clock = nullptr;                  ///< nullptr: the machine's
};

/// An EventStore for one process. Full, it refuses appends with `unavailable` until streams are truncated or
/// deleted. An event that was erased leaves its id and a few hundred bytes.
/// Thread safety: shared objects are safe. Blocking: for a page that another thread reads. Complexity: reads
/// of a stream, a category or by tags cost what they look at, not what the store holds.
class MemoryEventStore {
 public:
  static constexpr EventStoreCapabilities capabilities{
      .name = "memory", .conditions = true, .snapshots = true, .checkpoints = true};

  explicit MemoryEventStore(MemoryEventStoreOptions options = {})
      : max_bytes_{options.max_bytes},
        limits_{options.limits},
        clock_{options.clock != nullptr ? options.clock : &machine_} {
    if (max_bytes_ == 0) throw std::invalid_argument{"omnibus: MemoryEventStore: max_bytes must be positive"};
  }
  MemoryEventStore(const MemoryEventStore&) = delete;
  MemoryEventStore& operator=(const MemoryEventStore&) = delete;

  Result<Appended> append(std::span<const StreamAppend> batch) { return append(batch, nullptr); }
  Result<Appended> append_if(std::span<const StreamAppend> batch, const AppendCondition& condition) {
    return append(batch, &condition);
  }

  Result<StreamRead> read_stream(std::string_view name, const ReadRange& range, EventPage& page) {
    page.clear();
    std::lock_guard lock{mutex_};
    const auto found = streams_.find(name);
    if (found == streams_.end()) return StreamRead{{}, 1, true};
    const Stream& stream = found->second;
    const StreamState& state = stream.state;
    const bool forwards = range.direction == Direction::forwards;
    std::uint64_t at = forwards ? std::max(range.from.value_or(1), state.first)
                                : std::min(range.from.value_or(UINT64_MAX), state.version);
    const auto is_inside = [&] { return at >= state.first && at <= state.version; };
    for (; is_inside() && has_room(page, range); forwards ? ++at : --at) {
      page.add(record(stream.positions[at - 1]).event);
    }
    return StreamRead{state, at, !is_inside()};
  }

  Result<StoreRead> read_category(std::string_view category, const EventQuery& query, const ReadRange& range,
                                  EventPage& page) {
    return read(&category, query, range, page);
  }
  Result<StoreRead> read_all(const EventQuery& query, const ReadRange& range, EventPage& page) {
    return read(nullptr, query, range, page);
  }

  Result<std::optional<Placed>> locate(std::string_view id) {
    std::lock_guard lock{mutex_};
    const auto found = ids_.find(id);
    return found == ids_.end() ? std::nullopt : std::optional{found->second.placed};
  }

  Result<> truncate(std::string_view stream, std::uint64_t before) {
    std::lock_guard lock{mutex_};
    return become(stream, event_store::decide_truncate(stream, state(stream), before));
  }
  Result<> soft_delete(std::string_view stream, ExpectedVersion expected) {
    return erase(stream, expected, StreamState::Kind::deleted);
  }
  Result<> tombstone(std::string_view stream, ExpectedVersion expected) {
    if (Result<> checked = event_store::check_stream_name(stream, limits_); !checked) return checked;
    return erase(stream, expected, StreamState::Kind::tombstoned);
  }

  bool wait_beyond(std::uint64_t position, Instant until) {
    std::unique_lock lock{mutex_};
    return appended_.wait_until(lock, until, [&] { return records_.size() > position; });
  }

  Result<bool> save_snapshot(std::string_view stream, std::string_view schema, const Snapshot& snapshot) {
    std::lock_guard lock{mutex_};
    const auto found = streams_.find(stream);
    if (found == streams_.end() || !event_store::is_usable_snapshot(found->second.state, snapshot.version)) {
      return false;
    }
    Snapshot& kept = found->second.snapshots[std::string{schema}];
    if (snapshot.version < kept.version) return false;
    kept = snapshot;
    return true;
  }
  Result<std::optional<Snapshot>> load_snapshot(std::string_view stream, std::string_view schema) {
    std::lock_guard lock{mutex_};
    const auto found = streams_.find(stream);
    if (found == streams_.end()) return std::optional<Snapshot>{};
    const auto kept = found->second.snapshots.find(schema);
    if (kept == found->second.snapshots.end() ||
        !event_store::is_usable_snapshot(found->second.state, kept->second.version)) {
      return std::optional<Snapshot>{};
    }
    return std::optional{kept->second};
  }
  Result<> drop_snapshot(std::string_view stream, std::string_view schema) {
    std::lock_guard lock{mutex_};
    const auto found = streams_.find(stream);
    if (found == streams_.end()) return {};
    const auto kept = found->second.snapshots.find(schema);
    if (kept != found->second.snapshots.end()) found->second.snapshots.erase(kept);
    return {};
  }

  Result<Checkpoint> load_checkpoint(std::string_view follower) {
    std::lock_guard lock{mutex_};
    const auto kept = checkpoints_.find(follower);
    return kept == checkpoints_.end() ? Checkpoint{} : kept->second;
  }
  Result<> save_checkpoint(std::string_view follower, const Checkpoint& previous, const Checkpoint& next) {
    std::lock_guard lock{mutex_};
    const auto id = ids_.find(next.event);
    const auto found = id == ids_.end() ? std::nullopt : std::optional{id->second.placed};
    Checkpoint& kept = checkpoints_[std::string{follower}];
    Result<> decided = event_store::decide_save(follower, kept, previous, next, found);
    if (decided) kept = next;
    return decided;
  }

  /// Bytes of the events that it keeps.
  std::size_t bytes() const {
    std::lock_guard lock{mutex_};
    return bytes_;
  }

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view name) const noexcept { return std::hash<std::string_view>{}(name); }
  };
  template <class T>
  using Named = std::unordered_map<std::string, T, Hash, std::equal_to<>>;
  using Positions = std::vector<std::uint64_t>;  ///< growing; those of erased events stay

  struct Record {
    StoredEvent event;
    std::unique_ptr<char[]> bytes;  ///< that the event views; none: it was erased
  };
  struct Stream {
    StreamState state{};
    Positions positions{};  ///< of each version, from 1
    std::map<std::string, Snapshot, std::less<>> snapshots{};
  };

  /// What `decide_append` asks.
  struct Facts {
    const MemoryEventStore& store;
    std::optional<event_store::KnownEvent> find(std::string_view id) const {
      const auto found = store.ids_.find(id);
      return found == store.ids_.end() ? std::nullopt : std::optional{found->second};
    }
    StreamState state(std::string_view stream) const { return store.state(stream); }
    std::optional<std::uint64_t> match(const EventQuery& query, std::uint64_t after) const {
      if (query.any_of.empty()) return store.match({}, after);
      for (const EventFilter& filter : query.any_of) {
        if (const auto position = store.match(filter, after)) return position;
      }
      return std::nullopt;
    }
  };

  Result<Appended> append(std::span<const StreamAppend> batch, const AppendCondition* condition) {
    if (Result<> checked = event_store::check_batch(batch, limits_); !checked) return std::move(checked.error());
    std::lock_guard lock{mutex_};
    auto decided = event_store::decide_append(batch, condition, Facts{*this});
    if (!decided) return std::move(decided.error());
    if (*decided) return std::move(**decided);
    std::size_t size = 0;
    for (const StreamAppend& part : batch) {
      for (const NewEvent& event : part.events) size += detail::bytes_of(stored(part.stream, event));
    }
    if (size > max_bytes_ - bytes_) {
      return event_store::refused(Errc::unavailable,
                                  "the store is full; truncate or delete streams, or raise its max_bytes");
    }
    Appended answer;
    const Time now = clock_->wall();
    for (const StreamAppend& part : batch) {
      for (const NewEvent& event : part.events) answer.events.push_back(store(part.stream, event, now));
    }
    if (!answer.events.empty()) appended_.notify_all();
    return answer;
  }

  static StoredEvent stored(std::string_view stream, const NewEvent& event) noexcept {
    return {stream, 0, 0, event.id, event.type, event.payload, event.tags, event.metadata, event.time};
  }

  Placed store(std::string_view name, const NewEvent& event, Time now) {
    auto found = streams_.find(name);
    if (found == streams_.end()) found = streams_.emplace(std::string{name}, Stream{}).first;
    Stream& stream = found->second;
    StoredEvent made = stored(name, event);
    made.version = stream.state.version + 1;
    made.position = records_.size() + 1;
    made.time = std::chrono::floor<std::chrono::microseconds>(event.time == Time{} ? now : event.time);
    const std::size_t size = detail::bytes_of(made);
    auto bytes = std::make_unique_for_overwrite<char[]>(size);
    made = detail::copy_event(made, bytes.get());
    const Placed placed{made.version, made.position};

    stream.state.kind = StreamState::Kind::live;
    stream.state.version = made.version;
    stream.positions.push_back(made.position);
    index(categories_, category_of(name), made.position);
    for (const std::string_view tag : made.tags) index(tags_, tag, made.position);
    ids_.emplace(made.id, event_store::KnownEvent{found->first, placed, event_store::fingerprint(event)});
    records_.push_back({made, std::move(bytes)});
    bytes_ += size;
    return placed;
  }
  static void index(Named<Positions>& under, std::string_view name, std::uint64_t position) {
    auto found = under.find(name);
    if (found == under.end()) found = under.emplace(std::string{name}, Positions{}).first;
    // A tag may stand twice on one event.
    if (found->second.empty() || found->second.back() != position) found->second.push_back(position);
  }

  // ── reading ────────────────────────────────────────────────────────────────────────────────────

  const Record& record(std::uint64_t position) const noexcept { return records_[position - 1]; }
  StreamState state(std::string_view stream) const {
    const auto found = streams_.find(stream);
    return found == streams_.end() ? StreamState{} : found->second.state;
  }
  static bool has_room(const EventPage& page, const ReadRange& range) noexcept {
    return page.size() < range.limit && (page.empty() || page.bytes() < range.max_bytes);
  }

  /// Positions among which all events of a kind are: those listed, or all where there is no list.
  class Candidates {
   public:
    explicit Candidates(std::uint64_t head) noexcept : head_{head} {}
    /// Takes the list instead, if it is shorter; nullptr: no event is of this kind.
    void narrow(const Positions* list) noexcept {
      if (list == nullptr) {
        head_ = 0;
        list_ = nullptr;
      } else if (list->size() < size()) {
        list_ = list;
      }
    }
    std::size_t size() const noexcept { return list_ != nullptr ? list_->size() : head_; }
    std::uint64_t operator[](std::size_t index) const noexcept {
      return list_ != nullptr ? (*list_)[index] : index + 1;
    }
    /// The index of the first that is not below the position.
    std::size_t find(std::uint64_t position) const noexcept {
      if (list_ == nullptr) return static_cast<std::size_t>(std::clamp<std::uint64_t>(position, 1, head_ + 1) - 1);
      return static_cast<std::size_t>(std::lower_bound(list_->begin(), list_->end(), position) - list_->begin());
    }

   private:
    std::uint64_t head_;
    const Positions* list_ = nullptr;
  };

  static const Positions* list_of(const Named<Positions>& under, std::string_view name) {
    const auto found = under.find(name);
    return found == under.end() ? nullptr : &found->second;
  }
  void narrow(Candidates& candidates, const EventFilter& filter) const {
    for (const std::string& tag : filter.tags) candidates.narrow(list_of(tags_, tag));
  }

  /// The first event behind `after` that the filter means.
  std::optional<std::uint64_t> match(const EventFilter& filter, std::uint64_t after) const {
    if (after >= records_.size()) return std::nullopt;
    Candidates candidates{records_.size()};
    narrow(candidates, filter);
    for (std::size_t i = candidates.find(after + 1); i < candidates.size(); ++i) {
      const Record& each = record(candidates[i]);
      if (each.bytes && matches(filter, each.event.type, each.event.tags)) return each.event.position;
    }
    return std::nullopt;
  }

  Result<StoreRead> read(const std::string_view* category, const EventQuery& query, const ReadRange& range,
                         EventPage& page) {
    page.clear();
    std::lock_guard lock{mutex_};
    const std::uint64_t head = records_.size();
    Candidates candidates{head};
    if (category != nullptr) candidates.narrow(list_of(categories_, *category));
    if (query.any_of.size() == 1) narrow(candidates, query.any_of[0]);

    const bool forwards = range.direction == Direction::forwards;
    const std::uint64_t from = forwards ? std::max<std::uint64_t>(range.from.value_or(1), 1)
                                        : std::min(range.from.value_or(head), head);
    const std::size_t begin = forwards ? candidates.find(from) : 0;
    const std::size_t end = forwards ? candidates.size() : candidates.find(from + 1);
    const std::size_t most = std::min(end - begin, most_looked_at);
    for (std::size_t looked_at = 0; looked_at < most; ++looked_at) {
      const std::uint64_t position = candidates[forwards ? begin + looked_at : end - 1 - looked_at];
      if (!has_room(page, range)) return StoreRead{position, head, false};
      const Record& each = record(position);
      if (!each.bytes || !matches(query, each.event.type, each.event.tags)) continue;
      if (category != nullptr && category_of(each.event.stream) != *category) continue;
      page.add(each.event);
    }
    if (most < end - begin) return StoreRead{candidates[forwards ? begin + most : end - 1 - most], head, false};
    return StoreRead{forwards ? std::max(from, head + 1) : 0, head, true};
  }

  // ── erasing ────────────────────────────────────────────────────────────────────────────────────

  Result<> erase(std::string_view stream, ExpectedVersion expected, StreamState::Kind to) {
    std::lock_guard lock{mutex_};
    return become(stream, event_store::decide_delete(stream, state(stream), expected, to));
  }

  /// Puts a stream into the state that was decided, and erases what does not belong to that.
  Result<> become(std::string_view name, Result<std::optional<StreamState>> decided) {
    if (!decided) return std::move(decided.error());
    if (!*decided) return {};
    auto found = streams_.find(name);
    if (found == streams_.end()) found = streams_.emplace(std::string{name}, Stream{}).first;
    Stream& stream = found->second;
    for (std::uint64_t erased = stream.state.first; erased < (*decided)->first; ++erased) {
      Record& each = records_[stream.positions[erased - 1] - 1];
      bytes_ -= detail::bytes_of(each.event);
      each.event = {};
      each.bytes.reset();
    }
    stream.state = **decided;
    if (stream.state.kind != StreamState::Kind::live) stream.snapshots.clear();
    return {};
  }

  /// A read of few among many gives others their turn.
  static constexpr std::size_t most_looked_at = 65'536;

  SystemClock machine_;
  const std::size_t max_bytes_;
  const event_store::Limits limits_;
  const Clock* clock_;
  mutable std::mutex mutex_;
  std::condition_variable appended_;
  std::deque<Record> records_;  ///< by position, from 1
  Named<Stream> streams_;
  Named<Positions> categories_;
  Named<Positions> tags_;
  Named<event_store::KnownEvent> ids_;  ///< never shrinks
  Named<Checkpoint> checkpoints_;
  std::size_t bytes_ = 0;
};

static_assert(ConditionalEventStore<MemoryEventStore> && SnapshotStore<MemoryEventStore> &&
              CheckpointStore<MemoryEventStore>);

}  // namespace omnibus
