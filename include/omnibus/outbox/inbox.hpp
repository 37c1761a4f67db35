// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <string_view>
#include <type_traits>
#include <utility>

#include <omnibus/codec.hpp>
#include <omnibus/delivery.hpp>
#include <omnibus/detail/handler_traits.hpp>
#include <omnibus/detail/sqlite.hpp>
#include <omnibus/handler.hpp>
#include <omnibus/idempotency/sqlite.hpp>
#include <omnibus/middleware/idempotent.hpp>
#include <omnibus/middleware/retry.hpp>
#include <omnibus/pipeline.hpp>

// The effect of a message and the note that it was had, in one transaction of an SQLite file. It is idempotent() with
// a SqliteKeyStore and write_with(), for handlers that do nothing but write there.

namespace omnibus {

/// How an inbox treats its messages.
struct InboxOptions {
  Duration lease = std::chrono::minutes{5};              ///< as IdempotentOptions
  std::string (*key)(const Delivery&) = nullptr;         ///< likewise: nullptr: the message id
  RetryOptions retry{};                                  ///< of an effect that fails
};

namespace detail {

/// What an effect takes behind the connection: nothing it is written with is looked at before that.
template <class Effect>
struct EffectShape {
  using Traits = call_traits_t<Effect>;

  static consteval bool takes_connection() {
    if constexpr (Traits::known) {
      if constexpr (Traits::arity == 2 || Traits::arity == 3) {
        return std::is_same_v<typename Traits::template Arg<0>, sqlite3*> &&
               std::is_same_v<typename Traits::Returns, Result<>>;
      }
    }
    return false;
  }
  static consteval bool good() {
    if constexpr (takes_connection()) {
      using E = typename Traits::template Arg<1>;
      if constexpr (std::is_same_v<E, Delivery>) {
        return Traits::arity == 2;
      } else if constexpr (Traits::arity == 2) {
        return HasCodec<E>;
      } else {
        return HasCodec<E> && std::is_same_v<typename Traits::template Arg<2>, Delivery>;
      }
    } else {
      return false;
    }
  }
};

/// Decodes what the effect takes and writes it.
template <class Effect>
Result<> write_effect(Effect& effect, sqlite3* connection, Delivery& delivery) {
  using Traits = call_traits_t<Effect>;
  using E = typename Traits::template Arg<1>;
  if constexpr (std::is_same_v<E, Delivery>) {
    return effect(connection, delivery);
  } else {
    constexpr std::string_view type = event_type<E>();
    if (!type.empty() && !delivery.type().empty() && delivery.type() != type) return unknown_type(delivery);
    const auto write = [&](const E& event, const Delivery& whole) {
      if constexpr (Traits::arity == 3) {
        return effect(connection, event, whole);
      } else {
        return effect(connection, event);
      }
    };
    return decode_and_call<E>(write, delivery);
  }
}

}  // namespace detail

/// A handler whose effect in an SQLite file happens once for each message, however often that is delivered: the effect
/// and the message's id are written in one transaction of the store's file.
///
///     ob::SqliteKeyStore file{{.path = "billing.db"}};
///     auto billing = bus.subscribe("orders", ob::inbox(file, [](sqlite3* in, const OrderPlaced& order) -> ob::Result<> {
///       ...  // INSERT INTO invoices; messages for a SqliteOutbox{in}, too
///     }));
///
/// `effect` is a Result<>(sqlite3*, const Event&), which may take the Delivery as well, or a Result<>(sqlite3*, const
/// Delivery&). It must not end the transaction; it may run on any thread that uses the store, and others who write to
/// the file wait for it, so that it should do nothing else. An error or an exception undoes what it wrote; the message
/// is tried again as `retry` says, and is then dead-lettered to `<topic>.<group>.dlq`.
/// Delivery: once, as long as the store keeps the id (SqliteKeyStoreOptions::keep). Errors: as idempotent().
/// Lifetime: the store must outlive the subscription.
template <class Effect>
auto inbox(SqliteKeyStore& store, Effect effect, InboxOptions options = {}) {
  constexpr bool good = detail::EffectShape<Effect>::good();
  static_assert(good,
                "omnibus: this is no effect of an inbox. Write a callable omnibus::Result<>(sqlite3*, const Event&), "
                "which may take a const omnibus::Delivery& as well, with a codec for the event, or an "
                "omnibus::Result<>(sqlite3*, const omnibus::Delivery&)");
  if constexpr (good) {
    auto handler = [&store, write = std::move(effect), retry = RetryStage{options.retry}](Delivery& delivery) mutable {
      return store.write_with(delivery, [&write, &retry, its = &delivery](sqlite3* connection) {
        std::pair writing{&write, connection};
        const Next next{&writing, [](void* self, Delivery& each) {
                          const auto [its_write, in] = *static_cast<decltype(writing)*>(self);
                          return detail::write_effect(*its_write, in, each);
                        }};
        return retry(next, *its);
      });
    };
    return std::move(handler) | idempotent(store, {.lease = options.lease, .key = options.key});
  } else {
    return [](const Delivery&) {};
  }
}

/// A temporary store would be gone before the first message.
template <class Effect>
auto inbox(const SqliteKeyStore&& store, Effect effect, InboxOptions options = {}) = delete;

}  // namespace omnibus
