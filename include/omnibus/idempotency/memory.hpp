// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/clock.hpp>
#include <omnibus/detail/hash.hpp>
#include <omnibus/idempotency/store.hpp>

// Idempotency keys in memory: bounded, expiring, for the consumers of one process.

namespace omnibus {

/// What bounds a MemoryKeyStore.
struct MemoryKeyStoreOptions {
  std::size_t capacity = 1'000'000;           ///< keys; the oldest completed one makes room
  Duration keep = std::chrono::hours{24};     ///< how long a completed key is remembered
  const Clock* clock = nullptr;               ///< nullptr: the machine's
};

/// A KeyStore for one process. Full, it forgets the oldest completed keys, so that an old duplicate
/// may be handled again; it never forgets one in progress, and when all are, a claim fails with
/// `unavailable` and the message waits.
/// Thread safety: shared objects are safe. Lifetime: it must outlive the subscriptions that use it.
class MemoryKeyStore {
 public:
  explicit MemoryKeyStore(MemoryKeyStoreOptions options = {})
      : keep_{options.keep}, clock_{options.clock != nullptr ? options.clock : &system_} {
    if (options.capacity == 0 || options.capacity > UINT32_MAX) {
      throw std::invalid_argument{"omnibus: MemoryKeyStore: capacity must be 1 to 2^32-1"};
    }
    if (options.keep <= Duration::zero()) {
      throw std::invalid_argument{"omnibus: MemoryKeyStore: keep must be positive"};
    }
    // Small stores have one shard, so that their capacity is exact.
    shard_count_ = options.capacity < 1024 ? 1 : shards_.size();
    for (Shard& shard : shards_) shard.capacity = options.capacity / shard_count_;
  }
  MemoryKeyStore(const MemoryKeyStore&) = delete;
  MemoryKeyStore& operator=(const MemoryKeyStore&) = delete;

  Result<Claim> claim(const IdempotencyKey& key, const detail::Hash128& fingerprint, Duration lease) {
    const std::uint64_t hash = hash_of(key);
    Shard& shard = shard_of(hash);
    const Instant now = clock_->now();
    std::lock_guard lock{shard.mutex};
    shard.forget_expired(now);
    Entry* entry = shard.find(hash, key);
    if (entry == nullptr) {
      entry = shard.add(hash, key);
      if (entry == nullptr) {
        return Error::make(Errc::unavailable, "claim idempotency key",
                           "the store is full of keys in progress; raise its capacity");
      }
      entry->fingerprint = fingerprint;
    } else if (entry->fingerprint != fingerprint) {
      return Claim{Claim::State::mismatch, 0, 0, {}};
    } else if (entry->completed) {
      return Claim{Claim::State::completed, 0, 0, {}};
    } else if (entry->until > now) {
      return Claim{Claim::State::in_progress, 0, 0, entry->until - now};
    }
    entry->until = now + lease;
    entry->claimed = now;
    entry->fence = ++shard.last_fence;
    return Claim{Claim::State::acquired, entry->fence, shard.index_of(*entry), {}};
  }

  Result<> complete(const IdempotencyKey& key, const Claim& claim) {
    const std::uint64_t hash = hash_of(key);
    Shard& shard = shard_of(hash);
    std::lock_guard lock{shard.mutex};
    Entry* entry = shard.held(hash, claim);
    if (entry == nullptr) return fenced("complete");
    entry->completed = true;
    entry->until = entry->claimed + keep_;
    shard.append_completed(*entry);
    return {};
  }

  Result<> release(const IdempotencyKey& key, const Claim& claim) {
    const std::uint64_t hash = hash_of(key);
    Shard& shard = shard_of(hash);
    std::lock_guard lock{shard.mutex};
    Entry* entry = shard.held(hash, claim);
    if (entry == nullptr) return fenced("release");
    shard.remove(*entry);
    return {};
  }

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
  static constexpr std::uint32_t none = UINT32_MAX;

  struct Entry {
    std::uint64_t hash = 0;
    std::string name;  ///< consumer, topic and key; keeps its capacity when the entry is used again
    detail::Hash128 fingerprint;
    Instant until{};    ///< end of the lease, or of being remembered
    Instant claimed{};
    std::uint64_t fence = 0;
    bool completed = false;
    std::uint32_t chain = none;  ///< the next entry in its bucket, or in the free list
    std::uint32_t older = none;  ///< the completed entries, by time
    std::uint32_t newer = none;
  };

  /// One share of the keys: entries in a slab, found through chains, forgotten oldest first.
  struct alignas(64) Shard {
    mutable std::mutex mutex;
    std::size_t capacity = 0;
    std::size_t used = 0;
    std::uint64_t last_fence = 0;
    std::vector<Entry> entries;
    std::vector<std::uint32_t> buckets = std::vector<std::uint32_t>(64, none);
    std::uint32_t free = none;
    std::uint32_t oldest = none;
    std::uint32_t newest = none;
    std::atomic<std::uint64_t> forgotten{0};

    std::uint32_t index_of(const Entry& entry) const noexcept {
      return static_cast<std::uint32_t>(&entry - entries.data());
    }
    std::uint32_t& bucket(std::uint64_t hash) noexcept {
      return buckets[static_cast<std::size_t>(hash >> 8) & (buckets.size() - 1)];
    }

    Entry* find(std::uint64_t hash, const IdempotencyKey& key) noexcept {
      for (std::uint32_t at = bucket(hash); at != none; at = entries[at].chain) {
        if (entries[at].hash == hash && is_named(entries[at].name, key)) return &entries[at];
      }
      return nullptr;
    }

    /// The entry of a claim that is still in force.
    Entry* held(std::uint64_t hash, const Claim& claim) noexcept {
      if (claim.handle >= entries.size()) return nullptr;
      Entry& entry = entries[static_cast<std::size_t>(claim.handle)];
      const bool same = entry.hash == hash && entry.fence == claim.fence && claim.fence != 0;
      return same && !entry.completed ? &entry : nullptr;
    }

    /// A new entry of this name; nullptr when there is no room.
    Entry* add(std::uint64_t hash, const IdempotencyKey& key) {
      if (used >= capacity) {
        if (oldest == none) return nullptr;
        forgotten.fetch_add(1, std::memory_order_relaxed);
        remove(entries[oldest]);
      }
      if (free == none) {
        if (entries.size() >= buckets.size()) grow();
        entries.emplace_back();
        free = static_cast<std::uint32_t>(entries.size() - 1);
      }
      Entry& entry = entries[free];
      free = std::exchange(entry.chain, bucket(hash));
      bucket(hash) = index_of(entry);
      entry.hash = hash;
      entry.name.assign(key.consumer).append(1, '\0').append(key.topic).append(1, '\0').append(key.key);
      ++used;
      return &entry;
    }

    void remove(Entry& entry) noexcept {
      std::uint32_t* at = &bucket(entry.hash);
      while (*at != index_of(entry)) at = &entries[*at].chain;
      *at = entry.chain;
      if (entry.completed) {
        (entry.older == none ? oldest : entries[entry.older].newer) = entry.newer;
        (entry.newer == none ? newest : entries[entry.newer].older) = entry.older;
      }
      entry.completed = false;
      entry.fence = 0;
      entry.chain = std::exchange(free, index_of(entry));
      --used;
    }

    void append_completed(Entry& entry) noexcept {
      entry.newer = none;
      entry.older = newest;
      (newest == none ? oldest : entries[newest].newer) = index_of(entry);
      newest = index_of(entry);
    }

    /// Forgets a few entries whose time is over: as many as may have come since.
    void forget_expired(Instant now) noexcept {
      for (int i = 0; i < 2 && oldest != none && entries[oldest].until <= now; ++i) {
        remove(entries[oldest]);
      }
    }

    void grow() {
      std::vector<std::uint32_t> wider(buckets.size() * 2, none);
      buckets.swap(wider);
      for (Entry& entry : entries) entry.chain = std::exchange(bucket(entry.hash), index_of(entry));
    }

    static bool is_named(std::string_view name, const IdempotencyKey& key) noexcept {
      const std::size_t topic = key.consumer.size() + 1;
      const std::size_t rest = topic + key.topic.size() + 1;
      return name.size() == rest + key.key.size() && name.substr(rest) == key.key &&
             name.starts_with(key.consumer) && name.substr(topic, key.topic.size()) == key.topic &&
             name[topic - 1] == '\0' && name[rest - 1] == '\0';
    }
  };

  static std::uint64_t hash_of(const IdempotencyKey& key) noexcept {
    const std::uint64_t scope = detail::hash64(key.topic, detail::hash64(key.consumer));
    return detail::hash64(key.key, scope);
  }
  Shard& shard_of(std::uint64_t hash) noexcept { return shards_[hash % shard_count_]; }

  static Error fenced(std::string_view what) {
    return Error::make(Errc::rejected, std::string{what} + " idempotency key",
                       "the lease ended and the key is no longer this claim's");
  }

  SystemClock system_;
  const Duration keep_;
  const Clock* clock_;
  std::size_t shard_count_ = 1;
  std::array<Shard, 16> shards_;
};

static_assert(KeyStore<MemoryKeyStore>);

}  // namespace omnibus
