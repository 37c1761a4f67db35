// SPDX-License-Identifier: MIT
#include <map>
#include <vector>

#include <omnibus/middleware/retry.hpp>
#include <omnibus/middleware/transactional.hpp>

#include "catch.hpp"
#include "chaos.hpp"
#include "load.hpp"
#include "processes.hpp"
#include "raw.hpp"

// Consume, process, produce as one transaction: whatever happens to those who do it, each message has its outputs
// once, for who reads committed messages alone.

namespace {

using namespace chaos;

constexpr int partitions = 6;

/// The topics that outputs of a topic go to.
std::string out_of(const std::string& topic) { return topic + ".out"; }
std::string audit_of(const std::string& topic) { return topic + ".audit"; }

/// Reads all of a topic, by librdkafka alone.
class Reader {
 public:
  explicit Reader(std::string topic, const char* isolation = "read_committed")
      : topic_{std::move(topic)},
        client_{raw_client(RD_KAFKA_CONSUMER, {{"group.id", "reader"}, {"isolation.level", isolation}})} {
    rd_kafka_poll_set_consumer(client_.get());
    const kafka::Offsets all = kafka::new_offsets();
    for (int i = 0; i < partitions; ++i) {
      rd_kafka_topic_partition_list_add(all.get(), topic_.c_str(), i)->offset = RD_KAFKA_OFFSET_BEGINNING;
    }
    rd_kafka_assign(client_.get(), all.get());
  }
  ~Reader() { rd_kafka_consumer_close(client_.get()); }

  /// Takes what has come.
  void read(int ms = 100) {
    while (rd_kafka_message_t* raw = rd_kafka_consumer_poll(client_.get(), ms)) {
      if (raw->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        const std::string key{static_cast<const char*>(raw->key), raw->key_len};
        const auto number = std::stoul(std::string{static_cast<const char*>(raw->payload), raw->len});
        ++count_;
        std::vector<std::size_t>& numbers = seen_[key];
        if (!numbers.empty() && number <= numbers.back() && problem_.empty()) {
          problem_ = topic_ + ": " + key + "/" + std::to_string(number) + " after " + std::to_string(numbers.back());
        }
        numbers.push_back(number);
      }
      rd_kafka_message_destroy(raw);
    }
  }
  /// The offset after the last message that it can read in each partition.
  std::vector<std::int64_t> ends() const {
    std::vector<std::int64_t> found;
    for (int i = 0; i < partitions; ++i) {
      const auto marks = kafka::watermarks(client_.get(), topic_.c_str(), i, 10'000);
      if (!marks) violated("reader: ", marks.error().message());
      found.push_back(marks->high);
    }
    return found;
  }
  std::size_t count() const noexcept { return count_; }
  /// The first message that came twice or out of order.
  const std::string& problem() const noexcept { return problem_; }
  bool has(const std::string& key, std::size_t number) const {
    const auto found = seen_.find(key);
    return found != seen_.end() && std::find(found->second.begin(), found->second.end(), number) != found->second.end();
  }

 private:
  const std::string topic_;
  const kafka::Owned<rd_kafka_t, rd_kafka_destroy> client_;
  std::map<std::string, std::vector<std::size_t>> seen_;
  std::size_t count_ = 0;
  std::string problem_;
};

Broker::Backend::Config shared_config(const Broker& f) {
  auto config = f.config();
  config.partitions = partitions;
  return config;
}

/// Publishes two messages for each, and fails at some of them once.
auto shipping(std::string topic) {
  return [topic = std::move(topic)](const ob::Delivery& delivery) -> ob::Result<> {
    const ob::MessageOptions how{.key = delivery.key()};
    if (auto done = ob::publish_with(delivery, out_of(topic), delivery.payload(), how); !done) return done;
    if (delivery.attempt() == 1 && std::stoul(std::string{delivery.payload()}) % 17 == 3) {
      return ob::retryable("not yet");
    }
    return ob::publish_with(delivery, audit_of(topic), delivery.payload(), how);
  };
}
auto stages() { return ob::transactional() | ob::retry({.attempts = 5, .initial = 5ms}); }

TEST_CASE("a transactional process, run by the cases below", "[.shipper]") {
  const Broker f;
  const std::string topic = told_by_broker("OMNIBUS_CHAOS_TOPIC");
  const int pipe = std::atoi(told_by_broker("OMNIBUS_CHAOS_PIPE").c_str());
  const int member = std::atoi(told_by_broker("OMNIBUS_CHAOS_MEMBER").c_str());
  ChaosBus bus{shared_config(f)};
  const auto ship = [&, handle = shipping(topic)](const ob::Delivery& delivery) -> ob::Result<> {
    tell(pipe, 'B', member, delivery);
    auto result = handle(delivery);
    tell(pipe, 'E', member, delivery);
    return result;
  };
  const auto subscription = bus.subscribe(topic, ship | stages(), {.concurrency = 4, .window = 256});
  work_until_told(bus, subscription, member);
}

/// Load on a topic, and those who read what comes of it.
struct Shipping {
  Case f;
  const std::string topic = f.topic();
  ChaosBus bus{shared_config(f)};
  Scribe scribe;
  std::optional<Member> members[3];
  std::optional<Load> load;

  explicit Shipping(std::string_view name) : f{name} {
    for (const std::string& each : {topic, out_of(topic), audit_of(topic)}) Raw{}.create_topic(each, partitions);
  }
  void start(int count) {
    for (int i = 0; i < count; ++i) join(i);
    load.emplace(f, bus, topic, Load::How{.timeout = 100s}, 60);
    for (int i = 0; i < count; ++i) wait_for(i);
  }
  void join(int i) { members[i].emplace(i + 1, topic, scribe.pipe(), "[.shipper]"); }
  void wait_for(int i, std::size_t more = 300) {
    const std::size_t until = scribe.begun_by(i + 1) + more;
    eventually(
        f, [&] { return scribe.begun_by(i + 1) >= until; }, "deliveries to process ", i + 1);
  }

  /// Freezes a process when it has a transaction open.
  void freeze_in_transaction(int i) {
    const Reader committed{audit_of(topic)}, all{audit_of(topic), "read_uncommitted"};
    eventually(
        f,
        [&] {
          wait_for(i, 10);  // else it would hardly run between two attempts
          members[i]->freeze();
          // What is published by others is committed soon after.
          const auto published = all.ends();
          const auto until = Clock::now() + 1s;
          std::vector<std::int64_t> readable;
          do {
            readable = committed.ends();
            bool reached = true;
            for (std::size_t p = 0; p < partitions; ++p) reached &= readable[p] >= published[p];
            if (reached) return members[i]->thaw(), false;
          } while (Clock::now() < until);
          return true;
        },
        "process ", i + 1, " to be in a transaction");
  }

  /// Every message has its outputs, in order and once, in both topics, when all is over as well.
  template <class End>
  void check(const char* what, End end) {
    const auto sent = load->finish();
    const auto sent_at = Clock::now();
    expect_all_ok(sent);
    Reader out{out_of(topic)}, audit{audit_of(topic)};
    eventually(
        f,
        [&] {
          out.read();
          audit.read();
          return out.count() >= sent.size() && audit.count() >= sent.size();
        },
        "two outputs of each of ", sent.size());
    const double took = seconds(Clock::now() - sent_at);
    end();
    out.read(1000);
    audit.read(1000);
    CHECK(out.problem() == "");
    CHECK(audit.problem() == "");
    CHECK(out.count() == sent.size());
    CHECK(audit.count() == sent.size());
    std::size_t missing = 0;
    for (const auto& each : sent) {
      missing += !out.has(each.key, each.number) + !audit.has(each.key, each.number) > 0 ? 1u : 0u;
    }
    CHECK(missing == 0);
    Reader all{out_of(topic), "read_uncommitted"};
    all.read(1000);
    figure(what, ": ", sent.size(), " messages, ", all.count() - out.count(), " outputs aborted, all committed ", took,
           " s after the last publish");
  }
};

TEST_CASE("transactional: each message has its outputs once, through failures of the handler", "[transaction]") {
  Shipping s{"transactional"};
  s.load.emplace(s.f, s.bus, s.topic, Load::How{.timeout = 60s}, 60);
  std::optional<ob::Subscription> shipping_all{
      s.bus.subscribe(s.topic, shipping(s.topic) | stages(), {.concurrency = 4})};
  s.load->wait_for_more(5000);
  s.check("normal run", [&] { CHECK(shipping_all->stop()); });
  CHECK(shipping_all->stats().retried > 0);
  CHECK(s.bus.health().ok);
}

TEST_CASE("transactional: processes killed in the middle of transactions", "[transaction]") {
  Shipping s{"transactional killed"};
  s.start(3);
  s.freeze_in_transaction(1);
  s.members[1]->kill();
  s.wait_for(0, 2000);
  s.members[2]->kill();
  s.wait_for(0, 2000);
  s.check("processes killed", [&] { CHECK(s.members[0]->finish()); });
}

TEST_CASE("transactional: members come and go under load", "[transaction]") {
  Shipping s{"transactional rebalance"};
  s.start(1);
  s.join(1);
  s.wait_for(1);
  s.join(2);
  s.wait_for(2);
  CHECK(s.members[0]->finish());
  s.wait_for(1, 1000);
  s.check("members come and go", [&] {
    CHECK(s.members[1]->finish());
    CHECK(s.members[2]->finish());
  });
}

TEST_CASE("transactional: a frozen process finds its transaction, or its place in the group, gone", "[transaction]") {
  const bool in_transaction = GENERATE(true, false);
  Shipping s{"transactional frozen"};
  s.start(2);
  in_transaction ? s.freeze_in_transaction(1) : s.members[1]->freeze();
  s.wait_for(0, 5000);
  s.load->wait_for_more(3000);
  s.members[1]->thaw();
  s.wait_for(1, 300);
  s.check(in_transaction ? "process frozen in a transaction" : "process frozen", [&] {
    CHECK(s.members[0]->finish());
    CHECK(s.members[1]->finish());
  });
}

TEST_CASE("transactional: an output that the broker refuses keeps back the others, and health says why", "[transaction]") {
  Case f{"transactional refused"};
  const std::string topic = f.topic();
  Raw{}.create_topic(topic, 1);
  Raw{}.create_topic(out_of(topic), partitions);
  Raw{}.create_topic(audit_of(topic), partitions, -1, {{"max.message.bytes", "20000"}});
  ChaosBus bus{shared_config(f)};
  const auto handler = [&topic](const ob::Delivery& delivery) -> ob::Result<> {
    if (auto done = ob::publish_with(delivery, out_of(topic), delivery.payload()); !done) return done;
    return ob::publish_with(delivery, audit_of(topic), std::string(30'000, 'x'));
  };
  auto subscription = bus.subscribe(topic, handler | stages());
  CHECK(bus.publish(topic, "17"));
  eventually(
      f, [&] { return mentions(subscription.health().problem, "MSG_SIZE_TOO_LARGE"); }, "health to say it");
  CHECK_FALSE(subscription.health().ok);
  Reader out{out_of(topic)};
  out.read(500);
  CHECK(out.count() == 0);
  CHECK_FALSE(subscription.stop(3s));  // it comes again
}

TEST_CASE("transactional: the broker is killed and comes back", "[transaction]") {
  Shipping s{"transactional broker"};
  s.start(2);
  AtEnd back{"start kafka"};
  ctl("kill kafka");
  back.run();
  s.load->wait_for_more(2000);
  s.check("broker killed", [&] {
    CHECK(s.members[0]->finish());
    CHECK(s.members[1]->finish());
  });
}

}  // namespace
