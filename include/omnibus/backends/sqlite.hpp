// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include <omnibus/backend.hpp>
#include <omnibus/backends/sqlite/consumer.hpp>
#include <omnibus/backends/sqlite/file.hpp>
#include <omnibus/backends/sqlite/publisher.hpp>
#include <omnibus/clock.hpp>
#include <omnibus/detail/uuid.hpp>
#include <omnibus/limits.hpp>
#include <omnibus/subscription_spec.hpp>

// The durable embedded backend: topics and groups are tables of one SQLite file, which the processes of a
// machine share without a server.

namespace omnibus {

/// An SQLite file with a write-ahead log, on a local disk.
/// Delivery: at least once. A publish is ok when the transaction with it is committed, which is to say on the
/// disk, unless `durability` says less. What many threads publish at once, and what consumers settle meanwhile,
/// shares a transaction.
/// Order: of one key, also when members join, leave or are killed. A shard has one owner, who renews a lease;
/// one that was stopped for longer than that can no longer settle.
/// Attempts: the file is told of what is handed out before it is, so that those of a killed member count. What
/// such a member had settled in its last hundredth of a second may come again.
/// Delays: never early; on the wall clock of the machine, as leases are.
/// Latency: consumers of the same bus hear of a message at once, other buses and processes within
/// `look_every`.
/// Messages are kept, and the file grows, unless `trim` or `shard_bound` says otherwise; room that was freed
/// is used again, and the file does not shrink.
class Sqlite {
 public:
  /// How to make one. Malformed values throw std::invalid_argument and name the field.
  struct Config {
    std::string endpoint = {};  ///< the path of the file, which is made where there is none
    std::string group = {};     ///< of subscriptions that name none
    Durability durability = Durability::power_loss;  ///< what a publish that is ok survives
    /// Among which the keys of a topic are divided, and members share. Fixed when the topic is made.
    std::int32_t shards = 8;
    /// What a member owns that shows no sign of life for so long is taken over by others.
    Duration lease = std::chrono::seconds{10};
    /// How often a consumer looks whether other processes have written: a few microseconds each time.
    Duration look_every = std::chrono::milliseconds{10};
    /// Remove what every group has finished. Groups that come later do not get it.
    bool trim = false;
    /// How many messages a shard keeps, roughly; 0: any number. What is dropped unread is reported to the
    /// observers of its groups.
    std::uint64_t shard_bound = 0;
    std::uint64_t max_pages = 0;  ///< of the file, of 4 KiB where it is new; 0: as many as the disk has
    std::size_t publish_window = 8192;             ///< messages that have no ending yet
    std::size_t publish_window_bytes = 64u << 20;  ///< and their bytes
  };
  using Consumer = sqlite::Consumer;
  static constexpr Capabilities capabilities{.name = "sqlite",
                                             .durable = true,
                                             .shared = true,
                                             .groups = true,
                                             .redelivers = true,
                                             .ordered_by_key = true,
                                             .retains = true,
                                             .delays = true,
                                             .replay_by_position = true,
                                             .replay_by_time = true,
                                             .counts_attempts = true,
                                             .atomic_publish = true,
                                             .quiet = std::chrono::milliseconds{200}};

  explicit Sqlite(Config config)
      : publisher_{std::make_shared<sqlite::Publisher>(settings(std::move(config)))} {}
  ~Sqlite() { (void)close(Instant::min()); }
  Sqlite(const Sqlite&) = delete;

  void submit(std::string_view topic, std::span<Outgoing> messages, const Submit& how) {
    publisher_->submit(topic, messages, how);
  }
  /// One transaction of the file, of up to a publish window.
  void submit_atomic(std::span<const Addressed> messages, const Submit& how, AtomicDone done) {
    publisher_->submit_atomic(messages, how, std::move(done));
  }
  Result<> flush(Instant until) { return publisher_->flush(until); }

  /// Throws std::invalid_argument for a reader without a group that gives order up.
  Consumer consume(const SubscriptionSpec& spec) {
    const bool reads_only = spec.group.empty() || spec.use == Use::look;
    require(!reads_only || spec.order != Order::relaxed, "a reader without a group cannot be relaxed");
    return Consumer{publisher_,
                    {spec.topic, spec.group, spec.start, reads_only, spec.use == Use::pick, new_member()}};
  }
  /// The state of the publishing side. The file is opened by the first publish or subscription.
  Health health() const { return publisher_->health(); }
  const Clock& clock() const noexcept { return clock_; }
  Result<> close(Instant until) { return publisher_->close(until); }

 private:
  static void require(bool good, const char* what) {
    if (!good) throw std::invalid_argument{std::string{"omnibus: sqlite: "} + what};
  }
  static sqlite::Settings settings(Config config) {
    require(!config.endpoint.empty(), "endpoint must be the path of a file");
    require(config.endpoint.find('\0') == std::string::npos, "endpoint must not have a zero byte");
    require(config.endpoint != ":memory:", "endpoint must be the path of a file; Memory needs none");
    require(config.group.empty() || is_topic_name(config.group), "group is no name");
    require(config.shards >= 1 && config.shards <= 256, "shards must be 1 to 256");
    require(config.lease >= std::chrono::milliseconds{500}, "lease must be at least 500ms");
    require(config.look_every >= std::chrono::milliseconds{1}, "look_every must be at least 1ms");
    require(config.max_pages < UINT32_MAX, "max_pages must be less than 4294967295");
    require(config.publish_window >= 1, "publish_window must be at least 1");
    return {std::move(config.endpoint),
            config.durability,
            config.shards,
            sqlite::to_us(config.lease),
            config.look_every,
            config.trim,
            config.shard_bound,
            config.publish_window,
            config.publish_window_bytes,
            static_cast<std::int64_t>(config.max_pages)};
  }
  /// A name for a member, which no other one has.
  static std::int64_t new_member() noexcept { return static_cast<std::int64_t>(detail::entropy64() >> 2) + 1; }

  const SystemClock clock_{};
  const std::shared_ptr<sqlite::Publisher> publisher_;
};

static_assert(Backend<Sqlite>);

}  // namespace omnibus
