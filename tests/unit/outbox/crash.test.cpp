// SPDX-License-Identifier: MIT
#include <omnibus/outbox/relay.hpp>

#include <omnibus/backends/sqlite.hpp>
#include <omnibus/detail/hash.hpp>
#include <omnibus/omnibus.hpp>

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <iostream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "catch.hpp"
#include "unit/outbox/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

namespace {

using Bus = EventBus<Sqlite>;

constexpr int keys = 5;

/// Runs a case of this program as a process, until it is killed.
class RelayVictim {
 public:
  RelayVictim(const char* tag, const std::string& file, const std::string& broker) {
    ::setenv("OMNIBUS_VICTIM_FILE", file.c_str(), 1);
    ::setenv("OMNIBUS_VICTIM_BROKER", broker.c_str(), 1);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::execl("/proc/self/exe", "victim", tag, nullptr);
      ::_exit(127);
    }
  }
  ~RelayVictim() { (void)kill(); }
  RelayVictim(const RelayVictim&) = delete;

  /// False: it had ended by itself.
  bool kill() {
    if (pid_ <= 0) return false;
    ::kill(pid_, SIGKILL);
    int status = 0;
    ::waitpid(std::exchange(pid_, -1), &status, 0);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  }

 private:
  pid_t pid_ = -1;
};

void live_for_us(std::uint64_t us) {
  const timespec time{static_cast<time_t>(us / 1'000'000), static_cast<long>(us % 1'000'000 * 1'000)};
  ::ppoll(nullptr, 0, &time, nullptr);
}

std::string variable(const char* name) {
  const char* const given = std::getenv(name);
  return given != nullptr ? given : "";
}

OutboxRelayOptions relay_options(const std::string& file) {
  return {.path = file, .window = 64, .lease = 30ms, .look_every = 1ms, .mark_every = 1ms, .busy_timeout = 60s};
}

}  // namespace

TEST_CASE("outbox: a process that relays until it is killed", "[.relay]") {
  Bus bus{{.endpoint = variable("OMNIBUS_VICTIM_BROKER")}};
  OutboxRelay relay{bus, relay_options(variable("OMNIBUS_VICTIM_FILE"))};
  while (true) ::pause();
}

TEST_CASE("outbox: a process that adds until it is killed", "[.adder]") {
  Shop shop{variable("OMNIBUS_VICTIM_FILE")};
  sqlite3_busy_timeout(shop.raw().connection(), 60'000);
  // The business table says what was added, of each key.
  std::map<std::string, int> next;
  for (int key = 0; key < keys; ++key) {
    const std::string name = "k" + std::to_string(key);
    next[name] = static_cast<int>(shop.raw().number("SELECT count(*) FROM orders WHERE id = '" + name + "'"));
  }
  for (std::uint64_t round = 0;; ++round) {
    const std::string name = "k" + std::to_string(detail::mix64(round) % keys);
    const int number = ++next[name];
    const bool committed = shop.transact([&] {
      const std::string insert = "INSERT INTO orders VALUES('" + name + "')";
      if (shop.raw().run(insert) != SQLITE_OK) std::abort();
      const Message message = message_of(name + "-" + std::to_string(number), name, std::to_string(number));
      return shop.outbox.add("orders", message).has_value();
    });
    if (!committed) std::abort();
  }
}

TEST_CASE("outbox: relays and those who add are killed at any point; what was committed arrives, in order of each key") {
  std::uint64_t random = seed_from_environment();
  const std::uint64_t kills = number_from_environment("OMNIBUS_KILLS", 15);
  std::cerr << "OMNIBUS_SEED=" << random << " OMNIBUS_KILLS=" << kills << "\n";
  const auto below = [&random](std::uint64_t limit) { return (random = detail::mix64(random)) % limit; };
  const TemporaryFolder folder;
  const std::string file = folder.file("business.db"), broker = folder.file("broker.db");
  {
    Shop shop{file};
    outbox::File tables{file, 5s};
    REQUIRE(tables.backlog());
  }
  for (std::uint64_t kill = 0; kill < kills; ++kill) {
    RelayVictim adder{"[.adder]", file, broker}, relay{"[.relay]", file, broker};
    RelayVictim other{"[.relay]", file, broker};
    live_for_us(20'000 + below(below(4) == 0 ? 200'000 : 60'000));
    CHECK(relay.kill());
    if (below(2) == 0) live_for_us(below(60'000));  // the other one takes over
    CHECK(other.kill());
    CHECK(adder.kill());
  }
  Bus bus{{.endpoint = broker}};
  OutboxRelay relay{bus, relay_options(file)};
  REQUIRE(eventually([&] { return relay.backlog().value().pending == 0; }));
  REQUIRE(relay.stop(patience));

  std::map<std::string, int> committed;
  {
    Shop shop{file};
    for (int key = 0; key < keys; ++key) {
      const std::string name = "k" + std::to_string(key);
      committed[name] = static_cast<int>(shop.raw().number("SELECT count(*) FROM orders WHERE id = '" + name + "'"));
    }
  }
  struct Came {
    std::map<std::string, int> last;
    std::set<std::string> ids;
    std::string problem;
    std::size_t twice = 0;
  };
  Watched<Came> came;
  const auto reader = bus.subscribe("orders", [&](const Delivery& delivery) {
    came.change([&](Came& all) {
      if (!all.ids.insert(std::string{delivery.id()}).second) return void(++all.twice);
      int& last = all.last[std::string{delivery.key()}];
      if (std::to_string(++last) != delivery.payload() && all.problem.empty()) {
        all.problem = std::string{delivery.id()} + " where " + std::to_string(last) + " should be";
      }
    });
  }, {.group = "reader"});
  std::size_t all = 0;
  for (const auto& [key, count] : committed) all += static_cast<std::size_t>(count);
  INFO(all << " were committed");
  CHECK(all > kills);
  CHECK(came.wait([&](const Came& got) { return got.ids.size() >= all || !got.problem.empty(); }));
  CHECK(came.get().problem == "");
  for (const auto& [key, count] : committed) CHECK(came.get().last[key] == count);
  std::cerr << "outbox: " << all << " committed, " << came.get().twice << " came twice\n";
}
