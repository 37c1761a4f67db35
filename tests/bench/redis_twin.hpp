// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <hiredis/hiredis.h>

#include <omnibus/backends/redis/endpoint.hpp>

// What omnibus is measured against: hiredis as a good engineer uses it by the book. One connection;
// commands are pipelined with redisAppendCommandArgv and their replies read with redisGetReply; every
// call throws when it does not do what was asked.

namespace bench {

/// Thread safety: one thread at a time.
class RedisTwin {
 public:
  /// As large as what omnibus writes besides key and payload, so that both store the same.
  static constexpr std::string_view stamp = "1 1764041596123456789";
  static constexpr std::string_view id = "01890a5d-ac96-774b-bcce-b302099a8057";
  static constexpr std::size_t kPipeline = 1'000;  ///< commands without a reply, at most
  static constexpr std::size_t kCount = 256;       ///< entries of one XREADGROUP, at most

  explicit RedisTwin(const std::string& url) {
    const auto endpoint = omnibus::redis::parse_endpoints(url, "bench").front();
    context_.reset(redisConnect(endpoint.host.c_str(), endpoint.port));
    if (context_ == nullptr || context_->err != 0) throw std::runtime_error{"hiredis: connect"};
  }

  /// Appends a message to a stream; when the pipeline is full, reads half of the replies.
  void publish(std::string_view stream, std::string_view key, std::string_view payload) {
    append({"XADD", stream, "*", "omnibus", stamp, "id", id, "key", key, "payload", payload});
    appended();
  }
  /// Passes bytes on to who listens, likewise.
  void pass_on(std::string_view channel, std::string_view bytes) {
    append({"PUBLISH", channel, bytes});
    appended();
  }
  /// Sets a key for so many milliseconds unless it is there, likewise.
  void set_if_absent(std::string_view key, std::string_view value, std::string_view ms) {
    append({"SET", key, value, "NX", "PX", ms});
    appended();
  }
  /// Waits until everything is answered.
  void flush() { read_replies(0); }

  void make_group(std::string_view stream, std::string_view group) {
    append({"XGROUP", "CREATE", stream, group, "0", "MKSTREAM"});
    (void)reply();
  }
  void remove(std::string_view key) {
    append({"DEL", key});
    (void)reply();
  }

  /// Listens to a channel from now on.
  void subscribe(std::string_view channel) {
    append({"SUBSCRIBE", channel});
    (void)reply();
  }
  /// Calls `handler` with each of the next `messages` messages of the channel.
  template <class Handler>
  void listen(std::size_t messages, Handler handler) {
    for (std::size_t i = 0; i < messages; ++i) {
      const Reply heard = reply();
      const redisReply& bytes = *heard->element[2];
      handler(std::string_view{bytes.str, static_cast<std::size_t>(bytes.len)});
    }
  }

  /// Calls `handler` with the payload of each of the next `messages` messages; those of each read are
  /// acknowledged by one XACK, which goes out with the next read.
  template <class Handler>
  void consume(std::string_view stream, std::string_view group, std::size_t messages,
               Handler handler) {
    const std::string count = std::to_string(kCount);
    std::vector<std::string> done;
    for (std::size_t handled = 0; handled < messages;) {
      const bool acks = append_acks(stream, group, done);
      append({"XREADGROUP", "GROUP", group, "twin", "COUNT", count, "BLOCK", "30000", "STREAMS",
              stream, ">"});
      if (acks) (void)reply();
      const Reply read = reply();
      if (read->type != REDIS_REPLY_ARRAY) throw std::runtime_error{"hiredis: messages are missing"};
      const redisReply& entries = *read->element[0]->element[1];
      done.clear();
      for (std::size_t i = 0; i < entries.elements; ++i) {
        const redisReply& entry = *entries.element[i];
        handler(payload_of(*entry.element[1]));
        done.emplace_back(entry.element[0]->str, static_cast<std::size_t>(entry.element[0]->len));
        ++handled;
      }
    }
    if (append_acks(stream, group, done)) (void)reply();
  }

 private:
  struct Free {
    void operator()(redisContext* context) const { redisFree(context); }
    void operator()(redisReply* reply) const { freeReplyObject(reply); }
  };
  using Reply = std::unique_ptr<redisReply, Free>;

  void append(const std::vector<std::string_view>& arguments) {
    texts_.clear();
    sizes_.clear();
    for (const std::string_view each : arguments) {
      texts_.push_back(each.data());
      sizes_.push_back(each.size());
    }
    if (redisAppendCommandArgv(context_.get(), static_cast<int>(texts_.size()), texts_.data(),
                               sizes_.data()) != REDIS_OK) {
      throw std::runtime_error{"hiredis: append"};
    }
  }

  Reply reply() {
    void* made = nullptr;
    if (redisGetReply(context_.get(), &made) != REDIS_OK) {
      throw std::runtime_error{std::string{"hiredis: "} + context_->errstr};
    }
    Reply got{static_cast<redisReply*>(made)};
    if (got->type == REDIS_REPLY_ERROR) throw std::runtime_error{std::string{"redis: "} + got->str};
    return got;
  }
  void appended() {
    if (++unanswered_ < kPipeline) return;
    read_replies(kPipeline / 2);
  }
  void read_replies(std::size_t until) {
    for (; unanswered_ > until; --unanswered_) (void)reply();
  }

  bool append_acks(std::string_view stream, std::string_view group,
                   const std::vector<std::string>& done) {
    if (done.empty()) return false;
    std::vector<std::string_view> arguments{"XACK", stream, group};
    for (const std::string& each : done) arguments.push_back(each);
    append(arguments);
    return true;
  }

  static std::string_view payload_of(const redisReply& fields) {
    for (std::size_t i = 0; i + 1 < fields.elements; i += 2) {
      const redisReply& name = *fields.element[i];
      if (std::string_view{name.str, static_cast<std::size_t>(name.len)} != "payload") continue;
      const redisReply& value = *fields.element[i + 1];
      return {value.str, static_cast<std::size_t>(value.len)};
    }
    throw std::runtime_error{"redis: an entry without a payload"};
  }

  std::unique_ptr<redisContext, Free> context_;
  std::vector<const char*> texts_;
  std::vector<std::size_t> sizes_;
  std::size_t unanswered_ = 0;
};

}  // namespace bench
