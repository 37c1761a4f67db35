// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <omnibus/backends/rabbitmq/amqp.hpp>
#include <omnibus/backends/rabbitmq/frames.hpp>
#include <omnibus/message.hpp>

// A message as it comes in: properties and body of AMQP made into an omnibus message, whose bytes lie
// together in one buffer that is used again. Whatever a foreign or hostile publisher put in, it costs
// this one message.

namespace omnibus::rabbitmq {

/// Appends the text of a field's value: bytes as they are, numbers in decimal, and nested tables and
/// arrays in the manner of JSON, down to 16 levels and to 8 KiB.
class FieldText {
 public:
  explicit FieldText(std::string& out) : out_{out}, end_{out.size() + 8192} {}

  void append(const amqp_field_value_t& value, int depth = 0) {
    switch (value.kind) {
      case AMQP_FIELD_KIND_BOOLEAN: out_.append(value.value.boolean ? "true" : "false"); return;
      case AMQP_FIELD_KIND_I8: return number(value.value.i8);
      case AMQP_FIELD_KIND_U8: return number(value.value.u8);
      case AMQP_FIELD_KIND_I16: return number(value.value.i16);
      case AMQP_FIELD_KIND_U16: return number(value.value.u16);
      case AMQP_FIELD_KIND_I32: return number(value.value.i32);
      case AMQP_FIELD_KIND_U32: return number(value.value.u32);
      case AMQP_FIELD_KIND_I64: return number(value.value.i64);
      case AMQP_FIELD_KIND_U64:
      case AMQP_FIELD_KIND_TIMESTAMP: out_.append(std::to_string(value.value.u64)); return;
      case AMQP_FIELD_KIND_F32: out_.append(std::to_string(value.value.f32)); return;
      case AMQP_FIELD_KIND_F64: out_.append(std::to_string(value.value.f64)); return;
      case AMQP_FIELD_KIND_UTF8:
      case AMQP_FIELD_KIND_BYTES: return text(view_of(value.value.bytes), depth);
      case AMQP_FIELD_KIND_ARRAY: return array(value.value.array, depth + 1);
      case AMQP_FIELD_KIND_TABLE: return table(value.value.table, depth + 1);
      default: return;  // void, and what the field has no text for
    }
  }

 private:
  void number(std::int64_t value) { out_.append(std::to_string(value)); }

  void text(std::string_view bytes, int depth) {
    if (depth == 0) {
      out_.append(bytes);
      return;
    }
    out_.push_back('"');
    for (const char c : bytes.substr(0, 1024)) {
      if (c == '"' || c == '\\') out_.push_back('\\');
      out_.push_back(c);
    }
    out_.push_back('"');
  }

  bool too_deep(int depth) {
    if (depth <= 16 && out_.size() < end_) return false;
    out_.append("...");
    return true;
  }

  void array(const amqp_array_t& values, int depth) {
    if (too_deep(depth)) return;
    out_.push_back('[');
    for (int i = 0; i < values.num_entries && out_.size() < end_; ++i) {
      if (i > 0) out_.push_back(',');
      append(values.entries[i], depth);
    }
    out_.push_back(']');
  }

  void table(const amqp_table_t& fields, int depth) {
    if (too_deep(depth)) return;
    out_.push_back('{');
    for (int i = 0; i < fields.num_entries && out_.size() < end_; ++i) {
      if (i > 0) out_.push_back(',');
      text(view_of(fields.entries[i].key), depth);
      out_.push_back(':');
      append(fields.entries[i].value, depth);
    }
    out_.push_back('}');
  }

  std::string& out_;
  const std::size_t end_;
};

/// One message that has come in. Kept and used again, with its memory.
class Received {
 public:
  /// What the broker and earlier hops say of it.
  struct Facts {
    std::uint32_t attempts = 0;
    Duration wait{};           ///< left of its delay
    std::uint64_t offset = 0;  ///< in a stream
  };

  /// Begins a message with what its content header says. `redelivered` is the broker's flag.
  void begin(const amqp_basic_properties_t& properties, std::uint64_t body_size, bool redelivered) {
    bytes_.clear();
    facts_ = {};
    message_ = {};
    own_ = {};
    left_ = body_size;
    const auto has = [&](amqp_flags_t flag) { return (properties._flags & flag) != 0; };
    if (has(AMQP_BASIC_TIMESTAMP_FLAG)) message_.time = since_1970(properties.timestamp);
    headers_at_ = bytes_.size();
    const std::array<const amqp_bytes_t*, text_properties.size()> texts{
        has(AMQP_BASIC_CONTENT_TYPE_FLAG) ? &properties.content_type : nullptr,
        has(AMQP_BASIC_CONTENT_ENCODING_FLAG) ? &properties.content_encoding : nullptr,
        has(AMQP_BASIC_CORRELATION_ID_FLAG) ? &properties.correlation_id : nullptr,
        has(AMQP_BASIC_REPLY_TO_FLAG) ? &properties.reply_to : nullptr,
        has(AMQP_BASIC_APP_ID_FLAG) ? &properties.app_id : nullptr};
    for (std::size_t i = 0; i < texts.size(); ++i) {
      if (texts[i] != nullptr) add_header(text_properties[i].name, view_of(*texts[i]));
    }
    if (has(AMQP_BASIC_HEADERS_FLAG)) read_headers(properties.headers);
    if (redelivered && facts_.attempts == 0) facts_.attempts = 1;
    headers_size_ = bytes_.size() - headers_at_;
    id_ = put(!own_.id.empty() ? own_.id
                               : has(AMQP_BASIC_MESSAGE_ID_FLAG) ? view_of(properties.message_id)
                                                                 : std::string_view{});
    type_ = put(!own_.type.empty() ? own_.type
                                   : has(AMQP_BASIC_TYPE_FLAG) ? view_of(properties.type)
                                                               : std::string_view{});
    key_ = put(own_.key);
    payload_at_ = bytes_.size();
    // What is announced is not believed beyond a megabyte: memory grows with what comes.
    bytes_.reserve(bytes_.size() + static_cast<std::size_t>(body_size < most_believed ? body_size
                                                                                      : most_believed));
    if (left_ == 0) finish();
  }

  /// Adds a part of the body. Returns true when the message is whole.
  bool add(std::string_view part) {
    bytes_.append(part);
    left_ -= part.size() < left_ ? part.size() : left_;
    if (left_ == 0) finish();
    return left_ == 0;
  }
  bool whole() const noexcept { return left_ == 0; }

  /// Lifetime: until the next `begin`. Valid when the message is whole.
  const MessageView& message() const noexcept { return message_; }
  const Facts& facts() const noexcept { return facts_; }
  std::size_t size() const noexcept { return bytes_.size(); }

  /// To be called when it is no longer needed: does not hold on to unusual amounts of memory.
  void release() {
    if (bytes_.capacity() > 64 * 1024) std::string{}.swap(bytes_);
  }

 private:
  static constexpr std::uint64_t most_believed = 1u << 20;

  struct Place {
    std::size_t at = 0;
    std::size_t size = 0;
  };

  static Time since_1970(std::uint64_t seconds) noexcept {
    constexpr std::uint64_t last = 9'000'000'000;  // what fits into nanoseconds
    return Time{std::chrono::seconds{seconds < last ? seconds : last}};
  }

  Place put(std::string_view text) {
    const Place place{bytes_.size(), text.size()};
    bytes_.append(text);
    return place;
  }
  std::string_view at(Place place) const noexcept {
    return std::string_view{bytes_}.substr(place.at, place.size);
  }

  void add_size(std::size_t size) {
    const auto small = static_cast<std::uint32_t>(size);
    char raw[sizeof small];
    __builtin_memcpy(raw, &small, sizeof small);
    bytes_.append(raw, sizeof raw);
  }
  /// Appends a header as Headers would.
  void add_header(std::string_view name, std::string_view value) {
    add_size(name.size());
    add_size(value.size());
    bytes_.append(name).append(value);
  }
  void add_header(std::string_view name, const amqp_field_value_t& value) {
    add_size(name.size());
    const std::size_t size_at = bytes_.size();
    add_size(0);
    bytes_.append(name);
    const std::size_t begin = bytes_.size();
    FieldText{bytes_}.append(value);
    const auto size = static_cast<std::uint32_t>(bytes_.size() - begin);
    __builtin_memcpy(bytes_.data() + size_at, &size, sizeof size);
  }

  void read_headers(const amqp_table_t& table) {
    bool waited = false;
    for (int i = 0; i < table.num_entries; ++i) {
      const std::string_view name = view_of(table.entries[i].key);
      if (name == own_header::attempts || name == own_header::wait) waited = true;
    }
    for (int i = 0; i < table.num_entries; ++i) {
      const std::string_view name = view_of(table.entries[i].key);
      const amqp_field_value_t& value = table.entries[i].value;
      if (name.starts_with("x-") && is_own(name, value, waited)) continue;
      add_header(name, value);
    }
  }

  void count_attempts(std::uint64_t more) noexcept {
    constexpr std::uint64_t most = 1'000'000;  // nobody has made more
    if (more > most) more = most;
    more += facts_.attempts;
    facts_.attempts = static_cast<std::uint32_t>(more < most ? more : most);
  }

  /// Takes what is meant for us, and says so. What waited in a queue of ours bears the marks of its
  /// dead-lettering, which are no headers of its publisher.
  bool is_own(std::string_view name, const amqp_field_value_t& value, bool waited) {
    const auto text = [&] {
      return value.kind == AMQP_FIELD_KIND_UTF8 ? view_of(value.value.bytes) : std::string_view{};
    };
    const auto number = [&]() -> std::uint64_t {
      switch (value.kind) {
        case AMQP_FIELD_KIND_I64: return static_cast<std::uint64_t>(value.value.i64);
        case AMQP_FIELD_KIND_U64: return value.value.u64;
        case AMQP_FIELD_KIND_I32:
          return value.value.i32 > 0 ? static_cast<std::uint64_t>(value.value.i32) : 0;
        default: return 0;
      }
    };
    if (name == "x-delivery-count") {
      count_attempts(number());
    } else if (name == "x-stream-offset") {
      facts_.offset = number();
    } else if (name == own_header::key) {
      own_.key = text();
    } else if (name == own_header::id) {
      own_.id = text();
    } else if (name == own_header::type) {
      own_.type = text();
    } else if (name == own_header::time) {
      message_.time = Time{std::chrono::nanoseconds{static_cast<std::int64_t>(number())}};
    } else if (name == own_header::epoch) {
      message_.sequence.epoch = number();
    } else if (name == own_header::number) {
      message_.sequence.number = number();
    } else if (name == own_header::attempts) {
      count_attempts(number());
    } else if (name == own_header::wait) {
      const auto left = static_cast<Duration::rep>(number());
      facts_.wait = Duration{left > 0 ? left : 0};
    } else if (name == "x-death" || name.starts_with("x-first-death-")) {
      return waited;
    } else {
      return name.starts_with(own_header::prefix);
    }
    return true;
  }

  void finish() {
    message_.id = at(id_);
    message_.type = at(type_);
    message_.key = at(key_);
    message_.headers = HeadersView{std::string_view{bytes_}.substr(headers_at_, headers_size_)};
    message_.payload = std::string_view{bytes_}.substr(payload_at_);
  }

  struct Own {
    std::string_view key;
    std::string_view id;
    std::string_view type;
  };

  std::string bytes_;
  MessageView message_;
  Facts facts_;
  Own own_;  // only while the header is being read
  std::uint64_t left_ = 0;
  std::size_t headers_at_ = 0;
  std::size_t headers_size_ = 0;
  std::size_t payload_at_ = 0;
  Place id_, type_, key_;
};

}  // namespace omnibus::rabbitmq
