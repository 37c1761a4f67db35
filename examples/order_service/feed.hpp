// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>
#include <istream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <omnibus/codec/json.hpp>
#include <omnibus/omnibus.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// From lines of NDJSON to published messages. What a line means is the groups' business; the feed
// wants to know no more than its type and its key.

namespace shop {

/// A line that could not be published, and why.
struct BadLine {
  std::uint64_t number = 0;
  std::string why;
};

/// What came of a file.
struct FeedTotals {
  std::uint64_t lines = 0;      ///< blank ones not counted
  std::uint64_t events = 0;     ///< of these, JSON objects
  std::uint64_t resent = 0;     ///< of these, published a second time
  std::uint64_t published = 0;  ///< messages that the broker has taken
  std::vector<BadLine> bad;
};

/// A line as a message keyed by its order. Its id is its place in the file, so that it is the same
/// whenever the line is sent.
inline omnibus::Result<omnibus::Message> message_of(std::string line, std::uint64_t number) {
  using omnibus::Errc, omnibus::Error;
  const auto json = omnibus::Codec<nlohmann::json>::decode(line);
  if (!json) return Error::make(Errc::decode_failed, "read", "no JSON: " + json.error().context);
  if (!json->is_object()) return Error::make(Errc::decode_failed, "read", "JSON, but no object");
  const auto text = [&json](const char* name) {
    const auto found = json->find(name);
    return found != json->end() && found->is_string() ? found->get<std::string>() : std::string{};
  };
  omnibus::Message message;
  message.id = "line-" + std::to_string(number);
  message.type = text("type");
  if (message.type.empty()) message.type = "untyped";
  message.key = text("order");
  message.payload = std::move(line);
  return message;
}

/// Publishes every line of `in`, every `duplicates`th event twice, as a sender does that missed the
/// broker's answer. Calls `before` with each message and `report` with each line that is left out.
template <class Bus, class Before, class Report>
FeedTotals feed(Bus& bus, std::istream& in, std::size_t duplicates, Before before, Report report) {
  FeedTotals totals;
  std::atomic<std::uint64_t> published{0};
  std::mutex mutex;
  const auto leave_out = [&](std::uint64_t number, const std::string& why) {
    std::lock_guard lock{mutex};
    totals.bad.push_back({number, why});
    report(totals.bad.back());
  };
  std::uint64_t number = 0;
  for (std::string line; std::getline(in, line); line = {}) {
    ++number;
    if (line.ends_with('\r')) line.pop_back();
    if (line.find_first_not_of(" \t") == std::string::npos) continue;
    ++totals.lines;
    auto message = message_of(std::move(line), number);
    if (!message) {
      leave_out(number, message.error().context);
      continue;
    }
    ++totals.events;
    const bool twice = duplicates != 0 && totals.events % duplicates == 0;
    if (twice) ++totals.resent;
    for (int sent = 0; sent < (twice ? 2 : 1); ++sent) {
      before(*message);
      bus.publish_async("orders", *message,
                        [&, number, sent](omnibus::Result<omnibus::Receipt> receipt) {
                          if (receipt) {
                            ++published;
                          } else if (sent == 0) {
                            leave_out(number, "not published: " + receipt.error().context);
                          }
                        });
    }
  }
  bus.flush().value();
  totals.published = published;
  return totals;
}

}  // namespace shop
