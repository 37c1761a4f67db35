// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <omnibus/event_store/suite/run.hpp>

// Cases of reading (C).

namespace omnibus::event_store {

/// C: streams, categories and everything, from anywhere, in pages of any size.
template <class Make>
void read_cases(SuiteRun<Make>& run) {
  using Run = SuiteRun<Make>;
  constexpr auto backwards = Direction::backwards;
  {  // C1, C2: what is not there, and what is empty
    auto store = run.make();
    run.expect_is(Run::stream(*store, "s-1"), "missing", "C1: an unknown stream");
    run.expect_is(Run::category(*store, "s"), "", "C1: an unknown category");
    run.expect_is(Run::all(*store), "", "C1: a store without events");
    run.expect_is(Run::all(*store, {}, {.direction = backwards}), "", "C1: a store without events, backwards");
    (void)Run::append(*store, "s-1", "a b");
    (void)store->truncate("s-1", 3);
    run.expect_is(Run::stream(*store, "s-1"), "live", "C2: a stream that is empty");
    run.expect_is(Run::stream(*store, "s-1", {.direction = backwards}), "live", "C2: an empty stream, backwards");
  }
  {  // C3 to C6: parts of a stream
    auto store = run.make();
    (void)Run::append(*store, "s-1", "a b c d e");
    const auto page = [&](const ReadRange& range) {
      EventPage got;
      const Result<StreamRead> read = store->read_stream("s-1", range, got);
      std::string text;
      for (const StoredEvent& each : got) text += std::string{each.id};
      return read ? text + (read->end ? "." : "+" + std::to_string(read->next)) : text + "?";
    };
    run.expect_is(page({.from = 1, .limit = 2}), "ab+3", "C3: two from the first");
    run.expect_is(page({.from = 3, .limit = 2}), "cd+5", "C3: two from the third");
    run.expect_is(page({.from = 5, .limit = 2}), "e.", "C3: two from the last");
    run.expect_is(page({.from = 0}), "abcde.", "C3: all from before the first");
    run.expect_is(page({.limit = 5}), "abcde.", "C3: as many as there are");
    run.expect_is(page({.limit = 0}), "+1", "C3: none");
    run.expect_is(page({.direction = backwards, .limit = 2}), "ed+3", "C4: two backwards");
    run.expect_is(page({.from = 3, .direction = backwards}), "cba.", "C4: backwards from the third");
    run.expect_is(page({.from = 1, .direction = backwards}), "a.", "C4: backwards from the first");
    run.expect_is(page({.from = 0, .direction = backwards}), ".", "C4: backwards from before the first");
    run.expect_is(page({.from = 99, .direction = backwards, .limit = 1}), "e+4", "C4: backwards from beyond the last");
    run.expect_is(page({.from = 6}), ".", "C6: behind the last");
    run.expect_is(page({.from = UINT64_MAX}), ".", "C6: far behind the last");
    for (const std::size_t limit : {std::size_t{1}, std::size_t{2}, std::size_t{1000}}) {
      run.expect_is(Run::stream(*store, "s-1", {.limit = limit}), "live 1:a 2:b 3:c 4:d 5:e", "C5: forwards by pages");
      run.expect_is(Run::stream(*store, "s-1", {.direction = backwards, .limit = limit}), "live 5:e 4:d 3:c 2:b 1:a",
                    "C5: backwards by pages");
      run.expect_is(Run::category(*store, "s", {}, {.limit = limit}), "a b c d e", "C5: a category by pages");
      run.expect_is(Run::category(*store, "s", {}, {.direction = backwards, .limit = limit}), "e d c b a",
                    "C5: a category backwards by pages");
    }
    run.expect_is(page({.limit = 3, .max_bytes = 1}), "a+2", "C5: a page for which one event is too large");
    run.expect_is(Run::stream(*store, "s-1", {.max_bytes = 1}), "live 1:a 2:b 3:c 4:d 5:e", "C5: by bytes");
    run.expect_is(Run::all(*store, {}, {.max_bytes = 1}), "a b c d e", "C5: all by bytes");
  }
  {  // C7 to C9, C13: each byte and each microsecond as it was
    auto store = run.make();
    std::string bytes;
    for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
    const std::string text = "Gr\xc3\xb6\xc3\x9f" "e \xe2\x82\xac \xf0\x9f\x9a\x8c", stream = "s-" + text;
    const std::string_view tags[] = {text, "a:b", bytes};
    const Headers metadata{{"trace", "1"}, {"trace", bytes}, {"empty", ""}};
    const Time moment{std::chrono::microseconds{1'700'000'000'123'456}};
    const NewEvent made[] = {{text, text, bytes, tags, metadata, moment}, {"b", "", ""}};
    const Result<Appended> answer = append(*store, stream, ExpectedVersion::none(), made);
    EventPage pages[3];
    const bool good = store->read_stream(stream, {}, pages[0]) && store->read_category("s", {}, {}, pages[1]) &&
                      store->read_all({}, {}, pages[2]);
    run.expect(good && answer, "C7: an event of any bytes cannot be stored and read");
    for (const EventPage& page : pages) {
      if (page.size() != 2 || !answer) {
        run.expect(false, "C7: an event of any bytes is not found");
        continue;
      }
      const StoredEvent& got = page[0];
      run.expect(got.payload == bytes, "C7: bytes of a payload have changed");
      run.expect(page[1].payload.empty() && page[1].type.empty() && page[1].tags.empty() && page[1].metadata.empty(),
                 "C7: an empty event is not empty");
      run.expect(got.metadata.block() == metadata.view().block(), "C8: metadata has changed");
      run.expect(got.id == text && got.type == text && got.stream == stream, "C9: a name has changed");
      run.expect(got.tags.size() == 3 && got.tags[0] == text && got.tags[1] == "a:b" && got.tags[2] == bytes,
                 "C9: tags have changed");
      run.expect(got.time == moment, "C13: a time has lost microseconds");
      run.expect(page[1].time == pages[0][1].time && page[1].time > moment, "C13: the store's time is not one");
      run.expect(page[1].time == std::chrono::floor<std::chrono::microseconds>(page[1].time),
                 "C13: the store's time is finer than microseconds");
      run.expect(Placed{got.version, got.position} == answer->events[0], "C: an event is not where it was said to be");
    }
  }
  {  // C10, C14: categories and streams whose names begin alike
    auto store = run.make();
    (void)Run::append(*store, "order-1", "a");
    (void)Run::append(*store, "order-11", "b");
    (void)Run::append(*store, "orders-1", "c");
    (void)Run::append(*store, "order", "d");
    (void)Run::append(*store, "order-1-1", "e");
    (void)Run::append(*store, "Order-1", "f");
    (void)Run::append(*store, "order_1", "g");
    (void)Run::append(*store, "order-%", "h");
    run.expect_is(Run::stream(*store, "order-1"), "live 1:a", "C14: a stream");
    run.expect_is(Run::stream(*store, "order-%"), "live 1:h", "C14: a stream of a strange name");
    run.expect_is(Run::category(*store, "order"), "a b d e h", "C10: a category");
    run.expect_is(Run::category(*store, "orders"), "c", "C10: another category");
    run.expect_is(Run::category(*store, "order-1"), "", "C10: a stream is no category");
    run.expect_is(Run::category(*store, "orde"), "", "C10: a part of a name is no category");
  }
  {  // C11: everything tolerates holes
    auto store = run.make();
    for (const char* id : {"a", "b", "c", "d", "e"}) (void)Run::append(*store, std::string{"s-"} + id, id);
    for (const char* stream : {"s-b", "s-c", "s-e"}) (void)store->soft_delete(stream, ExpectedVersion::any());
    run.expect_is(Run::all(*store, {}, {.limit = 1}), "a d", "C11: everything, with holes");
    run.expect_is(Run::category(*store, "s", {}, {.direction = backwards, .limit = 1}), "d a", "C11: backwards");
    (void)Run::append(*store, "s-f", "f");
    run.expect_is(Run::all(*store), "a d f", "C11: an event behind holes");
  }
  {  // C12: filters come before limits
    auto store = run.make();
    constexpr std::size_t every = 10;
    for (std::size_t i = 0; i < 5 * every; ++i) {
      const std::string id = std::to_string(i);
      const std::string_view tags[] = {"x"};
      NewEvent event{id, "often", "p"};
      if (i % every == 0) event = {id, "seldom", "p", tags};
      (void)append(*store, "s-" + std::to_string(i % 3), ExpectedVersion::any(), {&event, 1});
    }
    for (std::size_t i = 0; i < every; ++i) (void)Run::append(*store, "u-1", "u" + std::to_string(i));
    const EventQuery by_type{{{.types = {"seldom"}}}}, by_tag{{{.tags = {"x"}}}}, by_none{{{.tags = {"y"}}}};
    const EventQuery by_either{{{.types = {"seldom"}}, {.tags = {"y"}}}};
    for (const EventQuery& query : {by_type, by_tag, by_either}) {
      run.expect_is(Run::all(*store, query), "0 10 20 30 40", "C12: everything, filtered");
      run.expect_is(Run::category(*store, "s", query), "0 10 20 30 40", "C12: a category, filtered");
      run.expect_is(Run::category(*store, "s", query, {.direction = backwards, .limit = 1}), "40 30 20 10 0",
                    "C12: a category, filtered, backwards");
      run.expect_is(Run::category(*store, "t", query), "", "C12: an empty category, filtered");
      run.expect_is(Run::category(*store, "u", query), "", "C12: another category, filtered");
    }
    run.expect_is(Run::all(*store, by_none), "", "C12: nothing matches");
    EventPage page;
    std::size_t found = 0;
    ReadRange range{.limit = 3};
    for (bool end = false; !end && found < 3;) {
      const Result<StoreRead> read = store->read_category("s", by_type, range, page);
      if (!read) break;
      found += page.size();
      range.from = read->next;
      end = read->end;
    }
    run.expect(found == 3, "C12: a limit counts events that the filter leaves out");
  }
}

}  // namespace omnibus::event_store
