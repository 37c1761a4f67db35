// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <omnibus/event_store/store.hpp>
#include <omnibus/result.hpp>

// How far a follower has come, and what is decided by it. A position alone does not tell: a store that lost its
// last events gives their positions out again, and who goes on behind them would step over the new ones.

namespace omnibus {

/// How far a follower of a store has come.
struct Checkpoint {
  std::uint64_t position = 0;  ///< of the last event that it is done with; 0: it is at the beginning
  std::string event{};         ///< the id of that event, by which it knows its store again
  bool operator==(const Checkpoint&) const = default;
};

/// A store that keeps checkpoints beside its events, by the names of followers.
template <class S>
concept CheckpointStore =
    EventStore<S> && S::capabilities.checkpoints &&
    requires(S& store, std::string_view follower, const Checkpoint& checkpoint) {
      // One at the beginning where none was saved.
      { store.load_checkpoint(follower) } -> std::same_as<Result<Checkpoint>>;
      // Puts the second in the place of the first. Errors: conflict, when the first is not what is kept, since
      // another one follows under this name; position_lost, when the second's event does not stand there.
      { store.save_checkpoint(follower, checkpoint, checkpoint) } -> std::same_as<Result<>>;
    };

namespace event_store {

/// What is said to a follower of a store that is not the one it knew.
inline Error lost(std::string_view follower, std::string what) {
  return Error::make(Errc::position_lost, "follow as " + std::string{follower},
                     std::move(what) + ": the store has lost events or is another one, so build the view again");
}

/// Whether the event of a checkpoint is where the checkpoint has it; `found` is where the store has it.
/// Errors: position_lost.
inline Result<> check_checkpoint(std::string_view follower, const Checkpoint& checkpoint,
                                 const std::optional<Placed>& found) {
  if (checkpoint.position == 0 || (found && found->position == checkpoint.position)) return {};
  return lost(follower, "event " + checkpoint.event +
                            (found ? " stands at position " + std::to_string(found->position)
                                   : std::string{" is not in the store"}) +
                            ", and not at " + std::to_string(checkpoint.position));
}

/// Whether `next` may come in the place of `previous`, where `kept` is. Errors: conflict, position_lost.
inline Result<> decide_save(std::string_view follower, const Checkpoint& kept, const Checkpoint& previous,
                            const Checkpoint& next, const std::optional<Placed>& found) {
  if (kept == previous) return check_checkpoint(follower, next, found);
  return Error::make(Errc::conflict, "follow as " + std::string{follower},
                     "another one follows under this name: the checkpoint is at position " +
                         std::to_string(kept.position) + ", expected " + std::to_string(previous.position));
}

}  // namespace event_store
}  // namespace omnibus
