// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "chaos.hpp"
#include "load.hpp"

// Several processes of one group. The program runs itself again as a consumer, whose handler writes
// what it does into a pipe.

namespace chaos {

/// A line in the pipe: short enough to be written as one.
inline void tell(int pipe, char what, int member, const ob::Delivery& delivery) {
  std::string line{what};
  line.append(" ").append(std::to_string(member)).append(" ").append(delivery.key());
  line.append(" ").append(delivery.payload()).append("\n");
  if (::write(pipe, line.data(), line.size()) != static_cast<ssize_t>(line.size())) std::abort();
}

/// Set by SIGUSR1: from then on handlers never return.
inline std::atomic<bool> hang = false;
static_assert(std::atomic<bool>::is_always_lock_free);

/// Goes on until the standard input ends, which is a pipe from the case, and then closes the bus.
inline void work_until_told(ChaosBus& bus, const ob::Subscription& subscription, int member) {
  pollfd input{STDIN_FILENO, POLLIN, 0};
  std::string problem;
  while (::poll(&input, 1, 1000) <= 0) {
    const ob::SubscriptionHealth health = subscription.health();
    if (health.problem != problem) figure("process ", member, ": ", health.problem);
    problem = health.problem;
  }
  expect(bus.close(20s).has_value(), "a consumer process could not close its bus");
}

/// What a consumer process does: reads its topic until its standard input ends, and tells of it.
/// A program has a case for it, with the tag [.consumer].
inline void run_consumer(const Broker::Backend::Config& config, ChaosBus::SubscribeOptions how) {
  const char* topic = std::getenv("OMNIBUS_CHAOS_TOPIC");
  const char* pipe_text = std::getenv("OMNIBUS_CHAOS_PIPE");
  const char* member_text = std::getenv("OMNIBUS_CHAOS_MEMBER");
  expect(topic != nullptr && pipe_text != nullptr && member_text != nullptr,
         "this case is run by others");
  const int pipe = std::atoi(pipe_text);
  const int member = std::atoi(member_text);
  ::signal(SIGUSR1, [](int) { hang = true; });
  ChaosBus bus{config};
  const auto subscription = bus.subscribe(
      topic,
      [&](const ob::Delivery& delivery) {
        tell(pipe, 'B', member, delivery);
        if (hang) {
          tell(pipe, 'S', member, delivery);
          while (true) ::pause();
        }
        tell(pipe, 'E', member, delivery);
      },
      std::move(how));
  work_until_told(bus, subscription, member);
}

/// A consumer process of this program.
class Member {
 public:
  Member(int number, const std::string& topic, int pipe, const char* what = "[.consumer]") {
    std::array<int, 2> input{};
    expect(::pipe2(input.data(), O_CLOEXEC) == 0, "no pipe");
    ::setenv("OMNIBUS_CHAOS_TOPIC", topic.c_str(), 1);
    ::setenv("OMNIBUS_CHAOS_PIPE", std::to_string(pipe).c_str(), 1);
    ::setenv("OMNIBUS_CHAOS_MEMBER", std::to_string(number).c_str(), 1);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(input[0], STDIN_FILENO);
      ::fcntl(pipe, F_SETFD, 0);
      ::execl("/proc/self/exe", "consumer", what, nullptr);
      ::_exit(127);
    }
    ::close(input[0]);
    input_ = input[1];
  }
  ~Member() { end(SIGKILL); }
  Member(const Member&) = delete;

  void kill() { end(SIGKILL); }
  void hang_up() { ::kill(pid_, SIGUSR1); }
  void freeze() { ::kill(pid_, SIGSTOP); }
  void thaw() { ::kill(pid_, SIGCONT); }
  /// Lets it end by itself. Returns whether it ended well.
  bool finish() { return end(0); }

 private:
  bool end(int signal) {
    if (pid_ <= 0) return false;
    if (signal != 0) ::kill(pid_, signal);
    ::close(input_);
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = 0;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }

  pid_t pid_ = 0;
  int input_ = -1;
};

/// Reads what the processes write, into a ledger.
class Scribe {
 public:
  Scribe() {
    expect(::pipe2(ends_.data(), O_CLOEXEC) == 0, "no pipe");
    thread_ = std::thread{[this] { run(); }};
  }
  /// Call when all who write are gone.
  ~Scribe() {
    ::close(ends_[1]);
    thread_.join();
    ::close(ends_[0]);
  }
  Scribe(const Scribe&) = delete;

  int pipe() const noexcept { return ends_[1]; }
  std::size_t begun_by(int member) const { return begun_[static_cast<std::size_t>(member)]; }
  /// Handlers that hang.
  std::size_t stuck() const {
    std::lock_guard lock{mutex_};
    return stuck_.size();
  }
  /// Others have handled what those hang at.
  bool unstuck() const {
    std::lock_guard lock{mutex_};
    return std::all_of(stuck_.begin(), stuck_.end(),
                       [&](const auto& each) { return ledger.handled(each.first, each.second); });
  }
  Ledger ledger;

 private:
  void run() {
    std::string rest;
    std::array<char, 4096> part;
    while (true) {
      const auto count = ::read(ends_[0], part.data(), part.size());
      if (count <= 0) return;
      rest.append(part.data(), static_cast<std::size_t>(count));
      for (auto end = rest.find('\n'); end != std::string::npos; end = rest.find('\n')) {
        std::istringstream line{rest.substr(0, end)};
        rest.erase(0, end + 1);
        char what = 0;
        int member = 0;
        std::string key;
        std::size_t number = 0;
        line >> what >> member >> key >> number;
        if (what == 'B') {
          ledger.begin(member, key, number);
          ++begun_[static_cast<std::size_t>(member)];
        } else if (what == 'S') {
          std::lock_guard lock{mutex_};
          stuck_.emplace_back(key, number);
        } else {
          ledger.end(key, number);
        }
      }
    }
  }

  std::array<int, 2> ends_{};
  std::array<std::atomic<std::size_t>, 4> begun_{};
  mutable std::mutex mutex_;
  std::vector<std::pair<std::string, std::size_t>> stuck_;
  std::thread thread_;
};

}  // namespace chaos
