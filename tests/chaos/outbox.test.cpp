// SPDX-License-Identifier: MIT
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>
#include <thread>
#include <unordered_set>
#include <vector>

#include <omnibus/outbox/relay.hpp>
#include <omnibus/outbox/sqlite.hpp>

#include "catch.hpp"
#include "chaos.hpp"

// Processes that relay an outbox to the broker are killed while they publish, and started again. What was committed
// arrives, and the first copies of each key come in order.

namespace {

using namespace chaos;

constexpr std::size_t keys = 20;
constexpr std::size_t messages = 3000;

ob::OutboxRelayOptions relay_options(const std::string& file) {
  return {.path = file, .window = 64, .lease = 300ms, .look_every = 1ms};
}

TEST_CASE("a process that relays, run by the case below", "[.relayer]") {
  const char* file = std::getenv("OMNIBUS_CHAOS_FILE_OF_OUTBOX");
  expect(file != nullptr, "this case is run by another");
  ChaosBus bus{Broker{}.config()};
  ob::OutboxRelay relay{bus, relay_options(file)};
  while (true) ::pause();
}

/// Such a process.
class Relayer {
 public:
  explicit Relayer(const std::string& file) {
    ::setenv("OMNIBUS_CHAOS_FILE_OF_OUTBOX", file.c_str(), 1);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::execl("/proc/self/exe", "relayer", "[.relayer]", nullptr);
      ::_exit(127);
    }
  }
  ~Relayer() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Relayer(const Relayer&) = delete;

 private:
  pid_t pid_ = 0;
};

/// A folder that goes with the case.
struct Folder {
  const std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("omnibus-outbox." + std::to_string(::getpid()));
  Folder() { std::filesystem::create_directory(path); }
  ~Folder() { std::filesystem::remove_all(path); }
};

/// A program that commits messages, of which each key counts from 0.
void add(const std::string& file, const std::string& topic, std::size_t from, std::size_t count) {
  ob::detail::sqlite::Database database;
  expect(database.open(file, 60s) == SQLITE_OK && database.run("PRAGMA journal_mode=WAL") == SQLITE_OK,
         "cannot open the file");
  ob::SqliteOutbox outbox{database.get()};
  for (std::size_t i = from; i < from + count; ++i) {
    expect(database.run("BEGIN IMMEDIATE") == SQLITE_OK, "cannot begin");
    ob::Message added = message(std::to_string(i / keys), "key-" + std::to_string(i % keys));
    outbox.add(topic, added).value();
    expect(database.run("COMMIT") == SQLITE_OK, "cannot commit");
  }
}

TEST_CASE("an outbox whose relays are killed while they publish loses nothing and keeps the order of each key") {
  Case f{"relays killed"};
  const Folder folder;
  const std::string file = (folder.path / "business.db").string();
  const auto topic = f.topic();
  ChaosBus bus{f.config()};
  Inbox inbox;
  const auto subscription = bus.subscribe(topic, inbox.handler());
  registered(f, subscription);
  add(file, topic, 0, messages / 2);
  std::thread adds{[&] { add(file, topic, messages / 2, messages / 2); }};  // while others relay
  std::size_t kills = 0, seen = 0;
  std::optional<Relayer> standby;
  while (seen < messages * 3 / 4) {
    const Relayer relayer{file};
    const std::size_t enough = seen + 100 + (f.seed + kills * 97) % 300;
    standby.emplace(file);  // takes over when the one before it has died
    inbox.wait(
        f, [&](const std::vector<Got>& got) { return got.size() >= enough; }, "messages of a relay");
    seen = enough;
    ++kills;
  }
  standby.reset();
  adds.join();
  ob::OutboxRelay last{bus, relay_options(file)};
  eventually(
      f, [&] { return last.backlog().value().pending == 0; }, "the outbox to be empty");
  drained(f, subscription);

  std::map<std::string, std::size_t> next;
  std::unordered_set<std::string> ids;
  std::size_t twice = 0, disorder = 0;
  const auto count = [&](const std::vector<Got>& got) {
    next.clear();
    ids.clear();
    twice = disorder = 0;
    for (const Got& each : got) {
      if (!ids.insert(each.message.id).second) {
        ++twice;
        continue;
      }
      disorder += each.message.payload != std::to_string(next[each.message.key]++) ? 1 : 0;
    }
    return ids.size() == messages;
  };
  inbox.wait(f, count, "everything that was committed");
  figure("relays killed: ", kills, " times two, of ", messages, " messages ", twice, " came twice");
  CHECK(disorder == 0);
  CHECK(next.size() == keys);
  CHECK(twice <= kills * 2 * 64 + 64);
}

}  // namespace
