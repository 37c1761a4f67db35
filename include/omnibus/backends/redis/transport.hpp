// SPDX-License-Identifier: MIT
#pragma once

#include <sys/socket.h>

#include <cerrno>
#include <cstddef>
#include <memory>
#include <string>

#include <omnibus/result.hpp>
#include <omnibus/time.hpp>

// How bytes get to the server and back over a socket that is connected, without waiting.

namespace omnibus::redis {

/// What was moved, at most `size` bytes; 0: nothing can be now; `hung_up`: nothing can be ever again.
using Moved = std::ptrdiff_t;
inline constexpr Moved hung_up = -1;

/// Writes without SIGPIPE when the server has died.
inline Moved write_now(int fd, const char* bytes, std::size_t size) noexcept {
  while (true) {
    const ssize_t count = ::send(fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count >= 0) return count;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return 0;
    if (errno != EINTR) return hung_up;
  }
}
inline Moved read_now(int fd, char* bytes, std::size_t size) noexcept {
  while (true) {
    const ssize_t count = ::recv(fd, bytes, size, MSG_DONTWAIT);
    if (count > 0) return count;
    if (count == 0) return hung_up;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return 0;
    if (errno != EINTR) return hung_up;
  }
}

/// Thread safety: one thread at a time.
class Transport {
 public:
  virtual ~Transport() = default;
  virtual Moved write(const char* bytes, std::size_t size) noexcept = 0;
  /// Less than `size` when there is no more.
  virtual Moved read(char* bytes, std::size_t size) noexcept = 0;
  /// What the other side said when it ended, if anything.
  virtual std::string last_words() const { return {}; }
};

/// The bytes as they are.
class PlainTransport final : public Transport {
 public:
  explicit PlainTransport(int fd) noexcept : fd_{fd} {}
  Moved write(const char* bytes, std::size_t size) noexcept override {
    return write_now(fd_, bytes, size);
  }
  Moved read(char* bytes, std::size_t size) noexcept override { return read_now(fd_, bytes, size); }

 private:
  const int fd_;
};

/// Makes connections secure. Thread safety: shared objects are safe.
class Security {
 public:
  virtual ~Security() = default;
  /// Blocks until the server and we trust each other, at most until this moment. Errors: access_denied,
  /// unavailable. Lifetime: the socket must outlive the transport.
  virtual Result<std::unique_ptr<Transport>> secure(int fd, const std::string& host,
                                                    Instant until) const = 0;
};

}  // namespace omnibus::redis
