// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include <omnibus/backends/redis/record.hpp>
#include <omnibus/backends/redis/stream_id.hpp>
#include <omnibus/message.hpp>

// A stream entry as it comes in, made into a message whose bytes lie together and are used again.
// Whatever somebody else put into it, it costs this one message.

namespace omnibus::redis {

/// What the fields of entries mean that others have made. All other fields are headers.
struct ForeignFields {
  std::string payload = "payload";
  std::string key = {};  ///< empty: they have no key
};

/// One entry. Kept and used again, with its memory. Thread safety: one thread at a time.
class Entry {
 public:
  void begin(Position id) {
    bytes_.clear();
    headers_.clear();
    message_ = {};
    stamp_ = {};
    id_ = id;
    place_ = {};
    parts_ = 0;
    own_ = false;
  }

  /// Takes the next field or value, in turn; false when it has grown beyond what may be.
  bool add(std::string_view text, const ForeignFields& foreign, std::size_t largest) {
    const bool names = parts_ % 2 == 0;
    const std::size_t name = names ? 0 : name_.size();  // is kept beside a value
    if (size() + name + text.size() > largest) return false;
    ++parts_;
    if (names) {
      name_.assign(text);
    } else if (parts_ == 2 && name_ == field::own && parse_stamp(text, stamp_)) {
      own_ = true;
    } else if (own_) {
      add_own(text);
    } else {
      add_foreign(text, foreign);
    }
    return true;
  }

  /// It is whole.
  void finish() {
    if (!own_) {
      const IdText text{id_};
      place_.id = put(text);
      stamp_.time = time_of(id_);
    }
    message_.id = at(place_.id);
    message_.type = at(place_.type);
    message_.key = at(place_.key);
    message_.payload = at(place_.payload);
    message_.headers = HeadersView{headers_};
    message_.time = stamp_.time;
    message_.sequence = stamp_.sequence;
  }

  /// Lifetime: until the next `begin`. Valid when it is finished.
  const MessageView& message() const noexcept { return message_; }
  Position id() const noexcept { return id_; }
  std::size_t size() const noexcept { return bytes_.size() + headers_.size(); }

  /// To be called when it is no longer needed: does not hold on to unusual amounts of memory.
  void release() {
    for (std::string* each : {&bytes_, &headers_, &name_}) {
      if (each->capacity() > 64 * 1024) std::string{}.swap(*each);
    }
  }

 private:
  struct Place {
    std::size_t at = 0;
    std::size_t size = 0;
  };
  struct Places {
    Place id, type, key, payload;
  };

  Place put(std::string_view text) {
    const Place place{bytes_.size(), text.size()};
    bytes_.append(text);
    return place;
  }
  std::string_view at(Place place) const noexcept {
    return std::string_view{bytes_}.substr(place.at, place.size);
  }

  void add_own(std::string_view text) {
    const std::string_view name = name_;
    if (name == field::payload) {
      place_.payload = put(text);
    } else if (name == field::id) {
      place_.id = put(text);
    } else if (name == field::type) {
      place_.type = put(text);
    } else if (name == field::key) {
      place_.key = put(text);
    } else {
      add_header(name.starts_with(field::header) ? name.substr(field::header.size()) : name, text);
    }
  }

  void add_foreign(std::string_view text, const ForeignFields& foreign) {
    if (name_ == foreign.payload && place_.payload.size == 0) {
      place_.payload = put(text);
    } else if (!foreign.key.empty() && name_ == foreign.key && place_.key.size == 0) {
      place_.key = put(text);
    } else {
      add_header(name_, text);
    }
  }

  /// Appends a header as Headers would.
  void add_header(std::string_view name, std::string_view value) {
    for (const std::size_t size : {name.size(), value.size()}) {
      const auto small = static_cast<std::uint32_t>(size);
      char raw[sizeof small];
      std::memcpy(raw, &small, sizeof small);
      headers_.append(raw, sizeof raw);
    }
    headers_.append(name).append(value);
  }

  std::string bytes_;
  std::string headers_;
  std::string name_;
  MessageView message_;
  Stamp stamp_;
  Position id_{};
  Places place_;
  std::size_t parts_ = 0;
  bool own_ = false;
};

}  // namespace omnibus::redis
