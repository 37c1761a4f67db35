// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <hiredis/hiredis.h>

// Replies, told part by part while they are parsed: hiredis reads the protocol, and no tree is built
// where a message can be built at once.

namespace omnibus::redis {

/// A part of a reply: a value, or the beginning of an array whose elements follow.
struct Part {
  enum class Kind : std::uint8_t { text, status, error, integer, nil, array };
  Kind kind = Kind::nil;
  int depth = 0;            ///< 0: the reply itself; 1: an element of it
  std::size_t index = 0;    ///< among the elements of its array
  std::string_view text{};  ///< of text, status and error. Lifetime: this call
  std::int64_t number = 0;  ///< of an integer; how many elements an array has
};

/// Who is told. Called while parsing, so that nothing may throw.
class Replies {
 public:
  virtual ~Replies() = default;
  virtual void part(const Part& part) noexcept = 0;
  /// The reply is whole.
  virtual void complete() noexcept = 0;
};

/// hiredis' parser. Thread safety: one thread at a time.
class Reader {
 public:
  enum class Got : std::uint8_t { whole, nothing, malformed, too_large };

  /// A value longer than `largest` ends the reading.
  explicit Reader(std::size_t largest)
      : largest_{largest}, reader_{redisReaderCreateWithFunctions(functions())} {
    if (reader_ != nullptr) reader_->privdata = this;
  }
  ~Reader() {
    if (reader_ != nullptr) redisReaderFree(reader_);
  }
  Reader(const Reader&) = delete;

  /// Feeding more at once gets slow: the parser moves what is left each time (read.c).
  static constexpr std::size_t most_at_once = std::size_t{32} * 1024;

  /// Adds bytes that have come in. False when there is no memory for them.
  bool feed(const char* bytes, std::size_t size) noexcept {
    return reader_ != nullptr && redisReaderFeed(reader_, bytes, size) == REDIS_OK;
  }

  /// Tells of the next reply, as far as it has come in.
  Got next(Replies& replies) noexcept {
    replies_ = &replies;
    void* reply = nullptr;
    const int status = redisReaderGetReply(reader_, &reply);
    replies_ = nullptr;
    if (status != REDIS_OK) return Got::malformed;
    if (reply == nullptr) {
      // What is unparsed belongs to one value that is not whole yet.
      return reader_->len - reader_->pos > largest_ ? Got::too_large : Got::nothing;
    }
    replies.complete();
    return Got::whole;
  }

 private:
  /// What stands for an object is its depth and one, because hiredis wants no null pointers.
  static void* token(int depth) noexcept {
    return reinterpret_cast<void*>(static_cast<std::uintptr_t>(depth) + 1);
  }

  static void* tell(const redisReadTask* task, Part::Kind kind, std::string_view text,
                    std::int64_t number) noexcept {
    auto& self = *static_cast<Reader*>(task->privdata);
    const int depth =
        task->parent == nullptr
            ? 0
            : static_cast<int>(reinterpret_cast<std::uintptr_t>(task->parent->obj));
    const auto index = task->parent == nullptr ? 0 : static_cast<std::size_t>(task->idx);
    self.replies_->part({kind, depth, index, text, number});
    return token(depth);
  }

  static void* create_string(const redisReadTask* task, char* text, std::size_t size) noexcept {
    const Part::Kind kind = task->type == REDIS_REPLY_ERROR    ? Part::Kind::error
                            : task->type == REDIS_REPLY_STATUS ? Part::Kind::status
                                                               : Part::Kind::text;
    return tell(task, kind, {text, size}, 0);
  }

  /// The table has more members from version 1.0 on, and arrays have another type of size there.
  /// What comes only with RESP3 is never asked for.
  template <class Table>
  static Table make_functions() {
    Table made{};
    made.createString = [](const redisReadTask* task, char* text, std::size_t size) -> void* {
      return create_string(task, text, size);
    };
    made.createArray = [](const redisReadTask* task, auto size) -> void* {
      return tell(task, Part::Kind::array, {}, static_cast<std::int64_t>(size));
    };
    made.createInteger = [](const redisReadTask* task, long long number) -> void* {
      return tell(task, Part::Kind::integer, {}, number);
    };
    made.createNil = [](const redisReadTask* task) -> void* {
      return tell(task, Part::Kind::nil, {}, 0);
    };
    made.freeObject = [](void*) {};
    if constexpr (requires { made.createDouble; }) {
      made.createDouble = [](const redisReadTask* task, double, char* text,
                             std::size_t size) -> void* { return create_string(task, text, size); };
      made.createBool = [](const redisReadTask* task, int value) -> void* {
        return tell(task, Part::Kind::integer, {}, value);
      };
    }
    return made;
  }
  static redisReplyObjectFunctions* functions() {
    static redisReplyObjectFunctions table = make_functions<redisReplyObjectFunctions>();
    return &table;
  }

  const std::size_t largest_;
  redisReader* const reader_;
  Replies* replies_ = nullptr;
};

}  // namespace omnibus::redis
