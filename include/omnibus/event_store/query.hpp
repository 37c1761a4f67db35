// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <omnibus/event_store/event.hpp>

// Which events a reader wants, or a decision rests on. Plain values that are made once and used often.

namespace omnibus {

/// Events of any of these types with all of these tags.
struct EventFilter {
  std::vector<std::string> types{};  ///< empty: of any type
  std::vector<std::string> tags{};   ///< empty: whatever their tags
};

/// Events that match any of the filters; without filters, every event.
struct EventQuery {
  std::vector<EventFilter> any_of{};
};

/// What a decision rests on that is wider than a stream (a dynamic consistency boundary): the append is
/// made when no event that the query matches stands behind `after`, which is the `head` that the read of what
/// the query matches came to its end with.
struct AppendCondition {
  EventQuery none_match{};  ///< without filters: nothing at all may have been appended
  std::uint64_t after = 0;
};

/// Whether an event of this type and these tags is one that the filter means.
inline bool matches(const EventFilter& filter, std::string_view type,
                    std::span<const std::string_view> tags) noexcept {
  bool of_type = filter.types.empty();
  for (const std::string& each : filter.types) of_type = of_type || each == type;
  if (!of_type) return false;
  for (const std::string& wanted : filter.tags) {
    bool there = false;
    for (const std::string_view tag : tags) there = there || tag == wanted;
    if (!there) return false;
  }
  return true;
}

/// Whether an event of this type and these tags is one that the query means.
inline bool matches(const EventQuery& query, std::string_view type,
                    std::span<const std::string_view> tags) noexcept {
  for (const EventFilter& each : query.any_of) {
    if (matches(each, type, tags)) return true;
  }
  return query.any_of.empty();
}

}  // namespace omnibus
