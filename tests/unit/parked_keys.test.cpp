// SPDX-License-Identifier: MIT
#include <omnibus/parked_keys.hpp>

#include <omnibus/letter.hpp>
#include <omnibus/middleware/dead_letter.hpp>

#include <set>
#include <string>
#include <vector>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

namespace {

using Ids = std::vector<std::string>;

/// A handler in parked order, and an operator who redrives its letters.
struct Bench {
  FakeContext context;
  ParkedKeys order;
  std::set<std::string> bad;  ///< ids that the handler cannot handle
  Ids handled;

  void deliver(const Message& message) {
    auto pipeline = detail::compose([this](const Delivery& delivery) -> Result<> {
      if (bad.contains(std::string{delivery.id()})) return permanent("no");
      handled.emplace_back(delivery.id());
      return {};
    } | dead_letter("orders.dlq"));
    Received received{context, message};
    CHECK(order.run(pipeline, received.delivery));
  }
  void deliver(const std::string& id, std::string key = "k") { deliver(message_of(id, std::move(key))); }

  /// The ids of the letters that stand there.
  Ids letters() const {
    Ids ids;
    for (const auto& each : context.sent) ids.push_back(each.message.id);
    return ids;
  }
  /// Takes the first so many letters and delivers their messages again.
  void redrive(const std::string& name, std::size_t count = 1000) {
    std::vector<FakeContext::Sent> taken;
    while (!context.sent.empty() && taken.size() < count) {
      taken.push_back(context.sent.front());
      context.sent.erase(context.sent.begin());
    }
    for (const auto& each : taken) deliver(restore(each.message.view(), name));
  }
};

}  // namespace

TEST_CASE("redriving restores a parked key in order, and then the key is free") {
  Bench bench;
  bench.bad = {"2"};
  for (const char* id : {"1", "2", "3", "4"}) bench.deliver(id);
  CHECK(bench.letters() == Ids{"2", "3", "4"});
  bench.bad.clear();
  bench.redrive("pass");
  CHECK(bench.handled == Ids{"1", "2", "3", "4"});
  bench.deliver("5");
  CHECK(bench.handled == Ids{"1", "2", "3", "4", "5"});
  CHECK(bench.letters().empty());
}

TEST_CASE("what comes while letters are still out follows them, and comes back behind them") {
  Bench bench;
  bench.bad = {"1"};
  for (const char* id : {"1", "2", "3"}) bench.deliver(id);
  bench.bad.clear();
  bench.redrive("first", 2);
  bench.deliver("4");
  CHECK(bench.handled == Ids{"1", "2"});
  CHECK(bench.letters() == Ids{"3", "4"});
  bench.redrive("second");
  bench.deliver("5");
  CHECK(bench.handled == Ids{"1", "2", "3", "4", "5"});
}

TEST_CASE("when a letter dies again those behind it follow, until the next redrive") {
  Bench bench;
  bench.bad = {"1"};
  for (const char* id : {"1", "2", "3"}) bench.deliver(id);
  bench.redrive("first");
  CHECK(bench.handled.empty());
  CHECK(bench.letters() == Ids{"1", "2", "3"});
  bench.bad = {"2"};
  bench.redrive("second");
  CHECK(bench.handled == Ids{"1"});
  CHECK(bench.letters() == Ids{"2", "3"});
  bench.bad.clear();
  bench.redrive("third");
  bench.deliver("4");
  CHECK(bench.handled == Ids{"1", "2", "3", "4"});
}

TEST_CASE("letters from before a restart keep their order, too, when one of them dies again") {
  Bench before, after;
  before.bad = {"1"};
  for (const char* id : {"1", "2", "3"}) before.deliver(id);
  after.context.sent = before.context.sent;
  after.bad = {"1"};
  after.redrive("first");
  CHECK(after.handled.empty());
  CHECK(after.letters() == Ids{"1", "2", "3"});
  after.bad.clear();
  after.redrive("second");
  CHECK(after.handled == Ids{"1", "2", "3"});
}

TEST_CASE("letters that another group has redriven are messages like others") {
  Bench bench;
  bench.bad = {"1"};
  bench.deliver("1");
  Message theirs = message_of("2", "k");
  theirs.headers.add(redriven_header, write_redriven({"pass", "shipping"}));
  bench.deliver(theirs);
  CHECK(bench.handled.empty());
  CHECK(bench.letters() == Ids{"1", "2"});
}

TEST_CASE("other keys, and messages without a key, follow nobody") {
  Bench bench;
  bench.bad = {"1", "n"};
  bench.deliver("1", "a");
  bench.deliver("n", "");
  for (const auto& [id, key] : {std::pair{"2", "b"}, std::pair{"3", ""}}) bench.deliver(id, key);
  CHECK(bench.handled == Ids{"2", "3"});
}
