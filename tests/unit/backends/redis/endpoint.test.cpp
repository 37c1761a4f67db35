// SPDX-License-Identifier: MIT
#include <omnibus/backends/redis/endpoint.hpp>

#include <stdexcept>
#include <string>

#include "catch.hpp"

using namespace omnibus::redis;

namespace {

/// "user password host port path database"
std::string parts(std::string_view url) {
  std::string text;
  for (const Endpoint& each : parse_endpoints(url, "redis")) {
    text += (text.empty() ? "" : ", ") + each.user + " " + each.password + " " + each.host + " " +
            std::to_string(each.port) + " " + each.path + " " + std::to_string(each.database);
  }
  return text;
}

std::string complaint(std::string_view url, bool secured = false) {
  try {
    (void)parse_endpoints(url, "redis streams", secured);
  } catch (const std::invalid_argument& problem) {
    return problem.what();
  }
  return "";
}

}  // namespace

TEST_CASE("redis: URLs of servers") {
  CHECK(parts("redis://localhost") == "  localhost 6379  0");
  CHECK(parts("redis://localhost/") == "  localhost 6379  0");
  CHECK(parts("redis://u:p@host:7000/3") == "u p host 7000  3");
  CHECK(parts("redis://:p%40ss%3a@host") == " p@ss: host 6379  0");
  CHECK(parts("redis://secret@host") == " secret host 6379  0");
  CHECK(parts("redis://[::1]:7000/1") == "  ::1 7000  1");
  CHECK(parts("redis://a:1,redis://b:2") == "  a 1  0,   b 2  0");
}

TEST_CASE("redis: URLs of sockets") {
  CHECK(parts("unix:///run/redis.sock") == "   6379 /run/redis.sock 0");
  CHECK(parts("unix://u:p@/run/re%20dis?db=4") == "u p  6379 /run/re dis 4");
}

TEST_CASE("redis: malformed URLs are refused, and no secret is shown") {
  for (const char* bad :
       {"", "localhost", "amqp://localhost", "redis://", "redis://host:0", "redis://host:65536",
        "redis://host:x", "redis://host:", "redis://host/x", "redis://host/-1", "redis://[::1",
        "redis://u:canary@h@host", "redis://u:%zz@host", "redis://u:canary:6379",
        "unix://", "unix:///", "unix://canary/x",
        "unix://u:p@/canary@/s", "unix:///x?y=1", "unix:///x?db=a", "redis://a,", "redis://%00"}) {
    INFO(bad);
    CHECK_FALSE(complaint(bad).empty());
    CHECK(complaint(bad).find("canary") == std::string::npos);
  }
}

TEST_CASE("redis: TLS is for those who have it, and nobody goes without unknowingly") {
  CHECK(complaint("rediss://u:canary@host").find("redis_tls()") != std::string::npos);
  CHECK(complaint("redis://a,rediss://u:canary@host").find("redis_tls()") != std::string::npos);
  CHECK(complaint("rediss://u:canary@host").find("canary") == std::string::npos);
  CHECK(complaint("rediss://host", true).empty());
  CHECK(complaint("rediss://a,redis://b", true).find("rediss://") != std::string::npos);
  CHECK(complaint("rediss://a,unix:///run/redis.sock", true).empty());
  const Endpoint there = parse_endpoints("rediss://u:p@host:1/2", "redis", true)[0];
  CHECK(there.tls);
  CHECK(there.port == 1);
  CHECK(there.name() == "rediss://host:1/2");
  CHECK_FALSE(parse_endpoints("redis://host", "redis")[0].tls);
}

TEST_CASE("redis: names of endpoints show no secrets") {
  CHECK(parse_endpoints("redis://u:canary@h:1/2", "redis")[0].name() == "redis://h:1/2");
  CHECK(parse_endpoints("redis://[::1]", "redis")[0].name() == "redis://[::1]:6379");
  CHECK(parse_endpoints("unix://u:canary@/s", "redis")[0].name() == "unix:///s");
}
