// SPDX-License-Identifier: MIT
#include <omnibus/idempotency/memory.hpp>
#include <omnibus/middleware/dead_letter.hpp>
#include <omnibus/middleware/idempotent.hpp>
#include <omnibus/middleware/retry.hpp>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

namespace {

/// A store that answers what the test says, and counts.
struct FakeStore {
  Result<Claim> to_claim = Claim{Claim::State::acquired, 7, 70, {}};
  Result<> to_complete{};
  Result<> to_release{};
  int claims = 0;
  int completes = 0;
  int releases = 0;
  Claim last{};

  Result<Claim> claim(const IdempotencyKey&, const detail::Hash128&, Duration) {
    ++claims;
    return to_claim;
  }
  Result<> complete(const IdempotencyKey&, const Claim& claim) {
    ++completes;
    last = claim;
    return to_complete;
  }
  Result<> release(const IdempotencyKey&, const Claim& claim) {
    ++releases;
    last = claim;
    return to_release;
  }
};
static_assert(KeyStore<FakeStore>);

auto counting(int& calls) {
  return [&calls](const Delivery&) -> Result<> { return ++calls, Result<>{}; };
}

}  // namespace

TEST_CASE("the second delivery of a handled message does not run the handler") {
  FakeContext context;
  MemoryKeyStore store{{.clock = &context.time}};
  int calls = 0;
  auto pipeline = detail::compose(counting(calls) | idempotent(store));
  Received first{context, message_of("1", "k", "body")};
  Received second{context, message_of("1", "k", "body"), 1};
  CHECK(pipeline(first.delivery));
  CHECK_FALSE(first.delivery.duplicate());
  CHECK(pipeline(second.delivery));
  CHECK(second.delivery.duplicate());
  CHECK(calls == 1);
  CHECK(context.events == std::vector{DeliveryEvent::duplicate});
}

TEST_CASE("an id that comes with another payload is a permanent error of the producer") {
  FakeContext context;
  MemoryKeyStore store{{.clock = &context.time}};
  int calls = 0;
  auto pipeline = detail::compose(counting(calls) | idempotent(store));
  Received first{context, message_of("1", "k", "body")};
  Received second{context, message_of("1", "k", "another body")};
  CHECK(pipeline(first.delivery));
  const Result<> result = pipeline(second.delivery);
  REQUIRE_FALSE(result);
  CHECK(result.error().code == Errc::key_mismatch);
  CHECK_FALSE(result.error().retryable);
  CHECK_FALSE(result.error().again());
  CHECK(calls == 1);
}

TEST_CASE("equal bodies with different ids are different messages") {
  FakeContext context;
  MemoryKeyStore store{{.clock = &context.time}};
  int calls = 0;
  auto pipeline = detail::compose(counting(calls) | idempotent(store));
  Received first{context, message_of("1", "k", "body")};
  Received second{context, message_of("2", "k", "body")};
  CHECK(pipeline(first.delivery));
  CHECK(pipeline(second.delivery));
  CHECK(calls == 2);
}

TEST_CASE("two groups handle one message once each") {
  FakeContext billing;
  FakeContext shipping;
  shipping.name = "shipping";
  MemoryKeyStore store;
  int calls = 0;
  auto pipeline = detail::compose(counting(calls) | idempotent(store));
  Received first{billing, message_of("1", "k")};
  Received second{shipping, message_of("1", "k")};
  CHECK(pipeline(first.delivery));
  CHECK(pipeline(second.delivery));
  CHECK(calls == 2);
}

TEST_CASE("the key may be one that the user chooses") {
  FakeContext context;
  MemoryKeyStore store;
  int calls = 0;
  auto pipeline =
      detail::compose(counting(calls) | idempotent(store, {.key = [](const Delivery& delivery) {
                                                     return std::string{delivery.type()} + "/" +
                                                            std::string{delivery.key()};
                                                   }}));
  Received first{context, message_of("1", "order-7")};
  Received second{context, message_of("2", "order-7")};
  CHECK(pipeline(first.delivery));
  CHECK(pipeline(second.delivery));
  CHECK(calls == 1);
}

TEST_CASE("a message with an empty key is handled without a claim") {
  FakeContext context;
  FakeStore store;
  int calls = 0;
  auto pipeline = detail::compose(counting(calls) | idempotent(store));
  Received message{context, message_of("", "k")};
  CHECK(pipeline(message.delivery));
  CHECK(calls == 1);
  CHECK(store.claims == 0);
}

TEST_CASE("a failed message releases its key, so that it can be tried again") {
  FakeContext context;
  MemoryKeyStore store{{.clock = &context.time}};
  int calls = 0;
  auto pipeline = detail::compose([&calls](const Delivery&) -> Result<> {
    if (++calls < 3) return retryable("not yet");
    return {};
  } | retry() | idempotent(store));
  Received message{context, message_of("1", "k")};
  CHECK(run_to_end(pipeline, message.delivery, context));
  CHECK(calls == 3);
  CHECK(store.size() == 1);
}

TEST_CASE("a handler that throws releases its key") {
  FakeContext context;
  FakeStore store;
  auto pipeline =
      detail::compose([](const Delivery&) {} | stage([](Next, Delivery&) -> Result<> { throw 1; }) |
                      idempotent(store));
  Received message{context, message_of("1", "k")};
  CHECK_FALSE(pipeline(message.delivery));
  CHECK(store.completes == 0);
  CHECK(store.releases == 1);
  CHECK(store.last.fence == 7);
}

TEST_CASE("a dead-lettered message releases its key, so that it can be redriven") {
  FakeContext context;
  FakeStore store;
  auto pipeline = detail::compose([](const Delivery&) -> Result<> {
    return permanent("no");
  } | dead_letter("orders.dlq") | idempotent(store));
  Received message{context, message_of("1", "k")};
  CHECK(pipeline(message.delivery));
  CHECK(store.completes == 0);
  CHECK(store.releases == 1);
}

TEST_CASE("a release that fails does not change how the delivery ended") {
  FakeContext context;
  FakeStore store;
  store.to_release = Error::make(Errc::unavailable, "release");
  auto pipeline = detail::compose([](const Delivery&) -> Result<> { return later(5s, "mine"); } |
                                                             idempotent(store));
  Received message{context, message_of("1", "k")};
  CHECK(pipeline(message.delivery).error().context == "mine");
}

TEST_CASE("while another delivery has the key, the message waits and is not acknowledged") {
  FakeContext context;
  FakeStore store;
  int calls = 0;
  auto pipeline = detail::compose(counting(calls) | idempotent(store));
  Received message{context, message_of("1", "k")};

  store.to_claim = Claim{Claim::State::in_progress, 0, 0, 30ms};
  const Result<> soon = pipeline(message.delivery);
  REQUIRE_FALSE(soon);
  CHECK(soon.error().code == Errc::key_in_progress);
  CHECK(soon.error().retry_after == 30ms);

  store.to_claim = Claim{Claim::State::in_progress, 0, 0, 5min};
  CHECK(pipeline(message.delivery).error().retry_after == 100ms);
  CHECK(calls == 0);
  CHECK(store.completes + store.releases == 0);
}

TEST_CASE("waiting for the key is no attempt of the handler") {
  FakeContext context;
  FakeStore store;
  store.to_claim = Claim{Claim::State::in_progress, 0, 0, 5min};
  int calls = 0;
  auto pipeline = detail::compose(counting(calls) | retry({.attempts = 2}) | idempotent(store));
  Received message{context, message_of("1", "k")};
  for (int i = 0; i < 50; ++i) {
    REQUIRE(pipeline(message.delivery).error().again());
    message.delivery.begin_again();
  }
  store.to_claim = Claim{Claim::State::acquired, 1, 1, {}};
  CHECK(pipeline(message.delivery));
  CHECK(message.delivery.attempt() == 1);
  CHECK(calls == 1);
}

TEST_CASE("without the store nothing is handled and nothing is acknowledged") {
  FakeContext context;
  FakeStore store;
  const auto error = GENERATE(Error::make(Errc::unavailable, "claim"),
                              Error::make(Errc::access_denied, "claim"), Error{});
  store.to_claim = error;
  int calls = 0;
  auto pipeline = detail::compose(counting(calls) | dead_letter("orders.dlq") | idempotent(store));
  Received message{context, message_of("1", "k")};
  const Result<> result = pipeline(message.delivery);
  REQUIRE_FALSE(result);
  CHECK(result.error().code == error.code);
  CHECK(result.error().again());
  CHECK(result.error().retryable);
  CHECK(calls == 0);
  CHECK(context.sent.empty());
}

TEST_CASE("a store that says when to come again is believed") {
  FakeContext context;
  FakeStore store;
  Error error = Error::make(Errc::unavailable, "claim");
  error.retry_after = 7s;
  store.to_claim = error;
  int calls = 0;
  auto pipeline = detail::compose(counting(calls) | idempotent(store));
  Received message{context, message_of("1", "k")};
  CHECK(pipeline(message.delivery).error().retry_after == 7s);
}

TEST_CASE("when only completing fails, only completing is tried again") {
  FakeContext context;
  FakeStore store;
  store.to_complete = Error::make(Errc::unavailable, "complete");
  int calls = 0;
  auto pipeline =
      detail::compose(counting(calls) | retry() | dead_letter("orders.dlq") | idempotent(store));
  Received message{context, message_of("1", "k")};
  for (int i = 0; i < 20; ++i) {
    const Result<> result = pipeline(message.delivery);
    REQUIRE_FALSE(result);
    REQUIRE(result.error().again());
    message.delivery.begin_again();
  }
  store.to_complete = {};
  CHECK(pipeline(message.delivery));
  CHECK(calls == 1);
  CHECK(store.claims == 1);
  CHECK(store.completes == 21);
  CHECK(store.releases == 0);
  CHECK(store.last.fence == 7);
  CHECK(store.last.handle == 70);
  CHECK(context.sent.empty());
}

TEST_CASE("a claim that someone took over is theirs: the handled message is acknowledged") {
  FakeContext context;
  FakeStore store;
  store.to_complete = Error::make(Errc::rejected, "complete");
  int calls = 0;
  auto pipeline = detail::compose(counting(calls) | idempotent(store));
  Received message{context, message_of("1", "k")};
  CHECK(pipeline(message.delivery));
  CHECK(store.completes == 1);
  CHECK(store.releases == 0);
}

TEST_CASE("a handler longer than the lease may be overtaken, and completes nothing then") {
  FakeContext context;
  MemoryKeyStore store{{.clock = &context.time}};
  int calls = 0;
  auto other = detail::compose(counting(calls) | idempotent(store, {.lease = 10s}));
  auto slow = detail::compose([&](const Delivery&) {
    context.time.advance(11s);
    Received again{context, message_of("1", "k"), 1};
    CHECK(other(again.delivery));  // took the key over
    ++calls;
  } | idempotent(store, {.lease = 10s}));
  Received message{context, message_of("1", "k")};
  CHECK(slow(message.delivery));
  CHECK(calls == 2);
  Received third{context, message_of("1", "k"), 2};
  CHECK(other(third.delivery));
  CHECK(third.delivery.duplicate());
}

TEST_CASE("a lease must be positive") {
  MemoryKeyStore store;
  for (const Duration lease : {Duration{0}, Duration{-1}}) {
    CHECK(throws_saying<std::invalid_argument>([&] { (void)idempotent(store, {.lease = lease}); },
                                               "lease"));
  }
}
