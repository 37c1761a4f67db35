// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <omnibus/idempotency/store.hpp>

// What a store of idempotency keys has to show, for those who write one. Needs no test framework. Not part of
// omnibus.hpp.

namespace omnibus {

/// Tries a KeyStore. `make()` returns a pointer to a new and empty one; `pass(duration)` lets at least that
/// much time pass for it.
///
///     for (const std::string& each : ob::KeyStoreSuite{make, pass}.run()) complain(each);
template <class Make>
class KeyStoreSuite {
 public:
  using Pass = std::function<void(Duration)>;

  /// `lease` is that of the claims here: longer than a claim takes, and short where time passes by sleeping.
  KeyStoreSuite(Make make, Pass pass, Duration lease = std::chrono::seconds{1})
      : make_{std::move(make)}, pass_{std::move(pass)}, lease_{lease} {}

  /// Runs all cases. Returns what was violated, in words; nothing: the store is right. Blocks: as long as
  /// the store does. `depth`: how many steps the histories of two consumers have, all of which are tried.
  std::vector<std::string> run(int depth = 4) {
    violations_.clear();
    a_key_is_free_then_in_progress_then_completed();
    what_is_released_or_over_is_free_again();
    only_the_last_claim_counts();
    another_payload_is_a_mismatch();
    a_result_comes_back_whole();
    a_result_too_large_changes_nothing();
    all_parts_of_a_name_count();
    one_of_many_wins();
    std::vector<Step> history;
    try_histories(history, depth);
    return violations_;
  }

 private:
  using State = Claim::State;
  static constexpr detail::Hash128 payload{1, 2};

  void expect(bool good, std::string_view words) {
    constexpr std::size_t enough = 20;
    if (!good && violations_.size() < enough) violations_.emplace_back(words);
  }
  static IdempotencyKey key(std::string_view name) { return {"billing", "orders", name}; }
  template <class Store>
  bool complete(Store& store, const Claim& mine, std::string_view result = {}) {
    return store.complete(key("1"), mine, result).has_value();
  }
  template <class Store>
  Claim claim(Store& store, const IdempotencyKey& of, const detail::Hash128& fingerprint = payload) {
    Result<Claim> claimed = store.claim(of, fingerprint, lease_);
    if (!claimed) expect(false, "a claim failed: " + claimed.error().message());
    if (!claimed) return Claim{State::mismatch, 0, 0, {}};
    expect(claimed->state == State::completed || claimed->result.empty(), "there is a result before a completion");
    return *claimed;
  }

  void a_key_is_free_then_in_progress_then_completed() {
    auto store = make_();
    const Claim mine = claim(*store, key("1"));
    expect(mine.state == State::acquired, "a new key cannot be claimed");
    const Claim theirs = claim(*store, key("1"));
    expect(theirs.state == State::in_progress, "a key in progress is claimed again");
    expect(theirs.lease > Duration::zero() && theirs.lease <= lease_, "it does not say how long to wait");
    expect(complete(*store, mine), "what was claimed cannot be completed");
    expect(claim(*store, key("1")).state == State::completed, "what was completed is not remembered");
    pass_(lease_ * 2);
    expect(claim(*store, key("1")).state == State::completed, "what was completed is forgotten with its lease");
    expect(!store->release(key("1"), mine), "what was completed can be released");
    expect(!complete(*store, mine), "what was completed can be completed again");
  }

  void what_is_released_or_over_is_free_again() {
    auto store = make_();
    const Claim first = claim(*store, key("1"));
    expect(store->release(key("1"), first).has_value(), "what was claimed cannot be released");
    const Claim second = claim(*store, key("1"));
    expect(second.state == State::acquired, "what was released is not free");
    expect(second.fence > first.fence, "the fence does not grow after a release");
    pass_(lease_ * 2);
    const Claim third = claim(*store, key("1"));
    expect(third.state == State::acquired, "a lease does not end");
    expect(third.fence > second.fence, "the fence does not grow when a lease is over");
    expect(complete(*store, third), "who took over cannot complete");
  }

  void only_the_last_claim_counts() {
    auto store = make_();
    const Claim late = claim(*store, key("1"));
    pass_(lease_ * 2);
    const Claim last = claim(*store, key("1"));
    expect(!complete(*store, late, "late"), "a late completion counts, though another one has taken over");
    expect(!store->release(key("1"), late), "a late release takes the key from who has taken over");
    expect(claim(*store, key("1")).state == State::in_progress, "who has taken over has lost the key");
    expect(store->release(key("1"), last).has_value(), "who has taken over cannot release");
    const Claim next = claim(*store, key("1"));
    expect(!complete(*store, late) && !complete(*store, last), "a fence is used again after a release");
    expect(complete(*store, next, "next"), "the last claim cannot be completed");
    expect(!complete(*store, late, "late") && claim(*store, key("1")).result == "next",
           "a late completion leaves its result");
  }

  void a_result_comes_back_whole() {
    const std::size_t most = make_()->max_result();
    const std::string zeros("a\0b", 3), bytes("\xff\xfe\r\n%", 5), largest(most, 'r');
    for (const std::string_view result : {std::string_view{}, std::string_view{zeros}, std::string_view{bytes},
                                          std::string_view{largest}}) {
      if (result.size() > most) continue;
      auto store = make_();
      expect(complete(*store, claim(*store, key("1")), result), "a result is not taken");
      expect(claim(*store, key("1")).result == result, "a result does not come back as it was");
      pass_(lease_ * 2);
      expect(claim(*store, key("1")).result == result, "a result is forgotten before its key");
      expect(claim(*store, key("2")).state == State::acquired, "a result is in the way of another key");
    }
  }

  void a_result_too_large_changes_nothing() {
    auto store = make_();
    const Claim mine = claim(*store, key("1"));
    const Result<> refused = store->complete(key("1"), mine, std::string(store->max_result() + 1, 'r'));
    expect(!refused && refused.error().code == Errc::too_large, "a result too large is not refused as too_large");
    expect(claim(*store, key("1")).state == State::in_progress, "a result too large settles the key");
    expect(complete(*store, mine), "after a result too large the key cannot be completed");
    expect(claim(*store, key("1")).result.empty(), "a part of a result too large is kept");
  }

  void another_payload_is_a_mismatch() {
    auto store = make_();
    const Claim mine = claim(*store, key("1"));
    const detail::Hash128 other{1, 3};
    expect(claim(*store, key("1"), other).state == State::mismatch, "another payload passes while in progress");
    (void)complete(*store, mine);
    expect(claim(*store, key("1"), other).state == State::mismatch, "another payload passes after completion");
    expect(claim(*store, key("1")).state == State::completed, "a mismatch has changed something");
  }

  void all_parts_of_a_name_count() {
    auto store = make_();
    const std::string zeros("a\0b", 3), bytes("\xff\xfe\n%", 4), longest(1000, 'k');
    const IdempotencyKey all[] = {{"g", "t", "k"},    {"g2", "t", "k"},     {"g", "t2", "k"},  {"g", "t", "k2"},
                                  {"", "gt", "k"},    {"gt", "", "k"},      {"g", "tk", ""},   {"g", "t", zeros},
                                  {"g", "t", "a"},    {"g", "t", bytes},    {"g", "t", longest}, {zeros, "b", "k"},
                                  {"a", "b", zeros},  {"", "", ""}};
    for (const IdempotencyKey& each : all) {
      const Claim mine = claim(*store, each);
      expect(mine.state == State::acquired, "two names are taken for one");
      expect(store->complete(each, mine, each.key.substr(0, 4)).has_value(), "a name is not found again");
    }
    for (const IdempotencyKey& each : all) {
      const Claim known = claim(*store, each);
      expect(known.state == State::completed, "a name is not remembered");
      expect(known.result == each.key.substr(0, 4), "a name has the result of another one");
    }
  }

  void one_of_many_wins() {
    auto store = make_();
    constexpr int keys = 50, threads = 4;
    std::atomic<int> won{0};
    std::vector<std::thread> racing;
    for (int thread = 0; thread < threads; ++thread) {
      racing.emplace_back([&] {
        for (int i = 0; i < keys; ++i) {
          const std::string name = std::to_string(i);
          const Result<Claim> mine = store->claim(key(name), payload, std::chrono::hours{1});
          if (!mine || mine->state != State::acquired) continue;
          won.fetch_add(1);
          (void)store->complete(key(name), *mine, {});
        }
      });
    }
    for (std::thread& each : racing) each.join();
    expect(won == keys, std::to_string(won) + " claims have won " + std::to_string(keys) + " keys");
  }

  // ── all histories of two consumers of one message ──────────────────────────────────────────────

  /// What a consumer does, or what happens: it claims, ends well, fails, or dies without a word; time
  /// passes beyond the lease.
  enum class Step : std::uint8_t { claim_a, complete_a, release_a, die_a, claim_b, complete_b, release_b, die_b, time };

  void try_histories(std::vector<Step>& history, int depth) {
    if (depth == 0) return try_history(history);
    for (int step = 0; step <= static_cast<int>(Step::time); ++step) {
      history.push_back(static_cast<Step>(step));
      try_histories(history, depth - 1);
      history.pop_back();
    }
  }

  /// At most one completion counts, nobody gets what another one has, and in the end somebody can succeed.
  void try_history(const std::vector<Step>& history) {
    auto store = make_();
    Claim held[2];
    bool has[2]{};
    int holder = -1;  // who has the key, as the protocol says
    int completions = 0;
    std::string_view result;  // of the completion that counts
    std::string words;
    for (const Step step : history) {
      const int who = static_cast<int>(step) / 4;
      words += name_of(step);
      switch (step) {
        case Step::claim_a:
        case Step::claim_b: {
          const Claim got = claim(*store, key("1"));
          const State should = completions > 0 ? State::completed : holder >= 0 ? State::in_progress : State::acquired;
          expect(got.state == should, "after" + words + ": the claim has another answer than it should");
          expect(got.result == result, "after" + words + ": a duplicate gets another result");
          if (got.state != State::acquired) break;
          held[who] = got;
          has[who] = true;
          holder = who;
          break;
        }
        case Step::complete_a:
        case Step::complete_b:
        case Step::release_a:
        case Step::release_b: {
          if (!has[who]) break;
          const bool completes = step == Step::complete_a || step == Step::complete_b;
          const std::string_view mine = who == 0 ? "a's" : "b's";
          const bool counts = completes ? complete(*store, held[who], mine)
                                        : store->release(key("1"), held[who]).has_value();
          if (completes && counts) result = mine;
          completions += completes && counts ? 1 : 0;
          expect(completions <= 1, "after" + words + ": two completions count");
          expect(counts || holder != who, "after" + words + ": who has the key cannot settle it");
          expect(!counts || holder == who || holder < 0, "after" + words + ": it is settled for somebody else");
          if (counts) holder = -1;
          has[who] = false;
          break;
        }
        case Step::die_a:
        case Step::die_b: has[who] = false; break;
        case Step::time:
          pass_(lease_ * 2);
          holder = -1;
          break;
      }
    }
    pass_(lease_ * 2);
    const Claim last = claim(*store, key("1"));
    if (completions == 1) {
      expect(last.state == State::completed, "after" + words + ": the completion is forgotten");
      expect(last.result == result, "after" + words + ": the result is not that of the completion");
    } else {
      expect(last.state == State::acquired && complete(*store, last),
             "after" + words + ": nobody can succeed any more");
    }
  }
  static std::string name_of(Step step) {
    constexpr const char* names[] = {" claim-a", " complete-a", " release-a", " die-a", " claim-b",
                                     " complete-b", " release-b", " die-b", " time"};
    return names[static_cast<std::size_t>(step)];
  }

  Make make_;
  Pass pass_;
  Duration lease_;
  std::vector<std::string> violations_;
};

}  // namespace omnibus
