// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include <omnibus/backend.hpp>
#include <omnibus/backends/redis/connection.hpp>
#include <omnibus/backends/redis/endpoint.hpp>
#include <omnibus/backends/redis/reader.hpp>
#include <omnibus/backends/redis/server.hpp>
#include <omnibus/clock.hpp>
#include <omnibus/detail/wakeup.hpp>
#include <omnibus/result.hpp>

// A connection of those who ask and wait: what stores are to a server.

namespace omnibus::redis {

/// What a Client is told.
struct ClientOptions {
  std::string owner;          ///< for errors: the class of the store
  std::string_view endpoint;  ///< one, or several with commas between
  std::shared_ptr<const Security> tls;
  Duration timeout;           ///< of connecting, and of an answer
};

/// Thread safety: `health` and `note` from any thread, the rest from one at a time.
class Client {
 public:
  /// Connects to nothing yet. Throws std::invalid_argument.
  explicit Client(const ClientOptions& options)
      : connect_{parse_endpoints(options.endpoint, options.owner, options.tls != nullptr)} {
    if (options.timeout <= Duration::zero()) {
      throw std::invalid_argument{std::string{"omnibus: "}.append(options.owner).append(": timeout must be positive")};
    }
    connect_.timeout = options.timeout;
    connect_.tls = options.tls;
  }

  bool is_connected() const noexcept { return connection_ != nullptr; }
  /// Connects, unless it is connected, to the first server that answers. Returns true for a new connection.
  Result<bool> connect() {
    if (connection_) return false;
    Error problem;
    for (std::size_t tries = 0; tries < connect_.endpoints.size(); ++tries) {
      auto opened = Connection::open(connect_.endpoints[endpoint_], connect_);
      if (opened) {
        connection_ = std::move(*opened);
        note({true, warning_of(connection_->facts())});
        return true;
      }
      problem = std::move(opened).error();
      try_another();
    }
    return problem;
  }

  /// What the server said of itself. Lifetime: of the connection.
  const ServerFacts& facts() const noexcept { return connection_->facts(); }
  /// Where commands are written. Lifetime: of the connection.
  std::string& out() noexcept { return connection_->out(); }
  /// Sends what was written, and waits until `answers.all()`. Whatever fails, the connection is to be closed.
  /// Errors: unavailable.
  template <class Answers>
  Result<> ask(Answers& answers) {
    const Instant until = after(std::chrono::steady_clock::now(), connect_.timeout);
    while (true) {
      const Instant now = std::chrono::steady_clock::now();
      if (!connection_->send() || !connection_->receive(answers, now)) return connection_->problem();
      if (answers.all()) return {};
      if (now >= until) {
        return Error::make(Errc::unavailable, "use " + connection_->name(), "the server does not answer");
      }
      nobody_rings_.wait(connection_->fd(), true, connection_->unsent() > 0, until);
    }
  }
  void close() noexcept { connection_.reset(); }
  /// The next connection goes to the next server: that one may take what this one refuses.
  void try_another() noexcept { endpoint_ = (endpoint_ + 1) % connect_.endpoints.size(); }

  /// What went wrong last, or what the server's word is worth.
  Health health() const {
    const std::lock_guard lock{health_mutex_};
    return health_;
  }
  void note(Health health) {
    const std::lock_guard lock{health_mutex_};
    health_ = std::move(health);
  }

 private:
  static std::string warning_of(const ServerFacts& facts) {
    std::string warning = durability_warning(facts);
    if (facts.known && !facts.eviction.empty() && facts.eviction != "noeviction") {
      warning.append(warning.empty() ? "" : "; ");
      warning.append("maxmemory-policy is " + facts.eviction + ": keys are forgotten when memory is short");
    }
    return warning;
  }

  ConnectOptions connect_;
  std::unique_ptr<Connection> connection_;
  std::size_t endpoint_ = 0;
  detail::Wakeup nobody_rings_;
  mutable std::mutex health_mutex_;
  Health health_{true, "not connected: nothing was asked yet"};
};

}  // namespace omnibus::redis
