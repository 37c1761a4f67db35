// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <omnibus/backends/redis/reader.hpp>
#include <omnibus/event_store/decide.hpp>
#include <omnibus/event_store/redis/record.hpp>
#include <omnibus/event_store/store.hpp>
#include <omnibus/result.hpp>

// What the parts of answers mean. Index 0 begins an answer anew.

namespace omnibus::event_store::redis {

using omnibus::redis::Part;

/// What is said of what was not written by this store.
inline Error damaged(std::string_view what) {
  return Error::make(Errc::topology_mismatch, "read " + std::string{what},
                     "it is not whole: somebody else has written to the keys of the store");
}

/// Hears texts and numbers.
struct Values {
  struct Value {
    std::string text;
    std::int64_t number = 0;
  };
  std::vector<Value> all{};

  void operator()(std::size_t index, const Part& part) {
    if (index == 0) all.clear();
    all.push_back({std::string{part.text}, part.number});
  }
  std::string_view text(std::size_t index) const noexcept {
    return index < all.size() ? std::string_view{all[index].text} : std::string_view{};
  }
  std::uint64_t number(std::size_t index) const noexcept {
    return index < all.size() ? static_cast<std::uint64_t>(all[index].number) : 0;
  }
};

/// Hears events for a page: first what is not one, then for each its position and its bytes.
class PageParts {
 public:
  explicit PageParts(EventPage& page) noexcept : page_{page} {}

  void operator()(std::size_t index, const Part& part) {
    if (index == 0) {
      page_.clear();
      whole_ = true;
      text.assign(part.text);
      number = static_cast<std::uint64_t>(part.number);
    } else if (index % 2 == 1) {
      event_.position = static_cast<std::uint64_t>(part.number);
    } else if (view_event(part.text, tags_, event_)) {
      page_.add(event_);
    } else {
      whole_ = false;
    }
  }
  bool whole() const noexcept { return whole_; }

  std::string text;  ///< of index 0
  std::uint64_t number = 0;

 private:
  EventPage& page_;
  bool whole_ = true;
  std::vector<std::string_view> tags_;
  StoredEvent event_;
};

/// The answer to an append: where everything stands, or what was in its way, from which the decision follows.
inline Result<Appended> read_appended(const Values& answer, std::span<const StreamAppend> batch,
                                      const AppendCondition* condition) {
  if (answer.number(0) == 1) {
    Appended appended;
    std::uint64_t position = answer.number(1);
    std::size_t at = 2;
    for (const StreamAppend& part : batch) {
      if (part.events.empty()) continue;
      std::uint64_t version = answer.number(at++);
      for (std::size_t i = 0; i < part.events.size(); ++i) appended.events.push_back({version++, position++});
    }
    return appended;
  }
  struct Facts {
    std::unordered_map<std::string_view, StreamState> states;
    std::unordered_map<std::string_view, KnownEvent> known;
    std::uint64_t excluded = 0;
    std::optional<KnownEvent> find(std::string_view id) const {
      const auto found = known.find(id);
      return found == known.end() ? std::nullopt : std::optional{found->second};
    }
    StreamState state(std::string_view name) const { return states.at(name); }
    std::optional<std::uint64_t> match(const EventQuery&, std::uint64_t) const {
      return excluded == 0 ? std::nullopt : std::optional{excluded};
    }
  } facts;
  facts.excluded = answer.number(1);
  std::size_t at = 2;
  for (const StreamAppend& part : batch) {
    const std::optional<StreamState> state = read_state(answer.text(at++));
    if (!state) return damaged(part.stream);
    facts.states.emplace(part.stream, *state);
  }
  for (const StreamAppend& part : batch) {
    for (const NewEvent& event : part.events) {
      const std::string_view text = answer.text(at++);
      if (text.empty()) continue;
      const std::optional<KnownEvent> known = view_known(text);
      if (!known) return damaged(event.id);
      facts.known.emplace(event.id, *known);
    }
  }
  auto decided = decide_append(batch, condition, facts);
  if (!decided) return std::move(decided.error());
  if (*decided) return std::move(**decided);
  return Error::make(Errc::internal, "append", "the server refuses what nothing is against");
}

/// How far a read of a stream came that found so many events.
inline StreamRead read_so_far(const StreamState& state, const ReadRange& range, std::size_t found) noexcept {
  if (state.kind == StreamState::Kind::missing) return {{}, 1, true};
  const bool forwards = range.direction == Direction::forwards;
  const std::uint64_t from = forwards ? std::max(range.from.value_or(1), state.first)
                                      : std::min(range.from.value_or(UINT64_MAX), state.version);
  const std::uint64_t at = forwards ? from + found : from - found;
  return {state, at, at < state.first || at > state.version};
}

/// How far a read of a store came; `next`: where it was cut off, or 0.
inline StoreRead read_so_far(std::uint64_t head, const ReadRange& range, std::uint64_t next) noexcept {
  if (next != 0) return {next, head, false};
  const std::uint64_t from = std::max<std::uint64_t>(range.from.value_or(1), 1);
  return {range.direction == Direction::forwards ? std::max(from, head + 1) : 0, head, true};
}

}  // namespace omnibus::event_store::redis
