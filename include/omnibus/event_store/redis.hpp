// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include <omnibus/backend.hpp>
#include <omnibus/clock.hpp>
#include <omnibus/detail/smaller.hpp>
#include <omnibus/detail/uuid.hpp>
#include <omnibus/event_store/checkpoint.hpp>
#include <omnibus/event_store/decide.hpp>
#include <omnibus/event_store/redis/answers.hpp>
#include <omnibus/event_store/redis/question.hpp>
#include <omnibus/event_store/redis/record.hpp>
#include <omnibus/event_store/redis/session.hpp>
#include <omnibus/event_store/store.hpp>

// Events on a Redis server, for the processes of many machines.

namespace omnibus {

/// Where a RedisEventStore keeps its events.
struct RedisEventStoreOptions {
  /// redis://user:password@host:port/database, rediss:// for TLS, or unix://user:password@/path?db=database,
  /// percent-encoded; several servers with commas between, of which the first that answers is used.
  std::string endpoint = "redis://localhost:6379";
  /// For rediss://: what redis_tls() of <omnibus/backends/redis_tls.hpp> returns.
  std::shared_ptr<const redis::Security> tls = {};
  /// Of the names of its keys there, in braces: a store is one slot of a cluster and has one order. Name one for
  /// each category, or for what is decided together, to spread load.
  std::string prefix = "omnibus:events";
  bool create = true;  ///< false: where there is no such store, every call is an error (not_found)
  Duration timeout = std::chrono::seconds{5};           ///< of connecting, and of an answer
  Duration look_every = std::chrono::milliseconds{10};  ///< how soon a follower sees another process's appends
  event_store::Limits limits{};
  const Clock* clock = nullptr;                         ///< nullptr: the machine's
};

/// An EventStore on a Redis server of version 7 or later; older ones were not tried. Each operation is a question to a
/// script; those of callers that come while others wait for the server share the next run of it, the round trip, and
/// with appendfsync always the flush of the disk. Replicas are not used, since they may be behind.
/// Scripts run one after the other, so that positions have no gaps and none becomes visible late.
/// Durability: the server's; `health` says what a crash of it would cost. What it forgets all the same is noticed: a
/// store object remembers which history it has seen, and the last event of it, and the server must still have both;
/// each call says so otherwise, with position_lost, for the rest of the object's life. Each history is made with a
/// name of its own; `.create = false` keeps an emptied server from becoming a new one. Keys that were dropped or
/// written by somebody else are noticed by numbers of entries: topology_mismatch.
/// Thread safety: shared objects are safe, and so are several processes. Blocks: until the server has answered, for
/// twice the timeout at most, and as long again behind others.
/// Errors of every call, beside those of EventStore: access_denied; rejected, when its memory is full or it is a
/// replica; unsupported; position_lost; topology_mismatch; not_found, with `.create = false`. Nothing is stored then.
/// Complexity: conditions and reads by tags cost what their rarest tag is on; those by types alone look at
/// everything, or at the category. An erasure is one script: the server serves nobody else until all events are gone,
/// some microseconds each; truncate a long stream in steps before it is deleted. Ids are kept in its memory for ever.
class RedisEventStore {
 public:
  static constexpr EventStoreCapabilities capabilities{
      .name = "redis", .durable = true, .shared = true, .conditions = true, .snapshots = true, .checkpoints = true};

  /// Connects to nothing yet. Throws std::invalid_argument.
  explicit RedisEventStore(RedisEventStoreOptions options = {})
      : options_{std::move(options)},
        clock_{options_.clock != nullptr ? options_.clock : &machine_},
        session_{{"RedisEventStore", options_.endpoint, options_.tls, options_.timeout},
                 {"{" + options_.prefix + "}", options_.create ? new_history() : std::string{}}} {
    const auto require = [](bool good, const char* what) {
      if (!good) throw std::invalid_argument{std::string{"omnibus: RedisEventStore: "} + what};
    };
    require(!options_.prefix.empty() && options_.prefix.find_first_of("{}") == std::string::npos,
            "prefix must not be empty, and have no braces");
    require(options_.look_every > Duration::zero(), "look_every must be positive");
    const event_store::Limits& limits = options_.limits;
    require(limits.event.payload <= largest / 2 && limits.event.headers_total <= largest / 8 &&
                limits.event.key <= largest / 1024 && limits.tags <= 128,
            "limits must leave room in a value: at most 16 MiB of payload, 4 MiB of headers, and 128 tags of 32 KiB");
  }
  RedisEventStore(const RedisEventStore&) = delete;
  RedisEventStore& operator=(const RedisEventStore&) = delete;

  Result<Appended> append(std::span<const StreamAppend> batch) { return append(batch, nullptr); }
  Result<Appended> append_if(std::span<const StreamAppend> batch, const AppendCondition& condition) {
    return append(batch, &condition);
  }

  Result<StreamRead> read_stream(std::string_view name, const ReadRange& range, EventPage& page) {
    Question question{'v'};
    question.add(name).add(range);
    event_store::redis::PageParts parts{page};
    if (Result<> read = fill(question, parts, name, page); !read) return std::move(read.error());
    const std::optional<StreamState> state = event_store::redis::read_state(parts.text);
    if (!state) return event_store::redis::damaged(name);
    return event_store::redis::read_so_far(*state, range, page.size());
  }
  Result<StoreRead> read_category(std::string_view category, const EventQuery& query, const ReadRange& range,
                                  EventPage& page) {
    return read(&category, query, range, page);
  }
  Result<StoreRead> read_all(const EventQuery& query, const ReadRange& range, EventPage& page) {
    return read(nullptr, query, range, page);
  }

  Result<std::optional<Placed>> locate(std::string_view id) {
    const Result<Values> got = get('i', Repeat::read, id);
    if (!got) return got.error();
    if (got->text(0).empty()) return std::optional<Placed>{};
    const auto known = event_store::redis::view_known(got->text(0));
    if (!known) return event_store::redis::damaged(id);
    return std::optional{known->placed};
  }

  Result<> truncate(std::string_view stream, std::uint64_t before) {
    return become(stream, [&](const StreamState& state) {
      return event_store::decide_truncate(stream, state, before);
    });
  }
  Result<> soft_delete(std::string_view stream, ExpectedVersion expected) {
    return erase(stream, expected, StreamState::Kind::deleted);
  }
  Result<> tombstone(std::string_view stream, ExpectedVersion expected) {
    if (Result<> checked = event_store::check_stream_name(stream, options_.limits); !checked) return checked;
    return erase(stream, expected, StreamState::Kind::tombstoned);
  }

  /// Sees what this store appends at once, and what others append within `look_every`. While the server cannot be
  /// read, nothing is seen; one that has lost events counts as something, so that who follows reads, and hears of it.
  bool wait_beyond(std::uint64_t position, Instant until) {
    while (session_.head() <= position) {
      const Result<> looked = session_.ask(Question{'h'}, Repeat::read, [](std::size_t, const auto&) {});
      if (!looked && looked.error().code == Errc::position_lost) return true;
      const Instant now = std::chrono::steady_clock::now();
      if (session_.head() > position || now >= until) break;
      session_.wait_beyond(position, detail::smaller(until, after(now, options_.look_every)));
    }
    return session_.head() > position;
  }

  Result<bool> save_snapshot(std::string_view stream, std::string_view schema, const Snapshot& snapshot) {
    if (snapshot.state.size() > largest) {
      return Error::make(Errc::too_large, "save snapshot", "it is larger than 32 MiB");
    }
    const Result<Values> got = get('k', Repeat::again, stream, schema, snapshot.version, snapshot.state);
    if (!got) return got.error();
    return got->number(0) == 1;
  }
  Result<std::optional<Snapshot>> load_snapshot(std::string_view stream, std::string_view schema) {
    const Result<Values> got = get('l', Repeat::read, stream, schema);
    if (!got) return got.error();
    if (got->text(1).empty()) return std::optional<Snapshot>{};
    const auto state = event_store::redis::read_state(got->text(0));
    auto kept = event_store::redis::read_snapshot(got->text(1));
    if (!state || !kept) return event_store::redis::damaged(stream);
    if (!event_store::is_usable_snapshot(*state, kept->version)) kept.reset();
    return kept;
  }
  Result<> drop_snapshot(std::string_view stream, std::string_view schema) {
    const Result<Values> got = get('d', Repeat::again, stream, schema);
    return got ? Result<>{} : got.error();
  }

  Result<Checkpoint> load_checkpoint(std::string_view follower) {
    const Result<Values> got = get('f', Repeat::read, follower);
    if (!got) return got.error();
    auto kept = event_store::redis::read_checkpoint(got->text(0));
    if (!kept) return event_store::redis::damaged(follower);
    return std::move(*kept);
  }
  Result<> save_checkpoint(std::string_view follower, const Checkpoint& previous, const Checkpoint& next) {
    const Result<Values> got =
        get('m', Repeat::never, follower, event_store::redis::checkpoint_text(previous),
            event_store::redis::checkpoint_text(next), next.position, next.event);
    if (!got) return got.error();
    if (got->number(0) == 1) return {};
    const auto kept = event_store::redis::read_checkpoint(got->text(1));
    const auto known = event_store::redis::view_known(got->text(2));
    if (!kept || (!known && !got->text(2).empty())) return event_store::redis::damaged(follower);
    Result<> decided = event_store::decide_save(follower, *kept, previous, next,
                                                known ? std::optional{known->placed} : std::nullopt);
    if (!decided) return decided;
    return Error::make(Errc::internal, "save checkpoint", "the server refuses what nothing is against");
  }

  /// The name of the history that the server has, which is another one when the store was made anew: for who keeps
  /// positions elsewhere. Empty: nothing was ever stored.
  Result<std::string> history() {
    Result<> looked = session_.ask(Question{'h'}, Repeat::read, [](std::size_t, const auto&) {});
    if (!looked) return std::move(looked.error());
    return session_.history();
  }

  /// What went wrong last, or what the server's word is worth.
  Health health() const { return session_.health(); }

 private:
  using Question = event_store::redis::Question;
  using Repeat = event_store::redis::Repeat;
  using Values = event_store::redis::Values;

  static constexpr std::size_t largest = std::size_t{32} << 20;
  static constexpr std::size_t largest_batch = std::size_t{256} << 20;

  static std::string new_history() {
    const detail::UuidText made = detail::UuidGenerator{}.next(std::chrono::system_clock::now());
    return {made.data(), made.size()};
  }

  template <class... Arguments>
  Result<Values> get(char operation, Repeat repeat, const Arguments&... arguments) {
    Question question{operation};
    (question.add(arguments), ...);
    Values got;
    Result<> asked = session_.ask(question, repeat, [&](std::size_t index, const auto& part) { got(index, part); });
    if (!asked) return std::move(asked.error());
    return got;
  }

  // ── writing ────────────────────────────────────────────────────────────────────────────────────

  Result<Appended> append(std::span<const StreamAppend> batch, const AppendCondition* condition) {
    if (Result<> checked = event_store::check_batch(batch, options_.limits); !checked) {
      return std::move(checked.error());
    }
    const auto nobody = [](std::string_view) { return std::optional<event_store::KnownEvent>{}; };
    if (auto twice = event_store::judge_ids(batch, nobody); !twice) return std::move(twice.error());
    const Question question = question_of(batch, condition);
    if (question.arguments().size() > largest_batch) {
      return event_store::refused(Errc::too_large, "the batch has more than 256 MiB");
    }
    Values answer;
    Result<> asked =
        session_.ask(question, Repeat::again, [&](std::size_t index, const auto& part) { answer(index, part); });
    if (!asked) return std::move(asked.error());
    return event_store::redis::read_appended(answer, batch, condition);
  }

  Question question_of(std::span<const StreamAppend> batch, const AppendCondition* condition) const {
    Question question{'a'};
    question.add(batch.size());
    for (const StreamAppend& part : batch) question.add(part.stream).add(part.expected).add(part.events.size());
    if (condition != nullptr) {
      question.add("1").add(condition->after).add(condition->none_match);
    } else {
      question.add("0");
    }
    const Time now = clock_->wall();
    const auto each = [&](auto add) {
      for (const StreamAppend& part : batch) {
        for (const NewEvent& event : part.events) add(part.stream, event);
      }
    };
    each([&](std::string_view, const NewEvent& event) { question.add(event.id); });
    each([&](std::string_view, const NewEvent& event) {
      const detail::Hash128 fingerprint = event_store::fingerprint(event);
      question.add(event_store::redis::bytes_of(fingerprint));
    });
    std::string bytes;
    each([&](std::string_view stream, const NewEvent& event) {
      bytes.clear();
      event_store::redis::append_event(bytes, stream, event, event.time == Time{} ? now : event.time);
      question.add(bytes);
    });
    return question;
  }

  Result<> erase(std::string_view stream, ExpectedVersion expected, StreamState::Kind to) {
    return become(stream, [&](const StreamState& state) {
      return event_store::decide_delete(stream, state, expected, to);
    });
  }

  /// Puts a stream into the state that is decided, if it is still the one that was decided on; else decides again.
  template <class Decide>
  Result<> become(std::string_view stream, Decide decide) {
    while (true) {
      const Result<Values> found = get('s', Repeat::read, stream);
      if (!found) return found.error();
      const auto state = event_store::redis::read_state(found->text(0));
      if (!state) return event_store::redis::damaged(stream);
      Result<std::optional<StreamState>> decided = decide(*state);
      if (!decided) return std::move(decided.error());
      if (!*decided) return {};
      const Result<Values> done =
          get('b', Repeat::never, stream, found->text(0), event_store::redis::state_text(**decided));
      if (!done) return done.error();
      if (done->number(0) == 1) return {};
    }
  }

  // ── reading ────────────────────────────────────────────────────────────────────────────────────

  Result<StoreRead> read(const std::string_view* category, const EventQuery& query, const ReadRange& range,
                         EventPage& page) {
    Question question{'p'};
    question.add(category != nullptr ? "1" : "0").add(category != nullptr ? *category : std::string_view{});
    question.add(range).add(query);
    event_store::redis::PageParts parts{page};
    std::uint64_t head = 0;
    if (Result<> filled = fill(question, parts, "events", page, &head); !filled) return std::move(filled.error());
    return event_store::redis::read_so_far(head, range, parts.number);
  }

  Result<> fill(const Question& question, event_store::redis::PageParts& parts, std::string_view what,
                EventPage& page, std::uint64_t* head = nullptr) {
    page.clear();
    Result<> asked = session_.ask(
        question, Repeat::read, [&](std::size_t index, const auto& part) { parts(index, part); }, head);
    if (asked && !parts.whole()) asked = event_store::redis::damaged(what);
    if (!asked) page.clear();
    return asked;
  }

  const RedisEventStoreOptions options_;
  SystemClock machine_;
  const Clock* clock_;
  event_store::redis::Session session_;
};

static_assert(ConditionalEventStore<RedisEventStore> && SnapshotStore<RedisEventStore> &&
              CheckpointStore<RedisEventStore>);

}  // namespace omnibus
