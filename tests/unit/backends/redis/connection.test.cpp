// SPDX-License-Identifier: MIT
#include <omnibus/backends/redis/connection.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <thread>

#include "catch.hpp"
#include "unit/backends/redis/port.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::redis;
using namespace omnibus::unit;

namespace {

/// A server that reads what comes and says what it is told to say, to one client.
class Server {
 public:
  /// It `says` one thing after the handshake's last command, and the other one after a PING that follows.
  explicit Server(std::string says, std::string then = "")
      : says_{std::move(says)}, then_{std::move(then)} {
    thread_ = std::thread{[this] {
      const int client = port_.accept();
      char bytes[4096];
      bool said = false;
      while (true) {
        const ssize_t count = ::recv(client, bytes, sizeof bytes, 0);
        if (count <= 0) break;
        heard_.append(bytes, static_cast<std::size_t>(count));
        // The handshake ends with this.
        if (!said && heard_.find("appendfsync") != std::string::npos) {
          said = true;
          heard_.clear();
          (void)::send(client, says_.data(), says_.size(), MSG_NOSIGNAL);
        } else if (said && heard_.find("PING") != std::string::npos) {
          (void)::send(client, then_.data(), then_.size(), MSG_NOSIGNAL);
        }
      }
      ::close(client);
    }};
  }
  ~Server() {
    port_.shut();
    thread_.join();
  }

  ConnectOptions options(const std::string& user = "") const {
    ConnectOptions options;
    options.endpoints =
        parse_endpoints(port_.url(user), "redis");
    options.timeout = 5s;
    options.heartbeat = 2s;
    return options;
  }

 private:
  std::string says_;
  std::string then_;
  std::string heard_;
  const Port port_;
  std::thread thread_;
};

constexpr auto greetings =
    "+PONG\r\n+OK\r\n:77\r\n$42\r\nredis_version:7.0.15\r\naof_enabled:1\r\nx:1\r\n\r\n"
    "*2\r\n$11\r\nappendfsync\r\n$6\r\nalways\r\n";

auto open(const ConnectOptions& options) {
  return Connection::open(options.endpoints.front(), options);
}

struct Counter final : Replies {
  int parts = 0;
  int whole = 0;
  void part(const Part&) noexcept override { ++parts; }
  void complete() noexcept override { ++whole; }
};

}  // namespace

TEST_CASE("redis: the handshake tells what the server is") {
  Server server{greetings};
  const auto opened = open(server.options());
  REQUIRE(opened.has_value());
  const Connection& connection = **opened;
  CHECK(connection.id() == 77);
  CHECK(connection.facts().version == "7.0.15");
  CHECK(connection.facts().appends);
  CHECK(connection.facts().fsync == "always");
}

TEST_CASE("redis: who may not ask may publish all the same") {
  Server server{"+PONG\r\n-NOPERM no\r\n-NOPERM no\r\n-NOPERM no\r\n-NOPERM no\r\n"};
  const auto opened = open(server.options());
  REQUIRE(opened.has_value());
  CHECK_FALSE((*opened)->facts().known);
}

TEST_CASE("redis: refusals in the handshake") {
  struct Case {
    const char* says;
    Errc code;
  };
  for (const Case& each :
       {Case{"-LOADING Redis is loading\r\n", Errc::unavailable},
        Case{"-NOAUTH Authentication required.\r\n", Errc::access_denied},
        Case{"-ERR max number of clients reached\r\n", Errc::rejected},
        Case{"HTTP/1.1 400 Bad Request\r\n", Errc::unavailable}}) {
    INFO(each.says);
    Server server{each.says};
    const auto opened = open(server.options());
    REQUIRE_FALSE(opened.has_value());
    CHECK(to_string(opened.error().code) == to_string(each.code));
    CHECK(opened.error().operation.find("connect to redis://127.0.0.1") == 0);
  }
  Server server{"-WRONGPASS invalid username-password pair or user is disabled.\r\n"};
  const auto opened = open(server.options("u:canary@"));
  REQUIRE_FALSE(opened.has_value());
  CHECK(opened.error().code == Errc::access_denied);
  CHECK(opened.error().message().find("canary") == std::string::npos);
}

TEST_CASE("redis: nobody there, and nobody who answers") {
  ConnectOptions options;
  options.endpoints = parse_endpoints("redis://127.0.0.1:1", "redis");
  const auto refused = open(options);
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == Errc::unavailable);
  CHECK(refused.error().retryable);
  Server silent{""};
  options = silent.options();
  options.timeout = 50ms;
  const auto unanswered = open(options);
  REQUIRE_FALSE(unanswered.has_value());
  CHECK(unanswered.error().code == Errc::unavailable);
}

TEST_CASE("redis: a silent server is asked, and then given up") {
  Server server{greetings};
  auto opened = open(server.options());
  REQUIRE(opened.has_value());
  Connection& connection = **opened;
  const Instant first = connection.next_pulse();
  CHECK(connection.pulse(first - 1ms) == Connection::Pulse::fine);
  CHECK(connection.pulse(first) == Connection::Pulse::ping);
  CHECK(connection.pulse(first + 1s) == Connection::Pulse::fine);
  CHECK(connection.next_pulse() == first + 2s);
  CHECK(connection.pulse(first + 2s) == Connection::Pulse::lost);
  CHECK(connection.lost());
  CHECK(connection.problem().code == Errc::unavailable);
}

TEST_CASE("redis: what is sent arrives, what comes is told") {
  Server server{greetings, ":1\r\n*2\r\n:2\r\n:3\r\n"};
  auto opened = open(server.options());
  REQUIRE(opened.has_value());
  Connection& connection = **opened;
  append_command(connection.out(), "PING");
  CHECK(connection.unsent() > 0);
  REQUIRE(connection.send());
  CHECK(connection.unsent() == 0);
  Counter counter;
  detail::Wakeup wakeup;
  const Instant until = std::chrono::steady_clock::now() + patience;
  while (counter.whole < 2 && std::chrono::steady_clock::now() < until) {
    REQUIRE(connection.receive(counter, std::chrono::steady_clock::now()));
    if (counter.whole < 2) wakeup.wait(connection.fd(), true, false, until);
  }
  CHECK(counter.whole == 2);
  CHECK(counter.parts == 4);
}
