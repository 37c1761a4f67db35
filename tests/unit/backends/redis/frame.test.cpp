// SPDX-License-Identifier: MIT
#include <omnibus/backends/redis/frame.hpp>

#include <string>
#include <vector>

#include "catch.hpp"
#include "tools.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::redis;
using namespace omnibus::unit;

namespace {

std::string frame_of(const Message& message) {
  std::string out;
  append_frame(out, message.view());
  CHECK(out.size() == frame_size(message.view()));
  return out;
}

Message whole_message() {
  Message message = message_of("m-1", "o-17", "total\0 42"s, "placed");
  message.time = Time{std::chrono::nanoseconds{-1234}};
  message.sequence = {3, UINT64_MAX};
  message.headers = {{"trace", "4bf9"}, {"trace", ""}, {"long", std::string(300, 'x')}};
  return message;
}

}  // namespace

TEST_CASE("redis: the bytes of a frame") {
  Message message = message_of("m-1", "k", "body", "t");
  message.time = Time{std::chrono::nanoseconds{0x0102}};
  message.sequence = {1, 300};
  message.headers = {{"h", "v"}};
  CHECK(frame_of(message) ==
        "\xC1ob1"
        "\x02\x01\0\0\0\0\0\0"
        "\x01\xAC\x02"
        "\x03\x01\x01\x01"
        "m-1tk"
        "\x01\x01hv"
        "body"s);
  CHECK(frame_of(Message{}) == "\xC1ob1\0\0\0\0\0\0\0\0\0\0\0\0\0\0"s);
}

TEST_CASE("redis: what was framed is read as it was") {
  for (const Message& message : {whole_message(), Message{}}) {
    const std::string bytes = frame_of(message);
    MessageView read;
    std::string headers = "what was there before";
    REQUIRE(read_frame(bytes, read, headers));
    CHECK(read.id == message.id);
    CHECK(read.type == message.type);
    CHECK(read.key == message.key);
    CHECK(read.payload == message.payload);
    CHECK(read.time == message.time);
    CHECK(read.sequence == message.sequence);
    CHECK(read.headers.block() == message.headers.view().block());
  }
}

TEST_CASE("redis: what is no frame is not taken for one") {
  MessageView read;
  std::string headers;
  for (const std::string& foreign :
       {""s, "plain"s, "{\"a\":1}"s, "\xC1"s, "\xC1ob"s, "\xC1ob1"s, "\xC1ob2\0\0\0\0\0\0\0\0\0\0\0\0\0\0"s,
        "ob1\0\0\0\0\0\0\0\0\0\0\0\0\0\0"s}) {
    INFO(foreign);
    CHECK_FALSE(read_frame(foreign, read, headers));
  }
  // One that was cut off is none either, as long as not only the payload is concerned.
  Message message = whole_message();
  message.payload.clear();
  const std::string bytes = frame_of(message);
  REQUIRE(read_frame(bytes, read, headers));
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    INFO(size);
    CHECK_FALSE(read_frame(std::string_view{bytes}.substr(0, size), read, headers));
  }
}

TEST_CASE("redis: hostile frames are refused") {
  const std::string front = "\xC1ob1\0\0\0\0\0\0\0\0"s;
  MessageView read;
  std::string headers;
  const std::string endless(11, '\xFF');
  const std::string largest = "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"s;
  std::vector<std::string> all{"\0\0\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x02\0\0\0"s, "\0\0\x05\0\0\0four"s};
  all.push_back(endless);
  all.push_back("\0\0"s + largest + "\0\0\0"s);
  all.push_back("\0\0\0\0\0"s + largest);
  all.push_back("\0\0\0\0\0\x01"s + largest + largest);
  for (const std::string& hostile : all) {
    CHECK_FALSE(read_frame(front + hostile, read, headers));
    CHECK(headers.size() < 100);
  }
  // Numbers need not be as short as they can.
  const std::string longer = front + "\x80\0\0\0\0\0\0x"s;
  REQUIRE(read_frame(longer, read, headers));
  CHECK(read.payload == "x");
}

TEST_CASE("redis: any change of a byte is read or refused, never beyond the end") {
  const std::string bytes = frame_of(whole_message());
  MessageView read;
  std::string headers;
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string changed = bytes;
      changed[at] = static_cast<char>(changed[at] ^ (1 << bit));
      if (!read_frame(changed, read, headers)) continue;
      CHECK(read.payload.size() <= changed.size());
      std::size_t size = 0;
      for (const Header header : read.headers) size += header.name.size() + header.value.size();
      CHECK(size <= changed.size());
    }
  }
}

TEST_CASE("redis: PUBLISH, framed and plain") {
  std::string out;
  append_publish(out, "news", message_of("m", "", "hello").view(), true);
  CHECK(commands_of(out) == "PUBLISH news hello\n");
  out.clear();
  append_publish(out, "news", message_of("m", "", "hello").view(), false);
  CHECK(commands_of(out) == "PUBLISH news \xC1ob1\0\0\0\0\0\0\0\0\0\0\x01\0\0\0mhello\n"s);
}
