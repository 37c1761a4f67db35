// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <omnibus/event_store/suite/appends.hpp>
#include <omnibus/event_store/suite/run.hpp>

// Cases of snapshots (F) and of what is erased (G).

namespace omnibus::event_store {

/// F: snapshots are a cache.
template <class Make>
void snapshot_cases(SuiteRun<Make>& run) {
  using Run = SuiteRun<Make>;
  constexpr auto any = ExpectedVersion::any();
  const auto save = [](auto& store, std::string_view stream, std::string_view schema, std::uint64_t last,
                       std::string state) {
    const Result<bool> saved = store.save_snapshot(stream, schema, {last, std::move(state)});
    return saved ? *saved ? "kept" : "not kept" : "failed";
  };
  const auto load = [](auto& store, std::string_view stream, std::string_view schema) {
    const Result<std::optional<Snapshot>> loaded = store.load_snapshot(stream, schema);
    if (!loaded) return std::string{"failed"};
    return *loaded ? std::to_string((*loaded)->version) + " " + (*loaded)->state : "none";
  };
  {  // F1 to F5
    auto store = run.make();
    run.expect_is(load(*store, "s-1", "v1"), "none", "F1: of a stream that is not there");
    run.expect_is(save(*store, "s-1", "v1", 1, "x"), "not kept", "F2: of a stream that is not there");
    (void)Run::append(*store, "s-1", "a b c");
    run.expect_is(load(*store, "s-1", "v1"), "none", "F1: where none was saved");
    const std::string bytes("\0\xff", 2);
    run.expect_is(save(*store, "s-1", "v1", 2, bytes), "kept", "F2: the first");
    run.expect_is(load(*store, "s-1", "v1"), "2 " + bytes, "F2: the first");
    run.expect_is(save(*store, "s-1", "v1", 1, "old"), "not kept", "F3: an older one");
    run.expect_is(load(*store, "s-1", "v1"), "2 " + bytes, "F3: after an older one");
    run.expect_is(save(*store, "s-1", "v1", 3, "new"), "kept", "F3: a newer one");
    run.expect_is(load(*store, "s-1", "v1"), "3 new", "F3: after a newer one");
    run.expect_is(save(*store, "s-1", "v1", 4, "y"), "not kept", "F3: of events that are not there");
    run.expect_is(load(*store, "s-1", "v2"), "none", "F5: of another schema");
    run.expect_is(save(*store, "s-1", "v2", 1, "other"), "kept", "F5: of another schema");
    run.expect_is(load(*store, "s-1", "v1"), "3 new", "F5: after one of another schema");
    run.expect_is(load(*store, "s-2", "v1"), "none", "F5: of another stream");
    run.expect(store->drop_snapshot("s-1", "v1").has_value(), "F4: cannot be dropped");
    run.expect(store->drop_snapshot("s-1", "v1").has_value(), "F4: cannot be dropped twice");
    run.expect(store->drop_snapshot("s-9", "v1").has_value(), "F4: cannot be dropped where there is none");
    run.expect_is(load(*store, "s-1", "v1"), "none", "F4: after being dropped");
    run.expect_is(load(*store, "s-1", "v2"), "1 other", "F4: after one of another schema was dropped");
  }
  {  // F6: with a snapshot and without, the state is the same, also of a stream that goes on or is truncated
    auto store = run.make();
    const auto fold = [&](bool with) {
      Snapshot state;
      if (with) {
        const auto loaded = store->load_snapshot("s-1", "v1");
        if (loaded && *loaded) state = **loaded;
      }
      EventPage page;
      (void)store->read_stream("s-1", {.from = state.version + 1}, page);
      for (const StoredEvent& each : page) state.state += each.id;
      return state.state;
    };
    (void)Run::append(*store, "s-1", "a b");
    (void)save(*store, "s-1", "v1", 2, fold(false));
    (void)Run::append(*store, "s-1", "c");
    run.expect_is(fold(true), "abc", "F6: with a snapshot");
    run.expect_is(fold(false), "abc", "F6: without a snapshot");
    (void)store->truncate("s-1", 3);
    run.expect_is(fold(true), "abc", "F6: truncated up to the snapshot");
    (void)Run::append(*store, "s-1", "d");
    (void)store->truncate("s-1", 4);
    run.expect_is(load(*store, "s-1", "v1"), "none", "F6: events behind the snapshot are erased");
    run.expect_is(save(*store, "s-1", "v1", 2, "ab"), "not kept", "F6: events behind the snapshot are erased");
    run.expect_is(save(*store, "s-1", "v1", 3, "abc"), "kept", "F6: all events behind the snapshot are there");
  }
  {  // F7: what is erased does not live on in a snapshot
    auto store = run.make();
    (void)Run::append(*store, "s-1", "a b");
    (void)save(*store, "s-1", "v1", 2, "secret");
    (void)store->soft_delete("s-1", any);
    run.expect_is(load(*store, "s-1", "v1"), "none", "F7: of a deleted stream");
    run.expect_is(save(*store, "s-1", "v1", 2, "secret"), "not kept", "F7: of a deleted stream");
    (void)Run::append(*store, "s-1", "c");
    run.expect_is(load(*store, "s-1", "v1"), "none", "F7: of a stream that was begun again");
    run.expect_is(save(*store, "s-1", "v1", 2, "secret"), "not kept", "F7: of what a stream was before");
    run.expect_is(save(*store, "s-1", "v1", 3, "new"), "kept", "F7: of a stream that was begun again");
    (void)store->tombstone("s-1", any);
    run.expect_is(load(*store, "s-1", "v1"), "none", "F7: of a tombstoned stream");
  }
}

/// G: truncation, deletion, tombstones; I: none of them lets a position be used again.
template <class Make>
void erasure_cases(SuiteRun<Make>& run) {
  using Run = SuiteRun<Make>;
  constexpr auto any = ExpectedVersion::any(), none = ExpectedVersion::none(), exists = ExpectedVersion::exists();
  constexpr auto exactly = &ExpectedVersion::exactly;
  {  // G1: deleted, it is not there
    auto store = run.make();
    run.expect_is(Run::words(store->soft_delete("s-1", any)), "not_found", "G1: deletes what is not there");
    (void)Run::append(*store, "s-1", "a b");
    run.expect_is(Run::words(store->soft_delete("s-1", exactly(1))), "conflict", "G1: deletes another version");
    run.expect_is(Run::words(store->soft_delete("s-1", none)), "conflict", "G1: deletes, expecting none");
    run.expect_is(Run::stream(*store, "s-1"), "live 1:a 2:b", "G1: after a conflict");
    run.expect_is(Run::words(store->soft_delete("s-1", exactly(2))), "ok", "G1: deletes the right version");
    run.expect_is(Run::stream(*store, "s-1"), "deleted", "G1: deleted");
    run.expect_is(Run::category(*store, "s"), "", "G1: the category of what was deleted");
    run.expect_is(Run::all(*store), "", "G1: everything, of which all was deleted");
    run.expect_is(Run::words(store->soft_delete("s-1", any)), "ok", "G1: deletes what was deleted");
  }
  for (const auto& [expected, name] : {std::pair{any, "any"}, {none, "none"}, {exactly(2), "the last version"}}) {
    auto store = run.make();  // G2: begun again, it counts on
    (void)Run::append(*store, "s-1", "a b");
    (void)store->soft_delete("s-1", any);
    run.expect_is(Run::append(*store, "s-1", exactly(0), "x"), "conflict", "G2: begun again expecting version 0");
    run.expect_is(Run::append(*store, "s-1", expected, "c d"), "appended 3 4",
                  std::string{"G2: begun again expecting "} + name);
    run.expect_is(Run::stream(*store, "s-1"), "live 3:c 4:d", "G2: begun again");
    run.expect_is(Run::append(*store, "s-1", exists, "e"), "appended 5", "G2: begun again, it exists");
    run.expect_is(Run::stream(*store, "s-1", {.direction = Direction::backwards}), "live 5:e 4:d 3:c",
                  "G2: begun again, backwards");
    run.expect_is(Run::category(*store, "s"), "c d e", "G2: the category of what was begun again");
  }
  {  // G3: given up for ever
    auto store = run.make();
    (void)Run::append(*store, "s-1", "a b");
    run.expect_is(Run::words(store->tombstone("s-1", exactly(1))), "conflict", "G3: gives up another version");
    run.expect_is(Run::words(store->tombstone("s-1", exactly(2))), "ok", "G3: gives up the right version");
    run.expect_is(Run::stream(*store, "s-1"), "tombstoned", "G3: given up");
    for (const ExpectedVersion expected : {any, none, exists, exactly(2), exactly(0)}) {
      run.expect_is(Run::append(*store, "s-1", expected, "c"), "stream_deleted", "G3: an append to what was given up");
    }
    const EventsByName events{"d"};
    const StreamAppend batch[] = {{"s-2", any, events}, {"s-1", any, {}}};
    run.expect_is(Run::words(store->append(batch)), "stream_deleted", "G3: an append that rests on what was given up");
    run.expect_is(Run::words(store->soft_delete("s-1", any)), "stream_deleted", "G3: deletes what was given up");
    run.expect_is(Run::words(store->truncate("s-1", 2)), "stream_deleted", "G3: truncates what was given up");
    run.expect_is(Run::words(store->tombstone("s-1", any)), "ok", "G3: gives up what was given up");
    run.expect_is(Run::words(store->tombstone("s-3", none)), "ok", "G3: gives up what is not there");
    run.expect_is(Run::append(*store, "s-3", "e"), "stream_deleted", "G3: an append to what never was");
    run.expect_is(Run::all(*store), "", "G3: everything, of which all was given up");
  }
  {  // G4: others are untouched
    auto store = run.make();
    (void)Run::append(*store, "s-1", "a");
    (void)Run::append(*store, "s-2", "b");
    (void)Run::append(*store, "s-1", "c");
    (void)Run::append(*store, "s-11", "d");
    const std::uint64_t place = Run::position(*store, "d");
    (void)store->tombstone("s-1", any);
    run.expect_is(Run::all(*store), "b d", "G4: everything but what was given up");
    run.expect_is(Run::category(*store, "s", {}, {.direction = Direction::backwards}), "d b", "G4: backwards");
    run.expect_is(Run::stream(*store, "s-2"), "live 1:b", "G4: another stream");
    run.expect(Run::position(*store, "d") == place, "G4: another stream's event has moved");
  }
  {  // G5: truncated
    auto store = run.make();
    run.expect_is(Run::words(store->truncate("s-1", 2)), "not_found", "G5: truncates what is not there");
    (void)Run::append(*store, "s-1", "a b c d");
    run.expect_is(Run::words(store->truncate("s-1", 3)), "ok", "G5: truncates");
    run.expect_is(Run::stream(*store, "s-1"), "live 3:c 4:d", "G5: truncated");
    run.expect_is(Run::stream(*store, "s-1", {.from = 1, .limit = 1}), "live 3:c 4:d", "G5: from what was erased");
    run.expect_is(Run::stream(*store, "s-1", {.from = 2, .direction = Direction::backwards}), "live",
                  "G5: backwards from what was erased");
    run.expect_is(Run::all(*store), "c d", "G5: everything but what was truncated");
    run.expect_is(Run::words(store->truncate("s-1", 1)), "ok", "G5: truncates less");
    run.expect_is(Run::stream(*store, "s-1"), "live 3:c 4:d", "G5: truncated less");
    run.expect_is(Run::words(store->truncate("s-1", UINT64_MAX)), "ok", "G5: truncates all");
    run.expect_is(Run::append(*store, "s-1", exactly(4), "e"), "appended 5", "G5: goes on when all was truncated");
    run.expect_is(Run::stream(*store, "s-1"), "live 5:e", "G5: all was truncated");
  }
  {  // I: the last position is not given out again when its event is gone
    auto store = run.make();
    (void)Run::append(*store, "s-1", "a");
    (void)Run::append(*store, "s-2", "b");
    const std::uint64_t last = Run::position(*store, "b");
    (void)store->tombstone("s-2", any);
    if constexpr (Run::Store::capabilities.durable) {
      if (run.can_open_again()) {
        store = {};
        store = run.again();
      }
    }
    (void)Run::append(*store, "s-1", "c");
    run.expect(Run::position(*store, "c") > last, "I: the position of an erased event is used again");
  }
}

}  // namespace omnibus::event_store
