// SPDX-License-Identifier: MIT
#pragma once

#include <utility>
#include <vector>

#include <omnibus/detail/unique_function.hpp>
#include <omnibus/result.hpp>

// What a handler wants written in the transaction that completes its message: both are done, or neither is.

namespace omnibus {

/// Of one attempt, for a store of idempotency keys that writes them. Handlers use the store's own call, such as
/// SqliteKeyStore::write_with. Thread safety: one thread at a time.
class Effects {
 public:
  /// Writes through a connection, of the type that the store has.
  using Effect = detail::UniqueFunction<Result<>(void* connection)>;

  explicit Effects(const void* store) noexcept : store_{store} {}

  /// Who will write them.
  const void* store() const noexcept { return store_; }
  bool empty() const noexcept { return effects_.empty(); }
  void add(Effect effect) { effects_.push_back(std::move(effect)); }
  /// Writes them in order, up to the first error.
  Result<> write(void* connection) {
    for (Effect& each : effects_) {
      if (Result<> written = each(connection); !written) return written;
    }
    return {};
  }

 private:
  const void* store_;
  std::vector<Effect> effects_;
};

}  // namespace omnibus
