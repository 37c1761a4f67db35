// SPDX-License-Identifier: MIT
#pragma once

#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <omnibus/event_store/checkpoint.hpp>
#include <omnibus/event_store/columns.hpp>
#include <omnibus/event_store/decide.hpp>
#include <omnibus/event_store/event.hpp>
#include <omnibus/event_store/store.hpp>

// What stands on the server, as text and bytes. The script reads and writes the same. Frozen: servers have it.

namespace omnibus::event_store::redis {

/// Appends an event as it is stored, but for its version, which the script puts in front: the sizes of type, stream,
/// id, tags and metadata, the time in microseconds, and these in the same order, the payload behind them.
inline void append_event(std::string& out, std::string_view stream, const NewEvent& event, Time time) {
  std::string tags;
  encode_tags(event.tags, tags);
  const std::string_view metadata = event.metadata.block();
  for (const std::size_t size : {event.type.size(), stream.size(), event.id.size(), tags.size(), metadata.size()}) {
    const auto written = static_cast<std::uint32_t>(size);
    char bytes[sizeof written];
    std::memcpy(bytes, &written, sizeof written);
    out.append(bytes, sizeof bytes);
  }
  const std::int64_t us = std::chrono::floor<std::chrono::microseconds>(time.time_since_epoch()).count();
  char bytes[sizeof us];
  std::memcpy(bytes, &us, sizeof us);
  out.append(bytes, sizeof bytes);
  out.append(event.type).append(stream).append(event.id).append(tags).append(metadata).append(event.payload);
}

/// Views an event as it is stored, its version in front; `tags` is what its tags are laid out in. False: it is
/// damaged.
inline bool view_event(std::string_view bytes, std::vector<std::string_view>& tags, StoredEvent& event) {
  std::uint32_t sizes[5];
  std::int64_t us = 0;
  constexpr std::size_t header = sizeof event.version + sizeof sizes + sizeof us;
  if (bytes.size() < header) return false;
  std::memcpy(&event.version, bytes.data(), sizeof event.version);
  std::memcpy(sizes, bytes.data() + sizeof event.version, sizeof sizes);
  std::memcpy(&us, bytes.data() + sizeof event.version + sizeof sizes, sizeof us);
  bytes.remove_prefix(header);
  std::string_view parts[5];
  for (std::size_t i = 0; i < 5; ++i) {
    if (bytes.size() < sizes[i]) return false;
    parts[i] = bytes.substr(0, sizes[i]);
    bytes.remove_prefix(sizes[i]);
  }
  constexpr auto most = std::chrono::floor<std::chrono::microseconds>(Time::max().time_since_epoch()).count();
  if (us > most || us < -most || !decode_tags(parts[3], tags) || !is_headers_block(parts[4])) return false;
  event.type = parts[0];
  event.stream = parts[1];
  event.id = parts[2];
  event.tags = tags;
  event.metadata = HeadersView{parts[4]};
  event.payload = bytes;
  event.time = Time{std::chrono::microseconds{us}};
  return true;
}

/// Takes a number and the blank behind it off the front. False: there is none.
inline bool take_number(std::string_view& text, std::uint64_t& number) noexcept {
  const char* const end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, number);
  if (read.ec != std::errc{} || read.ptr == end || *read.ptr != ' ') return false;
  text.remove_prefix(static_cast<std::size_t>(read.ptr + 1 - text.data()));
  return true;
}

/// "L 4 3 0": live, deleted or tombstoned, then version, first and deleted_until. Nothing for what is missing.
inline std::string state_text(const StreamState& state) {
  if (state.kind == StreamState::Kind::missing) return {};
  std::string text = state.kind == StreamState::Kind::live ? "L" : state.kind == StreamState::Kind::deleted ? "D" : "T";
  for (const std::uint64_t each : {state.version, state.first, state.deleted_until}) text += " " + std::to_string(each);
  return text;
}
/// Reads it; none: it is damaged.
inline std::optional<StreamState> read_state(std::string_view text) {
  StreamState state;
  if (text.empty()) return state;
  switch (text[0]) {
    case 'L': state.kind = StreamState::Kind::live; break;
    case 'D': state.kind = StreamState::Kind::deleted; break;
    case 'T': state.kind = StreamState::Kind::tombstoned; break;
    default: return std::nullopt;
  }
  const std::string rest = std::string{text.substr(1)} + " ";
  std::string_view numbers = rest;
  if (!numbers.starts_with(' ')) return std::nullopt;
  numbers.remove_prefix(1);
  for (std::uint64_t* each : {&state.version, &state.first, &state.deleted_until}) {
    if (!take_number(numbers, *each)) return std::nullopt;
  }
  return numbers.empty() ? std::optional{state} : std::nullopt;
}

/// The bytes of a fingerprint.
inline std::string_view bytes_of(const detail::Hash128& fingerprint) noexcept {
  return {reinterpret_cast<const char*>(&fingerprint), sizeof fingerprint};
}

/// "3 17 ", the bytes of the fingerprint, and the stream: what is known of an id. None: it is damaged.
inline std::optional<KnownEvent> view_known(std::string_view text) noexcept {
  KnownEvent known;
  if (!take_number(text, known.placed.version) || !take_number(text, known.placed.position) ||
      text.size() < sizeof known.fingerprint) {
    return std::nullopt;
  }
  std::memcpy(&known.fingerprint, text.data(), sizeof known.fingerprint);
  known.stream = text.substr(sizeof known.fingerprint);
  return known;
}

/// "17 id": a checkpoint.
inline std::string checkpoint_text(const Checkpoint& checkpoint) {
  return std::to_string(checkpoint.position) + " " + checkpoint.event;
}
/// Reads it; nothing is the beginning. None: it is damaged.
inline std::optional<Checkpoint> read_checkpoint(std::string_view text) {
  Checkpoint checkpoint;
  if (text.empty()) return checkpoint;
  if (!take_number(text, checkpoint.position)) return std::nullopt;
  checkpoint.event = text;
  return checkpoint;
}

/// "4 " and the state: a snapshot. None: it is damaged.
inline std::optional<Snapshot> read_snapshot(std::string_view text) {
  Snapshot snapshot;
  if (!take_number(text, snapshot.version)) return std::nullopt;
  snapshot.state = text;
  return snapshot;
}

}  // namespace omnibus::event_store::redis
