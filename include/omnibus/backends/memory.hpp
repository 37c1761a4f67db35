// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/backend.hpp>
#include <omnibus/backends/memory/broker.hpp>
#include <omnibus/backends/memory/consumer.hpp>
#include <omnibus/limits.hpp>

// The embedded backend: topics are logs, groups are cursors, keys are lanes. It needs no server and
// is the executable meaning of the contracts.

namespace omnibus {

/// A broker inside this process. Buses with the same endpoint share one, which lives as long as the
/// last of them; an empty endpoint is a broker of its own.
/// Delivery: at least once within the process; nothing survives its end.
/// Bounded: a topic's log keeps the newest `log_bytes`. What some group has not finished is never
/// dropped: when the log is full of it, publishing blocks, then fails with window_full.
class Memory {
 public:
  /// How to make one. Malformed values throw std::invalid_argument and name the field.
  struct Config {
    std::string endpoint = {};           ///< the name of the in-process broker
    std::string group = {};              ///< of subscriptions that name none
    std::size_t log_bytes = 256u << 20;  ///< of each topic: at least 64 KiB
    std::size_t delayed = 100'000;       ///< messages of each topic that wait for their time
    std::int32_t partitions = 64;        ///< shares of the keys that members of a group divide up
    Clock* clock = nullptr;              ///< nullptr: the machine's; see VirtualClock
  };
  using Consumer = memory::Consumer;
  static constexpr Capabilities capabilities{.name = "memory",
                                             .durable = false,
                                             .shared = false,
                                             .groups = true,
                                             .redelivers = true,
                                             .ordered_by_key = true,
                                             .retains = true,
                                             .delays = true,
                                             .replay_by_position = true,
                                             .replay_by_time = true,
                                             .counts_attempts = true,
                                             .atomic_publish = true};

  explicit Memory(Config config) : broker_{open(config)} {}

  void submit(std::string_view topic, std::span<Outgoing> messages, const Submit& how) {
    if (!closed_.load(std::memory_order_relaxed)) return find(topic).submit(messages, how);
    for (Outgoing& each : messages) {
      each.done(Error::make(Errc::closed, "publish", "the bus is closed"));
    }
  }
  /// A topic takes up to an eighth of log_bytes at once.
  void submit_atomic(std::span<const Addressed> messages, const Submit& how, AtomicDone done) {
    if (closed_.load()) return done(Error::make(Errc::closed, "publish", "the bus is closed"));
    std::vector<memory::Topic*> topics;
    for (const Addressed& each : messages) topics.push_back(&find(each.topic));
    auto stored = memory::Topic::store_as_one(topics, messages, how);
    stored ? done(std::span<const Receipt>{*stored}) : done(std::move(stored.error()));
  }
  Result<> flush(Instant) { return {}; }
  Consumer consume(const SubscriptionSpec& spec) { return Consumer{broker_, spec}; }
  Health health() const { return {!closed_.load(), closed_.load() ? "closed" : ""}; }
  const Clock& clock() const noexcept { return broker_->clock(); }
  Result<> close(Instant) {
    closed_.store(true);
    return {};
  }

 private:
  static std::shared_ptr<memory::Broker> open(const Config& config) {
    const auto require = [](bool good, const char* what) {
      if (!good) throw std::invalid_argument{std::string{"omnibus: memory: "} + what};
    };
    require(config.group.empty() || is_topic_name(config.group), "group is no name");
    require(config.log_bytes >= 64 * 1024, "log_bytes must be at least 65536");
    require(config.partitions >= 1 && config.partitions <= 4096, "partitions must be 1 to 4096");
    return memory::Broker::named(config.endpoint,
                                 {config.log_bytes, config.delayed, config.partitions}, config.clock);
  }

  /// The topic, without the broker's lock when it is the one that was used last.
  memory::Topic& find(std::string_view name) {
    memory::Topic* last = last_topic_.load(std::memory_order_acquire);
    if (last != nullptr && last->name() == name) return *last;
    memory::Topic& topic = broker_->topic(name);
    last_topic_.store(&topic, std::memory_order_release);
    return topic;
  }

  const std::shared_ptr<memory::Broker> broker_;
  std::atomic<memory::Topic*> last_topic_{nullptr};
  std::atomic<bool> closed_{false};
};

static_assert(Backend<Memory>);

}  // namespace omnibus
