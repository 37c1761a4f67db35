// SPDX-License-Identifier: MIT
// Payloads: what a codec reads it writes so that it reads the same again.
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <omnibus/codec/json.hpp>
#include <omnibus/codec/text.hpp>

#include "fuzz.hpp"

namespace fuzz {

struct Order {
  std::string id;
  double total = 0;
  std::int64_t count = 0;
  std::vector<std::string> notes;
  bool operator==(const Order&) const = default;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Order, id, total, count, notes)

}  // namespace fuzz

template <>
struct omnibus::Codec<fuzz::Order> : omnibus::JsonCodec<fuzz::Order> {
  static constexpr std::string_view type = "order";
};

namespace {

using namespace omnibus;
using fuzz::require;

int depth_of(const nlohmann::json& value) {
  int deepest = 0;
  if (!value.is_structured()) return 0;
  for (const auto& each : value) deepest = std::max(deepest, depth_of(each));
  return deepest + 1;
}

template <class E>
std::optional<E> decode(std::string_view bytes) {
  Result<E> read = Codec<E>::decode(bytes);
  if (!read) {
    require(read.error().code == Errc::decode_failed && !read.error().retryable, "no bytes get better");
    require(read.error().message().size() < 1000, "an error is short, whatever the payload is");
    return {};
  }
  std::string out = "before ";
  Codec<E>::encode(*read, out);
  require(out.starts_with("before "), "encoding appends");
  const Result<E> again = Codec<E>::decode(std::string_view{out}.substr(7));
  require(again && *again == *read, "what was read is written so that it is read again");
  return *std::move(read);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes{reinterpret_cast<const char*>(data), size};
  const auto value = decode<nlohmann::json>(bytes);
  if (value) require(depth_of(*value) <= 64, "nothing nests deeper than may be");
  const auto order = decode<fuzz::Order>(bytes);
  require(!order || value, "an order is JSON");

  using Bytes = std::vector<std::byte>;
  const auto text = Codec<std::string>::decode(bytes);
  require(text && Codec<std::string>::view(*text) == bytes, "text is what was given");
  const auto raw = Codec<Bytes>::decode(bytes);
  require(raw && Codec<Bytes>::view(*raw) == bytes, "bytes are what was given");
  return 0;
}
