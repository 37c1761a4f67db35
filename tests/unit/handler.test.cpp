// SPDX-License-Identifier: MIT
#include <omnibus/codec/text.hpp>
#include <omnibus/handler.hpp>
#include <omnibus/pipeline.hpp>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

namespace {

struct Placed {
  std::string id;
};
struct Shipped {
  std::string id;
};

}  // namespace

template <>
struct omnibus::Codec<Placed> {
  static constexpr std::string_view type = "order.placed";
  static Result<Placed> decode(std::string_view bytes) {
    if (bytes == "refuse") return Error::make(Errc::decode_failed, "", "the codec says no");
    if (bytes == "throw") throw std::runtime_error{"the codec throws"};
    if (bytes == "throw a number") throw 42;
    return Placed{std::string{bytes}};
  }
};
template <>
struct omnibus::Codec<Shipped> {
  static constexpr std::string_view type = "order.shipped";
  static Result<Shipped> decode(std::string_view bytes) { return Shipped{std::string{bytes}}; }
};

namespace {

template <class H>
Result<> handle(H&& handler, Message message) {
  FakeContext context;
  Received received{context, std::move(message)};
  auto pipeline = detail::compose(std::forward<H>(handler));
  return pipeline(received.delivery);
}
Message placed(std::string payload) {
  return message_of("1", "k", std::move(payload), "order.placed");
}

int free_calls = 0;
void free_function(const Placed&) { ++free_calls; }

}  // namespace

TEST_CASE("a handler takes an event, an event and its delivery, or a delivery") {
  std::string got;
  CHECK(handle([&got](const Placed& event) { got = event.id; }, placed("o-1")));
  CHECK(got == "o-1");
  CHECK(handle([&got](Placed event) { got = "by value " + event.id; }, placed("o-2")));
  CHECK(got == "by value o-2");
  CHECK(handle([&got](const Placed& event,
                      const Delivery& delivery) { got = event.id + std::string{delivery.topic()}; },
               placed("o-3")));
  CHECK(got == "o-3orders");
  CHECK(handle([&got](const Delivery& delivery) { got = delivery.payload(); }, placed("o-4")));
  CHECK(got == "o-4");
  CHECK(handle([&got](const std::string& text) { got = text; }, message_of("1", "k", "text")));
  CHECK(got == "text");
}

TEST_CASE("functions, function objects and things that cannot be copied are handlers") {
  CHECK(handle(free_function, placed("")));
  CHECK(handle(&free_function, placed("")));
  CHECK(free_calls == 2);
  struct Counter {
    int* calls;
    Result<> operator()(const Placed&) noexcept {
      ++*calls;
      return {};
    }
  };
  int calls = 0;
  CHECK(handle(Counter{&calls}, placed("")));
  CHECK(calls == 1);
  CHECK(handle([owned = std::make_unique<int>(5), &calls](const Placed&) { calls = *owned; },
               placed("")));
  CHECK(calls == 5);
}

TEST_CASE("several handlers are chosen by message type") {
  std::string got;
  auto set = [&got] {
    return handlers([&got](const Placed& event) { got = "placed " + event.id; },
                    [&got](const Shipped& event) { got = "shipped " + event.id; });
  };
  CHECK(handle(set(), message_of("1", "k", "a", "order.shipped")));
  CHECK(got == "shipped a");
  CHECK(handle(set(), message_of("1", "k", "b", "order.placed")));
  CHECK(got == "placed b");
  CHECK(handle(set(), message_of("1", "k", "c", "")));  // a foreign message: the first one's
  CHECK(got == "placed c");
}

TEST_CASE("a handler that takes deliveries gets what no other takes, wherever it stands") {
  std::string got;
  const auto set = [&got] {
    return handlers(
        [&got](const Delivery& delivery) { got = "raw " + std::string{delivery.type()}; },
        [&got](const Placed&) { got = "placed"; });
  };
  CHECK(handle(set(), message_of("1", "k", "", "order.placed")));
  CHECK(got == "placed");
  CHECK(handle(set(), message_of("1", "k", "", "order.lost")));
  CHECK(got == "raw order.lost");
}

TEST_CASE("a type that nobody takes is a permanent error that names it") {
  const Result<> result = handle([](const Placed&) {}, message_of("1", "k", "", "order.lost"));
  REQUIRE_FALSE(result);
  CHECK(result.error().code == Errc::unknown_type);
  CHECK_FALSE(result.error().retryable);
  CHECK(result.error().context.find("order.lost") != std::string::npos);
}

TEST_CASE("a codec without a type takes messages of every type") {
  std::string got;
  CHECK(handle([&got](const std::string& text) { got = text; },
               message_of("1", "k", "text", "any.type")));
  CHECK(got == "text");
}

TEST_CASE("whatever a handler throws is a failure that may pass") {
  const auto error_of = [](auto handler) { return handle(handler, placed("")).error(); };
  const Error standard = error_of([](const Placed&) { throw std::runtime_error{"why"}; });
  CHECK(standard.code == Errc::handler_failed);
  CHECK(standard.retryable);
  CHECK(standard.context == "why");
  const Error number = error_of([](const Placed&) { throw 42; });
  CHECK(number.code == Errc::handler_failed);
  CHECK(number.retryable);
  CHECK_FALSE(number.context.empty());
  const Error bad = error_of(
      [](const Placed&) { Result<int>{Error::make(Errc::access_denied, "open")}.value(); });
  CHECK(bad.code == Errc::access_denied);
  CHECK_FALSE(bad.retryable);
  CHECK(bad.operation == "open");
}

TEST_CASE("what a handler returns is passed on") {
  const Result<> failed =
      handle([](const Placed&) -> Result<> { return later(5s, "not now"); }, placed(""));
  CHECK(failed.error().retry_after == 5s);
  CHECK(failed.error().context == "not now");
  CHECK(handle([](const Placed&) -> Result<> { return {}; }, placed("")));
}

TEST_CASE("bytes that are no event are a permanent error, and the handler is not called") {
  int calls = 0;
  const auto error_of = [&calls](std::string payload) {
    return handle([&calls](const Placed&) { ++calls; }, placed(std::move(payload))).error();
  };
  const std::pair<const char*, const char*> cases[] = {{"refuse", "the codec says no"},
                                                       {"throw", "the codec throws"},
                                                       {"throw a number", "no std::exception"}};
  for (const auto& [payload, why] : cases) {
    const Error error = error_of(payload);
    CHECK(error.code == Errc::decode_failed);
    CHECK_FALSE(error.retryable);
    CHECK_FALSE(error.again());
    CHECK(error.operation == "decode order.placed");
    CHECK(error.context.find(why) != std::string::npos);
  }
  CHECK(calls == 0);
}
