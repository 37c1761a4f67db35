// SPDX-License-Identifier: MIT
#include <omnibus/event_store/sqlite.hpp>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <iostream>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "unit/event_store/sqlite_judge.hpp"
#include "unit/sqlite_tools.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

namespace {

/// A process of this program that appends to a file and writes a line for each answer, until it is killed.
class Victim {
 public:
  Victim(const std::string& path, int life) {
    int ends[2];
    if (::pipe(ends) != 0) throw std::runtime_error{"no pipe"};
    ::setenv("OMNIBUS_VICTIM_PATH", path.c_str(), 1);
    ::setenv("OMNIBUS_VICTIM_LIFE", std::to_string(life).c_str(), 1);
    ::setenv("OMNIBUS_VICTIM_PIPE", std::to_string(ends[1]).c_str(), 1);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::execl("/proc/self/exe", "victim", "[.victim]", nullptr);
      ::_exit(127);
    }
    ::close(ends[1]);
    pipe_ = ends[0];
    ::fcntl(pipe_, F_SETFD, FD_CLOEXEC);
  }
  ~Victim() { ::close(pipe_); }
  Victim(const Victim&) = delete;

  /// Reads so many answers.
  void read_lines(std::size_t count) {
    while (lines_ < count && read_some()) {
    }
  }
  /// Lets it live for so long.
  void wait_us(std::uint64_t us) {
    const timespec time{0, static_cast<long>(us * 1'000)};
    ::ppoll(nullptr, 0, &time, nullptr);
  }
  /// Kills it and adds all that it has said. False: it had ended by itself.
  bool kill(Answered& answered) {
    ::kill(pid_, SIGKILL);
    int status = 0;
    ::waitpid(pid_, &status, 0);
    while (read_some()) {
    }
    std::string_view left = text_;
    for (std::size_t end = left.find('\n'); end != std::string_view::npos; end = left.find('\n')) {
      const std::string_view line = left.substr(0, end);
      const std::size_t space = line.find(' ');
      answered[std::string{line.substr(0, space)}] = std::stoull(std::string{line.substr(space + 1)});
      left.remove_prefix(end + 1);
    }
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && left.empty();
  }

 private:
  bool read_some() {
    char bytes[4096];
    const ssize_t got = ::read(pipe_, bytes, sizeof bytes);
    if (got <= 0) return false;
    for (const char c : std::string_view{bytes, static_cast<std::size_t>(got)}) lines_ += c == '\n' ? 1 : 0;
    text_.append(bytes, static_cast<std::size_t>(got));
    return true;
  }

  pid_t pid_ = -1;
  int pipe_ = -1;
  std::string text_;
  std::size_t lines_ = 0;
};

}  // namespace

TEST_CASE("sqlite events: a process that appends until it is killed", "[.victim]") {
  const std::string path = std::getenv("OMNIBUS_VICTIM_PATH"), life = std::getenv("OMNIBUS_VICTIM_LIFE");
  const int pipe = std::atoi(std::getenv("OMNIBUS_VICTIM_PIPE"));
  SqliteEventStore store{{.path = path, .busy_timeout = 60s}};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      const std::string stream = "s-" + std::to_string(thread);
      for (std::size_t i = 0;; ++i) {
        const std::string batch = life + "-" + std::to_string(thread) + "-" + std::to_string(i);
        const auto done = append_batch(store, batch, 1 + i % 5, stream, i % 3 == 0 ? "both" : "");
        if (!done) std::abort();
        const std::string line = batch + " " + std::to_string(done->events.back().position) + "\n";
        if (::write(pipe, line.data(), line.size()) != static_cast<ssize_t>(line.size())) std::abort();
      }
    });
  }
  for (auto& each : threads) each.join();
}

TEST_CASE("sqlite events: a process killed at any point loses nothing that it was answered, and leaves no batch in part") {
  std::uint64_t random = seed_from_environment();
  const std::uint64_t kills = number_from_environment("OMNIBUS_KILLS", 25);
  std::cerr << "OMNIBUS_SEED=" << random << " OMNIBUS_KILLS=" << kills << "\n";
  const auto below = [&random](std::uint64_t limit) { return (random = detail::mix64(random)) % limit; };
  constexpr std::uint64_t kills_a_file = 25;
  TemporaryFolder folder;
  Answered answered;
  std::vector<std::string> seen;
  std::string path;
  for (std::uint64_t kill = 0; kill < kills; ++kill) {
    if (kill % kills_a_file == 0) {
      path = folder.file(std::to_string(kill));
      answered.clear();
      seen.clear();
    }
    Victim victim{path, static_cast<int>(kill)};
    std::optional<Victim> other;
    if (below(3) == 0) other.emplace(path, static_cast<int>(kill + 1'000'000));
    victim.read_lines(below(5) == 0 ? 0 : below(60));
    victim.wait_us(below(4) == 0 ? below(30'000) : below(2'000));
    CHECK(victim.kill(answered));
    if (other) {
      other->read_lines(below(20));
      CHECK(other->kill(answered));
    }
    SqliteEventStore store{{.path = path, .durability = Durability::process_crash}};
    INFO("kill " << kill);
    REQUIRE(judge(store, answered, &seen) == "");
  }
}
