// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

#include <omnibus/dead_letters.hpp>
#include <omnibus/delivery.hpp>
#include <omnibus/detail/parking_lot.hpp>

// Order::parked: what follows a dead letter of its key becomes a dead letter as well, and comes back behind
// it when they are redriven.

namespace omnibus {

/// Thread safety: shared objects are safe; one key from one thread at a time.
class ParkedKeys {
 public:
  /// True when so many keys are parked that nothing more is to be taken.
  bool full() const noexcept { return lot_.full(); }

  /// Handles the delivery, or lets it follow the letters of its key.
  template <class Pipeline>
  Result<> run(Pipeline& pipeline, Delivery& delivery) {
    const std::string_view key = delivery.key();
    if (key.empty()) return pipeline(delivery);
    if (const std::string* topic = lot_.topic_of(key)) return run_parked(pipeline, delivery, *topic);
    Result<> result = pipeline(delivery);
    if (!delivery.dead_lettered()) return result;
    lot_.park(key, delivery.dead_letter_topic());
    lot_.died_again(key, read_redriven(delivery.headers()).redrive);
    return result;
  }

 private:
  /// A letter that comes back is handled, before what has come since; everything else follows the letters.
  template <class Pipeline>
  Result<> run_parked(Pipeline& pipeline, Delivery& delivery, const std::string& topic) {
    const Redriven again = read_redriven(delivery.headers());
    const bool comes_back = !again.redrive.empty() && again.group == delivery.group();
    if (!comes_back || !lot_.may_return(delivery.key(), again.redrive)) {
      Result<> buried =
          bury(delivery, Error::make(Errc::rejected, "handle", "follows a dead letter of its key"), topic);
      if (buried && !comes_back) lot_.park(delivery.key(), topic);
      return buried;
    }
    Result<> result = pipeline(delivery);
    if (delivery.dead_lettered()) {
      lot_.died_again(delivery.key(), again.redrive);
    } else if (result) {
      lot_.returned(delivery.key());
    }
    return result;
  }

  detail::ParkingLot lot_;
};

}  // namespace omnibus
