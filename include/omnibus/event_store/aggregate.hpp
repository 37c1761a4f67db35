// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <omnibus/codec.hpp>
#include <omnibus/detail/uuid.hpp>
#include <omnibus/event_store/aggregate_check.hpp>
#include <omnibus/event_store/store.hpp>
#include <omnibus/event_store/typed.hpp>
#include <omnibus/event_store/upcast.hpp>
#include <omnibus/handler.hpp>
#include <omnibus/result.hpp>
#include <omnibus/time.hpp>

// Things that are what happened to them: an order is the events of its stream. Two plain functions of yours
// say all: `evolve` what an event does to the state, and a decision what happens next, or why nothing may.

namespace omnibus {

/// How an Aggregate reads and writes.
struct AggregateOptions {
  std::uint32_t attempts = 10;          ///< of a command, when others append to the stream meanwhile
  UnknownType unknown = UnknownType::fail;
  Upcasts upcasts{};
  std::uint64_t snapshot_every = 100;   ///< events that are read; 0: no snapshots
  std::size_t page = 1000;              ///< events that are read together
};

/// What is known of a command beside its decision. Lifetime: of what it views, for the length of the call.
struct CommandOptions {
  /// Names the command, so that it is done once however often it is sent. Its first event has this id, and
  /// those that follow `<id>#2`, `<id>#3`.
  std::string_view id{};
  Time time{};              ///< when it happened; left out: the store's time of the append
  HeadersView metadata{};   ///< of all its events
  std::span<const std::string_view> tags{};
};

/// The moment whose state is wanted. Both left out: now.
struct AsOf {
  std::optional<std::uint64_t> version{};  ///< with this event, and none behind it
  std::optional<Time> time{};              ///< with what stands before the first event that is later
};

/// A state, and where it is from.
template <class State>
struct Loaded {
  State state;
  std::uint64_t version = 0;  ///< of the last event that is in it; 0: there was none yet
  std::uint64_t read = 0;     ///< events that were read for it; others came with a snapshot
};

/// How a command ended well.
template <class State>
struct Executed {
  State state;
  std::uint64_t version = 0;  ///< of the stream with this state
  Appended appended{};        ///< where its events stand; `already_appended`, when it was done before
};

/// Streams of one kind, each with a state that its events make: loads, decides, appends, and decides again
/// when another one was first.
///
///     struct Account {
///       using Events = ob::EventTypes<Deposited, Withdrawn>;
///       int balance = 0;
///     };
///     void evolve(Account& account, const Deposited& event) { account.balance += event.amount; }
///     void evolve(Account& account, const Withdrawn& event) { account.balance -= event.amount; }
///
///     ob::Aggregate accounts{store, Account{}};
///     accounts.execute("account-17", [](const Account&) { return Deposited{50}; }, {.id = "c-1"}).value();
///
/// A StoredEvent in the list is given what no other one takes. A state with a codec has snapshots, where the
/// store keeps them, under the codec's `type`: give it another one when the state, or what makes it, has
/// changed. What cannot be read of a snapshot is made from the events.
/// Thread safety: shared objects are safe, as far as `evolve` and the decisions are. Blocking: as long as the
/// store.
/// Lifetime: the store must outlive it.
template <EventStore S, class State>
class Aggregate {
  static constexpr detail::StateFlaw flaw = detail::flaw_of_state<State>();
  static_assert(flaw != detail::StateFlaw::no_list,
                "omnibus: the state does not say what its events are. Write using Events = "
                "omnibus::EventTypes<Placed, Paid>; in it");
  static_assert(flaw != detail::StateFlaw::no_codec,
                "omnibus: an event of the aggregate has no codec. Write template <> struct omnibus::Codec<Event> "
                "with type, encode and decode");
  static_assert(flaw != detail::StateFlaw::no_type,
                "omnibus: the codec of an event of the aggregate has no type. Write static constexpr "
                "std::string_view type = \"order.placed\"; in it");
  static_assert(flaw != detail::StateFlaw::no_evolve,
                "omnibus: an event of the aggregate has no evolve. Write void evolve(State& state, const Event& "
                "event) beside the state");
  static_assert(flaw != detail::StateFlaw::no_snapshot_type,
                "omnibus: the codec of the state has no type, by which its snapshots are found. Write static "
                "constexpr std::string_view type = \"order.v1\"; in it");

 public:
  /// Streams in this store; `initial` is what is there before the first event. Throws std::invalid_argument.
  explicit Aggregate(S& store, State initial = {}, AggregateOptions options = {})
      : store_{store}, initial_{std::move(initial)}, options_{std::move(options)} {
    if (options_.attempts == 0) throw std::invalid_argument{"omnibus: Aggregate: attempts must be positive"};
    if (options_.page == 0) throw std::invalid_argument{"omnibus: Aggregate: page must be positive"};
  }

  /// The state of a stream; that of one that is not there, or was deleted, is the initial one. Errors:
  /// unknown_type, decode_failed, those of `evolve` and of upcasts, each with the event; position_lost, when
  /// events that it would be made of were erased; stream_deleted, when it was given up for ever; those of the
  /// store.
  Result<Loaded<State>> load(std::string_view stream, const AsOf& as_of = {}) const {
    for (;;) {
      Result<std::optional<Loaded<State>>> loaded = try_load(stream, as_of);
      if (!loaded) return std::move(loaded.error());
      if (*loaded) return std::move(**loaded);
    }
  }

  /// Has what `decide(const State&)` returns happen to a stream: an event, several in a std::vector,
  /// std::tuple, std::variant or std::optional, or a Result of these. All of it is stored, or none. When
  /// others appended meanwhile, it decides again on what is there then, at once and up to `attempts` times. A
  /// command with an id that was done before is not decided again: the answer has the state of now. One that
  /// was decided to have no events leaves no trace, and is decided again.
  /// Errors: the decision's, as they are; conflict, when others were always first, and outcome_unknown: both
  /// are retryable, with the same id; id_reused, when the id is another command's, in another stream;
  /// encode_failed; those of `load` and of the store.
  template <class Decide>
  Result<Executed<State>> execute(std::string_view stream, Decide&& decide,
                                  const CommandOptions& command = {}) const {
    if constexpr (flaw != detail::StateFlaw::none) {
      return Error{};
    } else {
      constexpr detail::DecideFlaw wrong = detail::flaw_of_decide<State, Decide>();
      static_assert(wrong != detail::DecideFlaw::takes,
                    "omnibus: this is no decision. Write a callable that takes the state: (const State&)");
      static_assert(wrong != detail::DecideFlaw::returns,
                    "omnibus: a decision returns what happens. Return an event that State::Events lists, or a "
                    "std::vector, std::tuple, std::variant, std::optional or Result of them");
      if constexpr (wrong == detail::DecideFlaw::none) {
        return execute_checked(stream, decide, command);
      } else {
        return Error{};
      }
    }
  }

 private:
  static constexpr bool has_snapshots = SnapshotStore<S> && detail::HasCodec<State>;

  struct Encoded {
    std::string id;
    std::string_view type;
    std::string payload;
  };

  // ── loading ────────────────────────────────────────────────────────────────────────────────────

  /// None: events that it rests on were erased meanwhile.
  Result<std::optional<Loaded<State>>> try_load(std::string_view stream, const AsOf& as_of) const {
    Loaded<State> loaded{initial_};
    bool begun = take_snapshot(stream, as_of, loaded);
    EventPage page;
    for (;;) {
      const ReadRange range{.from = loaded.version + 1, .limit = options_.page};
      const Result<StreamRead> read = store_.read_stream(stream, range, page);
      if (!read) return read.error();
      const StreamState& now = read->stream;
      if (now.kind == StreamState::Kind::tombstoned) {
        return Error::make(Errc::stream_deleted, "load " + std::string{stream}, "it was given up for ever");
      }
      const bool is_erased = now.deleted_until > loaded.version || now.first > loaded.version + 1;
      if (is_erased && begun) return std::optional<Loaded<State>>{};
      if (!begun) loaded.version = now.deleted_until;
      if (now.first > loaded.version + 1 || (as_of.version && *as_of.version < loaded.version)) {
        return lost(stream, now);
      }
      begun = true;
      for (const StoredEvent& event : page) {
        if (is_behind(event, as_of)) return stand(stream, as_of, now, std::move(loaded));
        if (Result<> evolved = evolve_by(loaded.state, event); !evolved) {
          return detail::at_event(std::move(evolved.error()), event);
        }
        loaded.version = event.version;
        ++loaded.read;
      }
      if (read->end) return stand(stream, as_of, now, std::move(loaded));
    }
  }
  static bool is_behind(const StoredEvent& event, const AsOf& as_of) noexcept {
    return (as_of.version && event.version > *as_of.version) || (as_of.time && event.time > *as_of.time);
  }
  /// What was before the first event that is left, nobody can say of a moment before it.
  static Result<std::optional<Loaded<State>>> stand(std::string_view stream, const AsOf& as_of,
                                                    const StreamState& now, Loaded<State> loaded) {
    if (as_of.time && loaded.read == 0 && now.first > 1) return lost(stream, now);
    return std::optional{std::move(loaded)};
  }
  static Error lost(std::string_view stream, const StreamState& now) {
    return Error::make(Errc::position_lost, "load " + std::string{stream},
                       "its events below version " + std::to_string(now.first) +
                           " were erased, and no snapshot stands for them");
  }

  Result<> evolve_by(State& state, const StoredEvent& stored) const {
    return options_.upcasts.apply(stored, [&](const StoredEvent& event) {
      return detail::guarded([&] { return evolve_as(state, event, typename State::Events{}); });
    });
  }
  template <class... E>
  Result<> evolve_as(State& state, const StoredEvent& event, EventTypes<E...>) const {
    Result<> evolved;
    if ((try_evolve<E>(state, event, evolved) || ...)) return evolved;
    if constexpr ((std::is_same_v<E, StoredEvent> || ...)) {
      evolve(state, event);
      return {};
    } else {
      return options_.unknown == UnknownType::skip ? Result<>{} : detail::nobody_takes(event);
    }
  }
  template <class E>
  static bool try_evolve(State& state, const StoredEvent& stored, Result<>& evolved) {
    if constexpr (std::is_same_v<E, StoredEvent>) {
      return false;
    } else {
      if (stored.type != detail::event_type<E>()) return false;
      const Result<E> event = detail::decode_event<E>(stored.payload);
      if (event) {
        evolve(state, *event);
      } else {
        evolved = event.error();
      }
      return true;
    }
  }

  // ── snapshots: a cache, whose errors are none ──────────────────────────────────────────────────

  bool take_snapshot(std::string_view stream, const AsOf& as_of, Loaded<State>& loaded) const {
    if constexpr (has_snapshots) {
      if (options_.snapshot_every == 0 || as_of.time) return false;
      const Result<std::optional<Snapshot>> kept = store_.load_snapshot(stream, detail::event_type<State>());
      if (!kept || !*kept || (as_of.version && (*kept)->version > *as_of.version)) return false;
      Result<State> state = detail::decode_event<State>((*kept)->state);
      if (!state) return false;
      loaded.state = std::move(*state);
      loaded.version = (*kept)->version;
      return true;
    } else {
      return false;
    }
  }
  void keep_snapshot(std::string_view stream, const Loaded<State>& loaded) const {
    if constexpr (has_snapshots) {
      if (options_.snapshot_every == 0 || loaded.read < options_.snapshot_every) return;
      std::string bytes;
      const Result<std::string_view> state = detail::ask_codec<State>(
          Errc::encode_failed, "encode", [&] { return detail::bytes_of(loaded.state, bytes); });
      if (!state) return;
      (void)store_.save_snapshot(stream, detail::event_type<State>(), {loaded.version, std::string{*state}});
    }
  }

  // ── commands ───────────────────────────────────────────────────────────────────────────────────

  template <class Decide>
  Result<Executed<State>> execute_checked(std::string_view stream, Decide& decide, CommandOptions command) const {
    const bool is_named = !command.id.empty();
    const detail::UuidText made = ids_.next(std::chrono::system_clock::now());
    if (!is_named) command.id = {made.data(), made.size()};
    for (std::uint32_t attempt = 1;; ++attempt) {
      bool again = false;
      Result<Executed<State>> done = try_execute(stream, decide, command, is_named || attempt > 1, again);
      if (!again) return done;
      if (attempt < options_.attempts) continue;
      done.error().context += "; gave up after " + std::to_string(attempt) + " attempts";
      done.error().retryable = true;
      return done;
    }
  }

  /// `again`: it ended with an error because others were first, or because nobody can tell.
  template <class Decide>
  Result<Executed<State>> try_execute(std::string_view stream, Decide& decide, const CommandOptions& command,
                                      bool is_known, bool& again) const {
    Result<Loaded<State>> loaded = load(stream);
    if (!loaded) return std::move(loaded.error());
    keep_snapshot(stream, *loaded);
    if (is_known) {
      Result<Appended> earlier = find_command(stream, command.id);
      if (!earlier) return std::move(earlier.error());
      if (!earlier->events.empty()) return done_before(stream, std::move(*earlier), std::move(*loaded));
    }
    std::vector<Encoded> events;
    Result<> decided = detail::guarded([&] { return decide_on(loaded->state, decide, command.id, events); });
    if (!decided) return std::move(decided.error());
    if (events.empty()) return Executed<State>{std::move(loaded->state), loaded->version, {}};

    Result<Appended> appended = append_all(stream, loaded->version, events, command);
    if (!appended) {
      const Errc code = appended.error().code;
      again = code == Errc::conflict || code == Errc::outcome_unknown ||
              (code == Errc::id_reused && stands_here(stream, command.id));
      return std::move(appended.error());
    }
    if (appended->state == Appended::State::already_appended) {
      return done_before(stream, std::move(*appended), {initial_});
    }
    const std::uint64_t last = appended->events.back().version;
    return Executed<State>{std::move(loaded->state), last, std::move(*appended)};
  }

  /// Encodes what is decided, and lets the state have it.
  template <class Decide>
  static Result<> decide_on(State& state, Decide& decide, std::string_view id, std::vector<Encoded>& events) {
    const auto made = decide(std::as_const(state));
    const auto encode = [&]<class E>(const E& event) -> Result<> {
      Encoded next{std::string{id}, detail::event_type<E>(), {}};
      if (!events.empty()) next.id += "#" + std::to_string(events.size() + 1);
      const Result<std::string_view> payload = detail::ask_codec<E>(
          Errc::encode_failed, "encode", [&] { return detail::bytes_of(event, next.payload); });
      if (!payload) return payload.error();
      if (next.payload.empty()) next.payload = *payload;
      events.push_back(std::move(next));
      return {};
    };
    const auto take = [&](const auto& event) -> Result<> { return evolve(state, event), Result<>{}; };
    if (Result<> encoded = detail::for_each_event(made, encode); !encoded) return encoded;
    return detail::for_each_event(made, take);
  }

  Result<Appended> append_all(std::string_view stream, std::uint64_t last, const std::vector<Encoded>& events,
                              const CommandOptions& command) const {
    std::vector<NewEvent> batch;
    batch.reserve(events.size());
    for (const Encoded& each : events) {
      batch.push_back({each.id, each.type, each.payload, command.tags, command.metadata, command.time});
    }
    return append(store_, stream, ExpectedVersion::exactly(last), batch);
  }

  // ── commands that come again ───────────────────────────────────────────────────────────────────

  /// Where the events of a command stand; none: it was not done. Errors: id_reused.
  Result<Appended> find_command(std::string_view stream, std::string_view id) const {
    Appended found{Appended::State::already_appended, {}};
    for (std::string next{id};; next = std::string{id} + "#" + std::to_string(found.events.size() + 1)) {
      const Result<std::optional<Placed>> placed = store_.locate(next);
      if (!placed) return placed.error();
      if (!*placed) return found;
      if (found.events.empty()) {
        const Result<bool> here = is_in(stream, next, (*placed)->version);
        if (!here) return here.error();
        if (!*here) {
          return Error::make(Errc::id_reused, "execute command " + std::string{id},
                             "an event of another stream than " + std::string{stream} + " has this id");
        }
      }
      found.events.push_back(**placed);
    }
  }
  bool stands_here(std::string_view stream, std::string_view id) const {
    const Result<Appended> found = find_command(stream, id);
    return found && !found->events.empty();
  }
  /// Whether the stream has the event at this version; of one that was erased, whether it can have been
  /// there.
  Result<bool> is_in(std::string_view stream, std::string_view id, std::uint64_t at) const {
    EventPage page;
    const Result<StreamRead> read = store_.read_stream(stream, {.from = at, .limit = 1}, page);
    if (!read) return read.error();
    if (page.empty() || page[0].version != at) return at < read->stream.first;
    return page[0].id == id;
  }
  Result<Executed<State>> done_before(std::string_view stream, Appended earlier, Loaded<State> loaded) const {
    if (earlier.events.back().version > loaded.version) {  // it was done after this was loaded
      Result<Loaded<State>> now = load(stream);
      if (!now) return std::move(now.error());
      loaded = std::move(*now);
    }
    return Executed<State>{std::move(loaded.state), loaded.version, std::move(earlier)};
  }

  S& store_;
  const State initial_;
  const AggregateOptions options_;
  mutable detail::UuidGenerator ids_;
};

}  // namespace omnibus
