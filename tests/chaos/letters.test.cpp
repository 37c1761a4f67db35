// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <map>
#include <string>

#include <omnibus/letters.hpp>
#include <omnibus/middleware/dead_letter.hpp>

#include "catch.hpp"
#include "chaos.hpp"

// A process that redrives dead letters is killed in the middle of it, again and again.

namespace {

using namespace chaos;

constexpr std::size_t window = 64;
constexpr double rate = 500;

/// Tells through a pipe, a byte at a time, that letters have been settled.
TEST_CASE("a redriving process, run by the case below", "[.redriver]") {
  const char* topic = std::getenv("OMNIBUS_CHAOS_TOPIC");
  const char* pipe = std::getenv("OMNIBUS_CHAOS_PIPE");
  expect(topic != nullptr && pipe != nullptr, "this case is run by another");
  const int out = std::atoi(pipe);
  ChaosBus bus{Broker{}.config()};
  ob::DeadLetters letters{bus, topic};
  std::uint64_t told = 0;
  (void)letters.redrive_all({.per_second = rate,
                             .quiet = 30s,
                             .window = window,
                             .progress = [&](const ob::LetterReport& so_far) {
                               for (; told < so_far.done; ++told) {
                                 if (::write(out, "x", 1) != 1) std::abort();
                               }
                               return true;
                             }});
}

/// Starts such a process, and kills it when it has settled so many letters.
void redrive_and_die(const std::string& topic, std::size_t letters) {
  std::array<int, 2> ends{};
  expect(::pipe2(ends.data(), O_CLOEXEC) == 0, "no pipe");
  ::setenv("OMNIBUS_CHAOS_TOPIC", topic.c_str(), 1);
  ::setenv("OMNIBUS_CHAOS_PIPE", std::to_string(ends[1]).c_str(), 1);
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::fcntl(ends[1], F_SETFD, 0);
    ::execl("/proc/self/exe", "redriver", "[.redriver]", nullptr);
    ::_exit(127);
  }
  ::close(ends[1]);
  char settled = 0;
  std::size_t count = 0;
  while (count < letters && ::read(ends[0], &settled, 1) == 1) ++count;
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
  ::close(ends[0]);
  expect(count == letters, "a redriving process ended by itself");
}

TEST_CASE("a redriver killed in the middle, again and again, loses no letter") {
  Case f{"redriver killed"};
  const auto topic = f.topic();
  const auto dead = f.topic();
  ChaosBus bus{f.config()};
  constexpr std::size_t many = 2000;
  const auto sent = numbered(many, 7);
  {
    const auto failing = bus.subscribe(topic, [](const ob::Delivery&) -> ob::Result<> {
      return ob::permanent("no");
    } | ob::dead_letter(dead));
    registered(f, failing);
    send(f, bus, topic, sent);
    eventually(
        f, [&] { return failing.stats().dead_lettered == many; }, "the dead letters");
    drained(f, failing);
  }
  Inbox inbox;
  const auto healed = bus.subscribe(topic, inbox.handler());
  constexpr std::size_t deaths = 3;
  for (std::size_t i = 0; i < deaths; ++i) redrive_and_die(dead, 200);
  ob::DeadLetters letters{bus, dead};
  const auto report = letters.redrive_all({.quiet = 10s, .window = window});
  CHECK(report.ending.has_value());
  inbox.wait_for(f, many);
  drained(f, healed);
  figure("redriver killed ", deaths, " times: ", inbox.size() - many, " of ", many,
         " letters redriven twice");
  // What was confirmed and not settled: a window, and what a broker is told of once a second.
  CHECK(inbox.size() - many <= deaths * (window + static_cast<std::size_t>(2 * rate)));
  std::map<std::string, std::size_t> last;
  std::map<std::string, bool> seen;
  for (const Got& each : inbox.all()) {
    if (std::exchange(seen[each.message.payload], true)) continue;
    const std::size_t number = std::stoul(each.message.payload);
    CHECK(last[each.message.key] <= number);
    last[each.message.key] = number;
  }
  std::size_t left = 0;
  (void)letters.scan([&left](const ob::LetterView&) { return ++left, true; });
  CHECK(left == 0);
}

}  // namespace
