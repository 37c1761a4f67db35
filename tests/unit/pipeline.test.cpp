// SPDX-License-Identifier: MIT
#include <omnibus/middleware/dead_letter.hpp>
#include <omnibus/middleware/retry.hpp>
#include <omnibus/pipeline.hpp>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

namespace {

using Trace = std::vector<std::string>;

/// A stage that notes when it is entered and left.
auto noting(Trace& trace, std::string name) {
  return [&trace, name](Next next, Delivery& delivery) -> Result<> {
    trace.push_back(name + " in");
    Result<> result = next(delivery);
    trace.push_back(name + " out");
    return result;
  };
}

struct Ranked {
  static constexpr Rank rank = Rank::guard;
  std::vector<std::string> topics;
  Result<> operator()(Next next, Delivery& delivery) const { return next(delivery); }
  std::vector<std::string> outputs() const { return topics; }
};

}  // namespace

TEST_CASE("each stage wraps everything to its left") {
  FakeContext context;
  Received message{context, message_of("1", "k")};
  Trace trace;
  auto pipeline =
      detail::compose([&trace](const Delivery&) { trace.push_back("handler"); } |
                      stage(noting(trace, "a")) | noting(trace, "b") | noting(trace, "c"));
  CHECK(pipeline(message.delivery));
  CHECK(trace == Trace{"c in", "b in", "a in", "handler", "a out", "b out", "c out"});
}

TEST_CASE("a bare handler is a pipeline without stages") {
  FakeContext context;
  Received message{context, message_of("1", "k")};
  int calls = 0;
  auto pipeline = detail::compose([&calls](const Delivery&) { ++calls; });
  CHECK(pipeline(message.delivery));
  CHECK(calls == 1);
  CHECK(message.delivery.attempted());
}

TEST_CASE("a named policy may stand behind several handlers, and be put together from others") {
  FakeContext context;
  Trace trace;
  const auto inner = stage(noting(trace, "a")) | noting(trace, "b");
  const auto policy = inner | stage(noting(trace, "c"));
  auto one = detail::compose([&trace](const Delivery&) { trace.push_back("one"); } | policy);
  auto two = detail::compose([&trace](const Delivery&) { trace.push_back("two"); } | policy);
  Received message{context, message_of("1", "k")};
  CHECK(one(message.delivery));
  CHECK(two(message.delivery));
  CHECK(trace == Trace{"c in", "b in", "a in", "one", "a out", "b out", "c out",  //
                       "c in", "b in", "a in", "two", "a out", "b out", "c out"});
}

TEST_CASE("a stage may end a delivery without the handler, or run it more than once") {
  FakeContext context;
  Received message{context, message_of("1", "k")};
  int calls = 0;
  const auto handler = [&calls](const Delivery&) { ++calls; };
  auto never = detail::compose(handler | stage([](Next, Delivery&) -> Result<> { return {}; }));
  CHECK(never(message.delivery));
  CHECK(calls == 0);
  CHECK_FALSE(message.delivery.attempted());
  auto twice = detail::compose(handler | stage([](Next next, Delivery& delivery) -> Result<> {
                                 (void)next(delivery);
                                 return next(delivery);
                               }));
  CHECK(twice(message.delivery));
  CHECK(calls == 2);
}

TEST_CASE("a stage may change what comes out") {
  FakeContext context;
  Received message{context, message_of("1", "k")};
  auto pipeline = detail::compose([](const Delivery&) -> Result<> {
    return permanent("no");
  } | stage([](Next next, Delivery& delivery) -> Result<> {
                                                           Result<> result = next(delivery);
                                                           if (!result)
                                                             result.error().context += " and no";
                                                           return result;
                                                         }));
  CHECK(pipeline(message.delivery).error().context == "no and no");
}

TEST_CASE("ranks must grow from the handler outwards; free stages stand anywhere") {
  struct Free {
    Result<> operator()(Next next, Delivery& delivery) { return next(delivery); }
  };
  using detail::ranks_grow;
  STATIC_REQUIRE(ranks_grow<RetryStage, DeadLetterStage, Ranked>());
  STATIC_REQUIRE(ranks_grow<Free, RetryStage, Free, DeadLetterStage, Free, Ranked, Free>());
  STATIC_REQUIRE(ranks_grow<Ranked>());
  STATIC_REQUIRE_FALSE(ranks_grow<DeadLetterStage, RetryStage>());
  STATIC_REQUIRE_FALSE(ranks_grow<Ranked, RetryStage>());
  STATIC_REQUIRE_FALSE(ranks_grow<RetryStage, Free, RetryStage>());
  STATIC_REQUIRE_FALSE(ranks_grow<Ranked, Free, DeadLetterStage>());
}

TEST_CASE("a pipeline knows the topics that its stages publish to") {
  const auto none = detail::compose([](const Delivery&) {});
  CHECK(none.outputs().empty());
  CHECK(none.dead_letter_topic().empty());
  const auto pipeline = detail::compose([](const Delivery&) {} | retry() |
                                        dead_letter("orders.dlq") | Ranked{{"one", "two"}});
  CHECK(pipeline.outputs() == std::vector<std::string>{"orders.dlq", "one", "two"});
  CHECK(pipeline.dead_letter_topic() == "orders.dlq");
}

TEST_CASE("a stage that keeps something of its own keeps it between deliveries") {
  FakeContext context;
  int seen = 0;
  auto pipeline = detail::compose([](const Delivery&) {} |
                                  stage([count = 0, &seen](Next next, Delivery& delivery) mutable {
                                    seen = ++count;
                                    return next(delivery);
                                  }));
  for (int i = 0; i < 3; ++i) {
    Received message{context, message_of("1", "k")};
    CHECK(pipeline(message.delivery));
  }
  CHECK(seen == 3);
}
