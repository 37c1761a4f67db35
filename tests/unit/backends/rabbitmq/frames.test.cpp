// SPDX-License-Identifier: MIT
#include <omnibus/backends/rabbitmq/frames.hpp>

#include <algorithm>

#include "catch.hpp"
#include "unit/backends/rabbitmq/tools.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::rabbitmq;
using namespace omnibus::unit;

namespace {

std::string published(const MessageView& message, const Carried& carried = {},
                      std::size_t most = 131'072) {
  std::string bytes;
  REQUIRE(append_publish(bytes, 1, "orders", "3", message, carried, most));
  return bytes;
}

/// What is left of a message after a publish and a delivery.
Message there_and_back(const Message& message, std::size_t most = 131'072) {
  rabbitmq::Received received;
  feed(received, published(message.view(), {}, most));
  REQUIRE(received.whole());
  return Message{received.message()};
}

/// "name=value" of all headers, in order.
std::vector<std::string> list_of(HeadersView headers) {
  std::vector<std::string> list;
  for (const Header header : headers) {
    list.push_back(std::string{header.name} + "=" + std::string{header.value});
  }
  return list;
}

bool same_but_headers(const Message& a, const Message& b) {
  return a.id == b.id && a.type == b.type && a.key == b.key && a.payload == b.payload &&
         a.time == b.time && a.sequence == b.sequence;
}

/// Bytes that make trouble where somebody takes them for text.
const std::string difficult = "\0\xff\xce\"\\\n\x80 end"s;

Message full_message() {
  Message message = message_of("id-1", "order-17", "payload " + difficult, "order.placed");
  message.time = Time{1'700'000'000'123'456'789ns};
  message.sequence = {UINT64_MAX, UINT64_MAX - 1};
  return message;
}

}  // namespace

TEST_CASE("rabbitmq: numbers and texts lie in the bytes as AMQP has them") {
  std::string out;
  put8(out, 0xab);
  put16(out, 0x0102);
  put32(out, 0x03040506);
  put64(out, 0x0708090a0b0c0d0e);
  put_short(out, "ab");
  put_long(out, "c");
  CHECK(out == "\xab\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x02"
               "ab\0\0\0\x01"
               "c"s);
}

TEST_CASE("rabbitmq: a heartbeat, byte by byte") {
  std::string out = "before";
  append_heartbeat(out);
  CHECK(out == "before\x08\0\0\0\0\0\0\xce"s);
}

TEST_CASE("rabbitmq: an acknowledgement, byte by byte") {
  std::string out;
  append_ack(out, 0x0102, 0x0a0b0c0d0e0f1011, true);
  CHECK(out == "\x01\x01\x02\0\0\0\x0d\0\x3c\0\x50\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x01\xce"s);
  append_ack(out, 7, 5, false);
  Pool pool;
  const std::vector<Frame> frames = frames_of(out);
  REQUIRE(frames.size() == 2);
  const auto& ack = pool.method<amqp_basic_ack_t>(frames[1], AMQP_BASIC_ACK_METHOD);
  CHECK(frames[1].channel == 7);
  CHECK(ack.delivery_tag == 5);
  CHECK(ack.multiple == 0);
}

TEST_CASE("rabbitmq: a publish is mandatory and persistent, and has its body in frames that fit") {
  Message message = full_message();
  message.payload.assign(1000, 'x');
  Pool pool;
  const std::vector<Frame> frames = frames_of(published(message.view(), {}, 256));
  const auto& publish = pool.method<amqp_basic_publish_t>(frames.at(0), AMQP_BASIC_PUBLISH_METHOD);
  CHECK(view_of(publish.exchange) == "orders");
  CHECK(view_of(publish.routing_key) == "3");
  CHECK(publish.mandatory == 1);
  CHECK(publish.immediate == 0);
  const amqp_basic_properties_t& properties = pool.properties(frames.at(1));
  CHECK(properties._flags ==
        (AMQP_BASIC_HEADERS_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_MESSAGE_ID_FLAG |
         AMQP_BASIC_TIMESTAMP_FLAG | AMQP_BASIC_TYPE_FLAG));
  CHECK(properties.delivery_mode == 2);
  CHECK(properties.timestamp == 1'700'000'000);
  CHECK(view_of(properties.message_id) == "id-1");
  CHECK(view_of(properties.type) == "order.placed");
  CHECK(number_at(frames[1].payload, 0, 2) == 60);
  CHECK(number_at(frames[1].payload, 2, 2) == 0);
  CHECK(number_at(frames[1].payload, 4, 8) == 1000);
  REQUIRE(frames.size() == 7);  // 4 * 248 + 8
  for (const Frame& frame : frames) CHECK(frame.channel == 1);
  for (std::size_t i = 2; i < frames.size(); ++i) {
    CHECK(frames[i].type == AMQP_FRAME_BODY);
    CHECK(frames[i].payload.size() == (i < 6 ? 248u : 8u));
  }
}

TEST_CASE("rabbitmq: bodies around the size of a frame come back whole") {
  for (const std::size_t size : {0u, 1u, 247u, 248u, 249u, 495u, 496u, 497u, 5000u}) {
    CAPTURE(size);
    Message message = full_message();
    message.payload.clear();
    for (std::size_t i = 0; i < size; ++i) message.payload.push_back(static_cast<char>(i * 7));
    CHECK(same_but_headers(there_and_back(message, 256), message));
    const std::size_t frames = frames_of(published(message.view(), {}, 256)).size();
    CHECK(frames == 2 + (size + 247) / 248);
  }
}

TEST_CASE("rabbitmq: a message comes back as it was sent, whatever bytes it is of") {
  Message message = full_message();
  message.id = "id " + difficult;
  message.type = "type " + difficult;
  message.key = "key " + difficult;
  message.headers = {{"trace", "4bf9"}, {"empty", ""},      {"trace", "second"},
                     {"bytes", difficult}, {"trace", "4bf9"}, {"x-mine", "too"}};
  message.headers.add(std::string(255, 'n'), std::string(8192, '\xff'));
  const Message back = there_and_back(message);
  CHECK(same_but_headers(back, message));
  CHECK(list_of(back.headers) == list_of(message.headers));
}

TEST_CASE("rabbitmq: a message of nothing comes back as nothing") {
  const Message message;
  const Message back = there_and_back(message);
  CHECK(same_but_headers(back, message));
  CHECK(back.headers.empty());
}

TEST_CASE("rabbitmq: times come back to the nanosecond, from before 1970 too") {
  for (const std::int64_t time : {std::int64_t{0}, std::int64_t{1}, std::int64_t{-1}, INT64_MAX,
                                  INT64_MIN, std::int64_t{-1'500'000'000}}) {
    CAPTURE(time);
    Message message = full_message();
    message.time = Time{std::chrono::nanoseconds{time}};
    CHECK(there_and_back(message).time == message.time);
  }
}

TEST_CASE("rabbitmq: a sequence goes along when the producer numbers") {
  Message message = full_message();
  message.sequence = {1, 0};
  CHECK(there_and_back(message).sequence == Sequence{1, 0});
  message.sequence = {0, 7};  // not numbered
  CHECK(there_and_back(message).sequence == Sequence{});
  CHECK(published(message.view()).find("x-omnibus-number") == std::string::npos);
}

TEST_CASE("rabbitmq: ids and types too long for their properties come back") {
  for (const std::size_t size : {254u, 255u, 256u, 1024u}) {
    CAPTURE(size);
    Message message = full_message();
    message.id.assign(size, 'i');
    message.type.assign(size, 't');
    message.key.assign(size, 'k');
    const std::string bytes = published(message.view());
    CHECK(same_but_headers(there_and_back(message), message));
    Pool pool;
    const std::vector<Frame> frames = frames_of(bytes);
    const amqp_flags_t flags = pool.properties(frames.at(1))._flags;
    CHECK(((flags & AMQP_BASIC_MESSAGE_ID_FLAG) != 0) == (size <= 255));
    CHECK(((flags & AMQP_BASIC_TYPE_FLAG) != 0) == (size <= 255));
  }
}

TEST_CASE("rabbitmq: headers named like AMQP's properties travel as those") {
  Message message = full_message();
  message.headers = {{"app-id", "shop"}, {"reply-to", "answers"}, {"trace", "1"},
                     {"correlation-id", "c-1"}, {"content-encoding", "gzip"},
                     {"content-type", "text/plain"}};
  Pool pool;
  const std::vector<Frame> frames = frames_of(published(message.view()));
  const amqp_basic_properties_t& properties = pool.properties(frames.at(1));
  CHECK(view_of(properties.content_type) == "text/plain");
  CHECK(view_of(properties.content_encoding) == "gzip");
  CHECK(view_of(properties.correlation_id) == "c-1");
  CHECK(view_of(properties.reply_to) == "answers");
  CHECK(view_of(properties.app_id) == "shop");
  CHECK(view_of(properties.message_id) == "id-1");
  CHECK(view_of(properties.type) == "order.placed");
  for (int i = 0; i < properties.headers.num_entries; ++i) {
    const std::string_view name = view_of(properties.headers.entries[i].key);
    CHECK((name == "trace" || name.starts_with("x-omnibus-")));
  }
  const Message back = there_and_back(message);
  CHECK(same_but_headers(back, message));
  std::vector<std::string> sent = list_of(message.headers);
  std::vector<std::string> got = list_of(back.headers);
  std::sort(sent.begin(), sent.end());
  std::sort(got.begin(), got.end());
  CHECK(got == sent);
}

TEST_CASE("rabbitmq: a property that is too long, empty or there twice is a header as well") {
  Message message = full_message();
  message.headers = {{"content-type", "first"}, {"content-type", "second"},
                     {"reply-to", std::string(256, 'r')}, {"app-id", ""},
                     {"correlation-id", std::string(255, 'c')}, {"content-type", "first"}};
  Pool pool;
  const std::vector<Frame> frames = frames_of(published(message.view()));
  const amqp_basic_properties_t& properties = pool.properties(frames.at(1));
  CHECK(view_of(properties.content_type) == "first");
  CHECK(view_of(properties.correlation_id) == std::string(255, 'c'));
  CHECK((properties._flags & AMQP_BASIC_REPLY_TO_FLAG) == 0);
  CHECK((properties._flags & AMQP_BASIC_APP_ID_FLAG) == 0);
  const Message back = there_and_back(message);
  CHECK(list_of(back.headers) ==
        std::vector<std::string>{"content-type=first", "correlation-id=" + std::string(255, 'c'),
                                 "content-type=second", "reply-to=" + std::string(256, 'r'),
                                 "app-id=", "content-type=first"});
}

TEST_CASE("rabbitmq: headers that do not fit into a frame are not sent") {
  Message message = full_message();
  std::string bytes;
  CHECK(append_publish(bytes, 1, "orders", "3", message.view(), {}, 131'072));
  const std::size_t size = frames_of(bytes).at(1).payload.size() + 8;
  CHECK(append_publish(bytes, 1, "orders", "3", message.view(), {}, size));
  CHECK_FALSE(append_publish(bytes, 1, "orders", "3", message.view(), {}, size - 1));
}

TEST_CASE("rabbitmq: a copy that may be dropped says when") {
  const Message message = full_message();
  Pool pool;
  const std::vector<Frame> frames = frames_of(published(message.view(), {.expires = "60000"}));
  const amqp_basic_properties_t& properties = pool.properties(frames.at(1));
  CHECK(view_of(properties.expiration) == "60000");
  CHECK(view_of(properties.message_id) == "id-1");
  rabbitmq::Received received;
  feed(received, published(message.view(), {.expires = "60000"}));
  CHECK(same_but_headers(Message{received.message()}, message));
  CHECK(received.message().headers.empty());
}

TEST_CASE("rabbitmq: what a copy that waits carries, comes back as facts and not as headers") {
  const Message message = full_message();
  rabbitmq::Received received;
  feed(received, published(message.view(), {7, 90s + 1ns}));
  CHECK(received.facts().attempts == 7);
  CHECK(received.facts().wait == 90s + 1ns);
  CHECK(received.message().headers.empty());
  feed(received, published(message.view(), {UINT32_MAX, Duration{-1}}));
  CHECK(received.facts().attempts == 1'000'000);  // more than anybody has made
  CHECK(received.facts().wait == Duration::zero());
  feed(received, published(message.view()));
  CHECK(received.facts().attempts == 0);
  CHECK(received.facts().wait == Duration::zero());
  CHECK(published(message.view()).find("x-omnibus-attempts") == std::string::npos);
}

TEST_CASE("rabbitmq: whatever is left of a delay comes back, however long it is") {
  const Message message = full_message();
  for (const Duration wait : {Duration{1}, Duration{29 * 24h}, Duration{100 * 24h}}) {
    rabbitmq::Received received;
    feed(received, published(message.view(), {0, wait}));
    CHECK(received.facts().wait == wait);
  }
}

TEST_CASE("rabbitmq: random messages come back as they were sent") {
  std::mt19937_64 random{11};
  const auto bytes = [&](std::size_t most) {
    std::string text;
    for (std::size_t left = random() % (most + 1); left > 0; --left) {
      text.push_back(static_cast<char>(random()));
    }
    return text;
  };
  for (int i = 0; i < 2000; ++i) {
    Message message = message_of(bytes(300), bytes(300), bytes(9000), bytes(300));
    message.time = Time{std::chrono::nanoseconds{static_cast<std::int64_t>(random())}};
    if (random() % 2 == 0) message.sequence = {random() | 1, random()};
    for (std::uint64_t left = random() % 10; left > 0; --left) {
      message.headers.add("h" + std::to_string(random() % 4), bytes(300));
    }
    const Message back = there_and_back(message, 5000 + random() % 1000);
    if (!same_but_headers(back, message)) FAIL("another message, at " << i);
    if (list_of(back.headers) != list_of(message.headers)) FAIL("other headers, at " << i);
  }
}
