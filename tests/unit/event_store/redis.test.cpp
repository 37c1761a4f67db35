// SPDX-License-Identifier: MIT
#include <omnibus/event_store/redis.hpp>

#include <omnibus/event_store/projection.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "unit/backends/redis/port.hpp"
#include "unit/tools.hpp"

// What a server does with events is tested on a real one: tests/conformance/redis_events.test.cpp.

using namespace omnibus;
using namespace omnibus::unit;

namespace {

constexpr std::string_view mark = "end-of-question";
constexpr std::string_view greetings =
    "+PONG\r\n+OK\r\n:77\r\n$2\r\n\r\n\r\n*2\r\n$11\r\nappendfsync\r\n$6\r\nalways\r\n";
const std::string script_name = "$40\r\n0123456789012345678901234567890123456789\r\n";
const std::string head_of_answer = "$1\r\nh\r\n:1\r\n$1\r\na\r\n";

/// A server that has one answer for each question that ends with the mark; without one it hangs up.
class AnsweringServer {
 public:
  explicit AnsweringServer(std::vector<std::string> answers) : answers_{std::move(answers)} {
    thread_ = std::thread{[this] {
      for (int client = port_.accept(); client >= 0; client = port_.accept()) {
        serve(client);
        ::close(client);
      }
    }};
  }
  ~AnsweringServer() { (void)asked(); }

  std::string url() const { return port_.url(); }
  /// How many questions it has heard. Ends it, once its client has gone.
  std::size_t asked() {
    if (thread_.joinable()) {
      port_.shut();
      thread_.join();
    }
    return asked_;
  }

 private:
  void serve(int client) {
    std::string heard;
    char bytes[4096];
    while (true) {
      const ssize_t count = ::recv(client, bytes, sizeof bytes, 0);
      if (count <= 0) return;
      heard.append(bytes, static_cast<std::size_t>(count));
      std::string_view said;
      if (heard.find("CONFIG") != std::string::npos && heard.find("appendfsync") != std::string::npos) {
        said = greetings;
      } else if (heard.find(mark) != std::string::npos) {
        if (asked_ >= answers_.size() || answers_[asked_].empty()) {
          ++asked_;
          return;
        }
        said = answers_[asked_++];
      } else {
        continue;
      }
      heard.clear();
      (void)::send(client, said.data(), said.size(), MSG_NOSIGNAL);
    }
  }

  const std::vector<std::string> answers_;
  std::size_t asked_ = 0;
  const Port port_;
  std::thread thread_;
};

Result<Appended> append_one(RedisEventStore& store) {
  const NewEvent event{"a", "t", mark};
  return append(store, "s-1", ExpectedVersion::any(), {&event, 1});
}

}  // namespace

// A view whose effects are to be written with the checkpoint does not compile on it.
static_assert(!detail::HasTransactions<RedisEventStore>);
static_assert(RedisEventStore::capabilities.durable && RedisEventStore::capabilities.shared);

TEST_CASE("redis events: options that can never work are refused by name") {
  const auto refused = [](const RedisEventStoreOptions& options, const char* words) {
    return throws_saying<std::invalid_argument>([&] { RedisEventStore store{options}; }, words);
  };
  CHECK(refused({.endpoint = "localhost"}, "RedisEventStore: endpoint"));
  CHECK(refused({.endpoint = "rediss://localhost"}, "redis_tls()"));
  CHECK(refused({.prefix = "a{b}"}, "prefix"));
  CHECK(refused({.prefix = ""}, "prefix"));
  CHECK(refused({.timeout = 0s}, "timeout"));
  CHECK(refused({.look_every = 0s}, "look_every"));
  CHECK(refused({.limits = {.event = {.payload = 64u << 20}}}, "limits"));
}

TEST_CASE("redis events: an append without an answer may have been made, and is asked again after a rest") {
  const std::string answer = "*1\r\n*6\r\n" + head_of_answer + ":1\r\n:1\r\n:1\r\n";
  AnsweringServer server{{"", script_name + answer, "", script_name + answer}};
  {
    RedisEventStore store{{.endpoint = server.url()}};
    const auto unknown = append_one(store);
    REQUIRE_FALSE(unknown);
    CHECK(unknown.error().code == Errc::outcome_unknown);
    CHECK(unknown.error().retryable);
    CHECK_FALSE(store.health().ok);
    const auto first = append_one(store);
    REQUIRE(first);
    CHECK(first->events == std::vector<Placed>{{1, 1}});
    CHECK(append_one(store));  // the third question is lost, the fourth is the same one
  }
  CHECK(server.asked() == 4);
}

TEST_CASE("redis events: what must not be done twice is not asked again") {
  const std::string none = script_name + "*1\r\n*4\r\n" + head_of_answer + "$0\r\n\r\n";
  AnsweringServer server{{none, ""}};
  {
    RedisEventStore store{{.endpoint = server.url()}};
    REQUIRE(store.load_checkpoint(mark));
    const Result<> saved = store.save_checkpoint("view", {}, {1, std::string{mark}});
    REQUIRE_FALSE(saved);
    CHECK(saved.error().code == Errc::outcome_unknown);
  }
  CHECK(server.asked() == 2);
}

TEST_CASE("redis events: a read without an answer has done nothing") {
  AnsweringServer server{{""}};
  {
    RedisEventStore store{{.endpoint = server.url()}};
    const auto read = store.load_checkpoint(mark);
    REQUIRE_FALSE(read);
    CHECK(read.error().code == Errc::unavailable);
  }
  CHECK(server.asked() == 1);
}
