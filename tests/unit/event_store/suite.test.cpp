// SPDX-License-Identifier: MIT
#include <omnibus/event_store/suite.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/event_store/memory.hpp>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;
using Parts = std::span<const StreamAppend>;

namespace {

/// A memory store of which anything can be changed.
struct Plain {
  static constexpr EventStoreCapabilities capabilities = MemoryEventStore::capabilities;
  virtual ~Plain() = default;
  virtual Result<Appended> append(Parts batch) { return store.append(batch); }
  virtual Result<Appended> append_if(Parts batch, const AppendCondition& condition) {
    return store.append_if(batch, condition);
  }
  virtual Result<StreamRead> read_stream(std::string_view name, const ReadRange& range, EventPage& page) {
    return store.read_stream(name, range, page);
  }
  virtual Result<StoreRead> read_category(std::string_view name, const EventQuery& query, const ReadRange& range,
                                          EventPage& page) {
    return store.read_category(name, query, range, page);
  }
  virtual Result<StoreRead> read_all(const EventQuery& query, const ReadRange& range, EventPage& page) {
    return store.read_all(query, range, page);
  }
  virtual Result<std::optional<Placed>> locate(std::string_view id) { return store.locate(id); }
  virtual Result<> truncate(std::string_view stream, std::uint64_t before) { return store.truncate(stream, before); }
  virtual Result<> soft_delete(std::string_view stream, ExpectedVersion expected) {
    return store.soft_delete(stream, expected);
  }
  virtual Result<> tombstone(std::string_view stream, ExpectedVersion expected) {
    return store.tombstone(stream, expected);
  }
  virtual bool wait_beyond(std::uint64_t position, Instant until) { return store.wait_beyond(position, until); }
  virtual Result<bool> save_snapshot(std::string_view stream, std::string_view schema, const Snapshot& snapshot) {
    return store.save_snapshot(stream, schema, snapshot);
  }
  virtual Result<std::optional<Snapshot>> load_snapshot(std::string_view stream, std::string_view schema) {
    return store.load_snapshot(stream, schema);
  }
  Result<> drop_snapshot(std::string_view stream, std::string_view schema) {
    return store.drop_snapshot(stream, schema);
  }

  virtual Result<Checkpoint> load_checkpoint(std::string_view follower) { return store.load_checkpoint(follower); }
  virtual Result<> save_checkpoint(std::string_view follower, const Checkpoint& previous, const Checkpoint& next) {
    return store.save_checkpoint(follower, previous, next);
  }

  MemoryEventStore store;
};

template <class Store>
std::unique_ptr<Plain> make() {
  return std::make_unique<Store>();
}

/// Says whether the suite complains of a case of this name when something of a memory store is changed.
template <class Store>
bool complains(std::string_view name) {
  EventStoreSuite suite{&make<Store>};
  for (const std::string& each : suite.run(20, 5)) {
    if (each.starts_with(name)) return true;
  }
  return false;
}

/// A memory store that gets other batches than it is given.
template <class Change>
struct Appends : Plain {
  Result<Appended> append(Parts batch) override {
    std::vector<StreamAppend> parts(batch.begin(), batch.end());
    Change{}(parts);
    return Plain::append(parts);
  }
};

struct ExistsIsAny {
  void operator()(std::vector<StreamAppend>& parts) const {
    for (StreamAppend& each : parts) {
      if (each.expected.kind == ExpectedVersion::Kind::exists) each.expected = {};
    }
  }
};
struct NoneIsAny {
  void operator()(std::vector<StreamAppend>& parts) const {
    for (StreamAppend& each : parts) {
      if (each.expected.kind == ExpectedVersion::Kind::none) each.expected = {};
    }
  }
};
struct ExactIsAny {
  void operator()(std::vector<StreamAppend>& parts) const {
    for (StreamAppend& each : parts) each.expected = {};
  }
};
struct VersionsOf32Bits {
  void operator()(std::vector<StreamAppend>& parts) const {
    for (StreamAppend& each : parts) each.expected.version &= UINT32_MAX;
  }
};
struct LooksAtNothing {
  void operator()(std::vector<StreamAppend>& parts) const {
    std::erase_if(parts, [](const StreamAppend& each) { return each.events.empty(); });
  }
};

/// A memory store that gets other events than it is given.
template <class Change>
struct Stores : Plain {
  Result<Appended> append(Parts batch) override {
    std::vector<StreamAppend> parts(batch.begin(), batch.end());
    std::vector<std::vector<NewEvent>> events;
    events.reserve(parts.size());
    for (StreamAppend& part : parts) {
      events.emplace_back(part.events.begin(), part.events.end());
      for (NewEvent& each : events.back()) Change{}(each);
      part.events = events.back();
    }
    return Plain::append(parts);
  }
};
struct Milliseconds {
  void operator()(NewEvent& event) const { event.time = std::chrono::floor<std::chrono::milliseconds>(event.time); }
};
struct TextAlone {
  void operator()(NewEvent& event) const { event.payload = event.payload.substr(0, event.payload.find('\0')); }
};
struct NoMetadata {
  void operator()(NewEvent& event) const { event.metadata = {}; }
};
struct OneTag {
  void operator()(NewEvent& event) const { event.tags = event.tags.first(event.tags.empty() ? 0 : 1); }
};
struct AnyPayload {
  void operator()(NewEvent& event) const { event.payload = {}; }
};

struct PartByPart : Plain {
  Result<Appended> append(Parts batch) override {
    if (batch.empty()) return Appended{};
    Result<Appended> all = Plain::append(batch.first(1));
    for (std::size_t i = 1; i < batch.size() && all; ++i) {
      Result<Appended> one = Plain::append(batch.subspan(i, 1));
      if (!one) return one;
      for (const Placed& each : one->events) all->events.push_back(each);
    }
    return all;
  }
};
struct ForgetsResends : Plain {
  Result<Appended> append(Parts batch) override {
    Result<Appended> answer = Plain::append(batch);
    if (answer) answer->state = Appended::State::appended;
    return answer;
  }
};
struct ResendsMustFit : Plain {
  Result<Appended> append(Parts batch) override {
    for (const StreamAppend& each : batch) {
      EventPage page;
      const StreamState state = read_stream(each.stream, {.limit = 0}, page)->stream;
      if (!event_store::is_as_expected(state, each.expected)) return Error::make(Errc::conflict, "append");
    }
    return Plain::append(batch);
  }
};
struct StoresThePartThatIsNew : Plain {
  Result<Appended> append(Parts batch) override {
    Result<Appended> answer = Plain::append(batch);
    if (answer || answer.error().code != Errc::id_reused) return answer;
    Appended all;
    for (const StreamAppend& part : batch) {
      for (const NewEvent& each : part.events) {
        const StreamAppend one{part.stream, {}, {&each, 1}};
        if (Result<Appended> stored = Plain::append({&one, 1})) all.events.push_back(stored->events[0]);
      }
    }
    return all;
  }
};
struct NoneRefusesDeleted : Plain {
  Result<Appended> append(Parts batch) override {
    for (const StreamAppend& each : batch) {
      EventPage page;
      const bool deleted = read_stream(each.stream, {}, page)->stream.kind == StreamState::Kind::deleted;
      if (deleted && each.expected.kind == ExpectedVersion::Kind::none) return Error::make(Errc::conflict, "append");
    }
    return Plain::append(batch);
  }
};

/// A memory store whose reads of many streams show only what `shows` lets through.
template <class Shows>
struct Reads : Plain {
  Shows shows;
  Result<StoreRead> read_category(std::string_view name, const EventQuery& query, const ReadRange& range,
                                  EventPage& page) override {
    return show(Plain::read_category(name, query, range, page), page);
  }
  Result<StoreRead> read_all(const EventQuery& query, const ReadRange& range, EventPage& page) override {
    return show(Plain::read_all(query, range, page), page);
  }
  Result<StoreRead> show(Result<StoreRead> read, EventPage& page) {
    EventPage all = std::move(page);
    page = {};
    for (const StoredEvent& each : all) {
      if (shows(each)) page.add(each);
    }
    return read;
  }
};
/// What every store does that numbers events before it commits them: a reader comes by in between.
struct LateCommit {
  std::set<std::uint64_t> committed;
  bool operator()(const StoredEvent& event) {
    return event.position < 60 || event.position % 7 != 0 || !committed.insert(event.position).second;
  }
};
struct EachOnce {
  std::set<std::uint64_t> shown;
  bool operator()(const StoredEvent& event) { return shown.insert(event.position).second; }
};

struct FiltersPages : Plain {
  Result<StoreRead> read_category(std::string_view name, const EventQuery& query, const ReadRange& range,
                                  EventPage& page) override {
    EventPage all;
    Result<StoreRead> read = Plain::read_category(name, {}, range, all);
    page.clear();
    for (const StoredEvent& each : all) {
      if (matches(query, each.type, each.tags)) page.add(each);
    }
    if (all.size() == range.limit) read->end = true;  // "fewer than asked for: that was the last page"
    return read;
  }
};
struct StaysAtTheLastMatch : Plain {
  Result<StoreRead> read_all(const EventQuery& query, const ReadRange& range, EventPage& page) override {
    Result<StoreRead> read = Plain::read_all(query, range, page);
    if (read->end) read->next = page.empty() ? range.from.value_or(1) : page.back().position + 1;
    return read;
  }
};
struct CategoryByPrefix : Plain {
  Result<StoreRead> read_category(std::string_view name, const EventQuery& query, const ReadRange& range,
                                  EventPage& page) override {
    EventPage all;
    Result<StoreRead> read = read_all(query, range, all);
    page.clear();
    for (const StoredEvent& each : all) {
      if (each.stream.starts_with(name)) page.add(each);
    }
    return read;
  }
};
struct ForwardsOnly : Plain {
  Result<StreamRead> read_stream(std::string_view name, const ReadRange& asked, EventPage& page) override {
    ReadRange range = asked;
    range.direction = Direction::forwards;
    return Plain::read_stream(name, range, page);
  }
};
struct NoMaxBytes : Plain {
  Result<StreamRead> read_stream(std::string_view name, const ReadRange& asked, EventPage& page) override {
    ReadRange range = asked;
    range.max_bytes = SIZE_MAX;
    return Plain::read_stream(name, range, page);
  }
};
struct AlwaysSomething : Plain {
  bool wait_beyond(std::uint64_t, Instant) override { return true; }
};
struct NeverAnything : Plain {
  bool wait_beyond(std::uint64_t, Instant) override { return false; }
};
struct ForgetsErasedIds : Plain {
  Result<std::optional<Placed>> locate(std::string_view id) override {
    EventPage page;
    (void)read_all({}, {}, page);
    for (const StoredEvent& each : page) {
      if (each.id == id) return std::optional{Placed{each.version, each.position}};
    }
    return std::optional<Placed>{};
  }
};
struct ReusesPositions : Plain {
  std::uint64_t given_up = 0;
  Result<> tombstone(std::string_view stream, ExpectedVersion expected) override {
    ++given_up;
    return Plain::tombstone(stream, expected);
  }
  Result<std::optional<Placed>> locate(std::string_view id) override {
    Result<std::optional<Placed>> placed = Plain::locate(id);
    if (*placed) (*placed)->position -= given_up;
    return placed;
  }
};
struct TombstonesSoftly : Plain {
  Result<> tombstone(std::string_view stream, ExpectedVersion expected) override { return soft_delete(stream, expected); }
};
struct DeletesAnyVersion : Plain {
  Result<> soft_delete(std::string_view stream, ExpectedVersion) override { return Plain::soft_delete(stream, {}); }
};
struct DeletesForEver : Plain {
  Result<> soft_delete(std::string_view stream, ExpectedVersion expected) override { return tombstone(stream, expected); }
};
struct TruncatesNothing : Plain {
  Result<> truncate(std::string_view, std::uint64_t) override { return {}; }
};
struct TruncatesOneMore : Plain {
  Result<> truncate(std::string_view stream, std::uint64_t before) override {
    return Plain::truncate(stream, before == UINT64_MAX ? before : before + 1);
  }
};
struct LastSnapshotWins : Plain {
  Result<bool> save_snapshot(std::string_view stream, std::string_view schema, const Snapshot& snapshot) override {
    (void)drop_snapshot(stream, schema);
    return Plain::save_snapshot(stream, schema, snapshot);
  }
};
struct AnySchema : Plain {
  Result<bool> save_snapshot(std::string_view stream, std::string_view, const Snapshot& snapshot) override {
    return Plain::save_snapshot(stream, "", snapshot);
  }
  Result<std::optional<Snapshot>> load_snapshot(std::string_view stream, std::string_view) override {
    return Plain::load_snapshot(stream, "");
  }
};
struct SnapshotsForEver : Plain {
  std::map<std::string, Snapshot> kept;
  Result<bool> save_snapshot(std::string_view stream, std::string_view schema, const Snapshot& snapshot) override {
    const Result<bool> saved = Plain::save_snapshot(stream, schema, snapshot);
    if (*saved) kept[std::string{stream} + "/" + std::string{schema}] = snapshot;
    return saved;
  }
  Result<std::optional<Snapshot>> load_snapshot(std::string_view stream, std::string_view schema) override {
    const auto found = kept.find(std::string{stream} + "/" + std::string{schema});
    return found == kept.end() ? std::nullopt : std::optional{found->second};
  }
};
struct NoConditions : Plain {
  Result<Appended> append_if(Parts batch, const AppendCondition&) override { return append(batch); }
};
struct ConditionsOnEverything : Plain {
  Result<Appended> append_if(Parts batch, const AppendCondition& given) override {
    AppendCondition condition = given;
    condition.after = 0;
    return Plain::append_if(batch, condition);
  }
};
struct ConditionsOnOneTag : Plain {
  Result<Appended> append_if(Parts batch, const AppendCondition& given) override {
    AppendCondition condition = given;
    for (EventFilter& each : condition.none_match.any_of) each.tags.resize(each.tags.empty() ? 0 : 1);
    return Plain::append_if(batch, condition);
  }
};

struct LastCheckpointWins : Plain {
  Result<> save_checkpoint(std::string_view follower, const Checkpoint&, const Checkpoint& next) override {
    return Plain::save_checkpoint(follower, store.load_checkpoint(follower).value(), next);
  }
};
struct OneCheckpoint : Plain {
  Result<> save_checkpoint(std::string_view, const Checkpoint& previous, const Checkpoint& next) override {
    return Plain::save_checkpoint("", previous, next);
  }
  Result<Checkpoint> load_checkpoint(std::string_view) override { return Plain::load_checkpoint(""); }
};
struct CheckpointsOfPositions : Plain {
  Result<> save_checkpoint(std::string_view follower, const Checkpoint& previous, const Checkpoint& next) override {
    Result<> saved = Plain::save_checkpoint(follower, previous, next);
    return saved || saved.error().code == Errc::conflict ? saved : Result<>{};
  }
};

/// A store that can be opened twice on the same data: by way of a memory store that outlives it.
struct Opened {
  static constexpr EventStoreCapabilities capabilities{.name = "opened", .durable = true, .shared = true};
  std::shared_ptr<MemoryEventStore> data;

  Result<Appended> append(Parts batch) { return data->append(batch); }
  Result<StreamRead> read_stream(std::string_view name, const ReadRange& range, EventPage& page) {
    return data->read_stream(name, range, page);
  }
  Result<StoreRead> read_category(std::string_view name, const EventQuery& query, const ReadRange& range,
                                  EventPage& page) {
    return data->read_category(name, query, range, page);
  }
  Result<StoreRead> read_all(const EventQuery& query, const ReadRange& range, EventPage& page) {
    return data->read_all(query, range, page);
  }
  Result<std::optional<Placed>> locate(std::string_view id) { return data->locate(id); }
  Result<> truncate(std::string_view stream, std::uint64_t before) { return data->truncate(stream, before); }
  Result<> soft_delete(std::string_view stream, ExpectedVersion expected) {
    return data->soft_delete(stream, expected);
  }
  Result<> tombstone(std::string_view stream, ExpectedVersion expected) { return data->tombstone(stream, expected); }
  bool wait_beyond(std::uint64_t position, Instant until) { return data->wait_beyond(position, until); }
};
static_assert(EventStore<Opened> && !ConditionalEventStore<Opened> && !SnapshotStore<Opened>);

/// What the suite says of stores that are opened twice, where `again` makes the second of the first's data.
template <class OpenAgain>
std::string verdict_of_opened(OpenAgain&& open_again) {
  std::shared_ptr<MemoryEventStore> last;
  EventStoreSuite suite{[&last] {
                          last = std::make_shared<MemoryEventStore>();
                          return std::make_unique<Opened>(Opened{last});
                        },
                        [&] { return std::make_unique<Opened>(Opened{open_again(last)}); }};
  std::string words;
  for (const std::string& each : suite.run(20, 5)) words += each + "\n";
  return words;
}

}  // namespace

TEST_CASE("the suite finds stores whose checkpoints are not what they should be") {
  CHECK(complains<LastCheckpointWins>("E8"));
  CHECK(complains<LastCheckpointWins>("E10"));
  CHECK(complains<OneCheckpoint>("E8"));
  CHECK(complains<CheckpointsOfPositions>("E9"));
}

TEST_CASE("the suite finds stores that expect something else than they are told") {
  CHECK(complains<Appends<NoneIsAny>>("A1"));
  CHECK(complains<Appends<ExistsIsAny>>("A2"));
  CHECK(complains<Appends<ExactIsAny>>("A3"));
  CHECK(complains<Appends<VersionsOf32Bits>>("A6"));
  CHECK(complains<PartByPart>("A9"));
  CHECK(complains<Appends<LooksAtNothing>>("A10"));
}

TEST_CASE("the suite finds stores that take a resend for something else") {
  CHECK(complains<ForgetsResends>("B1"));
  CHECK(complains<ResendsMustFit>("B4"));
  CHECK(complains<StoresThePartThatIsNew>("B9"));
  CHECK(complains<Stores<AnyPayload>>("B10"));
  CHECK(complains<ForgetsErasedIds>("B13"));
}

TEST_CASE("the suite finds stores that read something else than was stored") {
  CHECK(complains<ForwardsOnly>("C4"));
  CHECK(complains<NoMaxBytes>("C5"));
  CHECK(complains<Stores<TextAlone>>("C7"));
  CHECK(complains<Stores<NoMetadata>>("C8"));
  CHECK(complains<Stores<OneTag>>("C9"));
  CHECK(complains<Stores<Milliseconds>>("C13"));
  CHECK(complains<CategoryByPrefix>("C10"));
  CHECK(complains<FiltersPages>("C12"));
}

TEST_CASE("the suite finds stores that a follower cannot follow") {
  CHECK(complains<Reads<LateCommit>>("D3"));
  CHECK(complains<Reads<EachOnce>>("E1"));
  CHECK(complains<StaysAtTheLastMatch>("E4"));
  CHECK(complains<AlwaysSomething>("E5"));
  CHECK(complains<NeverAnything>("E5"));
  CHECK(complains<ReusesPositions>("I"));
}

TEST_CASE("the suite finds stores that erase too much or too little") {
  CHECK(complains<DeletesAnyVersion>("G1"));
  CHECK(complains<NoneRefusesDeleted>("G2"));
  CHECK(complains<DeletesForEver>("G2"));
  CHECK(complains<TombstonesSoftly>("G3"));
  CHECK(complains<TruncatesNothing>("G5"));
  CHECK(complains<TruncatesOneMore>("G5"));
}

TEST_CASE("the suite finds stores whose snapshots are of something else") {
  CHECK(complains<LastSnapshotWins>("F3"));
  CHECK(complains<AnySchema>("F5"));
  CHECK(complains<SnapshotsForEver>("F6"));
  CHECK(complains<SnapshotsForEver>("F7"));
}

TEST_CASE("the suite finds stores that append whatever the condition") {
  CHECK(complains<NoConditions>("DCB"));
  CHECK(complains<ConditionsOnEverything>("DCB"));
  CHECK(complains<ConditionsOnOneTag>("DCB"));
}

TEST_CASE("random lives alone find stores that differ from the model") {
  const auto differs = [](std::unique_ptr<Plain> (*make_store)()) {
    std::function<std::unique_ptr<Plain>()> never;
    event_store::SuiteRun run{make_store, never, 1};
    for (std::uint64_t seed = 1; seed <= 50; ++seed) event_store::try_life(run, seed);
    return !std::move(run).violations().empty();
  };
  CHECK_FALSE(differs(&make<Plain>));
  CHECK(differs(&make<Appends<NoneIsAny>>));
  CHECK(differs(&make<Appends<ExistsIsAny>>));
  CHECK(differs(&make<StoresThePartThatIsNew>));
  CHECK(differs(&make<NoneRefusesDeleted>));
  CHECK(differs(&make<TombstonesSoftly>));
  CHECK(differs(&make<TruncatesOneMore>));
}

TEST_CASE("stores that can be opened twice have to share what they hold, and to keep it") {
  CHECK(verdict_of_opened([](const std::shared_ptr<MemoryEventStore>& data) { return data; }) == "");
  const std::string forgetful =
      verdict_of_opened([](const std::shared_ptr<MemoryEventStore>&) { return std::make_shared<MemoryEventStore>(); });
  CHECK(forgetful.find("D5") != std::string::npos);
  CHECK(forgetful.find("D6") != std::string::npos);
}
