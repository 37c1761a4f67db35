// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include <omnibus/backend.hpp>
#include <omnibus/backends/sqlite/reading.hpp>
#include <omnibus/backends/sqlite/shards.hpp>
#include <omnibus/detail/smaller.hpp>

// Reads what a consumer's shards have, and hands it over.

namespace omnibus::sqlite {

/// Thread safety: one thread at a time. Lifetime: the shards must outlive it.
class Feed {
 public:
  Feed(Shards& shards, std::shared_ptr<const Plan> plan) : shards_{shards}, plan_{std::move(plan)} {}

  Result<> open(const Settings& settings) {
    return reading_.is_open() ? Result<>{} : reading_.open(settings);
  }
  void close() noexcept { reading_.close(); }
  void place(const Place& place) noexcept { place_ = place; }

  /// What others have written.
  struct News {
    bool any = false;
    std::int64_t delayed_due = INT64_MAX;  ///< when the next delayed message is due
    std::int64_t members = 0;              ///< of the group
    bool any_free = false;                 ///< some shard of it has no owner
  };
  /// Finds out whether somebody has written. `all`: even if not.
  Result<> look(News& news, bool all) {
    Result<> done = reading_.look(news.any);
    if (!done || (!news.any && !all)) return done;
    for (Shard& shard : shards_.all()) shard.more = true;
    done = reading_.next_due(news.delayed_due);
    if (!done || plan_->reads_only) return done;
    return reading_.members(place_.group, wall_us(), news.members, news.any_free);
  }

  /// Hands over what there is room for. `delivered` and `missing` count up.
  Result<> read(Intake& intake, std::size_t& delivered, std::uint64_t& missing) {
    Result<> done = read_left();
    const std::int64_t now = wall_us();
    std::size_t active = 0;
    for (const Shard& shard : shards_.all()) active += is_readable(shard, now) ? 1 : 0;
    if (!done || active == 0) return done;
    done = reading_.begin();
    const std::size_t quota = intake.room() / active + 1;
    const std::size_t count = shards_.all().size();
    for (std::size_t i = 0; done && i < count; ++i) {
      const std::size_t index = (first_ + i) % count;
      if (!is_readable(shards_.all()[index], now)) continue;
      done = read_due(index, now, intake, delivered, missing);
      if (done) done = read_log(index, detail::smaller(quota, intake.room()), now, intake, delivered, missing);
    }
    ++first_;
    reading_.end();
    return done;
  }

 private:
  static constexpr std::size_t most_left = 100'000;  ///< of a shard, before no more of its log is read

  bool reads_log(const Shard& shard) const noexcept {
    return shard.more && (plan_->picks || plan_->reads_only || shard.window.left() < most_left);
  }
  bool is_readable(const Shard& shard, std::int64_t now) const noexcept {
    return shard.state == Shard::State::active && (reads_log(shard) || shard.window.holds_log(now));
  }
  std::int64_t partition(std::size_t shard) const noexcept {
    return place_.first + static_cast<std::int64_t>(shard);
  }

  /// Of shards that are new.
  Result<> read_left() {
    for (std::size_t i = 0; i < shards_.all().size(); ++i) {
      Shard& shard = shards_.all()[i];
      if (shard.state == Shard::State::none || shard.knows_left) continue;
      if (place_.group != 0) {
        Result<> done = reading_.left(
            place_.group, partition(i), [&](std::uint64_t position, std::int64_t due, std::uint32_t attempts) {
              shard.window.add_left(position, plan_->reads_only ? 0 : due, attempts);
            });
        if (!done) return done;
      }
      shard.window.left_is_known();
      shard.knows_left = true;
    }
    return {};
  }

  Result<> read_due(std::size_t index, std::int64_t now, Intake& intake, std::size_t& delivered,
                    std::uint64_t& missing) {
    Window& window = shards_.all()[index].window;
    Window::Due due;
    while (intake.room() > 0 && window.take_due(now, due)) {
      bool found = false;
      Result<> done = reading_.at(partition(index), due.position, [&](const MessageView& message) {
        shards_.deliver(index, due.position, due.attempts, message, intake);
        found = true;
        ++delivered;
      });
      if (!done) {
        window.released(due.position, due.attempts);
        return done;
      }
      if (found) continue;
      window.done(due.position);
      ++missing;
    }
    return {};
  }

  Result<> read_log(std::size_t index, std::size_t wanted, std::int64_t now, Intake& intake,
                    std::size_t& delivered, std::uint64_t& missing) {
    Shard& shard = shards_.all()[index];
    Window& window = shard.window;
    if (wanted == 0 || !reads_log(shard)) return {};
    const std::uint64_t allowed = window.allowed(now);
    const auto count = static_cast<std::size_t>(detail::smaller<std::uint64_t>(wanted, allowed));
    std::size_t rows = 0;
    Result<> done;
    if (count > 0) {
      done = reading_.from(partition(index), window.next(), count,
                           [&](std::uint64_t position, const MessageView& message) {
                             ++rows;
                             if (position > window.next()) missing += window.skip_to(position);
                             shards_.deliver(index, position, window.pass(), message, intake);
                             ++delivered;
                           });
    }
    if (!done) return done;
    if (plan_->reads_only) {
      shard.more = rows == count;
      return done;
    }
    std::uint64_t end = 0;
    done = reading_.end_of(partition(index), end);
    shard.more = end > window.next();
    window.announce(detail::smaller<std::uint64_t>(end, window.next() + wanted));
    return done;
  }

  Shards& shards_;
  const std::shared_ptr<const Plan> plan_;
  Reading reading_;
  Place place_;
  std::size_t first_ = 0;
};

}  // namespace omnibus::sqlite
