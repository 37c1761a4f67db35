// SPDX-License-Identifier: MIT
#include <sys/wait.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "catch.hpp"
#include "story.hpp"
#include "temporary_file.hpp"

using namespace campaign;

namespace {

/// Tells a good history with everything in it: four producers, four consumers of one group, keys that
/// stay in order; every hundredth message is poison, every thousandth is delivered again after a crash, and
/// there is a fault for every twentieth part of it. Lines are handed out as they would be written.
template <class Take>
void tell(std::uint64_t messages, std::uint64_t keys, Take take) {
  std::int64_t now = 1'000'000'000;
  std::string line;
  const auto write = [&](std::string_view process, std::uint32_t incarnation, Record record) {
    record.process = process;
    record.incarnation = incarnation;
    record.at = now += 1000;
    record.wall = 1'764'000'000'000'000'000 + now;
    line.clear();
    write_line(line, record);
    take(line);
  };
  const std::vector<std::string> producers{"producer-0", "producer-1", "producer-2", "producer-3"};
  const std::vector<std::string> consumers{"consumer-0", "consumer-1", "consumer-2", "consumer-3"};
  std::vector<std::uint32_t> lives(consumers.size(), 1);
  for (const std::string& consumer : consumers) {
    write(consumer, 1, {.kind = Kind::join, .topic = "orders", .group = "billing",
                        .note = "order=strict idempotent marked attempts=3"});
  }
  std::vector<std::string> buried;
  for (std::uint64_t i = 0; i < messages; ++i) {
    const std::string id = "0193c1f2-7a00-7000-8000-" + std::to_string(100'000'000'000 + i);
    const std::string key = "key-" + std::to_string(i % keys);
    const std::string& producer = producers[i % keys % 4];
    const std::size_t owner = i % keys % 4;
    const auto of_message = [&, number = i / keys](Kind kind, Outcome outcome, std::uint32_t attempt = 0) {
      const bool of_group = kind != Kind::publish && kind != Kind::ending;
      return Record{.kind = kind, .outcome = outcome, .id = id, .topic = "orders",
                    .group = of_group ? "billing" : "", .key = key, .number = number,
                    .attempt = attempt, .partition = static_cast<std::int32_t>(i % 16),
                    .major = kind == Kind::deliver || outcome == Outcome::ok ? i / 16 + 1 : 0,
                    .generation = 1, .hash = i + 1};
    };
    if (i % (messages / 20 + 1) == 2) {
      write("campaign", 1, {.kind = Kind::fault, .key = "broker", .note = "kill"});
      write("campaign", 1, {.kind = Kind::heal, .key = "broker", .note = "kill"});
    }
    write(producer, 1, of_message(Kind::publish, Outcome::none));
    const Outcome ending = i % 500 == 3 ? Outcome::unknown : Outcome::ok;
    write(producer, 1, of_message(Kind::ending, ending));
    const std::string& consumer = consumers[owner];
    std::uint32_t attempt = 1;
    write(consumer, lives[owner], of_message(Kind::deliver, Outcome::none, attempt));
    if (i % 1000 == 5) {
      write("campaign", 1, {.kind = Kind::fault, .key = consumer, .note = "kill"});
      ++lives[owner];
      write(consumer, lives[owner], {.kind = Kind::begin});
      write("campaign", 1, {.kind = Kind::heal, .key = consumer, .note = "kill"});
      write(consumer, lives[owner], of_message(Kind::deliver, Outcome::none, ++attempt));
    }
    if (i % 100 == 42) {
      write(consumer, lives[owner], of_message(Kind::finish, Outcome::permanent, attempt));
      write(consumer, lives[owner], of_message(Kind::dead_letter, Outcome::none, attempt));
      write(consumer, lives[owner], of_message(Kind::settle, Outcome::buried));
      Record letter = of_message(Kind::letter, Outcome::permanent, attempt);
      letter.note = "handler_failed";
      write("campaign", 1, letter);
    } else {
      write(consumer, lives[owner], of_message(Kind::effect, Outcome::none));
      write(consumer, lives[owner], of_message(Kind::finish, Outcome::ok, attempt));
      write(consumer, lives[owner], of_message(Kind::settle, Outcome::ok));
    }
  }
  for (const std::string& producer : producers) write(producer, 1, {.kind = Kind::close});
}

}  // namespace

TEST_CASE("A good history is judged good, whole") {
  constexpr std::uint64_t messages = 20'000;
  Timeline timeline;
  tell(messages, 100, [&](const std::string& line) {
    timeline.add_line(std::string_view{line}.substr(1, line.size() - 2));
  });
  timeline.arrange();
  const Report report = check(timeline);
  CHECK(violated(report).empty());
  CHECK(why_invalid(timeline, report, {.published = messages, .faults = 40, .redelivered = 20}).empty());
  CHECK(report.totals.published == messages);
  CHECK(report.totals.ok == messages - messages / 500);
  CHECK(report.totals.unknown == messages / 500);
  CHECK(report.totals.recovered == messages / 500);
  CHECK(report.totals.deliveries == messages + messages / 1000);
  CHECK(report.totals.redelivered == messages / 1000);
  CHECK(report.totals.effects == messages - messages / 100);
  CHECK(report.totals.letters == messages / 100);
  CHECK(report.totals.faults == messages / 1000 + 20);
  CHECK(report[Property::lost].judged == report.totals.ok);
  for (const Property property : {Property::phantom, Property::integrity, Property::effects, Property::order,
                                  Property::skipped, Property::settled_early, Property::answered,
                                  Property::position, Property::unflagged}) {
    CAPTURE(property);
    CHECK(report[property].judged >= messages - messages / 100);
  }
}

TEST_CASE("A table says what was violated, what holds and what was not judged") {
  Story story;
  story.sent("a0").sent("a1").handled("a0");
  const Report report = story.report();
  std::ostringstream table;
  print(table, story.timeline(), report);
  using Catch::Matchers::Contains;
  CHECK_THAT(table.str(), Contains("P1 no lost            VIOLATED 1 times"));
  CHECK_THAT(table.str(), Contains("a1 of key a was ok, and group billing has not processed it"));
  CHECK_THAT(table.str(), Contains("P2 no phantom         holds, 1 judged"));
  CHECK_THAT(table.str(), Contains("P8 contiguous commit  not judged; needs commit"));
}

TEST_CASE("Only the first few violations are shown, and all are counted") {
  Story story;
  for (const char* message : {"a0", "a1", "a2", "a3", "a4", "a5", "a6"}) story.sent(message);
  const Report report = story.report();
  CHECK(report[Property::lost].violations == 7);
  CHECK(report[Property::lost].examples.size() == 5);
  CHECK(report.violations() == 7);
}

TEST_CASE("A history in which too little has happened proves nothing") {
  Timeline empty;
  empty.arrange();
  CHECK(why_invalid(empty, check(empty)) == "there are 0 messages, where 1 are wanted");
  Story story;
  story.fault("broker").heal("broker").sent("a0").handled("a0");
  const Report report = story.report();
  CHECK(why_invalid(story.timeline(), report, {.faults = 1}).empty());
  CHECK(why_invalid(story.timeline(), report, {.faults = 2}) == "there are 1 faults, where 2 are wanted");
  CHECK_FALSE(why_invalid(story.timeline(), report, {.redelivered = 1}).empty());
}

TEST_CASE("A history with lines that are no records proves nothing") {
  Timeline malformed;
  tell(10, 1, [&](const std::string& line) {
    malformed.add_line(std::string_view{line}.substr(1, line.size() - 2));
  });
  malformed.add_line("nonsense\t;");
  malformed.arrange();
  const Report report = check(malformed);
  CHECK(report.violations() == 0);
  CHECK(why_invalid(malformed, report) == "1 lines are no records, such as: nonsense\t;");
}

TEST_CASE("check_history ends with what it has found") {
  const TemporaryFile good;
  std::ofstream{good.path} << [] {
    std::ostringstream lines;
    tell(100, 5, [&](const std::string& line) { lines << line; });
    return lines.str();
  }();
  const auto run = [](const std::string& arguments) {
    const int status = std::system((OMNIBUS_CHECK_HISTORY " " + arguments + " > /dev/null 2>&1").c_str());
    REQUIRE(WIFEXITED(status));
    return WEXITSTATUS(status);
  };
  CHECK(run(good.path) == 0);
  CHECK(run("--faults 10 " + good.path) == 0);
  CHECK(run("--faults 200 " + good.path) == 2);
  CHECK(run(good.path + " /nowhere/history") == 2);
  CHECK(run("") == 2);
  CHECK(run("--stall") == 2);
  CHECK(run("--stall x " + good.path) == 2);

  const TemporaryFile more;
  SECTION("of two files as of one") {
    std::string line;
    write_line(line, {.kind = Kind::effect,
                      .at = 1'000'000'000'000,
                      .process = "consumer-9",
                      .id = "0193c1f2-7a00-7000-8000-100000000001",
                      .topic = "orders",
                      .group = "billing"});
    std::ofstream{more.path} << line;
    CHECK(run(good.path + " " + more.path) == 1);
    CHECK(run("--faults 200 " + good.path + " " + more.path) == 1);
  }
  SECTION("of secrets in logs") {
    std::ofstream{more.path} << "hunter2\n";
    const std::string secrets = "--secrets " + more.path + " --log ";
    CHECK(run(secrets + good.path + " " + good.path) == 0);
    CHECK(run(secrets + more.path + " " + good.path) == 1);
    CHECK(run("--log " + more.path + " " + good.path) == 2);
  }
}

// Not run by ctest. For measuring check_history:
//   OMNIBUS_HISTORY=FILE OMNIBUS_MESSAGES=1000000 .../campaign "[.history]"
TEST_CASE("Write a good history to a file", "[.history]") {
  const char* path = std::getenv("OMNIBUS_HISTORY");
  const char* messages = std::getenv("OMNIBUS_MESSAGES");
  REQUIRE((path != nullptr && messages != nullptr));
  std::ofstream file{path, std::ios::binary};
  tell(std::stoull(messages), 10'000, [&](const std::string& line) { file << line; });
  CHECK(file.flush());
}
