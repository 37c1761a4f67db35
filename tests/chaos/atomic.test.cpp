// SPDX-License-Identifier: MIT
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <map>
#include <string>

#include "catch.hpp"
#include "chaos.hpp"

// A publisher of atomic batches is killed, again and again, whatever it is doing: whoever reads everything
// finds each batch whole in both of its topics, or not at all.

namespace {

using namespace chaos;

constexpr std::size_t size = 20;  // of a batch, half of it for each topic

TEST_CASE("a publisher process, run by the case below", "[.batches]") {
  const char* a = std::getenv("OMNIBUS_CHAOS_TOPIC");
  const char* b = std::getenv("OMNIBUS_CHAOS_SECOND_TOPIC");
  const char* name = std::getenv("OMNIBUS_CHAOS_MEMBER");
  expect(a != nullptr && b != nullptr && name != nullptr, "this case is run by others");
  ChaosBus bus{Broker{}.config()};
  for (std::size_t number = 0; ::getppid() != 1; ++number) {
    ob::MessageBatch batch;
    for (std::size_t i = 0; i < size; ++i) {
      auto each = message(std::string{name} + "/" + std::to_string(number), "k" + std::to_string(i % 5));
      batch.add(i % 2 == 0 ? a : b, each).value();
    }
    (void)bus.publish_atomic(batch);
  }
}

/// A process that publishes until it is killed.
class Killed {
 public:
  Killed(int number, const std::string& a, const std::string& b) {
    ::setenv("OMNIBUS_CHAOS_TOPIC", a.c_str(), 1);
    ::setenv("OMNIBUS_CHAOS_SECOND_TOPIC", b.c_str(), 1);
    ::setenv("OMNIBUS_CHAOS_MEMBER", std::to_string(number).c_str(), 1);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::execl("/proc/self/exe", "publisher", "[.batches]", nullptr);
      ::_exit(127);
    }
  }
  ~Killed() { kill(); }
  Killed(const Killed&) = delete;
  void kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }

 private:
  pid_t pid_ = 0;
};

TEST_CASE("publishers of atomic batches killed in the middle leave no part of a batch") {
  Case f{"publisher killed"};
  f.share();
  const std::string a = f.topic();
  const std::string b = f.topic();
  ChaosBus bus{f.config()};
  Inbox of_a, of_b;
  const auto first = bus.subscribe(a, of_a.handler());
  const auto second = bus.subscribe(b, of_b.handler());
  Dice dice{f.seed};
  constexpr int kills = 8;
  for (int number = 0; number < kills; ++number) {
    const std::size_t before = of_a.size();
    Killed publisher{number, a, b};
    const std::size_t some = before + 200 + dice.roll(500);
    eventually(f, [&] { return of_a.size() >= some; }, "batches of publisher ", number);
    publisher.kill();
  }
  // What is published last is read last, of each key.
  for (const std::string& topic : {a, b}) {
    for (int key = 0; key < 5; ++key) send(f, bus, topic, "last", "k" + std::to_string(key));
  }
  std::map<std::string, std::size_t> messages;
  std::size_t all = 0;
  for (Inbox* inbox : {&of_a, &of_b}) {
    eventually(f, [&] { return inbox->times("last") == 5; }, "the last messages");
    for (const std::string& payload : inbox->payloads()) {
      if (payload == "last") continue;
      ++messages[payload];
      ++all;
    }
  }
  for (const auto& [name, count] : messages) {
    INFO("batch " << name << " has " << count << " of " << size);
    CHECK(count == size);
  }
  figure("publisher killed ", kills, " times: ", messages.size(), " batches, ", all, " messages, none torn");
}

}  // namespace
