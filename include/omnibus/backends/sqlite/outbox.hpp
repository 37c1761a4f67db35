// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/backend.hpp>
#include <omnibus/backends/sqlite/rows.hpp>
#include <omnibus/detail/routes.hpp>
#include <omnibus/detail/slots.hpp>

// The messages that have been submitted and have no ending yet, in order. No I/O.

namespace omnibus::sqlite {

/// A topic as the writing thread knows it, which alone looks at all but the name.
struct Route {
  explicit Route(std::string_view name) : topic{name} {}

  const std::string topic;
  std::uint64_t known_in = 0;     ///< the life of the file in which the rest was read; 0: never
  std::int64_t first = 0;         ///< the partition of shard 0
  std::int32_t shards = 0;
  std::uint64_t numbered_in = 0;  ///< the transaction in which `next` was read
  std::vector<std::uint64_t> next;  ///< of each shard: the position of the next message; 0: not known
};
using Routes = detail::Routes<Route>;

/// A message that owns its bytes, in one piece, which is used again.
struct Packed {
  std::string bytes;
  MessageView view;  ///< of `bytes`

  void pack(const MessageView& message) {
    bytes.clear();
    bytes.reserve(message.id.size() + message.type.size() + message.key.size() +
                  message.headers.block().size() + message.payload.size());
    const auto add = [this](std::string_view part) {
      const std::size_t at = bytes.size();
      bytes.append(part);
      return std::string_view{bytes.data() + at, part.size()};
    };
    view = {add(message.id),      add(message.type), add(message.key), HeadersView{add(message.headers.block())},
            add(message.payload), message.time,      message.sequence};
  }
  /// Does not hold on to unusual amounts of memory.
  void release() {
    if (bytes.capacity() > 64 * 1024) std::string{}.swap(bytes);
  }
};

/// Messages that are stored as one, and what became of them.
struct Several {
  struct Each {
    Packed message;
    Route* route = nullptr;
  };
  std::vector<Each> all;
  std::size_t bytes = 0;
  std::vector<Receipt> receipts;
};

/// A ring of messages on their way. One side adds, the other one takes; each side is one thread at a time.
class Outbox {
 public:
  struct Item {
    Packed message;
    Route* route = nullptr;
    Duration delay{};
    std::shared_ptr<Several> several;  ///< instead of the message

    std::size_t bytes() const noexcept { return several ? several->bytes : message.bytes.size(); }
  };

  Outbox(std::size_t window, std::size_t window_bytes)
      : slots_{window, window_bytes}, items_(slots_.capacity()) {}

  // ── the side that adds ─────────────────────────────────────────────────────────────────────────

  bool has_room() const noexcept { return slots_.has_room(); }
  bool has_much_room() const noexcept { return slots_.has_much_room(); }
  void add(Outgoing& outgoing, Route& route, Instant deadline) {
    Item& item = at(slots_.tail());
    item.message.pack(outgoing.message);
    item.route = &route;
    item.delay = outgoing.delay;
    slots_.add(std::move(outgoing.done), deadline, item.message.bytes.size() + overhead);
  }
  /// Messages that are stored as one take one place, and have one ending.
  void add(std::shared_ptr<Several> several, PublishDone done, Instant deadline) {
    const std::size_t bytes = several->bytes + several->all.size() * overhead;
    at(slots_.tail()).several = std::move(several);
    slots_.add(std::move(done), deadline, bytes);
  }
  std::uint64_t tail() const noexcept { return slots_.tail(); }

  // ── the side that takes ────────────────────────────────────────────────────────────────────────

  /// Everything before this has its ending. Safe from any thread.
  std::uint64_t ended() const noexcept { return slots_.ended(); }
  Instant earliest() const noexcept { return slots_.earliest(); }
  bool has_ended(std::uint64_t number) const noexcept { return slots_.has_ended(number); }
  /// The number of the first message that is not stored.
  std::uint64_t next() const noexcept { return next_; }
  Item& at(std::uint64_t number) noexcept {
    return items_[static_cast<std::size_t>(number) & (items_.size() - 1)];
  }

  /// Ends the messages from `next()` to before `end`, with `ending(number)`.
  template <class Ending>
  void end_until(std::uint64_t end, Ending ending) {
    for (; next_ < end; ++next_) {
      if (!slots_.has_ended(next_)) slots_.end(next_, ending(next_));
      at(next_).message.release();
      at(next_).several.reset();
      slots_.returned(next_);
    }
    slots_.advance();
  }
  /// Ends every message whose time has come.
  void expire(Instant now, const Error& why) { slots_.expire(now, why); }

 private:
  static constexpr std::size_t overhead = 128;  ///< bytes that a message takes besides, roughly

  detail::Slots slots_;
  std::vector<Item> items_;
  std::uint64_t next_ = 0;
};

}  // namespace omnibus::sqlite
