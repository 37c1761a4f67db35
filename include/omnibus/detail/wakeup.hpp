// SPDX-License-Identifier: MIT
#pragma once

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <system_error>

// Sleeping on a socket until there is something to read, or to write, or someone rings.

namespace omnibus::detail {

/// An eventfd: readable once something was written to it, until it is cleared. Linux: eventfd(2).
/// Thread safety: shared objects are safe.
class EventFd {
 public:
  EventFd() : fd_{::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)} {
    if (fd_ < 0) throw std::system_error{errno, std::generic_category(), "omnibus: eventfd"};
  }
  ~EventFd() { ::close(fd_); }
  EventFd(const EventFd&) = delete;

  int get() const noexcept { return fd_; }
  void signal() const noexcept {
    constexpr std::uint64_t one = 1;
    (void)!::write(fd_, &one, sizeof one);
  }
  void clear() const noexcept {
    std::uint64_t count = 0;
    (void)!::read(fd_, &count, sizeof count);
  }

 private:
  const int fd_;
};

/// The bell of a thread that sleeps on a socket. Thread safety: `ring` from any thread, the rest from
/// the one that sleeps.
class Wakeup {
 public:
  /// Ends the current sleep or the next one. A system call only when someone sleeps.
  void ring() noexcept {
    rung_.store(true);
    if (asleep_.exchange(false)) event_.signal();
  }

  /// True once after it was rung.
  bool take() noexcept { return rung_.exchange(false); }

  /// Sleeps until it is rung, `socket` can be read (or written), `other` can be read, or this moment.
  /// Sockets may be -1.
  void wait(int socket, bool to_read, bool to_write, std::chrono::steady_clock::time_point until,
            int other = -1) {
    asleep_.store(true);
    if (!rung_.load()) {
      pollfd waited[3]{{event_.get(), POLLIN, 0}, {socket, 0, 0}, {other, POLLIN, 0}};
      waited[1].events = static_cast<short>((to_read ? POLLIN : 0) | (to_write ? POLLOUT : 0));
      block(waited, other >= 0 ? 3 : socket >= 0 ? 2 : 1, until);  // poll passes over -1
      // Who rang may write after this wait has ended for another reason: the next one finds it.
      if (waited[0].revents != 0) event_.clear();
    }
    asleep_.store(false);
  }

  /// Sleeps until this moment, whoever rings: for short times, to let work gather.
  static void doze(std::chrono::steady_clock::time_point until) { block(nullptr, 0, until); }

 private:
  static void block(pollfd* waited, nfds_t count, std::chrono::steady_clock::time_point until) {
    const auto now = std::chrono::steady_clock::now();
    timespec timeout{};
    if (until > now + std::chrono::hours{1}) {
      timeout.tv_sec = 3600;
    } else if (until > now) {
      const auto ns = std::chrono::nanoseconds{until - now}.count();
      timeout.tv_sec = ns / 1'000'000'000;
      timeout.tv_nsec = ns % 1'000'000'000;
    }
    ::ppoll(waited, count, &timeout, nullptr);
  }

  const EventFd event_;
  std::atomic<bool> rung_{false};
  std::atomic<bool> asleep_{false};
};

}  // namespace omnibus::detail
