// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/clock.hpp>
#include <omnibus/dead_letters.hpp>
#include <omnibus/delivery.hpp>
#include <omnibus/detail/parking_lot.hpp>
#include <omnibus/detail/seen_shares.hpp>
#include <omnibus/memory_parked_store.hpp>
#include <omnibus/parked_store.hpp>
#include <omnibus/wait_for_store.hpp>

// Order::parked: what follows a dead letter of its key becomes a dead letter as well, and comes back behind
// it when they are redriven. Steps are taken in an order that a crash between any two of them does not spoil:
// a letter is in the store before it is written, and written before its message is acknowledged; what comes
// back is handled, then taken out of the store, then acknowledged. What is done twice thereby changes nothing.

namespace omnibus {

/// The parked keys of a subscription. While its store cannot be asked, deliveries wait for it, see
/// `wait_for_store`. The store is asked for all keys once for each partition and generation, and about a key
/// that is parked once a second at most, when a message would follow its letters, because they may have been
/// discarded. In between it is told what happens, and not asked: a key has one owner at a time.
/// Bounded: 65,536 keys; a message that would park another one waits.
/// Thread safety: shared objects are safe; one key from one thread at a time. Lifetime: the store must outlive
/// it.
class ParkedKeys final : private BurialGuard {
 public:
  /// nullptr: in memory, known to nobody else.
  explicit ParkedKeys(ParkedStore* shared = nullptr) noexcept : shared_{shared} {}
  ParkedKeys(const ParkedKeys&) = delete;
  ParkedKeys& operator=(const ParkedKeys&) = delete;

  /// Handles the delivery, or lets it follow the letters of its key.
  template <class Pipeline>
  Result<> run(Pipeline& pipeline, Delivery& delivery) {
    const std::string_view key = delivery.key();
    if (key.empty()) return pipeline(delivery);
    delivery.set_burial_guard(this);
    if (const Delivery::History* past = delivery.history()) {
      if (past->returned) return take_out(delivery);
      if (past->given_up) return bury(delivery, Error{past->last_error}, past->dead_letter_topic);
    }
    if (shared_ != nullptr) {
      if (Result<> asked = know(delivery); !asked) return asked;
    }
    if (lot_.empty()) return pipeline(delivery);
    const auto known = lot_.find(key);
    return known ? run_parked(pipeline, delivery, *known) : pipeline(delivery);
  }

 private:
  static constexpr std::size_t most_loaded = 4 * detail::ParkingLot::capacity;
  static constexpr Duration look_every = std::chrono::seconds{1};

  /// A letter that comes back is handled, before what has come since; everything else follows the letters.
  template <class Pipeline>
  Result<> run_parked(Pipeline& pipeline, Delivery& delivery, const detail::ParkingLot::Parked& known) {
    const std::string_view redrive = redrive_of(delivery);
    if (!redrive.empty() && redrive != known.died_in) {
      Result<> result = pipeline(delivery);
      return result && !delivery.dead_lettered() ? take_out(delivery) : result;
    }
    Error why = Error::make(Errc::rejected, "handle", "follows a dead letter of its key");
    const Instant now = delivery.context().clock().now();
    if (shared_ != nullptr && now >= known.look_at) {
      const Result<ParkedState> state = shared_->find(place_of(delivery), delivery.key(), delivery.id());
      if (!state) return wait_for_store(delivery, state.error());
      lot_.look_at(delivery.key(), after(now, look_every));
      if (!state->parked) {
        lot_.free(delivery.key());
        return pipeline(delivery);
      }
      if (state->letter && redrive.empty()) {
        why.context = "was given up before, by a process that ended before it could acknowledge it";
      }
    }
    // What a member handled, and could not acknowledge before it ended, is no follower: it comes again.
    const Result<bool> done = pipeline.done_before(delivery);
    if (!done) return done.error();
    return *done ? take_out(delivery) : bury(delivery, why, *known.topic);
  }

  Result<> before_burial(Delivery& delivery, std::string_view topic) override {
    const std::string_view key = delivery.key(), redrive = redrive_of(delivery);
    if (!lot_.has_room_for(key)) {
      return wait_for_store(delivery, Error::make(Errc::rejected, "park a key",
                                                  "65536 keys are parked: redrive or discard their letters"));
    }
    const Result<> added = store().add(place_of(delivery), {key, delivery.id(), topic, redrive});
    if (!added) return wait_for_store(delivery, added.error());
    lot_.park(key, topic, redrive, after(delivery.context().clock().now(), look_every));
    return {};
  }

  /// A letter that came back has ended well. When the store cannot be told, only that is tried again.
  Result<> take_out(Delivery& delivery) {
    const Result<bool> freed = store().remove(place_of(delivery), delivery.key(), delivery.id());
    if (!freed) {
      Delivery::History& history = delivery.remember(freed.error(), delivery.context().clock().now());
      history.returned = true;
      history.handled |= delivery.attempted();
      return wait_for_store(delivery, freed.error());
    }
    const Delivery::History* past = delivery.history();
    if (past != nullptr && past->returned && past->handled) delivery.mark_attempted();
    if (*freed) lot_.free(delivery.key());
    return {};
  }

  // ── what the store says ────────────────────────────────────────────────────────────────────────

  /// Asks for all keys when the delivery's partition may have been with somebody else.
  Result<> know(Delivery& delivery) {
    if (shares_.has(delivery.partition(), delivery.generation())) return {};
    std::lock_guard lock{loading_};
    if (shares_.has(delivery.partition(), delivery.generation())) return {};
    lot_.begin_load();
    const Result<std::vector<ParkedKey>> loaded = shared_->load(place_of(delivery), most_loaded);
    if (!loaded) {
      lot_.cancel_load();
      return wait_for_store(delivery, loaded.error());
    }
    lot_.end_load(*loaded);
    shares_.add(delivery.partition(), delivery.generation());
    return {};
  }

  ParkedStore& store() noexcept { return shared_ != nullptr ? *shared_ : own_; }
  static ParkedPlace place_of(const Delivery& delivery) noexcept {
    return {delivery.group(), delivery.topic()};
  }
  /// The redrive by which it comes back to this group; of all others, nothing.
  static std::string_view redrive_of(const Delivery& delivery) noexcept {
    const Redriven again = read_redriven(delivery.headers());
    return again.group == delivery.group() ? again.redrive : std::string_view{};
  }

  ParkedStore* const shared_;
  MemoryParkedStore own_;
  detail::ParkingLot lot_;
  detail::SeenShares shares_;
  std::mutex loading_;
};

}  // namespace omnibus
