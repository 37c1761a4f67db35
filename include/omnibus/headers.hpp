// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

// Headers: names and values beside the payload. They are kept as one block of bytes, so that a
// backend copies all of them with one memcpy and a delivery hands them out without allocating.

namespace omnibus {

/// One header. The value is bytes, not necessarily text.
struct Header {
  std::string_view name;
  std::string_view value;
};

/// A read-only view of headers, in the order they were added.
/// Thread safety: shared objects are safe. Lifetime: of the Headers or Delivery it came from.
class HeadersView {
 public:
  class iterator {
   public:
    using value_type = Header;
    using difference_type = std::ptrdiff_t;
    using iterator_category = std::input_iterator_tag;
    iterator() = default;
    explicit iterator(const char* at) noexcept : at_{at} {}
    Header operator*() const noexcept {
      return {{at_ + 8, size_at(0)}, {at_ + 8 + size_at(0), size_at(4)}};
    }
    iterator& operator++() noexcept {
      at_ += 8 + size_at(0) + size_at(4);
      return *this;
    }
    iterator operator++(int) noexcept {
      auto before = *this;
      ++*this;
      return before;
    }
    bool operator==(const iterator&) const = default;

   private:
    std::size_t size_at(std::size_t offset) const noexcept {
      std::uint32_t size = 0;
      std::memcpy(&size, at_ + offset, sizeof size);
      return size;
    }
    const char* at_ = nullptr;
  };

  HeadersView() = default;
  /// Views a block that `Headers::block` gave.
  explicit HeadersView(std::string_view block) noexcept : block_{block} {}

  iterator begin() const noexcept { return iterator{block_.data()}; }
  iterator end() const noexcept { return iterator{block_.data() + block_.size()}; }
  bool empty() const noexcept { return block_.empty(); }
  /// How many headers there are. Complexity: linear.
  std::size_t size() const noexcept {
    std::size_t count = 0;
    for (auto it = begin(); it != end(); ++it) ++count;
    return count;
  }
  /// The value of the first header of this name; empty when there is none. Compared by byte.
  std::string_view get(std::string_view name) const noexcept {
    for (const Header header : *this) {
      if (header.name == name) return header.value;
    }
    return {};
  }
  /// True when there is a header of this name.
  bool contains(std::string_view name) const noexcept {
    for (const Header header : *this) {
      if (header.name == name) return true;
    }
    return false;
  }
  /// All headers as one block of bytes, opaque, for a backend to copy.
  std::string_view block() const noexcept { return block_; }

 private:
  std::string_view block_;
};

/// Headers that own their bytes. Names may repeat; order is kept.
/// Thread safety: distinct objects: safe. Shared objects: const members are safe.
class Headers {
 public:
  Headers() = default;
  /// `{{"trace", "4bf9"}, {"tenant", "eu"}}`
  Headers(std::initializer_list<Header> headers) {
    for (const Header& header : headers) add(header.name, header.value);
  }
  /// Copies what the view shows.
  explicit Headers(HeadersView view) : block_{view.block()} {}

  /// Appends a header. A name that is there already stands twice afterwards.
  Headers& add(std::string_view name, std::string_view value) {
    append_size(name.size());
    append_size(value.size());
    block_.append(name).append(value);
    return *this;
  }
  /// Puts this value in place of all headers of this name.
  Headers& set(std::string_view name, std::string_view value) {
    remove(name);
    return add(name, value);
  }
  /// Takes all headers of this name away.
  Headers& remove(std::string_view name) {
    if (!contains(name)) return *this;
    Headers kept;
    for (const Header header : view()) {
      if (header.name != name) kept.add(header.name, header.value);
    }
    block_ = std::move(kept.block_);
    return *this;
  }

  HeadersView view() const noexcept { return HeadersView{block_}; }
  operator HeadersView() const noexcept { return view(); }
  std::string_view get(std::string_view name) const noexcept { return view().get(name); }
  bool contains(std::string_view name) const noexcept { return view().contains(name); }
  HeadersView::iterator begin() const noexcept { return view().begin(); }
  HeadersView::iterator end() const noexcept { return view().end(); }
  bool empty() const noexcept { return block_.empty(); }
  std::size_t size() const noexcept { return view().size(); }

 private:
  void append_size(std::size_t size) {
    const auto small = static_cast<std::uint32_t>(size);
    char bytes[sizeof small];
    std::memcpy(bytes, &small, sizeof small);
    block_.append(bytes, sizeof bytes);
  }

  std::string block_;
};

}  // namespace omnibus
