// SPDX-License-Identifier: MIT
#include <omnibus/dead_letters.hpp>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

namespace {

Message original() {
  Message message = message_of("m-1", "order-7", "\0\xff raw \n bytes"s, "order.placed");
  message.headers = {{"trace", "4bf9"}, {"trace", "again"}, {"binary", "\0\1"sv}};
  message.time = Time{1'700'000'000s};
  message.sequence = {4, 9};
  return message;
}

}  // namespace

TEST_CASE("a dead letter is the message as it was, and its story in headers of its own") {
  FakeContext context;
  Received received{context, original(), 2};
  received.delivery.mark_attempted();
  (void)received.delivery.remember(retryable("the first time"), context.time.now());
  const Error error{Errc::handler_failed, false, "handle", "the last time"};
  const Message dead = make_dead_letter(received.delivery, error, Time{1'700'000'123'456ms}, 23'456ms);

  const Message before = original();
  CHECK(dead.id == before.id);
  CHECK(dead.type == before.type);
  CHECK(dead.key == before.key);
  CHECK(dead.payload == before.payload);
  CHECK(dead.time == before.time);
  CHECK(dead.sequence == before.sequence);
  CHECK(dead.headers.view().block().starts_with(before.headers.view().block()));

  const HeadersView headers = dead.headers.view();
  CHECK(headers.get("omnibus-dead-code") == "handler_failed");
  CHECK(headers.get("omnibus-dead-operation") == "handle");
  CHECK(headers.get("omnibus-dead-reason") == "the last time");
  CHECK(headers.get("omnibus-dead-first-reason") == "the first time");
  CHECK(headers.get("omnibus-dead-topic") == "orders");
  CHECK(headers.get("omnibus-dead-group") == "billing");
  CHECK(headers.get("omnibus-dead-partition") == "3");
  CHECK(headers.get("omnibus-dead-position") == "17");
  CHECK(headers.get("omnibus-dead-attempts") == "3");
  CHECK(headers.get("omnibus-dead-time") == "1700000123456");
  CHECK(headers.get("omnibus-dead-first-time") == "1700000100000");
  CHECK(headers.size() == 3 + 11);
}

TEST_CASE("what was written about an earlier death is replaced, not repeated") {
  FakeContext context;
  Message message = original();
  message.headers.add("omnibus-dead-reason", "an old story").add("omnibus-dead-unknown", "x");
  Received received{context, message};
  const Message first = make_dead_letter(received.delivery, permanent("a new story"), Time{});
  CHECK(first.headers.get("omnibus-dead-reason") == "a new story");
  CHECK_FALSE(first.headers.contains("omnibus-dead-unknown"));

  Received again{context, first, 0, "orders.dlq"};
  const Message second = make_dead_letter(again.delivery, permanent("a new story"), Time{});
  CHECK(second.headers.size() == first.headers.size());
  CHECK(second.headers.get("omnibus-dead-topic") == "orders.dlq");
  CHECK(second.headers.get("trace") == "4bf9");
}

TEST_CASE("only headers that begin with the prefix are the dead letter's own") {
  FakeContext context;
  Message message = message_of("m", "k");
  message.headers = {{"omnibus-dead", "mine"}, {"x-omnibus-dead-code", "mine too"}};
  Received received{context, message};
  const Message dead = make_dead_letter(received.delivery, permanent("no"), Time{});
  CHECK(dead.headers.get("omnibus-dead") == "mine");
  CHECK(dead.headers.get("x-omnibus-dead-code") == "mine too");
}

TEST_CASE("a reason of any length fits into a header that may be published") {
  FakeContext context;
  Received received{context, message_of("m", "k")};
  const Error error = permanent(std::string(1 << 20, 'x'));
  (void)received.delivery.remember(error, context.time.now());
  const Message dead = make_dead_letter(received.delivery, error, Time{});
  CHECK(dead.headers.get("omnibus-dead-reason") == std::string(2048, 'x'));
  CHECK(dead.headers.get("omnibus-dead-first-reason").size() == 2048);
}

TEST_CASE("cut headers are counted, and the dead letter keeps its story") {
  FakeContext context;
  Received received{context, original()};
  Message dead = make_dead_letter(received.delivery, permanent("no"), Time{});
  CHECK(cut_headers(dead));
  CHECK(dead.headers.get("omnibus-dead-cut") == "3");
  CHECK(dead.headers.size() == 11 + 1);
  CHECK(read_dead_letter(dead.headers).reason == "no");
  CHECK(dead.payload == original().payload);

  Received again{context, dead, 0, "orders.dlq"};
  Message second = make_dead_letter(again.delivery, permanent("no"), Time{});
  CHECK_FALSE(second.headers.contains("omnibus-dead-cut"));  // nothing of this one was
  CHECK_FALSE(cut_headers(second));
  CHECK(second.headers.size() == 11);
}

TEST_CASE("a dead letter that is too large with its headers is written without them") {
  FakeContext context;
  std::vector<Errc> refusals{Errc::too_large};
  context.answer = [&refusals]() -> Result<Receipt> {
    if (refusals.empty()) return Receipt{};
    const Errc code = refusals.back();
    refusals.pop_back();
    return Error::make(code, "publish");
  };
  Received received{context, original()};
  CHECK(bury(received.delivery, permanent("no"), "dlq"));
  CHECK(received.delivery.dead_lettered());
  REQUIRE(context.sent.size() == 1);
  CHECK(context.sent[0].message.headers.get("omnibus-dead-cut") == "3");
  CHECK_FALSE(context.sent[0].message.headers.contains("trace"));

  refusals = {Errc::unavailable};  // for other reasons nothing is cut
  Received other{context, original()};
  CHECK(bury(other.delivery, permanent("no"), "dlq").error().again());
  CHECK(bury(other.delivery, permanent("no"), "dlq"));
  CHECK(context.sent.back().message.headers.contains("trace"));

  refusals = {Errc::too_large, Errc::too_large};
  Received huge{context, original()};
  CHECK(bury(huge.delivery, permanent("no"), "dlq").error().again());  // it stays
  CHECK_FALSE(huge.delivery.dead_lettered());
  CHECK(context.sent.size() == 2);
}

TEST_CASE("the position of a Redis stream has two halves") {
  FakeContext context;
  const Message message = message_of("m", "k");
  const MessageView view = message.view();
  const Delivery delivery{{&view, "orders", 0, {1'700'000'000'000, 3}, 0, 1}, context};
  const Message dead = make_dead_letter(delivery, permanent("no"), Time{});
  CHECK(dead.headers.get("omnibus-dead-position") == "1700000000000-3");
}

TEST_CASE("attempts count the handler's calls, not those of the dead-letter topic") {
  FakeContext context;
  Received received{context, message_of("m", "k")};
  CHECK(read_dead_letter(make_dead_letter(received.delivery, permanent(""), {}).headers).attempts ==
        0);
  received.delivery.mark_attempted();
  CHECK(read_dead_letter(make_dead_letter(received.delivery, permanent(""), {}).headers).attempts ==
        1);
  received.delivery.begin_again();
  CHECK(read_dead_letter(make_dead_letter(received.delivery, permanent(""), {}).headers).attempts ==
        1);
}

TEST_CASE("read_dead_letter reads what make_dead_letter wrote") {
  FakeContext context;
  Received received{context, original(), 6};
  received.delivery.mark_attempted();
  const Error error{Errc::decode_failed, false, "decode order.placed", "not JSON"};
  const Message dead = make_dead_letter(received.delivery, error, Time{90s}, 30s);
  const DeadLetter read = read_dead_letter(dead.headers);
  CHECK(read.code == "decode_failed");
  CHECK(read.operation == "decode order.placed");
  CHECK(read.reason == "not JSON");
  CHECK(read.first_reason == "not JSON");
  CHECK(read.topic == "orders");
  CHECK(read.group == "billing");
  CHECK(read.partition == "3");
  CHECK(read.position == "17");
  CHECK(read.attempts == 7);
  CHECK(read.time == Time{90s});
  CHECK(read.first_time == Time{60s});
}

TEST_CASE("a dead letter says when the first attempt failed") {
  FakeContext context;
  Received received{context, original()};
  (void)received.delivery.remember(retryable("the first time"), context.time.now());
  context.time.advance(5min);
  REQUIRE(bury(received.delivery, permanent("the last time"), "dlq"));
  const DeadLetter read = read_dead_letter(context.sent[0].message.headers);
  CHECK(read.time - read.first_time == 5min);
}

TEST_CASE("read_dead_letter takes any headers") {
  CHECK(read_dead_letter({}).code.empty());
  CHECK(read_dead_letter({}).attempts == 0);
  for (const char* attempts : {"", "x", "-1", "99999999999999999999", " 7"}) {
    const Headers headers{{"omnibus-dead-attempts", attempts}};
    CHECK(read_dead_letter(headers).attempts == 0);
  }
  for (const char* time : {"", "x", "-1", "9000000000001", "9223372036854775807", "99999999999999999999"}) {
    CHECK(read_dead_letter(Headers{{"omnibus-dead-time", time}}).time == Time{});
  }
  CHECK(read_dead_letter(Headers{{"omnibus-dead-time", "9000000000000"}}).time > Time{});
}

TEST_CASE("the dead-letter topic is named after topic and group") {
  CHECK(default_dead_letter_topic("orders", "billing") == "orders.billing.dlq");
  CHECK(default_dead_letter_topic("orders", "") == "orders.dlq");
}
