// SPDX-License-Identifier: MIT
#pragma once

// rabbitmq-c, wherever its headers are: since 0.12 they have a folder of their own.
#if __has_include(<rabbitmq-c/amqp.h>)
#include <rabbitmq-c/amqp.h>
#include <rabbitmq-c/framing.h>
#include <rabbitmq-c/ssl_socket.h>
#include <rabbitmq-c/tcp_socket.h>
#endif
#if !__has_include(<rabbitmq-c/amqp.h>)
#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_ssl_socket.h>
#include <amqp_tcp_socket.h>
#endif

#include <charconv>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include <omnibus/backends/rabbitmq/frames.hpp>
#include <omnibus/detail/printable.hpp>
#include <omnibus/error.hpp>

// What else is needed of the C client: its strings as ours, its methods as frames, and its errors as
// errors of omnibus.

namespace omnibus::rabbitmq {

inline std::string_view view_of(const amqp_bytes_t& bytes) noexcept {
  return bytes.len == 0 ? std::string_view{}
                        : std::string_view{static_cast<const char*>(bytes.bytes), bytes.len};
}
/// Lifetime: of the text.
inline amqp_bytes_t bytes_of(std::string_view text) noexcept {
  return {text.size(), const_cast<char*>(text.data())};
}

/// Appends a method frame. `method` is the struct that belongs to `id`. For the rare methods: what is
/// sent for every message is encoded by hand.
inline void append_method(std::string& out, std::uint16_t channel, amqp_method_number_t id,
                          void* method) {
  constexpr std::size_t most = 4096;  // names have at most 255 bytes, arguments are ours
  const auto frame = begin_frame(out, FrameType::method, channel);
  put32(out, id);
  const std::size_t begin = out.size();
  out.resize(begin + most);
  const int size = amqp_encode_method(id, method, {most, out.data() + begin});
  out.resize(begin + static_cast<std::size_t>(size > 0 ? size : 0));
  end_frame(out, frame);
}

inline void append_channel_close(std::string& out, std::uint16_t channel) {
  amqp_channel_close_t close{};
  close.reply_code = AMQP_REPLY_SUCCESS;
  append_method(out, channel, AMQP_CHANNEL_CLOSE_METHOD, &close);
}

/// What a reply code of the broker means. `text` is what it said; what to do is added where that is
/// known. AMQP 0-9-1 specification, "constants".
inline Error broker_error(std::uint16_t code, std::string_view text, std::string operation) {
  std::string context = detail::printable(text);
  Errc errc = Errc::unavailable;
  switch (code) {
    case AMQP_ACCESS_REFUSED:
      errc = Errc::access_denied;
      context.append("; check user, password and permissions");
      break;
    case AMQP_NOT_ALLOWED:
      errc = text.find("not found") != std::string_view::npos ? Errc::not_found : Errc::access_denied;
      context.append("; check the vhost, the last part of the URL");
      break;
    case AMQP_NOT_FOUND: errc = Errc::not_found; break;
    case AMQP_PRECONDITION_FAILED:
      errc = Errc::topology_mismatch;
      if (text.find("inequivalent") != std::string_view::npos) {
        context.append("; configure this bus like the others, or delete what stands there");
      }
      break;
    case AMQP_CONTENT_TOO_LARGE: errc = Errc::too_large; break;
    case AMQP_NOT_IMPLEMENTED: errc = Errc::unsupported; break;
    case AMQP_FRAME_ERROR:
    case AMQP_SYNTAX_ERROR:
    case AMQP_COMMAND_INVALID:
    case AMQP_CHANNEL_ERROR:
    case AMQP_UNEXPECTED_FRAME: errc = Errc::internal; break;
    default: break;  // 320 forced, 405 locked, 506, 541: they pass
  }
  return Error::make(errc, std::move(operation), std::move(context));
}

/// The size of a message that was too large for the broker, from its words; 0 when they say
/// something else.
inline std::size_t refused_size(std::string_view text) {
  constexpr std::string_view before = "message size ";
  const std::size_t at = text.find(before);
  std::size_t size = 0;
  if (at == std::string_view::npos) return size;
  text.remove_prefix(at + before.size());
  std::from_chars(text.data(), text.data() + text.size(), size);
  return size;
}

/// What a status of the library means.
inline Error library_error(int status, std::string operation) {
  Errc errc = Errc::unavailable;
  std::string context = amqp_error_string2(status);
  switch (status) {
    case AMQP_STATUS_SSL_HOSTNAME_VERIFY_FAILED:
      context.append("; the certificate is not for this host");
      errc = Errc::access_denied;
      break;
    case AMQP_STATUS_SSL_PEER_VERIFY_FAILED:
      context.append("; is .tls.ca the authority of the broker's certificate?");
      errc = Errc::access_denied;
      break;
    case AMQP_STATUS_SSL_ERROR:  // all that rabbitmq-c says of an alert
      context.append("; a broker that asks for a certificate wants .tls.certificate and .tls.key");
      break;
    case AMQP_STATUS_BROKER_UNSUPPORTED_SASL_METHOD: errc = Errc::unsupported; break;
    case AMQP_STATUS_NO_MEMORY: errc = Errc::internal; break;
    default: break;
  }
  return Error::make(errc, std::move(operation), std::move(context));
}

}  // namespace omnibus::rabbitmq
