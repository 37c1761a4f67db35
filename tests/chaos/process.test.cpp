// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <signal.h>

#include <array>

#include "catch.hpp"
#include "chaos.hpp"
#include "load.hpp"

// Several processes of one group, of which one is killed. The program runs itself again as a
// consumer, whose handler writes what it does into a pipe.

namespace {

using namespace chaos;

constexpr std::size_t window = 64;
constexpr std::size_t handlers = 4;
constexpr int shards = 6;

Broker::Backend::Config shared_config(const Broker& f) {
  auto config = f.config();
  config.shards = shards;
  config.heartbeat = 1s;
  return config;
}

/// A line in the pipe: short enough to be written as one.
void tell(int pipe, char what, int member, const ob::Delivery& delivery) {
  std::string line{what};
  line.append(" ").append(std::to_string(member)).append(" ").append(delivery.key());
  line.append(" ").append(delivery.payload()).append("\n");
  if (::write(pipe, line.data(), line.size()) != static_cast<ssize_t>(line.size())) std::abort();
}

/// Set by SIGUSR1: from then on handlers never return.
std::atomic<bool> hang = false;
static_assert(std::atomic<bool>::is_always_lock_free);

TEST_CASE("a consumer process, run by the case below", "[.consumer]") {
  const char* topic = std::getenv("OMNIBUS_CHAOS_TOPIC");
  const char* pipe_text = std::getenv("OMNIBUS_CHAOS_PIPE");
  const char* member_text = std::getenv("OMNIBUS_CHAOS_MEMBER");
  REQUIRE((topic != nullptr && pipe_text != nullptr && member_text != nullptr));
  const int pipe = std::atoi(pipe_text);
  const int member = std::atoi(member_text);
  ::signal(SIGUSR1, [](int) { hang = true; });
  ChaosBus bus{shared_config(Broker{})};
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
      {.concurrency = handlers, .window = window});
  // The standard input is a pipe from the case: its end is the end of the process.
  char nothing = 0;
  while (::read(STDIN_FILENO, &nothing, 1) > 0) {
  }
  CHECK(bus.close(20s).has_value());
}

/// A consumer process of this program.
class Member {
 public:
  Member(int number, const std::string& topic, int pipe) {
    std::array<int, 2> input{};
    expect(::pipe2(input.data(), O_CLOEXEC) == 0, "no pipe");
    ::setenv("OMNIBUS_CHAOS_TOPIC", topic.c_str(), 1);
    ::setenv("OMNIBUS_CHAOS_PIPE", std::to_string(pipe).c_str(), 1);
    ::setenv("OMNIBUS_CHAOS_MEMBER", std::to_string(number).c_str(), 1);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(input[0], STDIN_FILENO);
      ::fcntl(pipe, F_SETFD, 0);
      ::execl("/proc/self/exe", "chaos_rabbitmq", "[.consumer]", nullptr);
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
  std::size_t stuck() const { return stuck_; }
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
          ++stuck_;
        } else {
          ledger.end(key, number);
        }
      }
    }
  }

  std::array<int, 2> ends_{};
  std::array<std::atomic<std::size_t>, 4> begun_{};
  std::atomic<std::size_t> stuck_{0};
  std::thread thread_;
};

/// Three processes of one group, all of which get messages.
struct Service {
  Case f;
  const std::string topic = f.topic();
  ChaosBus bus{shared_config(f)};
  Scribe scribe;
  std::optional<Member> members[3];
  std::optional<Load> load;

  explicit Service(std::string_view name) : f{name} {
    for (int i = 0; i < 3; ++i) members[i].emplace(i + 1, topic, scribe.pipe());
    // The group's queues are there as soon as a publish is not unroutable.
    eventually(
        f, [&] { return bus.publish(topic, message("0", "first")).has_value(); }, "a member");
    load.emplace(f, bus, topic, Load::How{.timeout = 60s}, 60);
    for (int member = 1; member <= 3; ++member) {
      eventually(
          f, [&] { return scribe.begun_by(member) >= 100; }, "deliveries to process ", member);
    }
  }
};

TEST_CASE("consumer processes killed under load cost no message and no order") {
  Service service{"process killed"};
  Case& f = service.f;
  Ledger& ledger = service.scribe.ledger;
  service.members[1]->hang_up();
  eventually(
      f, [&] { return service.scribe.stuck() == handlers; }, "all its handlers to hang");
  service.load->wait_for_more(1000);  // and its window to be full
  CHECK(ledger.handled_again() == 0);
  ledger.kill(2);
  service.members[1]->kill();
  service.load->wait_for_more(1000);
  eventually(
      f, [&] { return service.bus.publish(service.topic, message("0", "again")).has_value(); },
      "a publish");
  const std::size_t again = ledger.handled_again();
  ledger.kill(3);  // in the middle of its work
  service.members[2]->kill();
  service.load->wait_for_more(500);
  const auto sent = service.load->finish();
  expect_all_ok(sent);
  expect_ok_handled(f, sent, ledger);
  figure("processes killed: ", again, " handled again after the one that hung, ",
         ledger.handled_again() - again, " after the one that worked, of ", sent.size());
  CHECK(ledger.problem() == "");
  // Its window, and what it had not yet acknowledged of each of its shards.
  CHECK(again <= window + 64 * shards);
  CHECK(ledger.handled_again() - again <= window + 64 * shards);
  CHECK(service.members[0]->finish());
}

TEST_CASE("a frozen consumer process loses its messages to others and finds its way back") {
  Service service{"process frozen"};
  Case& f = service.f;
  Scribe& scribe = service.scribe;
  service.members[1]->freeze();
  const auto frozen = Clock::now();
  service.load->wait_for_more(1000);
  const auto sent = service.load->finish();  // also those that the frozen one had taken
  expect_all_ok(sent);
  expect_ok_handled(f, sent, scribe.ledger);
  figure("process frozen, heartbeat 1 s: everything handled ", seconds(Clock::now() - frozen),
         " s after");
  CHECK(scribe.ledger.problem() == "");  // nobody but the frozen one ends twice
  service.members[1]->thaw();
  const std::size_t before = scribe.begun_by(2);
  Load more{f, service.bus, service.topic, {.timeout = 60s}, 60};
  eventually(
      f, [&] { return scribe.begun_by(2) >= before + 500; }, "deliveries to the thawed process");
  expect_all_ok(more.finish());
  for (auto& each : service.members) CHECK(each->finish());
}

}  // namespace
