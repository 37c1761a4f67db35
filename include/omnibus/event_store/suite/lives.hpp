// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <omnibus/detail/hash.hpp>
#include <omnibus/event_store/suite/run.hpp>

// Random lives of a store next to those of a model, which does what a store does in the plainest words.

namespace omnibus::event_store {

/// What a store is: a list of events, and what became of their streams.
class Model {
 public:
  struct Event {
    std::string id;
    std::string stream;
    std::uint64_t version = 0;
    bool erased = false;
  };
  struct Stream {
    std::string kind = "missing";
    std::uint64_t version = 0;
  };

  std::string append(const std::string& name, ExpectedVersion expected, const std::vector<std::string>& ids) {
    std::string versions;
    std::size_t stored = 0;
    std::uint64_t last = 0;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      for (std::size_t j = 0; j < i; ++j) {
        if (ids[i] == ids[j]) return "id_reused";
      }
      for (const Event& each : events_) {
        if (each.id != ids[i]) continue;
        if (each.stream != name || (last != 0 && each.version != last + 1)) return "id_reused";
        last = each.version;
        versions += " " + std::to_string(last);
        ++stored;
      }
    }
    if (stored > 0) return stored == ids.size() ? "already_appended" + versions : "id_reused";
    Stream& stream = streams[name];
    if (stream.kind == "tombstoned") return "stream_deleted";
    if (!is_expected(stream, expected)) return "conflict";
    for (const std::string& id : ids) {
      events_.push_back({id, name, ++stream.version, false});
      versions += " " + std::to_string(stream.version);
      stream.kind = "live";
    }
    return "appended" + versions;
  }
  std::string truncate(const std::string& name, std::uint64_t before) {
    const std::string& kind = streams[name].kind;
    if (kind == "missing") return "not_found";
    if (kind == "tombstoned") return "stream_deleted";
    erase(name, before);
    return "ok";
  }
  std::string erase_all(const std::string& name, ExpectedVersion expected, const std::string& to) {
    Stream& stream = streams[name];
    if (stream.kind == to) return "ok";
    if (stream.kind == "tombstoned") return "stream_deleted";
    if (stream.kind == "missing" && to == "deleted") return "not_found";
    if (!is_expected(stream, expected)) return "conflict";
    stream.kind = to;
    erase(name, UINT64_MAX);
    return "ok";
  }

  std::string stream(const std::string& name) {
    std::string text = streams[name].kind;
    for (const Event& each : events_) {
      if (each.stream == name && !each.erased) text += " " + std::to_string(each.version) + ":" + each.id;
    }
    return text;
  }
  std::string all() const {
    std::string text;
    for (const Event& each : events_) {
      if (!each.erased) text += (text.empty() ? "" : " ") + each.id;
    }
    return text;
  }

  std::map<std::string, Stream> streams;

 private:
  static bool is_expected(const Stream& stream, ExpectedVersion expected) {
    switch (expected.kind) {
      case ExpectedVersion::Kind::any: return true;
      case ExpectedVersion::Kind::none: return stream.kind != "live";
      case ExpectedVersion::Kind::exists: return stream.kind == "live";
      case ExpectedVersion::Kind::exact: return stream.version == expected.version;
    }
    return false;
  }
  void erase(const std::string& name, std::uint64_t before) {
    for (Event& each : events_) each.erased = each.erased || (each.stream == name && each.version < before);
  }

  std::vector<Event> events_;
};

/// One random life, the same for the same seed.
template <class Make>
void try_life(SuiteRun<Make>& run, std::uint64_t seed) {
  using Run = SuiteRun<Make>;
  constexpr int operations = 60;
  std::uint64_t state = detail::mix64(seed);
  const auto below = [&state](std::uint64_t limit) { return (state = detail::mix64(state)) % limit; };
  auto store = run.make();
  Model model;
  std::uint64_t last_id = 0;
  for (int i = 0; i < operations; ++i) {
    const std::string name = "s-" + std::to_string(below(3));
    const std::uint64_t last = model.streams[name].version;
    const ExpectedVersion choices[] = {ExpectedVersion::any(), ExpectedVersion::none(), ExpectedVersion::exists(),
                                       ExpectedVersion::exactly(last), ExpectedVersion::exactly(last + below(3))};
    const ExpectedVersion expected = choices[below(5)];
    const std::string where = "life " + std::to_string(seed) + ", operation " + std::to_string(i) + ", " + name;
    const std::uint64_t what = below(100);
    if (what < 80) {
      std::vector<std::string> ids;
      std::string words;
      const std::uint64_t count = below(4);
      const std::uint64_t first = below(3) == 0 ? 1 + below(last_id + 1) : last_id + 1;  // at times stored ones
      for (std::uint64_t id = first; id < first + count; ++id) {
        ids.push_back(std::to_string(below(20) == 0 ? first : id));
        words += " " + ids.back();
        if (id > last_id) last_id = id;
      }
      run.expect_is(Run::append(*store, name, expected, words), model.append(name, expected, ids), where + ", append");
    } else if (what < 90) {
      const std::uint64_t before = below(last + 3);
      run.expect_is(Run::words(store->truncate(name, before)), model.truncate(name, before), where + ", truncate");
    } else if (what < 98) {
      run.expect_is(Run::words(store->soft_delete(name, expected)), model.erase_all(name, expected, "deleted"),
                    where + ", soft_delete");
    } else {
      run.expect_is(Run::words(store->tombstone(name, expected)), model.erase_all(name, expected, "tombstoned"),
                    where + ", tombstone");
    }
    run.expect_is(Run::stream(*store, name), model.stream(name), where + ", read_stream");
  }
  run.expect_is(Run::all(*store, {}, {.limit = 1 + below(9)}), model.all(), "life " + std::to_string(seed) + ", all");
}

}  // namespace omnibus::event_store
