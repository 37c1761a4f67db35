// SPDX-License-Identifier: MIT
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <omnibus/backends/rabbitmq/amqp.hpp>

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
    return (tls ? "amqps://" : "amqp://") + host + ":" + std::to_string(port) + "/" +
           (vhost == "/" ? "" : vhost);
  }
};

/// Reads one URL or several. Errors: throws std::invalid_argument, which never shows the password.
inline std::vector<Endpoint> parse_endpoints(std::string_view urls) {
  std::vector<Endpoint> endpoints;
  while (true) {
    const std::size_t comma = urls.find(',');
    std::string url{urls.substr(0, comma)};
    amqp_connection_info info;
    if (amqp_parse_url(url.data(), &info) != AMQP_STATUS_OK) {
      throw std::invalid_argument{
          "omnibus: rabbitmq: endpoint is no URL like amqp://user:password@host:5672/vhost"};
    }
    const std::string_view vhost = info.vhost;
    endpoints.push_back({info.user, info.password, info.host,
                         std::string{vhost.empty() ? "/" : vhost}, info.port, info.ssl != 0});
    if (comma == std::string_view::npos) return endpoints;
    urls.remove_prefix(comma + 1);
  }
}

}  // namespace omnibus::rabbitmq
