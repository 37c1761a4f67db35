// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <omnibus/clock.hpp>
#include <omnibus/detail/smaller.hpp>
#include <omnibus/event_store/checkpoint.hpp>
#include <omnibus/event_store/query.hpp>
#include <omnibus/event_store/store.hpp>
#include <omnibus/event_store/typed.hpp>
#include <omnibus/handler.hpp>
#include <omnibus/parked_store.hpp>
#include <omnibus/result.hpp>
#include <omnibus/time.hpp>

// Views that are kept up with a store. There is no seam between catching up and following live: events always
// come out of reads, and being told that something is there is no more than a reason to read.

namespace omnibus {

/// How far a projection has come.
struct ProjectionProgress {
  std::uint64_t position = 0;  ///< all events up to here are in the view, or are not for it
  std::uint64_t head = 0;      ///< the last position of the store, when it was read last
  std::uint64_t handled = 0;   ///< events since this object was made
};

/// How a long replay goes.
struct ReplayProgress {
  ProjectionProgress at{};
  double per_second = 0;                 ///< events of the store, for the view or not, since it began
  std::optional<Duration> remaining{};   ///< at that rate; none: nothing can be said yet
};

/// What a replay that went from `from` to `at` in so long is said to be like. A pure function.
inline ReplayProgress replay_progress(std::uint64_t from, const ProjectionProgress& at,
                                      Duration took) noexcept {
  using Seconds = std::chrono::duration<double>;
  ReplayProgress progress{at};
  if (took > Duration::zero() && at.position > from) {
    progress.per_second = static_cast<double>(at.position - from) / Seconds{took}.count();
  }
  const double left = at.head > at.position ? static_cast<double>(at.head - at.position) : 0;
  if (left == 0) {
    progress.remaining = Duration::zero();
  } else if (progress.per_second > 0) {
    const Seconds seconds{left / progress.per_second};
    const bool is_sayable = seconds < Seconds{Duration::max()};
    progress.remaining = is_sayable ? std::chrono::duration_cast<Duration>(seconds) : Duration::max();
  }
  return progress;
}

/// Which events a projection is made of, and under which name it is continued.
struct ProjectionOptions {
  std::string name;            ///< of the checkpoint; another one builds the view from the beginning
  std::string category{};      ///< empty: of all streams
  EventQuery query{};
  std::size_t page = 1000;     ///< events whose effects go together
  bool in_memory = false;      ///< the view ends with this object, which begins at the beginning
  /// Which streams have an event that `apply` fails for good (not retryable); they alone wait from there on,
  /// and the others go on, until `retry_parked`. Left out: such an event stops the projection.
  ParkedStore* parked_in = nullptr;
  /// Hears how `catch_up` goes, between two pages: when it has gone on for `progress_every` since it spoke
  /// last, and at its end when it spoke before. Must not use the projection.
  std::function<void(const ReplayProgress&)> progress{};
  Duration progress_every = std::chrono::seconds{1};
  const Clock* clock = nullptr;  ///< by which progress is told; nullptr: the machine's
};

namespace detail {

template <class S>
concept HasTransactions = requires { typename S::Transaction; };

/// True for what writes its effects in a transaction of the store.
template <class Apply, class S>
constexpr bool applies_in_transaction() {
  if constexpr (HasTransactions<S>) {
    return std::is_invocable_r_v<Result<>, Apply&, const StoredEvent&, typename S::Transaction>;
  } else {
    return false;
  }
}

}  // namespace detail

/// Keeps a view up with a store. `apply` is called with one event after the other, by position:
///  - `Result<>(const StoredEvent&, S::Transaction)`, where the store has transactions: what it writes in there is
///    committed with the checkpoint, so that each event has its effect exactly once;
///  - `Result<>(const StoredEvent&)`: the checkpoint follows the effects, so that after a crash the last page comes
///    again (at least once); an effect can be told by the event's position whether it was there.
/// An event whose `apply` fails or throws stops the projection in front of it; those before it are done.
/// Called again, it is tried again. With `.parked_in`, one that fails for good parks its stream, and the
/// others go on.
/// Thread safety: one thread at a time. Lifetime: the store must outlive it.
template <CheckpointStore S, class Apply>
class Projection {
  static constexpr bool in_transaction = detail::applies_in_transaction<Apply, S>();
  static_assert(in_transaction || std::is_invocable_r_v<Result<>, Apply&, const StoredEvent&>,
                "a projection is a callable Result<>(const StoredEvent&), or also takes the store's Transaction");

 public:
  /// Reads nothing yet. Throws std::invalid_argument.
  Projection(S& store, ProjectionOptions options, Apply apply)
      : store_{store}, options_{std::move(options)}, apply_{std::move(apply)} {
    if (options_.name.empty()) throw std::invalid_argument{"omnibus: Projection: name must not be empty"};
    if (options_.page == 0) throw std::invalid_argument{"omnibus: Projection: page must be positive"};
    if (options_.progress_every < Duration::zero()) {
      throw std::invalid_argument{"omnibus: Projection: progress_every must not be negative"};
    }
    if (options_.in_memory && in_transaction) {
      throw std::invalid_argument{"omnibus: Projection: in_memory is not for what the store keeps"};
    }
  }

  /// Handles the next page. True: there is more now. Blocking: as long as the store and `apply`.
  /// Errors: those of `apply` and of the store; conflict, when another one follows under this name;
  /// position_lost, when the store is not the one that the checkpoint is of, or has lost its last events. The
  /// view and the checkpoint are then what they were after the last event that was done.
  Result<bool> step() {
    for (;;) {
      Result<bool> more = try_step();
      if (more) return more;
      next_.reset();  // whatever is wrong, what is kept decides where it goes on
      if (options_.parked_in == nullptr || !failed_ || more.error().retryable) return more;
      if (Result<> parked = park(*failed_); !parked) return std::move(parked.error());
    }
  }
  /// Handles all that is there by the time that it gets to the end.
  Result<> catch_up() {
    if (Result<> begun = begin_once(); !begun) return begun;
    Replay replay{progress_.position, now(), now()};
    for (;;) {
      const Result<bool> more = step();
      if (!more) return more.error();
      if (options_.progress) speak(replay, *more);
      if (!*more) return {};
    }
  }
  /// Catches up and follows what comes, until this moment.
  Result<> follow(Instant until) {
    do {
      if (Result<> done = catch_up(); !done) return done;
      (void)store_.wait_beyond(*next_ - 1, until);
    } while (std::chrono::steady_clock::now() < until);
    return {};
  }
  ProjectionProgress progress() const noexcept { return progress_; }

  /// The streams that are parked. Errors: as `step`.
  Result<std::vector<std::string>> parked() {
    if (Result<> begun = begin_once(); !begun) return std::move(begun.error());
    std::vector<std::string> streams;
    for (const auto& [stream, first] : parked_) streams.push_back(stream);
    return streams;
  }
  /// Handles what a parked stream waits with, in order, as far as the others are, and lets it go on with
  /// them. Of no effect on one that is not parked. Where an event fails, the stream stays parked in front of
  /// it. Blocking and errors: as `step`.
  Result<> retry_parked(const std::string& stream) {
    if (Result<> begun = begin_once(); !begun) return begun;
    const auto parked = parked_.find(stream);
    if (parked == parked_.end()) return {};
    if (Result<> done = handle_parked(stream, parked->second); !done) return done;
    const Result<bool> removed = options_.parked_in->remove(place(), stream, letter);
    if (!removed) return removed.error();
    parked_.erase(parked);
    return {};
  }

 private:
  /// A catching up, as far as progress tells of it.
  struct Replay {
    std::uint64_t from;  ///< the position
    Instant begun;
    Instant spoke;
    bool has_spoken = false;
  };

  Result<bool> try_step() {
    failed_.reset();
    if (Result<> begun = begin_once(); !begun) return std::move(begun.error());
    const ReadRange range{.from = *next_, .limit = options_.page};
    const Result<StoreRead> read = options_.category.empty()
                                       ? store_.read_all(options_.query, range, page_)
                                       : store_.read_category(options_.category, options_.query, range, page_);
    if (!read) return read.error();
    if (read->head < progress_.position) {
      return event_store::lost(options_.name, "it ends at position " + std::to_string(read->head) +
                                                  ", and was read up to " + std::to_string(progress_.position));
    }
    if (!page_.empty()) {
      Result<> done = handle(options_.name, checkpoint_, page_.size());
      progress_.position = detail::larger(progress_.position, checkpoint_.position);
      if (!done) return std::move(done.error());
    }
    next_ = read->next;
    progress_.position = *next_ - 1;
    progress_.head = read->head;
    return !read->end;
  }

  Result<> begin_once() { return next_ ? Result<>{} : begin(); }
  Result<> begin() {
    Result<Checkpoint> kept =
        options_.in_memory ? Result{checkpoint_} : store_.load_checkpoint(options_.name);
    if (!kept) return std::move(kept.error());
    if (kept->position != 0) {
      const auto found = store_.locate(kept->event);
      if (!found) return found.error();
      if (Result<> same = event_store::check_checkpoint(options_.name, *kept, *found); !same) return same;
    }
    if (options_.parked_in != nullptr) {
      if (Result<> loaded = load_parked(); !loaded) return loaded;
    }
    checkpoint_ = std::move(*kept);
    next_ = checkpoint_.position + 1;
    progress_.position = checkpoint_.position;
    return {};
  }

  /// Handles the first events of the page, and moves the follower's checkpoint to the last that was done.
  Result<> handle(const std::string& follower, Checkpoint& at, std::size_t count) {
    std::size_t done = 0;
    if constexpr (in_transaction) {
      Result<> all = handle_together(follower, at, count, done);
      if (all || done == 0 || done == count) return all;
      std::size_t again = 0;
      Result<> before = handle_together(follower, at, done, again);  // those in front of the one that failed
      if (before) return all;
      failed_.reset();
      return before;
    } else {
      Result<> applied = apply_some(count, done);
      if (done == 0) return applied;
      const Checkpoint reached = checkpoint_at(done);
      if (!options_.in_memory) {
        if (Result<> saved = store_.save_checkpoint(follower, at, reached); !saved) {
          failed_.reset();
          return saved;
        }
      }
      at = reached;
      progress_.handled += done;
      return applied;
    }
  }
  Result<> handle_together(const std::string& follower, Checkpoint& at, std::size_t count, std::size_t& done) {
    const Checkpoint reached = checkpoint_at(count);
    Result<> saved = store_.save_checkpoint_with(
        follower, at, reached,
        [&](typename S::Transaction transaction) { return apply_some(count, done, transaction); });
    if (saved) {
      at = reached;
      progress_.handled += count;
    }
    return saved;
  }
  /// `done`: how many were applied, or left out.
  template <class... Transaction>
  Result<> apply_some(std::size_t count, std::size_t& done, Transaction... transaction) {
    for (; done < count; ++done) {
      const StoredEvent& event = page_[done];
      if (is_left_out(event)) continue;
      Result<> applied = detail::guarded([&]() -> Result<> { return apply_(event, transaction...); });
      if (applied) continue;
      failed_ = Failed{std::string{event.stream}, event.version};
      return detail::at_event(std::move(applied.error()), event);
    }
    return {};
  }
  Checkpoint checkpoint_at(std::size_t count) const {
    return {page_[count - 1].position, std::string{page_[count - 1].id}};
  }

  // ── parked streams: a set of them, each with the version of the first event that waits ─────────

  struct Failed {
    std::string stream;
    std::uint64_t version;
  };
  static constexpr std::string_view letter = "first";  ///< each stream waits for one thing: to be tried again
  static constexpr std::size_t most_parked = 65'536;

  ParkedPlace place() const noexcept { return {options_.name, "projection"}; }
  Result<> park(const Failed& failed) {
    if (parked_.size() >= most_parked) return too_many_parked(most_parked);
    const std::string first = std::to_string(failed.version);
    Result<> added = options_.parked_in->add(place(), {failed.stream, letter, first});
    if (added) parked_[failed.stream] = failed.version;
    return added;
  }
  Result<> load_parked() {
    const Result<std::vector<ParkedKey>> loaded = options_.parked_in->load(place(), most_parked);
    if (!loaded) return loaded.error();
    std::map<std::string, std::uint64_t, std::less<>> parked;
    for (const ParkedKey& each : *loaded) {
      const auto known = parked_.find(each.key);
      parked[each.key] = known != parked_.end() ? known->second : std::stoull(each.dead_letter_topic);
    }
    parked_ = std::move(parked);
    return {};
  }
  bool is_left_out(const StoredEvent& event) const {
    if (is_retrying_) return !matches(options_.query, event.type, event.tags);
    if (parked_.empty()) return false;
    const auto parked = parked_.find(event.stream);
    return parked != parked_.end() && event.version >= parked->second;
  }
  /// `first`: the version of the first event that waits, moved on as events are done.
  Result<> handle_parked(const std::string& stream, std::uint64_t& first) {
    const std::string follower = options_.name + "#" + stream;
    Checkpoint at;
    if (!options_.in_memory) {
      Result<Checkpoint> kept = store_.load_checkpoint(follower);
      if (!kept) return std::move(kept.error());
      at = std::move(*kept);
      if (at.position != 0) {
        const auto found = store_.locate(at.event);
        if (!found) return found.error();
        if (Result<> same = event_store::check_checkpoint(follower, at, *found); !same) return same;
        first = detail::larger(first, (*found)->version + 1);
      }
    }
    for (;;) {
      const ReadRange range{.from = first, .limit = options_.page};
      const Result<StreamRead> read = store_.read_stream(stream, range, page_);
      if (!read) return read.error();
      std::size_t count = 0;
      while (count < page_.size() && page_[count].position <= checkpoint_.position) ++count;
      if (count == 0) return {};
      is_retrying_ = true;
      Result<> done = handle(follower, at, count);
      is_retrying_ = false;
      for (std::size_t i = 0; i < count && page_[i].position <= at.position; ++i) first = page_[i].version + 1;
      if (!done || count < page_.size() || read->end) return done;
    }
  }

  Instant now() const noexcept {
    return options_.clock != nullptr ? options_.clock->now() : std::chrono::steady_clock::now();
  }
  void speak(Replay& replay, bool more) const {
    const Instant moment = now();
    if (moment - replay.spoke < options_.progress_every && (more || !replay.has_spoken)) return;
    replay.spoke = moment;
    replay.has_spoken = true;
    options_.progress(replay_progress(replay.from, progress_, moment - replay.begun));
  }

  S& store_;
  const ProjectionOptions options_;
  Apply apply_;
  Checkpoint checkpoint_;
  std::optional<std::uint64_t> next_;  ///< where to read on; none: what is kept decides
  EventPage page_;
  ProjectionProgress progress_;
  std::map<std::string, std::uint64_t, std::less<>> parked_;  ///< streams, by the first version that waits
  std::optional<Failed> failed_;                              ///< the event that the last step ended in front of
  bool is_retrying_ = false;
};

}  // namespace omnibus
