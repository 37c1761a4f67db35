// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include <omnibus/clock.hpp>
#include <omnibus/detail/smaller.hpp>
#include <omnibus/effects.hpp>
#include <omnibus/idempotency/store.hpp>
#include <omnibus/pipeline.hpp>
#include <omnibus/wait_for_store.hpp>

// Never do it twice: claim the message's key, handle it, then complete the key or release it.

namespace omnibus {

/// How `idempotent` uses its store.
struct IdempotentOptions {
  Duration lease = std::chrono::minutes{5};  ///< longer than any handler takes
  /// The key of a delivery; nullptr: the message id. Never derive it from the body: equal bodies
  /// need not be the same message. An empty key is handled without a claim.
  std::string (*key)(const Delivery&) = nullptr;
};

/// The stage that `idempotent` makes.
template <KeyStore S>
class IdempotentStage {
 public:
  static constexpr Rank rank = Rank::guard;

  IdempotentStage(S& store, IdempotentOptions options) : store_{&store}, options_{options} {
    if (options.lease <= Duration::zero()) {
      throw std::invalid_argument{"omnibus: idempotent: lease must be positive"};
    }
  }

  Result<> operator()(Next next, Delivery& delivery) const {
    const std::string chosen = chosen_key(delivery);
    const IdempotencyKey key = key_of(delivery, chosen);
    if (key.key.empty()) return next(delivery);
    if (const auto* past = delivery.history(); past != nullptr && past->claim_to_complete != 0) {
      Effects effects = past->effects ? std::move(*past->effects) : Effects{store_, store_->max_result()};
      const Result<> completed = complete(delivery, key, {Claim::State::acquired, past->claim_to_complete,
                                                          past->claim_handle, options_.lease}, effects);
      if (completed) delivery.mark_attempted();  // earlier, and that ended well
      return completed;
    }
    Result<Claim> claim =
        store_->claim(key, detail::hash128(delivery.payload()), options_.lease);
    if (!claim) return wait_for_store(delivery, claim.error());
    switch (claim->state) {
      case Claim::State::acquired: break;
      case Claim::State::completed: return end_duplicate(delivery, *claim);
      case Claim::State::in_progress: return in_progress(claim->lease);
      case Claim::State::mismatch:
        return Error::make(Errc::key_mismatch, "claim idempotency key",
                           "the key was used before with another payload");
    }
    Effects effects{store_, store_->max_result()};
    delivery.set_effects(&effects);
    Result<> result = detail::guarded([&] { return next(delivery); });
    delivery.set_effects(nullptr);
    if (result && !delivery.dead_lettered()) return complete(delivery, key, *claim, effects);
    (void)store_->release(key, *claim);  // if it fails, the lease ends by itself
    return result;
  }

  /// For who would end a delivery without its handler: true when the key was completed before; then it is a
  /// duplicate now. Errors: those with which the stage lets a delivery wait.
  Result<bool> done_before(Delivery& delivery) const {
    const std::string chosen = chosen_key(delivery);
    const IdempotencyKey key = key_of(delivery, chosen);
    if (key.key.empty()) return false;
    Result<Claim> claim = store_->claim(key, detail::hash128(delivery.payload()), options_.lease);
    if (!claim) return wait_for_store(delivery, claim.error());
    if (claim->state == Claim::State::in_progress) return in_progress(claim->lease);
    if (claim->state == Claim::State::acquired) (void)store_->release(key, *claim);
    if (claim->state != Claim::State::completed) return false;
    (void)end_duplicate(delivery, *claim);
    return true;
  }

 private:
  std::string chosen_key(const Delivery& delivery) const {
    return options_.key ? options_.key(delivery) : std::string{};
  }
  IdempotencyKey key_of(const Delivery& delivery, std::string_view chosen) const {
    return {delivery.group(), delivery.topic(), options_.key ? chosen : delivery.id()};
  }

  static Result<> end_duplicate(Delivery& delivery, Claim& claim) {
    delivery.mark_duplicate();
    delivery.set_result(std::move(claim.result));
    delivery.context().notify(DeliveryEvent::duplicate, delivery, nullptr);
    return {};
  }

  static constexpr bool writes_effects = requires(S& store, const IdempotencyKey& key, const Claim& claim) {
    store.complete_with(key, claim, [](auto*) { return Result<>{}; }, std::string_view{});
  };

  /// The handler has ended well. When the store cannot be told, only telling it is tried again; a
  /// claim that someone took over in the meantime is theirs to complete. When an effect fails, so has the
  /// handler.
  Result<> complete(Delivery& delivery, const IdempotencyKey& key, const Claim& claim,
                    Effects& effects) const {
    Result<> written{};
    const Result<> completed = tell(key, claim, effects, written);
    if (!written) {
      if (delivery.history() != nullptr) {  // the next attempt is another one
        delivery.remember(written.error(), delivery.context().clock().now()).claim_to_complete = 0;
      }
      (void)store_->release(key, claim);
      return written;
    }
    if (completed || !completed.error().retryable) {
      delivery.set_result(std::move(effects.result()));
      return {};
    }
    auto& history = delivery.remember(completed.error(), delivery.context().clock().now());
    history.claim_to_complete = claim.fence;
    history.claim_handle = claim.handle;
    if (!effects.empty() || !effects.result().empty()) {
      history.effects = std::make_shared<Effects>(std::move(effects));
    }
    return wait_for_store(delivery, completed.error());
  }
  /// `written`: what became of the effects.
  Result<> tell(const IdempotencyKey& key, const Claim& claim, Effects& effects, Result<>& written) const {
    if constexpr (writes_effects) {
      if (!effects.empty()) {
        const auto write = [&](auto* connection) {
          return written = detail::guarded([&] { return effects.write(connection); });
        };
        return store_->complete_with(key, claim, write, effects.result());
      }
    }
    return store_->complete(key, claim, effects.result());
  }

  static Error in_progress(Duration lease_left) {
    Error error = Error::make(Errc::key_in_progress, "claim idempotency key",
                              "another delivery of this message is being handled");
    error.retry_after = detail::smaller<Duration>(lease_left, std::chrono::milliseconds{100});
    return error;
  }

  S* store_;
  IdempotentOptions options_;
};

/// Handles each key at most once to the end: a message whose key was completed before is
/// acknowledged without running the handler; one whose key is being handled waits and comes again.
/// Delivery: at least one success, at most one completed effect for each key, as far as the store
/// remembers. A failed or dead-lettered message releases its key, so that it can be redriven. With a store
/// that writes effects, such as SqliteKeyStore, what the handler gave to its write_with is written in the
/// transaction that completes the key; where that fails, the message has failed, beyond any `retry` within.
/// What the handler gave to keep_result is kept with the key: a stage around this one finds it as
/// `delivery.result()`, of the first delivery and of every duplicate, and can so answer each of them alike.
/// Errors: key_mismatch (permanent) for a key with another payload; while the store fails, nothing
/// is handled and the message waits. Lifetime: the store must outlive the subscription.
template <class S>
auto idempotent(S& store, IdempotentOptions options = {}) {
  constexpr bool good = KeyStore<S>;
  static_assert(good,
                "omnibus: this is no key store. Write one with claim, complete, release and max_result, see "
                "omnibus/idempotency/store.hpp, or take omnibus::MemoryKeyStore");
  if constexpr (good) {
    return Chain<IdempotentStage<S>>{std::tuple{IdempotentStage<S>{store, options}}};
  } else {
    return Chain<>{};
  }
}
/// For handlers behind idempotent(): keeps these bytes with the delivery's key once the handler has ended well;
/// called again, these instead. They are what `delivery.result()` is, now and for duplicates. A failed attempt
/// leaves nothing. Return what it returns, unless the message is handled well without a result.
/// Errors: too_large (permanent), more than the store's max_result(): nothing is kept, and no result is cut;
/// unsupported, where no idempotent() runs the handler, or the message has no key.
inline Result<> keep_result(const Delivery& delivery, std::string bytes) {
  Effects* const effects = delivery.effects();
  if (effects == nullptr) {
    return Error::make(Errc::unsupported, "keep a result with its idempotency key",
                       "the handler is not behind idempotent(), or the message has no key");
  }
  if (bytes.size() > effects->max_result()) {
    return detail::result_too_large(bytes.size(), effects->max_result());
  }
  effects->result() = std::move(bytes);
  return {};
}

/// A temporary store would be gone before the first message.
template <class S>
Chain<> idempotent(const S&& store, IdempotentOptions options = {}) = delete;

}  // namespace omnibus
