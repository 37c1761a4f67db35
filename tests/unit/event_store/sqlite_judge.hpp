// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <omnibus/event_store/sqlite.hpp>

// Says whether a store is whole after something went wrong. Events tell by their ids what belongs together:
// "7-3/1/2" is the second of the two events of batch 7-3.

namespace omnibus::unit {

/// A batch of so many events, in turns to two streams if there are two.
inline Result<Appended> append_batch(SqliteEventStore& store, const std::string& batch, std::size_t size,
                                     std::string_view stream, std::string_view second = {}) {
  std::vector<std::string> ids;
  for (std::size_t i = 0; i < size; ++i) {
    ids.push_back(batch + "/" + std::to_string(i) + "/" + std::to_string(size));
  }
  const std::string_view tags[] = {"crash"};
  std::vector<NewEvent> events;
  for (const std::string& id : ids) events.push_back({id, "happened", id, tags});
  const std::size_t split = second.empty() ? size : size / 2;
  const std::span<const NewEvent> all{events};
  const StreamAppend parts[] = {{stream, {}, all.first(split)}, {second, {}, all.subspan(split)}};
  return store.append({parts, second.empty() ? std::size_t{1} : std::size_t{2}});
}

/// What was answered: the position of the last event of each batch.
using Answered = std::map<std::string, std::uint64_t>;

/// What is wrong, in words; nothing: the store is whole. `seen`: what stood where in earlier judgements, kept up.
inline std::string judge(SqliteEventStore& store, const Answered& answered, std::vector<std::string>* seen = nullptr) {
  Answered whole;
  std::map<std::string, std::uint64_t> versions;
  EventPage page;
  ReadRange range{.from = 1};
  std::uint64_t position = 0;
  std::string batch;
  std::size_t index = 0, size = 0;
  for (bool end = false; !end;) {
    const Result<StoreRead> read = store.read_all({}, range, page);
    if (!read) return read.error().message();
    for (const StoredEvent& each : page) {
      const std::string id{each.id}, at = "position " + std::to_string(each.position) + ", " + id + ": ";
      if (each.position != ++position) return at + "a gap before it";
      if (each.payload != id || each.tags.size() != 1) return at + "is not what was appended";
      if (each.version != ++versions[std::string{each.stream}]) return at + "a version is missing";
      if (seen != nullptr && position <= seen->size() && (*seen)[position - 1] != id) return at + "was another one";
      if (seen != nullptr && position > seen->size()) seen->push_back(id);
      const std::size_t slash = id.find('/'), last = id.rfind('/');
      const std::size_t its_index = std::stoul(id.substr(slash + 1));
      if (its_index == 0 ? index != size : batch != id.substr(0, slash) || its_index != index) {
        return at + "a batch is not whole";
      }
      batch = id.substr(0, slash);
      index = its_index + 1;
      size = std::stoul(id.substr(last + 1));
      if (index == size) whole[batch] = position;
    }
    range.from = read->next;
    end = read->end;
  }
  if (index != size) return "the last batch is not whole";
  if (seen != nullptr && position < seen->size()) return "what was seen is lost";
  for (const auto& [name, last] : answered) {
    const auto found = whole.find(name);
    if (found == whole.end()) return "batch " + name + " was answered and is lost";
    if (found->second != last) return "batch " + name + " is not where it was said to be";
  }
  // It goes on where it is: at the next position, with the next version, and finds everything by its tag.
  const std::string next = "after-" + std::to_string(position);
  const Result<Appended> more = append_batch(store, next, 1, "s-0");
  if (!more) return more.error().message();
  if (more->events.back() != Placed{versions["s-0"] + 1, position + 1}) return "it does not go on where it is";
  std::uint64_t tagged = 0;
  range.from = 1;
  for (bool end = false; !end;) {
    const Result<StoreRead> read = store.read_all({{{.tags = {"crash"}}}}, range, page);
    if (!read) return read.error().message();
    tagged += page.size();
    range.from = read->next;
    end = read->end;
  }
  if (tagged != position + 1) return "tags are lost";
  if (seen != nullptr) seen->push_back(next + "/0/1");
  return {};
}

}  // namespace omnibus::unit
