// SPDX-License-Identifier: MIT
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

#include "catch.hpp"

namespace omnibus::unit {

/// A port of this machine, for tests that play a server.
class Port {
 public:
  Port() : fd_{::socket(AF_INET, SOCK_STREAM, 0)} {
    sockaddr_in place{};
    place.sin_family = AF_INET;
    place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof place;
    REQUIRE(::bind(fd_, reinterpret_cast<sockaddr*>(&place), size) == 0);
    REQUIRE(::listen(fd_, 2) == 0);
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&place), &size);
    number_ = ntohs(place.sin_port);
  }
  ~Port() { ::close(fd_); }
  Port(const Port&) = delete;

  /// Waits for a client; -1 once it is shut.
  int accept() const { return ::accept(fd_, nullptr, nullptr); }
  /// Nobody comes any more.
  void shut() const { ::shutdown(fd_, SHUT_RDWR); }
  std::string url(const std::string& user = "") const {
    return "redis://" + user + "127.0.0.1:" + std::to_string(number_);
  }

 private:
  const int fd_;
  int number_ = 0;
};

}  // namespace omnibus::unit
