// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <omnibus/backends/redis/frame.hpp>
#include <omnibus/message.hpp>

// A message that came over a channel.

namespace omnibus::redis {

/// One message, with its bytes. Its address is its token. Kept and used again, with its memory.
/// Thread safety: one thread at a time.
class Heard {
 public:
  /// What came, and from which topic. One that is not framed as ours is a payload without an id, which
  /// was published about `now`.
  void take(std::string_view topic, std::string_view bytes, Time now) {
    topic_.assign(topic);
    bytes_.assign(bytes);
    if (read_frame(bytes_, message_, headers_)) return;
    message_ = {};
    message_.payload = bytes_;
    message_.time = now;
  }

  /// Lifetime: until the next `take`, or `release`.
  const MessageView& message() const noexcept { return message_; }
  std::string_view topic() const noexcept { return topic_; }

  /// To be called when it is no longer needed: does not hold on to unusual amounts of memory.
  void release() noexcept {
    for (std::string* each : {&topic_, &bytes_, &headers_}) {
      if (each->capacity() > 64 * 1024) std::string{}.swap(*each);
    }
  }

  Heard* next_free = nullptr;  ///< of the pool

 private:
  std::string topic_;
  std::string bytes_;
  std::string headers_;
  MessageView message_;
};

}  // namespace omnibus::redis
