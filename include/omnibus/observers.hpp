// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>
#include <tuple>

#include <omnibus/backend.hpp>
#include <omnibus/observer.hpp>

// A bus has one observer. This one is several of them.

namespace omnibus {

namespace detail {

// Which hooks an observer has, by name.
template <class O>
inline constexpr bool hears_delivered = requires(O& o, const Delivery& d) { o.delivered(d); };
template <class O>
inline constexpr bool hears_handled = requires(O& o, const Delivery& d) { o.handled(d); };
template <class O>
inline constexpr bool hears_retrying =
    requires(O& o, const Delivery& d, const Error& e) { o.retrying(d, e); };
template <class O>
inline constexpr bool hears_dead_lettered =
    requires(O& o, const Delivery& d, const Error& e) { o.dead_lettered(d, e); };
template <class O>
inline constexpr bool hears_dropped = requires(O& o, const Delivery& d) { o.dropped(d); };
template <class O>
inline constexpr bool hears_duplicate = requires(O& o, const Delivery& d) { o.duplicate(d); };
template <class O>
inline constexpr bool hears_given_back = requires(O& o, const Delivery& d) { o.given_back(d); };
template <class O>
inline constexpr bool hears_out_of_sequence =
    requires(O& o, const Delivery& d, const Error& e) { o.out_of_sequence(d, e); };
template <class O>
inline constexpr bool hears_consumer =
    requires(O& o, std::string_view s, const Error* e) { o.consumer(s, s, e); };
template <class O>
inline constexpr bool hears_log = requires(O& o, std::string_view s) { o.log(LogLevel::info, s); };

}  // namespace detail

/// Several observers as one: what one of them has a hook for, it has a hook for, and what none of them
/// hears costs nothing. Each is told in the order in which they stand here.
///
///     ob::Metrics metrics;
///     ob::Recorder recorder;
///     ob::Observers both{metrics, recorder};
///     ob::EventBus<ob::Memory, decltype(both)> bus{{.group = "billing"}, both};
///
/// Thread safety: as theirs. Lifetime: they must outlive it, and it must outlive the bus.
template <class... Parts>
class Observers {
 public:
  explicit Observers(Parts&... parts) noexcept : parts_{parts...} {}

  void published(std::string_view topic, const MessageView& message, const Result<Receipt>& result)
    requires(detail::observes_publishes<Parts> || ...)
  {
    each([&](auto& part) {
      if constexpr (requires { part.published(topic, message, result); }) {
        part.published(topic, message, result);
      }
    });
  }
  void delivered(const Delivery& delivery)
    requires(detail::hears_delivered<Parts> || ...)
  {
    tell(DeliveryEvent::delivered, delivery);
  }
  void handled(const Delivery& delivery)
    requires(detail::hears_handled<Parts> || ...)
  {
    tell(DeliveryEvent::handled, delivery);
  }
  void retrying(const Delivery& delivery, const Error& error)
    requires(detail::hears_retrying<Parts> || ...)
  {
    tell(DeliveryEvent::retrying, delivery, &error);
  }
  void dead_lettered(const Delivery& delivery, const Error& error)
    requires(detail::hears_dead_lettered<Parts> || ...)
  {
    tell(DeliveryEvent::dead_lettered, delivery, &error);
  }
  void dropped(const Delivery& delivery)
    requires(detail::hears_dropped<Parts> || ...)
  {
    tell(DeliveryEvent::dropped, delivery);
  }
  void duplicate(const Delivery& delivery)
    requires(detail::hears_duplicate<Parts> || ...)
  {
    tell(DeliveryEvent::duplicate, delivery);
  }
  void given_back(const Delivery& delivery)
    requires(detail::hears_given_back<Parts> || ...)
  {
    tell(DeliveryEvent::given_back, delivery);
  }
  void out_of_sequence(const Delivery& delivery, const Error& error)
    requires(detail::hears_out_of_sequence<Parts> || ...)
  {
    tell(DeliveryEvent::out_of_sequence, delivery, &error);
  }
  void consumer(std::string_view topic, std::string_view group, const Error* problem)
    requires(detail::hears_consumer<Parts> || ...)
  {
    each([&](auto& part) {
      if constexpr (requires { part.consumer(topic, group, problem); }) {
        part.consumer(topic, group, problem);
      }
    });
  }
  void log(LogLevel level, std::string_view line)
    requires(detail::hears_log<Parts> || ...)
  {
    each([&](auto& part) {
      if constexpr (requires { part.log(level, line); }) part.log(level, line);
    });
  }

 private:
  template <class Call>
  void each(Call call) {
    std::apply([&call](auto&... part) { (call(part), ...); }, parts_);
  }
  void tell(DeliveryEvent event, const Delivery& delivery, const Error* error = nullptr) {
    each([&](auto& part) { detail::tell(part, event, delivery, error); });
  }

  std::tuple<Parts&...> parts_;
};

template <class... Parts>
Observers(Parts&...) -> Observers<Parts...>;

}  // namespace omnibus
