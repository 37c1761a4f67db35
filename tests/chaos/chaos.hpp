// SPDX-License-Identifier: MIT
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "broker.hpp"
#include "commands.hpp"
#include "history.hpp"
#include "run.hpp"
#include "tools.hpp"

// What fault tests are written with: eyes on the health of a bus. The program says by its include path
// which broker is meant: that folder's broker.hpp defines `Broker`, a fixture of the conformance tools,
// for the program's own backend.

namespace chaos {

using namespace conformance;

using ChaosBus = Bus<Broker>;

/// A case that ends: it aborts the program, naming itself, when it hangs.
struct Case : Broker {
  Watchdog watchdog;
  explicit Case(std::string_view name) : watchdog{name, 240s} {}
};

inline double seconds(Clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

inline bool mentions(const std::string& text, std::string_view words) {
  return text.find(words) != std::string::npos;
}

/// Says a figure; no case depends on it.
template <class... Parts>
void figure(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  std::printf("figure: %s\n", text.str().c_str());
  std::fflush(stdout);
}

/// A thread that looks again and again until it is destroyed or the look returns false.
class Lookout {
 public:
  explicit Lookout(std::function<bool()> look)
      : thread_{[this, look = std::move(look)] {
          std::unique_lock lock{mutex_};
          while (!over_) {
            lock.unlock();
            const bool more = look();
            lock.lock();
            if (!more) return;
            signal_.wait_for(lock, 1ms, [this] { return over_; });
          }
        }} {}
  ~Lookout() {
    {
      std::lock_guard lock{mutex_};
      over_ = true;
      signal_.notify_all();
    }
    thread_.join();
  }
  Lookout(const Lookout&) = delete;

 private:
  std::mutex mutex_;
  std::condition_variable signal_;
  bool over_ = false;
  std::thread thread_;
};

/// Watches the health of a bus: when it turned red, how often, and with which words.
class HealthWatch {
 public:
  explicit HealthWatch(ChaosBus& bus) : lookout_{[this, &bus] { return look(bus); }} {}

  /// When publishing was first seen red.
  std::optional<Clock::time_point> publishing_red() const {
    std::lock_guard lock{mutex_};
    return publishing_.since;
  }
  /// When a subscription was first seen red.
  std::optional<Clock::time_point> subscription_red() const {
    std::lock_guard lock{mutex_};
    return subscription_.since;
  }
  /// How often a subscription turned red.
  int subscription_turns() const {
    std::lock_guard lock{mutex_};
    return subscription_.turns;
  }
  bool said(std::string_view words) const {
    return mentions(words_of(), words);
  }
  /// Everything that health has said was wrong.
  std::string words_of() const {
    std::lock_guard lock{mutex_};
    std::string all;
    for (const std::string& each : words_) all.append(each).append("\n");
    return all;
  }

 private:
  struct Light {
    bool red = false;
    int turns = 0;
    std::optional<Clock::time_point> since = {};

    void see(bool now_red) {
      if (now_red && !red) ++turns;
      if (now_red && !since) since = Clock::now();
      red = now_red;
    }
  };

  bool look(ChaosBus& bus) {
    const ob::BusHealth health = bus.health();
    const ob::Health publishing = bus.backend().health();
    std::lock_guard lock{mutex_};
    publishing_.see(!publishing.ok);
    if (!publishing.ok) words_.insert(publishing.detail);
    bool red = false;
    for (const auto& each : health.subscriptions) {
      if (each.ok) continue;
      red = true;
      words_.insert(each.problem);
    }
    subscription_.see(red);
    return true;
  }

  mutable std::mutex mutex_;
  Light publishing_;
  Light subscription_;
  std::set<std::string> words_;
  Lookout lookout_;
};

inline bool port_accepts(std::uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const bool accepts =
      ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  ::close(fd);
  return accepts;
}

/// A port that nobody listens on, for the moment.
inline std::uint16_t free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  const bool bound = ::bind(fd, reinterpret_cast<const sockaddr*>(&address), size) == 0 &&
                     ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  ::close(fd);
  if (!bound) violated("there is no free port");
  return ntohs(address.sin_port);
}

/// Notes when the broker's port accepts connections again.
class PortWatch {
 public:
  explicit PortWatch(std::uint16_t port)
      : lookout_{[this, port] {
          if (!port_accepts(port)) return true;
          accepted_ = Clock::now();
          return false;
        }} {}
  Clock::time_point accepted() const { return accepted_.load(); }

 private:
  std::atomic<Clock::time_point> accepted_{Clock::time_point::max()};
  Lookout lookout_;
};

/// Subscription and publishing work.
template <class F>
void healthy(F& f, ChaosBus& bus) {
  eventually(
      f, [&] { return bus.health().ok; }, "the bus to be well");
}

}  // namespace chaos
