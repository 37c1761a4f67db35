// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <omnibus/backends/rabbitmq/amqp.hpp>
#include <omnibus/backends/rabbitmq/received.hpp>

// Frames read back: apart by hand, and then by rabbitmq-c, which knows nothing of our encoders.

namespace omnibus::unit {

/// One frame.
struct Frame {
  std::uint8_t type = 0;
  std::uint16_t channel = 0;
  std::string payload;
};

inline std::uint64_t number_at(std::string_view bytes, std::size_t at, std::size_t width) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < width; ++i) {
    value = value << 8 | static_cast<unsigned char>(bytes.at(at + i));
  }
  return value;
}

/// All frames that lie in these bytes. Throws when they are no whole frames.
inline std::vector<Frame> frames_of(std::string_view bytes) {
  std::vector<Frame> frames;
  while (!bytes.empty()) {
    const auto size = static_cast<std::size_t>(number_at(bytes, 3, 4));
    if (number_at(bytes, 7 + size, 1) != 0xCE) throw std::runtime_error{"no end octet"};
    frames.push_back({static_cast<std::uint8_t>(number_at(bytes, 0, 1)),
                      static_cast<std::uint16_t>(number_at(bytes, 1, 2)),
                      std::string{bytes.substr(7, size)}});
    bytes.remove_prefix(size + 8);
  }
  return frames;
}

/// The number of the method in a frame; 0 when it holds none.
inline amqp_method_number_t method_in(const Frame& frame) {
  return frame.type == AMQP_FRAME_METHOD
             ? static_cast<amqp_method_number_t>(number_at(frame.payload, 0, 4))
             : 0;
}

/// The names of the methods in these bytes, with a space after each.
inline std::string methods_in(std::string_view bytes) {
  std::string names;
  for (const Frame& frame : frames_of(bytes)) {
    const char* name = amqp_method_name(method_in(frame));
    names.append(name != nullptr ? name : "?").append(" ");
  }
  return names;
}

/// Memory for what rabbitmq-c decodes, and its decoders.
class Pool {
 public:
  Pool() { init_amqp_pool(&pool_, 4096); }
  ~Pool() { empty_amqp_pool(&pool_); }
  Pool(const Pool&) = delete;

  /// The method in a frame. Throws when it is another. Lifetime: of pool and frame.
  template <class Method>
  const Method& method(const Frame& frame, amqp_method_number_t id) {
    void* decoded = nullptr;
    if (method_in(frame) != id ||
        amqp_decode_method(id, &pool_, bytes_of(frame, 4), &decoded) != AMQP_STATUS_OK) {
      throw std::runtime_error{"not this method"};
    }
    return *static_cast<const Method*>(decoded);
  }
  /// The properties in a header frame. Lifetime: likewise.
  const amqp_basic_properties_t& properties(const Frame& frame) {
    void* decoded = nullptr;
    if (frame.type != AMQP_FRAME_HEADER ||
        amqp_decode_properties(AMQP_BASIC_CLASS, &pool_, bytes_of(frame, 12), &decoded) !=
            AMQP_STATUS_OK) {
      throw std::runtime_error{"no properties"};
    }
    return *static_cast<const amqp_basic_properties_t*>(decoded);
  }

 private:
  static amqp_bytes_t bytes_of(const Frame& frame, std::size_t from) {
    return rabbitmq::bytes_of(std::string_view{frame.payload}.substr(from));
  }
  amqp_pool_t pool_{};
};

/// Feeds a published message to `received`, as if the broker had delivered it as it is.
inline void feed(rabbitmq::Received& received, std::string_view bytes, bool redelivered = false) {
  Pool pool;
  const std::vector<Frame> frames = frames_of(bytes);
  received.begin(pool.properties(frames.at(1)), number_at(frames[1].payload, 4, 8), redelivered);
  for (std::size_t i = 2; i < frames.size(); ++i) {
    if (received.whole()) throw std::runtime_error{"whole too early"};
    const bool whole = received.add(frames[i].payload);
    if (whole != (i + 1 == frames.size())) throw std::runtime_error{"whole at the wrong frame"};
  }
}

/// An entry of a table, made by hand.
inline amqp_table_entry_t entry(std::string_view name, const amqp_field_value_t& value) {
  return {rabbitmq::bytes_of(name), value};
}
inline amqp_field_value_t text_field(std::string_view text, char kind = AMQP_FIELD_KIND_UTF8) {
  amqp_field_value_t field{};
  field.kind = static_cast<std::uint8_t>(kind);
  field.value.bytes = rabbitmq::bytes_of(text);
  return field;
}
inline amqp_field_value_t i64_field(std::int64_t number) {
  amqp_field_value_t field{};
  field.kind = AMQP_FIELD_KIND_I64;
  field.value.i64 = number;
  return field;
}
inline amqp_field_value_t array_field(std::vector<amqp_field_value_t>& values) {
  amqp_field_value_t field{};
  field.kind = AMQP_FIELD_KIND_ARRAY;
  field.value.array = {static_cast<int>(values.size()), values.data()};
  return field;
}
inline amqp_field_value_t table_field(std::vector<amqp_table_entry_t>& entries) {
  amqp_field_value_t field{};
  field.kind = AMQP_FIELD_KIND_TABLE;
  field.value.table = {static_cast<int>(entries.size()), entries.data()};
  return field;
}

/// Properties with these headers and nothing else. Lifetime: of the entries.
inline amqp_basic_properties_t with_headers(std::vector<amqp_table_entry_t>& entries) {
  amqp_basic_properties_t properties{};
  properties._flags = AMQP_BASIC_HEADERS_FLAG;
  properties.headers = {static_cast<int>(entries.size()), entries.data()};
  return properties;
}

}  // namespace omnibus::unit
