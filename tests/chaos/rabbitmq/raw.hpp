// SPDX-License-Identifier: MIT
#pragma once

#include <sys/socket.h>
#include <sys/time.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <omnibus/backends/rabbitmq/amqp.hpp>

#include "chaos.hpp"

// A publisher that is not ours: rabbitmq-c shakes hands, and the frames of messages are written by
// hand, so that they can be anything.

namespace chaos {

/// Bytes with their length in front.
inline std::string sized(std::string_view bytes) {
  std::string out;
  ob::rabbitmq::put_long(out, bytes);
  return out;
}

/// Appends a field of an AMQP table; `value` is encoded already.
inline void add_field(std::string& table, std::string_view name, char kind,
                      std::string_view value) {
  ob::rabbitmq::put_short(table, name);
  table.push_back(kind);
  table.append(value);
}

/// An array in an array in an array, encoded, of this depth.
inline std::string nested_array(std::size_t depth) {
  std::string out;
  for (std::size_t left = depth; left-- > 0;) {
    ob::rabbitmq::put32(out, static_cast<std::uint32_t>(5 * left));
    if (left > 0) out.push_back('A');
  }
  return out;
}

class RawPublisher {
 public:
  RawPublisher() : state_{amqp_new_connection()} {
    const auto endpoint = ob::rabbitmq::parse_endpoints(RabbitMqFixture::endpoint()).front();
    amqp_socket_t* socket = amqp_tcp_socket_new(state_);
    expect(amqp_socket_open(socket, endpoint.host.c_str(), endpoint.port) == AMQP_STATUS_OK,
           "raw publisher: cannot connect");
    good(amqp_login(state_, endpoint.vhost.c_str(), 0, 131'072, 0, AMQP_SASL_METHOD_PLAIN,
                    endpoint.user.c_str(), endpoint.password.c_str()),
         "log in");
    amqp_channel_open(state_, channel);
    good(amqp_get_rpc_reply(state_), "open a channel");
    amqp_confirm_select(state_, channel);
    good(amqp_get_rpc_reply(state_), "select confirms");
  }
  ~RawPublisher() { amqp_destroy_connection(state_); }
  RawPublisher(const RawPublisher&) = delete;

  void declare_queue(const std::string& name, const std::string& type = "classic") {
    amqp_table_entry_t entry{};
    entry.key = amqp_cstring_bytes("x-queue-type");
    entry.value.kind = AMQP_FIELD_KIND_UTF8;
    entry.value.value.bytes = ob::rabbitmq::bytes_of(type);
    amqp_queue_declare(state_, channel, ob::rabbitmq::bytes_of(name), 0, 1, 0, 0, {1, &entry});
    good(amqp_get_rpc_reply(state_), "declare a queue");
  }

  /// A fanout exchange with this queue.
  void declare_exchange(const std::string& name, const std::string& queue) {
    using ob::rabbitmq::bytes_of;
    amqp_exchange_declare(state_, channel, bytes_of(name), amqp_cstring_bytes("fanout"), 0, 1, 0, 0,
                          amqp_empty_table);
    good(amqp_get_rpc_reply(state_), "declare an exchange");
    amqp_queue_bind(state_, channel, bytes_of(queue), bytes_of(name), amqp_empty_bytes,
                    amqp_empty_table);
    good(amqp_get_rpc_reply(state_), "bind a queue");
  }
  void delete_exchange(const std::string& name) {
    amqp_exchange_delete(state_, channel, ob::rabbitmq::bytes_of(name), 0);
    good(amqp_get_rpc_reply(state_), "delete an exchange");
  }

  /// Sends a message to a queue and waits for its confirm. `headers` is an encoded table.
  void publish(const std::string& queue, std::string_view body, const std::string& headers,
               std::string_view content_type) {
    using namespace ob::rabbitmq;
    std::string out;
    auto frame = begin_frame(out, FrameType::method, channel);
    put32(out, 0x003C0028);  // basic.publish
    put16(out, 0);
    put_short(out, "");
    put_short(out, queue);
    put8(out, 0);
    end_frame(out, frame);
    frame = begin_frame(out, FrameType::header, channel);
    put16(out, 60);
    put16(out, 0);
    put64(out, body.size());
    put16(out, static_cast<std::uint16_t>((content_type.empty() ? 0 : 1 << 15) |
                                          (headers.empty() ? 0 : 1 << 13)));
    if (!content_type.empty()) put_short(out, content_type);
    if (!headers.empty()) put_long(out, headers);
    end_frame(out, frame);
    if (!body.empty()) {
      frame = begin_frame(out, FrameType::body, channel);
      out.append(body);
      end_frame(out, frame);
    }
    for (std::size_t at = 0; at < out.size();) {
      const auto count =
          ::send(amqp_get_sockfd(state_), out.data() + at, out.size() - at, MSG_NOSIGNAL);
      expect(count > 0, "raw publisher: cannot write");
      at += static_cast<std::size_t>(count);
    }
    amqp_frame_t answer{};
    timeval patience{20, 0};
    expect(amqp_simple_wait_frame_noblock(state_, &answer, &patience) == AMQP_STATUS_OK &&
               answer.frame_type == AMQP_FRAME_METHOD &&
               answer.payload.method.id == AMQP_BASIC_ACK_METHOD,
           "raw publisher: the broker did not take a message");
    amqp_maybe_release_buffers(state_);
  }

  /// Takes a message and goes away without a word, so that it is delivered again.
  void take_one(const std::string& queue) {
    const auto reply = amqp_basic_get(state_, channel, ob::rabbitmq::bytes_of(queue), 0);
    good(reply, "get");
    expect(reply.reply.id == AMQP_BASIC_GET_OK_METHOD, "raw publisher: the queue is empty");
  }

 private:
  static constexpr amqp_channel_t channel = 1;

  static void good(const amqp_rpc_reply_t& reply, const char* what) {
    expect(reply.reply_type == AMQP_RESPONSE_NORMAL, "raw publisher: cannot ", what);
  }

  amqp_connection_state_t state_;
};

}  // namespace chaos
