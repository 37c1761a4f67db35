// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

#include <omnibus/delivery.hpp>

// Hooks for logs, metrics and traces. An observer is any class with some of these members; a hook it
// lacks costs nothing, because it is compiled out:
//
//     void published(std::string_view topic, const MessageView&, const Result<Receipt>&);
//     void delivered(const Delivery&);                      // an attempt begins: delivery.began()
//     void handled(const Delivery&);                        // the handler ended well
//     void retrying(const Delivery&, const Error&);         // error.retry_after says when
//     void dead_lettered(const Delivery&, const Error&);    // it stands in delivery.dead_letter_topic()
//     void dropped(const Delivery&);                        // a stage ended it without the handler
//     void duplicate(const Delivery&);                      // already done: the handler did not run
//     void given_back(const Delivery&);                     // unhandled, back to the broker
//     void out_of_sequence(const Delivery&, const Error&);  // error.context says what is wrong with its number
//     void consumer(std::string_view topic, std::string_view group, const Error* problem);
//                                       // a subscription is registered (nullptr), or why it is not
//     void log(LogLevel, std::string_view line);            // what the broker's client library says
//
// `published` is called when the ending is known, which may be after the message was delivered; also when
// the message was refused before it was sent. What stages publish, such as dead letters, it is not told.
// A bus has one observer; `Observers` makes one of several.
// Thread safety: hooks are called from many threads at once. They must not throw and should not
// block: they run where the handlers run.

namespace omnibus {

/// The observer of a bus that has none.
struct NoObserver {};

namespace detail {

/// True when the observer wants to hear of every delivery, not of the rare events alone.
template <class O>
inline constexpr bool observes_deliveries =
    requires(O& observer, const Delivery& delivery) { observer.delivered(delivery); } ||
    requires(O& observer, const Delivery& delivery) { observer.handled(delivery); };

template <class O>
inline constexpr bool observes_publishes =
    requires(O& observer, std::string_view topic, const MessageView& message,
             const Result<Receipt>& result) { observer.published(topic, message, result); };

/// Calls the hook for an event, if the observer has it.
template <class O>
void tell(O& observer, DeliveryEvent event, const Delivery& delivery, const Error* error) {
  switch (event) {
    case DeliveryEvent::delivered:
      if constexpr (requires { observer.delivered(delivery); }) observer.delivered(delivery);
      break;
    case DeliveryEvent::handled:
      if constexpr (requires { observer.handled(delivery); }) observer.handled(delivery);
      break;
    case DeliveryEvent::retrying:
      if constexpr (requires { observer.retrying(delivery, *error); }) {
        observer.retrying(delivery, *error);
      }
      break;
    case DeliveryEvent::dead_lettered:
      if constexpr (requires { observer.dead_lettered(delivery, *error); }) {
        observer.dead_lettered(delivery, *error);
      }
      break;
    case DeliveryEvent::dropped:
      if constexpr (requires { observer.dropped(delivery); }) observer.dropped(delivery);
      break;
    case DeliveryEvent::duplicate:
      if constexpr (requires { observer.duplicate(delivery); }) observer.duplicate(delivery);
      break;
    case DeliveryEvent::given_back:
      if constexpr (requires { observer.given_back(delivery); }) observer.given_back(delivery);
      break;
    case DeliveryEvent::out_of_sequence:
      if constexpr (requires { observer.out_of_sequence(delivery, *error); }) {
        observer.out_of_sequence(delivery, *error);
      }
      break;
  }
}

}  // namespace detail
}  // namespace omnibus
