// SPDX-License-Identifier: MIT
// The properties and headers of AMQP messages that other programs made, and what brokers say.
#include <string>
#include <string_view>

#include <omnibus/backends/rabbitmq/amqp.hpp>
#include <omnibus/backends/rabbitmq/received.hpp>

#include "fuzz.hpp"

namespace {

using namespace omnibus;
using namespace omnibus::rabbitmq;
using fuzz::require;

/// What rabbitmq-c allocates, for one input.
struct Pool {
  Pool() { init_amqp_pool(&pool, 4096); }
  ~Pool() { empty_amqp_pool(&pool); }
  amqp_pool_t pool;
};

void check(const Received& received, std::string_view properties, std::size_t body) {
  const MessageView& message = received.message();
  fuzz::walk(message);
  require(message.payload.size() == body, "the body is the payload");
  require(received.facts().attempts <= 1'000'000, "attempts are bounded");
  require(received.facts().wait >= Duration::zero(), "nobody waits for less than no time");
  // Numbers take more room as text than as bytes, and each header takes its sizes.
  std::size_t headers = 0;
  constexpr std::size_t nested = 8192 + 2 * (2 * 1024 + 2 * 255) + 400;
  for (const Header header : message.headers) {
    ++headers;
    require(!header.name.starts_with(own_header::prefix), "what is ours is no header");
    require(header.value.size() <= properties.size() || header.value.size() <= nested, "headers are bounded");
  }
  require(received.size() <= body + properties.size() + headers * (nested + 8), "memory is bounded");
  require(headers <= properties.size(), "each header costs its sender a byte");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Received received;  // it is used again, as a consumer does
  fuzz::Input input{data, size};
  const bool redelivered = (input.byte() & 1) != 0;
  const std::size_t part = 1 + input.byte() % 64;
  const std::string_view body = input.text();
  const std::string_view properties = input.rest();

  const std::size_t refused = refused_size(body);
  require(refused == 0 || body.find("message size ") != std::string_view::npos, "only a size is a size");
  require(!broker_error(static_cast<std::uint16_t>(300 + part * 4), body, "use").message().empty(),
          "an error says something");

  Pool memory;
  void* decoded = nullptr;
  if (amqp_decode_properties(60, &memory.pool, bytes_of(properties), &decoded) != AMQP_STATUS_OK) return 0;
  received.begin(*static_cast<const amqp_basic_properties_t*>(decoded), body.size(), redelivered);
  require(received.whole() == body.empty(), "a message is whole when its body has come");
  for (std::size_t at = 0; at < body.size(); at += part) {
    require(!received.whole(), "a message is not whole before its body has come");
    const bool whole = received.add(body.substr(at, part));
    require(whole == (at + part >= body.size()), "the last part makes it whole");
  }
  check(received, properties, body.size());
  received.release();
  return 0;
}
