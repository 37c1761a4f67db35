// SPDX-License-Identifier: MIT
#include <omnibus/idempotency/redis.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "unit/backends/redis/port.hpp"
#include "unit/tools.hpp"

// What a server does with keys is tested on a real one: tests/conformance/redis_keys.test.cpp.

using namespace omnibus;
using namespace omnibus::unit;

namespace {

constexpr std::string_view greetings =
    "+PONG\r\n+OK\r\n:77\r\n$2\r\n\r\n\r\n*2\r\n$11\r\nappendfsync\r\n$6\r\nalways\r\n";

constexpr std::string_view fingerprint_text = "fingerprint-of-i";

/// A server whose first client never hears what became of a script; the second one hears this.
class ForgetfulServer {
 public:
  explicit ForgetfulServer(std::string answers) : answers_{std::move(answers)} {
    thread_ = std::thread{[this] {
      for (int turn = 0; turn < 2; ++turn) {
        const int client = port_.accept();
        if (client < 0) return;
        heard_[turn] = serve(client, turn == 0 ? "" : answers_);
        ::close(client);
      }
    }};
  }
  ~ForgetfulServer() { (void)both(); }

  std::string url() const { return port_.url(); }
  /// What its clients have said after their greetings. Waits until both have come and gone.
  std::vector<std::string> both() {
    if (thread_.joinable()) {
      port_.shut();
      thread_.join();
    }
    return {heard_[0], heard_[1]};
  }

 private:
  /// Ends when the client does, or when it has asked and there is nothing to answer.
  static std::string serve(int client, const std::string& answers) {
    std::string heard;
    bool greeted = false;
    char bytes[4096];
    while (true) {
      const ssize_t count = ::recv(client, bytes, sizeof bytes, 0);
      if (count <= 0) return heard;
      heard.append(bytes, static_cast<std::size_t>(count));
      std::string_view said;
      if (!greeted && heard.find("appendfsync") != std::string::npos) {
        greeted = true;
        heard.clear();
        said = greetings;
      } else if (greeted && heard.find(fingerprint_text) != std::string::npos) {
        if (answers.empty()) return heard;
        said = answers;
      }
      (void)::send(client, said.data(), said.size(), MSG_NOSIGNAL);
    }
  }

  std::string answers_;
  std::string heard_[2];
  const Port port_;
  std::thread thread_;
};

/// Its bytes are those of a text, so that a server can see where the last argument is.
detail::Hash128 visible_fingerprint() {
  detail::Hash128 made;
  std::memcpy(&made, fingerprint_text.data(), sizeof made);
  return made;
}

}  // namespace

TEST_CASE("redis keys: options that can never work are refused by name") {
  const auto refused = [](const RedisKeyStoreOptions& options, const char* words) {
    return throws_saying<std::invalid_argument>([&] { RedisKeyStore store{options}; }, words);
  };
  CHECK(refused({.endpoint = "localhost"}, "RedisKeyStore: endpoint"));
  CHECK(refused({.endpoint = "rediss://localhost"}, "redis_tls()"));
  CHECK(refused({.prefix = "a{b}"}, "prefix"));
  CHECK(refused({.keep = 0s}, "keep"));
  CHECK(refused({.max_result = (1u << 20) + 1}, "max_result"));
  CHECK(refused({.timeout = 0s}, "timeout"));
}

TEST_CASE("redis keys: a claim whose answer was lost is released before it is claimed again") {
  // The script's name, what became of the release, and of the claim.
  ForgetfulServer server{"$40\r\n0123456789012345678901234567890123456789\r\n*1\r\n:1\r\n*1\r\n:7\r\n"};
  auto store = std::make_unique<RedisKeyStore>(RedisKeyStoreOptions{.endpoint = server.url()});
  const detail::Hash128 print = visible_fingerprint();
  const IdempotencyKey key{"g", "t", "name"};
  // The first call fails: nothing says that another connection would fare better.
  REQUIRE_FALSE(store->claim(key, print, 1min));
  const auto claim = store->claim(key, print, 1min);
  REQUIRE(claim);
  CHECK(claim->state == Claim::State::acquired);
  CHECK(claim->fence == 7);
  store.reset();
  const auto heard = server.both();
  const std::size_t asked = heard[0].find("\r\n$25\r\np");
  REQUIRE(asked != std::string::npos);
  const std::string token = heard[0].substr(asked + 8, 8);
  const std::size_t released = heard[1].find("\r\n$9\r\nr"), claimed = heard[1].find("\r\n$25\r\np");
  REQUIRE(released != std::string::npos);
  REQUIRE(claimed != std::string::npos);
  CHECK(released < claimed);
  CHECK(heard[1].substr(released + 7, 8) == token);
}
