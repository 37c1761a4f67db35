// SPDX-License-Identifier: MIT
#include <omnibus/backends/sqlite/window.hpp>

#include <string>
#include <vector>

#include "catch.hpp"

namespace {

using omnibus::sqlite::LeftChange;
using omnibus::sqlite::ShareChange;
using omnibus::sqlite::Window;

constexpr std::int64_t moment = 1'000'000;

/// A shard in the file, as far as a window says what is in it.
struct File {
  std::uint64_t cursor = 1;
  std::uint64_t seen = 1;
  std::map<std::uint64_t, LeftChange> left{};

  void write(Window& window, bool ends = false) {
    ShareChange change;
    window.tell(change, ends);
    cursor = change.cursor;
    seen = change.seen;
    for (const LeftChange& each : change.left) {
      if (each.gone) {
        left.erase(each.position);
      } else {
        left[each.position] = each;
      }
    }
    window.heard(change.seen);
  }
  Window read() const {
    Window window;
    window.begin(cursor, seen, false);
    for (const auto& [position, each] : left) window.add_left(position, each.due, each.attempts);
    window.left_is_known();
    return window;
  }
};

/// Hands out everything up to before `end`, as a member does. Returns "position:attempts" of each.
std::string hand_out(Window& window, File& file, std::uint64_t end) {
  std::string out;
  const auto note = [&out](std::uint64_t position, std::uint32_t attempts) {
    if (!out.empty()) out += ' ';
    out += std::to_string(position) + ":" + std::to_string(attempts);
  };
  for (int turn = 0; turn < 10; ++turn) {
    Window::Due due;
    while (window.take_due(moment, due)) note(due.position, due.attempts);
    window.announce(end);
    while (window.next() < end && window.allowed(moment) > 0) {
      const std::uint64_t position = window.next();
      note(position, window.pass());
    }
    file.write(window);
  }
  return out;
}

TEST_CASE("nothing is handed out before the file knows of it") {
  File file;
  Window window = file.read();
  CHECK(window.allowed(moment) == 0);
  window.announce(4);
  CHECK(window.has_announcements());
  CHECK(window.allowed(moment) == 0);
  file.write(window);
  CHECK(file.seen == 4);
  CHECK_FALSE(window.has_announcements());
  CHECK(window.allowed(moment) == 3);
  CHECK(window.pass() == 0);
  CHECK(window.allowed(moment) == 2);
}

TEST_CASE("the cursor stands before the first message that is not done") {
  File file;
  Window window = file.read();
  CHECK(hand_out(window, file, 5) == "1:0 2:0 3:0 4:0");
  window.done(2);
  window.done(3);
  file.write(window);
  CHECK(file.cursor == 1);
  window.done(1);
  CHECK(window.has_news());
  file.write(window);
  CHECK(file.cursor == 4);
  CHECK_FALSE(window.has_news());
  CHECK(file.left.empty());
}

TEST_CASE("who takes over from a killed member hands out again what that one had, and says so") {
  File file;
  Window first = file.read();
  hand_out(first, file, 4);
  first.done(1);
  file.write(first);
  Window second = file.read();
  CHECK(hand_out(second, file, 6) == "2:1 3:1 4:0 5:0");
}

TEST_CASE("who takes over after a graceful end gets what was not begun as if it had never come") {
  File file;
  Window first = file.read();
  hand_out(first, file, 5);
  first.done(1);
  first.released(2, 1);  // it was tried once
  first.released(3, 0);
  first.done(4);
  file.write(first, true);
  Window second = file.read();
  CHECK(hand_out(second, file, 6) == "2:1 3:0 5:0");
  CHECK(file.cursor == 5);
}

TEST_CASE("the cursor goes past a message that holds it up, and nothing is forgotten") {
  File file;
  Window window = file.read();
  hand_out(window, file, 12);
  for (std::uint64_t position = 2; position <= 10; ++position) window.done(position);
  for (int turn = 0; turn < 10; ++turn) file.write(window);
  CHECK(file.cursor == 11);
  REQUIRE(file.left.size() == 1);
  CHECK(file.left.begin()->first == 1);
  SECTION("it is done after all") {
    window.done(1);
    file.write(window);
    CHECK(file.left.empty());
  }
  SECTION("its member is killed: it counts as an attempt") {
    Window next = file.read();
    CHECK(hand_out(next, file, 13) == "1:1 11:1 12:0");
  }
  SECTION("its member leaves before it began: it does not count") {
    window.released(1, 0);
    window.released(11, 0);
    file.write(window, true);
    Window next = file.read();
    CHECK(hand_out(next, file, 13) == "1:0 11:0 12:0");
  }
}

TEST_CASE("what comes later waits for its time, and others pass it") {
  File file;
  Window window = file.read();
  hand_out(window, file, 4);
  window.later(1, moment + 50, 1);
  window.done(2);
  window.done(3);
  file.write(window);
  CHECK(file.cursor == 4);
  CHECK(file.left.at(1).due == moment + 50);
  Window::Due due;
  CHECK_FALSE(window.take_due(moment + 49, due));
  CHECK(window.next_due() == moment + 50);
  CHECK_FALSE(window.holds_log(moment + 49));
  CHECK(window.holds_log(moment + 50));  // until it is handed out
  CHECK_FALSE(window.take_due(moment + 50, due));  // the file does not know yet
  file.write(window);
  REQUIRE(window.take_due(moment + 50, due));
  CHECK(due.position == 1);
  CHECK(due.attempts == 1);
  CHECK_FALSE(window.holds_log(moment + 50));
  SECTION("it fails again") {
    window.later(1, moment + 90, 2);
    file.write(window);
    CHECK(file.left.at(1).attempts == 2);
    CHECK(window.next_due() == moment + 90);
  }
  SECTION("it is done") {
    window.done(1);
    file.write(window);
    CHECK(file.left.empty());
  }
  SECTION("its member is killed meanwhile") { CHECK(file.left.at(1).attempts == 2); }
}

TEST_CASE("what was given back comes again in its order, before what is newer") {
  File file;
  Window window = file.read();
  hand_out(window, file, 7);
  window.done(1);
  window.released(2, 0);
  window.later(3, moment + 50, 1);
  window.done(4);
  window.released(5, 2);
  window.released(6, 0);
  window.rewind();
  CHECK(hand_out(window, file, 8) == "2:0 5:2 6:0 7:0");
}

TEST_CASE("a position between messages that were left is not forgotten when its member is killed") {
  File file;
  Window first = file.read();
  hand_out(first, file, 4);
  first.later(3, 0, 1);  // while 1 and 2 are in hand
  file.write(first);
  CHECK(file.cursor == 1);
  Window second = file.read();
  CHECK(hand_out(second, file, 5) == "1:1 2:1 3:1 4:0");
}

TEST_CASE("what is set aside stays, for whoever comes later") {
  File file;
  Window window = file.read();
  hand_out(window, file, 6);
  window.set_aside(1);
  window.done(2);
  window.set_aside(3);
  window.done(4);
  window.set_aside(5);
  for (int turn = 0; turn < 10; ++turn) file.write(window);
  CHECK(hand_out(window, file, 6).empty());  // not to this member again
  window.abandon();
  file.write(window, true);
  Window next = file.read();
  CHECK(hand_out(next, file, 7) == "1:0 3:0 5:0 6:0");
}

TEST_CASE("what a member had in hand when it was lost counts as an attempt") {
  File file;
  Window window = file.read();
  hand_out(window, file, 4);
  window.done(2);
  window.abandon();
  file.write(window, true);
  Window next = file.read();
  CHECK(hand_out(next, file, 5) == "1:1 3:1 4:0");
}

TEST_CASE("messages that were removed are passed over") {
  File file;
  Window window = file.read();
  CHECK(window.skip_to(5) == 4);
  CHECK(hand_out(window, file, 6) == "5:0");
  CHECK(window.skip_to(9) == 3);
  window.done(5);
  file.write(window);
  CHECK(file.cursor == 9);
}

TEST_CASE("a reader tells the file nothing") {
  Window window;
  window.begin(3, 3, true);
  window.add_left(1, 0, 2);
  window.left_is_known();
  CHECK(window.allowed(moment) == 0);  // what is left comes first
  Window::Due due;
  REQUIRE(window.take_due(moment, due));
  CHECK(due.position == 1);
  CHECK(window.allowed(moment) > 0);
  CHECK(window.next() == 3);
  window.pass();
  window.done(1);
  window.done(3);
  ShareChange change;
  window.tell(change, false);
  CHECK(change.left.empty());
}

}  // namespace
