// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <omnibus/event_store/store.hpp>

// What the cases of the suite of event stores share: stores, events by name, and what is found as one line
// of words, so that a case reads as a table.

namespace omnibus::event_store {

/// Events of which nothing matters but their ids: "a b c" is three of them.
class EventsByName {
 public:
  explicit EventsByName(std::string_view ids) {
    while (!ids.empty()) {
      const std::size_t end = ids.find(' ');
      if (end != 0) add(ids.substr(0, end));
      ids.remove_prefix(end == std::string_view::npos ? ids.size() : end + 1);
    }
  }
  operator std::span<const NewEvent>() const noexcept { return events_; }

 private:
  void add(std::string_view id) {
    const std::string& name = texts_.emplace_back(id);
    events_.push_back({name, "happened", texts_.emplace_back("payload of " + name)});
  }
  std::deque<std::string> texts_;
  std::vector<NewEvent> events_;
};

/// One run of the suite. `make()` gives a pointer to a new and empty store, `again()` one more to the store
/// that was made last.
template <class Make>
class SuiteRun {
 public:
  using Pointer = std::invoke_result_t<Make&>;
  using Store = std::remove_reference_t<decltype(*std::declval<Pointer&>())>;
  static_assert(EventStore<Store>);
  using Again = std::function<Pointer()>;

  SuiteRun(Make& make, Again& again, std::size_t appends) : load{appends}, make_{make}, again_{again} {}

  Pointer make() { return make_(); }
  Pointer again() { return again_(); }
  bool can_open_again() const noexcept { return static_cast<bool>(again_); }

  void expect(bool good, std::string words) {
    constexpr std::size_t enough = 20;
    if (!good && violations_.size() < enough) violations_.push_back(std::move(words));
  }
  void expect_is(const std::string& actual, std::string_view expected, std::string_view words) {
    if (actual == expected) return;
    expect(false, std::string{words} + ": \"" + actual + "\" instead of \"" + std::string{expected} + "\"");
  }
  std::vector<std::string> violations() && { return std::move(violations_); }

  // ── answers in words ───────────────────────────────────────────────────────────────────────────

  /// "appended 1 2", "already_appended 1 2" with the versions, or the name of the error.
  static std::string words(const Result<Appended>& result) {
    if (!result) return std::string{to_string(result.error().code)};
    std::string text = result->state == Appended::State::appended ? "appended" : "already_appended";
    for (const Placed& each : result->events) text += " " + std::to_string(each.version);
    return text;
  }
  static std::string words(const Result<>& result) {
    return result ? "ok" : std::string{to_string(result.error().code)};
  }
  static std::string words(StreamState::Kind kind) {
    switch (kind) {
      case StreamState::Kind::missing: return "missing";
      case StreamState::Kind::live: return "live";
      case StreamState::Kind::deleted: return "deleted";
      case StreamState::Kind::tombstoned: return "tombstoned";
    }
    return "unknown";
  }

  // ── what cases do ──────────────────────────────────────────────────────────────────────────────

  static std::string append(Store& store, std::string_view stream, ExpectedVersion expected, std::string_view ids) {
    return words(omnibus::append(store, stream, expected, EventsByName{ids}));
  }
  static std::string append(Store& store, std::string_view stream, std::string_view ids) {
    return append(store, stream, ExpectedVersion::any(), ids);
  }

  /// "live 1:a 2:b": a stream and its events, by pages of so many.
  static std::string stream(Store& store, std::string_view name, ReadRange range = {.limit = 2}) {
    EventPage page;
    std::string text;
    for (bool end = false; !end;) {
      const Result<StreamRead> read = store.read_stream(name, range, page);
      if (!read) return std::string{to_string(read.error().code)};
      if (text.empty()) text = words(read->stream.kind);
      for (const StoredEvent& each : page) {
        text += " " + std::to_string(each.version) + ":" + std::string{each.id};
        if (each.stream != name) text += " of " + std::string{each.stream};
      }
      end = read->end;
      if (!end && range.from == read->next) return text + " for ever";
      range.from = read->next;
    }
    return text;
  }

  /// "a b c": the ids of a category, by pages of so many.
  static std::string category(Store& store, std::string_view name, const EventQuery& query = {},
                              ReadRange range = {.limit = 2}) {
    return ids([&](const ReadRange& part, EventPage& page) { return store.read_category(name, query, part, page); },
               range);
  }
  /// Likewise of everything.
  static std::string all(Store& store, const EventQuery& query = {}, ReadRange range = {.limit = 2}) {
    return ids([&](const ReadRange& part, EventPage& page) { return store.read_all(query, part, page); }, range);
  }

  /// The version of a stream, or 0.
  static std::uint64_t version(Store& store, std::string_view name) {
    EventPage page;
    const Result<StreamRead> read = store.read_stream(name, {.limit = 0}, page);
    return read ? read->stream.version : 0;
  }
  /// The position of an event, or 0.
  static std::uint64_t position(Store& store, std::string_view id) {
    const auto placed = store.locate(id);
    return placed && *placed ? (*placed)->position : 0;
  }

  const std::size_t load;  ///< how many appends each thread makes, where several do

 private:
  template <class Read>
  static std::string ids(Read&& read, ReadRange range) {
    EventPage page;
    std::string text;
    for (bool end = false; !end;) {
      const Result<StoreRead> got = read(range, page);
      if (!got) return std::string{to_string(got.error().code)};
      for (const StoredEvent& each : page) text += (text.empty() ? "" : " ") + std::string{each.id};
      end = got->end;
      if (!end && range.from == got->next) return text + " for ever";
      range.from = got->next;
    }
    return text;
  }

  Make& make_;
  Again& again_;
  std::vector<std::string> violations_;
};

}  // namespace omnibus::event_store
