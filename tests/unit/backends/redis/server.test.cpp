// SPDX-License-Identifier: MIT
#include <omnibus/backends/redis/server.hpp>

#include <string>

#include "catch.hpp"

using namespace omnibus::redis;

namespace {

std::string warning(std::string_view info, std::string_view fsync) {
  return durability_warning(read_facts(info, fsync));
}

constexpr std::string_view version = "# Server\r\nredis_version:7.0.15\r\nrole:master\r\n";

std::string with(std::string_view lines) { return std::string{version}.append(lines); }

}  // namespace

TEST_CASE("redis: fields of INFO") {
  constexpr std::string_view info = "# A\r\nab:1\r\na:2\r\nlast:x:y";
  CHECK(info_field(info, "a") == "2");
  CHECK(info_field(info, "ab") == "1");
  CHECK(info_field(info, "last") == "x:y");
  CHECK(info_field(info, "none").empty());
  CHECK(info_field("", "a").empty());
}

TEST_CASE("redis: facts of a server") {
  const ServerFacts facts = read_facts(
      with("run_id:abc\r\nloading:1\r\nconnected_slaves:12\r\naof_enabled:1\r\n"
           "maxmemory_policy:noeviction\r\naof_last_write_status:err\r\n"),
      "always");
  CHECK(facts.known);
  CHECK(facts.version == "7.0.15");
  CHECK(facts.run_id == "abc");
  CHECK(facts.loading);
  CHECK_FALSE(facts.replica);
  CHECK(facts.appends);
  CHECK(facts.replicas == 12);
  CHECK(facts.disk_fails);
  CHECK(read_facts("redis_version:7\r\nrole:slave\r\n", "").replica);
}

TEST_CASE("redis: what ok is worth is said, and nothing where it is worth much") {
  CHECK(warning(with("aof_enabled:1\r\n"), "always").empty());
  CHECK(warning(with("aof_enabled:1\r\n"), "everysec").find("two seconds") != std::string::npos);
  CHECK(warning(with("aof_enabled:1\r\n"), "no").find("appendfsync is no") == 0);
  CHECK(warning(with("aof_enabled:1\r\n"), "").find("CONFIG") != std::string::npos);
  CHECK(warning(with("aof_enabled:0\r\n"), "everysec").find("appendonly is off") == 0);
  CHECK(warning(with("aof_enabled:0\r\nconnected_slaves:1\r\n"), "").find("replicas") !=
        std::string::npos);
  CHECK(warning(with("aof_enabled:1\r\nmaxmemory_policy:allkeys-lru\r\n"), "always")
            .find("allkeys-lru") != std::string::npos);
  CHECK(warning("", "").find("INFO") == 0);
}

TEST_CASE("redis: a replica reaches its own listeners alone") {
  CHECK(reach_warning(read_facts("redis_version:7.0.15\r\nrole:master\r\n", "")).empty());
  CHECK_FALSE(reach_warning(read_facts("redis_version:7.0.15\r\nrole:slave\r\n", "")).empty());
}
