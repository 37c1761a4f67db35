// SPDX-License-Identifier: MIT
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "recorder.hpp"
#include "temporary_file.hpp"
#include "timeline.hpp"

using namespace campaign;

namespace {

Timeline read(const TemporaryFile& file) {
  Timeline timeline;
  timeline.add_file(file.path);
  timeline.arrange();
  return timeline;
}

/// Runs `act` in another process, which must not return from it.
template <class Act>
pid_t in_child(Act act) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  act();
  ::_exit(1);
}

}  // namespace

TEST_CASE("A recorder appends, and says who and when") {
  const TemporaryFile file;
  const std::int64_t before = nanoseconds(CLOCK_MONOTONIC);
  {
    Recorder recorder{file.path, "producer", 2};
    recorder.record({.kind = Kind::publish, .id = "m", .topic = "orders"});
  }
  Recorder{file.path, "producer", 3};
  const Timeline timeline = read(file);
  REQUIRE(timeline.processes.size() == 2);
  CHECK(timeline.processes[0].name == "producer#2");
  CHECK(timeline.processes[0].events.size() == 2);
  CHECK(timeline.processes[0].events[0].kind == Kind::begin);
  CHECK(timeline.processes[0].events[0].at >= before);
  CHECK(timeline.processes[0].events[1].at <= nanoseconds(CLOCK_MONOTONIC));
  CHECK(timeline.processes[1].name == "producer#3");
}

TEST_CASE("Threads and processes may share a file") {
  constexpr std::size_t each = 2000;
  const TemporaryFile file;
  std::vector<pid_t> children;
  for (std::uint32_t child = 0; child < 3; ++child) {
    children.push_back(in_child([&] {
      Recorder recorder{file.path, "child-" + std::to_string(child), 1};
      for (std::size_t i = 0; i < each; ++i) recorder.record({.kind = Kind::gauge, .value = i});
      ::_exit(0);
    }));
  }
  for (const pid_t child : children) {
    int status = 0;
    ::waitpid(child, &status, 0);
    REQUIRE((WIFEXITED(status) && WEXITSTATUS(status) == 0));
  }
  {
    Recorder recorder{file.path, "threads", 1};
    const auto run = [&recorder] {
      for (std::size_t i = 0; i < each; ++i) recorder.record({.kind = Kind::gauge, .value = i});
    };
    std::thread one{run};
    std::thread two{run};
    one.join();
    two.join();
  }
  const Timeline timeline = read(file);
  CHECK(timeline.malformed == 0);
  CHECK(timeline.torn == 0);
  REQUIRE(timeline.processes.size() == 4);
  for (const auto& process : timeline.processes) {
    CHECK(process.events.size() == (process.name == "threads#1" ? 2 * each : each) + 1);
    std::int64_t last = 0;
    for (const Event& event : process.events) {
      REQUIRE(event.at >= last);
      last = event.at;
    }
  }
}

TEST_CASE("What a process has recorded survives its SIGKILL") {
  const TemporaryFile file;
  std::array<int, 2> pipe{};
  REQUIRE(::pipe(pipe.data()) == 0);
  const pid_t child = in_child([&] {
    Recorder recorder{file.path, "child", 1};
    for (std::uint64_t i = 1;; ++i) {
      recorder.record({.kind = Kind::gauge, .value = i});
      // After the record: what has been told of must be there.
      if (::write(pipe[1], &i, sizeof i) != sizeof i) return;
    }
  });
  ::close(pipe[1]);
  std::uint64_t told = 0;
  while (told < 1000 && ::read(pipe[0], &told, sizeof told) == sizeof told) {
  }
  REQUIRE(told == 1000);
  REQUIRE(::kill(child, SIGKILL) == 0);
  while (::read(pipe[0], &told, sizeof told) == sizeof told) {
  }
  ::close(pipe[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  REQUIRE(WIFSIGNALED(status));

  Recorder{file.path, "later", 1};
  const Timeline timeline = read(file);
  CHECK(timeline.malformed == 0);
  CHECK(timeline.torn <= 1);
  REQUIRE(timeline.processes.size() == 2);
  const auto& events = timeline.processes[0].events;
  const std::uint64_t last = events.back().value;
  CHECK(events.size() == last + 1);  // none is missing in between; the first is `begin`
  CHECK(last >= told);
  CHECK(last <= told + 1);
  CHECK(timeline.processes[1].events.size() == 1);
}

TEST_CASE("A torn line spoils no other, at the end or in the middle") {
  std::string line;
  write_line(line, {.kind = Kind::gauge, .process = "p", .value = 1});
  for (std::size_t size = 2; size < line.size() - 1; ++size) {
    CAPTURE(size);
    const TemporaryFile file;
    std::ofstream{file.path} << line << line.substr(0, size) << line << line.substr(0, size);
    const Timeline timeline = read(file);
    CHECK(timeline.malformed == 0);
    CHECK(timeline.torn == 2);
    CHECK(timeline.processes.at(0).events.size() == 2);
  }
}

TEST_CASE("A record that could not be written is an error") {
  CHECK_THROWS_AS((Recorder{"/nowhere/history", "p", 1}), std::system_error);
  const TemporaryFile file;
  const pid_t child = in_child([&] {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{100, 100};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    try {
      Recorder recorder{file.path, "child", 1};
      for (int i = 0; i < 100; ++i) recorder.record({.kind = Kind::gauge});
    } catch (const std::system_error&) {
      ::_exit(0);
    }
  });
  int status = 0;
  ::waitpid(child, &status, 0);
  CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0));
}
