// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <omnibus/error.hpp>
#include <omnibus/result.hpp>

// What a store of parked keys must offer. A subscription in `parked` order writes there which letters its
// keys wait for, so that another member of the group, or the same one after a restart, goes on where it was.

namespace omnibus {

/// Whose keys: a group parks those of each topic on their own.
struct ParkedPlace {
  std::string_view group;
  std::string_view topic;
};

/// A letter that a key waits for.
struct ParkedLetter {
  std::string_view key;
  std::string_view id;                 ///< of its message
  std::string_view dead_letter_topic;  ///< where it goes; that of a key's first letter is the key's
  std::string_view died_in = {};       ///< the redrive in which it has died again; empty: it was in none
};

/// A parked key, as it is loaded.
struct ParkedKey {
  std::string key;
  std::string dead_letter_topic;
  std::string died_in;  ///< the last redrive in which a letter of it has died again
};

/// What is known of a key and one of its messages.
struct ParkedState {
  bool parked = false;  ///< the key waits for letters
  bool letter = false;  ///< and this message is one of them
};

/// What a store says when more keys are parked than were asked for.
inline Error too_many_parked(std::size_t most) {
  return Error::make(Errc::too_large, "load parked keys", "more than " + std::to_string(most) + " keys are parked");
}

/// A durable set of letters, by group, topic, key and message id. To add what is there and to remove what is
/// not changes nothing: whoever does not know whether it was done does it again.
/// Thread safety: shared objects are safe. Every operation is atomic. Blocks: until the store has answered,
/// and holds what it was told.
/// Errors of every operation: the store's own; nothing is lost then, and the caller tries again.
/// Lifetime: it must outlive the subscriptions and tools that use it.
class ParkedStore {
 public:
  virtual ~ParkedStore() = default;

  /// All parked keys. Errors: too_large, when there are more than `most`.
  virtual Result<std::vector<ParkedKey>> load(const ParkedPlace& place, std::size_t most) = 0;
  /// Whether the key waits, and for this message.
  virtual Result<ParkedState> find(const ParkedPlace& place, std::string_view key, std::string_view id) = 0;
  /// The key waits for this letter as well. A `died_in` that is not empty becomes the key's.
  virtual Result<> add(const ParkedPlace& place, const ParkedLetter& letter) = 0;
  /// The key does not wait for this letter any more. Returns true when it waits for no other one either:
  /// then everything about it is forgotten.
  virtual Result<bool> remove(const ParkedPlace& place, std::string_view key, std::string_view id) = 0;
};

}  // namespace omnibus
