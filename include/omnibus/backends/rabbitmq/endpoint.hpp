// SPDX-License-Identifier: MIT
#pragma once

#include <charconv>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

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
  std::string_view place = url.substr(0, url.find('/'));
  std::string_view vhost = url.substr(place.size());
  if (!vhost.empty()) vhost.remove_prefix(1);
  if (vhost.find_first_of("/?#@") != std::string_view::npos) return false;
  std::string_view user = "guest";
  std::string_view password = "guest";
  if (const std::size_t at = place.rfind('@'); at != std::string_view::npos) {
    user = place.substr(0, at);
    if (user.find('@') != std::string_view::npos) return false;
    place.remove_prefix(at + 1);
    const std::size_t colon = user.find(':');
    password = colon == std::string_view::npos ? std::string_view{} : user.substr(colon + 1);
    user = user.substr(0, colon);
  }
  std::string_view host = place.substr(0, place.rfind(':'));
  if (place.starts_with('[')) {
    const std::size_t end = place.find(']');
    if (end == std::string_view::npos) return false;
    host = place.substr(0, end + 1);
  }
  std::string_view port = place.substr(host.size());
  if (host.starts_with('[')) host = host.substr(1, host.size() - 2);
  endpoint.port = endpoint.tls ? 5671 : 5672;
  if (port.starts_with(':') && port.size() > 1) {
    port.remove_prefix(1);
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), endpoint.port);
    if (error != std::errc{} || end != port.data() + port.size()) return false;
  } else if (!port.empty()) {
    return false;
  }
  if (endpoint.port < 1 || endpoint.port > 65535 || host.empty()) return false;
  using omnibus::detail::percent_decode;
  if (!percent_decode(vhost, endpoint.vhost) || !percent_decode(host, endpoint.host)) return false;
  if (endpoint.vhost.empty()) endpoint.vhost = "/";
  return percent_decode(user, endpoint.user) && percent_decode(password, endpoint.password);
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
