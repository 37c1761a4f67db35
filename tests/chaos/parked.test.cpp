// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include <omnibus/letters.hpp>
#include <omnibus/middleware/dead_letter.hpp>
#include <omnibus/parked/sqlite.hpp>

#include "catch.hpp"
#include "chaos.hpp"

// Processes that have parked a key are killed. Another member of the group keeps the key parked, and
// redriving restores its order.

namespace {

using namespace chaos;

constexpr std::size_t keys = 4;
constexpr const char* sick_key = "key-1";
constexpr std::size_t sick_from = 5;  // of key-1
constexpr ob::ParkedPlace place_of(std::string_view topic) { return {"g", topic}; }

bool is_behind(const ob::Delivery& delivery) {
  return delivery.key() == sick_key && std::stoul(std::string{delivery.payload()}) >= sick_from;
}

/// Tells through a pipe of each dead letter: a byte.
struct Teller {
  int out;
  void dead_lettered(const ob::Delivery&, const ob::Error&) {
    if (::write(out, "d", 1) != 1) std::abort();
  }
};

TEST_CASE("a process that parks a key, run by the case below", "[.parker]") {
  const char* topic = std::getenv("OMNIBUS_CHAOS_TOPIC");
  const char* dead = std::getenv("OMNIBUS_CHAOS_DEAD");
  const char* file = std::getenv("OMNIBUS_CHAOS_FILE");
  const char* pipe = std::getenv("OMNIBUS_CHAOS_PIPE");
  expect(topic != nullptr && dead != nullptr && file != nullptr && pipe != nullptr, "this case is run by another");
  Teller teller{std::atoi(pipe)};
  ob::SqliteParkedStore store{{.path = file}};
  ob::EventBus<Broker::Backend, Teller> bus{Broker{}.config(), teller};
  const auto subscription = bus.subscribe(
      topic,
      [&](const ob::Delivery& delivery) -> ob::Result<> {
        if (!is_behind(delivery)) return {};
        if (delivery.payload() == std::to_string(sick_from)) return ob::permanent("no");
        if (::write(teller.out, "x", 1) != 1) std::abort();  // it should have followed
        return {};
      } | ob::dead_letter(dead),
      {.concurrency = 2, .order = ob::parked, .parked_in = store});
  while (true) ::pause();
}

/// Starts such a process, and kills it when it has told of so many letters.
void park_and_die(const std::string& topic, const std::string& dead, const std::string& file, std::size_t letters) {
  std::array<int, 2> ends{};
  expect(::pipe2(ends.data(), O_CLOEXEC) == 0, "no pipe");
  ::setenv("OMNIBUS_CHAOS_TOPIC", topic.c_str(), 1);
  ::setenv("OMNIBUS_CHAOS_DEAD", dead.c_str(), 1);
  ::setenv("OMNIBUS_CHAOS_FILE", file.c_str(), 1);
  ::setenv("OMNIBUS_CHAOS_PIPE", std::to_string(ends[1]).c_str(), 1);
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::fcntl(ends[1], F_SETFD, 0);
    ::execl("/proc/self/exe", "parker", "[.parker]", nullptr);
    ::_exit(127);
  }
  ::close(ends[1]);
  char told = 0;
  std::size_t count = 0;
  bool overtaken = false;
  while (count < letters && !overtaken && ::read(ends[0], &told, 1) == 1) {
    overtaken = told == 'x';
    ++count;
  }
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
  ::close(ends[0]);
  expect(!overtaken, "a message was handled before the dead letter that it follows");
  expect(count == letters, "a parking process ended by itself");
}

/// A file that goes with the case.
struct StoreFile {
  const std::string path =
      (std::filesystem::temp_directory_path() / ("omnibus-parked." + std::to_string(::getpid()))).string();
  StoreFile() { remove(); }
  ~StoreFile() { remove(); }
  void remove() {
    for (const char* part : {"", "-wal", "-shm"}) std::filesystem::remove(path + part);
  }
};

TEST_CASE("a key stays parked though the members that parked it are killed, and is restored in order") {
  Case f{"parked key of a killed member"};
  const StoreFile file;
  ob::SqliteParkedStore store{{.path = file.path}};
  const auto topic = f.topic(), dead = f.topic();
  const auto place = place_of(topic);
  ChaosBus bus{f.config()};
  {
    const auto first = bus.subscribe(topic, [](const ob::Delivery&) {});  // so that the group is there
    registered(f, first);
  }
  const auto sent = numbered(400, keys);
  send(f, bus, topic, sent);
  for (const std::size_t letters : {1u, 3u}) park_and_die(topic, dead, file.path, letters);
  CHECK(store.load(place, 10).value().size() == 1);

  Inbox inbox;
  std::atomic<bool> sick = true;
  const auto healed = bus.subscribe(topic,
                                    [&](const ob::Delivery& delivery) -> ob::Result<> {
                                      if (sick && delivery.payload() == std::to_string(sick_from)) {
                                        return ob::permanent("no");
                                      }
                                      inbox.add(delivery);
                                      return {};
                                    } | ob::dead_letter(dead),
                                    {.concurrency = 3, .order = ob::parked, .parked_in = store});
  ob::Message last = message(std::to_string(400 + 1), sick_key);
  last.id = "the last before the redrive";
  send(f, bus, topic, std::vector{last});
  eventually(
      f, [&] { return store.find(place, sick_key, last.id).value().letter; }, "the last message to be parked");
  drained(f, healed);
  for (const Got& each : inbox.all()) {
    CHECK((each.message.key != sick_key || std::stoul(each.message.payload) < sick_from));
  }

  sick = false;
  ob::DeadLetters letters{bus, dead, store};
  const auto report = letters.redrive_all({.quiet = 5s});
  CHECK(report.ending.has_value());
  ob::Message newer = message(std::to_string(400 + 1 + keys), sick_key);
  send(f, bus, topic, std::vector{newer});
  inbox.wait(
      f, [&](const std::vector<Got>& got) { return !got.empty() && got.back().message.payload == newer.payload; },
      "what is newer than the letters");
  drained(f, healed);
  std::vector<std::size_t> came;  // of the key, each when it came first
  std::set<std::size_t> seen;
  std::size_t twice = 0;  // those whose letter was written, and their process died before it acknowledged them
  for (const Got& each : inbox.all()) {
    if (each.message.key != sick_key) continue;
    const std::size_t number = std::stoul(each.message.payload);
    if (number < sick_from) continue;
    seen.insert(number).second ? came.push_back(number) : void(++twice);
  }
  figure("parked key of a killed member: ", came.size(), " restored, ", twice, " of them came twice");
  CHECK(came.size() == (400 - sick_from) / keys + 3);
  CHECK(std::is_sorted(came.begin(), came.end()));
  CHECK(store.load(place, 10).value().empty());
}

}  // namespace
