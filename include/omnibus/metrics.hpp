// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include <omnibus/delivery.hpp>
#include <omnibus/detail/series_table.hpp>
#include <omnibus/metrics_snapshot.hpp>

// An observer that counts. `append_metrics` in prometheus.hpp writes what it counted.

namespace omnibus {

namespace detail {

/// So many codes there are; the last one is Errc::internal.
inline constexpr std::size_t error_codes = static_cast<std::size_t>(Errc::internal) + 1;

/// A number that threads add to and nobody orders anything by.
class Tally {
 public:
  void add(std::uint64_t amount = 1) noexcept { value_.fetch_add(amount, std::memory_order_relaxed); }
  std::uint64_t get() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

/// A histogram that threads add to.
class DurationTally {
 public:
  void add(Duration took) noexcept {
    counts_[DurationHistogram::bucket_of(took)].add();
    sum_.add(static_cast<std::uint64_t>(took.count()));
  }
  void add_to(DurationHistogram& histogram) const noexcept {
    for (std::size_t i = 0; i < counts_.size(); ++i) histogram.counts[i] += counts_[i].get();
    histogram.sum += Duration{static_cast<Duration::rep>(sum_.get())};
  }

 private:
  std::array<Tally, DurationHistogram{}.counts.size()> counts_;
  Tally sum_;
};

/// What is counted for each topic that is published to.
struct TopicTallies {
  Tally published;
  std::array<Tally, error_codes> failed;
};

/// What is counted for each group of a topic.
struct GroupTallies {
  /// What every message counts. There are several, so that workers seldom write to the same memory.
  struct alignas(64) Stripe {
    Tally consumed;
    Tally again;
    DurationTally handled;
  };
  std::array<Stripe, 8> stripes;
  std::array<Tally, 8> events;  ///< by DeliveryEvent, those that every message has left out
  std::array<DurationTally, error_codes> failed;

  Stripe& stripe() noexcept {
    return stripes[std::hash<std::thread::id>{}(std::this_thread::get_id()) % stripes.size()];
  }
  Tally& of(DeliveryEvent event) noexcept { return events[static_cast<std::size_t>(event)]; }
  std::uint64_t count(DeliveryEvent event) const noexcept {
    return events[static_cast<std::size_t>(event)].get();
  }
};

}  // namespace detail

/// What `Metrics` is told.
struct MetricsOptions {
  /// OpenTelemetry's messaging.system: "kafka", "rabbitmq", ...; `Bus::capabilities.name` says it.
  std::string_view system = "omnibus";
  /// So many topics, and so many pairs of topic and group, are counted apart. Those beyond are counted as
  /// one that has no name. A pair takes 5 KiB.
  std::size_t most_series = 1000;
};

/// An observer that counts what happens, and how long attempts take on the backend's clock.
///
///     ob::Metrics metrics{{.system = "memory"}};
///     ob::EventBus<ob::Memory, ob::Metrics> bus{{.group = "billing"}, metrics};
///     ...
///     std::string page;
///     ob::append_metrics(page, metrics.snapshot());
///
/// Buses may share one. What bytes a message has, its key and the text of errors are never in it.
/// Thread safety: all members may be called from any thread. Hooks neither block nor allocate, but for the
/// first message of a topic and group. Lifetime: it must outlive the bus.
class Metrics {
 public:
  explicit Metrics(MetricsOptions options = {})
      : system_{options.system}, topics_{options.most_series}, groups_{options.most_series} {}

  void published(std::string_view topic, const MessageView&, const Result<Receipt>& result) {
    auto& tallies = topics_(topic, {});
    (result ? tallies.published : tallies.failed[index(result.error().code)]).add();
  }
  void delivered(const Delivery& delivery) {
    auto& stripe = of(delivery).stripe();
    (delivery.first_pass() ? stripe.consumed : stripe.again).add();
  }
  void handled(const Delivery& delivery) { of(delivery).stripe().handled.add(took(delivery)); }
  void retrying(const Delivery& delivery, const Error& error) {
    failed(delivery, DeliveryEvent::retrying, error);
  }
  void dead_lettered(const Delivery& delivery, const Error& error) {
    failed(delivery, DeliveryEvent::dead_lettered, error);
  }
  void dropped(const Delivery& delivery) { count(delivery, DeliveryEvent::dropped); }
  void duplicate(const Delivery& delivery) { count(delivery, DeliveryEvent::duplicate); }
  void given_back(const Delivery& delivery) { count(delivery, DeliveryEvent::given_back); }
  void out_of_sequence(const Delivery& delivery, const Error&) {
    count(delivery, DeliveryEvent::out_of_sequence);
  }

  /// What has been counted so far, in the order in which topics and groups were first seen.
  MetricsSnapshot snapshot() const {
    MetricsSnapshot all{system_, {}, {}};
    topics_.each([&all](std::string_view topic, std::string_view, const detail::TopicTallies& tallies) {
      all.topics.push_back(read(topic, tallies));
    });
    groups_.each([&all](std::string_view topic, std::string_view group,
                        const detail::GroupTallies& tallies) {
      all.groups.push_back(read(topic, group, tallies));
    });
    return all;
  }

 private:
  static std::size_t index(Errc code) noexcept { return static_cast<std::size_t>(code); }
  static Duration took(const Delivery& delivery) noexcept {
    return delivery.context().clock().now() - delivery.began();
  }

  detail::GroupTallies& of(const Delivery& delivery) {
    return groups_(delivery.topic(), delivery.group());
  }
  void count(const Delivery& delivery, DeliveryEvent event) { of(delivery).of(event).add(); }
  void failed(const Delivery& delivery, DeliveryEvent event, const Error& error) {
    auto& tallies = of(delivery);
    tallies.of(event).add();
    // Where the handler was not called, waiting was all there was to do.
    if (delivery.attempted()) tallies.failed[index(error.code)].add(took(delivery));
  }

  static TopicMetrics read(std::string_view topic, const detail::TopicTallies& tallies) {
    TopicMetrics metrics{std::string{topic}, tallies.published.get(),
                         tallies.failed[index(Errc::outcome_unknown)].get(), {}};
    for (std::size_t code = 0; code < detail::error_codes; ++code) {
      const std::uint64_t count = tallies.failed[code].get();
      if (count == 0 || code == index(Errc::outcome_unknown)) continue;
      metrics.failed.push_back({static_cast<Errc>(code), count});
    }
    return metrics;
  }

  static GroupMetrics read(std::string_view topic, std::string_view group,
                           const detail::GroupTallies& tallies) {
    GroupMetrics metrics{std::string{topic}, std::string{group}};
    for (const auto& stripe : tallies.stripes) {
      metrics.consumed += stripe.consumed.get();
      metrics.delivered += stripe.again.get();
      stripe.handled.add_to(metrics.handled_in);
    }
    metrics.delivered += metrics.consumed;
    metrics.handled = metrics.handled_in.count();
    metrics.retried = tallies.count(DeliveryEvent::retrying);
    metrics.dead_lettered = tallies.count(DeliveryEvent::dead_lettered);
    metrics.dropped = tallies.count(DeliveryEvent::dropped);
    metrics.duplicates = tallies.count(DeliveryEvent::duplicate);
    metrics.given_back = tallies.count(DeliveryEvent::given_back);
    metrics.out_of_sequence = tallies.count(DeliveryEvent::out_of_sequence);
    for (std::size_t code = 0; code < detail::error_codes; ++code) {
      DurationHistogram took;
      tallies.failed[code].add_to(took);
      if (took.count() > 0) metrics.failed_in.push_back({static_cast<Errc>(code), took});
    }
    return metrics;
  }

  const std::string system_;
  detail::SeriesTable<detail::TopicTallies> topics_;
  detail::SeriesTable<detail::GroupTallies> groups_;
};

}  // namespace omnibus
