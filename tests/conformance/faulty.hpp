// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <omnibus/backend.hpp>
#include <omnibus/subscription_spec.hpp>

#include "faults.hpp"

// Faulty<B>: backend B with one fault, or with none. It can also kill its consumers the way a
// process is killed, and answer publishes in the broker's place.

namespace conformance {

/// A consumer between the dispatcher and the real one.
template <ob::Backend B>
class FaultyConsumer : private ob::Intake {
 public:
  FaultyConsumer(B& backend, const ob::SubscriptionSpec& spec, Sabotage& sabotage)
      : inner_(backend.consume(spec)), sabotage_{sabotage} {}

  void poll(ob::Intake& intake, ob::Instant until) {
    outer_ = &intake;
    if (crashed_.load()) return play_dead(until);
    const bool held = held_.has_value();
    if (held) {
      until = std::min(until, std::chrono::steady_clock::now() + std::chrono::milliseconds{2});
    }
    inner_.poll(*this, until);
    if (crashed_.load()) return play_dead(until);
    if (held && held_) hand_over(std::exchange(held_, {})->incoming);
    inner_.settle(std::exchange(pending_, {}));
  }

  void settle(std::span<const ob::Settlement> settlements) {
    if (crashed_.load()) return;
    for (ob::Settlement each : settlements) {
      const auto found = std::find(unsettled_.begin(), unsettled_.end(), each.token);
      if (found == unsettled_.end()) continue;
      if (sabotage_.fault == Fault::settle_cumulatively &&
          each.kind == ob::Settlement::Kind::done) {
        for (auto before = unsettled_.begin(); before != found; ++before) {
          pending_.push_back({*before, ob::Settlement::Kind::done, {}, 0});
        }
        unsettled_.erase(unsettled_.begin(), found + 1);
      } else {
        unsettled_.erase(found);
      }
      if (alter(each)) pending_.push_back(each);
    }
    inner_.settle(std::exchange(pending_, {}));
  }

  void wake() {
    inner_.wake();
    std::lock_guard lock{mutex_};
    woken_ = true;
    signal_.notify_all();
  }

  ob::Result<> close(ob::Instant until) {
    if (gone_) return {};
    return inner_.close(until);
  }

  /// Dies without settling anything; what it holds comes again. From any thread.
  void crash() {
    crashed_.store(true);
    wake();
  }

 private:
  struct Copy {
    ob::Message message;
    ob::MessageView view;
    ob::Incoming incoming;
  };

  // ── the real consumer's view ───────────────────────────────────────────────────────────────────

  std::size_t room() const noexcept override {
    if (crashed_.load()) return 0;
    const std::size_t room = outer_->room();
    return held_ ? room - std::min<std::size_t>(room, 1) : room;
  }

  void deliver(const ob::Incoming& incoming) override {
    switch (sabotage_.fault) {
      case Fault::lose_message:
        if (!sabotage_.strikes()) break;
        pending_.push_back({incoming.token, ob::Settlement::Kind::done, {}, 0});
        return;
      case Fault::swap_pair:
        if (held_ && held_->incoming.message->key == incoming.message->key) {
          hand_over(incoming);
          return hand_over(std::exchange(held_, {})->incoming);
        }
        if (held_ || !sabotage_.strikes()) break;
        held_.emplace(Held{incoming});
        return;
      case Fault::deliver_twice:
        hand_over(incoming);
        if (sabotage_.strikes() && outer_->room() > 0) hand_over_again(incoming);
        return;
      case Fault::settle_early: {
        pending_.push_back({incoming.token, ob::Settlement::Kind::done, {}, 0});
        return outer_->deliver(copy(incoming));
      }
      case Fault::settle_cumulatively:  // the real one forgets bytes that are still looked at
      case Fault::cut_payload:
      case Fault::drop_headers:
      case Fault::new_ids:
      case Fault::forget_attempts:
        return hand_over(copy(incoming));
      default:
        break;
    }
    hand_over(incoming);
  }

  bool revoke(std::int32_t partition, ob::Instant until) override {
    if (held_ && held_->incoming.partition == partition) {
      const ob::Settlement back{
          held_->incoming.token, ob::Settlement::Kind::release, {}, held_->incoming.attempts};
      held_.reset();
      inner_.settle({&back, 1});
    }
    return outer_->revoke(partition, until);
  }

  void report(const ob::Error* problem) override {
    if (problem == nullptr && sabotage_.fault == Fault::never_registered) return;
    if (problem != nullptr && sabotage_.fault == Fault::always_registered) return;
    outer_->report(problem);
  }

  // ── what goes wrong ────────────────────────────────────────────────────────────────────────────

  void hand_over(const ob::Incoming& incoming) {
    unsettled_.push_back(incoming.token);
    outer_->deliver(incoming);
  }
  /// With a token that the real consumer does not know, so that it settles nothing.
  void hand_over_again(const ob::Incoming& incoming) {
    ob::Incoming again = copy(incoming);
    again.token |= std::uint64_t{1} << 63;
    again.attempts = 0;
    outer_->deliver(again);
  }
  /// The same with bytes of its own, altered where that is the fault.
  const ob::Incoming& copy(const ob::Incoming& incoming) {
    auto kept = std::make_unique<Copy>();
    kept->message = ob::Message{*incoming.message};
    if (sabotage_.fault == Fault::cut_payload) {
      kept->message.payload.resize(
          std::min(kept->message.payload.size(), kept->message.payload.find('\0')));
    }
    if (sabotage_.fault == Fault::drop_headers) kept->message.headers = {};
    if (sabotage_.fault == Fault::new_ids) {
      kept->message.id.append("-").append(std::to_string(copies_.size()));
    }
    kept->incoming = incoming;
    if (sabotage_.fault == Fault::forget_attempts) kept->incoming.attempts = 0;
    kept->view = kept->message.view();
    kept->incoming.message = &kept->view;
    copies_.push_back(std::move(kept));
    return copies_.back()->incoming;
  }

  /// Returns false when the real consumer is not to be told.
  bool alter(ob::Settlement& settlement) const {
    using Kind = ob::Settlement::Kind;
    const auto is = [&](Fault fault, Kind kind) {
      return sabotage_.fault == fault && settlement.kind == kind;
    };
    if (is(Fault::ignore_release, Kind::release)) return false;
    if (is(Fault::release_as_done, Kind::release)) settlement.kind = Kind::done;
    if (is(Fault::later_as_done, Kind::later)) settlement.kind = Kind::done;
    if (is(Fault::ignore_later_delay, Kind::later)) settlement.delay = {};
    return true;
  }

  /// Serves nobody any more, but keeps to what a poll has to do.
  void play_dead(ob::Instant until) {
    if (!std::exchange(gone_, true)) {
      held_.reset();
      (void)inner_.close(ob::Instant::min());
      const ob::Error problem = ob::Error::make(ob::Errc::unavailable, "consume", "it was killed");
      report(&problem);
      return;
    }
    std::unique_lock lock{mutex_};
    const auto latest = std::chrono::steady_clock::now() + std::chrono::hours{1};
    signal_.wait_until(lock, std::min(until, latest), [this] { return woken_; });
    woken_ = false;
  }

  struct Held {
    ob::Incoming incoming;
  };

  typename B::Consumer inner_;
  Sabotage& sabotage_;
  ob::Intake* outer_ = nullptr;
  std::vector<std::uint64_t> unsettled_;
  std::vector<ob::Settlement> pending_;
  std::optional<Held> held_;
  std::vector<std::unique_ptr<Copy>> copies_;
  std::atomic<bool> crashed_{false};
  bool gone_ = false;
  std::mutex mutex_;
  std::condition_variable signal_;
  bool woken_ = false;
};

/// Backend B with a fault.
template <ob::Backend B>
class Faulty {
 public:
  struct Config : B::Config {
    std::shared_ptr<Sabotage> sabotage;
  };
  static constexpr ob::Capabilities capabilities = B::capabilities;

  /// A consumer that is known to its backend while it lives, so that it can be killed.
  class Consumer : public FaultyConsumer<B> {
   public:
    Consumer(Faulty& owner, const ob::SubscriptionSpec& spec)
        : FaultyConsumer<B>{owner.inner_, spec, *owner.sabotage_}, owner_{owner} {
      std::lock_guard lock{owner_.mutex_};
      owner_.consumers_.push_back(this);
    }
    ~Consumer() {
      std::lock_guard lock{owner_.mutex_};
      std::erase(owner_.consumers_, this);
    }
    Consumer(const Consumer&) = delete;

   private:
    Faulty& owner_;
  };

  explicit Faulty(Config config) : inner_{config}, sabotage_{std::move(config.sabotage)} {}
  ~Faulty() {
    std::unique_lock lock{mutex_};
    ended_.wait(lock, [this] { return delayed_endings_ == 0; });
  }

  void submit(std::string_view topic, std::span<ob::Outgoing> messages, const ob::Submit& how) {
    for (ob::Outgoing& each : messages) submit_one(topic, each, how);
  }

  void submit_atomic(std::span<const ob::Addressed> messages, const ob::Submit& how, ob::AtomicDone done)
    requires ob::AtomicPublisher<B>
  {
    const auto alone = [&](const ob::Addressed& each) {
      ob::Outgoing silent{each.message, {}, [](ob::Result<ob::Receipt>) {}};
      inner_.submit(each.topic, {&silent, 1}, how);
    };
    ob::Errc code{};
    bool store = false;
    bool answered = false;
    for (const ob::Addressed& each : messages) {
      if (!answered) answered = sabotage_->answer_for(each.topic, code, store);
    }
    if (answered) {
      if (store) inner_.submit_atomic(messages, how, [](auto) {});
      if (!store && sabotage_->fault == Fault::keep_half_a_batch) {
        for (const ob::Addressed& each : messages.first(messages.size() / 2)) alone(each);
      }
      return done(ob::Error::make(code, "publish", "the fixture says so"));
    }
    if (sabotage_->fault == Fault::tear_batches) {
      for (const ob::Addressed& each : messages) {
        alone(each);
        std::this_thread::yield();
      }
      const std::vector<ob::Receipt> receipts(messages.size());
      return done(std::span{receipts});
    }
    inner_.submit_atomic(messages, how, std::move(done));
  }

  ob::Result<> flush(ob::Instant until) {
    if (sabotage_->fault == Fault::flush_early) return {};
    std::unique_lock lock{mutex_};
    if (!ended_.wait_until(lock, until, [this] { return delayed_endings_ == 0; })) {
      return ob::Error::make(ob::Errc::timed_out, "flush");
    }
    lock.unlock();
    return inner_.flush(until);
  }

  Consumer consume(ob::SubscriptionSpec spec) {
    switch (sabotage_->fault) {
      case Fault::merge_topics:
        spec.topic = "merged";
        break;
      case Fault::merge_groups:
        spec.group = "merged";
        break;
      case Fault::split_groups:
        spec.group = "";
        break;
      case Fault::ignore_start:
        spec.start = {};
        break;
      case Fault::look_and_take:
        spec.use = ob::Use::handle;
        break;
      default:
        break;
    }
    return Consumer{*this, spec};
  }

  ob::Health health() const { return inner_.health(); }
  const ob::Clock& clock() const noexcept { return inner_.clock(); }
  ob::Result<> close(ob::Instant until) {
    return sabotage_->fault == Fault::ignore_close ? ob::Result<>{} : inner_.close(until);
  }

  /// Kills all consumers of this bus.
  void crash() {
    std::lock_guard lock{mutex_};
    for (Consumer* each : consumers_) each->crash();
  }

 private:
  void submit_one(std::string_view topic, ob::Outgoing& each, ob::Submit how) {
    ob::Errc code{};
    bool store = false;
    if (sabotage_->answer_for(topic, code, store)) {
      if (store) {
        ob::Outgoing silent{each.message, each.delay, [](ob::Result<ob::Receipt>) {}};
        inner_.submit(topic, {&silent, 1}, how);
      }
      if (sabotage_->fault == Fault::unknown_as_ok) return each.done(ob::Receipt{});
      if (sabotage_->fault == Fault::unknown_as_rejected) code = ob::Errc::rejected;
      return each.done(ob::Error::make(code, "publish", "the fixture says so"));
    }
    switch (sabotage_->fault) {
      case Fault::accept_without_storing:
        if (sabotage_->strikes()) return each.done(ob::Receipt{});
        break;
      case Fault::ignore_publish_delay:
        each.delay = {};
        break;
      case Fault::always_wait_for_room:
        how.wait_for_room = true;
        break;
      case Fault::merge_topics:
        topic = "merged";
        break;
      case Fault::lose_completion:
        if (sabotage_->strikes()) delay_ending(each, std::chrono::seconds{2});
        break;
      case Fault::flush_early:
        delay_ending(each, std::chrono::milliseconds{20});
        break;
      default:
        break;
    }
    inner_.submit(topic, {&each, 1}, how);
  }

  void delay_ending(ob::Outgoing& each, ob::Duration by) {
    {
      std::lock_guard lock{mutex_};
      ++delayed_endings_;
    }
    each.done = [this, by, then = std::move(each.done)](ob::Result<ob::Receipt> result) mutable {
      auto finish = [this, then = std::move(then)](ob::Result<ob::Receipt> ending) mutable {
        then(std::move(ending));
        std::lock_guard lock{mutex_};
        --delayed_endings_;
        ended_.notify_all();
      };
      sabotage_->late.add(by, std::move(finish), std::move(result));
    };
  }

  B inner_;
  const std::shared_ptr<Sabotage> sabotage_;
  std::mutex mutex_;
  std::condition_variable ended_;
  std::size_t delayed_endings_ = 0;
  std::vector<Consumer*> consumers_;
};

}  // namespace conformance
