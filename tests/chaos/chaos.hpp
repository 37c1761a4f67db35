// SPDX-License-Identifier: MIT
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include <omnibus/backends/rabbitmq.hpp>

#include "history.hpp"
#include "rabbitmq_fixture.hpp"
#include "run.hpp"
#include "tools.hpp"

// What fault tests are written with: hands on the broker, and eyes on the health of a bus.

namespace chaos {

using namespace conformance;

/// The broker of this run, as a fixture of the conformance tools.
struct Broker {
  using Backend = ob::RabbitMq;
  std::chrono::milliseconds deadline = 60s;
  std::uint64_t seed = run_seed();

  Backend::Config config(std::string group = "g") const {
    return {.endpoint = RabbitMqFixture::endpoint(), .group = std::move(group)};
  }
  std::string topic() { return RabbitMqFixture{}.topic(); }
};
using ChaosBus = Bus<Broker>;

/// A case that ends: it aborts the program, naming itself, when it hangs.
struct Case : Broker {
  Watchdog watchdog;
  explicit Case(std::string_view name) : watchdog{name, 240s} {}
};

/// How a command ended, and what it printed.
struct Ran {
  int status = 0;
  std::string output;
};

inline Ran run_command(const std::string& command) {
  Ran ran;
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "re");
  if (pipe == nullptr) violated("cannot run ", command);
  char part[4096];
  while (const auto count = std::fread(part, 1, sizeof part, pipe)) ran.output.append(part, count);
  ran.status = ::pclose(pipe);
  return ran;
}

/// tests/brokers/ctl with these arguments. Returns what it printed; the case ends when it fails.
inline std::string ctl(const std::string& arguments) {
  const Ran ran = run_command(OMNIBUS_CTL " " + arguments);
  if (ran.status != 0) violated("ctl ", arguments, " failed: ", ran.output);
  return ran.output;
}
inline std::string rabbitmqctl(const std::string& arguments) {
  return ctl("exec rabbitmq rabbitmqctl -q " + arguments);
}
/// Evaluates an Erlang expression on the broker.
inline std::string broker_eval(const std::string& expression) {
  return rabbitmqctl("eval '" + expression + "'");
}

/// Puts something right again when the case ends, however it ends.
class AtEnd {
 public:
  explicit AtEnd(std::string arguments) : arguments_{std::move(arguments)} {}
  ~AtEnd() { run(); }
  AtEnd(const AtEnd&) = delete;
  /// Does it now.
  void run() {
    if (!arguments_.empty()) (void)run_command(OMNIBUS_CTL " " + arguments_);
    arguments_.clear();
  }
  void forget() { arguments_.clear(); }

 private:
  std::string arguments_;
};

inline double seconds(Clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
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
    return words_of().find(words) != std::string::npos;
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

/// The port of the first URL in the endpoint.
inline std::uint16_t broker_port() {
  return static_cast<std::uint16_t>(
      ob::rabbitmq::parse_endpoints(RabbitMqFixture::endpoint()).front().port);
}

/// The endpoint with a piece replaced, such as ":guest@".
inline std::string endpoint_with(const std::string& piece, const std::string& by) {
  std::string url = RabbitMqFixture::endpoint();
  const auto at = url.find(piece);
  if (at == std::string::npos) violated("the endpoint has no ", piece);
  return url.replace(at, piece.size(), by);
}

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
