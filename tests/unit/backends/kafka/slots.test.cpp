// SPDX-License-Identifier: MIT
#include <omnibus/backends/kafka/slots.hpp>

#include <deque>
#include <map>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::kafka;
using namespace omnibus::unit;

namespace {

const Instant moment{1000h};
const Error lost = Error::make(Errc::outcome_unknown, "publish", "lost");

/// A ring, and the endings that its messages had: "0:ok 1:outcome_unknown".
struct Bench {
  Slots slots;
  std::string endings;

  Bench(std::size_t window, std::size_t bytes = 1'000'000) : slots{window, bytes} {}

  std::uint64_t add(Duration deadline = 1h, std::size_t bytes = 10) {
    const std::uint64_t number = slots.tail();
    return slots.add(
        [this, number](const Result<Receipt>& ending) {
          endings += (endings.empty() ? "" : " ") + std::to_string(number) + ":" +
                     (ending ? "ok" : std::string{to_string(ending.error().code)});
        },
        moment + deadline, bytes);
  }
  /// Its report has come.
  void report(std::uint64_t number) {
    slots.end(number, Receipt{});
    slots.returned(number);
    slots.advance();
  }
};

}  // namespace

TEST_CASE("kafka: messages are numbered from 0, in order") {
  Bench bench{4};
  CHECK(bench.slots.tail() == 0);
  CHECK(bench.add() == 0);
  CHECK(bench.add() == 1);
  CHECK(bench.slots.tail() == 2);
  CHECK(bench.endings == "");
}

TEST_CASE("kafka: an ending carries what the broker said") {
  Slots slots{4, 100};
  std::vector<std::string> heard;
  const auto hear = [&](const Result<Receipt>& ending) {
    heard.push_back(ending ? std::to_string(ending->partition) + "/" +
                                 std::to_string(ending->position.major)
                           : ending.error().context);
  };
  slots.end(slots.add(hear, moment, 1), Receipt{3, {17, 0}});
  slots.end(slots.add(hear, moment, 1), lost);
  CHECK(heard == std::vector<std::string>{"3/17", "lost"});
}

TEST_CASE("kafka: a message keeps its first ending") {
  Bench bench{4};
  const std::uint64_t number = bench.add();
  CHECK_FALSE(bench.slots.has_ended(number));
  bench.slots.end(number, lost);
  CHECK(bench.slots.has_ended(number));
  bench.slots.end(number, Receipt{});
  bench.slots.end(number, lost);
  CHECK(bench.endings == "0:outcome_unknown");
}

TEST_CASE("kafka: what a completion holds is let go when it has run") {
  Slots slots{4, 100};
  auto held = std::make_shared<int>();
  const std::uint64_t number = slots.add([held](const Result<Receipt>&) {}, moment, 1);
  CHECK(held.use_count() == 2);
  slots.end(number, Receipt{});
  CHECK(held.use_count() == 1);
}

TEST_CASE("kafka: there is room for as many messages as the window has") {
  for (const std::size_t window : {1u, 2u, 4u, 5u, 100u}) {
    CAPTURE(window);
    Bench bench{window};
    for (std::size_t i = 0; i < window; ++i) {
      CHECK(bench.slots.has_room());
      (void)bench.add();
    }
    CHECK_FALSE(bench.slots.has_room());
    bench.report(0);
    CHECK(bench.slots.has_room());
  }
}

TEST_CASE("kafka: there is room while the bytes are within the window") {
  Bench bench{100, 50};
  (void)bench.add(1h, 20);
  CHECK(bench.slots.has_room());
  (void)bench.add(1h, 30);
  CHECK_FALSE(bench.slots.has_room());
  bench.report(0);
  CHECK(bench.slots.has_room());
  (void)bench.add(1h, 1000);
  CHECK_FALSE(bench.slots.has_room());
  bench.report(1);
  CHECK_FALSE(bench.slots.has_room());
  bench.report(2);
  CHECK(bench.slots.has_room());
}

TEST_CASE("kafka: a message larger than the window goes alone") {
  Bench bench{100, 50};
  CHECK(bench.slots.has_room());
  (void)bench.add(1h, 1000);
  CHECK_FALSE(bench.slots.has_room());
  bench.report(0);
  Bench nothing{1, 0};
  CHECK(nothing.slots.has_room());
  (void)nothing.add(1h, 1);
  CHECK_FALSE(nothing.slots.has_room());
}

TEST_CASE("kafka: who waits for room is woken when a quarter is free, of both windows") {
  Bench count{8};
  for (int i = 0; i < 8; ++i) (void)count.add(1h, 1);
  CHECK_FALSE(count.slots.has_much_room());
  count.report(0);
  CHECK_FALSE(count.slots.has_much_room());
  count.report(1);
  CHECK(count.slots.has_much_room());
  Bench bytes{100, 100};
  (void)bytes.add(1h, 24);
  (void)bytes.add(1h, 1);
  (void)bytes.add(1h, 75);
  bytes.report(0);
  CHECK_FALSE(bytes.slots.has_much_room());
  bytes.report(1);
  CHECK(bytes.slots.has_much_room());
}

TEST_CASE("kafka: a place is free when its message has its ending and has come back") {
  Bench bench{1};
  (void)bench.add();
  bench.slots.end(0, lost);
  bench.slots.advance();
  CHECK(bench.slots.ended() == 1);
  CHECK_FALSE(bench.slots.has_room());  // librdkafka still has it
  bench.slots.returned(0);
  CHECK_FALSE(bench.slots.has_room());
  bench.slots.advance();
  CHECK(bench.slots.has_room());

  (void)bench.add();
  bench.slots.returned(1);
  bench.slots.advance();
  CHECK(bench.slots.ended() == 1);
  CHECK_FALSE(bench.slots.has_room());
  bench.slots.end(1, Receipt{});
  bench.slots.advance();
  CHECK(bench.slots.ended() == 2);
  CHECK(bench.slots.has_room());
}

TEST_CASE("kafka: everything before `ended` has its ending") {
  Bench bench{8};
  for (int i = 0; i < 4; ++i) (void)bench.add();
  bench.report(2);
  bench.report(1);
  CHECK(bench.slots.ended() == 0);
  bench.report(0);
  CHECK(bench.slots.ended() == 3);
  CHECK(bench.slots.tail() == 4);
}

TEST_CASE("kafka: places are used again, round after round") {
  Bench bench{3};
  for (std::uint64_t number = 0; number < 100; ++number) {
    CHECK(bench.add() == number);
    CHECK_FALSE(bench.slots.has_ended(number));
    bench.endings.clear();
    bench.report(number);
    CHECK(bench.endings == std::to_string(number) + ":ok");
  }
}

TEST_CASE("kafka: the earliest deadline is known, and no later than it is") {
  Bench bench{8};
  CHECK(bench.slots.earliest() == Instant::max());
  (void)bench.add(5s);
  CHECK(bench.slots.earliest() == moment + 5s);
  (void)bench.add(3s);
  (void)bench.add(9s);
  CHECK(bench.slots.earliest() == moment + 3s);
  CHECK_FALSE(bench.slots.is_due(1, moment + 3s - 1ns));
  CHECK(bench.slots.is_due(1, moment + 3s));
  bench.slots.expire(moment + 3s, lost);
  CHECK(bench.endings == "1:outcome_unknown");
  CHECK(bench.slots.earliest() == moment + 5s);
  bench.report(0);
  bench.slots.expire(moment + 5s, lost);
  CHECK(bench.slots.earliest() == moment + 9s);
  bench.slots.expire(moment + 9s, lost);
  CHECK(bench.slots.earliest() == Instant::max());
  CHECK(bench.endings == "1:outcome_unknown 0:ok 2:outcome_unknown");
}

TEST_CASE("kafka: the earliest deadline is one of a message that has no ending") {
  Bench bench{8};
  for (const Duration deadline : {20s, 1s, 5s}) (void)bench.add(deadline);
  bench.report(2);
  CHECK(bench.slots.earliest() <= moment + 1s);
  bench.slots.expire(moment + 1s, lost);
  CHECK(bench.slots.earliest() == moment + 20s);
}

TEST_CASE("kafka: whatever is due ends, wherever it stands, and nothing else") {
  Bench bench{8};
  for (const Duration deadline : {7s, 1s, 9s, 2s, 3s}) (void)bench.add(deadline);
  bench.slots.expire(moment, lost);
  CHECK(bench.endings == "");
  bench.slots.expire(moment + 2s, lost);
  CHECK(bench.endings == "1:outcome_unknown 3:outcome_unknown");
  CHECK(bench.slots.ended() == 0);
  bench.slots.expire(moment + 7s, lost);
  CHECK(bench.slots.ended() == 2);
  bench.report(1);  // late: it changes nothing but that its place is free
  CHECK(bench.endings == "1:outcome_unknown 3:outcome_unknown 0:outcome_unknown 4:outcome_unknown");
}

TEST_CASE("kafka: what is abandoned ends and is free, but for what is kept elsewhere") {
  Bench bench{4};
  for (int i = 0; i < 4; ++i) (void)bench.add();
  bench.slots.end(0, Receipt{});  // it did not come back
  bench.slots.abandon([](std::uint64_t number) { return number == 2; }, lost);
  CHECK(bench.endings == "0:ok 1:outcome_unknown 3:outcome_unknown");
  CHECK(bench.slots.ended() == 2);
  CHECK(bench.slots.has_room());
  (void)bench.add();
  (void)bench.add();
  CHECK_FALSE(bench.slots.has_room());
  bench.report(2);
  CHECK(bench.slots.ended() == 4);
}

TEST_CASE("kafka: a completion may publish") {
  Slots slots{4, 100};
  std::vector<std::uint64_t> ended;
  const std::uint64_t number = slots.add(
      [&](const Result<Receipt>&) {
        ended.push_back(0);
        (void)slots.add([&](const Result<Receipt>&) { ended.push_back(1); }, moment, 1);
      },
      moment, 1);
  slots.end(number, Receipt{});
  CHECK(slots.tail() == 2);
  CHECK_FALSE(slots.has_ended(1));
  slots.end(1, Receipt{});
  CHECK(ended == std::vector<std::uint64_t>{0, 1});
}

namespace {

/// A ring beside a list that says what should be in it.
class Life {
 public:
  explicit Life(std::uint64_t seed)
      : random_{seed},
        window_{1 + random_() % 20},
        window_bytes_{1 + random_() % 400},
        slots_{window_, window_bytes_} {}

  std::string run() {
    for (int step = 0; step < 2000 && flaw_.empty(); ++step) {
      now_ += std::chrono::milliseconds{random_() % 20};
      switch (random_() % 12) {
        case 0: expire(); break;
        case 1:
          if (random_() % 10 == 0) abandon();
          break;
        case 2:
        case 3:
        case 4: report(); break;
        case 5: end_one(); break;
        default: add(); break;
      }
      check();
    }
    abandon_all();
    check();
    for (std::size_t i = 0; i < endings_.size(); ++i) {
      expect(endings_[i] == 1, "a message had no ending, or several");
    }
    return flaw_;
  }

 private:
  struct Known {
    Instant deadline;
    std::size_t bytes;
    bool ended = false, returned = false;
  };

  void expect(bool good, const char* what) {
    if (!good && flaw_.empty()) flaw_ = what;
  }
  std::uint64_t some() {
    return head_ + random_() % (known_.size() - head_);
  }
  bool empty() const { return head_ == known_.size(); }

  void add() {
    if (!slots_.has_room()) return;
    const Known made{now_ + std::chrono::milliseconds{random_() % 500}, random_() % 80};
    const std::uint64_t number = known_.size();
    endings_.push_back(0);
    expect(slots_.add([this, number](const Result<Receipt>&) { ++endings_[number]; },
                      made.deadline, made.bytes) == number,
           "number");
    known_.push_back(made);
  }
  void end(std::uint64_t number) {
    slots_.end(number, Receipt{});
    known_[number].ended = true;
  }
  void give_back(std::uint64_t number) {
    slots_.returned(number);
    known_[number].returned = true;
  }
  /// librdkafka reports each message once.
  void report() {
    if (empty()) return;
    const std::uint64_t number = some();
    if (known_[number].returned) return;
    end(number);
    give_back(number);
    slots_.advance();
  }
  void end_one() {
    if (empty()) return;
    end(some());
    slots_.advance();
  }
  void expire() {
    slots_.expire(now_, lost);
    for (std::size_t i = head_; i < known_.size(); ++i) known_[i].ended |= known_[i].deadline <= now_;
  }
  void abandon() {
    const std::uint64_t odd = random_() % 3;
    slots_.abandon([&](std::uint64_t number) { return number % 3 == odd; }, lost);
    for (std::size_t i = head_; i < known_.size(); ++i) {
      if (i % 3 != odd) known_[i].ended = known_[i].returned = true;
    }
  }
  void abandon_all() {
    slots_.abandon([](std::uint64_t) { return false; }, lost);
    for (std::size_t i = head_; i < known_.size(); ++i) known_[i].ended = known_[i].returned = true;
  }

  void check() {
    std::uint64_t ended = head_;
    while (ended < known_.size() && known_[ended].ended) ++ended;
    while (head_ < known_.size() && known_[head_].ended && known_[head_].returned) ++head_;
    std::size_t bytes = 0;
    Instant earliest = Instant::max();
    for (std::size_t i = head_; i < known_.size(); ++i) {
      bytes += known_[i].bytes;
      expect(slots_.has_ended(i) == known_[i].ended, "has_ended");
      expect(endings_[i] == (known_[i].ended ? 1 : 0), "endings");
      expect(slots_.is_due(i, now_) == (known_[i].deadline <= now_), "is_due");
      if (!known_[i].ended) earliest = std::min(earliest, known_[i].deadline);
    }
    const std::size_t count = known_.size() - head_;
    expect(slots_.tail() == known_.size(), "tail");
    expect(slots_.ended() == ended, "ended");
    expect(slots_.earliest() <= earliest, "earliest");
    expect(slots_.has_room() == (count == 0 || (count < window_ && bytes < window_bytes_)), "room");
    expect(slots_.has_much_room() == (count <= window_ / 4 * 3 && bytes <= window_bytes_ / 4 * 3),
           "much room");
  }

  std::mt19937_64 random_;
  const std::size_t window_, window_bytes_;
  Slots slots_;
  std::deque<Known> known_;
  std::deque<int> endings_;
  std::size_t head_ = 0;
  Instant now_ = moment;
  std::string flaw_;
};

}  // namespace

TEST_CASE("kafka: over random lives every message has one ending, and places are free in time") {
  for (std::uint64_t seed = 1; seed <= 150; ++seed) {
    if (const std::string flaw = Life{seed}.run(); !flaw.empty()) FAIL(flaw << ", seed " << seed);
  }
}

TEST_CASE("kafka: one thread adds while another one ends") {
  constexpr std::uint64_t count = 50'000;
  Slots slots{64, 4096};
  std::uint64_t good = 0, bad = 0;  // the ending side's
  std::thread ends{[&] {
    std::mt19937_64 random{9};
    std::uint64_t number = 0;
    while (number < count) {
      const std::uint64_t tail = slots.tail();
      if (number == tail) {
        if (random() % 64 == 0) slots.expire(moment, lost);
        std::this_thread::yield();
      }
      for (; number < tail; ++number) {
        slots.end(number, Receipt{});
        slots.returned(number);
      }
      slots.advance();
    }
  }};
  for (std::uint64_t number = 0; number < count; ++number) {
    while (!slots.has_room()) std::this_thread::yield();
    const Instant deadline = number % 3 == 0 ? moment : moment + 1h;
    (void)slots.add([&](const Result<Receipt>& ending) { ++(ending ? good : bad); }, deadline, 100);
  }
  ends.join();
  CHECK(good + bad == count);
  CHECK(slots.ended() == count);
  CHECK(slots.has_room());
}
