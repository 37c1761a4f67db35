// SPDX-License-Identifier: MIT
#pragma once

#include <sys/time.h>

#include <array>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

#include <amqp.h>
#include <amqp_tcp_socket.h>

// What omnibus is measured against: rabbitmq-c as a good engineer uses it by the book. One
// connection with one channel; every call throws when it does not do what was asked.

namespace bench {

/// Thread safety: one thread at a time.
class RabbitMqTwin {
 public:
  static constexpr std::uint64_t kWindow = 1'000;    ///< publishes without a confirm, at most
  static constexpr std::uint16_t kPrefetch = 1'000;  ///< deliveries without an ack, at most
  static constexpr std::uint64_t kAckEvery = 100;

  /// Connects, and opens the channel with publisher confirms.
  explicit RabbitMqTwin(std::string url) : connection_{amqp_new_connection()} {
    try {
      connect(url);
    } catch (...) {
      amqp_destroy_connection(connection_);
      throw;
    }
  }
  RabbitMqTwin(const RabbitMqTwin&) = delete;
  RabbitMqTwin& operator=(const RabbitMqTwin&) = delete;
  ~RabbitMqTwin() {
    amqp_connection_close(connection_, AMQP_REPLY_SUCCESS);
    amqp_destroy_connection(connection_);
  }

  /// Makes a durable queue. Blocks.
  void declare(const std::string& queue, bool quorum) {
    amqp_table_entry_t type{amqp_cstring_bytes("x-queue-type"), {}};
    type.value.kind = AMQP_FIELD_KIND_UTF8;
    type.value.value.bytes = amqp_cstring_bytes(quorum ? "quorum" : "classic");
    const amqp_table_t arguments{1, &type};
    amqp_queue_declare(connection_, kChannel, bytes(queue), false, true, false, false, arguments);
    replied("queue.declare");
  }

  /// Deletes a queue and what is in it. Blocks.
  void remove(const std::string& queue) {
    amqp_queue_delete(connection_, kChannel, bytes(queue), false, false);
    replied("queue.delete");
  }

  /// Publishes one message; while the window is full, waits for confirms.
  void publish(const std::string& queue, std::string_view body) {
    while (unconfirmed() >= kWindow) await_confirms();
    std::array<char, 32> id{'b', 'e', 'n', 'c', 'h', '-'};
    const char* end = std::to_chars(id.data() + 6, id.data() + id.size(), next_).ptr;
    amqp_basic_properties_t properties{};
    properties._flags = AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_MESSAGE_ID_FLAG;
    properties.delivery_mode = AMQP_DELIVERY_PERSISTENT;
    properties.message_id = bytes({id.data(), end});
    check(amqp_basic_publish(connection_, kChannel, amqp_empty_bytes, bytes(queue), true, false,
                             &properties, bytes(body)),
          "basic.publish");
    ++next_;
  }

  /// Messages that were published and are not confirmed, counted from the oldest of them.
  std::uint64_t unconfirmed() const noexcept { return next_ - oldest_; }

  /// Waits until everything is confirmed.
  void flush() {
    while (unconfirmed() > 0) await_confirms();
  }

  /// Reads confirms until everything is confirmed or `due` has come.
  void read_confirms_until(std::chrono::steady_clock::time_point due) {
    while (unconfirmed() > 0) {
      const auto left = std::chrono::duration_cast<std::chrono::microseconds>(
          due - std::chrono::steady_clock::now());
      if (left.count() <= 0 || !read_confirms(left)) return;
    }
  }

  /// Starts consuming. Blocks until the broker has said yes.
  void start_consuming(const std::string& queue) {
    amqp_basic_qos(connection_, kChannel, 0, kPrefetch, false);
    replied("basic.qos");
    amqp_basic_consume(connection_, kChannel, bytes(queue), amqp_empty_bytes, false, false, false,
                       amqp_empty_table);
    replied("basic.consume");
  }

  /// Calls `handler` with the body of each of the next `messages` messages, and acknowledges them.
  template <class Handler>
  void consume(std::uint64_t messages, Handler handler) {
    const timeval patience = as_timeval(kPatience);
    for (std::uint64_t i = 1; i <= messages; ++i) {
      amqp_maybe_release_buffers(connection_);
      amqp_envelope_t envelope;
      check(amqp_consume_message(connection_, &envelope, &patience, 0), "basic.deliver");
      handler(std::string_view{static_cast<const char*>(envelope.message.body.bytes),
                               envelope.message.body.len});
      const std::uint64_t tag = envelope.delivery_tag;
      amqp_destroy_envelope(&envelope);
      if (i % kAckEvery == 0 || i == messages) {
        check(amqp_basic_ack(connection_, kChannel, tag, true), "basic.ack");
      }
    }
  }

 private:
  static constexpr amqp_channel_t kChannel = 1;
  static constexpr std::chrono::microseconds kPatience = std::chrono::seconds{30};

  void connect(std::string& url) {
    amqp_connection_info info;
    check(amqp_parse_url(url.data(), &info), "parse the URL");
    amqp_socket_t* socket = amqp_tcp_socket_new(connection_);
    if (socket == nullptr) throw std::runtime_error{"rabbitmq-c: no memory for a socket"};
    check(amqp_socket_open(socket, info.host, info.port), "connect");
    const char* vhost = *info.vhost == '\0' ? "/" : info.vhost;
    check(amqp_login(connection_, vhost, 0, 131'072, 30, AMQP_SASL_METHOD_PLAIN, info.user,
                     info.password),
          "login");
    amqp_channel_open(connection_, kChannel);
    replied("channel.open");
    amqp_confirm_select(connection_, kChannel);
    replied("confirm.select");
  }

  /// Waits for a confirm and then takes all that have been read with it. False: none came in time.
  bool read_confirms(std::chrono::microseconds patience) {
    timeval wait = as_timeval(patience);
    amqp_frame_t frame;
    int status = amqp_simple_wait_frame_noblock(connection_, &frame, &wait);
    if (status == AMQP_STATUS_TIMEOUT) return false;
    for (wait = {}; status != AMQP_STATUS_TIMEOUT;) {
      check(status, "wait for a confirm");
      confirm(frame);
      amqp_maybe_release_buffers(connection_);
      if (!amqp_data_in_buffer(connection_)) break;
      status = amqp_simple_wait_frame_noblock(connection_, &frame, &wait);
    }
    return true;
  }

  void await_confirms() {
    if (!read_confirms(kPatience)) check(AMQP_STATUS_TIMEOUT, "wait for a confirm");
  }

  void confirm(const amqp_frame_t& frame) {
    if (frame.frame_type != AMQP_FRAME_METHOD || frame.payload.method.id != AMQP_BASIC_ACK_METHOD) {
      throw std::runtime_error{"rabbitmq-c: a message was returned or refused"};
    }
    const auto& ack = *static_cast<const amqp_basic_ack_t*>(frame.payload.method.decoded);
    if (ack.multiple) {
      while (oldest_ <= ack.delivery_tag) confirmed_[oldest_++ % kWindow] = false;
    } else {
      confirmed_[ack.delivery_tag % kWindow] = true;
    }
    while (confirmed_[oldest_ % kWindow]) confirmed_[oldest_++ % kWindow] = false;
  }

  static amqp_bytes_t bytes(std::string_view text) noexcept {
    return {text.size(), const_cast<char*>(text.data())};
  }
  static timeval as_timeval(std::chrono::microseconds time) noexcept {
    return {.tv_sec = time.count() / 1'000'000, .tv_usec = time.count() % 1'000'000};
  }

  static void check(int status, const char* what) {
    if (status == AMQP_STATUS_OK) return;
    throw std::runtime_error{std::string{"rabbitmq-c: "} + what + ": " +
                             amqp_error_string2(status)};
  }
  static void check(const amqp_rpc_reply_t& reply, const char* what) {
    if (reply.reply_type == AMQP_RESPONSE_NORMAL) return;
    if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION) check(reply.library_error, what);
    throw std::runtime_error{std::string{"rabbitmq-c: "} + what + ": the broker refused"};
  }
  /// Checks the answer to the last synchronous method.
  void replied(const char* what) { check(amqp_get_rpc_reply(connection_), what); }

  amqp_connection_state_t connection_;
  std::uint64_t next_ = 1;    ///< the delivery tag of the next publish
  std::uint64_t oldest_ = 1;  ///< the oldest that is not confirmed; next_ when there is none
  std::array<bool, kWindow> confirmed_{};
};

}  // namespace bench
