// SPDX-License-Identifier: MIT
#include <omnibus/idempotency/memory.hpp>

#include <atomic>
#include <list>
#include <map>
#include <set>
#include <thread>
#include <tuple>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;
using State = Claim::State;

namespace {

constexpr detail::Hash128 payload{1, 2};
constexpr detail::Hash128 other_payload{1, 3};

IdempotencyKey key_of(std::string_view key) { return {"billing", "orders", key}; }

/// A claim that must not fail.
Claim claim(MemoryKeyStore& store, const IdempotencyKey& key, Duration lease = 1min,
            const detail::Hash128& fingerprint = payload) {
  return store.claim(key, fingerprint, lease).value();
}

}  // namespace

TEST_CASE("a key is free, then in progress, then completed") {
  VirtualClock clock;
  MemoryKeyStore store{{.clock = &clock}};
  const Claim mine = claim(store, key_of("1"));
  CHECK(mine.state == State::acquired);
  CHECK(mine.fence > 0);
  CHECK(mine.lease == 1min);
  clock.advance(20s);
  const Claim theirs = claim(store, key_of("1"));
  CHECK(theirs.state == State::in_progress);
  CHECK(theirs.lease == 40s);
  CHECK(store.complete(key_of("1"), mine));
  CHECK(claim(store, key_of("1")).state == State::completed);
  CHECK(store.size() == 1);
}

TEST_CASE("a released key can be claimed again, with a higher fence") {
  VirtualClock clock;
  MemoryKeyStore store{{.clock = &clock}};
  const Claim first = claim(store, key_of("1"));
  CHECK(store.release(key_of("1"), first));
  CHECK(store.size() == 0);
  const Claim second = claim(store, key_of("1"));
  CHECK(second.state == State::acquired);
  CHECK(second.fence > first.fence);
  CHECK_FALSE(store.complete(key_of("1"), first));
  CHECK(store.complete(key_of("1"), second));
}

TEST_CASE("a released key may be claimed with another payload, since nothing was done with it") {
  MemoryKeyStore store;
  CHECK(store.release(key_of("1"), claim(store, key_of("1"))));
  CHECK(claim(store, key_of("1"), 1min, other_payload).state == State::acquired);
}

TEST_CASE("a lease that is over lets another take the key; the first can then do nothing with it") {
  VirtualClock clock;
  MemoryKeyStore store{{.clock = &clock}};
  const Claim first = claim(store, key_of("1"), 10s);
  clock.advance(10s - 1ns);
  CHECK(claim(store, key_of("1"), 10s).state == State::in_progress);
  clock.advance(1ns);
  const Claim second = claim(store, key_of("1"), 10s);
  CHECK(second.state == State::acquired);
  CHECK(second.fence > first.fence);

  const Result<> late = store.complete(key_of("1"), first);
  REQUIRE_FALSE(late);
  CHECK(late.error().code == Errc::rejected);
  CHECK_FALSE(late.error().retryable);
  CHECK_FALSE(store.release(key_of("1"), first));
  CHECK(claim(store, key_of("1")).state == State::in_progress);

  CHECK(store.complete(key_of("1"), second));
  CHECK_FALSE(store.complete(key_of("1"), first));
  CHECK_FALSE(store.release(key_of("1"), first));
  CHECK(claim(store, key_of("1")).state == State::completed);
}

TEST_CASE("whoever completes late, but before anybody else came, has completed") {
  VirtualClock clock;
  MemoryKeyStore store{{.clock = &clock}};
  const Claim mine = claim(store, key_of("1"), 10s);
  clock.advance(1h);
  CHECK(store.complete(key_of("1"), mine));
  CHECK(claim(store, key_of("1")).state == State::completed);
}

TEST_CASE("a claim ends once: neither complete nor release works twice") {
  MemoryKeyStore store;
  const Claim completed = claim(store, key_of("1"));
  CHECK(store.complete(key_of("1"), completed));
  CHECK_FALSE(store.complete(key_of("1"), completed));
  CHECK_FALSE(store.release(key_of("1"), completed));
  CHECK(claim(store, key_of("1")).state == State::completed);
  const Claim released = claim(store, key_of("2"));
  CHECK(store.release(key_of("2"), released));
  CHECK_FALSE(store.release(key_of("2"), released));
  CHECK_FALSE(store.complete(key_of("2"), released));
  CHECK(store.size() == 1);
}

TEST_CASE("a claim that was not acquired completes and releases nothing") {
  MemoryKeyStore store;
  (void)claim(store, key_of("1"));
  const Claim in_progress = claim(store, key_of("1"));
  CHECK_FALSE(store.complete(key_of("1"), in_progress));
  CHECK_FALSE(store.release(key_of("1"), in_progress));
  CHECK_FALSE(store.complete(key_of("1"), Claim{}));
  CHECK_FALSE(store.complete(key_of("1"), Claim{State::acquired, 1, UINT64_MAX, {}}));
  CHECK(claim(store, key_of("1")).state == State::in_progress);
}

TEST_CASE("another payload under the same key is a mismatch, in progress and completed") {
  VirtualClock clock;
  MemoryKeyStore store{{.clock = &clock}};
  const Claim mine = claim(store, key_of("1"), 10s);
  CHECK(claim(store, key_of("1"), 10s, other_payload).state == State::mismatch);
  clock.advance(1min);
  CHECK(claim(store, key_of("1"), 10s, other_payload).state == State::mismatch);
  CHECK(store.complete(key_of("1"), mine));
  CHECK(claim(store, key_of("1"), 10s, other_payload).state == State::mismatch);
  CHECK(claim(store, key_of("1"), 10s).state == State::completed);
}

TEST_CASE("consumer, topic and key are told apart at their boundaries") {
  MemoryKeyStore store;
  const IdempotencyKey keys[] = {{"ab", "c", "d"}, {"a", "bc", "d"},     {"a", "b", "cd"},
                                 {"abc", "", "d"}, {"", "abc", "d"},     {"", "", "abcd"},
                                 {"abcd", "", ""}, {"", "abcd", ""},     {"ab", "cd", ""},
                                 {"ab", "", "cd"}, {"a\0b"sv, "c", "d"}, {"a", "b\0c"sv, "d"},
                                 {"", "", ""},     {"a", "b", "c\0d"sv}};
  std::set<std::uint64_t> handles;
  for (const IdempotencyKey& key : keys) {
    const Claim mine = claim(store, key);
    CHECK(mine.state == State::acquired);
    handles.insert(mine.handle);
  }
  CHECK(handles.size() == std::size(keys));
  CHECK(store.size() == std::size(keys));
}

TEST_CASE("names of any length are told apart by every byte") {
  MemoryKeyStore store;
  for (std::size_t length = 0; length < 200; ++length) {
    std::string key(length, 'x');
    REQUIRE(claim(store, key_of(key)).state == State::acquired);
    REQUIRE(claim(store, key_of(key)).state == State::in_progress);
    if (length == 0) continue;
    key.back() = 'y';
    REQUIRE(claim(store, key_of(key)).state == State::acquired);
    key.back() = 'x';
    key.front() = 'z';
    REQUIRE(claim(store, key_of(key)).state == State::acquired);
  }
}

TEST_CASE("a full store forgets the oldest completed keys and says how many") {
  VirtualClock clock;
  MemoryKeyStore store{{.capacity = 3, .clock = &clock}};
  const Claim one = claim(store, key_of("1"));
  const Claim two = claim(store, key_of("2"));
  const Claim three = claim(store, key_of("3"));
  CHECK(store.complete(key_of("2"), two));  // the oldest of the completed ones
  CHECK(store.complete(key_of("1"), one));
  CHECK(claim(store, key_of("4")).state == State::acquired);
  CHECK(store.forgotten() == 1);
  CHECK(store.size() == 3);
  CHECK(claim(store, key_of("1")).state == State::completed);
  CHECK(claim(store, key_of("3")).state == State::in_progress);
  CHECK(claim(store, key_of("2")).state == State::acquired);  // forgotten; 1 makes room
  CHECK(store.forgotten() == 2);
  CHECK(store.complete(key_of("3"), three));
}

TEST_CASE("a store full of keys in progress takes no other, and forgets none") {
  VirtualClock clock;
  MemoryKeyStore store{{.capacity = 3, .clock = &clock}};
  const Claim one = claim(store, key_of("1"), 10s);
  (void)claim(store, key_of("2"));
  (void)claim(store, key_of("3"));
  const Result<Claim> full = store.claim(key_of("4"), payload, 1min);
  REQUIRE_FALSE(full);
  CHECK(full.error().code == Errc::unavailable);
  CHECK(full.error().retryable);
  CHECK(store.size() == 3);
  CHECK(claim(store, key_of("1")).state == State::in_progress);
  CHECK(store.release(key_of("1"), one));
  CHECK(claim(store, key_of("4")).state == State::acquired);
}

TEST_CASE("a completed key is remembered for keep, and room is made when its time is over") {
  VirtualClock clock;
  MemoryKeyStore store{{.keep = 1h, .clock = &clock}};
  const Claim mine = claim(store, key_of("1"), 1min);
  CHECK(store.complete(key_of("1"), mine));
  clock.advance(1h - 1ns);
  CHECK(claim(store, key_of("1")).state == State::completed);
  clock.advance(1ns);
  CHECK(claim(store, key_of("1")).state == State::acquired);
  CHECK(store.forgotten() == 0);  // in time, not for want of room
}

TEST_CASE("keys may be remembered, and claimed, for ever") {
  VirtualClock clock;
  MemoryKeyStore store{{.keep = Duration::max(), .clock = &clock}};
  CHECK(store.complete(key_of("1"), claim(store, key_of("1"), 1min)));
  CHECK(store.complete(key_of("2"), claim(store, key_of("2"), Duration::max())));
  (void)claim(store, key_of("3"), Duration::max());
  clock.advance(24h * 365 * 100);
  CHECK(claim(store, key_of("1")).state == State::completed);
  CHECK(claim(store, key_of("2")).state == State::completed);
  CHECK(claim(store, key_of("3")).state == State::in_progress);

  MemoryKeyStore forgetful{{.keep = 1h, .clock = &clock}};
  CHECK(forgetful.complete(key_of("1"), claim(forgetful, key_of("1"), Duration::max())));
  CHECK(claim(forgetful, key_of("1")).state == State::completed);
}

TEST_CASE("keys whose time is over go faster than new ones come") {
  VirtualClock clock;
  MemoryKeyStore store{{.capacity = 1000, .keep = 1h, .clock = &clock}};
  for (int i = 0; i < 1000; ++i) {
    const std::string id = std::to_string(i);
    REQUIRE(store.complete(key_of(id), claim(store, key_of(id))));
  }
  clock.advance(2h);
  for (int i = 0; i < 500; ++i) {
    const std::string id = "new " + std::to_string(i);
    REQUIRE(store.complete(key_of(id), claim(store, key_of(id))));
  }
  CHECK(store.size() <= 502);
  CHECK(store.forgotten() == 0);
}

TEST_CASE("a store holds as many keys as its capacity, also when they are spread over shards") {
  VirtualClock clock;
  MemoryKeyStore store{{.capacity = 1600, .clock = &clock}};
  for (int i = 0; i < 20'000; ++i) {
    const std::string id = std::to_string(i);
    REQUIRE(store.complete(key_of(id), claim(store, key_of(id))));
  }
  CHECK(store.size() == 1600);
  CHECK(store.forgotten() == 20'000 - 1600);
}

TEST_CASE("options of a store that cannot be are refused by name") {
  CHECK(throws_saying<std::invalid_argument>([] { MemoryKeyStore store{{.capacity = 0}}; },
                                             "capacity"));
  CHECK(throws_saying<std::invalid_argument>(
      [] { MemoryKeyStore store{{.capacity = std::size_t{1} << 32}}; }, "capacity"));
  CHECK(throws_saying<std::invalid_argument>([] { MemoryKeyStore store{{.keep = 0s}}; }, "keep"));
  CHECK(throws_saying<std::invalid_argument>([] { MemoryKeyStore store{{.max_result = (1u << 20) + 1}}; },
                                             "max_result"));
  CHECK(throws_saying<std::invalid_argument>(
      [] { MemoryKeyStore store{{.max_result = 10, .all_results = 159}}; }, "all_results"));
}

namespace {

/// What a store with one shard does, in the plainest words.
class Model {
 public:
  Model(std::size_t capacity, std::size_t all_results) : capacity_{capacity}, all_results_{all_results} {}

  struct Answer {
    bool full = false;
    State state{};
    Duration lease{};
    std::string result{};
  };
  /// On `acquired` the key is this ticket's.
  Answer claim(const std::string& key, const detail::Hash128& fingerprint, Instant now,
               Duration lease, std::uint64_t ticket) {
    auto found = keys_.find(key);
    if (found != keys_.end()) {
      if (found->second.fingerprint != fingerprint) return {false, State::mismatch, {}};
      if (found->second.completed) return {false, State::completed, {}, found->second.result};
      if (found->second.until > now) {
        return {false, State::in_progress, found->second.until - now};
      }
    } else {
      if (keys_.size() >= capacity_) {
        if (completed_.empty()) return {true, {}, {}};
        forget_oldest();
      }
      found = keys_.emplace(key, Entry{}).first;
      found->second.fingerprint = fingerprint;
    }
    found->second.until = now + lease;
    found->second.ticket = ticket;
    return {false, State::acquired, lease};
  }
  bool complete(const std::string& key, std::uint64_t ticket, const std::string& result) {
    Entry* entry = held(key, ticket);
    if (entry == nullptr) return false;
    entry->completed = true;
    entry->result = result;
    completed_.push_back(key);
    bytes_ += result.size();
    while (bytes_ > all_results_) forget_oldest();
    return true;
  }
  bool release(const std::string& key, std::uint64_t ticket) {
    if (held(key, ticket) == nullptr) return false;
    keys_.erase(key);
    return true;
  }
  std::size_t size() const { return keys_.size(); }
  std::uint64_t forgotten = 0;

 private:
  struct Entry {
    detail::Hash128 fingerprint;
    Instant until{};
    std::uint64_t ticket = 0;
    bool completed = false;
    std::string result;
  };
  void forget_oldest() {
    bytes_ -= keys_[completed_.front()].result.size();
    keys_.erase(completed_.front());
    completed_.pop_front();
    ++forgotten;
  }
  Entry* held(const std::string& key, std::uint64_t ticket) {
    const auto found = keys_.find(key);
    if (found == keys_.end() || found->second.ticket != ticket || found->second.completed) {
      return nullptr;
    }
    return &found->second;
  }

  std::size_t capacity_, all_results_, bytes_ = 0;
  std::map<std::string, Entry> keys_;
  std::list<std::string> completed_;
};

/// One random life of a store next to its model. Says where they differ; empty: nowhere.
std::string live(std::uint64_t seed, std::size_t capacity, std::size_t names, int operations) {
  std::mt19937_64 random{seed};
  const auto below = [&random](std::size_t limit) {
    return static_cast<std::size_t>(random() % limit);
  };
  VirtualClock clock;
  const std::size_t all_results = capacity * 16;
  MemoryKeyStore store{
      {.capacity = capacity, .keep = 24h * 10'000, .max_result = capacity, .all_results = all_results, .clock = &clock}};
  Model model{capacity, all_results};
  struct Held {
    std::string name;
    Claim claim;
    std::uint64_t ticket;
  };
  std::vector<Held> held;  // claims that were acquired, also those that are long over
  std::map<std::string, std::uint64_t> fences;
  for (int i = 0; i < operations; ++i) {
    const auto differs = [&](const char* what) {
      return std::string{what} + " differs at operation " + std::to_string(i);
    };
    const std::size_t what = below(100);
    if (what < 50 || held.empty()) {
      const std::size_t number = below(names);
      std::string name = std::to_string(number);
      if (number % 3 == 0) name.append(100, 'l');  // too long to lie inside an entry
      const detail::Hash128 fingerprint = below(50) == 0 ? other_payload : payload;
      const Duration lease = std::chrono::seconds{1 + below(20)};
      const auto ticket = static_cast<std::uint64_t>(i) + 1;
      const Result<Claim> got = store.claim(key_of(name), fingerprint, lease);
      const Model::Answer expected = model.claim(name, fingerprint, clock.now(), lease, ticket);
      if (expected.full != !got) return differs("fullness");
      if (!got) continue;
      if (got->state != expected.state) return differs("claim");
      if (got->lease != expected.lease) return differs("lease");
      if (got->result != expected.result) return differs("result");
      if (got->state != State::acquired) continue;
      if (got->fence <= std::exchange(fences[name], got->fence)) return differs("order of fences");
      held.push_back({name, *got, ticket});
    } else if (what < 90) {
      const std::size_t which = below(held.size());
      const Held each = held[which];
      if (below(4) != 0) {  // else it is used again, which is of no effect
        held[which] = held.back();
        held.pop_back();
      }
      if (what < 75) {
        const std::string result(below(2) * below(capacity + 1), static_cast<char>('a' + i % 26));
        const bool done = static_cast<bool>(store.complete(key_of(each.name), each.claim, result));
        if (done != model.complete(each.name, each.ticket, result)) return differs("complete");
      } else {
        const bool done = static_cast<bool>(store.release(key_of(each.name), each.claim));
        if (done != model.release(each.name, each.ticket)) return differs("release");
      }
    } else {
      clock.advance(std::chrono::milliseconds{below(3000)});
    }
    if (store.size() != model.size()) return differs("size");
    if (store.forgotten() != model.forgotten) return differs("forgotten");
  }
  return {};
}

}  // namespace

TEST_CASE("full of results, the store forgets the oldest completed keys") {
  MemoryKeyStore store{{.capacity = 100, .max_result = 10, .all_results = 160}};
  for (int i = 0; i < 20; ++i) {
    const std::string name = std::to_string(i);
    CHECK(store.complete(key_of(name), claim(store, key_of(name)), std::string(10, 'r')));
  }
  CHECK(store.size() == 16);
  CHECK(store.forgotten() == 4);
  CHECK(claim(store, key_of("4")).state == State::completed);
  CHECK(claim(store, key_of("3")).state == State::acquired);
}

TEST_CASE("over random lives the store does what a map would do") {
  for (const std::uint64_t seed : {1u, 2u, 3u}) {
    CHECK(live(seed, 5, 12, 60'000) == "");      // always full
    CHECK(live(seed, 40, 60, 60'000) == "");     // many in few slots
    CHECK(live(seed, 300, 1000, 60'000) == "");  // grows
    CHECK(live(seed, 1, 3, 20'000) == "");
  }
}

TEST_CASE("of many threads that claim one key, one at a time has it") {
  MemoryKeyStore store;
  std::atomic<int> inside{0};
  std::atomic<int> most{0};
  std::atomic<int> acquired{0};
  std::uint64_t last_fence = 0;  // guarded by the claim: a race here is a race in the store
  bool fences_grow = true;
  const auto hammer = [&] {
    while (acquired.load() < 4000) {
      const Claim mine = claim(store, key_of("1"), 1h);
      if (mine.state != State::acquired) continue;
      const int now_inside = inside.fetch_add(1) + 1;
      if (now_inside > most.load()) most.store(now_inside);
      fences_grow = fences_grow && mine.fence > last_fence;
      last_fence = mine.fence;
      acquired.fetch_add(1);
      inside.fetch_sub(1);
      if (!store.release(key_of("1"), mine)) most.store(100);
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back(hammer);
  for (auto& thread : threads) thread.join();
  CHECK(most.load() == 1);
  CHECK(fences_grow);
  CHECK(store.size() == 0);
}

TEST_CASE("threads that claim many keys complete each once") {
  MemoryKeyStore store{{.capacity = 100'000}};
  constexpr int keys = 5000;
  std::vector<std::atomic<int>> completed(keys);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < keys; ++i) {
        const std::string id = std::to_string(i);
        const Claim mine = claim(store, key_of(id));
        if (mine.state != State::acquired) continue;
        if (store.complete(key_of(id), mine)) ++completed[static_cast<std::size_t>(i)];
      }
    });
  }
  for (auto& thread : threads) thread.join();
  bool once = true;
  for (const auto& count : completed) once = once && count.load() == 1;
  CHECK(once);
  CHECK(store.size() == keys);
}
