// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <omnibus/backend.hpp>
#include <omnibus/backends/redis/held.hpp>
#include <omnibus/backends/redis/reader.hpp>

// Commands read back, replies fed in, and an intake that takes everything.

namespace omnibus::unit {

/// The arguments of the commands in `bytes`, with blanks between; a line for each command. Scripts are
/// shown as "EVAL ...". They are read by hiredis, which knows nothing of our encoder.
inline std::string commands_of(std::string_view bytes) {
  struct Collect final : redis::Replies {
    std::string text;
    bool script = false;
    void part(const redis::Part& part) noexcept override {
      if (part.kind == redis::Part::Kind::array) return;
      if (part.index > 0) text.append(" ");
      text.append(script && part.index == 1 ? "..." : part.text);
      if (part.index == 0) script = part.text == "EVAL";
    }
    void complete() noexcept override { text.append("\n"); }
  } collect;
  redis::Reader reader{std::size_t{1} << 24};
  (void)reader.feed(bytes.data(), bytes.size());
  redis::Reader::Got got{};
  while ((got = reader.next(collect)) == redis::Reader::Got::whole) {
  }
  return got == redis::Reader::Got::nothing ? collect.text : collect.text + "malformed";
}

/// Feeds replies to whoever hears of them.
inline void reply(redis::Replies& replies, std::string_view bytes) {
  redis::Reader reader{std::size_t{1} << 24};
  (void)reader.feed(bytes.data(), bytes.size());
  while (reader.next(replies) == redis::Reader::Got::whole) {
  }
}

/// An entry of a shard.
inline redis::Held& held_of(redis::HeldPool& pool, std::size_t shard, Position id) {
  redis::Held& held = pool.take();
  held.shard = shard;
  held.attempts = 0;
  held.entry.begin(id);
  held.entry.finish();
  return held;
}

/// An intake that writes down what it gets.
struct Basket final : Intake {
  std::size_t left = 1000;
  std::vector<Incoming> got;
  std::vector<std::int32_t> revoked;
  std::vector<std::string> reports;

  std::size_t room() const noexcept override { return left; }
  void deliver(const Incoming& incoming) override {
    got.push_back(incoming);
    --left;
  }
  bool revoke(std::int32_t partition, Instant) override {
    revoked.push_back(partition);
    return true;
  }
  void report(const Error* problem) override {
    reports.push_back(problem == nullptr ? "well" : problem->message());
  }
};

}  // namespace omnibus::unit
