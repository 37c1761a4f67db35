// SPDX-License-Identifier: MIT
// Endpoints: a URL is read as it was written, and no password is ever shown.
#include <algorithm>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <omnibus/backends/kafka/settings.hpp>
#include <omnibus/backends/rabbitmq/endpoint.hpp>
#include <omnibus/backends/redis/endpoint.hpp>
#include <omnibus/detail/percent.hpp>

#include "fuzz.hpp"

namespace {

using namespace omnibus;
using fuzz::require;

/// Every byte in percent signs, but a zero, which no part of a URL may have.
std::string encoded(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte == 0) continue;
    out += '%';
    out += "0123456789abcdef"[byte >> 4];
    out += "0123456789ABCDEF"[byte & 15];
  }
  return out;
}
std::string without_zeros(std::string_view text) {
  std::string out{text};
  std::erase(out, '\0');
  return out;
}

/// Whether a text has this word, with or without percent signs.
bool mentions(std::string_view text, std::string_view word) {
  std::string decoded;
  while (!text.empty()) {
    const std::string_view coded = text.substr(0, 3);
    const bool is_coded = coded.size() == 3 && coded[0] == '%' && detail::percent_decode(coded, decoded);
    if (!is_coded) decoded += text[0];
    text.remove_prefix(is_coded ? 3 : 1);
  }
  return decoded.find(word) != std::string::npos;
}

template <class Endpoints>
void check(const Endpoints& endpoints) {
  require(!endpoints.empty(), "a list of URLs has one");
  for (const auto& each : endpoints) {
    require(each.port >= 1 && each.port <= 65535, "a port is one");
    for (const std::string* part : {&each.user, &each.password, &each.host}) {
      require(part->find('\0') == std::string::npos, "nothing has a zero, where C would end it");
    }
  }
}

/// Reads any text, and looks what is told where it is refused. `secret` is in no other place of the text.
template <class Parse>
auto parse(Parse read, std::string_view secret) -> decltype(read()) {
  try {
    auto endpoints = read();
    check(endpoints);
    for (const auto& each : endpoints) {
      require(secret.empty() || each.name().find(secret) == std::string::npos, "a name shows no password");
    }
    return endpoints;
  } catch (const std::invalid_argument& refusal) {
    require(secret.empty() || std::string_view{refusal.what()}.find(secret) == std::string_view::npos,
            "a refusal shows no password");
    return {};
  }
}

void brokers(std::string_view list) {
  if (!kafka::is_broker_list(list)) return;
  require(list.find('@') == std::string_view::npos && list.find('/') == std::string_view::npos,
          "brokers have no password");
  if (kafka::is_loopback(list)) {
    const std::string more = std::string{list} + ",example.org";
    require(kafka::is_broker_list(more) && !kafka::is_loopback(more), "one remote broker makes them remote");
  }
}

void secrets(std::string_view text, const std::string& one, const std::string& other) {
  const std::string clean = kafka::without_secrets(text, {one, other});
  for (const std::string& secret : {one, other}) {
    // Where stars are part of a secret, they may be ours.
    if (secret.empty() || secret.find('*') != std::string::npos) continue;
    require(clean.find(secret) == std::string::npos, "a text shows no secret");
  }
  require(clean.size() <= 3 * text.size(), "blanking makes at most three stars of each byte");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input{data, size};
  const std::uint8_t how = input.byte();
  const std::string_view any = input.rest();
  parse([&] { return redis::parse_endpoints(any, "redis", (how & 1) != 0); }, {});
  parse([&] { return rabbitmq::parse_endpoints(any); }, {});
  brokers(any);

  // A password is put before an @, and everything else is as it comes.
  const std::string user = without_zeros(input.text()), tail{input.text()};
  const std::string password = "c4n4ry" + without_zeros(input.text()), host{input.rest()};
  if (mentions(user, "c4n4ry") || mentions(tail, "c4n4ry")) return 0;
  const std::string login = encoded(user) + ":" + encoded(password) + "@";
  // As somebody may write it who does not know better. With a comma, several URLs may be meant.
  const bool is_one = (user + password).find(',') == std::string::npos && user.find('/') == std::string::npos;
  const std::string raw = (is_one ? user + ":" + password + "@" : login) + tail;
  for (const std::string_view scheme : {"redis://", "rediss://", "unix://"}) {
    for (const std::string& rest : {login + tail, raw}) {
      const std::string url = std::string{scheme} + rest;
      parse([&] { return redis::parse_endpoints(url, "redis", scheme == "rediss://"); }, "c4n4ry");
    }
  }
  for (const std::string_view scheme : {"amqp://", "amqps://"}) {
    for (const std::string& rest : {login + tail, raw}) {
      parse([&] { return rabbitmq::parse_endpoints(std::string{scheme} + rest); }, "c4n4ry");
    }
  }

  // Encoded, everything is read as it was meant.
  const std::string name = "h" + without_zeros(host);
  const int port = 1 + how * 200;
  const std::string at = encoded(name) + ":" + std::to_string(port) + "/";
  const auto redis = redis::parse_endpoints("redis://" + login + at + "3", "redis");
  require(redis[0].user == user && redis[0].password == password && redis[0].host == name &&
              redis[0].port == port && redis[0].database == 3,
          "a URL of Redis is read as it was meant");
  const auto socket = redis::parse_endpoints("unix://" + login + "/" + encoded(host) + "x?db=7", "redis");
  require(socket[0].path == "/" + without_zeros(host) + "x" && socket[0].password == password &&
              socket[0].database == 7,
          "a socket's path is read as it was meant");
  const auto rabbit = rabbitmq::parse_endpoints("amqp://" + login + at + encoded(name));
  require(rabbit[0].user == user && rabbit[0].password == password && rabbit[0].host == name &&
              rabbit[0].port == port && rabbit[0].vhost == name,
          "a URL of RabbitMQ is read as it was meant");
  secrets(any, password, user);
  return 0;
}
