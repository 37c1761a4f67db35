// SPDX-License-Identifier: MIT
#include <algorithm>
#include <atomic>
#include <cstddef>
#include <iostream>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "all.hpp"
#include "catch.hpp"
#include "memory_fixture.hpp"
#include "run.hpp"

// A suite that cannot fail proves nothing: here it runs on backends that are broken on purpose, and
// each must be found out, by the cases that are there for it.

namespace {

using namespace conformance;

struct Trial {
  Fault fault;
  const Suite<MemoryFixture>::Case* which;
  std::optional<std::string> found;
};

/// Runs trials a few at a time: most of them wait for something that never comes.
void run(std::vector<Trial>& trials) {
  std::atomic<std::size_t> next = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (std::size_t at = next++; at < trials.size(); at = next++) {
        Trial& trial = trials[at];
        const bool control = trial.fault == Fault::none;
        MemoryFixture fixture{
            .fault = trial.fault, .deadline = control ? 20s : 1s, .scale = 400, .seed = run_seed()};
        trial.found = verdict(*trial.which, fixture);
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

/// For each fault, the cases that must find it.
const std::map<Fault, std::vector<std::string_view>> must_be_found_by{
    {Fault::lose_message,
     {"what was published before anyone subscribed arrives",
      "what was acknowledged arrives, though its publisher has closed"}},
    {Fault::swap_pair,
     {"keys keep their order over many keys, members and lanes",
      "order survives random failures while members join, leave and are killed",
      "a batch has one ending for each message and keeps its order"}},
    {Fault::deliver_twice,
     {"graceful stops under load lose nothing and repeat nothing",
      "every group gets everything and its members share it",
      "what a killed process held comes again, marked, and no more than that"}},
    {Fault::settle_early,
     {"nothing counts as done before its handler has ended",
      "what a killed process held comes again, marked, and no more than that",
      "graceful stops under load lose nothing and repeat nothing"}},
    {Fault::settle_cumulatively, {"settling one message settles no other"}},
    {Fault::ignore_release,
     {"what has not started goes back as if it had never come",
      "partitions that come back in the middle keep their order"}},
    {Fault::release_as_done,
     {"graceful stops under load lose nothing and repeat nothing",
      "a group goes on after members that failed and left",
      "what could not be dead-lettered comes again after a restart",
      "one dead letter is redriven as the message that it was",
      "the dead letters of a key are redriven in order, and others stay in order",
      "close times out on a hanging handler and its message comes again"}},
    {Fault::later_as_done,
     {"in relaxed order what failed comes again later and nothing is lost",
      "what waits for its retry is not lost when a member joins"}},
    {Fault::ignore_later_delay,
     {"in relaxed order what failed comes again later and nothing is lost"}},
    {Fault::ignore_publish_delay, {"a delayed message comes after its time and others pass it"}},
    {Fault::forget_attempts,
     {"attempts are counted across restarts", "attempts are counted across crashes",
      "what a killed process held comes again, marked, and no more than that"}},
    {Fault::cut_payload,
     {"a message arrives with its bytes, key, headers, id, type and time",
      "what still fails is dead-lettered with its bytes, headers, origin, attempts and errors",
      "what does not decode is dead-lettered at once and harms nobody"}},
    {Fault::drop_headers,
     {"a message arrives with its bytes, key, headers, id, type and time",
      "what still fails is dead-lettered with its bytes, headers, origin, attempts and errors"}},
    {Fault::new_ids,
     {"a message arrives with its bytes, key, headers, id, type and time",
      "each id succeeds once, whatever fails and whenever its duplicates come"}},
    {Fault::lose_completion,
     {"every publish ends exactly once, whatever the thread",
      "a blocking publish has its ending within its timeout",
      "flush returns when everything before it has its ending"}},
    {Fault::accept_without_storing,
     {"what was acknowledged arrives, though its publisher has closed",
      "closing a publisher loses nothing that it took"}},
    {Fault::unknown_as_ok,
     {"refused and unknown are told apart and never called ok",
      "a refused dead letter keeps its message; only the dead letter is tried again",
      "a dead letter of unknown outcome keeps its message and is sent again",
      "what could not be dead-lettered comes again after a restart",
      "a redrive with an unknown ending loses nothing"}},
    {Fault::unknown_as_rejected, {"refused and unknown are told apart and never called ok"}},
    {Fault::flush_early, {"flush returns when everything before it has its ending"}},
    {Fault::always_wait_for_room,
     {"a full window fails at once on request, else blocks until a deadline"}},
    {Fault::ignore_close,
     {"publishing after close ends in closed", "run lasts until stop and then closes"}},
    {Fault::merge_topics,
     {"topics are apart",
      "many publishers and members on many topics: each topic gets exactly its messages"}},
    {Fault::merge_groups,
     {"every group gets everything and its members share it",
      "readers without a group each hear everything"}},
    {Fault::split_groups,
     {"every group gets everything and its members share it", "what is done does not come again"}},
    {Fault::ignore_start,
     {"latest means new messages alone, until there is a position",
      "a reader may start at a position", "a reader may start at a time"}},
    {Fault::look_and_take,
     {"dead letters are listed in pages, found and counted, and they stay"}},
    {Fault::never_registered,
     {"health is good when the consumer is registered and bad after close"}},
    {Fault::always_registered, {"health is bad when the consumer is gone"}},
    {Fault::tear_batches, {"atomic batches of several threads are never torn"}},
    {Fault::keep_half_a_batch, {"of an atomic batch that fails nothing stands, or all of it"}},
};

const Suite<MemoryFixture>& suite() {
  static const auto all = make_suite<MemoryFixture>();
  return all;
}

const Suite<MemoryFixture>::Case* find(std::string_view name) {
  for (const auto& each : suite().cases()) {
    if (each.name == name) return &each;
  }
  return nullptr;
}

TEST_CASE("each broken backend is found out by the cases that are there for it") {
  std::vector<Trial> trials;
  for (const auto& [fault, names] : must_be_found_by) {
    for (const auto name : names) {
      INFO(name);
      const auto* found = find(name);
      REQUIRE(found != nullptr);
      trials.push_back({fault, found, {}});
    }
  }
  run(trials);
  for (const Trial& each : trials) {
    INFO(to_string(each.fault) << " is to be found by \"" << each.which->name
                               << "\"; OMNIBUS_SEED=" << run_seed());
    CHECK(each.found.has_value());
    if (each.found) {
      std::cout << to_string(each.fault) << ": found by \"" << each.which->name
                << "\": " << each.found->substr(0, 100) << "\n";
    }
  }
}

TEST_CASE("every fault is tried") {
  for (std::size_t i = 1; i < all_faults; ++i) {
    INFO(to_string(static_cast<Fault>(i)));
    CHECK(must_be_found_by.contains(static_cast<Fault>(i)));
  }
}

// Every case on every broken backend, for whoever changes the suite: conformance_broken [matrix]
TEST_CASE("which case finds which fault", "[.][matrix]") {
  std::vector<Trial> trials;
  for (const auto& each : suite().cases()) {
    for (std::size_t i = 0; i < all_faults; ++i) {
      trials.push_back({static_cast<Fault>(i), &each, {}});
    }
  }
  run(trials);
  for (const auto& each : suite().cases()) {
    std::cout << each.name << ":";
    for (const Trial& trial : trials) {
      if (trial.which == &each && trial.found) std::cout << " " << to_string(trial.fault);
    }
    std::cout << "\n";
  }
}

}  // namespace
