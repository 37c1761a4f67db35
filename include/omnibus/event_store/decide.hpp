// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>

#include <omnibus/detail/hash.hpp>
#include <omnibus/event_store/store.hpp>
#include <omnibus/limits.hpp>

// What a store answers, as functions of what it knows: every store decides by these, and does nothing but
// look up and store on its own.

namespace omnibus::event_store {

/// How large an event may be, and how many go together.
struct Limits {
  MessageLimits event{};          ///< `key` bounds ids, types, tags and names of streams
  std::size_t tags = 64;          ///< of an event
  std::size_t batch = 10'000;     ///< events
};

/// What a store keeps of an event for as long as it exists, by the event's id.
struct KnownEvent {
  std::string_view stream;
  Placed placed{};
  detail::Hash128 fingerprint{};
};

/// What tells an event from another one of the same id: type, payload and tags. Metadata and time are none of
/// it, since they may differ when an append is made again. Frozen: stores keep it.
inline detail::Hash128 fingerprint(const NewEvent& event) noexcept {
  detail::Hash128 parts[2] = {detail::hash128(event.type), {}};
  const auto mix = [&parts](std::string_view part) {
    parts[1] = detail::hash128(part);
    char bytes[sizeof parts];
    std::memcpy(bytes, parts, sizeof parts);
    parts[0] = detail::hash128({bytes, sizeof bytes});
  };
  mix(event.payload);
  for (const std::string_view tag : event.tags) mix(tag);
  return parts[0];
}

/// True for names that every store takes: bytes without control characters, at least one.
constexpr bool is_stream_name(std::string_view name) noexcept {
  for (const char c : name) {
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') return false;
  }
  return !name.empty();
}

/// What is said of an append that is not made.
inline Error refused(Errc code, std::string why) { return Error::make(code, "append", std::move(why)); }

/// Whether a stream may have this name. Errors: invalid_argument, too_large.
inline Result<> check_stream_name(std::string_view name, const Limits& limits) {
  if (!is_stream_name(name)) {
    return Error::make(Errc::invalid_argument, "check stream", "its name is empty or has control characters");
  }
  if (name.size() <= limits.event.key) return {};
  return Error::make(Errc::too_large, "check stream",
                     "its name has " + std::to_string(name.size()) + " bytes, the limit is " +
                         std::to_string(limits.event.key));
}

/// Whether an event may be stored. Errors: invalid_argument, too_large.
inline Result<> check_event(const NewEvent& event, const Limits& limits) {
  if (event.id.empty()) return refused(Errc::invalid_argument, "an event has no id");
  const MessageView message{event.id, event.type, {}, event.metadata, event.payload, {}, {}};
  if (Result<> checked = check_message(message, limits.event); !checked) return checked;
  const std::string name = "event " + std::string{event.id};
  if (event.tags.size() > limits.tags) {
    return refused(Errc::too_large, name + " has " + std::to_string(event.tags.size()) + " tags, the limit is " +
                                        std::to_string(limits.tags));
  }
  for (const std::string_view tag : event.tags) {
    if (tag.empty()) return refused(Errc::invalid_argument, name + " has an empty tag");
    if (tag.size() > limits.event.key) {
      return refused(Errc::too_large, name + " has a tag of " + std::to_string(tag.size()) +
                                          " bytes, the limit is " + std::to_string(limits.event.key));
    }
  }
  return {};
}

/// Whether a batch can be stored anywhere. Errors: invalid_argument, too_large.
inline Result<> check_batch(std::span<const StreamAppend> batch, const Limits& limits) {
  std::size_t count = 0;
  std::unordered_set<std::string_view> streams;
  for (const StreamAppend& part : batch) {
    if (Result<> checked = check_stream_name(part.stream, limits); !checked) return checked;
    if (!streams.insert(part.stream).second) {
      return refused(Errc::invalid_argument, "stream " + std::string{part.stream} + " stands twice in one batch");
    }
    for (const NewEvent& event : part.events) {
      if (Result<> checked = check_event(event, limits); !checked) return checked;
    }
    count += part.events.size();
  }
  if (count <= limits.batch) return {};
  return refused(Errc::too_large,
                 std::to_string(count) + " events in one batch, the limit is " + std::to_string(limits.batch));
}

/// Whether a stream is as an append expects it.
constexpr bool is_as_expected(const StreamState& stream, ExpectedVersion expected) noexcept {
  switch (expected.kind) {
    case ExpectedVersion::Kind::any: return true;
    case ExpectedVersion::Kind::none:
      return stream.kind == StreamState::Kind::missing || stream.kind == StreamState::Kind::deleted;
    case ExpectedVersion::Kind::exists: return stream.kind == StreamState::Kind::live;
    case ExpectedVersion::Kind::exact: return stream.version == expected.version;
  }
  return false;
}

/// "order-17 is at version 5, expected 3"
inline std::string difference(std::string_view name, const StreamState& stream, ExpectedVersion expected) {
  std::string words{name};
  switch (stream.kind) {
    case StreamState::Kind::missing: words += " does not exist"; break;
    case StreamState::Kind::live: words += " is at version " + std::to_string(stream.version); break;
    case StreamState::Kind::deleted: words += " was deleted at version " + std::to_string(stream.version); break;
    case StreamState::Kind::tombstoned: words += " was given up for ever"; break;
  }
  switch (expected.kind) {
    case ExpectedVersion::Kind::any: return words;
    case ExpectedVersion::Kind::none: return words + ", expected none";
    case ExpectedVersion::Kind::exists: return words + ", expected to exist";
    case ExpectedVersion::Kind::exact: return words + ", expected version " + std::to_string(expected.version);
  }
  return words;
}

/// What a batch's ids say. A value: it is a resend, and where its events stand; none: all events are new.
/// `find(id)` returns std::optional<KnownEvent>. Errors: id_reused.
template <class Find>
Result<std::optional<Appended>> judge_ids(std::span<const StreamAppend> batch, Find&& find) {
  const auto reused = [](const NewEvent& event, std::string_view why) {
    return refused(Errc::id_reused, "event " + std::string{event.id} + " " + std::string{why});
  };
  Appended resend{Appended::State::already_appended, {}};
  std::unordered_set<std::string_view> ids;
  bool fresh = false;
  for (const StreamAppend& part : batch) {
    std::uint64_t last = 0;
    for (const NewEvent& event : part.events) {
      if (!ids.insert(event.id).second) return reused(event, "stands twice in one batch");
      const std::optional<KnownEvent> known = find(event.id);
      if (!known) {
        fresh = true;
        continue;
      }
      if (known->stream != part.stream) return reused(event, "is stored in stream " + std::string{known->stream});
      if (known->fingerprint != fingerprint(event)) return reused(event, "is stored with other content");
      if (last != 0 && known->placed.version != last + 1) return reused(event, "is stored in another order");
      last = known->placed.version;
      resend.events.push_back(known->placed);
    }
  }
  if (resend.events.empty()) return std::optional<Appended>{};
  if (fresh) return refused(Errc::id_reused, "some events of the batch are stored and some are not");
  return std::optional<Appended>{std::move(resend)};
}

/// Whether all streams are as the batch expects them. `state(name)` returns the StreamState.
/// Errors: stream_deleted, conflict; they name every stream that is not.
template <class State>
Result<> judge_streams(std::span<const StreamAppend> batch, State&& state) {
  std::string conflicts;
  bool given_up = false;
  for (const StreamAppend& part : batch) {
    const StreamState stream = state(part.stream);
    const bool tombstoned = stream.kind == StreamState::Kind::tombstoned;
    if (!tombstoned && is_as_expected(stream, part.expected)) continue;
    given_up = given_up || tombstoned;
    conflicts += (conflicts.empty() ? "" : "; ") + difference(part.stream, stream, part.expected);
  }
  if (conflicts.empty()) return {};
  return refused(given_up ? Errc::stream_deleted : Errc::conflict, std::move(conflicts));
}

/// What a store does with a batch that `check_batch` let pass. A value: this is the answer already; none:
/// store all of it. `facts` has `find(id)` and `state(stream)`, as above, and `match(query, after)`: the
/// position of an event behind `after` that the query matches, or none. A lookup that fails answers as it
/// likes and the store drops the decision. Errors: id_reused, stream_deleted, conflict.
template <class Facts>
Result<std::optional<Appended>> decide_append(std::span<const StreamAppend> batch, const AppendCondition* condition,
                                              Facts&& facts) {
  auto known = judge_ids(batch, [&facts](std::string_view id) { return facts.find(id); });
  if (!known || *known) return known;
  const auto state = [&facts](std::string_view stream) { return facts.state(stream); };
  if (Result<> judged = judge_streams(batch, state); !judged) return std::move(judged.error());
  if (condition == nullptr) return known;
  const std::optional<std::uint64_t> match = facts.match(condition->none_match, condition->after);
  if (!match) return known;
  return refused(Errc::conflict, "the event at position " + std::to_string(*match) +
                                     " is one that the condition excludes behind " +
                                     std::to_string(condition->after));
}

/// Where a truncation leaves a stream; none: nothing is to be done. Errors: not_found, stream_deleted.
inline Result<std::optional<StreamState>> decide_truncate(std::string_view name, StreamState stream,
                                                          std::uint64_t before) {
  if (stream.kind == StreamState::Kind::tombstoned || stream.kind == StreamState::Kind::missing) {
    const bool missing = stream.kind == StreamState::Kind::missing;
    return Error::make(missing ? Errc::not_found : Errc::stream_deleted, "truncate stream",
                       difference(name, stream, ExpectedVersion::any()));
  }
  if (before > stream.version) before = stream.version + 1;
  if (before <= stream.first) return std::optional<StreamState>{};
  stream.first = before;
  return std::optional<StreamState>{stream};
}

/// Where a deletion, soft or for ever (`to` is deleted or tombstoned), leaves a stream; none: nothing is to
/// be done. Errors: conflict, not_found, stream_deleted.
inline Result<std::optional<StreamState>> decide_delete(std::string_view name, StreamState stream,
                                                        ExpectedVersion expected, StreamState::Kind to) {
  const bool for_ever = to == StreamState::Kind::tombstoned;
  const auto refuse = [&](Errc code) {
    return Error::make(code, for_ever ? "tombstone stream" : "delete stream", difference(name, stream, expected));
  };
  if (stream.kind == to) return std::optional<StreamState>{};
  if (stream.kind == StreamState::Kind::tombstoned) return refuse(Errc::stream_deleted);
  if (stream.kind == StreamState::Kind::missing && !for_ever) return refuse(Errc::not_found);
  if (!is_as_expected(stream, expected)) return refuse(Errc::conflict);
  stream.kind = to;
  stream.first = stream.version + 1;
  stream.deleted_until = stream.version;
  return std::optional<StreamState>{stream};
}

/// Whether a snapshot up to this event is one of the stream as it is now, with every event behind it there.
constexpr bool is_usable_snapshot(const StreamState& stream, std::uint64_t last) noexcept {
  return stream.kind == StreamState::Kind::live && last > stream.deleted_until && last <= stream.version &&
         last + 1 >= stream.first;
}

}  // namespace omnibus::event_store
