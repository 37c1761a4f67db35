// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <time.h>

#include <omnibus/clock.hpp>
#include <omnibus/detail/hash.hpp>
#include <omnibus/detail/tag_table.hpp>
#include <omnibus/idempotency/store.hpp>

// Idempotency keys in memory: bounded, expiring, for the consumers of one process.

namespace omnibus {

/// What bounds a MemoryKeyStore.
struct MemoryKeyStoreOptions {
  std::size_t capacity = 1'000'000;           ///< keys; the oldest completed one makes room
  Duration keep = std::chrono::hours{24};     ///< how long a completed key is remembered
  std::size_t max_result = detail::usual_max_result;  ///< bytes that a completion may leave; 1 MiB at most
  /// Bytes of all results together; the oldest completed keys make room.
  std::size_t all_results = std::size_t{256} * 1024 * 1024;
  const Clock* clock = nullptr;               ///< nullptr: the machine's
};

/// A KeyStore for one process. Full of keys or results, it forgets the oldest completed keys, so that an old
/// duplicate may be handled again; it never forgets one in progress, and when all are, a claim fails with
/// `unavailable` and the message waits.
/// Thread safety: shared objects are safe. Lifetime: it must outlive the subscriptions that use it.
class MemoryKeyStore {
 public:
  explicit MemoryKeyStore(MemoryKeyStoreOptions options = {})
      : keep_{options.keep}, max_result_{options.max_result}, clock_{options.clock != nullptr ? options.clock : &ticks_} {
    if (options.capacity == 0 || options.capacity > UINT32_MAX) {
      throw std::invalid_argument{"omnibus: MemoryKeyStore: capacity must be 1 to 2^32-1"};
    }
    if (options.keep <= Duration::zero()) {
      throw std::invalid_argument{"omnibus: MemoryKeyStore: keep must be positive"};
    }
    // Small stores have one shard, so that their capacity is exact.
    shard_count_ = options.capacity < 1024 ? 1 : 16;
    if (options.max_result > detail::most_max_result) {
      throw std::invalid_argument{"omnibus: MemoryKeyStore: max_result must be at most 1 MiB"};
    }
    if (options.all_results / shards_.size() < options.max_result) {
      throw std::invalid_argument{"omnibus: MemoryKeyStore: all_results must be at least 16 times max_result"};
    }
    for (Shard& shard : shards_) {
      shard.capacity = options.capacity / shard_count_;
      shard.all_results = options.all_results / shard_count_;
    }
  }
  MemoryKeyStore(const MemoryKeyStore&) = delete;
  MemoryKeyStore& operator=(const MemoryKeyStore&) = delete;

  Result<Claim> claim(const IdempotencyKey& key, const detail::Hash128& fingerprint, Duration lease) {
    const std::uint64_t hash =
        detail::hash64(key.key, detail::hash64(key.topic, detail::hash64(key.consumer)));
    const auto tag = static_cast<std::uint32_t>(hash >> 32);
    const auto number = static_cast<std::uint32_t>(hash) & (shard_count_ - 1);
    Shard& shard = shards_[number];
    std::lock_guard lock{shard.mutex};
    shard.prefetch(tag);
    const Instant now = clock_->now();
    shard.forget_expired(now);
    std::uint32_t index = shard.find(tag, key);
    if (index == none) {
      index = shard.add(tag, key);
      if (index == none) {
        return Error::make(Errc::unavailable, "claim idempotency key",
                           "the store is full of keys in progress; raise its capacity");
      }
      shard.at(index).fingerprint = fingerprint;
    } else {
      const Entry& entry = shard.at(index);
      if (entry.fingerprint != fingerprint) return Claim{Claim::State::mismatch, 0, 0, {}};
      if (entry.completed) {
        return Claim{Claim::State::completed, 0, 0, {}, entry.result ? *entry.result : std::string{}};
      }
      if (entry.until > now) return Claim{Claim::State::in_progress, 0, 0, entry.until - now};
    }
    Entry& entry = shard.at(index);
    entry.until = after(now, lease);
    entry.fence = ++shard.last_fence;
    return Claim{Claim::State::acquired, entry.fence, std::uint64_t{number} << 32 | index, lease};
  }

  Result<> complete(const IdempotencyKey&, const Claim& claim, std::string_view result = {}) {
    if (result.size() > max_result_) return detail::result_too_large(result.size(), max_result_);
    auto kept = result.empty() ? nullptr : std::make_unique<const std::string>(result);
    Shard& shard = shard_of(claim);
    std::lock_guard lock{shard.mutex};
    const std::uint32_t index = shard.held(claim);
    if (index == none) return detail::no_longer_held("complete");
    Entry& entry = shard.at(index);
    entry.completed = 1;
    // From the time of the claim, without asking the clock; a lease without end is kept for ever.
    if (entry.until != Instant::max()) entry.until = after(entry.until - claim.lease, keep_);
    shard.append_completed(index);
    if (kept) shard.keep_result(index, std::move(kept));
    return {};
  }

  Result<> release(const IdempotencyKey&, const Claim& claim) {
    Shard& shard = shard_of(claim);
    std::lock_guard lock{shard.mutex};
    const std::uint32_t index = shard.held(claim);
    if (index == none) return detail::no_longer_held("release");
    shard.remove(index);
    return {};
  }

  std::size_t max_result() const noexcept { return max_result_; }

  /// How many completed keys were forgotten before their time because the store was full.
  std::uint64_t forgotten() const noexcept {
    std::uint64_t sum = 0;
    for (const Shard& shard : shards_) sum += shard.forgotten.load(std::memory_order_relaxed);
    return sum;
  }
  /// How many keys it holds.
  std::size_t size() const {
    std::size_t sum = 0;
    for (const Shard& shard : shards_) {
      std::lock_guard lock{shard.mutex};
      sum += shard.used;
    }
    return sum;
  }

 private:
  static constexpr std::uint32_t none = detail::TagTable::none;

  /// Consumer, topic and key, with zeros between, lie inside when they are short, as they usually
  /// are. The first cache line holds all but their characters.
  struct alignas(64) Entry {
    std::uint64_t fence = 0;
    detail::Hash128 fingerprint;
    Instant until{};             ///< end of the lease, or of being remembered
    std::uint32_t older = none;  ///< the completed entries, by time; `older` also lists the free ones
    std::uint32_t newer = none;
    std::unique_ptr<char[]> long_name;
    std::unique_ptr<const std::string> result;
    std::uint32_t tag = 0;
    std::uint32_t name_size : 31 = 0;
    std::uint32_t completed : 1 = 0;
    alignas(64) char short_name[64];

    void set_name(const IdempotencyKey& key) {
      const std::size_t size = key.consumer.size() + key.topic.size() + key.key.size() + 2;
      name_size = static_cast<std::uint32_t>(size) & 0x7FFF'FFFF;
      if (size > sizeof short_name) long_name = std::make_unique_for_overwrite<char[]>(size);
      char* at = long_name ? long_name.get() : short_name;
      const auto put = [&at](std::string_view part) {
        if (!part.empty()) std::memcpy(at, part.data(), part.size());
        at += part.size();
      };
      put(key.consumer);
      *at++ = '\0';
      put(key.topic);
      *at++ = '\0';
      put(key.key);
    }
    bool is_named(const IdempotencyKey& key) const noexcept {
      const std::string_view name{long_name ? long_name.get() : short_name, name_size};
      const std::size_t topic = key.consumer.size() + 1;
      const std::size_t rest = topic + key.topic.size() + 1;
      return name.size() == rest + key.key.size() && name.substr(rest) == key.key &&
             name.starts_with(key.consumer) && name.substr(topic, key.topic.size()) == key.topic &&
             name[topic - 1] == '\0' && name[rest - 1] == '\0';
    }
  };
  static_assert(sizeof(Entry) == 128);

  /// One share of the keys: entries in blocks that never move, forgotten oldest first.
  struct alignas(64) Shard {
    mutable std::mutex mutex;
    std::size_t capacity = 0;
    std::size_t used = 0;
    std::size_t all_results = 0;  // at most, in bytes
    std::size_t results = 0;
    std::uint64_t last_fence = 0;
    std::vector<std::unique_ptr<Entry[]>> blocks;
    detail::TagTable table;
    std::uint32_t made = 0;
    std::uint32_t free = none;
    std::uint32_t oldest = none;
    std::uint32_t newest = none;
    std::atomic<std::uint64_t> forgotten{0};

    Entry& at(std::uint32_t index) noexcept { return blocks[index / block_size][index % block_size]; }
    /// Fetches what `find` will look at, and `remove` of the oldest, both at once.
    void prefetch(std::uint32_t tag) noexcept {
      table.prefetch(tag);
      if (used >= capacity && oldest != none) table.prefetch(at(oldest).tag);
    }

    /// The index of the key's entry, or none.
    std::uint32_t find(std::uint32_t tag, const IdempotencyKey& key) noexcept {
      return table.find(tag, [&](std::uint32_t index) { return at(index).is_named(key); });
    }

    /// The index of a claim's entry, or none when the claim is no longer in force.
    std::uint32_t held(const Claim& claim) noexcept {
      const auto index = static_cast<std::uint32_t>(claim.handle);
      if (index >= made || claim.fence == 0) return none;
      return at(index).fence == claim.fence && !at(index).completed ? index : none;
    }

    /// A new entry for the key, or none when there is no room.
    std::uint32_t add(std::uint32_t tag, const IdempotencyKey& key) {
      if (used >= capacity) {
        if (oldest == none) return none;
        forget_oldest();
      }
      if (free == none) {
        if (made % block_size == 0) blocks.push_back(std::make_unique<Entry[]>(block_size));
        free = made++;
      }
      const std::uint32_t index = free;
      Entry& entry = at(index);
      entry.set_name(key);
      entry.tag = tag;
      table.insert(tag, index, used + 1);
      ++used;
      free = entry.older;
      return index;
    }

    void remove(std::uint32_t index) noexcept {
      Entry& entry = at(index);
      table.remove(entry.tag, index);
      if (entry.completed) {
        (entry.older == none ? oldest : at(entry.older).newer) = entry.newer;
        (entry.newer == none ? newest : at(entry.newer).older) = entry.older;
      }
      entry.completed = 0;
      entry.fence = 0;
      entry.long_name.reset();
      if (entry.result) results -= entry.result->size();
      entry.result.reset();
      entry.older = std::exchange(free, index);
      --used;
    }

    void append_completed(std::uint32_t index) noexcept {
      at(index).newer = none;
      at(index).older = newest;
      (newest == none ? oldest : at(newest).newer) = index;
      newest = index;
    }

    /// For the newest completed entry: the oldest make room for its result.
    void keep_result(std::uint32_t index, std::unique_ptr<const std::string> result) noexcept {
      results += result->size();
      at(index).result = std::move(result);
      while (results > all_results && oldest != index) forget_oldest();
    }

    void forget_oldest() noexcept {
      forgotten.fetch_add(1, std::memory_order_relaxed);
      remove(oldest);
    }

    /// Forgets a few entries whose time is over: as many as may have come since.
    void forget_expired(Instant now) noexcept {
      for (int i = 0; i < 2 && oldest != none && at(oldest).until <= now; ++i) remove(oldest);
    }

   private:
    static constexpr std::size_t block_size = 512;
  };

  Shard& shard_of(const Claim& claim) noexcept {
    return shards_[(claim.handle >> 32) & (shard_count_ - 1)];
  }

  /// Leases and memory are a matter of seconds: the clock of the last timer tick will do, which is
  /// read in a fifth of the time.
  class TickClock final : public Clock {
   public:
    Instant now() const noexcept override {
      timespec time{};
      clock_gettime(CLOCK_MONOTONIC_COARSE, &time);
      return Instant{std::chrono::seconds{time.tv_sec} + std::chrono::nanoseconds{time.tv_nsec}};
    }
    Time wall() const noexcept override { return std::chrono::system_clock::now(); }
  };

  TickClock ticks_;
  const Duration keep_;
  const std::size_t max_result_;
  const Clock* clock_;
  std::uint32_t shard_count_ = 1;  ///< a power of two
  std::array<Shard, 16> shards_;
};

static_assert(KeyStore<MemoryKeyStore>);

}  // namespace omnibus
