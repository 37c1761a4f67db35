// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <omnibus/event_store/suite/appends.hpp>
#include <omnibus/event_store/suite/conditions.hpp>
#include <omnibus/event_store/suite/erasing.hpp>
#include <omnibus/event_store/suite/following.hpp>
#include <omnibus/event_store/suite/lives.hpp>
#include <omnibus/event_store/suite/reads.hpp>
#include <omnibus/event_store/suite/run.hpp>

// What an event store has to show, for those who write one. Needs no test framework. Not part of omnibus.hpp.
//
// The cases are named after sections A to I of the conformance lists of KurrentDB, rails_event_store,
// commanded, Axon and others, merged. DCB stands for the conditions of appends.

namespace omnibus {

/// Tries an EventStore. `make()` returns a pointer to a new and empty one.
///
///     for (const std::string& each : ob::EventStoreSuite{make}.run()) complain(each);
///
/// What a store's capabilities do not name is not tried; nor is what a second one on the same data sees,
/// unless `again()` is there and opens one on the data of the one that was made last.
template <class Make>
class EventStoreSuite {
 public:
  using Again = std::function<std::invoke_result_t<Make&>()>;

  explicit EventStoreSuite(Make make, Again again = {}) : make_{std::move(make)}, again_{std::move(again)} {}

  /// Runs all cases. Returns what was violated, in words; nothing: the store is right. Blocks: as long as
  /// the store does. `load`: appends of each thread where several append at once. `lives`: how many random
  /// lives are compared to a model's, from `seed` on.
  std::vector<std::string> run(std::size_t load = 100, std::size_t lives = 50, std::uint64_t seed = 1) {
    event_store::SuiteRun<Make> run{make_, again_, load};
    using Store = typename event_store::SuiteRun<Make>::Store;
    event_store::expected_version_cases(run);
    event_store::idempotency_cases(run);
    event_store::read_cases(run);
    event_store::order_cases(run);
    event_store::follower_cases(run);
    if constexpr (CheckpointStore<Store>) event_store::checkpoint_cases(run);
    event_store::erasure_cases(run);
    if constexpr (SnapshotStore<Store>) event_store::snapshot_cases(run);
    if constexpr (ConditionalEventStore<Store>) event_store::condition_cases(run);
    for (std::size_t i = 0; i < lives; ++i) event_store::try_life(run, seed + i);
    return std::move(run).violations();
  }

 private:
  Make make_;
  Again again_;
};

}  // namespace omnibus

// Left out of sections A to I, and why:
//
// A  A stream of more than 2^31 events: it takes too long to make; that versions are not cut is tried (A6).
// B  KurrentDB's answers to 0e5 and to 0em1 0e0 (appended again) and to 0e4 and 0e6 (conflict): here an id is
//    never stored twice, and whether a batch is a resend is for its ids alone to say (B3 to B5).
// C  Links: there are none; categories are read as such. An event of a type that does not match its reader:
//    codecs decide that.
// D  A bound on how long a writer that never commits stalls a reader: of stores with open transactions.
// E  Acknowledgements, redelivery, selectors of consumers, back-pressure, refused names, members that share,
//    parking, leadership: of followers, not of stores.
// F  A snapshot that cannot be decoded: of whoever loads aggregates, as only that one decodes it.
// G  Erased keys and their placeholders: of a codec that encrypts. Backup and restore: of a store's manual.
// H  Evolution of events: of codecs and aggregates; to a store a payload is bytes.
// I  kill -9 and power cuts: of the crash suite of durable stores. That a position is not used again and that
//    a store opened again is as it was, is tried here (D5, I).
