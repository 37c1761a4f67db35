// SPDX-License-Identifier: MIT
#pragma once

#include <charconv>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <omnibus/detail/authority.hpp>
#include <omnibus/detail/percent.hpp>

// Where the server is, from URLs: redis://user:password@host:port/database, the same with rediss:// for TLS,
// or unix://user:password@/path?db=database, several with commas between.

namespace omnibus::redis {

/// One server.
struct Endpoint {
  std::string user;
  std::string password;
  std::string host;
  std::string path;  ///< of its socket; empty: host and port
  int port = 6379;
  int database = 0;
  bool tls = false;

  /// For messages: without user and password.
  std::string name() const {
    if (!path.empty()) return "unix://" + path;
    const bool ipv6 = host.find(':') != std::string::npos;
    return (tls ? "rediss://" : "redis://") + (ipv6 ? "[" + host + "]" : host) + ":" + std::to_string(port) +
           (database == 0 ? "" : "/" + std::to_string(database));
  }
};

/// Reads a whole number from `least` to `most`. False when it is none.
inline bool parse_number(std::string_view text, int least, int most, int& out) noexcept {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc{} && end == text.data() + text.size() && out >= least && out <= most;
}

/// Reads "user:password@host:port"; a name alone is a password, as redis-cli has it for servers before 6. False
/// when it is malformed.
inline bool parse_place(std::string_view text, Endpoint& endpoint) {
  detail::Authority authority;
  if (!detail::parse_authority(text, authority)) return false;
  const auto& [user, password, host, port] = authority;
  endpoint.port = port.value_or(endpoint.port);
  using omnibus::detail::percent_decode;
  return percent_decode(password ? *user : "", endpoint.user) &&
         percent_decode(password ? *password : user.value_or(""), endpoint.password) &&
         percent_decode(host, endpoint.host);
}

/// Reads what comes behind redis://.
inline bool parse_tcp(std::string_view rest, Endpoint& endpoint) {
  const std::string_view place = rest.substr(0, rest.find('/'));
  std::string_view database = rest.substr(place.size());
  if (!database.empty()) database.remove_prefix(1);
  if (!database.empty() && !parse_number(database, 0, 1'000'000, endpoint.database)) return false;
  return parse_place(place, endpoint) && !endpoint.host.empty();
}

/// Reads what comes behind unix://.
inline bool parse_unix(std::string_view rest, Endpoint& endpoint) {
  std::string_view path = rest.substr(0, rest.find('?'));
  const std::string_view query = rest.substr(path.size());
  constexpr std::string_view db = "?db=";
  if (!query.empty() && (!query.starts_with(db) ||
                         !parse_number(query.substr(db.size()), 0, 1'000'000, endpoint.database))) {
    return false;
  }
  const std::size_t slash = path.find('/');
  if (slash == std::string_view::npos) return false;
  const std::string_view user = path.substr(0, slash);
  path.remove_prefix(slash);
  if (path.find('@') != std::string_view::npos) return false;  // what is before it may be of a password
  if (!user.empty() && (!user.ends_with('@') || !parse_place(user, endpoint))) return false;
  return path.size() > 1 && omnibus::detail::percent_decode(path, endpoint.path);
}

/// Reads one URL. False when it is malformed.
inline bool parse_endpoint(std::string_view url, Endpoint& endpoint) {
  constexpr std::string_view tcp = "redis://";
  constexpr std::string_view tls = "rediss://";
  constexpr std::string_view local = "unix://";
  endpoint.tls = url.starts_with(tls);
  if (endpoint.tls) return parse_tcp(url.substr(tls.size()), endpoint);
  if (url.starts_with(tcp)) return parse_tcp(url.substr(tcp.size()), endpoint);
  return url.starts_with(local) && parse_unix(url.substr(local.size()), endpoint);
}

/// Reads one URL or several. `backend` is who complains; `secured` says that it can speak TLS, and then every
/// server over TCP has to. Errors: throws std::invalid_argument, which never shows the password.
inline std::vector<Endpoint> parse_endpoints(std::string_view urls, const std::string& backend,
                                             bool secured = false) {
  const auto require = [&](bool good, const char* what) {
    if (!good) throw std::invalid_argument{"omnibus: " + backend + ": " + what};
  };
  std::vector<Endpoint> endpoints;
  while (true) {
    const std::size_t comma = urls.find(',');
    Endpoint& endpoint = endpoints.emplace_back();
    require(parse_endpoint(urls.substr(0, comma), endpoint),
            "endpoint is no URL like redis://user:password@host:6379/0 or unix:///path");
    require(secured || !endpoint.tls,
            "endpoint asks for TLS with rediss://: set .tls = redis_tls(), from "
            "<omnibus/backends/redis_tls.hpp>");
    require(!secured || endpoint.tls || !endpoint.path.empty(),
            ".tls is set, but endpoint asks for none: write rediss://");
    if (comma == std::string_view::npos) return endpoints;
    urls.remove_prefix(comma + 1);
  }
}

}  // namespace omnibus::redis
