// SPDX-License-Identifier: MIT
#pragma once

#include <librdkafka/rdkafka.h>

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <set>
#include <string>
#include <utility>

#include <omnibus/backends/kafka/client.hpp>
#include <omnibus/detail/smaller.hpp>
#include <omnibus/detail/thread.hpp>

// Fetching goes on as soon as what was fetched has been taken. Before 2.2 (fetch.queue.backoff.ms),
// librdkafka stops fetching when the queues of all partitions are full and looks again only after a
// second, however fast they were emptied: a full queue a second is then all that a consumer gets. It looks
// at once when there is a request to the broker that leads the partition, so somebody makes one.

namespace omnibus::kafka {

/// What was taken from a partition's queue since fetching was last asked for.
struct Taken {
  std::size_t records = 0;
  std::size_t bytes = 0;
};

/// Asks from a thread of its own, because such a request waits behind the one that waits for new records.
/// Thread safety: `taken` from one thread. Lifetime: the client must outlive it.
class Refill {
 public:
  static bool is_needed() noexcept { return rd_kafka_version() < 0x020200ff; }

  explicit Refill(rd_kafka_t* client)
      : client_{client},
        half_{number_of(client, "queued.min.messages") / 2,
              number_of(client, "queued.max.messages.kbytes") * 512} {}
  ~Refill() {
    {
      std::lock_guard lock{mutex_};
      stopping_ = true;
    }
    signal_.notify_one();
  }
  Refill(const Refill&) = delete;

  /// Something was taken from the queue of a partition. When that was half of what fits, asks for more.
  void taken(Taken& all, const std::string& topic, std::int32_t partition) {
    if (all.records < half_.records && all.bytes < half_.bytes) return;
    all = {};
    {
      std::lock_guard lock{mutex_};
      wanted_.emplace(topic, partition);
    }
    signal_.notify_one();
    if (!thread_.joinable()) thread_ = omnibus::detail::DeepThread{[this] { run(); }};
  }

 private:
  void run() {
    std::unique_lock lock{mutex_};
    while (true) {
      signal_.wait(lock, [this] { return stopping_ || !wanted_.empty(); });
      if (stopping_) return;
      const auto next = wanted_.extract(wanted_.begin()).value();
      lock.unlock();
      constexpr int patience_ms = 1000;
      std::int64_t low = 0, high = 0;  // it is the question that matters
      rd_kafka_query_watermark_offsets(client_, next.first.c_str(), next.second, &low, &high, patience_ms);
      lock.lock();
    }
  }

  rd_kafka_t* const client_;
  const Taken half_;
  std::mutex mutex_;
  std::condition_variable signal_;
  std::set<std::pair<std::string, std::int32_t>> wanted_;
  bool stopping_ = false;
  omnibus::detail::DeepThread thread_;  // ends before the rest
};

}  // namespace omnibus::kafka
