// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <omnibus/backends/memory.hpp>
#include <omnibus/event_bus.hpp>
#include <omnibus/options.hpp>
#include <omnibus/testing/journal.hpp>
#include <omnibus/virtual_clock.hpp>

// For tests of handlers and their policies: a bus inside the process, on a clock that the test moves.

namespace omnibus::testing {

/// How to make a Harness.
struct HarnessOptions {
  std::string group = "test";  ///< of subscriptions that name none
  BusOptions bus = {};         ///< seed 0 stands for 1 here, so that runs repeat
  /// How long a call may take on the machine's clock, before it fails.
  Duration patience = std::chrono::seconds{30};
};

/// A bus on which time stands still until the test moves it, and which writes down what happens.
///
///     ob::testing::Harness harness;
///     auto billing = harness.bus().subscribe("orders", charge | policy);   // as in production
///     harness.publish("orders", "o-1");
///     harness.advance(1h);
///     check(harness.retried("orders").size() == 2);
///     check(harness.dead_lettered("orders").empty());
///
/// What handlers wrote before `settle` or `advance` returned can be read without a lock. Behind threads of
/// the user's own the harness does not look, and handlers that wait for one another may hang: what stands
/// behind a slow handler moves on after a while, and here no time passes meanwhile. A store with a clock of
/// its own may be given `clock()`.
/// Thread safety: handlers may call `publish` and move `clock()`; the rest is for one thread.
/// Lifetime: destroy subscriptions before it.
class Harness {
 public:
  using Bus = EventBus<Memory, Journal>;

  /// Errors: throws std::invalid_argument, as the bus does.
  explicit Harness(HarnessOptions options = {})
      : patience_{options.patience},
        journal_{clock_},
        bus_{{.group = std::move(options.group), .clock = &clock_}, journal_, seeded(options.bus)} {}
  Harness(const Harness&) = delete;
  Harness& operator=(const Harness&) = delete;

  /// The bus, for the code that is tested to subscribe and publish.
  Bus& bus() noexcept { return bus_; }
  VirtualClock& clock() noexcept { return clock_; }
  /// The virtual time since the harness was made.
  Duration now() const { return journal_.now(); }

  /// Publishes as the bus does. Delivery goes on beside the test; see `settle`.
  /// Errors: throws BadResult when the bus refuses; `bus().publish` returns the error instead.
  template <class E>
  Receipt publish(std::string_view topic, const E& event, const Bus::PublishOptions& options = {}) {
    return bus_.publish(topic, event, options).value();
  }

  /// Blocks until every delivery that can run now has run.
  /// Errors: throws std::runtime_error, which says what still goes on, when patience is at an end.
  void settle() { (void)wait_idle(deadline()); }

  /// Moves time forward, from one moment at which something is due to the next, so that each happens at its
  /// own time, and what follows from it as well. Blocks until all that can run by then has run.
  /// Errors: as `settle`; throws std::invalid_argument for a negative time.
  void advance(Duration by) {
    if (by < Duration::zero()) throw std::invalid_argument{"omnibus: harness: advance: time goes forward"};
    const Instant give_up = deadline();
    const Instant end = after(clock_.now(), by);
    while (true) {
      const Instant due = wait_idle(give_up);
      const Instant next = due < end ? due : end;
      if (next > clock_.now()) clock_.advance(next - clock_.now());
      if (next == end) break;
    }
    (void)wait_idle(give_up);
  }

  /// What happened to the messages of a topic, in this order; an empty topic stands for all.
  using Records = std::vector<Record>;
  Records delivered(std::string_view topic = {}) const { return of(DeliveryEvent::delivered, topic); }
  Records handled(std::string_view topic = {}) const { return of(DeliveryEvent::handled, topic); }
  Records retried(std::string_view topic = {}) const { return of(DeliveryEvent::retrying, topic); }
  Records dead_lettered(std::string_view topic = {}) const { return of(DeliveryEvent::dead_lettered, topic); }
  Records dropped(std::string_view topic = {}) const { return of(DeliveryEvent::dropped, topic); }
  Records duplicates(std::string_view topic = {}) const { return of(DeliveryEvent::duplicate, topic); }
  /// Everything that happened.
  Records records() const { return journal_.records(); }
  /// The same, a line each: for the message of an assertion that failed.
  std::string log() const {
    std::string lines;
    for (const Record& each : journal_.records()) lines.append(to_line(each)).append("\n");
    return lines;
  }

 private:
  static BusOptions seeded(BusOptions options) {
    if (options.seed == 0) options.seed = 1;
    return options;
  }

  Instant deadline() const { return after(std::chrono::steady_clock::now(), patience_); }
  Records of(DeliveryEvent event, std::string_view topic) const { return journal_.records(event, topic); }

  /// Blocks until the bus is idle; returns when it next has something to do. Idleness is a state of many
  /// threads that none of them can announce: it is looked at until it holds.
  Instant wait_idle(Instant give_up) const {
    constexpr Duration between_looks = std::chrono::microseconds{20};
    while (std::chrono::steady_clock::now() < give_up) {
      if (const auto due = idle_until()) return *due;
      std::this_thread::sleep_for(between_looks);
    }
    throw std::runtime_error{"omnibus: harness: after " + detail::in_seconds(patience_) +
                             ", at virtual time " + detail::in_seconds(now()) + ", " + what_goes_on()};
  }

  /// When the bus next has something to do; nothing while it is at it. Nobody becomes active unless someone
  /// active, or time, wakes them: when all consumers slept all the while that workers were seen to be idle,
  /// all were idle at once.
  std::optional<Instant> idle_until() const {
    const VirtualClock::Sleepers before = clock_.sleepers();
    if (before.awake > 0) return std::nullopt;
    for (const SubscriptionHealth& each : bus_.health().subscriptions) {
      if (!each.stats.idle) return std::nullopt;
    }
    return clock_.sleepers() == before ? std::optional{before.earliest} : std::nullopt;
  }

  std::string what_goes_on() const {
    const Records records = journal_.records();
    if (const auto running = still_running(records); !running.empty()) {
      std::string text = "a handler has not ended";
      for (const Record& each : running) text.append("; ").append(to_line(each));
      return text;
    }
    std::string text = "messages are still delivered";
    for (const SubscriptionHealth& each : bus_.health().subscriptions) {
      if (each.stats.in_flight == 0) continue;
      text.append("; ").append(each.topic).append("/").append(each.group).append(" has ");
      text.append(std::to_string(each.stats.in_flight)).append(" in flight");
    }
    return records.empty() ? text : text.append("; the last that happened: ").append(to_line(records.back()));
  }

  const Duration patience_;
  VirtualClock clock_;
  Journal journal_;
  Bus bus_;
};

}  // namespace omnibus::testing
