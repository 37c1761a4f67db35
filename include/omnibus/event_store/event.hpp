// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/detail/smaller.hpp>
#include <omnibus/headers.hpp>
#include <omnibus/time.hpp>

// Events on their way into a store and out of it. Both are views: a store copies an event once, into the
// place where it stays, and a reader copies it once, into a page that it uses again.

namespace omnibus {

/// An event to append. Lifetime: of what it was made from, for the length of the call.
struct NewEvent {
  std::string_view id;       ///< unique in the store, and the same when the append is tried again
  std::string_view type;     ///< names what the payload is
  std::string_view payload;  ///< bytes, not necessarily text
  std::span<const std::string_view> tags{};  ///< what conditions and queries find it by: "course:c1"
  HeadersView metadata{};
  Time time{};               ///< when it happened, in microseconds; left out: the store's time of the append
};

/// An event as a store holds it. Versions count the events of a stream, positions those of the store; both
/// begin at 1 and only grow, so that 0 stands before the first. Lifetime: of the page it lies in.
struct StoredEvent {
  std::string_view stream{};
  std::uint64_t version = 0;
  std::uint64_t position = 0;
  std::string_view id{};
  std::string_view type{};
  std::string_view payload{};
  std::span<const std::string_view> tags{};
  HeadersView metadata{};
  Time time{};
};

/// The part of a stream's name that says what kind of thing it is: "order" of "order-17". A name without a
/// '-' is its own category.
constexpr std::string_view category_of(std::string_view stream) noexcept {
  return stream.substr(0, stream.find('-'));
}

namespace detail {

/// Bytes that `copy_event` needs, a multiple of what its alignment is.
inline std::size_t bytes_of(const StoredEvent& event) noexcept {
  std::size_t bytes = event.stream.size() + event.id.size() + event.type.size() + event.payload.size() +
                      event.metadata.block().size() + event.tags.size_bytes();
  for (const std::string_view tag : event.tags) bytes += tag.size();
  constexpr std::size_t alignment = alignof(std::string_view);
  return (bytes + alignment - 1) / alignment * alignment;
}

/// The same event, with its bytes at `at`, which is aligned for a std::string_view.
inline StoredEvent copy_event(const StoredEvent& event, char* at) noexcept {
  char* const tags = at;
  at += event.tags.size_bytes();
  const auto copy = [&at](std::string_view from) {
    if (!from.empty()) std::memcpy(at, from.data(), from.size());
    const std::string_view copied{at, from.size()};
    at += from.size();
    return copied;
  };
  StoredEvent copied = event;
  std::string_view* tag = nullptr;
  for (std::size_t i = event.tags.size(); i-- > 0;) {
    tag = ::new (static_cast<void*>(tags + i * sizeof(std::string_view))) std::string_view{copy(event.tags[i])};
  }
  copied.tags = {tag, event.tags.size()};
  copied.stream = copy(event.stream);
  copied.id = copy(event.id);
  copied.type = copy(event.type);
  copied.payload = copy(event.payload);
  copied.metadata = HeadersView{copy(event.metadata.block())};
  return copied;
}

}  // namespace detail

/// What a read has found, with its bytes. Reading into the same page again uses its memory again, so that a
/// replay of any length takes as much as one page.
/// Thread safety: distinct objects: safe. Shared objects: const members are safe.
class EventPage {
 public:
  bool empty() const noexcept { return events_.empty(); }
  std::size_t size() const noexcept { return events_.size(); }
  const StoredEvent& operator[](std::size_t index) const noexcept { return events_[index]; }
  const StoredEvent& back() const noexcept { return events_.back(); }
  auto begin() const noexcept { return events_.begin(); }
  auto end() const noexcept { return events_.end(); }
  /// Bytes of the events that it shows.
  std::size_t bytes() const noexcept { return bytes_; }

  /// For stores: forgets the events and keeps the memory.
  void clear() noexcept {
    events_.clear();
    bytes_ = 0;
    block_ = 0;
    used_ = 0;
  }
  /// For stores: copies an event behind the others.
  void add(const StoredEvent& event) {
    const std::size_t size = detail::bytes_of(event);
    events_.push_back(detail::copy_event(event, room(size)));
    bytes_ += size;
  }

 private:
  static constexpr std::size_t usual_block = 64 * 1024;

  struct Block {
    std::unique_ptr<char[]> bytes;
    std::size_t size = 0;
  };

  /// Memory for so many bytes, in the first block from the current one on that has them.
  char* room(std::size_t size) {
    while (block_ < blocks_.size() && blocks_[block_].size - used_ < size) {
      ++block_;
      used_ = 0;
    }
    if (block_ == blocks_.size()) {
      const std::size_t bytes = detail::larger(size, usual_block);
      blocks_.push_back({std::make_unique_for_overwrite<char[]>(bytes), bytes});
    }
    char* const at = blocks_[block_].bytes.get() + used_;
    used_ += size;
    return at;
  }

  std::vector<StoredEvent> events_;
  std::vector<Block> blocks_;  ///< they never move, as events view them
  std::size_t bytes_ = 0;
  std::size_t block_ = 0;
  std::size_t used_ = 0;  ///< of the current block
};

}  // namespace omnibus
