// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include <omnibus/backends/redis/entry.hpp>
#include <omnibus/backends/redis/held.hpp>
#include <omnibus/backends/redis/reader.hpp>
#include <omnibus/backends/redis/stream_id.hpp>

// From the parts of replies to messages, without a tree in between.

namespace omnibus::redis {

/// Who gets the messages.
class Arrivals {
 public:
  virtual ~Arrivals() = default;
  /// The shard of a stream, by its key; -1: it is none of ours.
  virtual std::int64_t shard_of(std::string_view stream) const noexcept = 0;
  /// A message has come. It is the receiver's until he gives it back to the pool.
  virtual void arrived(Held& held) = 0;
  /// An entry was still to be delivered, but somebody has deleted it.
  virtual void gone(std::size_t shard, Position id) = 0;
  /// An entry is larger than may be.
  virtual void too_large(std::size_t shard, Position id) = 0;
};

/// Puts entries together. Thread safety: one thread at a time.
class Gatherer {
 public:
  Gatherer(HeldPool& pool, Arrivals& arrivals, ForeignFields foreign, std::size_t largest)
      : pool_{pool}, arrivals_{arrivals}, foreign_{std::move(foreign)}, largest_{largest} {}

  /// A part of what XREAD and XREADGROUP answer: streams with their entries. `base` is the depth of the
  /// array of streams.
  void streams_part(const Part& part, int base) {
    const int depth = part.depth - base;
    if (depth == 2 && part.index == 0) {
      shard_ = arrivals_.shard_of(part.text);
    } else if (depth >= 4 && shard_ >= 0) {
      // [id, fields] stands at depth 3.
      if (depth == 5) return field(part);
      part.index == 0 ? begin(static_cast<std::size_t>(shard_), part.text, 0) : fields(part);
    }
  }

  /// A part of an entry that a script returned: [id, deliveries before, fields], which stands at depth 1.
  void entry_part(const Part& part, std::size_t shard) {
    if (part.depth == 3) return field(part);
    if (part.depth != 2) return;
    if (part.index == 0) {
      begin(shard, part.text, 0);
    } else if (part.index == 1) {
      constexpr std::int64_t most = 1'000'000;  // nobody has made more
      const std::int64_t count = part.number < 0 ? 0 : part.number < most ? part.number : most;
      if (held_ != nullptr) held_->attempts = static_cast<std::uint32_t>(count);
    } else {
      fields(part);
    }
  }

  /// The connection was lost in the middle. Returns the entry of which only a part has come.
  std::optional<std::pair<std::size_t, Position>> abandon() {
    if (held_ == nullptr) return {};
    const std::pair<std::size_t, Position> which{held_->shard, held_->entry.id()};
    pool_.give_back(*std::exchange(held_, nullptr));
    return which;
  }

 private:
  void begin(std::size_t shard, std::string_view id_text, std::uint32_t attempts) {
    (void)abandon();
    Position id{};
    if (!parse_id(id_text, id)) return;
    held_ = &pool_.take();
    held_->shard = shard;
    held_->attempts = attempts;
    held_->entry.begin(id);
    large_ = false;
  }

  void fields(const Part& part) {
    if (held_ == nullptr) return;
    if (part.kind != Part::Kind::array) {
      const auto which = abandon();
      return arrivals_.gone(which->first, which->second);
    }
    left_ = part.number;
    if (left_ <= 0) whole();
  }

  void field(const Part& part) {
    if (held_ == nullptr) return;
    large_ = large_ || !held_->entry.add(part.text, foreign_, largest_);
    if (--left_ <= 0) whole();
  }

  void whole() {
    if (large_) {
      const auto which = abandon();
      return arrivals_.too_large(which->first, which->second);
    }
    held_->entry.finish();
    arrivals_.arrived(*std::exchange(held_, nullptr));
  }

  HeldPool& pool_;
  Arrivals& arrivals_;
  const ForeignFields foreign_;
  const std::size_t largest_;
  std::int64_t shard_ = -1;
  Held* held_ = nullptr;   // the entry that is coming in
  std::int64_t left_ = 0;  // fields and values of it
  bool large_ = false;
};

}  // namespace omnibus::redis
