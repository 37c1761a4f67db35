// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

#include <omnibus/backends/redis/errors.hpp>
#include <omnibus/error.hpp>

// What the refusals of the script and of its server mean.

namespace omnibus::event_store::redis {

/// What an error reply means. `key` is the name of the store. Errors: position_lost, topology_mismatch, not_found,
/// unsupported, access_denied, rejected, unavailable.
inline Error refusal(std::string_view reply, std::string_view key) {
  const std::string operation = "use " + std::string{key};
  const std::string_view word = omnibus::redis::first_word(reply);
  const std::string rest = omnibus::detail::printable(reply.substr(std::min(word.size() + 1, reply.size())));
  if (word == "LOST") {
    return Error::make(Errc::position_lost, operation,
                       rest + ": the server has lost events or is another one, so make a new store object, and build "
                              "views again");
  }
  if (word == "DAMAGED") {
    return Error::make(Errc::topology_mismatch, operation,
                       rest + ": keys were dropped or written by somebody else, so restore them");
  }
  if (word == "FORMAT") {
    return Error::make(Errc::topology_mismatch, operation, "it has format " + rest + ", this program knows 1");
  }
  if (word == "NOSTORE") {
    return Error::make(Errc::not_found, operation, "there is no such store, and .create is false");
  }
  if (word == "WRONGTYPE") {
    return Error::make(Errc::topology_mismatch, operation, "one of its keys holds something else: " + rest);
  }
  // Refusals of what a script calls come as its own; those of servers before 7 with where it stood in front.
  for (const std::string_view inner : {"OOM ", "MISCONF ", "READONLY ", "NOREPLICAS ", "WRONGTYPE "}) {
    const std::size_t at = reply.find(inner);
    if (at != 0 && at != std::string_view::npos) return refusal(reply.substr(at), key);
  }
  Error error = omnibus::redis::server_error(reply, operation);
  const auto says = [&](std::string_view words) { return reply.find(words) != std::string_view::npos; };
  if (error.code == Errc::rejected && (says("ACL failure in script") || says("The user executing the script"))) {
    error.code = Errc::access_denied;
    error.retryable = false;
  }
  return error;
}

}  // namespace omnibus::event_store::redis
