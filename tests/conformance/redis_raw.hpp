// SPDX-License-Identifier: MIT
#pragma once

#include <hiredis/hiredis.h>

#include <memory>
#include <string>
#include <vector>

#include <omnibus/backends/redis/endpoint.hpp>

#include "catch.hpp"
#include "redis_fixture.hpp"

namespace conformance {

/// Another program's connection.
class Raw {
 public:
  Raw() {
    const auto endpoint =
        ob::redis::parse_endpoints(RedisStreamsFixture::endpoint(), "test").front();
    context_.reset(redisConnect(endpoint.host.c_str(), endpoint.port));
  }
  /// The reply as text; elements of arrays with blanks between.
  std::string operator()(const std::vector<std::string>& arguments) {
    std::vector<const char*> texts;
    std::vector<std::size_t> sizes;
    for (const auto& each : arguments) {
      texts.push_back(each.data());
      sizes.push_back(each.size());
    }
    const std::unique_ptr<redisReply, void (*)(redisReply*)> reply{
        static_cast<redisReply*>(redisCommandArgv(context_.get(), static_cast<int>(texts.size()),
                                                  texts.data(), sizes.data())),
        [](redisReply* each) { freeReplyObject(each); }};
    REQUIRE(reply != nullptr);
    return text_of(*reply);
  }

 private:
  static std::string text_of(const redisReply& reply) {
    if (reply.type == REDIS_REPLY_INTEGER) return std::to_string(reply.integer);
    if (reply.type == REDIS_REPLY_NIL) return "nil";
    if (reply.type != REDIS_REPLY_ARRAY) return {reply.str, static_cast<std::size_t>(reply.len)};
    std::string text;
    for (std::size_t i = 0; i < reply.elements; ++i) {
      text.append(i > 0 ? " " : "").append(text_of(*reply.element[i]));
    }
    return text;
  }
  std::unique_ptr<redisContext, void (*)(redisContext*)> context_{
      nullptr, [](redisContext* each) { redisFree(each); }};
};

/// Puts a setting back when the case ends.
struct Restore {
  Raw& raw;
  std::string name;
  std::string before = raw({"CONFIG", "GET", name}).substr(name.size() + 1);
  ~Restore() { (void)raw({"CONFIG", "SET", name, before}); }
};

}  // namespace conformance
