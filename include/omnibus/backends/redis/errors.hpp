// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include <omnibus/detail/printable.hpp>
#include <omnibus/error.hpp>

// What the server's refusals mean. Their first word is what programs go by (redis.io/docs: error replies).

namespace omnibus::redis {

/// The first word of an error reply: "NOAUTH".
inline std::string_view first_word(std::string_view reply) noexcept {
  return reply.substr(0, reply.find(' '));
}

/// What an error reply means. `retryable`: it may pass without anybody's help. Its text may repeat names and arguments
/// of commands, but we send no secret besides AUTH, whose arguments no server repeats.
inline Error server_error(std::string_view reply, std::string operation) {
  struct Meaning {
    std::string_view word;
    Errc code;
    bool retryable;
    std::string_view hint;
  };
  static constexpr Meaning meanings[] = {
      {"LOADING", Errc::unavailable, true, "it reads its data after a start"},
      {"MASTERDOWN", Errc::unavailable, true, ""},
      {"CLUSTERDOWN", Errc::unavailable, true, ""},
      {"TRYAGAIN", Errc::unavailable, true, ""},
      {"BUSY", Errc::unavailable, true, "a script runs for too long"},
      {"UNBLOCKED", Errc::unavailable, true, ""},
      {"NOREPLICAS", Errc::rejected, true, "see min-replicas-to-write"},
      {"OOM", Errc::rejected, true, "maxmemory is reached"},
      {"MISCONF", Errc::rejected, true, "the server cannot write to its disk"},
      {"READONLY", Errc::rejected, true, "the server is a replica now"},
      {"MOVED", Errc::unsupported, false, "name the node that holds the keys: clusters are not followed"},
      {"ASK", Errc::unsupported, false, "name the node that holds the keys: clusters are not followed"},
      {"CROSSSLOT", Errc::unsupported, false, "on a cluster, these names have different hash slots"},
      {"WRONGTYPE", Errc::topology_mismatch, false, "the key holds something else than a stream"},
      {"NOGROUP", Errc::not_found, true, "the stream or its group was deleted"},
      {"NOPERM", Errc::access_denied, false, ""},
      {"NOAUTH", Errc::access_denied, false, "the endpoint needs user:password@"},
      {"WRONGPASS", Errc::access_denied, false, ""},
      {"NOPROTO", Errc::unsupported, false, ""},
  };
  const std::string_view word = first_word(reply);
  for (const Meaning& each : meanings) {
    if (each.word != word) continue;
    std::string context = detail::printable(reply);
    if (!each.hint.empty()) context.append(": ").append(each.hint);
    return {each.code, each.retryable, std::move(operation), std::move(context)};
  }
  const bool unknown = reply.find("unknown command") != std::string_view::npos ||
                       reply.find("unknown subcommand") != std::string_view::npos;
  const bool denied = reply.find("invalid password") != std::string_view::npos ||
                      reply.find("without any password configured") != std::string_view::npos;
  return {unknown ? Errc::unsupported
          : denied ? Errc::access_denied
                   : Errc::rejected,
          false, std::move(operation), detail::printable(reply)};
}

}  // namespace omnibus::redis
