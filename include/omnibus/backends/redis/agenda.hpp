// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include <omnibus/backends/redis/shards.hpp>
#include <omnibus/detail/pace.hpp>
#include <omnibus/detail/smaller.hpp>
#include <omnibus/error.hpp>
#include <omnibus/time.hpp>

// When a member of a group has something to ask the server for. No I/O.

namespace omnibus::redis {

/// When something comes that the server expects in so many microseconds.
inline Instant soon(std::int64_t us, Instant now) noexcept {
  constexpr std::int64_t longest = 3'600'000'000;  // then we ask again
  return now + std::chrono::microseconds{(us < longest ? us : longest) + 1};
}

/// Thread safety: one thread at a time.
class Agenda {
 public:
  /// There is a new connection: everything is due.
  void begin() noexcept { tend_ = retry_ = Instant::min(); }

  /// When the next turn is due. `bell_is_right`: the bell rings at news of every shard that is read.
  Instant turn_due(const Shards& shards, bool joined, bool bell_is_right) const {
    using omnibus::detail::larger, omnibus::detail::smaller;
    if (!joined) return larger(retry_, tend_);
    Instant due = smaller(tend_, move_);
    std::size_t acks = 0;
    bool active = false;
    const bool has_room = shards.room() > 0;
    for (const Shard& shard : shards) {
      const bool reads_new = shard.state() == Shard::State::active;
      acks += shard.ours() ? shard.done.size() : 0;
      active |= reads_new;
      if (has_room && shard.state() == Shard::State::recovering) due = Instant::min();
      if (has_room && reads_new) due = smaller(due, shard.due);
      if (shard.ours() && !shard.later.empty()) due = Instant::min();
      if (shard.state() == Shard::State::draining && shard.idle()) due = Instant::min();
    }
    due = larger(due, retry_);
    if (acks > 0) due = smaller(due, acks >= many ? Instant::min() : flush_);
    if (active && has_room) due = smaller(due, read_due(bell_is_right));
    return due;
  }
  /// When to read new entries.
  Instant read_due(bool bell_is_right) const noexcept {
    if (news_) return read_;
    // Until the bell knows which shards are ours, we have to look by ourselves.
    return bell_is_right ? Instant::max() : look_;
  }
  /// False for a while after the server has refused something: it is asked for the necessary alone.
  bool calm(Instant now) const noexcept { return now >= retry_; }

  bool tend_due(Instant now) const noexcept { return calm(now) && now >= tend_; }
  bool move_due(Instant now) const noexcept { return calm(now) && now >= move_; }
  bool care_due(Instant now) const noexcept { return calm(now) && now >= care_; }

  /// There may be news.
  void ring() noexcept { news_ = true; }
  void be_quiet() noexcept { news_ = false; }
  bool news() const noexcept { return news_; }
  /// A shard is read from now on.
  void begin_reading(Instant now) noexcept {
    news_ = true;
    read_ = now;
  }

  /// A transaction is sent.
  void transacted(Instant now) noexcept {
    flush_ = now + flush_every;
    look_ = now + std::chrono::milliseconds{5};
  }
  /// A read of `asked` entries of each shard, at most, has come.
  void read(const Shards& shards, std::size_t asked, Instant now) noexcept {
    bool more = false;
    std::size_t count = 0;
    for (const Shard& shard : shards) {
      more |= shard.state() == Shard::State::active && shard.got >= asked;
      count += shard.got;
    }
    const Duration linger = omnibus::detail::linger_after(count);
    read_ = now + (more ? Duration::zero() : linger);
    news_ = more || linger > Duration::zero();  // where several come at once, others follow
  }

  /// The lease is being renewed. A share that has changed becomes effective within this time; who has less
  /// than its share asks again soon, as others may have just handed over.
  void tended(Instant now, Duration lease, bool short_of_share) noexcept {
    using omnibus::detail::larger, omnibus::detail::smaller;
    constexpr Duration soon = std::chrono::milliseconds{50};
    const Duration pause = larger<Duration>(soon, smaller<Duration>(lease / 8, every));
    tend_ = now + (short_of_share ? soon : pause);
  }
  void tend_at(Instant when) noexcept { tend_ = omnibus::detail::smaller(tend_, when); }
  void moved(Instant now) noexcept { move_ = now + every; }
  void move_at(Instant when) noexcept { move_ = omnibus::detail::smaller(move_, when); }
  void cared(Instant now) noexcept { care_ = now + every; }

  /// A server whose memory is full takes no transaction, although ours are what frees some: for a while
  /// scripts do the same. False when this is another problem, or scripts are refused as well.
  bool memory_is_full(const Error& problem, Instant now) noexcept {
    if (by_script(now) || !problem.context.starts_with("OOM")) return false;
    by_script_until_ = now + std::chrono::seconds{5};
    return true;
  }
  bool by_script(Instant now) const noexcept { return now < by_script_until_; }

  /// The server has refused something.
  void refused(Instant now) noexcept {
    retry_ = now + retry_after;
    tend_at(retry_);
  }

 private:
  static constexpr Duration flush_every = std::chrono::milliseconds{10};
  static constexpr Duration retry_after = std::chrono::milliseconds{500};
  static constexpr Duration every = std::chrono::seconds{1};
  static constexpr std::size_t many = 64;  ///< acknowledgements that are worth a turn

  bool news_ = false;  // it is worth reading
  Instant tend_ = Instant::min();
  Instant move_ = Instant::min();
  Instant care_ = Instant::min();
  Instant retry_ = Instant::min();
  Instant flush_ = Instant::min();
  Instant read_ = Instant::min();
  Instant look_ = Instant::min();
  Instant by_script_until_ = Instant::min();
};

}  // namespace omnibus::redis
