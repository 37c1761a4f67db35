// SPDX-License-Identifier: MIT
#include <omnibus/backends/kafka/partition.hpp>

#include <cstring>
#include <memory>
#include <random>
#include <set>
#include <vector>

#include "catch.hpp"
#include "unit/backends/kafka/tools.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::kafka;
using namespace omnibus::unit;

namespace {

/// A header as other programs write it: its value may be missing.
struct Foreign {
  const char* name;
  const void* value;
  std::int64_t size;
};

/// Records that went through a cluster, and what is read of them.
class Wire {
 public:
  Wire() : producer_{shared_cluster().settings(), Duration{}, listener_} {
    partition_.topic = &topic_;
    held_.partition = &partition_;
  }

  /// Sends one of ours.
  void send(const RecordView& record) {
    const Topic topic = producer_.topic(name_);
    REQUIRE(producer_.produce(topic.get(), record, 0) == RD_KAFKA_RESP_ERR_NO_ERROR);
    REQUIRE(next_report(producer_).code == RD_KAFKA_RESP_ERR_NO_ERROR);
  }
  /// Sends one of another program's. Null pointers stay what they are.
  void send(const char* key, const char* payload, std::initializer_list<Foreign> headers,
            std::int64_t time = 1) {
    const Topic topic = producer_.topic(name_);
    std::vector<rd_kafka_vu_t> parts;
    const auto next = [&](rd_kafka_vtype_t type) -> rd_kafka_vu_t& {
      rd_kafka_vu_t part{};
      part.vtype = type;
      return parts.emplace_back(part);
    };
    next(RD_KAFKA_VTYPE_RKT).u.rkt = topic.get();
    next(RD_KAFKA_VTYPE_MSGFLAGS).u.i = RD_KAFKA_MSG_F_COPY;
    next(RD_KAFKA_VTYPE_TIMESTAMP).u.i64 = time;
    if (key != nullptr) next(RD_KAFKA_VTYPE_KEY).u.mem = {const_cast<char*>(key), std::strlen(key)};
    if (payload != nullptr) {
      next(RD_KAFKA_VTYPE_VALUE).u.mem = {const_cast<char*>(payload), std::strlen(payload)};
    }
    for (const Foreign& each : headers) {
      auto& header = next(RD_KAFKA_VTYPE_HEADER).u.header;
      header.name = each.name;
      header.val = each.value;
      header.size = each.size;
    }
    const LibraryError error{rd_kafka_produceva(producer_.get(), parts.data(), parts.size())};
    REQUIRE_FALSE(error);
    REQUIRE(next_report(producer_).code == RD_KAFKA_RESP_ERR_NO_ERROR);
  }
  /// Reads the next one into the same place as all before.
  const Held& read() {
    rd_kafka_message_t* raw = next();
    if (held_.raw != nullptr) rd_kafka_message_destroy(held_.raw);
    held_.take(raw);
    held_.complete();
    return held_;
  }
  /// The next one, the caller's to destroy.
  rd_kafka_message_t* next() {
    if (!reader_) reader_ = std::make_unique<Reader>(shared_cluster().settings(), name_, 0);
    rd_kafka_message_t* raw = reader_->next();
    REQUIRE(raw != nullptr);
    return raw;
  }
  ~Wire() {
    if (held_.raw != nullptr) rd_kafka_message_destroy(held_.raw);
  }

 private:
  const std::string name_ = new_topic(1);
  Listener listener_;
  Producer producer_;
  std::unique_ptr<Reader> reader_;
  const std::string topic_ = "orders";
  Partition partition_;
  Held held_;
};

std::string as_text(HeadersView headers) {
  std::string text;
  for (const Header header : headers) {
    text += std::string{header.name} + "=" + visible(header.value) + ";";
  }
  return text;
}

std::string envelope_of(const Envelope& envelope) {
  std::string text;
  append_envelope(text, envelope);
  return text;
}

}  // namespace

TEST_CASE("kafka: what was published is what is read") {
  Wire wire;
  const std::string bytes = every_byte();
  const Headers headers{{"trace", bytes}, {"empty", ""}, {"trace", "again"}};
  wire.send({bytes, bytes, 1'700'000'000'123, envelope_of({bytes, "order.placed", {7, 8}, 9, 10, {}}),
             headers});
  const Held& held = wire.read();
  CHECK(held.message.id == bytes);
  CHECK(held.message.type == "order.placed");
  CHECK(held.message.key == bytes);
  CHECK(held.message.payload == bytes);
  CHECK(held.message.sequence == Sequence{7, 8});
  CHECK(held.message.headers.block() == headers.view().block());
  CHECK(held.due == 9);
  CHECK(held.attempts == 10);
  CHECK(held.offset == 0);
  CHECK(held.meant_for.empty());
}

TEST_CASE("kafka: no key and no bytes are published as that") {
  Wire wire;
  wire.send({"", {}, 1, envelope_of({"id", "", {}, 0, 0, {}}), {}});
  const Held& held = wire.read();
  CHECK(held.raw->key == nullptr);
  CHECK(held.raw->payload != nullptr);  // null would be a tombstone
  CHECK(held.raw->len == 0);
  CHECK(held.message.key.empty());
  CHECK(held.message.payload.empty());
  CHECK(held.message.id == "id");
}

TEST_CASE("kafka: a foreign record is known by its place") {
  Wire wire;
  wire.send("key", "payload", {});
  wire.send(nullptr, nullptr, {});
  wire.send("", "", {{"name", "value", 5}});
  const Held& first = wire.read();
  CHECK(first.message.id == "orders/0/0");
  CHECK(first.message.type.empty());
  CHECK(first.message.key == "key");
  CHECK(first.message.payload == "payload");
  CHECK(first.message.headers.empty());
  CHECK(first.message.sequence == Sequence{});
  const Held& second = wire.read();
  CHECK(second.message.id == "orders/0/1");
  CHECK(second.message.key.empty());
  CHECK(second.message.payload.empty());
  const Held& third = wire.read();
  CHECK(third.message.id == "orders/0/2");
  CHECK(as_text(third.message.headers) == "name=value;");
}

TEST_CASE("kafka: places are told apart by their partition and offset") {
  Wire wire;
  for (int i = 0; i < 3; ++i) wire.send("key", "payload", {});
  std::set<std::string> ids;
  for (const std::int32_t partition : {0, 7, 12}) {
    const std::string topic = "orders";
    Partition of;
    of.topic = &topic;
    Held held;
    held.partition = &of;
    rd_kafka_message_t* raw = wire.next();
    raw->partition = partition;
    held.take(raw);
    held.complete();
    ids.emplace(held.message.id);
    rd_kafka_message_destroy(raw);
  }
  CHECK(ids == std::set<std::string>{"orders/0/0", "orders/7/1", "orders/12/2"});
}

TEST_CASE("kafka: foreign headers may have any bytes, any name and no value") {
  Wire wire;
  const std::string bytes = every_byte();
  wire.send("k", "p", {{"bytes", bytes.data(), 256},
                       {"null", nullptr, 0},
                       {"", "no name", 7},
                       {"with space\n", "", 0},
                       {"Omnibus", "not ours", 8}});
  const Held& held = wire.read();
  CHECK(as_text(held.message.headers) ==
        "bytes=" + visible(bytes) + ";null=;=no\\x20name;with space\n=;Omnibus=not\\x20ours;");
  CHECK(held.message.id == "orders/0/0");
}

TEST_CASE("kafka: our header's value costs this record alone, whatever it says") {
  Wire wire;
  wire.send("k", "p", {{"omnibus", nullptr, 0}});
  wire.send("k", "p", {{"omnibus", "\n\n\nd99999999999999999999\na-1\ns.", 31}});
  wire.send("k", "p", {{"omnibus", "hello", 5}, {"after", "it", 2}});
  wire.send("k", "p", {{"omnibus", "first%0A\nt\na3\ngothers", 21}, {"omnibus", "second", 6}});
  const Held& first = wire.read();
  CHECK(first.message.id == "orders/0/0");
  CHECK(first.message.headers.empty());
  const Held& second = wire.read();
  CHECK(second.message.id == "orders/0/1");
  CHECK(second.due == 0);
  CHECK(second.attempts == 0);
  const Held& third = wire.read();
  CHECK(third.message.id == "hello");
  CHECK(as_text(third.message.headers) == "after=it;");
  const Held& fourth = wire.read();  // the last one counts, whole
  CHECK(fourth.message.id == "second");
  CHECK(fourth.message.type.empty());
  CHECK(fourth.attempts == 0);
  CHECK(fourth.meant_for.empty());
}

TEST_CASE("kafka: a copy says which group it is meant for") {
  Wire wire;
  wire.send({"k", "p", 1, envelope_of({"id", "", {}, 5, 1, "billing"}), {}});
  CHECK(wire.read().meant_for == "billing");
}

TEST_CASE("kafka: a record shows its key, payload and time before its headers are read, and the rest after") {
  Wire wire;
  const Headers headers{{"name", "value"}};
  wire.send({"key", "payload", 1234, envelope_of({"m-1", "type", {1, 2}, 0, 0, ""}), headers});
  Held held;
  held.take(wire.next());
  CHECK(held.message.key == "key");
  CHECK(held.message.payload == "payload");
  CHECK(to_ms(held.message.time) == 1234);
  CHECK(held.message.id.empty());
  held.complete();
  held.due = 5;
  held.complete();  // a second time changes nothing
  CHECK(held.message.id == "m-1");
  CHECK(held.message.type == "type");
  CHECK(held.message.sequence == Sequence{1, 2});
  CHECK(as_text(held.message.headers) == "name=value;");
  CHECK(held.due == 5);
  rd_kafka_message_destroy(held.raw);
}

TEST_CASE("kafka: nothing of a record stays for the next one that is read into its place") {
  Wire wire;
  const Headers headers{{"name", "value"}};
  wire.send({"key", "payload", 1, envelope_of({"a%\n", "type", {1, 2}, 3, 4, "others"}), headers});
  wire.send(nullptr, nullptr, {});
  wire.send(nullptr, nullptr, {{"other", "header", 6}});
  const Held& first = wire.read();
  CHECK(first.message.id == "a%\n");
  CHECK(first.meant_for == "others");
  CHECK(as_text(first.message.headers) == "name=value;");
  const Held& second = wire.read();
  CHECK(second.message.id == "orders/0/1");
  CHECK(second.message.type.empty());
  CHECK(second.message.key.empty());
  CHECK(second.message.payload.empty());
  CHECK(second.message.headers.empty());
  CHECK(second.message.sequence == Sequence{});
  CHECK(second.due == 0);
  CHECK(second.attempts == 0);
  CHECK(second.meant_for.empty());
  CHECK(as_text(wire.read().message.headers) == "other=header;");
}

TEST_CASE("kafka: records of random headers are read without harm") {
  Wire wire;
  std::mt19937_64 random{10};
  const std::string_view alphabet = "\n\n%0A25sdag.-19x";
  std::vector<std::string> values;
  constexpr int count = 300;
  for (int i = 0; i < count; ++i) {
    std::string value;
    for (auto left = random() % 30; left > 0; --left) {
      value.push_back(alphabet[random() % alphabet.size()]);
    }
    wire.send("k", "p", {{"omnibus", value.data(), static_cast<std::int64_t>(value.size())}});
    values.push_back(std::move(value));
  }
  for (int i = 0; i < count; ++i) {
    const Held& held = wire.read();
    std::string scratch;
    const Envelope expected = parse_envelope(values[static_cast<std::size_t>(i)], scratch);
    if (held.message.id.empty()) FAIL("no id: " << visible(values[static_cast<std::size_t>(i)]));
    if (held.message.type != expected.type) FAIL(visible(values[static_cast<std::size_t>(i)]));
    if (held.due != expected.due) FAIL(visible(values[static_cast<std::size_t>(i)]));
  }
}

TEST_CASE("kafka: a partition has news while what is done differs from what was committed") {
  Partition partition;
  CHECK_FALSE(partition.has_news());  // nothing is known of it
  partition.progress = Progress{17};
  CHECK(partition.has_news());  // where it begins is written down first
  partition.committed = partition.progress.finished();
  CHECK_FALSE(partition.has_news());
  const std::uint64_t first = partition.progress.add(17);
  const std::uint64_t second = partition.progress.add(18);
  CHECK_FALSE(partition.has_news());
  partition.progress.done(second);  // beyond the watermark: its mark is news
  CHECK(partition.has_news());
  partition.committed = partition.progress.finished();
  partition.progress.done(first);
  CHECK(partition.has_news());
  partition.assigned = false;
  CHECK_FALSE(partition.has_news());
}

TEST_CASE("kafka: places of records are used again, and each is in use once") {
  Wire wire;
  HeldPool pool;
  Partition partition;
  std::set<Held*> used, known;
  std::mt19937_64 random{11};
  constexpr int count = 300;
  for (int i = 0; i < count; ++i) wire.send("k", "p", {});
  for (int sent = 0; sent < count;) {
    if (used.empty() || (random() % 2 == 0 && used.size() < 20)) {
      Held& taken = pool.take();
      if (!used.insert(&taken).second) FAIL("in use already");
      known.insert(&taken);
      taken.partition = &partition;
      taken.take(wire.next());
      if (taken.offset != sent++) FAIL("offset");
      ++partition.held;
    } else {
      const auto which = std::next(used.begin(), static_cast<std::ptrdiff_t>(random() % used.size()));
      pool.give_back(**which);
      used.erase(which);
    }
    if (partition.held != used.size()) FAIL("held");
  }
  CHECK(known.size() <= 20);
  pool.clear();  // else its client would wait for them at its end
  for (const Held* each : known) CHECK(each->raw == nullptr);
}
