// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <omnibus/detail/authority.hpp>
#include <omnibus/detail/percent.hpp>

// Where the broker is, from URLs: amqp://user:password@host:port/vhost, several with commas between.

namespace omnibus::rabbitmq {

/// What secures an amqps:// connection. The broker's certificate and its host name are checked
/// always.
struct Tls {
  std::string ca = {};           ///< file with the authorities' certificates, PEM; required
  std::string certificate = {};  ///< file with the client's certificate, PEM
  std::string key = {};          ///< file with its private key, PEM
};

/// One node of the broker.
struct Endpoint {
  std::string user;
  std::string password;
  std::string host;
  std::string vhost;
  int port = 0;
  bool tls = false;

  /// For messages: without user and password.
  std::string name() const {
    const bool ipv6 = host.find(':') != std::string::npos;
    return (tls ? "amqps://" : "amqp://") + (ipv6 ? "[" + host + "]" : host) + ":" + std::to_string(port) + "/" +
           (vhost == "/" ? "" : vhost);
  }
};

/// Reads one URL (rabbitmq.com/docs/uri-spec); an empty vhost is "/". False when it is malformed.
/// The library's own reader knows no letters beyond ASCII.
inline bool parse_endpoint(std::string_view url, Endpoint& endpoint) {
  endpoint.tls = url.starts_with("amqps://");
  if (!endpoint.tls && !url.starts_with("amqp://")) return false;
  url.remove_prefix(endpoint.tls ? 8 : 7);
  const std::string_view place = url.substr(0, url.find('/'));
  std::string_view vhost = url.substr(place.size());
  if (!vhost.empty()) vhost.remove_prefix(1);
  detail::Authority authority;
  if (vhost.find_first_of("/?#@") != std::string_view::npos || !detail::parse_authority(place, authority)) return false;
  const auto& [user, password, host, port] = authority;
  endpoint.port = port.value_or(endpoint.tls ? 5671 : 5672);
  if (host.empty()) return false;
  using omnibus::detail::percent_decode;
  if (!percent_decode(vhost, endpoint.vhost) || !percent_decode(host, endpoint.host)) return false;
  if (endpoint.vhost.empty()) endpoint.vhost = "/";
  return percent_decode(user.value_or("guest"), endpoint.user) &&
         percent_decode(password.value_or(user ? "" : "guest"), endpoint.password);
}

/// Reads one URL or several. Errors: throws std::invalid_argument, which never shows the password.
inline std::vector<Endpoint> parse_endpoints(std::string_view urls) {
  std::vector<Endpoint> endpoints;
  while (true) {
    const std::size_t comma = urls.find(',');
    if (!parse_endpoint(urls.substr(0, comma), endpoints.emplace_back())) {
      throw std::invalid_argument{
          "omnibus: rabbitmq: endpoint is no URL like amqp://user:password@host:5672/vhost"};
    }
    if (comma == std::string_view::npos) return endpoints;
    urls.remove_prefix(comma + 1);
  }
}

}  // namespace omnibus::rabbitmq
