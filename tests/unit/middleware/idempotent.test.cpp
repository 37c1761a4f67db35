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
  Claim claimed{Claim::State::acquired, 7, 70, {}};
  Result<> to_claim{};
  Result<> to_complete{};
  Result<> to_release{};
  int claims = 0;
  int completes = 0;
  int releases = 0;
  Claim last{};
  std::string kept;

  Result<Claim> claim(const IdempotencyKey&, const detail::Hash128&, Duration) {
    ++claims;
    if (!to_claim) return to_claim.error();
    return claimed;
  }
  Result<> complete(const IdempotencyKey&, const Claim& claim, std::string_view result) {
    ++completes;
    last = claim;
    kept = result;
    return to_complete;
  }
  Result<> release(const IdempotencyKey&, const Claim& claim) {
    ++releases;
    last = claim;
    return to_release;
  }
  std::size_t max_result() const { return 8; }
};
static_assert(KeyStore<FakeStore>);

/// Likewise, one that writes effects, each of which may fail.
struct WritingStore : FakeStore {
  int connection = 0;  // counts what was written through it

  template <class Write>
  Result<> complete_with(const IdempotencyKey& key, const Claim& claim, Write write, std::string_view result) {
    if (Result<> written = to_complete ? write(&connection) : Result<>{}; !written) return written;
    return complete(key, claim, result);
  }
};

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

  store.claimed = Claim{Claim::State::in_progress, 0, 0, 30ms};
  const Result<> soon = pipeline(message.delivery);
  REQUIRE_FALSE(soon);
  CHECK(soon.error().code == Errc::key_in_progress);
  CHECK(soon.error().retry_after == 30ms);

  store.claimed = Claim{Claim::State::in_progress, 0, 0, 5min};
  CHECK(pipeline(message.delivery).error().retry_after == 100ms);
  CHECK(calls == 0);
  CHECK(store.completes + store.releases == 0);
}

TEST_CASE("waiting for the key is no attempt of the handler") {
  FakeContext context;
  FakeStore store;
  store.claimed = Claim{Claim::State::in_progress, 0, 0, 5min};
  int calls = 0;
  auto pipeline = detail::compose(counting(calls) | retry({.attempts = 2}) | idempotent(store));
  Received message{context, message_of("1", "k")};
  for (int i = 0; i < 50; ++i) {
    REQUIRE(pipeline(message.delivery).error().again());
    message.delivery.begin_again();
  }
  store.claimed = Claim{Claim::State::acquired, 1, 1, {}};
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

TEST_CASE("a message that is completed at last was handled, not dropped") {
  FakeContext context;
  FakeStore store;
  store.to_complete = Error::make(Errc::unavailable, "complete");
  int calls = 0;
  auto pipeline = detail::compose(counting(calls) | idempotent(store));
  Received received{context, message_of("1", "k", "body")};
  REQUIRE_FALSE(pipeline(received.delivery));
  received.delivery.begin_again();
  REQUIRE_FALSE(pipeline(received.delivery));
  CHECK_FALSE(received.delivery.attempted());
  received.delivery.begin_again();
  store.to_complete = {};
  REQUIRE(pipeline(received.delivery));
  CHECK(received.delivery.attempted());
  CHECK(calls == 1);
}

TEST_CASE("effects that fail when completing is tried again are no effects: the handler runs again") {
  FakeContext context;
  WritingStore store;
  int calls = 0;
  bool broken = true;
  const auto handler = [&](const Delivery& delivery) -> Result<> {
    ++calls;
    delivery.effects()->add([&broken](void* connection) -> Result<> {
      if (broken) return Error::make(Errc::rejected, "write");
      return ++*static_cast<int*>(connection), Result<>{};
    });
    return {};
  };
  auto pipeline = detail::compose(handler | idempotent(store));
  Received received{context, message_of("1", "k", "body")};
  store.to_complete = Error::make(Errc::unavailable, "complete");
  REQUIRE_FALSE(pipeline(received.delivery));
  store.to_complete = {};
  received.delivery.begin_again();
  const auto failed = pipeline(received.delivery);
  REQUIRE_FALSE(failed);
  CHECK(failed.error().code == Errc::rejected);
  CHECK(store.releases == 1);
  CHECK(calls == 1);
  broken = false;
  received.delivery.begin_again();
  REQUIRE(pipeline(received.delivery));
  CHECK(calls == 2);
  CHECK(store.claims == 2);
  CHECK(store.connection == 1);
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

TEST_CASE("the result that a handler keeps is there for the stages around, of the first delivery and of duplicates") {
  FakeContext context;
  MemoryKeyStore store{{.clock = &context.time}};
  int calls = 0;
  std::vector<std::string> replies;
  const auto reply = [&](Next next, Delivery& delivery) -> Result<> {
    Result<> handled = next(delivery);
    if (handled) replies.emplace_back(delivery.result());
    return handled;
  };
  const std::string receipt("receipt\0 7", 10);
  auto pipeline = detail::compose([&](const Delivery& delivery) -> Result<> {
    CHECK(delivery.result().empty());
    if (!keep_result(delivery, "replaced")) return permanent("not taken");
    if (++calls == 1) return retryable("this attempt leaves nothing");
    if (delivery.id() == "2") return {};
    return keep_result(delivery, receipt);
  } | retry({.initial = 1ms}) | idempotent(store) | reply);
  Received first{context, message_of("1", "k", "body")}, again{context, message_of("1", "k", "body"), 1};
  CHECK(run_to_end(pipeline, first.delivery, context));
  CHECK(run_to_end(pipeline, again.delivery, context));
  CHECK(again.delivery.duplicate());
  CHECK(calls == 2);
  Received other{context, message_of("2", "k", "body")};
  CHECK(run_to_end(pipeline, other.delivery, context));
  CHECK(replies == std::vector<std::string>{receipt, receipt, "replaced"});
}

TEST_CASE("a failed attempt leaves no result to the one that succeeds") {
  FakeContext context;
  FakeStore store;
  int calls = 0;
  auto pipeline = detail::compose([&](const Delivery& delivery) -> Result<> {
    if (++calls == 2) return {};
    CHECK(keep_result(delivery, "first"));
    return retryable("not yet");
  } | retry({.initial = 1ms}) | idempotent(store));
  Received message{context, message_of("1", "k")};
  CHECK(run_to_end(pipeline, message.delivery, context));
  CHECK(store.kept.empty());
  CHECK(message.delivery.result().empty());
}

TEST_CASE("a result too large is refused where the handler keeps it, and is nobody's retry") {
  FakeContext context;
  FakeStore store;
  bool insists = true;
  auto pipeline = detail::compose([&](const Delivery& delivery) -> Result<> {
    CHECK(keep_result(delivery, "12345678"));
    Result<> refused = keep_result(delivery, "123456789");
    CHECK(refused.error().code == Errc::too_large);
    CHECK(refused.error().context.find("9 bytes") != std::string::npos);
    return insists ? refused : Result<>{};
  } | retry() | dead_letter("orders.dlq") | idempotent(store));
  Received message{context, message_of("1", "k")};
  CHECK(pipeline(message.delivery));
  CHECK(message.delivery.dead_lettered());  // at once, with its words: it would never fit
  CHECK(store.completes == 0);
  CHECK(message.delivery.result().empty());

  insists = false;
  Received content{context, message_of("2", "k")};
  CHECK(pipeline(content.delivery));
  CHECK_FALSE(content.delivery.dead_lettered());
  CHECK(store.kept == "12345678");  // what was kept before, whole
}

TEST_CASE("a result is kept while only completing is tried again") {
  FakeContext context;
  FakeStore store;
  store.to_complete = Error::make(Errc::unavailable, "complete");
  auto pipeline = detail::compose([](const Delivery& delivery) { return keep_result(delivery, "done"); } |
                                  idempotent(store));
  Received message{context, message_of("1", "k")};
  for (int i = 0; i < 3; ++i) {
    CHECK_FALSE(pipeline(message.delivery));
    CHECK(std::exchange(store.kept, "") == "done");
    CHECK(message.delivery.result().empty());
    message.delivery.begin_again();
  }
  store.to_complete = {};
  CHECK(pipeline(message.delivery));
  CHECK(store.kept == "done");
  CHECK(message.delivery.result() == "done");
}

TEST_CASE("where nobody would keep a result, the handler is told") {
  FakeContext context;
  FakeStore store;
  const auto handler = [](const Delivery& delivery) { return keep_result(delivery, "done"); };
  Received without{context, message_of("1", "k")}, keyless{context, message_of("", "k")};
  CHECK(handler(without.delivery).error().code == Errc::unsupported);
  CHECK(detail::compose(handler | idempotent(store))(keyless.delivery).error().code == Errc::unsupported);
}

TEST_CASE("asked whether a delivery was handled before, it says so and claims nothing") {
  FakeContext context;
  FakeStore store;
  auto pipeline = detail::compose([](const Delivery&) { FAIL("it was only asked"); } | idempotent(store));
  Received received{context, message_of("1", "k")};
  CHECK(pipeline.done_before(received.delivery).value() == false);
  CHECK(store.claims == 1);
  CHECK(store.releases == 1);

  store.claimed = {Claim::State::mismatch, 0, 0, {}};
  CHECK(pipeline.done_before(received.delivery).value() == false);
  store.claimed = {Claim::State::in_progress, 0, 0, 1min};
  CHECK(pipeline.done_before(received.delivery).error().again());
  CHECK_FALSE(received.delivery.duplicate());

  store.claimed = {Claim::State::completed, 0, 0, {}, "receipt"};
  CHECK(pipeline.done_before(received.delivery).value());
  CHECK(received.delivery.duplicate());
  CHECK(received.delivery.result() == "receipt");
  CHECK(store.releases == 1);
  CHECK(context.events == std::vector{DeliveryEvent::duplicate});

  store.to_claim = Error::make(Errc::unavailable, "claim", "the store is away");
  CHECK(pipeline.done_before(received.delivery).error().again());
  CHECK(context.paused_why == "the store is away");
  CHECK(store.completes == 0);

  Received nameless{context, message_of("", "k")};
  CHECK(pipeline.done_before(nameless.delivery).value() == false);
  auto plain = detail::compose([](const Delivery&) {} | retry());
  CHECK(plain.done_before(received.delivery).value() == false);
}

TEST_CASE("a lease must be positive") {
  MemoryKeyStore store;
  for (const Duration lease : {Duration{0}, Duration{-1}}) {
    CHECK(throws_saying<std::invalid_argument>([&] { (void)idempotent(store, {.lease = lease}); },
                                               "lease"));
  }
}
