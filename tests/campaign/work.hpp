// SPDX-License-Identifier: MIT
#pragma once

#include <charconv>
#include <cstdint>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <omnibus/detail/hash.hpp>
#include <omnibus/message.hpp>

#include "history.hpp"

// What the processes of a campaign have to do, and which messages they make. No I/O.

namespace campaign {

/// The command line of a worker.
struct Work {
  std::string task;  ///< produce, consume, redrive or collect
  std::string topic, history, effects, name;
  std::string group = "g";
  std::string order = "strict";
  std::string defect = "none";  ///< that a consumer has, to be found: see `Defect`
  std::uint32_t incarnation = 1;
  std::uint64_t seed = 1;
  std::uint64_t rate = 500;  ///< messages a second
  std::size_t keys = 20;
  std::size_t largest = 2000;  ///< bytes of a payload
};

/// Errors: std::invalid_argument.
inline Work read_work(const std::vector<std::string>& words) {
  Work work;
  if (words.size() % 2 != 1) throw std::invalid_argument{"a task is needed, and options with values"};
  work.task = words[0];
  for (std::size_t i = 1; i < words.size(); i += 2) {
    const std::string& name = words[i];
    const std::string& value = words[i + 1];
    const auto number = [&](auto& to) {
      const char* end = value.data() + value.size();
      const auto read = std::from_chars(value.data(), end, to);
      if (read.ec != std::errc{} || read.ptr != end) throw std::invalid_argument{name + " needs a number"};
    };
    if (name == "--topic") work.topic = value;
    else if (name == "--history") work.history = value;
    else if (name == "--effects") work.effects = value;
    else if (name == "--name") work.name = value;
    else if (name == "--order") work.order = value;
    else if (name == "--defect") work.defect = value;
    else if (name == "--incarnation") number(work.incarnation);
    else if (name == "--seed") number(work.seed);
    else if (name == "--rate") number(work.rate);
    else if (name == "--keys") number(work.keys);
    else if (name == "--largest") number(work.largest);
    else throw std::invalid_argument{"there is no option " + name};
  }
  return work;
}

/// The next message of a producer: keys, sizes and bytes are those of the seed.
class Messages {
 public:
  explicit Messages(const Work& work)
      : name_{work.name},
        dice_{work.seed ^ omnibus::detail::hash64(work.name + std::to_string(work.incarnation))},
        next_(work.keys, std::uint64_t{work.incarnation} * 1'000'000'000),
        largest_{work.largest} {}

  /// Its payload begins with its number in its key, and a space.
  omnibus::Message next() {
    const std::size_t key = dice_() % next_.size();
    omnibus::Message made;
    made.type = "campaign";
    made.key = name_ + "-" + std::to_string(key);
    made.payload = std::to_string(next_[key]++) + " ";
    made.id = made.key + "/" + made.payload.substr(0, made.payload.size() - 1);
    // Most are small, a few as large as may be.
    const std::size_t size = dice_() % 64 == 0 ? largest_ : dice_() % 200;
    made.payload.append(size, static_cast<char>('a' + dice_() % 26));
    return made;
  }

 private:
  const std::string name_;
  std::mt19937_64 dice_;
  std::vector<std::uint64_t> next_;  ///< numbers of the keys; those of another incarnation are higher
  const std::size_t largest_;
};

/// What a record says of a message. Lifetime: of the message.
inline Record record_of(Kind kind, const omnibus::MessageView& message) {
  Record record{.kind = kind, .id = message.id, .key = message.key};
  std::from_chars(message.payload.data(), message.payload.data() + message.payload.size(), record.number);
  record.hash = omnibus::detail::hash64(message.payload) ^ omnibus::detail::hash64(message.type);
  return record;
}

/// How handling a message ends: one in 500 succeeds when it is redriven, and not before; one in 20 fails at
/// first.
enum class Fate : std::uint8_t { good, fails_at_first, hopeless };
inline Fate fate_of(std::string_view id) noexcept {
  const std::uint64_t hash = omnibus::detail::hash64(id);
  if (hash % 500 == 7) return Fate::hopeless;
  return hash % 20 == 3 ? Fate::fails_at_first : Fate::good;
}

}  // namespace campaign
