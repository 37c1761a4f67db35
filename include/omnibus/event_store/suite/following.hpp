// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <omnibus/event_store/checkpoint.hpp>
#include <omnibus/event_store/suite/appends.hpp>
#include <omnibus/event_store/suite/run.hpp>

// Cases of the one order (D) and of who follows it (E).

namespace omnibus::event_store {

/// Reads everything behind a position as it comes, by small pages, and sees to it that nothing comes late.
template <class Run>
class Follower {
 public:
  explicit Follower(std::uint64_t after = 0) : next_{after + 1} {}

  /// Reads until nothing more is there now.
  template <class Store>
  void catch_up(Store& store, const EventQuery& query = {}) {
    for (bool end = false; !end;) {
      const Result<StoreRead> read = store.read_all(query, {.from = next_, .limit = 7}, page_);
      if (!read) return;
      for (const StoredEvent& each : page_) {
        rising = rising && each.position > last;
        last = each.position;
        in_order = in_order && each.version == ++versions[std::string{each.stream}];
        ids.emplace_back(each.id);
      }
      end = read->end;
      if (!end && read->next == next_) return;
      next_ = read->next;
    }
  }
  std::uint64_t next() const noexcept { return next_; }
  std::string words() const {
    std::string text;
    for (const std::string& each : ids) text += (text.empty() ? "" : " ") + each;
    return text;
  }

  std::vector<std::string> ids;
  std::map<std::string, std::uint64_t> versions;
  std::uint64_t last = 0;  ///< the position of the last event
  bool rising = true;      ///< each position was above the one before
  bool in_order = true;    ///< each stream came version by version

 private:
  EventPage page_;
  std::uint64_t next_;
};

/// D: one order, which only grows at its end.
template <class Make>
void order_cases(SuiteRun<Make>& run) {
  using Run = SuiteRun<Make>;
  {  // D1, D2: positions rise, and each stream is in order within them
    auto store = run.make();
    (void)Run::append(*store, "s-1", "a b");
    (void)Run::append(*store, "s-2", "c");
    (void)Run::append(*store, "s-1", "d");
    Follower<Run> follower;
    follower.catch_up(*store);
    run.expect_is(follower.words(), "a b c d", "D1: the order of everything");
    run.expect(follower.rising, "D1: positions do not rise");
    run.expect(follower.in_order, "D2: a stream is not in order within everything");
  }
  {  // D3: nothing appears at or below what was read, while many append at full rate; E2 likewise
    auto store = run.make();
    constexpr std::size_t threads = 4;
    std::atomic<std::size_t> running{threads}, good{0};
    std::vector<std::string> refused(threads);
    Follower<Run> follower;
    std::thread reader{[&] {
      while (running > 0) follower.catch_up(*store);
      follower.catch_up(*store);
    }};
    at_once(threads, [&](std::size_t thread) {
      for (std::size_t i = 0; i < run.load; ++i) {
        const std::string id = std::to_string(thread) + "-" + std::to_string(i);
        const std::string answer = Run::append(*store, "s-" + std::to_string((thread + i) % 3), id + "a " + id + "b");
        const bool stored = answer.starts_with("appended");
        good += stored ? 2 : 0;
        if (!stored) refused[thread] = answer;
      }
      --running;
    });
    reader.join();
    const std::set<std::string> once(follower.ids.begin(), follower.ids.end());
    for (const std::string& answer : refused) run.expect_is(answer, "", "D3: an append");
    run.expect(follower.rising && follower.in_order, "D3: an event appeared below one that was read");
    run.expect(once.size() == follower.ids.size(), "D3: a follower has read an event twice");
    run.expect(once.size() == good, "D3: a follower has missed " + std::to_string(good - once.size()) + " events");
  }
  {  // D4: an append that was not made stalls no reader
    auto store = run.make();
    Follower<Run> follower;
    (void)Run::append(*store, "s-1", "a");
    follower.catch_up(*store);
    (void)Run::append(*store, "s-1", ExpectedVersion::none(), "b c");
    follower.catch_up(*store);
    (void)Run::append(*store, "s-1", "d");
    follower.catch_up(*store);
    run.expect_is(follower.words(), "a d", "D4: around an append that was not made");
    run.expect(follower.in_order, "D4: an append that was not made has taken a version");
  }
  if (!run.can_open_again()) return;
  if constexpr (Run::Store::capabilities.shared) {  // D6: two at once on one store
    auto store = run.make();
    auto other = run.again();
    Follower<Run> follower;
    (void)Run::append(*store, "s-1", "a");
    constexpr auto after_a = ExpectedVersion::exactly(1);
    run.expect_is(Run::append(*other, "s-1", after_a, "b"), "appended 2", "D6: on top of another's");
    run.expect_is(Run::append(*store, "s-1", after_a, "c"), "conflict", "D6: another was first");
    run.expect_is(Run::append(*other, "s-1", "a"), "already_appended 1", "D6: what another has stored");
    follower.catch_up(*other);
    (void)Run::append(*store, "s-1", "d");
    follower.catch_up(*other);
    run.expect_is(follower.words(), "a b d", "D6: what another has appended");
  }
  if constexpr (Run::Store::capabilities.durable) {  // D5, I: opened again, it is as it was
    auto store = run.make();
    Follower<Run> follower;
    (void)Run::append(*store, "s-1", "a b");
    (void)Run::append(*store, "s-2", "c");
    follower.catch_up(*store);
    (void)store->tombstone("s-2", ExpectedVersion::any());
    store = {};
    store = run.again();
    run.expect_is(Run::append(*store, "s-1", ExpectedVersion::exactly(2), "d"), "appended 3", "D5: opened again");
    run.expect_is(Run::append(*store, "s-2", "e"), "stream_deleted", "D5: a tombstone, opened again");
    run.expect_is(Run::append(*store, "s-1", "a b"), "already_appended 1 2", "D5: a resend, opened again");
    follower.catch_up(*store);
    run.expect_is(follower.words(), "a b c d", "D5: a follower goes on where the store was opened again");
    run.expect(follower.rising, "I: a position was given out twice");
  }
}

/// E: what a follower needs of a store. What it does with it is tested where the followers are.
template <class Make>
void follower_cases(SuiteRun<Make>& run) {
  using Run = SuiteRun<Make>;
  using Clock = std::chrono::steady_clock;
  constexpr std::chrono::seconds patience{20};
  {  // E1, E3: from the beginning, from now, from a position; where one ended another goes on
    auto store = run.make();
    (void)Run::append(*store, "s-1", "a b c");
    Follower<Run> origin, given{Run::position(*store, "b")};
    EventPage page;
    const Result<StoreRead> last = store->read_all({}, {.direction = Direction::backwards, .limit = 1}, page);
    run.expect(last && page.size() == 1, "E1: the last event is not found");
    run.expect(last && last->head == Run::position(*store, "c"), "E1: head is not the last position");
    Follower<Run> current{last ? last->head : 0};
    origin.catch_up(*store);
    Follower<Run> resumed{origin.last};
    (void)Run::append(*store, "s-1", "d");
    for (Follower<Run>* each : {&origin, &given, &current, &resumed}) each->catch_up(*store);
    run.expect_is(origin.words(), "a b c d", "E1: from the beginning");
    run.expect_is(given.words(), "c d", "E1: from a position");
    run.expect_is(current.words(), "d", "E1: from now on");
    run.expect_is(resumed.words(), "d", "E3: from where another one ended");
  }
  {  // E4: who follows few of many goes on where all of them were looked at
    auto store = run.make();
    for (int i = 0; i < 20; ++i) (void)Run::append(*store, "s-1", std::to_string(i));
    Follower<Run> follower;
    const EventQuery query{{{.types = {"seldom"}}}};
    follower.catch_up(*store, query);
    run.expect(follower.ids.empty(), "E4: an event that is not asked for");
    run.expect(follower.next() > Run::position(*store, "19"), "E4: what was looked at is looked at again");
    const NewEvent seldom{"x", "seldom", "p"};
    (void)append(*store, "s-1", ExpectedVersion::any(), {&seldom, 1});
    follower.catch_up(*store, query);
    run.expect_is(follower.words(), "x", "E4: the one that is asked for");
  }
  {  // E5: from caught up to live
    auto store = run.make();
    (void)Run::append(*store, "s-1", "a");
    const std::uint64_t place = Run::position(*store, "a");
    run.expect(store->wait_beyond(place - 1, Clock::now() + patience), "E5: does not see what is there");
    run.expect(!store->wait_beyond(place, Clock::now()), "E5: sees what is not there");
    run.expect(!store->wait_beyond(place, Clock::now() + std::chrono::milliseconds{1}), "E5: does not stop waiting");
    std::thread late{[&] { (void)Run::append(*store, "s-1", "b"); }};
    const Instant until = Clock::now() + patience;
    run.expect(store->wait_beyond(place, until) && Clock::now() < until, "E5: is not woken by an append");
    late.join();
  }
  {  // E6: a stream that was deleted and begun again
    auto store = run.make();
    Follower<Run> follower;
    (void)Run::append(*store, "s-1", "a b");
    follower.catch_up(*store);
    (void)store->soft_delete("s-1", ExpectedVersion::any());
    (void)Run::append(*store, "s-1", ExpectedVersion::none(), "c");
    follower.catch_up(*store);
    run.expect_is(follower.words(), "a b c", "E6: a stream that was begun again");
    run.expect(follower.rising && follower.in_order, "E6: a stream that was begun again counts from the beginning");
  }
  {  // E7: a checkpoint knows its store by position and id
    auto store = run.make();
    (void)Run::append(*store, "s-1", "a b");
    const std::uint64_t place = Run::position(*store, "b");
    auto other = run.make();
    (void)Run::append(*other, "s-1", "a c");
    run.expect(Run::position(*other, "b") != place, "E7: an event is located in a store that never had it");
  }
}

/// E: checkpoints, where the store keeps them.
template <class Make>
void checkpoint_cases(SuiteRun<Make>& run) {
  using Run = SuiteRun<Make>;
  const auto load = [](auto& store, std::string_view follower) {
    const Result<Checkpoint> loaded = store.load_checkpoint(follower);
    return loaded ? std::to_string(loaded->position) + " " + loaded->event : std::string{"failed"};
  };
  {  // E8: one after the other, each follower for itself
    auto store = run.make();
    (void)Run::append(*store, "s-1", "a b c");
    const Checkpoint none{}, a{Run::position(*store, "a"), "a"}, b{Run::position(*store, "b"), "b"};
    const std::string bytes("\0\xff", 2);
    run.expect_is(load(*store, "view"), "0 ", "E8: where none was saved");
    run.expect_is(Run::words(store->save_checkpoint("view", none, b)), "ok", "E8: the first");
    run.expect_is(load(*store, "view"), std::to_string(b.position) + " b", "E8: the first");
    run.expect_is(load(*store, "vie"), "0 ", "E8: of another follower");
    run.expect_is(Run::words(store->save_checkpoint(bytes, none, a)), "ok", "E8: of a follower with a strange name");
    run.expect_is(Run::words(store->save_checkpoint("view", none, a)), "conflict", "E8: another one was first");
    run.expect_is(load(*store, "view"), std::to_string(b.position) + " b", "E8: after a conflict");
    run.expect_is(Run::words(store->save_checkpoint("view", b, a)), "ok", "E8: back to an earlier one");
    run.expect_is(Run::words(store->save_checkpoint("view", a, none)), "ok", "E8: back to the beginning");
    run.expect_is(load(*store, "view"), "0 ", "E8: back to the beginning");
  }
  {  // E9: at an event that is not there, or stands elsewhere
    auto store = run.make();
    (void)Run::append(*store, "s-1", "a b");
    const std::uint64_t place = Run::position(*store, "b");
    run.expect_is(Run::words(store->save_checkpoint("view", {}, {place, "c"})), "position_lost", "E9: of no event");
    run.expect_is(Run::words(store->save_checkpoint("view", {}, {place, "a"})), "position_lost", "E9: of another event");
    run.expect_is(load(*store, "view"), "0 ", "E9: after what was refused");
    (void)store->tombstone("s-1", ExpectedVersion::any());
    run.expect_is(Run::words(store->save_checkpoint("view", {}, {place, "b"})), "ok", "E9: of an erased event");
  }
  {  // E10: of those who save after the same one, one wins
    auto store = run.make();
    (void)Run::append(*store, "s-1", "a b");
    const Checkpoint a{Run::position(*store, "a"), "a"}, b{Run::position(*store, "b"), "b"};
    std::atomic<std::size_t> won{0}, lost{0};
    at_once(4, [&](std::size_t thread) {
      const std::string answer = Run::words(store->save_checkpoint("view", {}, thread % 2 == 0 ? a : b));
      won += answer == "ok" ? 1 : 0;
      lost += answer == "conflict" ? 1 : 0;
    });
    run.expect(won == 1 && lost == 3, "E10: more than one has saved after the same checkpoint");
  }
  if constexpr (Run::Store::capabilities.durable) {  // E11: opened again, it is there
    if (!run.can_open_again()) return;
    auto store = run.make();
    (void)Run::append(*store, "s-1", "a");
    const Checkpoint a{Run::position(*store, "a"), "a"};
    (void)store->save_checkpoint("view", {}, a);
    store = {};
    store = run.again();
    run.expect_is(load(*store, "view"), std::to_string(a.position) + " a", "E11: opened again");
  }
}

}  // namespace omnibus::event_store
