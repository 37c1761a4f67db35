// SPDX-License-Identifier: MIT
#include <omnibus/idempotency/suite.hpp>

#include <omnibus/idempotency/memory.hpp>

#include <memory>
#include <mutex>
#include <string>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

namespace {

/// What the suite says of a memory store with something changed. `Store` is made of a clock.
template <class Store>
std::vector<std::string> verdict(int depth) {
  VirtualClock clock;
  KeyStoreSuite suite{[&clock] { return std::make_unique<Store>(MemoryKeyStoreOptions{.clock = &clock}); },
                      [&clock](Duration duration) { clock.advance(duration); }};
  return suite.run(depth);
}

struct Changed : MemoryKeyStore {
  using MemoryKeyStore::MemoryKeyStore;
};
struct MarksAtOnce : Changed {
  using Changed::Changed;
  Result<Claim> claim(const IdempotencyKey& key, const detail::Hash128& fingerprint, Duration lease) {
    auto claimed = MemoryKeyStore::claim(key, fingerprint, lease);
    if (claimed && claimed->state == Claim::State::acquired) (void)MemoryKeyStore::complete(key, *claimed);
    return claimed;
  }
};
struct NoFence : Changed {
  using Changed::Changed;
  Result<> complete(const IdempotencyKey& key, const Claim& claim, std::string_view result) {
    const auto done = MemoryKeyStore::complete(key, claim, result);
    return done ? done : Result<>{};
  }
};
struct Forgets : Changed {
  using Changed::Changed;
  Result<> complete(const IdempotencyKey& key, const Claim& claim, std::string_view) { return release(key, claim); }
};
struct NoResult : Changed {
  using Changed::Changed;
  Result<> complete(const IdempotencyKey& key, const Claim& claim, std::string_view result) {
    if (result.size() > max_result()) return detail::result_too_large(result.size(), max_result());
    return MemoryKeyStore::complete(key, claim);
  }
};
struct CutsResults : Changed {
  using Changed::Changed;
  Result<> complete(const IdempotencyKey& key, const Claim& claim, std::string_view result) {
    return MemoryKeyStore::complete(key, claim, result.substr(0, max_result()));
  }
};
struct EndsResultsAtZero : Changed {
  using Changed::Changed;
  Result<> complete(const IdempotencyKey& key, const Claim& claim, std::string_view result) {
    if (result.size() > max_result()) return MemoryKeyStore::complete(key, claim, result);
    return MemoryKeyStore::complete(key, claim, result.substr(0, result.find('\0')));
  }
};
struct CompletesWithoutLargeResults : Changed {
  using Changed::Changed;
  Result<> complete(const IdempotencyKey& key, const Claim& claim, std::string_view result) {
    Result<> done = MemoryKeyStore::complete(key, claim, result);
    if (!done && done.error().code == Errc::too_large) (void)MemoryKeyStore::complete(key, claim);
    return done;
  }
};
struct LastResultWins : Changed {
  using Changed::Changed;
  Result<Claim> claim(const IdempotencyKey& key, const detail::Hash128& fingerprint, Duration lease) {
    auto claimed = MemoryKeyStore::claim(key, fingerprint, lease);
    const std::scoped_lock lock{mutex};
    if (claimed && !claimed->result.empty() && !last.empty()) claimed->result = last;
    return claimed;
  }
  Result<> complete(const IdempotencyKey& key, const Claim& claim, std::string_view result) {
    {
      const std::scoped_lock lock{mutex};
      last = result;
    }
    return MemoryKeyStore::complete(key, claim, result);
  }
  std::mutex mutex;
  std::string last;
};
struct LeaseForEver : Changed {
  using Changed::Changed;
  Result<Claim> claim(const IdempotencyKey& key, const detail::Hash128& fingerprint, Duration) {
    auto claimed = MemoryKeyStore::claim(key, fingerprint, 10h);
    if (claimed) claimed->lease = 1s;
    return claimed;
  }
};
struct AnyPayload : Changed {
  using Changed::Changed;
  Result<Claim> claim(const IdempotencyKey& key, const detail::Hash128&, Duration lease) {
    return MemoryKeyStore::claim(key, {}, lease);
  }
};
struct AnyTopic : Changed {
  using Changed::Changed;
  Result<Claim> claim(const IdempotencyKey& key, const detail::Hash128& fingerprint, Duration lease) {
    return MemoryKeyStore::claim({key.consumer, "", key.key}, fingerprint, lease);
  }
};

}  // namespace

TEST_CASE("the memory store passes the suite, with every history of five steps of two consumers") {
  CHECK(verdict<MemoryKeyStore>(5) == std::vector<std::string>{});
}

TEST_CASE("the suite finds stores that break a promise") {
  CHECK(verdict<MarksAtOnce>(3) != std::vector<std::string>{});
  CHECK(verdict<NoFence>(4) != std::vector<std::string>{});
  CHECK(verdict<Forgets>(3) != std::vector<std::string>{});
  CHECK(verdict<NoResult>(1) != std::vector<std::string>{});
  CHECK(verdict<CutsResults>(1) != std::vector<std::string>{});
  CHECK(verdict<EndsResultsAtZero>(1) != std::vector<std::string>{});
  CHECK(verdict<CompletesWithoutLargeResults>(1) != std::vector<std::string>{});
  CHECK(verdict<LastResultWins>(1) != std::vector<std::string>{});
  CHECK(verdict<LeaseForEver>(3) != std::vector<std::string>{});
  CHECK(verdict<AnyPayload>(1) != std::vector<std::string>{});
  CHECK(verdict<AnyTopic>(1) != std::vector<std::string>{});
}
