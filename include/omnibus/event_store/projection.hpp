// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include <omnibus/clock.hpp>
#include <omnibus/event_store/checkpoint.hpp>
#include <omnibus/event_store/query.hpp>
#include <omnibus/event_store/store.hpp>
#include <omnibus/handler.hpp>
#include <omnibus/result.hpp>
#include <omnibus/time.hpp>

// Views that are kept up with a store. There is no seam between catching up and following live: events always come
// out of reads, and being told that something is there is no more than a reason to read.

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
  double per_second = 0;                 ///< events of the store, for the view or not, since catching up began
  std::optional<Duration> remaining{};   ///< at that rate; none: nothing can be said yet
};

/// What a replay that went from `from` to `at` in so long is said to be like. A pure function.
inline ReplayProgress replay_progress(std::uint64_t from, const ProjectionProgress& at, Duration took) noexcept {
  ReplayProgress progress{at};
  if (took > Duration::zero() && at.position > from) {
    progress.per_second = static_cast<double>(at.position - from) / std::chrono::duration<double>(took).count();
  }
  const double left = at.head > at.position ? static_cast<double>(at.head - at.position) : 0;
  if (left == 0) {
    progress.remaining = Duration::zero();
  } else if (progress.per_second > 0) {
    const double seconds = left / progress.per_second;
    const bool is_sayable = seconds < std::chrono::duration<double>(Duration::max()).count();
    progress.remaining = is_sayable ? std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds))
                                    : Duration::max();
  }
  return progress;
}

/// Which events a projection is made of, and under which name it is continued.
struct ProjectionOptions {
  std::string name;            ///< of the checkpoint; another one builds the view from the beginning
  std::string category{};      ///< empty: of all streams
  EventQuery query{};
  std::size_t page = 1000;     ///< events whose effects go together
  bool in_memory = false;      ///< the view ends with this object: it begins at the beginning, without a checkpoint
  /// Hears how `catch_up` goes, between two pages: when it has gone on for `progress_every` since it spoke last, and at
  /// its end when it spoke before. Must not use the projection.
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
/// An event whose `apply` fails or throws stops the projection in front of it; those before it are done. Called
/// again, it is tried again.
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
  /// Errors: those of `apply` and of the store; conflict, when another one follows under this name; position_lost,
  /// when the store is not the one that the checkpoint is of, or has lost its last events. The view and the
  /// checkpoint are then what they were after the last event that was done.
  Result<bool> step() {
    Result<bool> more = try_step();
    if (!more) next_.reset();  // whatever is wrong, what is kept decides where it goes on
    return more;
  }
  /// Handles all that is there by the time that it gets to the end.
  Result<> catch_up() {
    if (!next_) {
      if (Result<> begun = begin(); !begun) return begun;
    }
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

 private:
  /// A catching up, as far as progress tells of it.
  struct Replay {
    std::uint64_t from;  ///< the position
    Instant begun;
    Instant spoke;
    bool has_spoken = false;
  };

  Result<bool> try_step() {
    if (!next_) {
      if (Result<> begun = begin(); !begun) return std::move(begun.error());
    }
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
      if (Result<> done = handle(); !done) return std::move(done.error());
    }
    next_ = read->next;
    progress_.position = *next_ - 1;
    progress_.head = read->head;
    return !read->end;
  }

  Result<> begin() {
    Result<Checkpoint> kept = options_.in_memory ? Result{checkpoint_} : store_.load_checkpoint(options_.name);
    if (!kept) return std::move(kept.error());
    if (kept->position != 0) {
      const auto found = store_.locate(kept->event);
      if (!found) return found.error();
      if (Result<> same = event_store::check_checkpoint(options_.name, *kept, *found); !same) return same;
    }
    checkpoint_ = std::move(*kept);
    next_ = checkpoint_.position + 1;
    progress_.position = checkpoint_.position;
    return {};
  }

  Result<> handle() {
    if constexpr (in_transaction) {
      std::size_t done = 0;
      Result<> all = handle_together(page_.size(), done);
      if (all || done == 0 || done == page_.size()) return all;
      std::size_t again = 0;
      Result<> before = handle_together(done, again);  // those in front of the one that failed
      return before ? all : before;
    } else {
      std::size_t done = 0;
      Result<> applied = apply_some(page_.size(), done);
      if (done == 0) return applied;
      const Checkpoint reached = checkpoint_at(done);
      if (!options_.in_memory) {
        if (Result<> saved = store_.save_checkpoint(options_.name, checkpoint_, reached); !saved) return saved;
      }
      keep(reached, done);
      return applied;
    }
  }
  Result<> handle_together(std::size_t count, std::size_t& done) {
    const Checkpoint reached = checkpoint_at(count);
    Result<> saved = store_.save_checkpoint_with(
        options_.name, checkpoint_, reached,
        [&](typename S::Transaction transaction) { return apply_some(count, done, transaction); });
    if (saved) keep(reached, count);
    return saved;
  }
  /// `done`: how many were applied.
  template <class... Transaction>
  Result<> apply_some(std::size_t count, std::size_t& done, Transaction... transaction) {
    for (; done < count; ++done) {
      const StoredEvent& event = page_[done];
      Result<> applied = detail::guarded([&]() -> Result<> { return apply_(event, transaction...); });
      if (applied) continue;
      applied.error().context += ", at event " + std::string{event.id} + " of stream " + std::string{event.stream} +
                                 ", position " + std::to_string(event.position);
      return applied;
    }
    return {};
  }
  Checkpoint checkpoint_at(std::size_t count) const {
    return {page_[count - 1].position, std::string{page_[count - 1].id}};
  }
  void keep(const Checkpoint& reached, std::size_t count) {
    checkpoint_ = reached;
    progress_.position = reached.position;
    progress_.handled += count;
  }

  Instant now() const noexcept { return options_.clock ? options_.clock->now() : std::chrono::steady_clock::now(); }
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
};

}  // namespace omnibus
