// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <semaphore>
#include <stdexcept>
#include <tuple>

#include <omnibus/pipeline.hpp>

// Several subscriptions share what is there only so many times: connections of a pool, licences, cores.

namespace omnibus {

/// So many places. Thread safety: shared objects are safe.
class ConcurrencyLimit {
 public:
  /// Throws std::invalid_argument.
  explicit ConcurrencyLimit(std::size_t most) : places_{checked(most)} {}

  /// A place, for as long as it lives. Blocks until there is one.
  class Place {
   public:
    explicit Place(ConcurrencyLimit& limit) : limit_{limit} { limit_.places_.acquire(); }
    ~Place() { limit_.places_.release(); }
    Place(const Place&) = delete;

   private:
    ConcurrencyLimit& limit_;
  };

 private:
  static constexpr std::ptrdiff_t most_places = 1'000'000;
  static std::ptrdiff_t checked(std::size_t most) {
    if (most < 1 || most > most_places) {
      throw std::invalid_argument{"omnibus: concurrency limit: it must be 1 to 1,000,000"};
    }
    return static_cast<std::ptrdiff_t>(most);
  }

  std::counting_semaphore<most_places> places_;
};

/// The stage that `limit_concurrency` makes.
class LimitConcurrencyStage {
 public:
  explicit LimitConcurrencyStage(ConcurrencyLimit& limit) : limit_{&limit} {}

  Result<> operator()(Next next, Delivery& delivery) const {
    const ConcurrencyLimit::Place place{*limit_};
    return next(delivery);
  }

 private:
  ConcurrencyLimit* limit_;
};

/// At most so many handlers run at once, in all subscriptions that share the limit. Blocks: one of the
/// subscription's own threads, while others have the places. Lifetime: the limit must outlive them.
inline Chain<LimitConcurrencyStage> limit_concurrency(ConcurrencyLimit& limit) {
  return {std::tuple{LimitConcurrencyStage{limit}}};
}

}  // namespace omnibus
