// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/detail/queue.hpp>
#include <omnibus/detail/smaller.hpp>
#include <omnibus/detail/unique_function.hpp>
#include <omnibus/time.hpp>

// The lanes of a subscription: many serial queues, a few workers. A key always maps to the same lane
// and a lane is worked by one worker at a time, so that messages of a key are handled one at a time
// and in order, while any idle worker takes any lane that has work. One lock is taken for a batch,
// never for a message, and never held while a handler runs. A worker takes along more than one lane;
// when one handler turns out to be slow, the others are taken back from it.

namespace omnibus::detail {

/// `Item` has `Item* next`, `std::size_t lane` and `std::string_view key() const`.
/// Thread safety: shared objects are safe. Bounded: holds what it is given, and that is bounded by
/// the dispatcher's window.
template <class Item>
class Lanes {
 public:
  using Items = Queue<Item>;

  /// A key that waits for its next attempt, with the messages behind it.
  struct Parked {
    std::string_view key;
    Instant due{};
    Items items;
  };
  /// What a worker holds of one lane.
  struct Run {
    std::size_t lane = 0;
    Items items;
    std::vector<Parked> parked;  ///< keys that failed during this run
  };
  /// What a worker holds between two visits. Its runs may be taken back until they begin, and what is
  /// done at any time.
  class Chunk {
   public:
    HandedOver<Item> done;
    std::size_t budget = 1;  ///< how many items to take at most

    /// For the worker: the next run, which is its own from now on. nullptr: there is no more.
    Run* begin_run() noexcept {
      const std::size_t index = begun_.fetch_add(1, std::memory_order_acq_rel);
      return index < runs_.size() ? &runs_[index] : nullptr;
    }

   private:
    friend class Lanes;
    static constexpr std::size_t none = SIZE_MAX / 2;

    std::vector<Run> runs_;
    std::atomic<std::size_t> begun_{0};
    std::size_t size_ = 0;              ///< items that were taken
    Instant look_at_ = Instant::max();  ///< when to look whether it takes long
    Duration look_every_{};
  };

  /// `wake` is called, on a worker's thread, when the dispatcher waits and something is done.
  Lanes(std::size_t lanes, std::size_t workers, UniqueFunction<void()> wake)
      : lanes_(lanes), ready_(lanes), workers_{workers}, wake_{std::move(wake)} {}

  std::size_t count() const noexcept { return lanes_.size(); }

  /// What the dispatcher gets at each turn.
  struct Turn {
    Items done;
    Instant due = Instant::max();  ///< when to come again, even if nothing happens
  };

  /// For the dispatcher: adds a batch, lets the keys go on whose time has come, and takes what is
  /// done, and back what has waited too long behind a slow handler. When nothing is done, the next item
  /// that is done or parked calls `wake`.
  Turn exchange(Items batch, Instant now) {
    Turn turn;
    bool wake = false;
    {
      std::lock_guard lock{mutex_};
      while (!timers_.empty() && timers_.begin()->first <= now) {
        unpark(timers_.extract(timers_.begin()).mapped(), now);
      }
      while (batch.first != nullptr) add(batch.pop());
      turn.due = look_after_slow(now);
      turn.done = std::exchange(done_, {});
      if (!timers_.empty()) turn.due = smaller(turn.due, timers_.begin()->first);
      waiting_ = turn.done.first == nullptr;
      wake = idle_ > 0 && ready_count_ > 0;
      // Who is woken may take along more than one lane.
      if (wake && queued_ > 1) turn.due = smaller(turn.due, after(now, first_look));
    }
    if (wake) work_.notify_one();  // it wakes the next, when it has left work for that one
    return turn;
  }

  struct Withdrawn {
    Items items;  ///< have not started
    Items done;   ///< as Turn's
  };

  /// For the dispatcher: takes back what has not started and is `wanted`, and takes what is done, of
  /// slow workers too. The next item that is done or parked calls `wake`: who withdraws may not come
  /// again by itself.
  template <class Wanted>
  Withdrawn withdraw(Wanted wanted) {
    std::lock_guard lock{mutex_};
    for (Chunk* chunk : held_) take_back(*chunk);
    Items out;
    for (Lane& lane : lanes_) {
      queued_ -= lane.items.size;
      out.append(lane.items.extract(wanted));
      queued_ += lane.items.size;
      for (Parked& parked : lane.parked) {
        parked_items_ -= parked.items.size;
        out.append(parked.items.extract(wanted));
        parked_items_ += parked.items.size;
      }
      std::erase_if(lane.parked, [](const Parked& parked) { return parked.items.size == 0; });
    }
    waiting_ = true;
    return {out, std::exchange(done_, {})};
  }

  /// For a worker: gives back the chunk and fills it with new work. Blocks until there is some;
  /// false when the lanes are closed.
  bool next(Chunk& chunk) {
    bool wake = false;
    std::unique_lock lock{mutex_};
    if (!chunk.runs_.empty()) wake = finish(chunk);
    if (wake) {
      lock.unlock();
      wake_();
      lock.lock();
    }
    while (chunk.runs_.empty()) {
      while (ready_count_ == 0 && !closed_) {
        ++idle_;
        work_.wait(lock);
        --idle_;
      }
      if (ready_count_ == 0) return false;
      take(chunk);
    }
    if (ready_count_ > 0 && idle_ > 0) work_.notify_one();
    return true;
  }

  /// Ends the workers once nothing is left to do.
  void close() {
    {
      std::lock_guard lock{mutex_};
      closed_ = true;
    }
    work_.notify_all();
  }

  /// True when no item is in a worker's hands, to be worked on, or done and not taken, and the last turn's
  /// `due` still holds. What workers did before is then visible to the caller.
  bool idle() const {
    std::lock_guard lock{mutex_};
    return (waiting_ || closed_) && ready_count_ == 0 && held_.empty();
  }

  /// How many items wait for a next attempt or behind one that does.
  std::size_t waiting() const noexcept { return parked_items_.load(std::memory_order_relaxed); }

 private:
  struct Lane {
    Items items;
    std::vector<Parked> parked;
    bool active = false;  ///< listed as ready, or held by a worker
  };

  static Parked* find(std::vector<Parked>& parked, std::string_view key) noexcept {
    for (Parked& each : parked) {
      if (each.key == key) return &each;
    }
    return nullptr;
  }

  void add(Item* item) {
    Lane& lane = lanes_[item->lane];
    if (!lane.parked.empty()) {
      if (Parked* parked = find(lane.parked, item->key()); parked && !item->key().empty()) {
        parked->items.push(item);
        ++parked_items_;
        return;
      }
    }
    lane.items.push(item);
    ++queued_;
    activate(item->lane);
  }

  void activate(std::size_t index) {
    if (std::exchange(lanes_[index].active, true)) return;
    ready_[(ready_first_ + ready_count_++) % ready_.size()] = index;
  }

  void unpark(std::size_t index, Instant now) {
    Lane& lane = lanes_[index];
    Items due;
    for (Parked& parked : lane.parked) {
      if (parked.due <= now) due.append(std::exchange(parked.items, {}));
    }
    std::erase_if(lane.parked, [](const Parked& parked) { return parked.items.size == 0; });
    if (due.size == 0) return;
    parked_items_ -= due.size;
    queued_ += due.size;
    due.append(std::exchange(lane.items, {}));  // the key's newer messages were parked with it
    lane.items = due;
    activate(index);
  }

  /// The worker is done with it. Returns whether the dispatcher is to be woken.
  bool finish(Chunk& chunk) {
    std::erase(held_, &chunk);
    const Items done = chunk.done.take();
    bool news = done.first != nullptr;
    for (Run& run : chunk.runs_) news |= finish(run);
    chunk.runs_.clear();
    done_.append(done);
    return news && std::exchange(waiting_, false);
  }

  /// Returns whether keys of it were parked.
  bool finish(Run& run) {
    if (run.lane == nowhere) return false;
    Lane& lane = lanes_[run.lane];
    for (Parked& parked : run.parked) {
      if (!parked.key.empty()) {
        queued_ -= lane.items.size;
        parked.items.append(
            lane.items.extract([&](const Item& item) { return item.key() == parked.key; }));
        queued_ += lane.items.size;
      }
      parked_items_ += parked.items.size;
      timers_.emplace(parked.due, run.lane);
      lane.parked.push_back(std::move(parked));
    }
    lane.active = false;
    if (lane.items.first != nullptr) activate(run.lane);
    run.lane = nowhere;
    return !run.parked.empty();
  }

  /// Takes from a worker what it has not begun and what it has done, whatever it is doing.
  void take_back(Chunk& chunk) {
    const std::size_t begun = chunk.begun_.exchange(Chunk::none, std::memory_order_acq_rel);
    if (begun < Chunk::none) {
      // The last that has begun is the worker's: it may still be at it.
      for (std::size_t index = 0; index < chunk.runs_.size(); ++index) {
        Run& run = chunk.runs_[index];
        if (index + 1 == begun || run.lane == nowhere) continue;
        queued_ += run.items.size;
        run.items.append(std::exchange(lanes_[run.lane].items, {}));
        lanes_[run.lane].items = std::exchange(run.items, {});
        finish(run);
      }
    }
    done_.append(chunk.done.take());
  }

  /// Takes back what workers have held for too long. Returns when to look again.
  Instant look_after_slow(Instant now) {
    Instant next = Instant::max();
    for (Chunk* chunk : held_) {
      if (chunk->size_ == 1) continue;  // there is nothing to take from it
      if (chunk->look_at_ <= now) {
        take_back(*chunk);
        chunk->look_every_ = smaller<Duration>(chunk->look_every_ * 2, last_look);
        chunk->look_at_ = after(now, chunk->look_every_);
      } else if (chunk->look_at_ == Instant::max()) {
        chunk->look_every_ = first_look;
        chunk->look_at_ = after(now, first_look);
      }
      next = smaller(next, chunk->look_at_);
    }
    return next;
  }

  void take(Chunk& chunk) {
    const std::size_t share = larger<std::size_t>(1, queued_ / workers_);
    std::size_t budget = smaller(chunk.budget, share);
    chunk.begun_.store(0, std::memory_order_relaxed);
    chunk.look_at_ = Instant::max();
    chunk.size_ = 0;
    while (budget > 0 && ready_count_ > 0) {
      Run run;
      run.lane = ready_[ready_first_];
      ready_first_ = (ready_first_ + 1) % ready_.size();
      --ready_count_;
      run.items = lanes_[run.lane].items.take(budget);
      if (run.items.size == 0) {  // everything was withdrawn
        lanes_[run.lane].active = false;
        continue;
      }
      chunk.size_ += run.items.size;
      budget -= run.items.size;
      queued_ -= run.items.size;
      chunk.runs_.push_back(std::move(run));
    }
    if (!chunk.runs_.empty()) held_.push_back(&chunk);
  }

  static constexpr std::size_t nowhere = SIZE_MAX;
  static constexpr Duration first_look = std::chrono::milliseconds{2};
  static constexpr Duration last_look = std::chrono::seconds{1};

  mutable std::mutex mutex_;
  std::condition_variable work_;
  std::vector<Lane> lanes_;
  std::vector<Chunk*> held_;  ///< by workers
  std::vector<std::size_t> ready_;  ///< a ring: lanes with work that no worker holds
  std::size_t ready_first_ = 0;
  std::size_t ready_count_ = 0;
  const std::size_t workers_;
  UniqueFunction<void()> wake_;
  std::multimap<Instant, std::size_t> timers_;  ///< lanes with parked keys, by due time
  Items done_;
  std::size_t queued_ = 0;
  std::atomic<std::size_t> parked_items_{0};  ///< written under the lock
  std::size_t idle_ = 0;
  bool waiting_ = false;  ///< the dispatcher wants to be woken
  bool closed_ = false;
};

}  // namespace omnibus::detail
