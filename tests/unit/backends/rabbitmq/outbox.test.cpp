// SPDX-License-Identifier: MIT
#include <omnibus/backends/rabbitmq/outbox.hpp>

#include <atomic>
#include <deque>
#include <thread>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::rabbitmq;
using namespace omnibus::unit;

namespace {

const Instant start{1000s};
const Instant never{start + 1000h};
const Error unreachable = Error::make(Errc::unavailable, "publish", "nobody there");

/// An outbox, and what became of the messages 0, 1, 2 and so on.
struct Bench {
  Outbox box;
  Route orders{"orders"};
  Route bills{"bills"};
  Instant time = start;
  std::deque<std::vector<std::string>> endings;  // of each message
  std::deque<Error> errors;                      // the last of each

  explicit Bench(std::size_t window = 64, std::size_t bytes = 1 << 20) : box{window, bytes} {}

  /// Messages of one route and shard have one key.
  std::size_t push(Route& route, std::int32_t shard = 0, Instant deadline = never,
                   std::size_t size = 10) {
    const std::size_t number = endings.size();
    endings.emplace_back();
    errors.emplace_back();
    Outbox::Slot& slot = box.next_free();
    slot.frames.assign(size, 'f');
    slot.id = "id " + std::to_string(number);
    slot.route = &route;
    slot.shard = shard;
    slot.key_hash = static_cast<std::uint64_t>(shard) * 2 + (&route == &bills ? 2 : 1);
    slot.deadline = deadline;
    slot.body_size = size;
    slot.tag = 0;
    slot.ever_written = slot.ended = slot.overtaken = slot.refused = false;
    slot.returned.clear();
    slot.done = [this, number](const Result<Receipt>& result) {
      std::string text = "ok " + std::to_string(result ? result->partition : 0);
      if (!result) {
        text = std::string{to_string(result.error().code)};
        errors[number] = result.error();
      }
      endings[number].push_back(text);
    };
    box.push();
    return number;
  }
  void push_many(int count) {
    for (int i = 0; i < count; ++i) (void)push(orders);
  }
  /// Writes at most so many messages; returns their numbers.
  std::string write(int most = 1000) {
    std::string numbers;
    for (; most > 0; --most) {
      Outbox::Slot* slot = box.to_write();
      if (slot == nullptr) break;
      numbers += (numbers.empty() ? "" : " ") + slot->id.substr(3);
      box.written();
    }
    return numbers;
  }
  void ack(std::uint64_t tag, bool multiple = false) { box.confirmed(tag, multiple, true, time); }
  void nack(std::uint64_t tag, bool multiple = false) { box.confirmed(tag, multiple, false, time); }
  void returned(std::size_t number, std::string_view exchange = "orders") {
    box.returned("id " + std::to_string(number), exchange, "no queue");
  }
  /// The ending of a message: "-" for none, all of them if there are several.
  std::string ending(std::size_t number) const {
    std::string text;
    for (const std::string& each : endings[number]) text += (text.empty() ? "" : "+") + each;
    return text.empty() ? "-" : text;
  }
  /// Of all messages.
  std::string ends() const {
    std::string text;
    for (std::size_t i = 0; i < endings.size(); ++i) text += (i == 0 ? "" : ", ") + ending(i);
    return text;
  }
};

}  // namespace

TEST_CASE("rabbitmq: messages are written in order, once") {
  Bench bench;
  CHECK(bench.box.to_write() == nullptr);
  bench.push_many(3);
  CHECK(bench.box.tail() == 3);
  CHECK(bench.write(2) == "0 1");
  CHECK(bench.write() == "2");
  CHECK(bench.write() == "");
  CHECK(bench.ends() == "-, -, -");
}

TEST_CASE("rabbitmq: one confirm for one message, in any order") {
  Bench bench;
  for (const std::int32_t shard : {5, 6, 7}) (void)bench.push(bench.orders, shard);
  (void)bench.write();
  bench.ack(2);
  CHECK(bench.ends() == "-, ok 6, -");
  CHECK(bench.box.head() == 0);
  bench.ack(1);
  CHECK(bench.ends() == "ok 5, ok 6, -");
  CHECK(bench.box.head() == 2);
  bench.ack(3);
  CHECK(bench.ends() == "ok 5, ok 6, ok 7");
  CHECK(bench.box.head() == 3);
}

TEST_CASE("rabbitmq: one confirm for many messages") {
  Bench bench;
  bench.push_many(5);
  (void)bench.write();
  bench.ack(2);
  bench.ack(4, true);
  CHECK(bench.ends() == "ok 0, ok 0, ok 0, ok 0, -");
  bench.ack(5, true);
  CHECK(bench.box.head() == 5);
}

TEST_CASE("rabbitmq: confirms that come twice, or for what was not written, say nothing") {
  Bench bench;
  bench.push_many(2);
  (void)bench.write(1);
  bench.ack(2);
  bench.ack(9, true);
  bench.nack(9, true);
  bench.ack(0);
  CHECK(bench.ends() == "-, -");
  bench.ack(1);
  bench.ack(1);
  bench.nack(1);
  bench.ack(1, true);
  CHECK(bench.ends() == "ok 0, -");
  CHECK(bench.write() == "1");
}

TEST_CASE("rabbitmq: a slot is used again, tags go on") {
  Bench bench{4};
  for (int i = 0; i < 1000; ++i) {
    (void)bench.push(bench.orders);
    CHECK(bench.write() == std::to_string(i));
    bench.ack(static_cast<std::uint64_t>(i) + 1);
    if (bench.ending(static_cast<std::size_t>(i)) != "ok 0") FAIL("at " << i);
  }
  CHECK(bench.box.head() == 1000);
}

TEST_CASE("rabbitmq: a late confirm of a message that ended long ago is nobody else's") {
  Bench bench;
  (void)bench.push(bench.bills, 0, start + 1s);
  (void)bench.write();
  bench.box.expire(start + 1s, unreachable);
  for (std::uint64_t tag = 2; tag <= 64; ++tag) {
    (void)bench.push(bench.orders);
    (void)bench.write();
    bench.ack(tag);
  }
  const std::size_t last = bench.push(bench.orders);
  CHECK(bench.write() == std::to_string(last));
  bench.ack(1);  // of the first message
  CHECK(bench.ending(last) == "-");
  bench.ack(65);
  CHECK(bench.ending(last) == "ok 0");
}

TEST_CASE("rabbitmq: what the broker returned is unroutable though it confirms it") {
  Bench bench;
  bench.push_many(3);
  (void)bench.write();
  bench.returned(1);
  CHECK(bench.ends() == "-, -, -");
  bench.ack(3, true);
  CHECK(bench.ends() == "ok 0, unroutable, ok 0");
  CHECK(bench.errors[1].context == "no queue");
}

TEST_CASE("rabbitmq: a return is of the first message that it can be") {
  Bench bench;
  (void)bench.push(bench.bills);
  (void)bench.push(bench.orders);
  (void)bench.push(bench.orders);
  (void)bench.push(bench.orders);  // not written
  for (std::size_t at = 0; at < 4; ++at) bench.endings[at].clear();
  CHECK(bench.write(3) == "0 1 2");
  bench.returned(0, "orders");  // its id, but another exchange
  bench.returned(9);
  bench.returned(3);
  bench.ack(3, true);
  CHECK(bench.ends() == "ok 0, ok 0, ok 0, -");
  CHECK(bench.write() == "3");
  bench.returned(3);
  bench.ack(4);
  CHECK(bench.ending(3) == "unroutable");
}

TEST_CASE("rabbitmq: two messages of one id are returned one after the other") {
  Bench bench;
  bench.push_many(2);
  // The first slot's twin.
  Outbox::Slot* slot = bench.box.to_write();
  REQUIRE(slot != nullptr);
  slot->id = "id 1";
  (void)bench.write();
  bench.returned(1);
  bench.returned(1);
  bench.ack(2, true);
  CHECK(bench.ends() == "unroutable, unroutable");
}

TEST_CASE("rabbitmq: what was refused goes again in order, when every other confirm is there") {
  Bench bench;
  bench.push_many(2);
  (void)bench.push(bench.bills);
  (void)bench.push(bench.bills);
  CHECK(bench.write(3) == "0 1 2");
  bench.nack(2, true);
  CHECK_FALSE(bench.box.may_write());
  CHECK_FALSE(bench.box.all_confirmed());
  CHECK(bench.write() == "");
  bench.ack(3);
  CHECK(bench.ends() == "-, -, ok 0, -");
  CHECK(bench.box.all_confirmed());
  CHECK(bench.box.may_write());
  CHECK(bench.write() == "0 1 3");
  bench.ack(6, true);
  CHECK(bench.ends() == "ok 0, ok 0, ok 0, ok 0");
}

TEST_CASE("rabbitmq: what was refused is rejected when a later message of its key was taken") {
  Bench bench;
  (void)bench.push(bench.orders, 1);
  (void)bench.push(bench.orders, 2);
  (void)bench.push(bench.bills, 1);
  (void)bench.push(bench.orders, 1);
  (void)bench.push(bench.orders, 1);
  (void)bench.write();
  bench.nack(3, true);
  bench.nack(5);
  bench.ack(4);
  // The first one was overtaken; the others have other keys, or are later.
  CHECK(bench.ends() == "rejected, -, -, ok 1, -");
  CHECK(bench.write() == "1 2 4");
}

TEST_CASE("rabbitmq: what has no key can be overtaken") {
  Bench bench;
  for (int i = 0; i < 2; ++i) {
    (void)bench.push(bench.orders);
    Outbox::Slot* slot = bench.box.to_write();
    REQUIRE(slot != nullptr);
    slot->key_hash = 0;
    bench.box.written();
  }
  bench.nack(1);
  bench.ack(2);
  CHECK(bench.ends() == "-, ok 0");
  CHECK(bench.write() == "0");
}

TEST_CASE("rabbitmq: it makes no difference that the later message was confirmed first") {
  Bench bench;
  bench.push_many(2);
  (void)bench.push(bench.bills);
  (void)bench.write();
  bench.ack(2);
  bench.ack(3);
  bench.nack(1);
  CHECK(bench.ends() == "rejected, ok 0, ok 0");
  CHECK(bench.write() == "");
}

TEST_CASE("rabbitmq: nor that the connection is lost before the refused one goes again") {
  Bench bench;
  bench.push_many(2);
  (void)bench.push(bench.bills);
  (void)bench.write();
  bench.nack(1);
  bench.ack(2);
  bench.box.restart();
  std::string again = bench.write();
  if (again == "0 2") FAIL("0 follows 1, which the broker has");
  CHECK(again == "2");
  bench.ack(1);
  CHECK(bench.ends() == "rejected, ok 0, ok 0");
}

TEST_CASE("rabbitmq: a route that takes nothing for five seconds rejects what it refuses") {
  Bench bench;
  bench.push_many(2);
  for (std::uint64_t i = 0; i < 20; ++i) {
    CHECK(bench.write() == "0 1");
    bench.time = start + i * 249ms;
    bench.nack(2 * i + 2, true);
    CHECK(bench.ends() == "-, -");
  }
  CHECK(bench.write() == "0 1");
  bench.time = start + 5s;
  bench.nack(42, true);
  CHECK(bench.ends() == "rejected, rejected");
  CHECK(bench.errors[0].retryable);
  CHECK(bench.box.head() == 2);
}

TEST_CASE("rabbitmq: what a route takes shows that its refusals pass, and other routes do not") {
  Bench bench;
  (void)bench.push(bench.orders, 0);
  (void)bench.push(bench.orders, 1);
  (void)bench.push(bench.bills);
  CHECK(bench.write() == "0 1 2");
  bench.nack(1);
  bench.time = start + 4s;
  bench.nack(2);
  bench.ack(3);
  CHECK(bench.write() == "0 1");
  bench.time = start + 6s;
  SECTION("other routes") {
    bench.nack(5, true);
    CHECK(bench.ends() == "rejected, rejected, ok 0");
  }
  SECTION("the route itself") {
    bench.ack(4);
    bench.nack(5);
    CHECK(bench.ends() == "ok 0, -, ok 0");
    CHECK(bench.write() == "1");
    bench.time = start + 11s;
    bench.nack(6);
    CHECK(bench.ends() == "ok 0, rejected, ok 0");
  }
}

TEST_CASE("rabbitmq: what nobody wrote gets the error that stood in the way") {
  Bench bench;
  (void)bench.push(bench.orders, 0, start + 1s);
  (void)bench.push(bench.orders, 0, start + 3s);
  (void)bench.push(bench.orders, 0, start + 2s);
  CHECK(bench.box.earliest() == start + 1s);
  bench.box.expire(start, unreachable);
  CHECK(bench.ends() == "-, -, -");
  CHECK(bench.box.earliest() == start + 1s);
  bench.box.expire(start + 1s, unreachable);
  CHECK(bench.ends() == "unavailable, -, -");
  CHECK(bench.errors[0].context == "nobody there");
  CHECK(bench.box.earliest() == start + 2s);
  bench.box.expire(start + 2s, unreachable);
  CHECK(bench.ends() == "unavailable, -, unavailable");
  CHECK(bench.box.head() == 1);
  CHECK(bench.write() == "1");
  bench.ack(1);
  CHECK(bench.box.head() == 3);
}

TEST_CASE("rabbitmq: what was written and not confirmed has an unknown outcome") {
  Bench bench;
  (void)bench.push(bench.orders, 0, start + 1s);
  (void)bench.push(bench.orders, 0, start + 1s);
  (void)bench.write(1);
  bench.box.restart();  // it was written nevertheless
  bench.box.expire(start + 1s, unreachable);
  CHECK(bench.ends() == "outcome_unknown, unavailable");
  CHECK(bench.errors[0].context.find("nobody there") != std::string::npos);
  CHECK(bench.write() == "");
  CHECK(bench.box.head() == 2);
}

TEST_CASE("rabbitmq: a confirm after the end says nothing") {
  Bench bench;
  (void)bench.push(bench.orders, 0, start + 1s);
  (void)bench.push(bench.orders);
  (void)bench.write();
  bench.box.expire(start + 1s, unreachable);
  bench.ack(1);
  bench.ack(2, true);
  CHECK(bench.ends() == "outcome_unknown, ok 0");
}

TEST_CASE("rabbitmq: what was refused and waits to go again is rejected when its time is over") {
  Bench bench;
  (void)bench.push(bench.orders, 0, start + 1s);
  (void)bench.push(bench.bills);
  (void)bench.write();
  bench.nack(1);
  bench.box.expire(start + 1s, unreachable);
  CHECK(bench.ends() == "rejected, -");
  bench.ack(2);
  CHECK(bench.write() == "");
  CHECK(bench.box.may_write());
}

TEST_CASE("rabbitmq: refused once, sent again and unconfirmed: nobody knows") {
  Bench bench;
  (void)bench.push(bench.orders, 0, start + 1s);
  (void)bench.write();
  bench.nack(1);
  CHECK(bench.write() == "0");
  SECTION("on the same connection") {
    bench.box.expire(start + 1s, unreachable);
    CHECK(bench.ends() == "outcome_unknown");
  }
  SECTION("whose connection is lost: the broker may have it") {
    bench.box.restart();
    bench.box.expire(start + 1s, unreachable);
    CHECK(bench.ends() == "outcome_unknown");
  }
}

TEST_CASE("rabbitmq: a refusal says nothing of what an earlier connection may have brought") {
  Bench bench;
  bench.push_many(1);
  (void)bench.write();
  bench.box.restart();
  CHECK(bench.write() == "0");
  bench.nack(1);
  CHECK(bench.write() == "0");
  bench.time += 5s;
  bench.nack(2);
  CHECK(bench.ends() == "outcome_unknown");
}

TEST_CASE("rabbitmq: a refused message does not wait for one whose time is over") {
  Bench bench;
  bench.push_many(1);
  (void)bench.push(bench.bills, 0, start + 1s);
  (void)bench.push(bench.bills);
  (void)bench.write(2);
  bench.nack(1);
  CHECK(bench.write() == "");
  SECTION("because it expired") { bench.box.expire(start + 1s, unreachable); }
  SECTION("because somebody ended it") {
    bench.box.end_if([](const Outbox::Slot& slot) { return slot.id == "id 1"; },
                     [](const Outbox::Slot&) { return unreachable; });
  }
  CHECK(bench.write() == "0 2");
}

TEST_CASE("rabbitmq: a new channel gets what has no ending, in order") {
  Bench bench;
  bench.push_many(6);
  CHECK(bench.write(4) == "0 1 2 3");
  bench.ack(2);
  bench.nack(4);
  bench.returned(2);
  bench.box.restart();
  CHECK(bench.box.may_write());
  CHECK(bench.box.first_unconfirmed() == nullptr);
  CHECK(bench.write() == "0 2 3 4 5");
  bench.ack(5, true);  // tags count from 1 again; what was returned before counts no more
  CHECK(bench.ends() == "ok 0, ok 0, ok 0, ok 0, ok 0, ok 0");
}

TEST_CASE("rabbitmq: tags of an old channel mean nothing to a new one") {
  Bench bench;
  bench.push_many(3);
  (void)bench.write();
  bench.box.restart();
  bench.ack(3, true);
  bench.nack(1);
  CHECK(bench.ends() == "-, -, -");
  CHECK(bench.write(1) == "0");
  bench.ack(3);
  CHECK(bench.ends() == "-, -, -");
  bench.ack(1);
  CHECK(bench.ends() == "ok 0, -, -");
}

TEST_CASE("rabbitmq: it is known up to where everything is confirmed") {
  Bench bench;
  CHECK(bench.box.all_confirmed());
  CHECK(bench.box.last_written() == 0);
  bench.push_many(3);
  (void)bench.write();
  CHECK(bench.box.last_written() == 3);
  CHECK(bench.box.under_way() == 3);
  bench.ack(2);
  CHECK_FALSE(bench.box.is_confirmed(1));
  CHECK_FALSE(bench.box.is_confirmed(2));
  bench.ack(1);
  CHECK(bench.box.is_confirmed(1));
  CHECK(bench.box.is_confirmed(2));
  CHECK_FALSE(bench.box.is_confirmed(3));
  CHECK(bench.box.under_way() == 1);
  CHECK_FALSE(bench.box.all_confirmed());
  bench.ack(3);
  CHECK(bench.box.all_confirmed());
}

TEST_CASE("rabbitmq: much room is a quarter of the window, of messages and of bytes") {
  Bench bench{8, 800};
  CHECK(bench.box.has_much_room());
  for (int i = 0; i < 6; ++i) (void)bench.push(bench.orders);
  CHECK(bench.box.has_much_room());
  (void)bench.push(bench.orders);
  CHECK_FALSE(bench.box.has_much_room());
  CHECK(bench.box.has_room());
  Bench large{8, 800};
  (void)large.push(large.orders, 0, never, 601);
  CHECK_FALSE(large.box.has_much_room());
}

TEST_CASE("rabbitmq: the first that is not confirmed, for a broker that blames nobody") {
  Bench bench;
  bench.push_many(3);
  CHECK(bench.box.first_unconfirmed() == nullptr);
  (void)bench.write(2);
  REQUIRE(bench.box.first_unconfirmed() != nullptr);
  CHECK(bench.box.first_unconfirmed()->id == "id 0");
  bench.ack(1);
  CHECK(bench.box.first_unconfirmed()->id == "id 1");
  bench.ack(2);
  CHECK(bench.box.first_unconfirmed() == nullptr);
}

TEST_CASE("rabbitmq: messages can be ended by choice, once each") {
  Bench bench;
  bench.push_many(2);
  (void)bench.push(bench.bills);
  (void)bench.write(1);
  const auto end_orders = [&] {
    bench.box.end_if([&](const Outbox::Slot& slot) { return slot.route == &bench.orders; },
                     [](const Outbox::Slot& slot) {
                       return Error::make(slot.ever_written ? Errc::outcome_unknown : Errc::closed,
                                          "publish");
                     });
  };
  end_orders();
  end_orders();
  CHECK(bench.ends() == "outcome_unknown, closed, -");
  bench.ack(1);
  CHECK(bench.write() == "2");
  bench.ack(2);
  CHECK(bench.ends() == "outcome_unknown, closed, ok 0");
}

TEST_CASE("rabbitmq: room for as many messages as the window is wide") {
  for (const std::size_t window : {1u, 2u, 64u, 100u}) {
    Bench bench{window};
    for (std::size_t i = 0; i < window; ++i) {
      CHECK(bench.box.has_room());
      (void)bench.push(bench.orders);
    }
    CHECK_FALSE(bench.box.has_room());
    if (window > 1) {
      (void)bench.write();
      bench.ack(2);
      CHECK_FALSE(bench.box.has_room());  // the first one still holds its place
    }
    (void)bench.write();
    bench.ack(1);
    CHECK(bench.box.has_room());
  }
}

TEST_CASE("rabbitmq: room for as many bytes as the window has; one too large fits alone") {
  Bench bench{64, 100};
  CHECK(bench.box.has_room());
  (void)bench.push(bench.orders, 0, never, 5000);
  CHECK_FALSE(bench.box.has_room());
  (void)bench.write();
  bench.ack(1);
  CHECK(bench.box.has_room());
  (void)bench.push(bench.orders, 0, never, 99);
  CHECK(bench.box.has_room());
  (void)bench.push(bench.orders, 0, never, 1);
  CHECK_FALSE(bench.box.has_room());
  (void)bench.write();
  bench.ack(3);
  CHECK(bench.box.has_room());  // bytes come back at once, whoever is before them
}

TEST_CASE("rabbitmq: a window of no bytes is one message at a time") {
  Bench bench{64, 0};
  CHECK(bench.box.has_room());
  (void)bench.push(bench.orders);
  CHECK_FALSE(bench.box.has_room());
}

TEST_CASE("rabbitmq: bytes that nobody has written yet, and those alone, are counted") {
  Bench bench;
  CHECK(bench.box.unwritten_bytes() == 0);
  (void)bench.push(bench.orders, 0, start + 1s, 10);
  (void)bench.push(bench.orders, 0, never, 20);
  (void)bench.push(bench.orders, 0, start + 1s, 40);
  CHECK(bench.box.unwritten_bytes() == 70);
  (void)bench.write(1);
  CHECK(bench.box.unwritten_bytes() == 60);
  bench.box.expire(start + 1s, unreachable);
  CHECK(bench.box.unwritten_bytes() == 20);
  bench.box.restart();
  CHECK(bench.box.unwritten_bytes() == 20);
  (void)bench.write();
  CHECK(bench.box.unwritten_bytes() == 0);
  bench.nack(1);
  (void)bench.write();
  bench.ack(2);
  CHECK(bench.box.unwritten_bytes() == 0);
}

TEST_CASE("rabbitmq: no more is written than can be told apart by its confirm") {
  Bench bench;
  int written = 0;
  for (int i = 0; i < 200; ++i) {
    (void)bench.push(bench.orders, 0, start + 1s);
    if (!bench.write().empty()) ++written;
    bench.box.expire(start + 1s, unreachable);  // each of them ends, none is confirmed
  }
  CHECK(written == 64);
  CHECK_FALSE(bench.box.may_write());
  bench.ack(64, true);
  CHECK(bench.box.may_write());
  (void)bench.push(bench.orders);
  CHECK(bench.write() == "200");
  bench.ack(65);
  CHECK(bench.ending(200) == "ok 0");
}

namespace {

/// A broker whose queues refuse for a while, whose connections break and whose confirms come late,
/// and a publisher in front of it.
class Life {
 public:
  struct Habits {
    bool in_order = true;   ///< confirms come in the order of the messages of a queue
    bool breaks = true;     ///< connections break
    bool expires = true;    ///< messages may be given up
  };
  Life(std::uint64_t seed, Habits habits) : random_{seed}, habits_{habits} {}

  /// What was wrong; empty when nothing was.
  std::string run(int steps) {
    for (int i = 0; i < steps && flaw_.empty(); ++i) step();
    for (auto& queue : queues_) queue.refuses = queue.missing = false;
    habits_.expires = false;
    for (int i = 0; i < 10'000 && flaw_.empty() && box_.head() < box_.tail(); ++i) {
      write(100);
      confirm();
    }
    expect(box_.head() == box_.tail(), "not everything has an ending");
    expect(box_.has_room() && box_.unwritten_bytes() == 0, "bytes are lost");
    for (const Sent& each : sent_) expect(each.endings == 1, "an ending is not there");
    check_endings();
    check_order();
    return flaw_;
  }

 private:
  enum class Fate : std::uint8_t { stored, refused, returned };
  struct Sent {
    std::size_t queue = 0;
    std::uint64_t key = 0;  ///< 0: none
    int endings = 0;
    bool ok = false;
    Errc error{};
    bool stored = false;
    std::uint64_t when = 0;  ///< it was stored, for the last time
  };
  struct Queue {
    Route* route = nullptr;
    std::int32_t shard = 0;
    bool refuses = false;
    bool missing = false;
    std::vector<std::size_t> pushed = {};  ///< numbers of messages
  };
  struct Owed {
    std::uint64_t tag = 0;
    std::size_t number = 0;
    Fate fate{};
  };

  std::uint64_t below(std::uint64_t limit) { return random_() % limit; }
  void expect(bool good, const char* what) {
    if (!good && flaw_.empty()) flaw_ = what;
  }

  void step() {
    const std::uint64_t what = below(100);
    if (what < 30) return push();
    if (what < 60) return write(1 + below(8));
    if (what < 88) return confirm();
    if (what < 93) {
      Queue& queue = queues_[below(queues_.size())];
      queue.refuses = below(3) == 0;
      queue.missing = !queue.refuses && below(4) == 0;
      return;
    }
    if (what < 95 && habits_.breaks) {
      owed_.clear();
      last_tag_ = 0;
      return box_.restart();
    }
    if (habits_.expires) {
      now_ += std::chrono::milliseconds{below(450)};
      if (now_ >= box_.earliest()) box_.expire(now_, unreachable);
      expect(box_.earliest() > now_, "earliest is in the past");
    }
  }

  void push() {
    if (!box_.has_room()) return;
    const std::size_t number = sent_.size();
    sent_.push_back({below(queues_.size()), below(4)});
    Queue& queue = queues_[sent_.back().queue];
    queue.pushed.push_back(number);
    Outbox::Slot& slot = box_.next_free();
    slot.frames.assign(below(40), 'f');
    slot.id = "id " + std::to_string(number);
    slot.route = queue.route;
    slot.shard = queue.shard;
    slot.key_hash = sent_[number].key == 0 ? 0 : sent_.back().queue * 4 + sent_[number].key;
    slot.deadline = now_ + std::chrono::milliseconds{1 + below(9000)};
    slot.tag = 0;
    slot.ever_written = slot.ended = slot.overtaken = slot.refused = false;
    slot.returned.clear();
    slot.done = [this, number](const Result<Receipt>& result) {
      Sent& ended = sent_[number];
      expect(++ended.endings == 1, "a second ending");
      ended.ok = result.has_value();
      if (!result) ended.error = result.error().code;
      if (result) expect(result->partition == queues_[ended.queue].shard, "another's receipt");
    };
    box_.push();
  }

  void write(std::uint64_t most) {
    for (; most > 0; --most) {
      Outbox::Slot* slot = box_.to_write();
      if (slot == nullptr) return;
      const std::size_t number = std::stoul(slot->id.substr(3));
      box_.written();
      expect(slot->tag == ++last_tag_, "another tag than the broker's");
      expect(sent_[number].endings == 0, "written after its ending");
      const Queue& queue = queues_[sent_[number].queue];
      const Fate fate = queue.refuses   ? Fate::refused
                        : queue.missing ? Fate::returned
                                        : Fate::stored;
      if (fate == Fate::stored) {
        sent_[number].stored = true;
        sent_[number].when = ++stored_;
      }
      owed_.push_back({last_tag_, number, fate});
    }
  }

  /// One confirm of the broker, for one message or for all up to one.
  void confirm() {
    if (owed_.empty()) return;
    if (below(2) == 0) {
      const bool taken = owed_.front().fate != Fate::refused;
      std::size_t count = 0;
      while (count < owed_.size() && (owed_[count].fate != Fate::refused) == taken) ++count;
      count = 1 + below(count);
      for (std::size_t i = 0; i < count; ++i) give_back(owed_[i]);
      const std::uint64_t tag = owed_[count - 1].tag;
      owed_.erase(owed_.begin(), owed_.begin() + static_cast<std::ptrdiff_t>(count));
      return box_.confirmed(tag, true, taken, now_);
    }
    std::size_t at = below(owed_.size());
    if (habits_.in_order) {
      for (std::size_t i = 0; i < at; ++i) {
        if (sent_[owed_[i].number].queue == sent_[owed_[at].number].queue) at = i;
      }
    }
    const Owed one = owed_[at];
    owed_.erase(owed_.begin() + static_cast<std::ptrdiff_t>(at));
    give_back(one);
    box_.confirmed(one.tag, false, one.fate != Fate::refused, now_);
  }
  void give_back(const Owed& each) {
    if (each.fate != Fate::returned) return;
    box_.returned("id " + std::to_string(each.number),
                  queues_[sent_[each.number].queue].route->exchange, "no queue");
  }

  void check_endings() {
    for (const Sent& each : sent_) {
      if (each.ok) {
        expect(each.stored, "ok, and the broker does not have it");
      } else if (each.error != Errc::outcome_unknown) {
        expect(!each.stored, "the broker has what it is said not to have");
      }
    }
  }
  /// Of the copies that were confirmed: what a lost connection brought before, nobody can help.
  void check_order() {
    for (const Queue& queue : queues_) {
      std::uint64_t last[4] = {};
      for (const std::size_t number : queue.pushed) {
        const Sent& each = sent_[number];
        if (!each.ok || each.key == 0) continue;
        expect(each.when > last[each.key], "a message overtook an earlier one of its key");
        last[each.key] = each.when;
      }
    }
  }

  std::mt19937_64 random_;
  Habits habits_;
  Route routes_[2] = {Route{"orders"}, Route{"bills"}};
  std::vector<Queue> queues_{{&routes_[0], 0}, {&routes_[0], 1}, {&routes_[1], 0}};
  Outbox box_{40, 1000};
  std::vector<Sent> sent_;
  std::vector<Owed> owed_;
  Instant now_ = start;
  std::uint64_t last_tag_ = 0;
  std::uint64_t stored_ = 0;
  std::string flaw_;
};

/// The flaws over many lives.
std::string lives(Life::Habits habits) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    Life life{seed, habits};
    if (const std::string flaw = life.run(1500); !flaw.empty()) {
      return flaw + ", seed " + std::to_string(seed);
    }
  }
  return "";
}

}  // namespace

TEST_CASE("rabbitmq: over random lives of one connection every message has one, true ending") {
  CHECK(lives({.breaks = false, .expires = false}) == "");
  CHECK(lives({.breaks = false}) == "");
}

TEST_CASE("rabbitmq: also when a queue's confirms come in another order than its messages") {
  CHECK(lives({.in_order = false, .breaks = false, .expires = false}) == "");
  CHECK(lives({.in_order = false, .breaks = false}) == "");
}

TEST_CASE("rabbitmq: also when connections break and messages are given up") {
  CHECK(lives({}) == "");
}

TEST_CASE("rabbitmq: one thread adds while another one takes") {
  Outbox box{8, 200};
  Route route{"orders"};
  constexpr int count = 20'000;
  std::atomic<int> ended{0};
  std::thread adds{[&] {
    for (int i = 0; i < count;) {
      if (!box.has_room()) {
        std::this_thread::yield();
        continue;
      }
      Outbox::Slot& slot = box.next_free();
      slot.frames.assign(static_cast<std::size_t>(i % 50), 'f');
      slot.id = std::to_string(i++);
      slot.route = &route;
      slot.key_hash = 1;
      slot.deadline = never;
      slot.tag = 0;
      slot.ever_written = slot.ended = slot.overtaken = slot.refused = false;
      slot.returned.clear();
      slot.done = [&](const Result<Receipt>& result) { ended += result ? 1 : 0; };
      box.push();
    }
  }};
  std::uint64_t tag = 0;
  bool in_order = true;
  while (tag < count) {
    while (Outbox::Slot* slot = box.to_write()) {
      in_order = in_order && slot->id == std::to_string(tag++);
      box.written();
    }
    box.confirmed(tag, true, true, start);
    std::this_thread::yield();
  }
  adds.join();
  CHECK(in_order);
  CHECK(ended == count);
  CHECK(box.head() == count);
  CHECK(box.unwritten_bytes() == 0);
}
