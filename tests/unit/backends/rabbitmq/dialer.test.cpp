// SPDX-License-Identifier: MIT
#include <omnibus/backends/rabbitmq/dialer.hpp>

#include <set>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::rabbitmq;
using namespace omnibus::unit;

namespace {

const Instant start{1000s};

}  // namespace

TEST_CASE("rabbitmq: the first attempt is due at once, at the first endpoint") {
  const Redial redial;
  CHECK(redial.due() <= start);
  CHECK(redial.endpoint() == 0);
}

TEST_CASE("rabbitmq: attempts are at random times, at most half a second apart") {
  std::set<Duration> pauses;
  for (int life = 0; life < 50; ++life) {
    Redial redial;
    for (int attempt = 1; attempt <= 40; ++attempt) {
      redial.failed(start, true, 1);
      const Duration pause = redial.due() - start;
      CHECK(pause >= Duration::zero());
      CHECK(pause <= (attempt == 1 ? 100ms : attempt == 2 ? 200ms : attempt == 3 ? 400ms : 500ms));
      pauses.insert(pause);
    }
  }
  CHECK(pauses.size() > 1900);  // of 2000: clients do not come back all at once
  CHECK(*pauses.rbegin() > 450ms);
}

TEST_CASE("rabbitmq: after success the pauses are short again") {
  Redial redial;
  for (int life = 0; life < 100; ++life) {
    for (int attempt = 0; attempt < 5; ++attempt) redial.failed(start, true, 1);
    redial.worked();
    redial.failed(start, true, 1);
    CHECK(redial.due() - start <= 100ms);
  }
}

TEST_CASE("rabbitmq: what does not pass by itself is tried again after two seconds") {
  Redial redial;
  for (int attempt = 0; attempt < 5; ++attempt) {
    redial.failed(start, false, 1);
    CHECK(redial.due() == start + 2s);
  }
}

TEST_CASE("rabbitmq: endpoints take turns") {
  Redial redial;
  std::vector<std::size_t> tried;
  for (int attempt = 0; attempt < 7; ++attempt) {
    tried.push_back(redial.endpoint());
    redial.failed(start, attempt % 2 == 0, 3);
  }
  CHECK(tried == std::vector<std::size_t>{0, 1, 2, 0, 1, 2, 0});
  redial.worked();
  CHECK(redial.endpoint() == 1);  // where it worked
}

TEST_CASE("rabbitmq: a dialer whose connection fails says so, once, and dials again when it is due") {
  Watched<int> rung;
  ConnectOptions options;
  options.endpoints = parse_endpoints("amqp://user:secret@127.0.0.1:1");
  options.heartbeat = 10s;
  options.timeout = 5s;
  Dialer dialer{options, [&] { rung.change([](int& count) { ++count; }); }};
  CHECK(dialer.due() <= start);
  for (int times = 1; times <= 2; ++times) {
    const Instant now = dialer.due() > start ? dialer.due() : start;
    CHECK_FALSE(dialer.dial(now).has_value());
    CHECK(dialer.due() == Instant::max());  // it is at it
    REQUIRE(rung.wait([&](int count) { return count == times; }));
    const std::optional<Dialer::Outcome> outcome = dialer.dial(now);
    REQUIRE(outcome.has_value());
    REQUIRE_FALSE(outcome->has_value());
    CHECK(outcome->error().code == Errc::unavailable);
    CHECK(outcome->error().message().find("127.0.0.1:1") != std::string::npos);
    CHECK(outcome->error().message().find("secret") == std::string::npos);
    CHECK(dialer.due() >= now);  // not at once
    CHECK(dialer.due() <= now + reconnect_backoff.max);
  }
}

