// SPDX-License-Identifier: MIT
#include <omnibus/backends/redis/listener.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "tools.hpp"
#include "unit/backends/redis/port.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::redis;
using namespace omnibus::unit;

namespace {

/// A server that answers SUBSCRIBE and PSUBSCRIBE with what it is told to say: one thing to each
/// connection after the other. It hangs up after "bye", and answers PING unless it is `mute`.
class Station {
 public:
  explicit Station(std::vector<std::string> says, bool mute = false)
      : says_{std::move(says)}, mute_{mute} {
    thread_ = std::thread{[this] {
      for (std::string each : says_) {
        const int client = port_.accept();
        if (client < 0) return;
        serve(client, std::move(each));
        ::close(client);
      }
    }};
  }
  ~Station() {
    port_.shut();
    thread_.join();
  }
  ConnectOptions options() const {
    ConnectOptions options;
    options.endpoints = parse_endpoints(port_.url(), "redis");
    options.heartbeat = 100ms;
    options.largest_value = 1u << 16;
    return options;
  }
  int pings() const { return pings_.load(); }

 private:
  static void say(int client, std::string_view text) {
    (void)::send(client, text.data(), text.size(), MSG_NOSIGNAL);
  }
  void serve(int client, std::string text) {
    const bool ends = text.ends_with("bye");
    if (ends) text.resize(text.size() - 3);
    std::string heard;
    char bytes[4096];
    while (true) {
      const ssize_t count = ::recv(client, bytes, sizeof bytes, 0);
      if (count <= 0) return;
      heard.append(bytes, static_cast<std::size_t>(count));
      if (heard.find("appendfsync") != std::string::npos) {
        heard.clear();
        say(client, "+PONG\r\n+OK\r\n:7\r\n$22\r\nredis_version:7.0.15\r\n\r\n*0\r\n");
      } else if (heard.find("SUBSCRIBE") != std::string::npos) {
        heard.clear();
        say(client, text);
        if (ends) return;
      } else if (heard.find("PING\r\n") != std::string::npos && heard.size() < 40) {
        if (heard.find("CLIENT") != std::string::npos) continue;
        heard.clear();
        ++pings_;
        if (!mute_) say(client, "*2\r\n$4\r\npong\r\n$0\r\n\r\n");
      }
    }
  }

  std::vector<std::string> says_;
  const bool mute_;
  std::atomic<int> pings_{0};
  const Port port_;
  std::thread thread_;
};

constexpr auto welcome = "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n"sv;

std::string said(std::initializer_list<std::string_view> payloads) {
  std::string text{welcome};
  for (const std::string_view each : payloads) {
    text.append("*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$").append(std::to_string(each.size()));
    text.append("\r\n").append(each).append("\r\n");
  }
  return text;
}

bool poll_until(Listener& listener, Basket& basket, const std::function<bool()>& holds) {
  const Instant end = std::chrono::steady_clock::now() + patience;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > end) return false;
    listener.poll(basket, std::chrono::steady_clock::now() + 20ms);
  }
  return true;
}

bool mentions(const Basket& basket, std::string_view text) {
  for (const auto& each : basket.reports) {
    if (each.find(text) != std::string::npos) return true;
  }
  return false;
}

}  // namespace

TEST_CASE("redis: a listener hands on what comes, in order, as far as there is room") {
  Station station{{said({"a", "b", "c"})}};
  Listener listener{station.options(), {"topic", "news"}};
  Basket basket;
  basket.left = 2;
  REQUIRE(poll_until(listener, basket, [&] { return basket.got.size() == 2; }));
  CHECK(basket.reports == std::vector<std::string>{"well"});
  CHECK(basket.got[0].message->payload == "a");
  CHECK(basket.got[0].topic == "topic");
  listener.poll(basket, std::chrono::steady_clock::now() + 1ms);
  CHECK(basket.got.size() == 2);
  const Settlement done{basket.got[0].token, Settlement::Kind::done, {}, 0};
  const Settlement back{basket.got[1].token, Settlement::Kind::release, {}, 0};
  const Settlement both[] = {done, back};
  listener.settle(both);
  basket.left = 1;
  REQUIRE(poll_until(listener, basket, [&] { return basket.got.size() == 3; }));
  CHECK(basket.got[2].message->payload == "c");
}

TEST_CASE("redis: who listens to a pattern gets the channel as topic") {
  Station station{{"*3\r\n$10\r\npsubscribe\r\n$2\r\nn*\r\n:1\r\n"
                   "*4\r\n$8\r\npmessage\r\n$2\r\nn*\r\n$4\r\nnews\r\n$2\r\nhi\r\n"}};
  Listener listener{station.options(), {"topic", "n*", true}};
  Basket basket;
  REQUIRE(poll_until(listener, basket, [&] { return basket.got.size() == 1; }));
  CHECK(basket.got[0].topic == "news");
}

TEST_CASE("redis: a listener says what it may have missed, and goes on") {
  Station station{{said({"a"}) + "bye", said({"b"})}};
  Listener listener{station.options(), {"topic", "news"}};
  Basket basket;
  REQUIRE(poll_until(listener, basket, [&] { return basket.got.size() == 2; }));
  REQUIRE(basket.reports.size() == 4);
  CHECK(basket.reports[0] == "well");
  CHECK(basket.reports[1].find("unavailable") != std::string::npos);
  CHECK(basket.reports[2].find("messages may have been missed") != std::string::npos);
  CHECK(basket.reports[2].find("position_lost") != std::string::npos);
  CHECK(basket.reports[3] == "well");
}

TEST_CASE("redis: who has not listened yet has missed nothing") {
  Station station{{"bye", said({"b"})}};
  Listener listener{station.options(), {"topic", "news"}};
  Basket basket;
  REQUIRE(poll_until(listener, basket, [&] { return basket.got.size() == 1; }));
  CHECK_FALSE(mentions(basket, "position_lost"));
  CHECK(basket.reports.back() == "well");
}

TEST_CASE("redis: the server ended it while nobody read") {
  Station station{{said({"a", "b"}) + "bye", said({"c"})}};
  Listener listener{station.options(), {"topic", "news"}};
  Basket basket;
  basket.left = 1;
  REQUIRE(poll_until(listener, basket, [&] { return basket.got.size() == 1; }));
  basket.left = 10;
  REQUIRE(poll_until(listener, basket, [&] { return basket.got.size() == 3; }));
  CHECK(basket.got[1].message->payload == "b");
  CHECK(basket.got[2].message->payload == "c");
  CHECK(mentions(basket, "client-output-buffer-limit"));
  CHECK(mentions(basket, "position_lost"));
}

TEST_CASE("redis: a listener that is refused says so") {
  Station station{{"-NOPERM this user has no permissions\r\n"}};
  Listener listener{station.options(), {"topic", "news"}};
  Basket basket;
  REQUIRE(poll_until(listener, basket, [&] { return !basket.reports.empty(); }));
  CHECK(mentions(basket, "access_denied"));
}

TEST_CASE("redis: a listener asks a silent server, and gives it up") {
  {
    Station station{{said({})}};
    Listener listener{station.options(), {"topic", "news"}};
    Basket basket;
    REQUIRE(poll_until(listener, basket, [&] { return station.pings() >= 3; }));
    CHECK(basket.reports == std::vector<std::string>{"well"});
  }
  Station mute{{said({})}, true};
  Listener listener{mute.options(), {"topic", "news"}};
  Basket basket;
  REQUIRE(poll_until(listener, basket, [&] { return basket.reports.size() >= 2; }));
  CHECK(mentions(basket, "the server does not answer"));
}

TEST_CASE("redis: what is too large costs the connection, and is reported") {
  const std::string large =
      "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1000000\r\n" + std::string(200000, 'x');
  Station station{{std::string{welcome} + large, said({"b"})}};
  Listener listener{station.options(), {"topic", "news"}};
  Basket basket;
  REQUIRE(poll_until(listener, basket, [&] { return basket.got.size() == 1; }));
  CHECK(mentions(basket, "too_large"));
  CHECK(mentions(basket, "position_lost"));
}

TEST_CASE("redis: a listener can be woken, and closed") {
  Station station{{said({})}};
  Listener listener{station.options(), {"topic", "news"}};
  Basket basket;
  REQUIRE(poll_until(listener, basket, [&] { return !basket.reports.empty(); }));
  listener.wake();
  listener.poll(basket, Instant::max());
  CHECK(listener.close(Instant::min()));
}
