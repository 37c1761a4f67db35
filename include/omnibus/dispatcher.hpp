// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <omnibus/backend.hpp>
#include <omnibus/clock.hpp>
#include <omnibus/consumer_state.hpp>
#include <omnibus/delivery.hpp>
#include <omnibus/detail/hash.hpp>
#include <omnibus/detail/lanes.hpp>
#include <omnibus/detail/latch.hpp>
#include <omnibus/detail/smaller.hpp>
#include <omnibus/detail/thread.hpp>
#include <omnibus/dispatch_options.hpp>
#include <omnibus/handler.hpp>
#include <omnibus/parked_keys.hpp>
#include <omnibus/pause.hpp>
#include <omnibus/pipeline.hpp>
#include <omnibus/subscription_spec.hpp>

// From the broker to the handlers and back: one thread owns the consumer, polls it, feeds the lanes
// and settles what they have done; workers run handlers. No thread does both, so that heartbeats
// go on while handlers take their time.

namespace omnibus {

/// Runs one subscription. `C` is the backend's consumer.
/// Thread safety: `stop`, `finished` and the counters from any thread; the rest from the owner's.
/// Lifetime: the context must outlive the dispatcher.
template <BackendConsumer C>
class Dispatcher final : private Intake {
 public:
  using Pipeline = std::unique_ptr<RunnablePipeline>;

  /// `make_consumer` returns the consumer. Nothing runs before `start`.
  template <class MakeConsumer>
  Dispatcher(MakeConsumer&& make_consumer, Pipeline pipeline, DeliveryContext& context,
             DispatchOptions options)
      : consumer_(make_consumer()),
        pipeline_{std::move(pipeline)},
        context_{context},
        options_{options},
        parked_{options.parked_in},
        lanes_{lane_count(options.concurrency), options.concurrency, [this] { wake(); }} {}

  /// Stops and waits for the handlers that run, however long they take.
  ~Dispatcher() override {
    stop(std::chrono::seconds{10});
    join();
  }
  Dispatcher(const Dispatcher&) = delete;

  /// Starts delivering.
  void start() {
    workers_.reserve(options_.concurrency);
    for (std::size_t i = 0; i < options_.concurrency; ++i) {
      workers_.emplace_back([this] { work(); });
    }
    thread_ = detail::DeepThread{[this] { dispatch(); }};
    started_.arrive();  // from now on handlers may ask on_own_thread
  }

  /// Begins the end: no new messages, what has not started goes back, what runs is finished and
  /// settled. Does not block. Idempotent.
  void stop(Duration to_close) noexcept {
    // The consumer's own end leaves some of the time to those who wait for it.
    Instant::rep unset = 0;
    const Instant close_by = after(std::chrono::steady_clock::now(), to_close - to_close / 10);
    close_by_.compare_exchange_strong(unset, close_by.time_since_epoch().count());
    if (!stopping_.exchange(true)) consumer_.wake();
  }

  /// True on a thread that runs this subscription's handlers: there one can't wait for its end.
  bool on_own_thread() const noexcept {
    const auto self = std::this_thread::get_id();
    for (const auto& worker : workers_) {
      if (worker.get_id() == self) return true;
    }
    return thread_.is_current();
  }

  /// Joins all threads. Blocks until the running handlers return.
  void join() {
    if (thread_.joinable()) thread_.join();
    lanes_.close();
    for (auto& worker : workers_) {
      if (worker.joinable()) worker.join();
    }
  }

  /// No new messages are taken until then; `why` is what is wrong, or nullptr. From any thread.
  void pause(Instant until, const Error* why) { pause_.extend(until, why); }
  /// Why it pauses, if that is because something is wrong.
  std::optional<Error> pause_problem() const { return pause_.problem(context_.clock().now()); }

  const DispatchCounters& counters() const noexcept { return counters_; }
  /// Messages that wait for their next attempt, or behind one that does.
  std::size_t waiting() const { return lanes_.waiting(); }
  /// True when workers have nothing to do, and what they have done is settled and counted.
  bool idle() const { return lanes_.idle(); }
  /// Whether the consumer is registered, and whether everything has ended: then but for handlers that
  /// still run.
  const ConsumerState& state() const noexcept { return state_; }

 private:
  struct Item {
    std::optional<Delivery> delivery;
    Item* next = nullptr;
    std::size_t lane = 0;
    std::uint64_t revocations = 0;  ///< how many there had been when it was delivered
    Settlement settlement;
    std::string_view key() const noexcept { return delivery->key(); }
  };
  /// What is known of a partition.
  struct Share {
    std::size_t in_flight = 0;
    std::uint64_t revocations = 0;  ///< how many there had been, this one's last included
  };
  using Lanes = detail::Lanes<Item>;
  using Items = typename Lanes::Items;
  using Done = detail::HandedOver<Item>;

  /// Many more lanes than workers, so that keys seldom share one; a single worker needs a single
  /// lane and keeps the order of the whole topic.
  static std::size_t lane_count(std::size_t concurrency) noexcept {
    std::size_t lanes = 1;
    while (concurrency > 1 && lanes < concurrency * 64) lanes *= 2;
    return lanes;
  }

  // ── the dispatcher's thread ────────────────────────────────────────────────────────────────────

  void dispatch() {
    started_.wait();
    while (true) {
      const bool stopping = stopping_.load();
      if (stopping) withdraw([](const Item&) { return true; });
      const auto turn = lanes_.exchange(std::exchange(arrived_, {}), context_.clock().now());
      settle(turn.done);
      if (stopping && in_flight_ == 0) break;
      paused_until_ = pause_end();
      const Instant until = detail::smaller(turn.due, paused_until_);
      consumer_.poll(*this, turn.done.size > 0 ? Instant::min() : until);
    }
    const Result<> closed = consumer_.close(Instant{Instant::duration{close_by_.load()}});
    lanes_.close();
    state_.end(closed);
  }

  /// When a pause ends that has not ended yet; else the end of time.
  Instant pause_end() const {
    const Instant until = pause_.until();
    return until > context_.clock().now() ? until : Instant::max();
  }
  std::size_t room() const noexcept override {
    if (paused_until_ != Instant::max()) return 0;
    if (stopping_.load(std::memory_order_relaxed)) return 0;
    if (options_.window_bytes != 0 && bytes_ >= options_.window_bytes) return 0;
    // What waits for another attempt has a bound of its own, so that a failing key does not stop
    // the others.
    const std::size_t waiting = detail::smaller(lanes_.waiting(), in_flight_);
    const std::size_t active = in_flight_ - waiting;
    if (active >= options_.window || waiting >= options_.window_waiting) return 0;
    return options_.window - active;
  }

  void deliver(const Incoming& incoming) override {
    Item* item = new_item();
    Share& share = share_of(incoming.partition);
    item->delivery.emplace(incoming, context_, born_ + share.revocations);
    item->revocations = revocations_.load(std::memory_order_relaxed);
    const std::string_view key = incoming.message->key;
    item->lane = (key.empty() ? next_lane_++ : detail::hash64(key)) & (lanes_.count() - 1);
    ++in_flight_;
    bytes_ += incoming.message->payload.size();
    counters_.in_flight.store(in_flight_, std::memory_order_relaxed);
    ++share.in_flight;
    arrived_.push(item);
  }

  bool revoke(std::int32_t partition, Instant until) override {
    const std::size_t before = in_flight_;
    {
      std::lock_guard lock{revoked_mutex_};
      revoked_[partition] = share_of(partition).revocations = revocations_.fetch_add(1) + 1;
    }
    const auto of_it = [partition](const Item& item) { return item.delivery->partition() == partition; };
    give_back(arrived_.extract(of_it));
    while (true) {
      withdraw(of_it);  // at each turn: one may have failed and wait again
      const bool all = share_of(partition).in_flight == 0;
      const Instant now = context_.clock().now();
      if (all || now >= until) {
        // Of what was settled here no worker tells: the poll returns, and `dispatch` sees how much is left.
        if (in_flight_ != before) consumer_.wake();
        return all;
      }
      const Duration wait = detail::smaller<Duration>(until - now, std::chrono::hours{1});
      std::unique_lock lock{returned_mutex_};
      returned_signal_.wait_for(lock, wait, [this] { return returned_; });
      returned_ = false;
    }
  }

  /// Gives back what has not started and is `wanted`, and settles what is done.
  template <class Wanted>
  void withdraw(Wanted wanted) {
    const auto withdrawn = lanes_.withdraw(wanted);
    settle(withdrawn.done);
    give_back(withdrawn.items);
  }

  /// Called by a worker when the dispatcher waits and something is done.
  void wake() {
    consumer_.wake();
    std::lock_guard lock{returned_mutex_};
    returned_ = true;
    returned_signal_.notify_one();
  }

  void report(const Error* problem) override {
    state_.report(problem);
    context_.report(problem);
  }

  void give_back(Items items) {
    if (items.first == nullptr) return;
    counters_.given_back.fetch_add(items.size, std::memory_order_relaxed);
    for (Item* item = items.first; item != nullptr; item = item->next) {
      release(*item);
      context_.notify(DeliveryEvent::given_back, *item->delivery, nullptr);
    }
    settle(items);
  }

  void settle(Items items) {
    if (items.first == nullptr) return;
    settlements_.clear();
    for (Item* item = items.first; item != nullptr; item = item->next) {
      settlements_.push_back(item->settlement);
      --share_of(item->delivery->partition()).in_flight;
      bytes_ -= item->delivery->payload().size();
    }
    in_flight_ -= items.size;
    counters_.in_flight.store(in_flight_, std::memory_order_relaxed);
    consumer_.settle(std::span<const Settlement>{settlements_});
    free_.append(items);
  }

  Item* new_item() {
    if (free_.first == nullptr) {
      constexpr std::size_t at_once = 64;
      blocks_.push_back(std::make_unique<Item[]>(at_once));
      for (std::size_t i = 0; i < at_once; ++i) free_.push(&blocks_.back()[i]);
    }
    return free_.pop();
  }

  Share& share_of(std::int32_t partition) {
    const auto index = static_cast<std::size_t>(partition < 0 ? 0 : partition);
    if (index >= shares_.size()) shares_.resize(index + 1);
    return shares_[index];
  }

  // ── the workers' threads ───────────────────────────────────────────────────────────────────────

  void work() {
    constexpr Duration slice = std::chrono::microseconds{100};  // work taken at once
    constexpr std::size_t most = 512;
    typename Lanes::Chunk chunk;
    while (lanes_.next(chunk)) {
      const auto start = std::chrono::steady_clock::now();
      std::uint64_t handled = 0;
      std::size_t ran = 0;
      while (auto* run = chunk.begin_run()) {
        ran += run->items.size;
        while (run->items.first != nullptr) handled += work_on(*run->items.pop(), *run, chunk.done);
      }
      if (handled > 0) counters_.handled.fetch_add(handled, std::memory_order_relaxed);
      const Duration took = std::chrono::steady_clock::now() - start;
      const auto each = static_cast<std::size_t>(took.count()) / detail::larger<std::size_t>(1, ran) + 1;
      chunk.budget = detail::larger<std::size_t>(
          1, detail::smaller(static_cast<std::size_t>(slice.count()) / each, most));
    }
  }

  /// Returns 1 when the item was handled.
  std::uint64_t work_on(Item& item, typename Lanes::Run& run, Done& done) {
    if (!run.parked.empty() && !item.key().empty()) {
      for (auto& failed : run.parked) {
        if (failed.key == item.key()) return failed.items.push(&item), 0;
      }
    }
    if (stopping_.load(std::memory_order_relaxed) || is_revoked(item)) {
      release(item);
      counters_.given_back.fetch_add(1, std::memory_order_relaxed);
      context_.notify(DeliveryEvent::given_back, *item.delivery, nullptr);
      return done.push(&item), 0;
    }
    Delivery& delivery = *item.delivery;
    if (options_.observed) {
      delivery.mark_began(context_.clock().now());
      context_.notify(DeliveryEvent::delivered, delivery, nullptr);
    }
    const Result<> result = detail::guarded([&] {
      return options_.order == Order::parked ? parked_.run(*pipeline_, delivery) : (*pipeline_)(delivery);
    });
    if (!result) return again(item, result.error(), run, done), 0;
    const bool ended = delivery.dead_lettered() || delivery.duplicate();
    const bool handled = delivery.attempted() && !ended;
    if (handled && options_.observed) context_.notify(DeliveryEvent::handled, delivery, nullptr);
    if (!handled && !ended) context_.notify(DeliveryEvent::dropped, delivery, nullptr);
    item.settlement = {delivery.incoming().token, Settlement::Kind::done, {}, 0,
                       handled ? delivery.outputs() : nullptr};
    return done.push(&item), handled ? 1 : 0;
  }

  void again(Item& item, const Error& error, typename Lanes::Run& run, Done& done) {
    Delivery& delivery = *item.delivery;
    // The outermost stage turns every final error into a dead letter: what is left asks for more.
    const Duration delay = error.again() ? error.retry_after : Duration{std::chrono::seconds{1}};
    counters_.retried.fetch_add(1, std::memory_order_relaxed);
    context_.notify(DeliveryEvent::retrying, delivery, &error);
    if (options_.order == Order::relaxed && !delivery.given_up()) {
      item.settlement = {delivery.incoming().token, Settlement::Kind::later, delay,
                         delivery.attempts_made()};
      done.push(&item);
      return;
    }
    delivery.begin_again();
    typename Lanes::Parked failed{item.key(), after(context_.clock().now(), delay), {}};
    failed.items.push(&item);
    run.parked.push_back(std::move(failed));
  }

  static void release(Item& item) noexcept {
    item.settlement = {item.delivery->incoming().token, Settlement::Kind::release, {},
                       item.delivery->attempts_made()};
  }

  bool is_revoked(const Item& item) {
    if (revocations_.load(std::memory_order_acquire) == item.revocations) return false;
    std::lock_guard lock{revoked_mutex_};
    const auto found = revoked_.find(item.delivery->partition());
    return found != revoked_.end() && found->second > item.revocations;
  }

  C consumer_;
  Pipeline pipeline_;
  DeliveryContext& context_;
  const DispatchOptions options_;
  /// Apart from those of other subscriptions by as many revocations as fit into the time between them.
  const std::uint64_t born_ =
      static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
  ParkedKeys parked_;
  Lanes lanes_;
  DispatchCounters counters_;
  Pause pause_;
  detail::Latch started_{1};
  std::atomic<bool> stopping_{false};
  std::atomic<Instant::rep> close_by_{0};

  std::vector<std::unique_ptr<Item[]>> blocks_;  // the dispatcher's thread alone, from here ...
  Items free_;
  Items arrived_;
  std::vector<Settlement> settlements_;
  std::vector<Share> shares_;
  std::size_t in_flight_ = 0;
  std::size_t bytes_ = 0;
  std::size_t next_lane_ = 0;
  Instant paused_until_ = Instant::max();  // ... to here

  std::atomic<std::uint64_t> revocations_{0};
  std::mutex revoked_mutex_;
  std::map<std::int32_t, std::uint64_t> revoked_;
  std::mutex returned_mutex_;
  std::condition_variable returned_signal_;
  bool returned_ = false;

  ConsumerState state_;

  std::vector<std::thread> workers_;
  detail::DeepThread thread_;
};

}  // namespace omnibus
