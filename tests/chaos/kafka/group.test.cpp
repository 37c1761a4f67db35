// SPDX-License-Identifier: MIT
#include <algorithm>
#include <map>
#include <memory>
#include <set>

#include "catch.hpp"
#include "chaos.hpp"
#include "load.hpp"
#include "order.hpp"
#include "raw.hpp"

// Members come, go and are slow; what the group has committed is looked at from outside.

namespace {

using namespace chaos;

constexpr int partitions = 4;

/// Which offsets have been handled. Shared objects are safe.
class Handled {
 public:
  void add(std::int32_t partition, std::uint64_t offset) {
    std::lock_guard lock{mutex_};
    Partition& of = partitions_[partition];
    of.beyond.insert(static_cast<std::int64_t>(offset));
    while (!of.beyond.empty() && *of.beyond.begin() <= of.all_before) {
      of.all_before = std::max(of.all_before, *of.beyond.begin() + 1);
      of.beyond.erase(of.beyond.begin());
    }
  }
  /// All offsets before it have been handled.
  std::int64_t all_before(std::int32_t partition) const {
    std::lock_guard lock{mutex_};
    const auto found = partitions_.find(partition);
    return found == partitions_.end() ? 0 : found->second.all_before;
  }

 private:
  struct Partition {
    std::int64_t all_before = 0;
    std::set<std::int64_t> beyond;
  };
  mutable std::mutex mutex_;
  std::map<std::int32_t, Partition> partitions_;
};

/// Looks at what the group has committed, again and again: it never goes back, and never passes what
/// has been handled.
class CommitWatch {
 public:
  CommitWatch(const std::string& topic, const Handled& handled)
      : committed_{"g", topic, partitions},
        handled_{handled},
        lookout_{[this] { return look(); }} {}

  std::size_t looks() const {
    std::lock_guard lock{mutex_};
    return looks_;
  }
  std::string problem() const {
    std::lock_guard lock{mutex_};
    return problem_;
  }
  std::vector<std::int64_t> latest() const {
    std::lock_guard lock{mutex_};
    return latest_;
  }

 private:
  bool look() {
    const auto found = committed_.ask();
    std::lock_guard lock{mutex_};
    if (!found) return true;
    ++looks_;
    for (int i = 0; i < partitions; ++i) {
      const auto at = static_cast<std::size_t>(i);
      const std::int64_t before = std::exchange(latest_[at], (*found)[at]);
      if (!problem_.empty()) continue;
      const std::string where = "partition " + std::to_string(i) + ": " +
                                std::to_string((*found)[at]) + " was committed, ";
      if ((*found)[at] < before) problem_ = where + "after " + std::to_string(before);
      const auto done = handled_.all_before(i);
      if ((*found)[at] > done) problem_ = where + "and handled " + std::to_string(done);
    }
    return true;
  }

  const Committed committed_;
  const Handled& handled_;
  mutable std::mutex mutex_;
  std::size_t looks_ = 0;
  std::vector<std::int64_t> latest_ = std::vector<std::int64_t>(partitions, -1);
  std::string problem_;
  Lookout lookout_;
};

/// A member of the group, as a bus of its own.
struct GroupMember {
  ChaosBus bus;
  ob::Subscription subscription;

  template <class Handler>
  GroupMember(const Broker& f, const std::string& topic, Handler handler)
      : bus{f.config()},
        subscription{bus.subscribe(topic, std::move(handler), {.concurrency = 4, .window = 200})} {}
};

TEST_CASE("ten rebalances under load keep the order, and commits never pass what is handled") {
  Case f{"ten rebalances"};
  const auto topic = f.topic();
  Raw{}.create_topic(topic, partitions);
  History history{false};
  Handled handled;
  Dice dice{f.seed};
  const auto handler = [&](int member) {
    return [&, member](const ob::Delivery& delivery) -> ob::Result<> {
      if (!history.begin(member, delivery)) return ob::retryable("dead");
      // Now and then one that takes its time, so that later ones of its partition overtake it.
      if (dice.roll(50) == 0) {
        std::mutex mutex;
        std::condition_variable nobody;
        std::unique_lock lock{mutex};
        nobody.wait_for(lock, std::chrono::milliseconds{dice.roll(40)});
      }
      handled.add(delivery.partition(), delivery.position().major);
      history.end(member, delivery, true);
      return {};
    };
  };
  ChaosBus publisher{f.config()};
  int born = 0;
  std::vector<std::unique_ptr<GroupMember>> members;
  const auto join = [&] {
    members.push_back(std::make_unique<GroupMember>(f, topic, handler(++born)));
    registered(f, members.back()->subscription);
  };
  for (int i = 0; i < 3; ++i) join();
  const CommitWatch commits{topic, handled};
  Load load{f, publisher, topic, {.timeout = 60s}, 40};
  load.wait_for_more(500);
  std::vector<double> takes;
  for (int turn = 0; turn < 5; ++turn) {  // two rebalances each
    const auto begin = Clock::now();
    const auto leaves = static_cast<std::ptrdiff_t>(dice.roll(members.size()));
    const auto& leaving = members[static_cast<std::size_t>(leaves)];
    const auto closed = leaving->bus.close(20s);
    if (!closed) FAIL(closed.error().message());
    members.erase(members.begin() + leaves);
    load.wait_for_more(300);
    join();
    takes.push_back(seconds(Clock::now() - begin));
    load.wait_for_more(300);
  }
  const auto sent = load.finish();
  expect_all_ok(sent);
  history.wait_for(f, sent.size());
  history.check();
  const auto ends = Raw{}.ends(topic, partitions);
  eventually(
      f, [&] { return commits.latest() == ends; }, "everything to be committed");
  CHECK(commits.problem() == "");
  CHECK(commits.looks() > 100);
  figure("ten rebalances: ", history.handled_again(), " handled again of ", sent.size(), "; ",
         commits.looks(), " looks at commits; one member left and one came in at most ",
         *std::max_element(takes.begin(), takes.end()), " s");
  // Who leaves in peace, and who stays, has committed what it had handled.
  CHECK(history.handled_again() == 0);
}

TEST_CASE("who handles for longer than max.poll.interval keeps the group; so do full and idle ones") {
  Case f{"slow handlers"};
  const auto topic = f.topic(), crowded = f.topic();
  auto config = f.config();
  config.properties = {{"max.poll.interval.ms", "6000"}};
  ChaosBus bus{config};
  Inbox inbox, crowd;
  Gate gate, crowd_gate;
  const auto slow = bus.subscribe(
      topic,
      [&](const ob::Delivery& delivery) {
        inbox.add(delivery);
        if (delivery.payload() == "slow") gate.pass();
      },
      {.concurrency = 2, .window = 8});
  const auto full = bus.subscribe(
      crowded,
      [&](const ob::Delivery& delivery) {
        crowd_gate.pass();
        crowd.add(delivery);
      },
      {.concurrency = 4, .window = 16});
  const auto idle = bus.subscribe(f.topic(), inbox.handler());
  const Opener at_end{gate}, at_end_too{crowd_gate};
  for (const auto* each : {&slow, &full, &idle}) registered(f, *each);
  const HealthWatch watch{bus};
  const auto many = numbered(2000, 40);
  send(f, bus, topic, {message("slow", "k"), message("next", "k")});
  send(f, bus, crowded, many);
  gate.wait_for(f, 1);
  crowd_gate.wait_for(f, 4);
  const auto begin = Clock::now();
  eventually(
      f, [&] { return Clock::now() - begin > 9s; }, "time to pass");
  gate.open();
  crowd_gate.open();
  inbox.wait_for(f, "next");
  crowd.wait_for(f, many.size());
  drained(f, slow);
  drained(f, full);
  CHECK(inbox.payloads() == std::vector<std::string>{"slow", "next"});
  CHECK_NOTHROW(expect_exactly(crowd, many));
  INFO(watch.words_of());
  CHECK_FALSE(watch.subscription_red());
  // What is handled is committed, for whoever comes next.
  REQUIRE(bus.close(20s).has_value());
  ChaosBus other{f.config()};
  const auto heir = other.subscribe(topic, inbox.handler());
  registered(f, heir);
  send(f, other, topic, "last", "k");
  inbox.wait_for(f, "last");
  CHECK(inbox.size() == 3);
}

}  // namespace
