// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

// What is known of a server, and what its word is worth. Pure functions of what INFO and CONFIG say.

namespace omnibus::redis {

/// How a server keeps what it has taken.
struct ServerFacts {
  std::string version;          ///< "7.0.15"; empty: unknown
  std::string run_id;           ///< another one after each start
  bool known = false;           ///< INFO was answered
  bool loading = false;
  bool replica = false;
  bool appends = false;         ///< appendonly yes
  std::string fsync;            ///< appendfsync; empty: unknown
  std::size_t replicas = 0;     ///< that are connected
  std::string eviction;         ///< maxmemory-policy
  bool disk_fails = false;      ///< the last write to the append-only file failed
};

/// The value of a line `name:value` of INFO; empty when there is none.
inline std::string_view info_field(std::string_view info, std::string_view name) noexcept {
  while (!info.empty()) {
    const std::size_t end = info.find('\n');
    std::string_view line = info.substr(0, end);
    info.remove_prefix(end == std::string_view::npos ? info.size() : end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.size() > name.size() && line[name.size()] == ':' && line.starts_with(name)) {
      return line.substr(name.size() + 1);
    }
  }
  return {};
}

/// Reads the answer of INFO. `fsync` is what CONFIG GET appendfsync said; empty where it was refused.
inline ServerFacts read_facts(std::string_view info, std::string_view fsync) {
  ServerFacts facts;
  facts.known = !info_field(info, "redis_version").empty();
  facts.version = info_field(info, "redis_version");
  facts.run_id = info_field(info, "run_id");
  facts.loading = info_field(info, "loading") == "1";
  const std::string_view role = info_field(info, "role");
  facts.replica = !role.empty() && role != "master";
  facts.appends = info_field(info, "aof_enabled") == "1";
  facts.fsync = fsync;
  for (const char digit : info_field(info, "connected_slaves")) {
    if (digit < '0' || digit > '9' || facts.replicas > 1000) break;
    facts.replicas = facts.replicas * 10 + static_cast<std::size_t>(digit - '0');
  }
  facts.eviction = info_field(info, "maxmemory_policy");
  const std::string_view last_write = info_field(info, "aof_last_write_status");
  facts.disk_fails = facts.appends && !last_write.empty() && last_write != "ok";
  return facts;
}

/// What may be lost of what the server has taken: a warning for `health`, empty when nothing is said
/// against it.
inline std::string durability_warning(const ServerFacts& facts) {
  std::string warning;
  const auto add = [&](std::string_view text) {
    warning.append(warning.empty() ? "" : "; ").append(text);
  };
  if (!facts.known) return "INFO is not permitted: what the server keeps is unknown";
  if (!facts.appends) {
    add(facts.replicas > 0
            ? "appendonly is off: what was accepted since the last snapshot is lost with this server "
              "and its replicas"
            : "appendonly is off: what was accepted since the last snapshot is lost with the server's "
              "process");
  } else if (facts.fsync == "no") {
    add("appendfsync is no: what was accepted in the last half minute is lost with the machine");
  } else if (facts.fsync == "everysec") {
    add("appendfsync is everysec: what was accepted in the last two seconds is lost with the machine");
  } else if (facts.fsync.empty()) {
    add("appendfsync is unknown, because CONFIG is not permitted");
  }
  if (facts.disk_fails) add("the last write to the append-only file has failed");
  if (facts.eviction.starts_with("allkeys")) {
    add("maxmemory-policy is " + facts.eviction + ": streams are deleted when memory is short");
  }
  if (facts.replica) add("the server is a replica");
  return warning;
}

/// Who does not hear what is published there: a warning for `health`, empty when nothing is said
/// against it.
inline std::string reach_warning(const ServerFacts& facts) {
  return facts.replica ? "the server is a replica: who listens elsewhere does not hear what is published"
                       : "";
}

}  // namespace omnibus::redis
