// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <sys/time.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <hiredis/hiredis.h>

#include <omnibus/backends/redis/command.hpp>
#include <omnibus/backends/redis/endpoint.hpp>
#include <omnibus/backends/redis/errors.hpp>
#include <omnibus/backends/redis/reader.hpp>
#include <omnibus/backends/redis/server.hpp>
#include <omnibus/backends/redis/transport.hpp>
#include <omnibus/detail/dialer.hpp>
#include <omnibus/detail/wakeup.hpp>
#include <omnibus/error.hpp>
#include <omnibus/result.hpp>
#include <omnibus/time.hpp>

// One connection. hiredis opens the socket and parses; writing and reading are ours and never block:
// the library's write raises SIGPIPE when the server has died, and its read waits for ever.

namespace omnibus::redis {

/// How to connect.
struct ConnectOptions {
  std::vector<Endpoint> endpoints = {};  ///< tried in turn
  Duration timeout = std::chrono::seconds{5};
  Duration heartbeat = std::chrono::seconds{5};  ///< a silent server is given up after two
  std::size_t largest_value = std::size_t{64} << 20;  ///< longer ones end the connection
  std::shared_ptr<const Security> tls = {};           ///< for endpoints that ask for it
};

/// A connection to one server, after its handshake: AUTH, SELECT and CLIENT SETNAME. Speaks RESP2.
/// Thread safety: one thread at a time.
class Connection {
 public:
  /// Connects and logs in. Blocks at most for the timeout, resolving the host's name excluded.
  /// Errors: unavailable, access_denied, and what the server says.
  static Result<std::unique_ptr<Connection>> open(const Endpoint& endpoint,
                                                  const ConnectOptions& options) {
    std::unique_ptr<Connection> made{new Connection{endpoint, options}};
    if (Result<> connected = made->connect(endpoint, options); !connected) return connected.error();
    return made;
  }
  ~Connection() {
    transport_.reset();  // it may say goodbye
    if (context_ != nullptr) redisFree(context_);
  }
  Connection(const Connection&) = delete;

  int fd() const noexcept { return context_->fd; }
  const std::string& name() const noexcept { return name_; }
  /// What the server said of itself when we connected.
  const ServerFacts& facts() const noexcept { return facts_; }
  /// Its number at the server (CLIENT ID); 0 where that was refused.
  std::int64_t id() const noexcept { return id_; }

  /// What is to be sent. Append whole commands.
  std::string& out() noexcept { return out_; }
  std::size_t unsent() const noexcept { return out_.size() - sent_; }

  /// Sends what can be sent now. Returns false when the connection is lost.
  bool send() {
    while (sent_ < out_.size()) {
      const Moved count = transport_->write(out_.data() + sent_, out_.size() - sent_);
      if (count == hung_up) return lose("write to ", "the connection was lost");
      if (count == 0) break;
      sent_ += static_cast<std::size_t>(count);
    }
    if (sent_ == out_.size()) {
      if (out_.capacity() > much) std::string{}.swap(out_);
      out_.clear();
      sent_ = 0;
    }
    return true;
  }

  /// Takes what has come in, without waiting, and tells `replies` of it. `while_wanted()` is asked before
  /// each read. Returns false when the connection is lost.
  template <class WhileWanted>
  bool receive(Replies& replies, Instant now, WhileWanted while_wanted) {
    while (while_wanted()) {
      const Moved count = transport_->read(in_.data(), in_.size());
      if (count == hung_up) return lose("read from ", "the server closed the connection");
      if (count == 0) return true;
      last_received_ = now;
      pinged_ = false;
      if (!reader_.feed(in_.data(), static_cast<std::size_t>(count))) {
        return lose("read from ", "out of memory");
      }
      Reader::Got got{};
      while ((got = reader_.next(replies)) == Reader::Got::whole) {
      }
      if (got == Reader::Got::malformed) return lose("read from ", "that is no Redis protocol");
      if (got == Reader::Got::too_large) {
        lose("read from ", "a value is larger than may be");
        problem_->code = Errc::too_large;
        return false;
      }
      if (static_cast<std::size_t>(count) < in_.size()) return true;
    }
    return true;
  }
  bool receive(Replies& replies, Instant now) {
    return receive(replies, now, [] { return true; });
  }

  /// What to do about a server that may have gone without a word. To be asked after `receive`.
  enum class Pulse : std::uint8_t {
    fine,
    ping,  ///< append a PING, whose reply is the owner's as that of any command
    lost,
  };
  Pulse pulse(Instant now) {
    if (!pinged_) {
      if (now - last_received_ < heartbeat_) return Pulse::fine;
      pinged_ = true;
      pinged_at_ = now;
      return Pulse::ping;
    }
    if (now - pinged_at_ < heartbeat_) return Pulse::fine;
    lose("read from ", "the server does not answer");
    return Pulse::lost;
  }
  /// When `pulse` has something to say.
  Instant next_pulse() const noexcept {
    return after(pinged_ ? pinged_at_ : last_received_, heartbeat_);
  }

  bool lost() const noexcept { return problem_.has_value(); }
  /// Why it was lost.
  const Error& problem() const noexcept { return *problem_; }
  /// Notes that it is of no more use, and why. Returns false.
  bool lose(Error problem) {
    if (!problem_) problem_ = std::move(problem);
    return false;
  }

 private:
  static constexpr std::size_t much = std::size_t{1} << 20;

  Connection(const Endpoint& endpoint, const ConnectOptions& options)
      : name_{endpoint.name()}, heartbeat_{options.heartbeat}, reader_{options.largest_value} {
    in_.resize(Reader::most_at_once);
  }

  bool lose(const char* operation, std::string context) {
    if (const std::string said = transport_->last_words(); !said.empty()) context += ": " + said;
    return lose(Error::make(Errc::unavailable, operation + name_, std::move(context)));
  }

  Result<> connect(const Endpoint& endpoint, const ConnectOptions& options) {
    const auto us = std::chrono::duration_cast<std::chrono::microseconds>(options.timeout).count();
    const timeval timeout{us / 1'000'000, us % 1'000'000};
    const Instant until = after(std::chrono::steady_clock::now(), options.timeout);
    context_ = endpoint.path.empty()
                   ? redisConnectWithTimeout(endpoint.host.c_str(), endpoint.port, timeout)
                   : redisConnectUnixWithTimeout(endpoint.path.c_str(), timeout);
    if (context_ == nullptr) return Error::make(Errc::internal, "connect", "out of memory");
    if (context_->err != 0) {
      return Error::make(Errc::unavailable, "connect to " + name_,
                         detail::printable(context_->errstr) +
                             "; is the server running, and reachable there?");
    }
    ::fcntl(fd(), F_SETFD, FD_CLOEXEC);
    ::fcntl(fd(), F_SETFL, O_NONBLOCK);
    if (endpoint.tls) {
      auto secured = options.tls->secure(fd(), endpoint.host, until);
      if (!secured) return connecting(std::move(secured).error());
      transport_ = std::move(*secured);
    } else {
      transport_ = std::make_unique<PlainTransport>(fd());
    }
    return shake_hands(endpoint, until);
  }

  /// Collects the answers to the commands of the handshake, in order.
  class Handshake final : public Replies {
   public:
    explicit Handshake(std::vector<std::string_view> asked) : asked_{std::move(asked)} {}
    bool all() const noexcept { return answered_ >= asked_.size(); }

    void part(const Part& part) noexcept override {
      if (answered_ >= asked_.size()) return;
      const std::string_view asked = asked_[answered_];
      try {
        if (part.kind == Part::Kind::error) {
          // Who may not do these can publish all the same.
          const bool optional = asked == "INFO" || asked == "CONFIG" || asked == "CLIENT";
          const bool forbidden = first_word(part.text) == "NOPERM";
          if (!optional && !(asked == "PING" && forbidden) && !problem) {
            problem = server_error(part.text, std::string{asked});
          }
        } else if (asked == "INFO") {
          info.assign(part.text);
        } else if (asked == "CONFIG" && part.index == 1) {
          fsync.assign(part.text);
        } else if (asked == "CLIENT" && part.kind == Part::Kind::integer) {
          id = part.number;
        }
      } catch (...) {  // out of memory: less is known
      }
    }
    void complete() noexcept override { ++answered_; }

    std::optional<Error> problem;
    std::string info;
    std::string fsync;
    std::int64_t id = 0;

   private:
    std::vector<std::string_view> asked_;
    std::size_t answered_ = 0;
  };

  Result<> shake_hands(const Endpoint& endpoint, Instant until) {
    std::vector<std::string_view> asked;
    const auto ask = [&](std::string_view name, const auto&... arguments) {
      asked.push_back(name);
      append_command(out_, name, arguments...);
    };
    if (!endpoint.user.empty()) {
      ask("AUTH", endpoint.user, endpoint.password);
    } else if (!endpoint.password.empty()) {
      ask("AUTH", endpoint.password);
    }
    ask("PING");
    if (endpoint.database != 0) ask("SELECT", endpoint.database);
    ask("CLIENT", "SETNAME", "omnibus");
    ask("CLIENT", "ID");
    ask("INFO");
    ask("CONFIG", "GET", "appendfsync");
    Handshake answers{std::move(asked)};
    omnibus::detail::Wakeup nobody_rings;
    while (true) {
      const Instant now = std::chrono::steady_clock::now();
      last_received_ = now;
      if (!send() || !receive(answers, now)) return connecting(problem());
      if (answers.problem) return connecting(*answers.problem);
      if (answers.all()) break;
      if (now >= until) {
        return connecting(Error::make(Errc::unavailable, "", "the server does not answer"));
      }
      nobody_rings.wait(fd(), true, unsent() > 0, until);
    }
    out_.assign(out_.capacity(), '\0');  // the password
    out_.clear();
    facts_ = read_facts(answers.info, answers.fsync);
    id_ = answers.id;
    if (facts_.loading) {
      return connecting(Error::make(Errc::unavailable, "", "the server still reads its data"));
    }
    return {};
  }

  Error connecting(Error problem) const {
    if (problem.operation == "AUTH" && problem.code == Errc::rejected) {
      problem.code = Errc::access_denied;
    }
    problem.operation = "connect to " + name_;
    return problem;
  }

  const std::string name_;
  const Duration heartbeat_;
  Reader reader_;
  redisContext* context_ = nullptr;
  std::unique_ptr<Transport> transport_;  // over its socket
  ServerFacts facts_;
  std::int64_t id_ = 0;
  std::string out_;
  std::size_t sent_ = 0;
  std::string in_;
  Instant last_received_{};
  bool pinged_ = false;
  Instant pinged_at_{};
  std::optional<Error> problem_;
};

using Dialer = omnibus::detail::Dialer<Connection, ConnectOptions>;

}  // namespace omnibus::redis
