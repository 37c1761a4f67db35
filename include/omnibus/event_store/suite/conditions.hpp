// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include <omnibus/event_store/suite/appends.hpp>
#include <omnibus/event_store/suite/run.hpp>

// Cases of appends that rest on a query: the specification of the dynamic consistency boundary.

namespace omnibus::event_store {

template <class Make>
void condition_cases(SuiteRun<Make>& run) {
  using Run = SuiteRun<Make>;
  const auto append_if = [](auto& store, std::string_view stream, const AppendCondition& condition,
                            std::string_view ids) {
    const EventsByName events{ids};
    const StreamAppend part{stream, ExpectedVersion::any(), events};
    return Run::words(store.append_if({&part, 1}, condition));
  };
  const auto tagged = [](auto& store, std::string_view stream, std::string_view id, std::string_view type,
                         std::initializer_list<std::string_view> tags) {
    const NewEvent event{id, type, "p", {tags.begin(), tags.size()}};
    return Run::words(append(store, stream, ExpectedVersion::any(), {&event, 1}));
  };
  {  // filters: any of the types, all of the tags; any of the filters
    auto store = run.make();
    (void)tagged(*store, "s-1", "a", "Defined", {"course:1", "teacher:9"});
    (void)tagged(*store, "s-2", "b", "Subscribed", {"course:1", "student:1"});
    const auto holds = [&](EventQuery query, std::string_view words) {
      run.expect_is(append_if(*store, "s-0", {std::move(query), 0}, ""), "appended", words);
    };
    const auto fails = [&](EventQuery query, std::string_view words) {
      run.expect_is(append_if(*store, "s-0", {std::move(query), 0}, "x"), "conflict", words);
    };
    holds({{{.tags = {"course:2"}}}}, "DCB: no event has the tag");
    holds({{{.tags = {"course"}}}}, "DCB: a part of a tag is none");
    holds({{{.tags = {"teacher:9", "student:1"}}}}, "DCB: no event has both tags");
    holds({{{.types = {"Subscribed"}, .tags = {"teacher:9"}}}}, "DCB: another type has the tag");
    fails({{{.tags = {"course:1"}}}}, "DCB: an event has the tag");
    fails({{{.tags = {"student:1", "course:1"}}}}, "DCB: an event has both tags");
    fails({{{.types = {"Moved", "Defined"}}}}, "DCB: an event has one of the types");
    fails({{{.types = {"Moved"}}, {.tags = {"student:1"}}}}, "DCB: an event matches the second filter");
    fails({}, "DCB: there is an event");
    run.expect_is(Run::stream(*store, "s-0"), "missing", "DCB: a condition that fails leaves nothing");
    run.expect_is(Run::all(*store, {{{.tags = {"student:1", "course:1"}}}}), "b", "DCB: a read by tags");
    run.expect_is(Run::all(*store, {{{.types = {"Defined"}}, {.tags = {"student:1"}}}}), "a b",
                  "DCB: a read by two filters");
  }
  {  // what is not behind `after` counts for nothing
    auto store = run.make();
    (void)tagged(*store, "s-1", "a", "t", {"x"});
    (void)tagged(*store, "s-1", "b", "t", {"x"});
    (void)tagged(*store, "s-1", "y", "t", {"y"});
    const std::uint64_t first = Run::position(*store, "a"), second = Run::position(*store, "b");
    run.expect_is(append_if(*store, "s-2", {{{{.tags = {"x"}}}}, first}, "c"), "conflict", "DCB: an event behind");
    run.expect_is(append_if(*store, "s-2", {{{{.tags = {"x"}}}}, second}, "c"), "appended 1", "DCB: no event behind");
    run.expect_is(append_if(*store, "s-2", {{{{.tags = {"x"}}}}, UINT64_MAX}, "d"), "appended 2", "DCB: far behind");
    run.expect_is(append_if(*store, "s-2", {{}, first}, "c"), "already_appended 1", "DCB: a resend");
  }
  {  // a decision: read, look, append, and only one of two who have read the same
    auto store = run.make();
    (void)tagged(*store, "s-1", "a", "t", {"x"});
    (void)tagged(*store, "s-1", "b", "t", {"y"});
    EventPage page;
    const EventQuery query{{{.tags = {"x"}}}};
    const Result<StoreRead> read = store->read_all(query, {}, page);
    const AppendCondition unchanged{query, read ? read->head : 0};
    run.expect(read && read->end && page.size() == 1, "DCB: a decision cannot be read in one page");
    (void)tagged(*store, "s-1", "c", "t", {"y"});
    const std::string_view tags[] = {"x"};
    const NewEvent mine{"d", "t", "p", tags}, theirs{"e", "t", "p", tags};
    const StreamAppend first{"s-2", {}, {&mine, 1}}, second{"s-3", {}, {&theirs, 1}};
    run.expect_is(Run::words(store->append_if({&first, 1}, unchanged)), "appended 1", "DCB: the first to decide");
    run.expect_is(Run::words(store->append_if({&second, 1}, unchanged)), "conflict", "DCB: the second to decide");
  }
  {  // with an expected version: both have to hold
    auto store = run.make();
    (void)tagged(*store, "s-1", "a", "t", {"x"});
    const EventsByName events{"b"};
    const StreamAppend stale{"s-1", ExpectedVersion::none(), events}, fresh{"s-1", ExpectedVersion::exactly(1), events};
    const AppendCondition good{{{{.tags = {"y"}}}}, 0}, bad{{{{.tags = {"x"}}}}, 0};
    run.expect_is(Run::words(store->append_if({&stale, 1}, good)), "conflict", "DCB: only the condition holds");
    run.expect_is(Run::words(store->append_if({&fresh, 1}, bad)), "conflict", "DCB: only the version is right");
    run.expect_is(Run::words(store->append_if({&fresh, 1}, good)), "appended 2", "DCB: both are right");
  }
  {  // erased, an event is in nobody's way
    auto store = run.make();
    (void)tagged(*store, "s-1", "a", "t", {"user:ann"});
    (void)store->soft_delete("s-1", ExpectedVersion::any());
    run.expect_is(append_if(*store, "s-2", {{{{.tags = {"user:ann"}}}}, 0}, "b"), "appended 1", "DCB: an erased event");
  }
  {  // a name is given once, whoever asks for it
    auto store = run.make();
    std::atomic<std::size_t> won{0}, lost{0};
    constexpr std::size_t threads = 4;
    at_once(threads, [&](std::size_t thread) {
      for (std::size_t i = 0; i < run.load; ++i) {
        const std::string id = std::to_string(thread) + "-" + std::to_string(i), name = "user:" + std::to_string(i);
        const std::string_view tags[] = {name};
        const NewEvent event{id, "Registered", "p", tags};
        const std::string stream = "account-" + id;
        const StreamAppend part{stream, ExpectedVersion::none(), {&event, 1}};
        const std::string answer = Run::words(store->append_if({&part, 1}, {{{{.tags = {name}}}}, 0}));
        won += answer == "appended 1" ? 1 : 0;
        lost += answer == "conflict" ? 1 : 0;
      }
    });
    run.expect(won == run.load && lost == (threads - 1) * run.load, "DCB: a name is not given exactly once");
  }
}

}  // namespace omnibus::event_store
