// SPDX-License-Identifier: MIT
#include <omnibus/backends/rabbitmq/settled.hpp>

#include <algorithm>
#include <set>

#include "catch.hpp"
#include "unit/backends/rabbitmq/tools.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::rabbitmq;
using namespace omnibus::unit;

namespace {

/// "3" for one tag, "..3" for all up to it.
std::string acks_in(std::string_view bytes) {
  std::string text;
  for (const Frame& frame : frames_of(bytes)) {
    Pool pool;
    const auto& ack = pool.method<amqp_basic_ack_t>(frame, AMQP_BASIC_ACK_METHOD);
    text.append(text.empty() ? "" : " ").append(ack.multiple != 0 ? ".." : "");
    text.append(std::to_string(ack.delivery_tag));
  }
  return text;
}

std::string acks_of(Settled& settled, bool all = false) {
  std::string out;
  settled.acknowledge(out, 3, all);
  return acks_in(out);
}

Settled with_done(std::initializer_list<std::uint64_t> tags) {
  Settled settled;
  for (const std::uint64_t tag : tags) settled.done(tag);
  return settled;
}

}  // namespace

TEST_CASE("rabbitmq: what is done from the first delivery on is one acknowledgement") {
  Settled settled;
  CHECK(acks_of(settled) == "");
  CHECK(settled.first_open() == 1);
  settled.done(2);
  settled.done(1);
  settled.done(3);
  CHECK(settled.first_open() == 4);
  CHECK(settled.unsent() == 3);
  CHECK(acks_of(settled) == "..3");
  CHECK(settled.unsent() == 0);
  CHECK(acks_of(settled) == "");
}

TEST_CASE("rabbitmq: what lies behind a slow delivery is acknowledged when that has not moved") {
  Settled settled = with_done({1, 3, 5});
  CHECK(acks_of(settled) == "..1");
  CHECK(acks_of(settled) == "3 5");
  CHECK(settled.unsent() == 0);
  settled.done(2);
  CHECK(acks_of(settled) == "..2");  // 3 is acknowledged already: not ..3
  settled.done(4);
  CHECK(settled.first_open() == 6);
  CHECK(acks_of(settled) == "..4");
}

TEST_CASE("rabbitmq: a delivery that moves keeps what is behind it for one acknowledgement") {
  Settled settled = with_done({2, 3});
  CHECK(acks_of(settled) == "");
  settled.done(1);
  CHECK(acks_of(settled) == "..3");
  settled.done(5);
  CHECK(acks_of(settled) == "");
  CHECK(acks_of(settled) == "5");
}

TEST_CASE("rabbitmq: what stood still and moves now is waited for again") {
  Settled settled = with_done({3, 5});
  CHECK(acks_of(settled) == "");
  settled.done(1);
  CHECK(acks_of(settled) == "..1");  // not 3 and 5 as well: they have two calls of time again
  CHECK(acks_of(settled) == "3 5");
}

TEST_CASE("rabbitmq: all that is done is acknowledged at once when nothing may wait") {
  Settled settled = with_done({1, 2, 4, 6});
  CHECK(acks_of(settled, true) == "..2 4 6");
  CHECK(settled.unsent() == 0);
}

TEST_CASE("rabbitmq: never more than 12 acknowledgements at once") {
  Settled settled;
  settled.done(1);
  for (std::uint64_t tag = 3; tag < 103; tag += 2) settled.done(tag);
  CHECK(acks_of(settled, true) == "..1 3 5 7 9 11 13 15 17 19 21 23");
  CHECK(settled.unsent() == 39);
  int calls = 0;
  while (settled.unsent() > 0 && ++calls < 100) (void)acks_of(settled, true);
  CHECK(calls == 4);
}

TEST_CASE("rabbitmq: a new channel counts from one again") {
  Settled settled = with_done({1, 3, 7});
  CHECK(acks_of(settled) == "..1");
  settled.reset();
  CHECK(settled.unsent() == 0);
  CHECK(settled.first_open() == 1);
  CHECK(acks_of(settled, true) == "");
  settled.done(2);
  CHECK(acks_of(settled) == "");  // nothing is remembered of what stood still
  settled.done(1);
  CHECK(acks_of(settled) == "..2");
}

namespace {

/// A broker that knows what it waits for, and a naive list of what is done.
struct Ledger {
  std::set<std::uint64_t> done;
  std::set<std::uint64_t> acknowledged;
  std::string flaw;

  void expect(bool good, const char* what) {
    if (!good && flaw.empty()) flaw = what;
  }
  std::uint64_t first_open() const {
    std::uint64_t tag = 1;
    while (done.contains(tag)) ++tag;
    return tag;
  }
  void take(std::string_view bytes, std::uint16_t channel) {
    const std::vector<Frame> frames = frames_of(bytes);
    expect(frames.size() <= 12, "more than 12 frames");
    for (const Frame& frame : frames) {
      Pool pool;
      const auto& ack = pool.method<amqp_basic_ack_t>(frame, AMQP_BASIC_ACK_METHOD);
      expect(frame.channel == channel, "on another channel");
      expect(!acknowledged.contains(ack.delivery_tag), "a tag that is acknowledged already");
      if (ack.multiple == 0) {
        expect(done.contains(ack.delivery_tag), "not done");
        acknowledged.insert(ack.delivery_tag);
        continue;
      }
      expect(ack.delivery_tag < first_open(), "beyond the first that is not done");
      for (std::uint64_t tag = 1; tag <= ack.delivery_tag; ++tag) acknowledged.insert(tag);
    }
  }
};

std::string random_life(std::uint64_t seed) {
  std::mt19937_64 random{seed};
  Settled settled;
  for (int channel = 1; channel <= 2; ++channel) {
    settled.reset();
    Ledger ledger;
    std::vector<std::uint64_t> open;  // in the hands of handlers
    std::uint64_t last = 0;
    const std::uint64_t spread = 1 + random() % 60;
    const std::uint64_t hurry = random() % 100;
    const auto acknowledge = [&](bool all) {
      std::string out;
      settled.acknowledge(out, static_cast<std::uint16_t>(channel), all);
      ledger.take(out, static_cast<std::uint16_t>(channel));
      ledger.expect(settled.unsent() == ledger.done.size() - ledger.acknowledged.size(), "unsent");
      ledger.expect(settled.first_open() == ledger.first_open(), "first_open");
      return out.empty();
    };
    for (int step = 0; step < 600; ++step) {
      const std::uint64_t what = random() % 10;
      if (what < 4) {
        open.push_back(++last);
      } else if (what < 8 && !open.empty()) {
        const auto index = random() % std::min<std::uint64_t>(open.size(), spread);
        const auto at = open.begin() + static_cast<std::ptrdiff_t>(index);
        ledger.done.insert(*at);
        settled.done(*at);
        open.erase(at);
      } else {
        (void)acknowledge(random() % 100 < hurry);
      }
    }
    // Two calls without news suffice for some of what is left, whatever came before.
    if (settled.unsent() > 0) {
      const bool nothing = acknowledge(false);
      if (nothing) ledger.expect(!acknowledge(false), "nothing is acknowledged, however long");
    }
    for (int i = 0; i < 200 && settled.unsent() > 0; ++i) (void)acknowledge(true);
    ledger.expect(ledger.acknowledged == ledger.done, "not all is acknowledged in the end");
    if (!ledger.flaw.empty()) return ledger.flaw;
  }
  return "";
}

}  // namespace

TEST_CASE("rabbitmq: over random lives what is done is acknowledged once, and nothing else is") {
  for (std::uint64_t seed = 1; seed <= 150; ++seed) {
    if (const std::string flaw = random_life(seed); !flaw.empty()) FAIL(flaw << ", seed " << seed);
  }
}
