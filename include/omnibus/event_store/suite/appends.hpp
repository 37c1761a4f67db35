// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <omnibus/event_store/suite/run.hpp>

// Cases of appending: expected versions (A) and ids (B).

namespace omnibus::event_store {

/// Runs `what(thread)` on so many threads at once.
template <class What>
void at_once(std::size_t threads, What&& what) {
  std::vector<std::thread> all;
  for (std::size_t i = 0; i < threads; ++i) all.emplace_back([&what, i] { what(i); });
  for (std::thread& each : all) each.join();
}

/// A: what an append expects of a stream.
template <class Make>
void expected_version_cases(SuiteRun<Make>& run) {
  using Run = SuiteRun<Make>;
  constexpr auto any = ExpectedVersion::any(), none = ExpectedVersion::none(), exists = ExpectedVersion::exists();
  constexpr auto exactly = &ExpectedVersion::exactly;
  {  // A1: none
    auto store = run.make();
    run.expect_is(Run::append(*store, "s-1", none, "a b"), "appended 1 2", "A1: none on a new stream");
    run.expect_is(Run::append(*store, "s-1", none, "c"), "conflict", "A1: none on a stream that is there");
    run.expect_is(Run::stream(*store, "s-1"), "live 1:a 2:b", "A1: after a conflict");
  }
  {  // A2: exists
    auto store = run.make();
    run.expect_is(Run::append(*store, "s-1", exists, "a"), "conflict", "A2: exists on a new stream");
    (void)Run::append(*store, "s-1", "b");
    run.expect_is(Run::append(*store, "s-1", exists, "c"), "appended 2", "A2: exists on a stream that is there");
    (void)store->soft_delete("s-1", any);
    run.expect_is(Run::append(*store, "s-1", exists, "d"), "conflict", "A2: exists on a deleted stream");
    (void)store->tombstone("s-1", any);
    run.expect_is(Run::append(*store, "s-1", exists, "e"), "stream_deleted", "A2: exists on a tombstoned stream");
  }
  {  // A3: exact
    auto store = run.make();
    run.expect_is(Run::append(*store, "s-1", exactly(1), "a"), "conflict", "A3: version 1 of a new stream");
    run.expect_is(Run::append(*store, "s-1", exactly(0), "b c"), "appended 1 2", "A3: version 0 of a new stream");
    run.expect_is(Run::append(*store, "s-1", exactly(1), "d"), "conflict", "A3: a version too low");
    run.expect_is(Run::append(*store, "s-1", exactly(0), "e"), "conflict", "A3: version 0 of one that is there");
    run.expect_is(Run::append(*store, "s-1", exactly(3), "f"), "conflict", "A3: a version too high");
    run.expect_is(Run::append(*store, "s-1", exactly(2), "g"), "appended 3", "A3: the right version");
    run.expect_is(Run::stream(*store, "s-1"), "live 1:b 2:c 3:g", "A3: the stream");
  }
  {  // A4: any
    auto store = run.make();
    run.expect_is(Run::append(*store, "s-1", any, "a"), "appended 1", "A4: any on a new stream");
    run.expect_is(Run::append(*store, "s-1", any, "b"), "appended 2", "A4: any on a stream that is there");
  }
  {  // A5: no events
    auto store = run.make();
    run.expect_is(Run::append(*store, "s-1", any, ""), "appended", "A5: no events, any");
    run.expect_is(Run::append(*store, "s-1", none, ""), "appended", "A5: no events, none");
    run.expect_is(Run::append(*store, "s-1", exactly(0), ""), "appended", "A5: no events, version 0");
    run.expect_is(Run::stream(*store, "s-1"), "missing", "A5: no events make no stream");
    run.expect_is(Run::append(*store, "s-1", exactly(4), ""), "conflict", "A5: no events on another version");
    run.expect(store->append({}).has_value(), "A5: an append to no stream is refused");
  }
  {  // A6: versions beyond 32 bits
    auto store = run.make();
    (void)Run::append(*store, "s-1", "a");
    for (const std::uint64_t wide : {std::uint64_t{1} << 31, (std::uint64_t{1} << 31) + 1, (std::uint64_t{1} << 32) + 1,
                                     (std::uint64_t{1} << 63) + 1, UINT64_MAX}) {
      run.expect_is(Run::append(*store, "s-1", exactly(wide), "b"), "conflict", "A6: version " + std::to_string(wide));
    }
  }
  {  // A7: of those who expect the same, one wins
    auto store = run.make();
    std::atomic<std::size_t> won{0}, lost{0};
    constexpr std::size_t threads = 4;
    at_once(threads, [&](std::size_t thread) {
      for (std::size_t i = 0; i < run.load; ++i) {
        const std::string id = std::to_string(thread) + "-" + std::to_string(i);
        const std::string answer = Run::append(*store, "s-1", exactly(i), id);
        won += answer.starts_with("appended") ? 1 : 0;
        lost += answer == "conflict" ? 1 : 0;
      }
    });
    run.expect(Run::version(*store, "s-1") == won, "A7: another number of events than of appends that won");
    run.expect(won > 0 && won + lost == threads * run.load, "A7: an append neither won nor had a conflict");
  }
  {  // A8: those who expect nothing all succeed
    auto store = run.make();
    std::atomic<std::size_t> good{0};
    constexpr std::size_t threads = 4;
    at_once(threads, [&](std::size_t thread) {
      for (std::size_t i = 0; i < run.load; ++i) {
        const std::string id = std::to_string(thread) + "-" + std::to_string(i);
        good += Run::append(*store, "s-1", any, id).starts_with("appended") ? 1 : 0;
      }
    });
    run.expect(good == threads * run.load, "A8: an append that expects nothing has failed");
    run.expect(Run::version(*store, "s-1") == good, "A8: events of appends that expect nothing are lost");
  }
  {  // A9: a batch is stored or not
    auto store = run.make();
    (void)Run::append(*store, "s-1", "a");
    const EventsByName first{"b c"}, second{"d"};
    const StreamAppend refused[] = {{"s-2", none, first}, {"s-1", none, second}};
    run.expect_is(Run::words(store->append(refused)), "conflict", "A9: one of two streams is not as expected");
    run.expect_is(Run::stream(*store, "s-2"), "missing", "A9: a conflict leaves a part of the batch");
    run.expect(Run::position(*store, "b") == 0, "A9: a conflict leaves ids");
    const StreamAppend good[] = {{"s-2", none, first}, {"s-1", exactly(1), second}};
    run.expect_is(Run::words(store->append(good)), "appended 1 2 2", "A9: two streams at once");
    run.expect_is(Run::all(*store), "a b c d", "A9: the order of a batch");
    const StreamAppend twice[] = {{"s-3", any, first}, {"s-3", any, second}};
    run.expect_is(Run::words(store->append(twice)), "invalid_argument", "A9: a stream that stands twice in a batch");
    run.expect_is(Run::append(*store, "", "e"), "invalid_argument", "A9: a stream without a name");
    const NewEvent nameless[] = {{"", "t", "p"}};
    run.expect_is(Run::words(omnibus::append(*store, "s-3", any, nameless)), "invalid_argument",
                  "A9: an event without an id");
  }
  {  // A10: a stream that is only looked at
    auto store = run.make();
    (void)Run::append(*store, "s-1", "a");
    const EventsByName events{"b"};
    const StreamAppend stale[] = {{"s-2", any, events}, {"s-1", exactly(0), {}}};
    run.expect_is(Run::words(store->append(stale)), "conflict", "A10: a stream looked at is not as expected");
    run.expect_is(Run::stream(*store, "s-2"), "missing", "A10: a conflict leaves something");
    const StreamAppend fresh[] = {{"s-2", any, events}, {"s-1", exactly(1), {}}};
    run.expect_is(Run::words(store->append(fresh)), "appended 1", "A10: a stream looked at is as expected");
    run.expect_is(Run::stream(*store, "s-1"), "live 1:a", "A10: a stream looked at has changed");
  }
}

/// B: a stored id is never stored twice. The notation is KurrentDB's, `0e5`: event 0 where version 5 is
/// expected; versions here begin at 1 where they begin there at 0, so that e5 is exactly(6).
template <class Make>
void idempotency_cases(SuiteRun<Make>& run) {
  using Run = SuiteRun<Make>;
  constexpr auto any = ExpectedVersion::any(), none = ExpectedVersion::none();
  constexpr auto exactly = &ExpectedVersion::exactly;
  {  // B1 to B4: after 0em1 1e0 2e1 3e2 4e3 5e4
    auto store = run.make();
    std::uint64_t last = 0;
    for (const char* id : {"0", "1", "2", "3", "4", "5"}) (void)Run::append(*store, "s-1", exactly(last++), id);
    run.expect_is(Run::append(*store, "s-1", none, "0"), "already_appended 1", "B1: 0em1");
    run.expect_is(Run::append(*store, "s-1", any, "0"), "already_appended 1", "B2: 0any");
    run.expect_is(Run::append(*store, "s-1", exactly(6), "0"), "already_appended 1", "B3: 0e5");
    // KurrentDB says conflict; here ids alone say what a resend is, and nothing is stored either way.
    run.expect_is(Run::append(*store, "s-1", exactly(7), "0"), "already_appended 1", "B4: 0e6");
    run.expect_is(Run::append(*store, "s-1", exactly(5), "0"), "already_appended 1", "B4: 0e4");
    run.expect_is(Run::append(*store, "s-1", exactly(1), "1"), "already_appended 2", "B4: 1e0");
    run.expect_is(Run::append(*store, "s-1", any, "1 2 3"), "already_appended 2 3 4", "B4: several of several");
    run.expect_is(Run::stream(*store, "s-1"), "live 1:0 2:1 3:2 4:3 5:4 6:5", "B: the stream after resends");
  }
  {  // B5 to B7: the same again at once
    auto store = run.make();
    (void)Run::append(*store, "s-1", none, "0");
    run.expect_is(Run::append(*store, "s-1", exactly(1), "0"), "already_appended 1", "B5: 0em1 0e0");
    run.expect_is(Run::append(*store, "s-1", any, "0"), "already_appended 1", "B6: 0em1 0any");
    run.expect_is(Run::append(*store, "s-1", none, "0"), "already_appended 1", "B6: 0em1 0em1");
    run.expect_is(Run::append(*store, "s-1", any, "1"), "appended 2", "B7: 1any");
    run.expect_is(Run::append(*store, "s-1", any, "1"), "already_appended 2", "B7: 1any 1any");
    run.expect_is(Run::stream(*store, "s-1"), "live 1:0 2:1", "B7: the stream");
  }
  {  // B8, B9: after S0em1 1em1E
    auto store = run.make();
    (void)Run::append(*store, "s-1", none, "0 1");
    run.expect_is(Run::append(*store, "s-1", none, "0"), "already_appended 1", "B8: S0em1E");
    run.expect_is(Run::append(*store, "s-1", any, "0"), "already_appended 1", "B8: S0anyE");
    run.expect_is(Run::append(*store, "s-1", exactly(1), "1"), "already_appended 2", "B8: S1e0E");
    run.expect_is(Run::append(*store, "s-1", any, "1"), "already_appended 2", "B8: S1anyE");
    run.expect_is(Run::append(*store, "s-1", none, "0 1 2"), "id_reused", "B9: S0em1 1em1 2em1E");
    run.expect_is(Run::append(*store, "s-1", any, "2 0"), "id_reused", "B9: a new one before a stored one");
    run.expect_is(Run::stream(*store, "s-1"), "live 1:0 2:1", "B9: a batch that is stored in part");
  }
  {  // B10: an id stands for one content, in one place
    auto store = run.make();
    const std::string_view tags[] = {"x"};
    const Headers metadata{{"trace", "2"}};
    const auto once = [&](std::string_view stream, const NewEvent& event) {
      return Run::words(omnibus::append(*store, stream, any, {&event, 1}));
    };
    run.expect_is(once("s-1", {"0", "t", "p"}), "appended 1", "B10: a new event");
    run.expect_is(once("s-1", {"0", "t", "q"}), "id_reused", "B10: another payload");
    run.expect_is(once("s-1", {"0", "u", "p"}), "id_reused", "B10: another type");
    run.expect_is(once("s-1", {"0", "t", "p", tags}), "id_reused", "B10: other tags");
    run.expect_is(once("s-2", {"0", "t", "p"}), "id_reused", "B10: another stream");
    run.expect_is(once("s-1", {"0", "t", "p", {}, metadata, Time{std::chrono::seconds{1}}}), "already_appended 1",
                  "B10: other metadata");
    run.expect_is(Run::all(*store), "0", "B10: all");
  }
  {  // B11: in the order in which it was stored
    auto store = run.make();
    (void)Run::append(*store, "s-1", "0 1 2");
    run.expect_is(Run::append(*store, "s-1", "1 0"), "id_reused", "B11: another order");
    run.expect_is(Run::append(*store, "s-1", "0 2"), "id_reused", "B11: not all");
    run.expect_is(Run::append(*store, "s-1", "3 3"), "id_reused", "B11: an id that stands twice in a batch");
    run.expect_is(Run::append(*store, "s-1", "0 0"), "id_reused", "B11: a stored id that stands twice in a batch");
    run.expect_is(Run::stream(*store, "s-1"), "live 1:0 2:1 3:2", "B11: the stream");
  }
  {  // B12: several streams again, with the positions they have
    auto store = run.make();
    const EventsByName first{"a b"}, second{"c"};
    const StreamAppend batch[] = {{"s-1", none, first}, {"s-2", none, second}};
    const Result<Appended> made = store->append(batch);
    (void)Run::append(*store, "s-1", "d");
    const Result<Appended> resent = store->append(batch);
    run.expect_is(Run::words(resent), "already_appended 1 2 1", "B12: several streams again");
    run.expect(made && resent && made->events == resent->events, "B12: a resend says other positions");
    run.expect(made && made->events.size() == 3 && made->events[0].position == Run::position(*store, "a") &&
                   made->events[2].position == Run::position(*store, "c"),
               "B12: an event is not where the append said");
    run.expect(Run::position(*store, "nobody") == 0, "B12: an id that was never stored is found");
  }
  {  // B13: erased, an id stays
    auto store = run.make();
    (void)Run::append(*store, "s-1", "a b");
    const std::uint64_t place = Run::position(*store, "a");
    (void)store->truncate("s-1", 2);
    run.expect_is(Run::append(*store, "s-1", "a"), "already_appended 1", "B13: a resend after a truncation");
    (void)store->soft_delete("s-1", any);
    run.expect_is(Run::append(*store, "s-1", none, "b"), "already_appended 2", "B13: a resend after a deletion");
    run.expect_is(Run::append(*store, "s-2", "b"), "id_reused", "B13: an id of a deleted stream elsewhere");
    (void)store->tombstone("s-1", any);
    run.expect_is(Run::append(*store, "s-1", "a b"), "already_appended 1 2", "B13: a resend after a tombstone");
    run.expect(place != 0 && Run::position(*store, "a") == place, "B13: an erased event is not located any more");
  }
  {  // B14: one of many who send the same stores it
    auto store = run.make();
    std::atomic<std::size_t> stored{0}, resent{0};
    constexpr std::size_t threads = 4;
    at_once(threads, [&](std::size_t) {
      for (std::size_t i = 0; i < run.load; ++i) {
        const std::string id = std::to_string(i);
        const std::string answer = Run::append(*store, "s-" + id, none, "a" + id + " b" + id);
        stored += answer == "appended 1 2" ? 1 : 0;
        resent += answer == "already_appended 1 2" ? 1 : 0;
      }
    });
    run.expect(stored == run.load && resent == (threads - 1) * run.load, "B14: the same batch at once, stored once");
  }
}

}  // namespace omnibus::event_store
