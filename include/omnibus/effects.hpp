// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <omnibus/detail/unique_function.hpp>
#include <omnibus/result.hpp>

// What a handler wants written in the transaction that completes its message: both are done, or neither is. And
// the result that it wants kept with the message's key.

namespace omnibus {

/// Of one attempt, for a store of idempotency keys. Handlers use `keep_result`, and the store's own call where it
/// writes effects, such as SqliteKeyStore::write_with. Thread safety: one thread at a time.
class Effects {
 public:
  /// Writes through a connection, of the type that the store has.
  using Effect = detail::UniqueFunction<Result<>(void* connection)>;

  /// `max_result`: how many bytes of a result the store keeps.
  Effects(const void* store, std::size_t max_result) noexcept : store_{store}, max_result_{max_result} {}

  /// Who will write them.
  const void* store() const noexcept { return store_; }
  std::size_t max_result() const noexcept { return max_result_; }
  /// Empty until one is set.
  std::string& result() noexcept { return result_; }
  /// True when nothing is to be written; there may be a result.
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
  std::size_t max_result_;
  std::string result_;
  std::vector<Effect> effects_;
};

}  // namespace omnibus
