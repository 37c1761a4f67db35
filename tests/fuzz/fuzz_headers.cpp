// SPDX-License-Identifier: MIT
// The envelope: what a backend makes of a message is what the same backend reads, and what somebody else wrote
// is read without harm.
#include <algorithm>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <omnibus/backends/kafka/marks.hpp>
#include <omnibus/backends/kafka/record.hpp>
#include <omnibus/backends/rabbitmq/amqp.hpp>
#include <omnibus/backends/rabbitmq/received.hpp>
#include <omnibus/backends/redis/entry.hpp>
#include <omnibus/backends/redis/frame.hpp>
#include <omnibus/backends/redis/reader.hpp>
#include <omnibus/backends/redis/record.hpp>
#include <omnibus/event_store/columns.hpp>

#include "fuzz.hpp"

namespace {

using namespace omnibus;
using fuzz::require;

// ── Redis ────────────────────────────────────────────────────────────────────────────────────────────

/// The arguments of a command, one after the other, behind a count.
class Fields final : public redis::Replies {
 public:
  std::vector<std::string> all;
  void part(const redis::Part& part) noexcept override {
    if (part.depth == 1) all.emplace_back(part.text);
  }
  void complete() noexcept override {}
};

void stream_entry(const MessageView& message) {
  std::string out;
  redis::begin_command(out, redis::count_fields(message));
  redis::append_fields(out, message);
  Fields fields;
  redis::Reader reader{out.size()};
  require(reader.feed(out.data(), out.size()) && reader.next(fields) == redis::Reader::Got::whole,
          "as many fields are written as were counted");
  redis::Entry entry;
  entry.begin({1, 2});
  for (const std::string& each : fields.all) {
    require(entry.add(each, {}, std::size_t{1} << 20), "it is as large as before");
  }
  entry.finish();
  require(fuzz::same(entry.message(), message), "a stream entry is the message");
}

void channel_frame(const MessageView& message) {
  std::string bytes, headers;
  redis::append_frame(bytes, message);
  require(bytes.size() == redis::frame_size(message), "a frame has the size that was told");
  MessageView read;
  require(redis::read_frame(bytes, read, headers), "a frame is read");
  require(fuzz::same(read, message), "a frame is the message");
  const std::size_t most = std::min(bytes.size(), bytes.size() - message.payload.size() + 4);
  for (std::size_t size = 0; size < most; size += 1 + size / 256) {
    const std::string cut = bytes.substr(0, size);  // a copy, so that reading beyond it is seen
    MessageView part;
    if (!redis::read_frame(cut, part, headers)) continue;
    require(part.id == message.id && part.key == message.key && message.payload.starts_with(part.payload),
            "of a frame that was cut, the payload alone may be shorter");
    fuzz::walk(part);
  }
}

// ── RabbitMQ ─────────────────────────────────────────────────────────────────────────────────────────

using Pair = std::pair<std::string, std::string>;

/// Properties of AMQP come first, whatever the order was.
std::vector<Pair> sorted(HeadersView headers) {
  std::vector<Pair> all;
  for (const Header header : headers) all.emplace_back(header.name, header.value);
  std::sort(all.begin(), all.end());
  return all;
}

/// Takes a frame off the front; returns its type and payload.
std::pair<std::uint8_t, std::string_view> take_frame(std::string_view& bytes, std::size_t most) {
  require(bytes.size() >= rabbitmq::frame_overhead, "a frame has a head and an end");
  const auto at = [&](std::size_t index) { return static_cast<std::size_t>(static_cast<unsigned char>(bytes[index])); };
  const std::size_t size = at(3) << 24 | at(4) << 16 | at(5) << 8 | at(6);
  require(size + rabbitmq::frame_overhead <= std::min(bytes.size(), most), "a frame is not larger than may be");
  require(at(7 + size) == 0xCE, "a frame ends with its octet");
  require(at(1) == 0 && at(2) == 7, "a frame is of its channel");
  const std::pair<std::uint8_t, std::string_view> frame{static_cast<std::uint8_t>(at(0)), bytes.substr(7, size)};
  bytes.remove_prefix(size + rabbitmq::frame_overhead);
  return frame;
}

void amqp_frames(const MessageView& message) {
  for (const Header header : message.headers) {
    if (header.name.starts_with("x-")) return;  // they belong to brokers, and to us
  }
  constexpr std::size_t frame_max = 4096;
  std::string out;
  const rabbitmq::Carried carried{.attempts = 3, .wait = std::chrono::seconds{4}};
  if (!rabbitmq::append_publish(out, 7, "e", "k", message, carried, frame_max)) return;
  std::string_view bytes = out;
  require(take_frame(bytes, frame_max).first == AMQP_FRAME_METHOD, "first comes the method");
  const auto [type, head] = take_frame(bytes, frame_max);
  require(type == AMQP_FRAME_HEADER && head.size() >= 12, "then comes the content header");
  amqp_pool_t pool;
  init_amqp_pool(&pool, 4096);
  void* decoded = nullptr;
  require(amqp_decode_properties(60, &pool, rabbitmq::bytes_of(head.substr(12)), &decoded) == AMQP_STATUS_OK,
          "the properties are well-formed");
  rabbitmq::Received received;
  received.begin(*static_cast<const amqp_basic_properties_t*>(decoded), message.payload.size(), false);
  while (!bytes.empty()) {
    const auto [kind, part] = take_frame(bytes, frame_max);
    require(kind == AMQP_FRAME_BODY && !part.empty(), "then comes the body");
    require(received.add(part) == bytes.empty(), "the last frame makes it whole");
  }
  const MessageView& got = received.message();
  require(received.whole(), "the body is whole");
  require(got.id == message.id && got.type == message.type && got.key == message.key &&
              got.payload == message.payload && got.time == message.time && got.sequence == message.sequence,
          "AMQP frames are the message");
  require(sorted(got.headers) == sorted(message.headers), "AMQP headers are those of the message");
  require(received.facts().attempts == 3 && received.facts().wait == carried.wait, "what it carries arrives");
  empty_amqp_pool(&pool);
}

// ── Kafka ────────────────────────────────────────────────────────────────────────────────────────────

void kafka_envelope(const MessageView& message, std::uint64_t number) {
  kafka::Envelope envelope{message.id, message.type, message.sequence,
                           static_cast<std::int64_t>(number), static_cast<std::uint32_t>(number >> 32), {}};
  if (is_topic_name(message.key)) envelope.group = message.key;
  std::string bytes, scratch;
  kafka::append_envelope(bytes, envelope);
  const kafka::Envelope read = kafka::parse_envelope(bytes, scratch);
  require(read.id == envelope.id && read.type == envelope.type && read.group == envelope.group,
          "an envelope's words are read as they were written");
  require(read.sequence == envelope.sequence && read.due == envelope.due && read.attempts == envelope.attempts,
          "an envelope's numbers are read as they were written");
  const Time time = kafka::from_ms(static_cast<std::int64_t>(number));
  require(time >= Time{} && kafka::from_ms(kafka::to_ms(time)) == time, "milliseconds are read as they were written");
}

// ── what somebody else wrote ─────────────────────────────────────────────────────────────────────────

void foreign(std::string_view bytes) {
  std::string scratch;
  const kafka::Envelope envelope = kafka::parse_envelope(bytes, scratch);
  volatile std::size_t sum = fuzz::walk(envelope.id) + fuzz::walk(envelope.type) + fuzz::walk(envelope.group);
  require(envelope.id.size() + envelope.type.size() <= bytes.size(), "an envelope's words are in it");

  std::int64_t last = -1;
  const kafka::Marks marks{5, bytes};
  marks.for_all([&](std::int64_t offset) {
    require(offset > last && offset >= 5 && marks.contains(offset), "marks come in order, and are there");
    last = offset;
  });
  require(kafka::Marks(5, marks.text()).text() == marks.text(), "marks are read as they were written");

  MessageView read;
  if (redis::read_frame(bytes, read, scratch)) fuzz::walk(read);

  redis::Entry entry;
  entry.begin({3, 4});
  fuzz::Input fields{reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()};
  while (!fields.empty() && entry.add(fields.text(), {.payload = "p", .key = "k"}, 512)) {
  }
  entry.finish();
  fuzz::walk(entry.message());
  require(entry.size() <= 512 + 44 + 8, "an entry is not larger than may be");

  redis::Stamp stamp;
  (void)redis::parse_stamp(bytes, stamp);

  using namespace event_store;
  if (is_headers_block(bytes)) {
    MessageView message;
    message.headers = HeadersView{bytes};
    fuzz::walk(message);
  }
  std::vector<std::string_view> tags;
  if (decode_tags(bytes, tags)) {
    std::string again;
    encode_tags(tags, again);
    require(again == bytes, "tags are written as they were read");
    for (const std::string_view tag : tags) sum = sum + fuzz::walk(tag);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input{data, size};
  foreign(input.rest());
  const std::uint64_t number = input.number();
  const Message message = fuzz::message_from(input);
  fuzz::walk(message.view());
  if (!check_message(message.view(), {})) return 0;
  stream_entry(message.view());
  channel_frame(message.view());
  amqp_frames(message.view());
  kafka_envelope(message.view(), number);
  return 0;
}
