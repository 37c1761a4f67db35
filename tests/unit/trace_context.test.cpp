// SPDX-License-Identifier: MIT
#include <omnibus/trace_context.hpp>

#include <string>
#include <vector>

#include <omnibus/letters.hpp>
#include <omnibus/omnibus.hpp>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

namespace {

const std::string example = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
constexpr TraceContext example_context{0x4bf92f3577b34da6, 0xa3ce929d0e0e4736, 0x00f067aa0ba902b7, true};

/// The example with another character somewhere.
std::string with(std::size_t at, std::string_view text) {
  return std::string{example}.replace(at, text.size(), text);
}

}  // namespace

TEST_CASE("a traceparent is read, and written as it was") {
  CHECK(parse_traceparent(example) == example_context);
  CHECK(format_traceparent(example_context) == example);
  CHECK(parse_traceparent(with(53, "00"))->sampled == false);
  CHECK(format_traceparent(*parse_traceparent(with(53, "00"))) == with(53, "00"));
  const std::string low = "00-0000000000000000000000000000000a-000000000000000b-00";
  CHECK(parse_traceparent(low) == TraceContext{0, 10, 11, false});
  CHECK(format_traceparent({0, 10, 11, false}) == low);
  CHECK(parse_traceparent("00-a0000000000000000000000000000000-000000000000000b-00"));
}

TEST_CASE("flags that version 00 does not know are read past, and not written") {
  CHECK(parse_traceparent(with(53, "ff"))->sampled);
  CHECK_FALSE(parse_traceparent(with(53, "fe"))->sampled);
  CHECK(format_traceparent(*parse_traceparent(with(53, "ff"))) == example);
}

TEST_CASE("a malformed traceparent is none") {
  CHECK_FALSE(parse_traceparent(""));
  CHECK_FALSE(parse_traceparent("00"));
  CHECK_FALSE(parse_traceparent(example.substr(0, 54)));
  CHECK_FALSE(parse_traceparent(example + "0"));
  CHECK_FALSE(parse_traceparent(example + "-"));
  CHECK_FALSE(parse_traceparent(example + "-what-follows"));
  CHECK_FALSE(parse_traceparent(" " + example));
  CHECK_FALSE(parse_traceparent(with(0, "ff")));
  CHECK_FALSE(parse_traceparent(with(3, std::string(32, '0'))));
  CHECK_FALSE(parse_traceparent(with(36, std::string(16, '0'))));
  for (const std::size_t dash : {2u, 35u, 52u}) CHECK_FALSE(parse_traceparent(with(dash, "0")));
  // One character that is no lower-case digit, wherever it stands.
  for (const std::string_view no_digit : {"A", "F", "g", "/", ":", "`", " ", "-", "\xff"}) {
    for (std::size_t at = 0; at < example.size(); ++at) {
      if (example[at] == '-') continue;
      CAPTURE(at, no_digit);
      CHECK_FALSE(parse_traceparent(with(at, no_digit)));
    }
  }
}

TEST_CASE("of a later version the beginning is read") {
  CHECK(parse_traceparent(with(0, "01")) == example_context);
  CHECK(parse_traceparent(with(0, "cc") + "-what-follows") == example_context);
  CHECK(parse_traceparent(with(0, "fe") + "-") == example_context);
  CHECK_FALSE(parse_traceparent(with(0, "cc") + "what-follows"));
  CHECK_FALSE(parse_traceparent(with(0, "cc").substr(0, 54)));
  CHECK_FALSE(parse_traceparent(with(0, "cc").replace(53, 2, "0-")));
}

TEST_CASE("a child has its parent's trace and a span of its own") {
  const TraceContext child = child_of(example_context, 7);
  CHECK(child == TraceContext{example_context.trace_high, example_context.trace_low, 7, true});
  CHECK(child_of(example_context, 0).span != 0);
  const TraceContext one = child_of(example_context), other = child_of(example_context);
  CHECK(one.span != other.span);
  CHECK(one.span != example_context.span);
}

TEST_CASE("headers of a message that follows from another carry its trace on") {
  const Headers from{{"tenant", "eu"}, {"traceparent", example}, {"tracestate", "a=1"}, {"tracestate", "b=2"}};
  const Headers to = child_trace(from);
  const auto context = trace_of(to);
  REQUIRE(context);
  CHECK(context->trace_low == example_context.trace_low);
  CHECK(context->span != example_context.span);
  CHECK(context->sampled);
  CHECK_FALSE(to.contains("tenant"));
  std::string states;
  for (const Header header : to) {
    if (header.name == "tracestate") states.append(header.value).append(" ");
  }
  CHECK(states == "a=1 b=2 ");
  CHECK(child_trace(Headers{}).empty());
  CHECK(child_trace(Headers{{"traceparent", "nonsense"}, {"tracestate", "a=1"}}).empty());
}

TEST_CASE("a trace is the same in every attempt, in the dead letter and after a redrive") {
  using Bus = EventBus<Memory>;
  Bus bus{{.group = "billing"}};
  Watched<std::vector<std::string>> seen;
  const auto charge = [&seen](const std::string&, const Delivery& delivery) -> Result<> {
    seen.change([&](auto& all) { all.push_back(std::string{delivery.headers().get("traceparent")}); });
    const bool redriven = delivery.headers().contains(redriven_header);
    return redriven ? Result<>{} : Result<>{retryable("the bank is away")};
  };
  auto orders = bus.subscribe(
      "orders", charge | retry({.attempts = 2, .initial = 0ms}) | dead_letter("orders.dlq"));
  CHECK(bus.publish("orders", "o-1",
                    {.headers = {{"traceparent", example}, {"tracestate", "a=1"}}, .id = "1"}));
  CHECK(eventually([&] { return orders.stats().dead_lettered == 1; }));

  DeadLetters letters{bus, "orders.dlq"};
  const auto letter = letters.find("1");
  REQUIRE(letter);
  CHECK(letter.value().message.headers.get("traceparent") == example);
  CHECK(letter.value().message.headers.get("tracestate") == "a=1");
  CHECK(letters.redrive_one("1").done == 1);
  CHECK(seen.wait([](const auto& all) { return all.size() == 3; }));
  CHECK(seen.get() == std::vector<std::string>{example, example, example});
}

TEST_CASE("a handler that publishes can carry the trace on") {
  using Bus = EventBus<Memory>;
  Bus bus{{.group = "billing"}};
  Watched<std::vector<std::string>> seen;
  auto invoices = bus.subscribe("invoices", [&seen](const Delivery& delivery) {
    seen.change([&](auto& all) { all.push_back(std::string{delivery.headers().get("traceparent")}); });
  });
  auto orders = bus.subscribe("orders", [&bus](const Delivery& delivery) {
    bus.publish("invoices", "i-1", {.headers = child_trace(delivery.headers())}).value();
  });
  CHECK(bus.publish("orders", "o-1", {.headers = {{"traceparent", example}}}));
  CHECK(seen.wait([](const auto& all) { return all.size() == 1; }));
  const auto context = parse_traceparent(seen.get()[0]);
  REQUIRE(context);
  CHECK(context->trace_high == example_context.trace_high);
  CHECK(context->span != example_context.span);
}
