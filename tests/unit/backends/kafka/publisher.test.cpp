// SPDX-License-Identifier: MIT
// The publishing side as a whole: what callers, the loop and a cluster make of a message.
#include <omnibus/backends/kafka/publisher.hpp>

#include <optional>
#include <string>
#include <vector>

#include "catch.hpp"
#include "unit/backends/kafka/tools.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::kafka;
using namespace omnibus::unit;

namespace {

/// A publisher, and the endings that it has told of. A cluster of its own, for errors that are asked for.
class Bench {
 public:
  explicit Bench(Duration linger = Duration::zero(), std::size_t window = 1000)
      : publisher{cluster.settings(), {window, std::size_t{1} << 20, linger, true}, listener} {
    cluster.make_topic("orders", 1);
  }

  /// Publishes the next message, whose payload is its number and filling.
  void publish(std::size_t filling = 0, Duration timeout = patience, const std::string& topic = "orders") {
    const std::size_t number = endings_.change([](auto& all) {
      all.emplace_back();
      return all.size() - 1;
    });
    const std::string payload = std::to_string(number) + std::string(filling, ' ');
    RecordView record;
    record.key = "k";
    record.payload = payload;
    publisher.submit(
        topic, [&](Routes& routes) -> Route& { return routes.add({topic, 1, 1}, ""); }, record,
        [this, number](const Result<Receipt>& result) {
          endings_.change([&](auto& all) { all[number] = result; });
        },
        {.timeout = timeout});
  }
  /// The ending of each message; those without one are missing.
  std::vector<std::optional<Result<Receipt>>> endings() { return endings_.get(); }
  std::size_t count_ok() {
    std::size_t ok = 0;
    for (const auto& each : endings()) ok += each && each->has_value();
    return ok;
  }
  void next_answers(std::vector<rd_kafka_resp_err_t> codes) const {
    rd_kafka_mock_push_request_errors_array(cluster.get(), produce_request, codes.size(), codes.data());
  }
  /// The first characters of what the topic holds, which are the messages' numbers.
  std::vector<int> stored(std::size_t count) const {
    Reader reader{cluster.settings(), "orders", 0};
    std::vector<int> numbers;
    while (numbers.size() < count) {
      rd_kafka_message_t* raw = reader.next();
      if (raw == nullptr) break;
      numbers.push_back(std::stoi(std::string{static_cast<const char*>(raw->payload), raw->len}));
      rd_kafka_message_destroy(raw);
    }
    return numbers;
  }

  MockCluster cluster;
  Listener listener;
  Publisher publisher;

 private:
  Watched<std::vector<std::optional<Result<Receipt>>>> endings_;
};

std::vector<int> up_to(int count) {
  std::vector<int> all;
  for (int i = 0; i < count; ++i) all.push_back(i);
  return all;
}

/// How many clients of librdkafka there have been: it numbers them.
std::size_t producers_made() {
  Listener listener;
  const std::string name = rd_kafka_name(Producer{{}, Duration{}, listener}.get());
  return std::stoul(name.substr(name.rfind('-') + 1));
}

Instant soon() { return std::chrono::steady_clock::now() + patience; }

}  // namespace

TEST_CASE("kafka: each message has its ending, with its place, and is stored in order") {
  Bench bench;
  CHECK(bench.publisher.health().ok);
  for (int i = 0; i < 100; ++i) bench.publish();
  REQUIRE(bench.publisher.flush(soon()));
  const auto endings = bench.endings();
  for (std::size_t i = 0; i < endings.size(); ++i) {
    REQUIRE((endings[i] && endings[i]->has_value()));
    CHECK(endings[i]->value().partition == 0);
    CHECK(endings[i]->value().position.major == i);
  }
  CHECK(bench.stored(100) == up_to(100));
}

TEST_CASE("kafka: nothing is sent before the topic's leaders have answered for themselves") {
  Bench bench;
  constexpr int list_offsets = 2;  // the request's number in Kafka's protocol
  rd_kafka_mock_push_request_errors(bench.cluster.get(), list_offsets, 1,
                                    RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
  bench.publish();
  REQUIRE(bench.publisher.flush(soon()));
  const auto refused = bench.endings().at(0);
  REQUIRE((refused && !refused->has_value()));
  CHECK(refused->error().code == Errc::access_denied);
  bench.publish();  // now they have
  REQUIRE(bench.publisher.flush(soon()));
  CHECK(bench.count_ok() == 1);
  CHECK(bench.stored(1) == std::vector<int>{1});
}

TEST_CASE("kafka: a batch that is too large for its topic goes again in smaller ones, in order") {
  Bench bench{50ms};
  bench.publish();  // the topic is known from here on
  REQUIRE(bench.publisher.flush(soon()));
  bench.next_answers({RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE});
  for (int i = 1; i < 50; ++i) bench.publish(100);
  REQUIRE(bench.publisher.flush(soon()));
  CHECK(bench.count_ok() == 50);
  CHECK(bench.stored(50) == up_to(50));
  bool said = false;
  for (const std::string& line : bench.listener.lines()) said |= line.find("62500") != line.npos;
  CHECK(said);  // a quarter of a quarter of librdkafka's 1,000,000
}

TEST_CASE("kafka: a message that is refused alone is too large") {
  Bench bench;
  bench.next_answers(std::vector<rd_kafka_resp_err_t>(20, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE));
  bench.publish(2'000'000);
  REQUIRE(bench.publisher.flush(soon()));
  const auto ending = bench.endings().front();
  REQUIRE((ending && !ending->has_value()));
  CHECK(ending->error().code == Errc::too_large);
}

TEST_CASE("kafka: a producer that the broker no longer knows is made anew, and nothing fails") {
  Bench bench;
  bench.publish();
  REQUIRE(bench.publisher.flush(soon()));
  for (const auto code : {RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, RD_KAFKA_RESP_ERR_PRODUCER_FENCED,
                          RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID}) {
    bench.next_answers({code});
    bench.publish();
    REQUIRE(bench.publisher.flush(soon()));
  }
  CHECK(bench.count_ok() == 4);
  CHECK(bench.stored(4) == up_to(4));
}

TEST_CASE("kafka: producers that are refused one after the other are not made in a hot loop") {
  Bench bench;
  bench.next_answers(std::vector<rd_kafka_resp_err_t>(10'000, RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH));
  const std::size_t before = producers_made();
  bench.publish(0, 1500ms);
  REQUIRE(bench.publisher.flush(soon()));
  CHECK(producers_made() - before < 25);
  REQUIRE_FALSE(bench.endings().front()->has_value());
  const Errc told = bench.endings().front()->error().code;  // it waits, or is on its way once more
  CHECK((told == Errc::unavailable || told == Errc::outcome_unknown));
}

TEST_CASE("kafka: without a broker, what was not sent fails in time, and says why") {
  Listener listener;
  Publisher publisher{{"127.0.0.1:1", {}, {}, {}}, {10, 1 << 20, Duration::zero(), true}, listener};
  Watched<std::optional<Result<Receipt>>> ending;
  RecordView record;
  record.payload = "x";
  publisher.submit(
      "orders", [](Routes& routes) -> Route& { return routes.add({"orders", 1, 1}, ""); }, record,
      [&](const Result<Receipt>& result) { ending.change([&](auto& it) { it = result; }); },
      {.timeout = 300ms});
  REQUIRE(ending.wait([](const auto& it) { return it.has_value(); }));
  CHECK(ending.get()->error().code == Errc::unavailable);
  CHECK(ending.get()->error().message().find("127.0.0.1:1") != std::string::npos);
  CHECK_FALSE(publisher.health().ok);
}

TEST_CASE("kafka: what has no ending when a publisher is closed gets one, and nothing is taken after") {
  Bench bench{1min};  // nothing is sent by itself
  for (int i = 0; i < 3; ++i) bench.publish();
  const Result<> closed = bench.publisher.close(Instant::min());
  REQUIRE_FALSE(closed);
  CHECK(closed.error().code == Errc::timed_out);
  for (const auto& each : bench.endings()) {
    REQUIRE((each && !each->has_value()));
    const Errc told = each->error().code;
    CHECK((told == Errc::closed || told == Errc::outcome_unknown));
  }
  bench.publish();
  CHECK(bench.endings().back()->error().code == Errc::closed);
  CHECK_FALSE(bench.publisher.health().ok);
}
