// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include <omnibus/codec.hpp>

// JSON through nlohmann/json, opt-in: derive your Codec from JsonCodec and name the message type.

namespace omnibus {

/// The base of a codec that writes E as JSON, for any E that nlohmann/json converts:
///
///     struct OrderPlaced { std::string id; double total; };
///     NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(OrderPlaced, id, total)
///     template <> struct omnibus::Codec<OrderPlaced> : omnibus::JsonCodec<OrderPlaced> {
///       static constexpr std::string_view type = "order.placed";
///     };
///
/// Errors: decode_failed, with what the parser found and where, in at most 300 bytes. Nesting deeper than
/// `max_depth` is refused before anything is built, because nlohmann/json copies and destroys recursively.
template <class E>
struct JsonCodec {
  /// How deep arrays and objects may nest.
  static constexpr int max_depth = 64;

  static void encode(const E& event, std::string& out) { out += nlohmann::json(event).dump(); }

  static Result<E> decode(std::string_view bytes) {
    try {
      // A NUL is never part of JSON text, but the parser would take it for the end.
      if (bytes.find('\0') != std::string_view::npos) return refused("a NUL byte");
      bool too_deep = false;
      using Event = nlohmann::json::parse_event_t;
      const auto shallow = [&too_deep](int depth, Event event, nlohmann::json&) {
        const bool opens = event == Event::array_start || event == Event::object_start;
        if (opens && depth >= max_depth) too_deep = true;  // depth: how many are open around it
        return !too_deep;
      };
      const auto value = nlohmann::json::parse(bytes, shallow);
      if (too_deep) return refused("nested deeper than " + std::to_string(max_depth));
      return value.template get<E>();
    } catch (const nlohmann::json::exception& error) {
      return refused(error.what());
    }
  }

 private:
  static Error refused(std::string why) {
    constexpr std::size_t longest = 300;  // the parser repeats a text of any length
    if (why.size() > longest) why.replace(longest - 3, std::string::npos, "...");
    return Error::make(Errc::decode_failed, "decode JSON", std::move(why));
  }
};

/// A JSON value of any shape.
template <>
struct Codec<nlohmann::json> : JsonCodec<nlohmann::json> {
  static constexpr std::string_view type = {};
};

}  // namespace omnibus
