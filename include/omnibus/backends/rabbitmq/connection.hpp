// SPDX-License-Identifier: MIT
#pragma once

#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/backends/rabbitmq/amqp.hpp>
#include <omnibus/backends/rabbitmq/endpoint.hpp>
#include <omnibus/detail/wakeup.hpp>
#include <omnibus/error.hpp>
#include <omnibus/result.hpp>
#include <omnibus/time.hpp>

// One connection. rabbitmq-c shakes hands and decodes; writing is ours and never blocks, because the
// library's writes wait for a peer that does not read, for ever.

namespace omnibus::rabbitmq {

/// How to connect.
struct ConnectOptions {
  std::vector<Endpoint> endpoints = {};  ///< tried in turn
  Tls tls = {};
  Duration heartbeat{};
  Duration timeout{};
};

/// Every frame we encode fits, and so does every header that another publisher got past the broker.
inline constexpr std::size_t frame_max = 131'072;

/// A connection to one node, after its handshake.
/// Thread safety: one thread at a time. Lifetime: frames until `release` or the next one.
class Connection {
 public:
  /// Connects and logs in. Blocks at most for the timeout, resolving the host's name excluded.
  /// Errors: unavailable, access_denied, not_found (the vhost), unsupported.
  static Result<std::unique_ptr<Connection>> open(const Endpoint& endpoint,
                                                  const ConnectOptions& options) {
    std::unique_ptr<Connection> made{new Connection{endpoint, options}};
    if (Result<> connected = made->connect(endpoint, options); !connected) return connected.error();
    return made;
  }
  ~Connection() {
    amqp_destroy_connection(state_);
    empty_amqp_pool(&pool_);
  }
  Connection(const Connection&) = delete;

  int fd() const noexcept { return amqp_get_sockfd(state_); }

  /// What is to be sent. Append whole frames.
  std::string& out() noexcept { return out_; }
  std::size_t unsent() const noexcept { return out_.size() - sent_; }

  /// Sends what can be sent now. Over TLS it sends everything, and may wait for the peer to read.
  /// Returns false when the connection is lost.
  bool send(Instant now) {
    if (unsent() == 0) return true;
    return tls_ ? send_over_tls(now) : send_over_tcp(now);
  }

  enum class Got { frame, nothing, lost };
  /// Takes the next frame that has come in, without waiting. When the broker closes the connection, it
  /// is answered, and the connection is lost.
  Got next(amqp_frame_t& frame, Instant now) {
    const Got got = take(frame, now);
    const bool closed = got == Got::frame && frame.frame_type == AMQP_FRAME_METHOD &&
                        frame.payload.method.id == AMQP_CONNECTION_CLOSE_METHOD;
    if (!closed) return got;
    const auto* close = static_cast<const amqp_connection_close_t*>(frame.payload.method.decoded);
    amqp_connection_close_ok_t ok{};
    append_method(out_, 0, AMQP_CONNECTION_CLOSE_OK_METHOD, &ok);
    (void)send(now);
    return lose(broker_error(close->reply_code, view_of(close->reply_text), "use " + name_));
  }

  /// To be called when a frame has been dealt with.
  void release(const amqp_frame_t& frame) {
    amqp_maybe_release_buffers_on_channel(state_, frame.channel);
  }

  /// Sends heartbeats when they are due; notices a silent peer. `listening` is false while nobody
  /// reads: then silence means nothing. Returns false when the connection is lost.
  bool keep_alive(Instant now, bool listening) {
    if (now - last_sent_ >= heartbeat_ / 2) {
      if (unsent() == 0) append_heartbeat(out_);
      last_sent_ = now;
    }
    if (!listening) last_received_ = now;
    if (now - last_received_ < 2 * heartbeat_) return true;
    lose(Error::make(Errc::unavailable, "read from " + name_,
                     "the broker has been silent for two heartbeats"));
    return false;
  }
  /// When `keep_alive` has something to do at the latest.
  Instant next_beat() const noexcept {
    const Instant send_due = last_sent_ + heartbeat_ / 2;
    const Instant silence = last_received_ + 2 * heartbeat_;
    return send_due < silence ? send_due : silence;
  }

  /// Takes leave of the broker. Blocks until it has answered, or until this moment.
  void close(Instant until) {
    amqp_connection_close_t close{};
    close.reply_code = AMQP_REPLY_SUCCESS;
    append_method(out_, 0, AMQP_CONNECTION_CLOSE_METHOD, &close);
    omnibus::detail::Wakeup nobody_rings;
    amqp_frame_t frame{};
    while (true) {
      const Instant now = std::chrono::steady_clock::now();
      while (send(now) && next(frame, now) == Got::frame) {
        const bool closed = frame.frame_type == AMQP_FRAME_METHOD &&
                            frame.payload.method.id == AMQP_CONNECTION_CLOSE_OK_METHOD;
        release(frame);
        if (closed) return;
      }
      if (lost() || now >= until) return;
      nobody_rings.wait(fd(), true, unsent() > 0, until);
    }
  }

  bool lost() const noexcept { return problem_.has_value(); }
  /// Why it was lost.
  const Error& problem() const noexcept { return *problem_; }
  /// Notes that it is of no more use, and why.
  Got lose(Error problem) {
    if (!problem_) problem_ = std::move(problem);
    return Got::lost;
  }

 private:
  Connection(const Endpoint& endpoint, const ConnectOptions& options)
      : name_{endpoint.name()},
        tls_{endpoint.tls},
        heartbeat_{options.heartbeat},
        state_{amqp_new_connection()} {
    init_amqp_pool(&pool_, 4096);
  }

  static timeval as_timeval(Duration duration) noexcept {
    const auto us = std::chrono::duration_cast<std::chrono::microseconds>(duration).count();
    return {us / 1'000'000, us % 1'000'000};
  }

  Result<> connect(const Endpoint& endpoint, const ConnectOptions& options) {
    const std::string operation = "connect to " + name_;
    amqp_socket_t* socket = tls_ ? amqp_ssl_socket_new(state_) : amqp_tcp_socket_new(state_);
    if (state_ == nullptr || socket == nullptr) {
      return Error::make(Errc::internal, operation, "out of memory");
    }
    if (tls_) {
      if (Result<> ready = secure(socket, options.tls); !ready) return ready;
    }
    timeval timeout = as_timeval(options.timeout);
    const int opened =
        amqp_socket_open_noblock(socket, endpoint.host.c_str(), endpoint.port, &timeout);
    if (opened != AMQP_STATUS_OK) {
      Error problem = library_error(opened, operation);
      if (problem.code == Errc::unavailable) {
        problem.context.append("; is the broker running, and reachable there?");
      }
      return problem;
    }
    amqp_set_handshake_timeout(state_, &timeout);
    amqp_set_rpc_timeout(state_, &timeout);
    if (Result<> entered = log_in(endpoint, operation); !entered) return entered;
    if (amqp_get_frame_max(state_) < static_cast<int>(frame_max)) {
      return Error::make(Errc::unsupported, operation,
                         "the broker's frame_max is below 131072, its default");
    }
    // A quorum queue adds headers when it delivers again, and no broker looks whether they fit: the
    // library takes longer frames than were agreed on, as one such message would come for ever.
    amqp_tune_connection(state_, amqp_get_channel_max(state_), static_cast<int>(2 * frame_max),
                         amqp_get_heartbeat(state_));
    handed_over_ = true;
    in_.resize(std::size_t{256} * 1024);
    last_sent_ = last_received_ = std::chrono::steady_clock::now();
    return {};
  }

  static Result<> secure(amqp_socket_t* socket, const Tls& tls) {
    const auto refused = [](const char* what, const std::string& file) {
      return Error::make(Errc::invalid_argument, "connect", what + file);
    };
    amqp_ssl_socket_set_verify_peer(socket, 1);
    amqp_ssl_socket_set_verify_hostname(socket, 1);
    amqp_ssl_socket_set_ssl_versions(socket, AMQP_TLSv1_2, AMQP_TLSvLATEST);
    if (amqp_ssl_socket_set_cacert(socket, tls.ca.c_str()) != AMQP_STATUS_OK) {
      return refused("cannot read certificates from .tls.ca = ", tls.ca);
    }
    if (!tls.certificate.empty() &&
        amqp_ssl_socket_set_key(socket, tls.certificate.c_str(), tls.key.c_str()) !=
            AMQP_STATUS_OK) {
      return refused("cannot read .tls.certificate and .tls.key: ", tls.certificate);
    }
    return {};
  }

  Result<> log_in(const Endpoint& endpoint, const std::string& operation) {
    // Without these the broker does not tell that a queue was deleted or that it takes no messages.
    amqp_table_entry_t capable[2]{};
    capable[0].key = bytes_of("consumer_cancel_notify");
    capable[1].key = bytes_of("connection.blocked");
    for (auto& each : capable) {
      each.value.kind = AMQP_FIELD_KIND_BOOLEAN;
      each.value.value.boolean = 1;
    }
    amqp_table_entry_t entries[2]{};
    entries[0].key = bytes_of("capabilities");
    entries[0].value.kind = AMQP_FIELD_KIND_TABLE;
    entries[0].value.value.table = {2, capable};
    entries[1].key = bytes_of("connection_name");
    entries[1].value.kind = AMQP_FIELD_KIND_UTF8;
    entries[1].value.value.bytes = bytes_of("omnibus");
    const amqp_table_t properties{2, entries};
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(heartbeat_).count();
    const amqp_rpc_reply_t reply = amqp_login_with_properties(
        state_, endpoint.vhost.c_str(), 0, static_cast<int>(frame_max), static_cast<int>(seconds),
        &properties, AMQP_SASL_METHOD_PLAIN, endpoint.user.c_str(), endpoint.password.c_str());
    if (reply.reply_type == AMQP_RESPONSE_NORMAL) {
      // The broker may have asked for a shorter one.
      heartbeat_ = std::chrono::seconds{amqp_get_heartbeat(state_)};
      return {};
    }
    if (reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION &&
        reply.reply.id == AMQP_CONNECTION_CLOSE_METHOD) {
      const auto* close = static_cast<const amqp_connection_close_t*>(reply.reply.decoded);
      return broker_error(close->reply_code, view_of(close->reply_text), operation);
    }
    return library_error(reply.library_error, operation);
  }

  Got take(amqp_frame_t& frame, Instant now) {
    if (tls_ || handed_over_) return take_from_library(frame, now);
    while (true) {
      while (in_at_ < in_end_) {
        const int used = amqp_handle_input(state_, {in_end_ - in_at_, in_.data() + in_at_}, &frame);
        if (used < 0) return lose(library_error(used, "read from " + name_));
        in_at_ += static_cast<std::size_t>(used);
        if (frame.frame_type != 0) return Got::frame;
      }
      if (drained_ || !receive(now)) {
        drained_ = false;
        return problem_ ? Got::lost : Got::nothing;
      }
    }
  }

  bool send_over_tcp(Instant now) {
    while (sent_ < out_.size()) {
      const ssize_t count =
          ::send(fd(), out_.data() + sent_, out_.size() - sent_, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (count < 0) {
        if (errno == EINTR) continue;
        if (errno == EAGAIN || errno == EWOULDBLOCK) break;
        lose(Error::make(Errc::unavailable, "write to " + name_, "the connection was lost"));
        return false;
      }
      sent_ += static_cast<std::size_t>(count);
      last_sent_ = now;
    }
    if (sent_ == out_.size()) {
      out_.clear();
      sent_ = 0;
    }
    return true;
  }

  bool receive(Instant now) {
    while (true) {
      const ssize_t count = ::recv(fd(), in_.data(), in_.size(), MSG_DONTWAIT);
      if (count > 0) {
        in_at_ = 0;
        in_end_ = static_cast<std::size_t>(count);
        drained_ = in_end_ < in_.size();
        last_received_ = now;
        return true;
      }
      if (count < 0 && errno == EINTR) continue;
      if (count == 0 || (errno != EAGAIN && errno != EWOULDBLOCK)) {
        lose(Error::make(Errc::unavailable, "read from " + name_, "the broker closed the connection"));
      }
      return false;
    }
  }

  Got take_from_library(amqp_frame_t& frame, Instant now) {
    if (!tls_ && amqp_frames_enqueued(state_) == 0 && amqp_data_in_buffer(state_) == 0) {
      handed_over_ = false;  // nothing is left of the handshake: from now on we read ourselves
      return take(frame, now);
    }
    timeval none{};
    const int status = amqp_simple_wait_frame_noblock(state_, &frame, &none);
    if (status == AMQP_STATUS_TIMEOUT) return Got::nothing;
    if (status != AMQP_STATUS_OK) return lose(library_error(status, "read from " + name_));
    last_received_ = now;
    return Got::frame;
  }

  // ── TLS: the library alone can write there, and it takes frames one by one ──────────────────────

  bool send_over_tls(Instant now) {
    while (sent_ < out_.size()) {
      amqp_frame_t frame{};
      const std::size_t size = take_apart(std::string_view{out_}.substr(sent_), frame);
      const int status = amqp_send_frame(state_, &frame);
      recycle_amqp_pool(&pool_);
      if (status != AMQP_STATUS_OK) {
        lose(library_error(status, "write to " + name_));
        return false;
      }
      sent_ += size;
    }
    last_sent_ = now;
    out_.clear();
    sent_ = 0;
    return true;
  }

  /// Makes the library's idea of a frame of one of ours; returns the size of ours.
  std::size_t take_apart(std::string_view bytes, amqp_frame_t& frame) {
    const auto number = [&](std::size_t at, std::size_t width) {
      std::uint64_t value = 0;
      for (std::size_t i = 0; i < width; ++i) {
        value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
      }
      return value;
    };
    frame.frame_type = static_cast<std::uint8_t>(number(0, 1));
    frame.channel = static_cast<amqp_channel_t>(number(1, 2));
    const auto size = static_cast<std::size_t>(number(3, 4));
    const std::string_view payload = bytes.substr(7, size);
    switch (frame.frame_type) {
      case AMQP_FRAME_METHOD:
        frame.payload.method.id = static_cast<amqp_method_number_t>(number(7, 4));
        amqp_decode_method(frame.payload.method.id, &pool_, bytes_of(payload.substr(4)),
                           &frame.payload.method.decoded);
        break;
      case AMQP_FRAME_HEADER:
        frame.payload.properties.class_id = static_cast<std::uint16_t>(number(7, 2));
        frame.payload.properties.body_size = number(11, 8);
        amqp_decode_properties(frame.payload.properties.class_id, &pool_,
                               bytes_of(payload.substr(12)), &frame.payload.properties.decoded);
        break;
      case AMQP_FRAME_BODY: frame.payload.body_fragment = bytes_of(payload); break;
      default: break;
    }
    return size + frame_overhead;
  }

  const std::string name_;
  const bool tls_;
  Duration heartbeat_;
  amqp_connection_state_t state_;
  amqp_pool_t pool_{};
  bool handed_over_ = false;  // the library may still hold what it read during the handshake
  std::string out_;
  std::size_t sent_ = 0;
  std::string in_;
  std::size_t in_at_ = 0;
  std::size_t in_end_ = 0;
  bool drained_ = false;  // the last read got all there was
  Instant last_sent_{};
  Instant last_received_{};
  std::optional<Error> problem_;
};

}  // namespace omnibus::rabbitmq
