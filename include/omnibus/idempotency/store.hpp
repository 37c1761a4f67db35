// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <omnibus/detail/hash.hpp>
#include <omnibus/error.hpp>
#include <omnibus/result.hpp>
#include <omnibus/time.hpp>

// What a store of idempotency keys must offer: claim, then complete or release. A key is claimed
// with a lease before the handler runs and completed after it has ended, never marked in between,
// so that neither a crash nor a failure loses a message. The store's clock decides.

namespace omnibus {

/// Whose work a claim is about. Two consumers of one message are two different claims.
struct IdempotencyKey {
  std::string_view consumer;  ///< the group
  std::string_view topic;
  std::string_view key;       ///< the message id, or what the user chose
};

/// What a store answers to a claim.
struct Claim {
  enum class State : std::uint8_t {
    acquired,     ///< it is yours: handle the message, then complete or release
    in_progress,  ///< someone else holds it: come again, never acknowledge
    completed,    ///< it was done before: acknowledge without handling
    mismatch,     ///< it was used with another payload: an error of the producer
  };
  State state = State::acquired;
  std::uint64_t fence = 0;   ///< tells this claim from later ones of the same key
  std::uint64_t handle = 0;  ///< for the store's own use
  Duration lease{};          ///< what is left of it: of yours, or of the one who holds the key
  std::string result{};      ///< of `completed`: what the completion left, byte for byte; empty when nothing
};

/// A store of idempotency keys. Thread safety: shared objects are safe. Every operation is atomic.
template <class S>
concept KeyStore = requires(S& store, const IdempotencyKey& key, const detail::Hash128& fingerprint,
                            const Claim& claim, Duration lease, std::string_view result) {
  // absent, released or lease over -> acquired, with a higher fence than before.
  { store.claim(key, fingerprint, lease) } -> std::same_as<Result<Claim>>;
  // in progress with this fence -> completed; the result, which may be empty, is kept as long as the key.
  // Errors: rejected when the fence is an old one; too_large when the result has more than max_result()
  // bytes: the key stays in progress then, and nothing of it is kept.
  { store.complete(key, claim, result) } -> std::same_as<Result<>>;
  // in progress with this fence -> released. Errors: rejected when the fence is an old one.
  { store.release(key, claim) } -> std::same_as<Result<>>;
  // How many bytes a result may have; always the same.
  { store.max_result() } -> std::same_as<std::size_t>;
};

namespace detail {

/// What a store says to who completes or releases ("what") a claim that is not in force.
inline Error no_longer_held(std::string_view what) {
  return Error::make(Errc::rejected, std::string{what} + " idempotency key",
                     "the lease ended and the key is no longer this claim's");
}

/// What a store keeps of a result unless told otherwise, and at most.
inline constexpr std::size_t usual_max_result = std::size_t{4} * 1024;
inline constexpr std::size_t most_max_result = std::size_t{1024} * 1024;

/// Why a result of so many bytes is not kept.
inline Error result_too_large(std::size_t size, std::size_t most) {
  return Error::make(Errc::too_large, "keep a result with its idempotency key",
                     "it has " + std::to_string(size) + " bytes, and the store keeps " + std::to_string(most) +
                         "; keep where it can be found, or raise the store's max_result");
}

}  // namespace detail

}  // namespace omnibus
