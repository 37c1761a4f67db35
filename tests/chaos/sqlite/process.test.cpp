// SPDX-License-Identifier: MIT
#include "catch.hpp"
#include "chaos.hpp"
#include "load.hpp"
#include "processes.hpp"

// Several processes on one file, of which one is killed, or stopped for longer than its lease. Who reads the
// file by itself sees that it is whole.

namespace {

using namespace chaos;

constexpr std::size_t window = 64;
constexpr std::size_t handlers = 4;

TEST_CASE("a consumer process, run by the cases below", "[.consumer]") {
  run_consumer(Broker{}.config(), {.concurrency = handlers, .window = window});
}

/// Three processes of one group, all of which get messages.
struct Service {
  Case f;
  const std::string topic = f.topic();
  ChaosBus bus{f.config()};
  Scribe scribe;
  std::optional<Member> members[3];
  std::optional<Load> load;

  explicit Service(std::string_view name) : f{name} {
    f.share();
    for (int i = 0; i < 3; ++i) members[i].emplace(i + 1, topic, scribe.pipe());
    load.emplace(f, bus, topic, Load::How{.timeout = 60s}, 60);
    for (int member = 1; member <= 3; ++member) {
      eventually(
          f, [&] { return scribe.begun_by(member) >= 50; }, "deliveries to process ", member);
    }
  }
  ~Service() { ::unsetenv("OMNIBUS_CHAOS_FILE"); }

  std::int64_t ask(const std::string& sql) const {
    ob::detail::sqlite::Database database;
    ob::detail::sqlite::Statement statement;
    if (database.open(f.file, 10s) != SQLITE_OK || statement.prepare(database, sql) != SQLITE_OK ||
        statement.step() != SQLITE_ROW) {
      violated("cannot read the file: ", database.problem());
    }
    return statement.number(0);
  }
  /// Nobody owns anything, everything is settled, and the file is whole.
  void expect_clean() const {
    CHECK(ask("SELECT count(*) FROM omnibus_shares WHERE owner <> 0") == 0);
    CHECK(ask("SELECT count(*) FROM omnibus_left") == 0);
    CHECK(ask("SELECT count(*) FROM omnibus_members") == 0);
    CHECK(ask("SELECT sum(cursor - 1) FROM omnibus_shares") == ask("SELECT count(*) FROM omnibus_messages"));
    CHECK(ask("SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'") == 0);
  }
};

TEST_CASE("consumer processes killed under load cost no message and no order") {
  Service service{"process killed"};
  Case& f = service.f;
  Scribe& scribe = service.scribe;
  Ledger& ledger = scribe.ledger;
  const std::size_t before = ledger.handled_again();
  service.members[1]->hang_up();
  eventually(
      f, [&] { return scribe.stuck() == handlers; }, "all its handlers to hang");
  service.load->wait_for_more(500);  // and its window to be full
  CHECK(ledger.handled_again() == before);
  ledger.kill(2);
  const auto killed = Clock::now();
  service.members[1]->kill();
  eventually(
      f, [&] { return scribe.unstuck(); }, "others to take over what it had");
  const auto taken_over = Clock::now();
  const std::size_t again = ledger.handled_again() - before;
  ledger.kill(3);  // in the middle of its work
  service.members[2]->kill();
  service.load->wait_for_more(300);
  const auto sent = service.load->finish();
  expect_all_ok(sent);
  expect_ok_handled(f, sent, ledger);
  const std::size_t working = ledger.handled_again() - before - again;
  figure("processes killed, lease ", seconds(Broker::lease), " s: taken over after ", seconds(taken_over - killed), " s; ",
         before, " handled again while they joined, ", again, " after the one that hung, ", working,
         " after the one that worked, of ", sent.size());
  CHECK(ledger.problem() == "");
  CHECK(before == 0);
  CHECK(again <= window);
  CHECK(working <= 2 * window);
  CHECK(service.members[0]->finish());
  service.expect_clean();
}

TEST_CASE("an owner stopped in the middle of load cannot settle what others have taken over") {
  Service service{"owner stopped, then resumed"};
  Case& f = service.f;
  Scribe& scribe = service.scribe;
  service.members[1]->hang_up();
  eventually(
      f, [&] { return scribe.stuck() == handlers; }, "all its handlers to hang");
  service.members[1]->freeze();
  scribe.ledger.kill(2);
  eventually(
      f, [&] { return scribe.unstuck(); }, "others to take over what it had");
  service.members[1]->thaw();  // it renews a lease that has ended; its handlers still hang
  service.load->wait_for_more(500);
  const auto sent = service.load->finish();
  expect_all_ok(sent);
  // Some shards may be its own again, whose messages it has no hands for; its end frees them.
  service.members[1]->kill();
  expect_ok_handled(f, sent, scribe.ledger);
  CHECK(scribe.ledger.problem() == "");
  CHECK(service.members[0]->finish());
  CHECK(service.members[2]->finish());
}

/// Tells a pipe which of its publishes were ok, until it is killed.
TEST_CASE("a publishing process, run by the case below", "[.publisher]") {
  const char* pipe_text = std::getenv("OMNIBUS_CHAOS_PIPE");
  expect(pipe_text != nullptr, "this case is run by another");
  const int pipe = std::atoi(pipe_text);
  ChaosBus bus{Broker{}.config()};
  for (int number = 0;; ++number) {
    bus.publish_async("orders", message(std::to_string(number), "key"), [pipe, number](const auto& ending) {
      if (!ending || ::write(pipe, &number, sizeof number) != sizeof number) std::abort();
    });
  }
}

TEST_CASE("what was published is there, however often the publisher is killed") {
  Case f{"publishers killed"};
  f.share();
  std::size_t ok = 0;
  constexpr int lives = 5;
  for (int life = 0; life < lives; ++life) {
    std::array<int, 2> ends{};
    expect(::pipe2(ends.data(), O_CLOEXEC) == 0, "no pipe");
    ::setenv("OMNIBUS_CHAOS_PIPE", std::to_string(ends[1]).c_str(), 1);
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::fcntl(ends[1], F_SETFD, 0);
      ::execl("/proc/self/exe", "publisher", "[.publisher]", nullptr);
      ::_exit(127);
    }
    ::close(ends[1]);
    int number = 0;
    bool killed = false;
    while (::read(ends[0], &number, sizeof number) == sizeof number) {
      ++ok;
      if (number < 300 || std::exchange(killed, true)) continue;
      ::kill(pid, SIGKILL);
    }
    ::close(ends[0]);
    ::waitpid(pid, nullptr, 0);
  }
  ::unsetenv("OMNIBUS_CHAOS_FILE");
  ChaosBus bus{f.config()};
  Inbox inbox;
  const auto reader = bus.subscribe("orders", inbox.handler(), {.group = ""});
  send(f, bus, "orders", "end", "key");
  inbox.wait_for(f, "end");
  // Of each life there is a beginning without gaps, in order.
  int begun = 0, next = 0;
  std::size_t gaps = 0;
  auto came = inbox.payloads();
  came.pop_back();
  for (const auto& payload : came) {
    if (payload == "0") next = 0, ++begun;
    gaps += payload != std::to_string(next++);
  }
  CHECK(gaps == 0);
  CHECK(begun == lives);
  CHECK(came.size() >= ok);
  figure("publishers killed: ", ok, " were told to be ok, ", came.size(), " are there");
}

}  // namespace
